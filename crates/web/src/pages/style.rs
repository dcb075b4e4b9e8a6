//! The style sheet of our pages.

use crate::reply;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

const CSS: &str = include_str!("bongsu.css");

/// `GET /assets/bongsu.css`
pub async fn sheet() -> Response {
    let mut response = reply::typed(StatusCode::OK, "text/css; charset=utf-8", CSS.as_bytes().to_vec());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}
