//! TAXII 2.1: discovery, the realm's API root, its collections and their objects.
//!
//! Flow: [`crate::auth::gate`] (a bearer key, or Basic with the key as the password) → [`Asking`] (what the caller accepts) → a handler → one use
//! case of `hub::taxii` → `answer`; a refusal on the way becomes TAXII's error message in [`translate`].
//! Invariant: everything under `/taxii2` is answered as [`MEDIA_TYPE`], errors too. Paths are answered with and without the slash at their end.
//! Not here: which collections there are and what of them a caller sees (`hub::taxii`).
//!
//! Source: OASIS TAXII 2.1.

pub mod basic;
mod collections;
mod negotiate;
mod objects;
mod query;

pub use collections::{collection, collections, discovery, root, status};
pub use objects::{add, delete, list, manifest, show, versions};

use crate::AppState;
use crate::problem::Problem;
use axum::extract::{FromRequestParts, Request};
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hub::Actor;
use hub::taxii::Collection;
use model::Timestamp;
use serde_json::{Map, json};

/// The media type of every answer.
pub const MEDIA_TYPE: &str = "application/taxii+json;version=2.1";
/// The media types of objects.
static STIX_MEDIA_TYPES: [&str; 2] = ["application/stix+json;version=2.1", "application/stix+json;version=2.0"];
const DATE_ADDED_FIRST: &str = "x-taxii-date-added-first";
const DATE_ADDED_LAST: &str = "x-taxii-date-added-last";
/// Challenge beside the bearer's.
const BASIC: &str = "Basic realm=\"TAXII\", charset=\"UTF-8\"";

/// Whether a path belongs to this door.
pub fn under_taxii(path: &str) -> bool {
    path.strip_prefix("/taxii2").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path of this door without the slash at its end.
pub fn without_slash(path: &'static str) -> Option<&'static str> {
    if under_taxii(path) { path.strip_suffix('/') } else { None }
}

/// The authenticated caller of a request that accepts what this door answers.
pub struct Asking(pub Actor);

impl<S: Send + Sync> FromRequestParts<S> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let actor = parts.extensions.remove::<Actor>().ok_or_else(Problem::unauthenticated)?;
        let accepted: Vec<&str> = parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        if negotiate::accepts(&accepted) { Ok(Self(actor)) } else { Err(Problem::new(StatusCode::NOT_ACCEPTABLE, format!("answers are {MEDIA_TYPE}"))) }
    }
}

/// Makes TAXII's error messages of the refusals under this door.
pub async fn translate(request: Request, next: Next) -> Response {
    let ours = under_taxii(request.uri().path());
    let mut response = next.run(request).await;
    if !ours {
        return response;
    }
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let (mut parts, _) = response.into_parts();
    let body = error_message(&problem);
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    if problem.status() == StatusCode::UNAUTHORIZED {
        parts.headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(BASIC));
    }
    Response::from_parts(parts, axum::body::Body::from(body))
}

/// Source: TAXII 2.1, section 3.6.1.
fn error_message(problem: &Problem) -> Vec<u8> {
    let status = problem.status();
    let mut message = Map::new();
    message.insert("title".to_owned(), json!(status.canonical_reason().unwrap_or("Error")));
    message.insert("description".to_owned(), json!(problem.detail()));
    message.insert("http_status".to_owned(), json!(status.as_str()));
    if !problem.errors().is_empty() {
        message.insert("details".to_owned(), json!({ "errors": problem.errors() }));
    }
    serde_json::to_vec(&message).unwrap_or_default()
}

/// An answer of this door.
fn answer(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], body).into_response()
}

/// An answer with the dates of addition of its first and its last object.
fn dated(body: Vec<u8>, first: Option<Timestamp>, last: Option<Timestamp>) -> Response {
    let mut response = answer(StatusCode::OK, body);
    for (name, time) in [(DATE_ADDED_FIRST, first), (DATE_ADDED_LAST, last)] {
        if let Some(value) = time.and_then(|time| HeaderValue::from_str(&time.to_micro_string()).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Says that the realm's API root is the only one.
fn check_root(state: &AppState, root: &str) -> Result<(), Problem> {
    if root == state.hub.realm() { Ok(()) } else { Err(Problem::not_found()) }
}

/// One of the caller's collections.
fn find(state: &AppState, actor: &Actor, root: &str, name: &str) -> Result<Collection, Problem> {
    check_root(state, root)?;
    state.hub.taxii_collection(actor, name).map_err(Problem::from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn only_this_doors_paths_have_a_form_without_the_slash() {
        assert_eq!(without_slash("/taxii2/"), Some("/taxii2"));
        assert_eq!(without_slash("/taxii2/{root}/collections/"), Some("/taxii2/{root}/collections"));
        assert_eq!(without_slash("/"), None);
        assert!(!under_taxii("/taxii21/") && under_taxii("/taxii2/x") && under_taxii("/taxii2"));
    }

    #[test]
    fn an_error_message_has_a_title_and_the_status_as_a_text() {
        let message: serde_json::Value = serde_json::from_slice(&error_message(&Problem::parameter("limit", "must be more than 0"))).unwrap();
        assert_eq!((&message["http_status"], &message["title"]), (&json!("400"), &json!("Bad Request")));
        assert_eq!(message["details"]["errors"][0]["pointer"], "limit");
    }
}
