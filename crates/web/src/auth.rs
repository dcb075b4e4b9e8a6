//! Who calls: a key and the caller's address become an [`Actor`].
//!
//! Flow: [`gate`] stands before every path under `/api`, `/taxii2` and `/misp`, known or not, and leaves the actor with the request; handlers take it out
//! with [`Caller`].
//! Invariant: without a valid key nothing under `/api` is told from nothing, but for the description of the interface, which the front page names: of
//! it a browser is told how to get in, and there alone a browser's password is taken, for a browser also sends it where another site's page wants.
//! Not here: what a role may do (`hub`, `policy`), how keys are kept and compared (`hub::directory`).

use crate::AppState;
use crate::misp::{self, under_misp};
use crate::pages;
use crate::pages::browser::wants_page;
use crate::problem::Problem;
use crate::taxii::{self, under_taxii};
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::header::{ALLOW, AUTHORIZATION};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hub::Actor;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";
/// How a key is expected where it is given as a bearer's alone.
pub const BEARER: &str = "Authorization: Bearer KEY";
/// The same where devices and browsers give it, too.
pub const BEARER_OR_PASSWORD: &str = "Authorization: Bearer KEY, or HTTP Basic with the key as the password";
/// The same where MISP's clients give it.
const ALONE_OR_BEARER: &str = "Authorization: KEY, or Authorization: Bearer KEY";
/// What people read in a browser: the description of the interface, as a page and as a document.
const DESCRIPTION: [&str; 2] = ["/api/docs", "/api/openapi.json"];

/// The authenticated caller of a request under `/api`.
pub struct Caller(pub Actor);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.remove::<Actor>().map(Self).ok_or_else(Problem::unauthenticated)
    }
}

/// Lets nothing of the keyed part pass without a valid key. TAXII's clients, and browsers that want the description, also give it as the password
/// of Basic authentication, MISP's alone.
pub async fn gate(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if under_api(path) {
        let is_description = is_description(path);
        let (otherwise, expected) = if takes_password(path) {
            (given(request.headers()).and_then(taxii::basic::password), BEARER_OR_PASSWORD)
        } else if under_misp(path) {
            (misp::key(request.headers()), ALONE_OR_BEARER)
        } else {
            (None, BEARER)
        };
        let found = match otherwise {
            Some(secret) => holder(&state, &secret, request.headers(), request.extensions()),
            None => authenticate(&state, request.headers(), request.extensions(), expected),
        };
        match found {
            Ok(actor) => {
                request.extensions_mut().insert(actor);
            }
            Err(_) if is_description && wants_page(request.headers()) => return pages::locked::answer(request.headers()),
            Err(problem) => return problem.into_response(),
        }
    }
    next.run(request).await
}

/// Whether a path of the keyed part also takes the key as the password of Basic authentication.
pub fn takes_password(path: &str) -> bool {
    under_taxii(path) || is_description(path)
}

/// Whether a path is the description of the interface.
pub fn is_description(path: &str) -> bool {
    DESCRIPTION.contains(&path)
}

/// Takes the allowed methods out of an answer to an unknown caller: they would tell a path that is there from one that is not.
pub async fn hide_methods(mut response: Response) -> Response {
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().remove(ALLOW);
    }
    response
}

/// The holder of the request's bearer key; `expected` says how the door takes a key.
///
/// # Errors
/// 401 where the key is missing, given twice or in another way, unknown, expired, revoked or used from outside its allow-list.
pub fn authenticate(state: &AppState, headers: &HeaderMap, extensions: &Extensions, expected: &str) -> Result<Actor, Problem> {
    let secret = bearer(headers).ok_or_else(|| unread(headers, expected))?;
    holder(state, secret, headers, extensions)
}

/// The refusal of a request in which no key could be read. It says how one is expected, and nothing of what was given but whether it was a password.
pub fn unread(headers: &HeaderMap, expected: &str) -> Problem {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let said = match (all.next(), all.next()) {
        (None, _) => format!("a valid key is needed: {expected}"),
        (Some(_), Some(_)) => format!("the header Authorization is given more than once; expected is one: {expected}"),
        (Some(value), None) => {
            let is_password = value.as_bytes().trim_ascii().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic"));
            let hint = if is_password && expected != BEARER_OR_PASSWORD { "; HTTP Basic is taken under /taxii2/ and /feeds/ alone" } else { "" };
            format!("the header Authorization holds no key in the form that is taken here; expected is {expected}{hint}")
        }
    };
    Problem::new(StatusCode::UNAUTHORIZED, said)
}

fn holder(state: &AppState, secret: &str, headers: &HeaderMap, extensions: &Extensions) -> Result<Actor, Problem> {
    state.hub.authenticate(secret, caller_address(state, headers, extensions)).map_err(Problem::from)
}

/// Whether the request comes from this machine itself and was not passed on by a proxy that runs on it.
pub fn from_this_machine(headers: &HeaderMap, extensions: &Extensions) -> bool {
    peer(extensions).is_loopback() && !headers.contains_key(FORWARDED_FOR) && !headers.contains_key(FORWARDED)
}

/// Whether a path belongs to the keyed part of the site.
pub fn under_api(path: &str) -> bool {
    path.strip_prefix("/api").is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) || under_taxii(path) || under_misp(path)
}

/// The one `Authorization` header.
fn given(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    value.to_str().ok()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = given(headers)?.trim().split_once(' ')?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some(secret)
}

/// The nearest address that is not a trusted proxy's.
fn caller_address(state: &AppState, headers: &HeaderMap, extensions: &Extensions) -> IpAddr {
    nearest_untrusted(peer(extensions), headers, |address| state.trusts(address))
}

fn nearest_untrusted(peer: IpAddr, headers: &HeaderMap, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut nearest = peer;
    let named: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).collect();
    for text in named.into_iter().rev() {
        if !trusted(nearest) {
            break;
        }
        let Ok(address) = text.trim().parse::<IpAddr>() else { break };
        nearest = address.to_canonical();
    }
    nearest
}

/// The other end of the connection. Without one (a test without a socket) it is the unspecified address, which nothing trusts.
fn peer(extensions: &Extensions) -> IpAddr {
    extensions.get::<ConnectInfo<SocketAddr>>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip().to_canonical())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for &(name, value) in pairs {
            map.append(name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn a_key_is_read_from_one_bearer_header_and_from_nothing_else() {
        assert_eq!(bearer(&headers(&[("authorization", "Bearer abc")])), Some("abc"));
        assert_eq!(bearer(&headers(&[("authorization", "bearer  abc ")])), Some("abc"));
        assert_eq!(bearer(&headers(&[("authorization", "Basic abc")])), None);
        assert_eq!(bearer(&headers(&[("authorization", "Bearer ")])), None);
        assert_eq!(bearer(&headers(&[("authorization", "Bearer a"), ("authorization", "Bearer b")])), None);
        assert_eq!(bearer(&headers(&[])), None);
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_about_the_callers_address() {
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        let forwarded = headers(&[("x-forwarded-for", "6.6.6.6, 198.51.100.7")]);
        assert_eq!(nearest_untrusted(proxy, &forwarded, |address| address == proxy), "198.51.100.7".parse::<IpAddr>().unwrap());
        assert_eq!(nearest_untrusted(proxy, &forwarded, |_| false), proxy);
        assert_eq!(nearest_untrusted(proxy, &headers(&[("x-forwarded-for", "unknown")]), |_| true), proxy);
    }

    #[test]
    fn the_description_is_a_page_and_a_document_and_nothing_beside_them() {
        assert!(is_description("/api/docs") && !is_description("/api/docs/") && !is_description("/api/v1/status"));
    }

    #[test]
    fn who_gives_a_key_in_another_way_is_told_how_it_is_taken() {
        let told = |pairs: &[(&'static str, &'static str)], expected: &str| {
            let problem = unread(&headers(pairs), expected);
            assert_eq!(problem.status(), StatusCode::UNAUTHORIZED);
            problem.detail().to_owned()
        };
        assert_eq!(told(&[], BEARER), "a valid key is needed: Authorization: Bearer KEY");
        let basic = told(&[("authorization", "basic OmJnc183")], BEARER);
        assert!(basic.contains("Bearer KEY; HTTP Basic is taken under /taxii2/ and /feeds/ alone") && !basic.contains("OmJnc183"), "{basic}");
        assert!(told(&[("authorization", "Basic x")], BEARER_OR_PASSWORD).ends_with("the key as the password"));
        assert!(told(&[("authorization", "Bearer a"), ("authorization", "Bearer b")], BEARER).contains("more than once"));
        assert!(takes_password("/taxii2/") && takes_password("/api/docs") && !takes_password("/api/v1/me") && !takes_password("/misp/events/index"));
    }

    #[test]
    fn every_path_under_api_is_behind_the_gate() {
        assert!(under_api("/api") && under_api("/api/") && under_api("/api/v1/nowhere"));
        assert!(under_api("/taxii2") && under_api("/taxii2/main/collections"));
        assert!(under_api("/misp") && under_api("/misp/events/add") && !under_api("/feeds/misp/manifest.json"));
        assert!(!under_api("/") && !under_api("/apiary") && !under_api("/healthz"));
    }
}
