//! Headers that every answer carries, for browsers that come across it and for caches on the way.

use crate::pages::contact;
use crate::{AppState, auth};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

/// Nothing is loaded but the style sheet of our own pages, and nothing runs.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The same for a page with a form, which leads to this site alone.
const FORM_POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Sets them.
pub async fn set(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let keyed = auth::under_api(request.uri().path());
    let has_form = request.uri().path().starts_with(contact::PREFIX);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in always() {
        headers.insert(name, value);
    }
    if has_form {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(FORM_POLICY));
    }
    if keyed || has_form {
        // What a key sees is for its holder alone, and so is what a link leads to.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if state.tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

fn always() -> [(HeaderName, HeaderValue); 4] {
    [
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY)),
    ]
}
