//! MISP's feed: `/feeds/misp/{file}`.
//!
//! Flow as of products: the caller may have a key → a file that is ready or made now → 304 where the caller has it.
//! Not here: what is in it (`hub::misp`), MISP's interface (`crate::misp`).

use super::key::Holder;
use super::{MAX_AGE, X_ENTRIES, X_TLP, dates, insert, takes_gzip};
use crate::AppState;
use crate::params::{At, Params};
use crate::problem::Problem;
use crate::reply::Reply;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LAST_MODIFIED, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hub::misp::{FeedFile, FeedName};
use model::Tlp;

/// Stands in the description for the media types of [`MEDIA`].
pub const ANY: &str = "misp/feed";
/// Media types of its files.
pub const MEDIA: [&str; 2] = ["application/json", "text/csv; charset=utf-8"];

/// `GET /feeds/misp/{file}`
pub async fn file(State(state): State<AppState>, Holder(actor): Holder, At(name): At<String>, params: Params, headers: HeaderMap) -> Reply {
    let name = FeedName::parse(&name).ok_or_else(Problem::not_found)?;
    let tlp = params.parsed("tlp", "clear, green or amber", Tlp::parse)?;
    let keyed = actor.is_some();
    let asking = actor.clone();
    let file = match state.read(move |hub| hub.misp_feed_kept(asking.as_ref(), name, tlp)).await? {
        Some(file) => file,
        None => state.make(keyed, move |hub| hub.misp_feed_made(actor.as_ref(), name, tlp)).await?,
    };
    Ok(written(&file, &headers, keyed))
}

fn written(file: &FeedFile, headers: &HeaderMap, keyed: bool) -> Response {
    let tag = format!("W/\"{}\"", file.tag);
    let mut tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let mut response = if tags.any(|given| matches!(given.trim(), "*") || given.trim().trim_start_matches("W/") == tag.trim_start_matches("W/")) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if takes_gzip(headers) {
        let encoding = [(CONTENT_TYPE, HeaderValue::from_static(file.media)), (CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        (encoding, Body::from(file.gzip.clone())).into_response()
    } else {
        ([(CONTENT_TYPE, HeaderValue::from_static(file.media))], Body::from(file.plain.clone())).into_response()
    };
    let own = response.headers_mut();
    insert(own, CACHE_CONTROL, &format!("{}, max-age={MAX_AGE}", if keyed { "private" } else { "public" }));
    own.insert(VARY, HeaderValue::from_static("accept-encoding, authorization"));
    own.insert(X_TLP, HeaderValue::from_static(file.tlp.as_str()));
    own.insert(X_ENTRIES, HeaderValue::from(file.entries));
    insert(own, ETAG, &tag);
    insert(own, LAST_MODIFIED, &dates::write(file.modified));
    response
}
