//! JSON bodies: bounded in size and time, parsed once.
//!
//! Not here: submissions of events, which are streamed and never collected (`api::submissions`).

use crate::problem::Problem;
use crate::{limits, reply};
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use hub::HubError;
use serde_json::Value;
use tokio_stream::StreamExt;

/// A JSON body of at most `LIMIT` bytes.
pub struct Payload<const LIMIT: usize = { limits::JSON_BODY }>(pub Vec<u8>);

impl<const LIMIT: usize> Payload<LIMIT> {
    /// The body as a value.
    pub fn value(&self) -> Result<Value, Problem> {
        serde_json::from_slice(&self.0).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}")))
    }

    /// The body as a value; an empty body is an object without fields.
    pub fn value_or_empty(&self) -> Result<Value, Problem> {
        if self.0.is_empty() { Ok(Value::Object(serde_json::Map::new())) } else { self.value() }
    }
}

impl<S: Send + Sync, const LIMIT: usize> FromRequest<S> for Payload<LIMIT> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        check_media(&parts.headers)?;
        if stated_length(&parts.headers).is_some_and(|length| length > LIMIT) {
            return Err(too_large(LIMIT));
        }
        match tokio::time::timeout(limits::BODY_TIME, collect(body, LIMIT)).await {
            Ok(bytes) => bytes.map(Self),
            Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive")),
        }
    }
}

async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut frames = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body broke off"))?;
        if bytes.len() + frame.len() > limit {
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&frame);
    }
    Ok(bytes)
}

fn check_media(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported = |detail: &str| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(unsupported("only submissions may be compressed"));
    }
    match headers.get(CONTENT_TYPE) {
        None => Ok(()),
        Some(value) if essence(value.to_str().unwrap_or_default()).eq_ignore_ascii_case(reply::JSON) => Ok(()),
        Some(_) => Err(unsupported("the body must be application/json")),
    }
}

/// A media type without its parameters.
pub fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim()
}

fn stated_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(limit: usize) -> Problem {
    HubError::TooLarge { limit: limit as u64, unit: "bytes" }.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    async fn status(request: Request) -> u16 {
        match Payload::<8>::from_request(request, &()).await {
            Ok(_) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }

    fn request(content_type: &str, body: &'static str) -> Request {
        Request::builder().header(CONTENT_TYPE, content_type).body(Body::from(body)).unwrap()
    }

    #[tokio::test]
    async fn a_body_past_the_limit_is_not_collected() {
        assert_eq!(status(request("application/json", "12345678")).await, 200);
        assert_eq!(status(request("application/json", "123456789")).await, 413);
    }

    #[tokio::test]
    async fn only_json_is_taken() {
        assert_eq!(status(request("application/json; charset=utf-8", "{}")).await, 200);
        assert_eq!(status(request("text/plain", "{}")).await, 415);
    }

    #[test]
    fn what_is_not_json_is_a_bad_request() {
        assert_eq!(Payload::<8>(b"{".to_vec()).value().unwrap_err().into_response().status().as_u16(), 400);
    }
}
