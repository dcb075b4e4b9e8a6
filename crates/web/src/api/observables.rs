//! What the hub knows of a value, and what a member says about it.
//!
//! A value may hold slashes, so one pattern takes the rest of the path; a last `/sightings` that is not percent-encoded names the value's
//! sightings and is not part of the value.

use crate::AppState;
use crate::auth::Caller;
use crate::fields::Fields;
use crate::limits;
use crate::params::{At, one_of};
use crate::payload::Payload;
use crate::problem::Problem;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use hub::sharing::{NewSighting, SightingKind};
use model::ObservableType;
use serde::Deserialize;
use serde_json::Value;

const SIGHTINGS: &str = "/sightings";

/// `GET /api/v1/observables/{type}/{value}`
pub async fn show(State(state): State<AppState>, Caller(actor): Caller, uri: Uri, At((kind, value)): At<(String, String)>) -> Reply {
    if uri.path().ends_with(SIGHTINGS) {
        return Err(Problem::method_not_allowed(Some("POST")));
    }
    let kind = observable_type(&kind)?;
    // In memory but for rare values of the settled tier: not worth a thread's switch.
    reply::ok(&state.hub.observable(&actor, kind, &value)?)
}

/// `POST /api/v1/observables/{type}/{value}/sightings`
pub async fn sight(State(state): State<AppState>, Caller(actor): Caller, uri: Uri, At((kind, rest)): At<(String, String)>, payload: Payload) -> Reply {
    let value = rest.strip_suffix(SIGHTINGS).filter(|_| uri.path().ends_with(SIGHTINGS));
    let value = value.ok_or_else(|| Problem::method_not_allowed(Some("GET,HEAD")))?.to_owned();
    let kind = observable_type(&kind)?;
    let sighting = new_sighting(Fields::new(payload.value()?)?)?;
    let answer = act(async move { state.hub.sighting(&actor, kind, &value, sighting).await }).await?;
    reply::created(&answer)
}

/// `POST /api/v1/observables/lookup`
pub async fn lookup(State(state): State<AppState>, Caller(actor): Caller, Payload(body): Payload<{ limits::LOOKUP_BODY }>) -> Reply {
    let answer = state.read(move |hub| {
        let wanted: Wanted = match serde_json::from_slice(&body) {
            Ok(wanted) => wanted,
            Err(error) => return Ok(Err(unreadable(&body, &error))),
        };
        if wanted.values.len() > limits::LOOKUP_VALUES {
            return Ok(Err(Problem::field("/values", format!("at most {} are taken", limits::LOOKUP_VALUES))));
        }
        // Written where they are found: most of the work of a large look-up is its text.
        let answers = hub.lookup_as(&actor, &wanted.values, |answer| reply::encode(&answer))?;
        let mut body = b"{\"results\":[".to_vec();
        for (at, answer) in answers.into_iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            match answer.transpose()? {
                Some(answer) => body.extend_from_slice(&answer),
                None => body.extend_from_slice(b"null"),
            }
        }
        body.extend_from_slice(b"]}");
        Ok(Ok(body))
    });
    Ok(reply::json(StatusCode::OK, answer.await??))
}

/// A bulk lookup.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    values: Vec<String>,
}

/// Says what of a bulk lookup's body is wrong. The body is read once more, which only a wrong one costs.
fn unreadable(body: &[u8], error: &serde_json::Error) -> Problem {
    const EXPECTED: &str = "must be an array of strings";
    let mut members = match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => members,
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            return Problem::field("", "must be an object with one member, values: an array of strings");
        }
        Err(error) => return Problem::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}")),
    };
    let values = match members.remove("values") {
        None => return Problem::field("/values", format!("is required: an array of up to {} strings", limits::LOOKUP_VALUES)),
        Some(Value::Array(values)) => values,
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => return Problem::field("/values", EXPECTED),
    };
    if let Some(name) = members.keys().next() {
        return Problem::field(&format!("/{name}"), "unknown field; values is the only one");
    }
    match values.iter().position(|value| !value.is_string()) {
        Some(at) => Problem::field(&format!("/values/{at}"), "must be a string"),
        // Such as a member given twice.
        None => Problem::field("/values", error.to_string()),
    }
}

fn observable_type(word: &str) -> Result<ObservableType, Problem> {
    ObservableType::parse(word).ok_or_else(|| Problem::parameter("type", one_of("unknown observable type", ObservableType::ALL, ObservableType::as_str)))
}

fn new_sighting(mut body: Fields) -> Result<NewSighting, Problem> {
    let kind = body.word("kind", "kind of sighting", |word| match word {
        "seen" => Some(SightingKind::Seen),
        "false-positive" => Some(SightingKind::FalsePositive),
        "expired" => Some(SightingKind::Expired),
        _ => None,
    })?;
    let sighting = NewSighting { kind, time: body.time_or_none("time")?, note: body.text_or_none("note", limits::REASON)? };
    body.finish()?;
    Ok(sighting)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said_of(body: &str) -> String {
        let Err(error) = serde_json::from_str::<Wanted>(body) else { panic!("{body} is right") };
        format!("{:?}", unreadable(body.as_bytes(), &error))
    }

    #[test]
    fn the_member_of_a_lookup_that_is_wrong_is_named_with_what_is_expected() {
        for (body, pointer, expected) in [
            (r#"["1.1.1.1"]"#, "\"\"", "must be an object"),
            ("{}", "\"/values\"", "is required"),
            (r#"{"value":["1.1.1.1"]}"#, "\"/values\"", "is required"),
            (r#"{"values":"1.1.1.1"}"#, "\"/values\"", "must be an array of strings"),
            (r#"{"values":["1.1.1.1",7]}"#, "\"/values/1\"", "must be a string"),
            (r#"{"values":[],"limit":3}"#, "\"/limit\"", "unknown field"),
            (r#"{"values":[],"values":[]}"#, "\"/values\"", "duplicate"),
        ] {
            let said = said_of(body);
            assert!(said.contains(pointer) && said.contains(expected), "{body}: {said}");
        }
        assert!(said_of("{").contains("not JSON"));
    }

    #[test]
    fn a_sighting_is_seen_false_positive_or_expired() {
        let sighting = new_sighting(Fields::new(json!({ "kind": "false-positive", "note": "our own scanner" })).unwrap()).unwrap();
        assert!(matches!(sighting.kind, SightingKind::FalsePositive));
        assert!(new_sighting(Fields::new(json!({ "kind": "maybe" })).unwrap()).is_err());
        assert!(new_sighting(Fields::new(json!({ "kind": "seen", "when": 1 })).unwrap()).is_err());
    }
}
