//! Products for firewalls, resolvers, sensors and people: `/feeds/{product}`, their list at `/feeds/`, and what was recalled from them.
//!
//! Flow: the caller may have a key ([`key::Holder`]) → `hub` says what it may have → prepared bytes, or 304 where the caller has the same.
//! Invariant: without a key the marking is clear; a wrong key is refused and never taken for none. Nothing is written here: the bytes are
//! the hub's.
//! Not here: what a product holds (`hub::products`), its formats (`formats::products`).

mod dates;
pub mod index;
mod key;
pub mod misp;
mod page;

use crate::limits;
use crate::params::{At, FilterText, Params};
use crate::problem::Problem;
use crate::reply::{self, Reply};
use crate::{AppState, auth};
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, EXPIRES, IF_MODIFIED_SINCE, IF_NONE_MATCH, IntoHeaderName, LAST_MODIFIED, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use formats::products::Product;
use hub::products::{Delta, Prepared, ProductFilter, Want};
use key::Holder;
use model::Tlp;
use serde::Serialize;
use std::sync::Arc;

/// Stands in the description for the media types of [`MEDIA`].
pub const ANY: &str = "*/*";
/// Media types of products.
pub const MEDIA: [&str; 3] = [Product::List(None).media(), Product::Csv.media(), Product::Stix.media()];
/// Seconds after which a copy is asked for again.
const MAX_AGE: u32 = 60;
const X_TLP: &str = "x-tlp";
const X_VERSION: &str = "x-version";
const X_ENTRIES: &str = "x-entries";

/// The same path without the slash at its end, for one that has it and is the index's.
pub fn without_slash(path: &'static str) -> Option<&'static str> {
    if path == index::PATH { path.strip_suffix('/') } else { None }
}

/// `GET /feeds/{product}`
pub async fn product(State(state): State<AppState>, Holder(actor): Holder, At(name): At<String>, params: Params, headers: HeaderMap) -> Reply {
    let product = Product::parse(&name).ok_or_else(Problem::not_found)?;
    let tlp = params.parsed("tlp", "clear, green or amber", Tlp::parse)?;
    let want = state.hub.wanted(actor.as_ref(), product, tlp, filter(&params)?)?;
    let keyed = actor.is_some();
    if let Some(since) = params.parsed("since", "a version of an earlier answer", version)? {
        let asked = want.clone();
        let delta = state.make(keyed, move |hub| hub.product_since(&asked, &since, keyed)).await?;
        let delta = delta.ok_or_else(|| Problem::new(StatusCode::GONE, "there is no difference from this version any more; fetch the whole"))?;
        note(&state, actor.as_ref(), &want);
        return Ok(difference(delta));
    }
    let prepared = match state.hub.prepared(&want) {
        Some(prepared) => prepared,
        None => {
            let asked = want.clone();
            state.make(keyed, move |hub| hub.prepare(&asked, keyed)).await?
        }
    };
    note(&state, actor.as_ref(), &want);
    Ok(whole(&prepared, &headers, keyed))
}

/// `GET /feeds/recalls`
pub async fn recalls(State(state): State<AppState>, Holder(actor): Holder, params: Params) -> Reply {
    let actor = actor.ok_or_else(|| auth::unread(&HeaderMap::new(), auth::BEARER_OR_PASSWORD))?;
    let (since, limit) = (params.filter()?.since, params.limit()?);
    let items = state.read(move |hub| hub.recalls(&actor, since, limit)).await?;
    let mut response = reply::ok(&Recalls { items })?;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What was recalled, newest first.
#[derive(Serialize)]
struct Recalls {
    items: Vec<hub::products::Recall>,
}

fn filter(params: &Params) -> Result<ProductFilter, Problem> {
    // `since` is a version here, not the time that filters of events have under that name.
    let given = FilterText { kind: params.words("type")?, sector: params.words("sector")?, ..FilterText::default() };
    let given = given.parse().map_err(|(name, reason)| Problem::parameter(name, reason))?;
    let percent = |text: &str| text.parse::<u8>().ok().filter(|number| *number <= 100);
    let days = |text: &str| text.parse::<u16>().ok().filter(|number| (1..=limits::PRODUCT_DAYS).contains(number));
    Ok(ProductFilter {
        types: given.types,
        sectors: given.sectors,
        min_confidence: params.parsed("min_confidence", "a number from 0 to 100", percent)?.unwrap_or(0),
        max_age_days: params.parsed("max_age_days", "a number of days from 1 to 3650", days)?,
    })
}

fn version(text: &str) -> Option<String> {
    (!text.is_empty() && text.len() <= limits::CURSOR).then(|| text.to_owned())
}

/// An organisation that has fetched a product learns of what is recalled from it. Strangers cannot be told.
fn note(state: &AppState, actor: Option<&hub::Actor>, want: &Want) {
    if let Some(actor) = actor {
        state.hub.fetched(actor, want);
    }
}

/// The product, or that the caller has it.
fn whole(prepared: &Arc<Prepared>, headers: &HeaderMap, keyed: bool) -> Response {
    let mut response = if unchanged(prepared, headers) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if takes_gzip(headers) {
        let encoding = [(CONTENT_TYPE, HeaderValue::from_static(prepared.product.media())), (CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        (encoding, Body::from(prepared.gzip.clone())).into_response()
    } else {
        ([(CONTENT_TYPE, HeaderValue::from_static(prepared.product.media()))], Body::from(prepared.plain.clone())).into_response()
    };
    let own = response.headers_mut();
    insert(own, CACHE_CONTROL, &format!("{}, max-age={MAX_AGE}", if keyed { "private" } else { "public" }));
    own.insert(VARY, HeaderValue::from_static("accept-encoding, authorization"));
    own.insert(X_TLP, HeaderValue::from_static(prepared.tlp.as_str()));
    own.insert(X_ENTRIES, HeaderValue::from(prepared.entries));
    insert(own, ETAG, &prepared.entity_tag());
    insert(own, X_VERSION, &prepared.version);
    insert(own, LAST_MODIFIED, &dates::write(prepared.modified));
    insert(own, EXPIRES, &dates::write(prepared.expires));
    response
}

/// What came and what left, for the one who asked.
fn difference(delta: Delta) -> Response {
    let mut response = reply::typed(StatusCode::OK, Product::List(None).media(), delta.text.into_bytes());
    let own = response.headers_mut();
    own.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    own.insert(X_TLP, HeaderValue::from_static(delta.tlp.as_str()));
    own.insert(X_ENTRIES, HeaderValue::from(delta.changes));
    insert(own, X_VERSION, &delta.version);
    response
}

fn insert(headers: &mut HeaderMap, name: impl IntoHeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// Source: RFC 9110 section 13.2.2: where tags are given they alone decide.
fn unchanged(prepared: &Prepared, headers: &HeaderMap) -> bool {
    let mut tags = headers.get_all(IF_NONE_MATCH).iter().peekable();
    if tags.peek().is_some() {
        return tags.any(|tags| tags.to_str().is_ok_and(|tags| prepared.is_among(tags)));
    }
    let since = headers.get(IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok()).and_then(dates::read);
    since.is_some_and(|since| prepared.modified.seconds() <= since.seconds())
}

/// Whether the caller reads gzip. Source: RFC 9110 section 12.5.3.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let given = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let mut any = false;
    for coding in given {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0));
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => return !refused,
            "*" => any = !refused,
            _ => {}
        }
    }
    any
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_given_to_those_alone_who_read_it() {
        for (accepted, expected) in [
            (None, false),
            (Some("gzip"), true),
            (Some("deflate, gzip;q=0.5"), true),
            (Some("gzip;q=0"), false),
            (Some("gzip; q=0.0, *"), false),
            (Some("*"), true),
            (Some("br"), false),
            (Some("identity, X-GZIP"), true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accepted) = accepted {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            }
            assert_eq!(takes_gzip(&headers), expected, "{accepted:?}");
        }
    }

    #[test]
    fn every_product_has_one_of_the_described_media_types() {
        assert!(Product::all().into_iter().all(|product| MEDIA.contains(&product.media())));
    }
}
