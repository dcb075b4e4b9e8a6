//! One span, one line of log and one count per request.
//!
//! Invariant: only the method, the route's pattern, the status and the time are written down; never a query, a value or a body.

use crate::AppState;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use std::time::Instant;
use tracing::Instrument;

const REQUEST_ID: &str = "x-request-id";
/// Stands for every path that is no route, so that callers cannot make new series.
const NO_ROUTE: &str = "none";

/// Watches one request from its head to the head of its answer.
pub async fn watch(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_word(request.method());
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let id = state.hub.clock().uuid().as_simple().to_string();
    let span = tracing::info_span!("request", method, path, id = id.as_str());

    let mut response = next.run(request).instrument(span.clone()).await;

    let status = response.status();
    let seconds = started.elapsed().as_secs_f64();
    span.in_scope(|| tracing::debug!(status = status.as_u16(), seconds, "answered"));
    crate::metrics::count(method, path, status, seconds);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
