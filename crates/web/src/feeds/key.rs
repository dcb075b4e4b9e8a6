//! The key of a caller who may have none.
//!
//! Firewalls fetch lists by URL with a name and a password at the most, so that `Basic` with the key as password is taken as well.
//! Invariant: a key that is given is right or the answer is 401; it is never passed over.

use crate::problem::Problem;
use crate::taxii::basic;
use crate::{AppState, auth};
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use hub::Actor;

/// The holder of the request's key, where it has one.
pub struct Holder(pub Option<Actor>);

impl FromRequestParts<AppState> for Holder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Ok(Self(None));
        }
        let as_bearer = as_bearer(&parts.headers);
        let headers = as_bearer.as_ref().unwrap_or(&parts.headers);
        auth::authenticate(state, headers, &parts.extensions, auth::BEARER_OR_PASSWORD).map(|actor| Self(Some(actor)))
    }
}

/// The same headers with a `Bearer` key in the place of a `Basic` password; `None` where there is no such.
fn as_bearer(headers: &HeaderMap) -> Option<HeaderMap> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let password = basic::password(value.to_str().ok()?)?;
    let mut headers = headers.clone();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {password}")).ok()?);
    Some(headers)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_as_the_key_and_nothing_else_is() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            as_bearer(&headers).map(|headers| headers[AUTHORIZATION].to_str().unwrap().to_owned())
        };
        assert_eq!(read(&["Basic ZmlyZXdhbGw6YmdzXzc="]).as_deref(), Some("Bearer bgs_7"));
        assert_eq!(read(&["basic OmJnc183"]).as_deref(), Some("Bearer bgs_7"), "the name may be empty");
        assert_eq!(read(&["Bearer bgs_7"]), None);
        assert_eq!(read(&["Basic OmJnc183", "Basic OmJnc183"]), None);
    }
}
