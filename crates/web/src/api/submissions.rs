//! Events in: a streamed body becomes a receipt, a corrected event replaces an earlier one.
//!
//! Flow: head of the request → [`intake::Options`] → a session that takes the body frame by frame → the outcome, which is answered when
//! the events are durable and applied.
//! Invariant: the body is never collected here; a sender slower than [`limits::SUBMISSION_IDLE`] between two frames is cut off. A refusal
//! in the middle of a body names the receipt of what was kept before it.

use crate::auth::Caller;
use crate::params::{At, Params, one_of, seq};
use crate::payload::{Payload, essence};
use crate::problem::Problem;
use crate::reply::{self, Reply};
use crate::state::act;
use crate::{AppState, limits};
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use formats::Format;
use hub::intake::{Encoding, Options, Session};
use model::{Category, Origin, Role, Tlp};
use tokio_stream::StreamExt;

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// `POST /api/v1/events`
pub async fn submit(State(state): State<AppState>, Caller(actor): Caller, params: Params, headers: HeaderMap, body: Body) -> Reply {
    let options = options(&params, &headers)?;
    let mut session = state.hub.intake(&actor, options)?;
    let mut frames = body.into_data_stream();
    if let Err(problem) = feed(&mut session, &mut frames).await {
        let kept = act(async move { Ok(session.so_far().await) }).await;
        drain(&mut frames).await;
        return Err(match kept {
            Ok(kept) => problem.keeping(&kept),
            Err(_) => problem,
        });
    }
    reply::ok(&act(session.finish()).await?)
}

/// `POST /api/v1/events/{seq}/amend`
pub async fn amend(State(state): State<AppState>, Caller(actor): Caller, At(number): At<String>, payload: Payload) -> Reply {
    let seq = seq(&number).ok_or_else(Problem::not_found)?;
    payload.value()?;
    let outcome = act(async move { state.hub.amend(&actor, seq, &payload.0).await }).await?;
    reply::ok(&outcome)
}

async fn feed(session: &mut Session, frames: &mut BodyDataStream) -> Result<(), Problem> {
    while let Some(frame) = next_frame(frames).await? {
        session.push(frame).await?;
    }
    Ok(())
}

async fn next_frame(frames: &mut BodyDataStream) -> Result<Option<Bytes>, Problem> {
    match tokio::time::timeout(limits::SUBMISSION_IDLE, frames.next()).await {
        Ok(frame) => frame.transpose().map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body stood still for too long")),
    }
}

/// Takes what is on its way, so that the sender comes to read why it was refused.
pub(crate) async fn drain(frames: &mut BodyDataStream) {
    let rest = async {
        let mut taken = 0;
        while let Some(Ok(frame)) = frames.next().await {
            taken += frame.len();
            if taken > limits::DRAIN {
                break;
            }
        }
    };
    // Running out of time is as good an end as any.
    let _ = tokio::time::timeout(limits::DRAIN_TIME, rest).await;
}

fn options(params: &Params, headers: &HeaderMap) -> Result<Options, Problem> {
    Ok(Options {
        format: format(headers)?,
        encoding: encoding(headers)?,
        idempotency_key: idempotency_key(headers)?,
        dry_run: params.flag("dry_run")?,
        tlp: params.parsed("tlp", "clear, green, amber, amber+strict or red", tlp)?,
        category: params.parsed("category", &one_of("a category", Category::ALL, Category::as_str), Category::parse)?,
        origin: params.parsed("origin", "an origin", Origin::parse)?,
        role: params.parsed("role", "attacker, victim or bystander", Role::parse)?,
        file_name: None,
        on_behalf_of: params.parsed("on_behalf_of", "the id of an organisation", |text| text.parse().ok())?,
    })
}

/// `amber+strict` in a query arrives with a space where the sender did not encode the plus sign.
fn tlp(text: &str) -> Option<Tlp> {
    Tlp::parse(&text.replace(' ', "+"))
}

/// The stated format; `None`: to be guessed.
fn format(headers: &HeaderMap) -> Result<Option<Format>, Problem> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(None) };
    let media = essence(value.to_str().unwrap_or("?")).to_ascii_lowercase();
    match media.as_str() {
        "application/octet-stream" => Ok(None),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Some(Format::Ndjson)),
        "application/json" => Ok(Some(Format::JsonArray)),
        "text/csv" => Ok(Some(Format::Csv)),
        "text/plain" => Ok(Some(Format::List)),
        "application/stix+json" | "application/vnd.oasis.stix+json" => Ok(Some(Format::Stix)),
        "application/x-misp+json" | "application/misp+json" => Ok(Some(Format::Misp)),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "events are taken as application/x-ndjson, application/json, text/csv, text/plain, application/stix+json or application/x-misp+json",
        )),
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let unsupported = || Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bodies are taken as they are, or compressed once by gzip or zstd");
    let mut given = headers.get_all(CONTENT_ENCODING).iter();
    let word = match (given.next(), given.next()) {
        (None, _) => return Ok(Encoding::Identity),
        (Some(value), None) => value.to_str().map_err(|_| unsupported())?.trim().to_ascii_lowercase(),
        (Some(_), Some(_)) => return Err(unsupported()),
    };
    match word.as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "zstd" => Ok(Encoding::Zstd),
        _ => Err(unsupported()),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let bytes = value.as_bytes();
    if bytes.is_empty() || bytes.len() > limits::IDEMPOTENCY_KEY || !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(Problem::parameter("Idempotency-Key", format!("must be 1 to {} visible ASCII characters", limits::IDEMPOTENCY_KEY)));
    }
    Ok(value.to_str().ok().map(str::to_owned))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn header(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_content_type_chooses_the_format_and_an_unknown_one_is_refused() {
        let of = |value| format(&header(CONTENT_TYPE, value));
        assert_eq!(of("text/csv; charset=utf-8").unwrap(), Some(Format::Csv));
        assert_eq!(of("Application/STIX+json;version=2.1").unwrap(), Some(Format::Stix));
        assert_eq!(of("application/octet-stream").unwrap(), None);
        assert_eq!(format(&HeaderMap::new()).unwrap(), None);
        assert!(of("image/png").is_err());
    }

    #[test]
    fn a_body_is_compressed_once_at_the_most() {
        let of = |value| encoding(&header(CONTENT_ENCODING, value));
        assert!(matches!(of("zstd"), Ok(Encoding::Zstd)));
        assert!(matches!(of("GZIP"), Ok(Encoding::Gzip)));
        assert!(of("gzip, zstd").is_err() && of("br").is_err());
    }

    #[test]
    fn an_idempotency_key_is_short_visible_text() {
        let of = |value| idempotency_key(&header(HeaderName::from_static(IDEMPOTENCY_KEY), value));
        assert_eq!(of("a-1").unwrap().as_deref(), Some("a-1"));
        assert!(of("a b").is_err() && of("").is_err());
    }

    #[test]
    fn a_plus_sign_that_was_not_encoded_is_understood() {
        assert_eq!(tlp("amber strict"), Some(Tlp::AmberStrict));
        assert_eq!(tlp("amber+strict"), Some(Tlp::AmberStrict));
    }
}
