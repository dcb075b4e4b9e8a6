//! MISP's interface: what its clients and pulling or pushing instances call.
//!
//! Flow: [`path::rewrite`] (one form of each path) → [`crate::auth::gate`] (the key alone in the `Authorization` header) → [`Asking`] and [`Sent`] →
//! a handler → one use case of `hub::misp` → JSON; a refusal on the way becomes MISP's error in [`translate`].
//! Invariant: everything under `/misp` is answered in MISP's JSON, errors too, but for searches in other formats.
//! Not here: what an event holds, who sees it and what a search finds (`hub::misp`), the feed (`crate::feeds::misp`).
//!
//! Source: MISP's OpenAPI description; PyMISP, whose calls these are.

mod events;
mod others;
mod parts;
pub mod path;
mod pieces;
mod proposals;
mod reports;
mod sightings;

pub use events::{add, delete, edit, index, publish, search as search_events, unpublish, view, wanted};
pub use others::{add_tag, check_warning_lists, group, groups, organisation, organisations, post_test, pymisp_version, search_tags, tag, tags, user, version};
pub use parts::{
    add_attributes, add_object, attach_tag, attribute, attributes, delete_attribute, delete_object, describe_types, edit_attribute, edit_object, object,
    remove_tag, restore_attribute, search_attributes, search_objects,
};
pub use proposals::{accept, discard, list as list_proposals, list_of as list_proposals_of, propose, propose_change, propose_deletion, show as proposal};
pub use reports::{add as add_report, delete as delete_report, edit as edit_report, list as list_reports, restore as restore_report, show as report};
pub use sightings::{
    add as add_sighting, add_to as add_sighting_to, delete as delete_sighting, list as list_sightings, search as search_sightings,
    search_of as search_sightings_of, take as take_sightings, wanted as wanted_sightings,
};

use crate::AppState;
use crate::limits;
use crate::payload::essence;
use crate::problem::Problem;
use crate::reply;
use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use hub::misp::MAX_BODY;
use hub::{Actor, HubError};
use serde_json::{Map, Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio_stream::StreamExt;

/// Stands in the description for the media types of [`FORMATS`].
pub const SEVERAL: &str = "misp/several";
/// Media types of searches.
pub const FORMATS: [&str; 3] = [reply::JSON, "text/csv; charset=utf-8", "text/plain; charset=utf-8"];
/// How many times its bytes a request takes in memory, about.
const GROWS: usize = 4;
/// The header in which some clients give the key.
const X_MISP_AUTH: &str = "x-misp-auth";
/// The header by which an instance that pulls or pushes names itself.
const MISP_UUID: &str = "misp-uuid";

/// Whether a path belongs to this door.
pub fn under_misp(path: &str) -> bool {
    path.strip_prefix("/misp").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The key that a client of MISP's gives: alone, as all of them do, or as a bearer's.
pub fn key(headers: &HeaderMap) -> Option<String> {
    let mut given = headers.get_all(AUTHORIZATION).iter().chain(headers.get_all(X_MISP_AUTH));
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let text = value.to_str().ok()?.trim();
    match text.split_once(' ') {
        None => Some(text.to_owned()),
        Some((scheme, key)) => scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned()),
    }
}

/// The authenticated caller, and what it says beside the body.
pub struct Asking {
    /// Who.
    pub actor: Actor,
    /// Whether it is an instance that pulls or pushes.
    pub sync: bool,
    /// Parameters of the path and the query.
    pub options: Map<String, Value>,
}

impl<S: Send + Sync> FromRequestParts<S> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let actor = parts.extensions.remove::<Actor>().ok_or_else(Problem::unauthenticated)?;
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|_| Problem::parameter("?", "the query cannot be read"))?;
        let options = pairs.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        Ok(Self { actor, sync: is_instance(&parts.headers), options })
    }
}

impl Asking {
    /// An option that is on.
    fn is(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
    }

    /// An option's text.
    fn text(&self, name: &str) -> Option<&str> {
        self.options.get(name).and_then(Value::as_str)
    }

    /// The filters of a body, and those of the path that it does not name.
    fn filters(&self, body: Value) -> Map<String, Value> {
        let mut filters = match body {
            Value::Object(mut fields) => match fields.remove("request") {
                Some(Value::Object(inner)) => inner,
                Some(_) | None => fields,
            },
            _ => Map::new(),
        };
        for (name, value) in &self.options {
            filters.entry(name.clone()).or_insert_with(|| value.clone());
        }
        filters
    }
}

/// Whether the caller is another instance, whose events come and go one step less far. Instances say so, and those that do not are members' tools.
fn is_instance(headers: &HeaderMap) -> bool {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    headers.contains_key(MISP_UUID) || agent.starts_with("MISP ")
}

/// A request's JSON, with the room it takes while it is worked on. No body is nothing.
pub struct Sent {
    /// The body.
    pub value: Value,
    _room: OwnedSemaphorePermit,
}

impl FromRequest<AppState> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let headers = request.headers();
        if headers.contains_key(CONTENT_ENCODING) {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bodies are taken as they are, without compression"));
        }
        let media = headers.get(CONTENT_TYPE).map(|value| essence(value.to_str().unwrap_or_default()).to_owned());
        if media.is_some_and(|media| !media.eq_ignore_ascii_case(reply::JSON)) {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json"));
        }
        let stated = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<usize>().ok());
        // A request without a body says so in another way.
        let stated = stated.or_else(|| request.body().size_hint().exact().and_then(|exact| usize::try_from(exact).ok()));
        if stated.is_some_and(|stated| stated > MAX_BODY) {
            return Err(too_large());
        }
        let room = state.hub.taxii_room(stated.unwrap_or(MAX_BODY).saturating_mul(GROWS)).await?;
        let gathered = tokio::time::timeout(limits::TAXII_BODY_TIME, gather(request.into_body(), stated.unwrap_or_default())).await;
        let body = gathered.map_err(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive"))??;
        if body.trim_ascii().is_empty() {
            return Ok(Self { value: Value::Null, _room: room });
        }
        let parsed =
            tokio::task::spawn_blocking(move || serde_json::from_slice::<Value>(&body)).await.map_err(|broken| HubError::Internal(Box::new(broken)))?;
        let value = parsed.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}")))?;
        Ok(Self { value, _room: room })
    }
}

async fn gather(body: Body, stated: usize) -> Result<Vec<u8>, Problem> {
    let mut frames = body.into_data_stream();
    let mut bytes = Vec::with_capacity(stated);
    loop {
        let frame = match tokio::time::timeout(limits::SUBMISSION_IDLE, frames.next()).await {
            Ok(None) => return Ok(bytes),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(Problem::new(StatusCode::BAD_REQUEST, "the body broke off")),
            Err(_) => return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body stood still for too long")),
        };
        if bytes.len() + frame.len() > MAX_BODY {
            return Err(too_large());
        }
        bytes.extend_from_slice(&frame);
    }
}

impl Sent {
    /// The body alone: its room is free again for what is looked for.
    fn filters(self) -> Value {
        self.value
    }
}

fn too_large() -> Problem {
    HubError::TooLarge { limit: MAX_BODY as u64, unit: "bytes" }.into()
}

/// Makes MISP's errors of the refusals under this door.
pub async fn translate(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    if !under_misp(&path) {
        return response;
    }
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let (mut parts, _) = response.into_parts();
    let body = error_message(&problem, path.strip_prefix("/misp").unwrap_or_default());
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply::JSON));
    Response::from_parts(parts, Body::from(body))
}

/// What clients look for: a name, a message, and what is wrong by field.
fn error_message(problem: &Problem, url: &str) -> Vec<u8> {
    let mut fields: Map<String, Value> = Map::new();
    for error in problem.errors() {
        let name = error.get("pointer").and_then(Value::as_str).unwrap_or_default().trim_start_matches('/');
        let reason = error.get("reason").cloned().unwrap_or_default();
        if let Value::Array(reasons) = fields.entry(name.to_owned()).or_insert_with(|| json!([])) {
            reasons.push(reason);
        }
    }
    let first = fields.values().find_map(|reasons| reasons.get(0)).and_then(Value::as_str).unwrap_or_else(|| problem.detail()).to_owned();
    let errors = if fields.is_empty() { json!(problem.detail()) } else { Value::Object(fields) };
    json!({ "saved": false, "name": problem.detail(), "message": first, "url": url, "errors": errors }).to_string().into_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for &(name, value) in pairs {
            map.append(name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn a_key_stands_alone_in_its_header() {
        assert_eq!(key(&headers(&[("authorization", "abc")])).as_deref(), Some("abc"));
        assert_eq!(key(&headers(&[("authorization", "Bearer abc")])).as_deref(), Some("abc"));
        assert_eq!(key(&headers(&[("x-misp-auth", " abc ")])).as_deref(), Some("abc"));
        assert_eq!(key(&headers(&[("authorization", "abc"), ("x-misp-auth", "abc")])), None);
        assert_eq!(key(&headers(&[("authorization", "Basic abc")])), None);
        assert_eq!(key(&headers(&[])), None);
    }

    #[test]
    fn instances_are_told_from_members_tools() {
        assert!(is_instance(&headers(&[("user-agent", "MISP 2.5.12 - #abc")])) && is_instance(&headers(&[("misp-uuid", "x")])));
        assert!(!is_instance(&headers(&[("user-agent", "PyMISP 2.5.12 - Python 3.11")])));
    }

    #[test]
    fn an_error_names_the_fields_and_the_first_reason() {
        let message: Value = serde_json::from_slice(&error_message(&Problem::field("/info", "is missing"), "/events/add")).unwrap();
        assert_eq!((&message["errors"]["info"][0], &message["message"], &message["url"]), (&json!("is missing"), &json!("is missing"), &json!("/events/add")));
        let message: Value = serde_json::from_slice(&error_message(&Problem::not_found(), "/events/view/7")).unwrap();
        assert_eq!(message["errors"], message["name"]);
        assert!(under_misp("/misp") && under_misp("/misp/events/index") && !under_misp("/mispell"));
    }
}
