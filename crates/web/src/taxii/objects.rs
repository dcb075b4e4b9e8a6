//! Objects of a collection: lists, manifests, one object, its versions; adding and deleting.
//!
//! Flow: query → [`page`] of `hub::taxii` → JSON put together from the objects' own, without parsing them again.

use super::query::{Asked, Fields};
use super::{Asking, answer, dated, find, negotiate};
use crate::api::submissions::drain;
use crate::params::At;
use crate::problem::Problem;
use crate::reply::{Reply, encode};
use crate::state::act;
use crate::{AppState, limits};
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use hub::taxii::{Collection, Filter, Item, MAX_CONTENT, Page, Versions};
use hub::{Actor, HubError};
use model::Timestamp;
use serde_json::{Map, Value, json};
use tokio_stream::StreamExt;

/// `GET /taxii2/{root}/collections/{collection}/objects/`
pub async fn list(State(state): State<AppState>, Asking(actor): Asking, At((root, name)): At<(String, String)>, asked: Asked) -> Reply {
    let collection = find(&state, &actor, &root, &name)?;
    let filter = asked.filter(Fields::Objects)?;
    let (page, next) = page(&state, &actor, &collection, &filter, "objects", &asked).await?;
    envelope(&page, next)
}

/// `GET /taxii2/{root}/collections/{collection}/manifest/`
pub async fn manifest(State(state): State<AppState>, Asking(actor): Asking, At((root, name)): At<(String, String)>, asked: Asked) -> Reply {
    let collection = find(&state, &actor, &root, &name)?;
    let filter = asked.filter(Fields::Objects)?;
    let (page, next) = page(&state, &actor, &collection, &filter, "manifest", &asked).await?;
    let records: Vec<Value> = page.items.iter().map(record).collect();
    resource(&page, "objects", records, next)
}

/// `GET /taxii2/{root}/collections/{collection}/objects/{object}/`
pub async fn show(State(state): State<AppState>, Asking(actor): Asking, At((root, name, id)): At<(String, String, String)>, asked: Asked) -> Reply {
    let collection = find(&state, &actor, &root, &name)?;
    let filter = Filter { ids: vec![id], ..asked.filter(Fields::Object)? };
    let (page, next) = page(&state, &actor, &collection, &filter, "object", &asked).await?;
    known(&state, &actor, &collection, &filter, &page).await?;
    envelope(&page, next)
}

/// `GET /taxii2/{root}/collections/{collection}/objects/{object}/versions/`
pub async fn versions(State(state): State<AppState>, Asking(actor): Asking, At((root, name, id)): At<(String, String, String)>, asked: Asked) -> Reply {
    let collection = find(&state, &actor, &root, &name)?;
    let filter = Filter { ids: vec![id], ..asked.filter(Fields::Versions)? };
    let (page, next) = page(&state, &actor, &collection, &filter, "versions", &asked).await?;
    known(&state, &actor, &collection, &filter, &page).await?;
    let times: Vec<Value> = page.items.iter().map(|item| Value::from(item.version.to_micro_string())).collect();
    resource(&page, "versions", times, next)
}

/// `POST /taxii2/{root}/collections/{collection}/objects/`
pub async fn add(State(state): State<AppState>, Asking(actor): Asking, At((root, name)): At<(String, String)>, headers: HeaderMap, body: Body) -> Reply {
    let collection = find(&state, &actor, &root, &name)?;
    collection.writable()?;
    check_media(&headers)?;
    let stated = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<usize>().ok());
    let mut frames = body.into_data_stream();
    let gathered = tokio::time::timeout(limits::TAXII_BODY_TIME, gather(&state, &mut frames, stated)).await;
    let gathered = gathered.unwrap_or_else(|_| Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long")));
    if gathered.is_err() {
        drain(&mut frames).await;
    }
    let (body, room) = gathered?;
    let status = act(async move {
        let status = state.hub.taxii_add(&actor, &collection, body).await;
        drop(room);
        status
    })
    .await?;
    Ok(answer(StatusCode::ACCEPTED, status.into_bytes()))
}

/// `DELETE /taxii2/{root}/collections/{collection}/objects/{object}/`
pub async fn delete(State(state): State<AppState>, Asking(actor): Asking, At((root, name, id)): At<(String, String, String)>, asked: Asked) -> Reply {
    let collection = find(&state, &actor, &root, &name)?;
    let Filter { versions, specs, .. } = asked.filter(Fields::Deletion)?;
    act(async move { state.hub.taxii_delete(&actor, &collection, &id, &versions, &specs).await }).await?;
    Ok(answer(StatusCode::OK, b"{}".to_vec()))
}

/// A page and the cursor of the one after it.
async fn page(
    state: &AppState,
    actor: &Actor,
    collection: &Collection,
    filter: &Filter,
    listing: &str,
    asked: &Asked,
) -> Result<(Page, Option<String>), Problem> {
    collection.readable()?;
    let limit = asked.limit()?;
    let secret = state.hub.taxii_cursor_secret();
    let after = filter.start(collection, listing, asked.next()?, secret)?;
    let page = read(state, actor, collection, filter, after, limit).await?;
    let next = page.more_after.map(|place| filter.cursor(collection, listing, place, secret));
    Ok((page, next))
}

async fn read(state: &AppState, actor: &Actor, collection: &Collection, filter: &Filter, after: Option<Timestamp>, limit: usize) -> Result<Page, Problem> {
    if collection.is_made_of_events() {
        let reach = state.hub.taxii_reach(actor, collection).await?;
        let (collection, filter) = (collection.clone(), filter.clone());
        return state.read(move |hub| hub.taxii_events(&collection, &filter, &reach, after, limit)).await;
    }
    state.hub.taxii_kept(actor, collection, filter, after, limit).await.map_err(Problem::from)
}

/// Tells an object without what the filter asks for from one that is not there.
async fn known(state: &AppState, actor: &Actor, collection: &Collection, filter: &Filter, page: &Page) -> Result<(), Problem> {
    if !page.items.is_empty() {
        return Ok(());
    }
    let any = Filter { ids: filter.ids.clone(), versions: Versions::All, ..Filter::default() };
    let found = read(state, actor, collection, &any, None, 1).await?;
    if found.items.is_empty() { Err(Problem::not_found()) } else { Ok(()) }
}

/// Source: TAXII 2.1, section 3.7 (envelope).
fn envelope(page: &Page, next: Option<String>) -> Reply {
    let size: usize = page.items.iter().map(|item| item.json.len() + 1).sum();
    let mut body = Vec::with_capacity(size + 128);
    body.push(b'{');
    if !page.items.is_empty() {
        body.extend_from_slice(b"\"objects\":[");
        for (index, item) in page.items.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&item.json);
        }
        body.push(b']');
    }
    if let Some(next) = next {
        if body.len() > 1 {
            body.push(b',');
        }
        body.extend_from_slice(b"\"more\":true,\"next\":");
        body.extend_from_slice(&encode(&next)?);
    }
    body.push(b'}');
    Ok(finished(page, body))
}

/// A manifest or a list of versions.
fn resource(page: &Page, name: &str, entries: Vec<Value>, next: Option<String>) -> Reply {
    let mut body = Map::new();
    if let Some(next) = next {
        body.insert("more".to_owned(), json!(true));
        body.insert("next".to_owned(), json!(next));
    }
    if !entries.is_empty() {
        body.insert(name.to_owned(), Value::Array(entries));
    }
    Ok(finished(page, encode(&body)?))
}

fn finished(page: &Page, body: Vec<u8>) -> Response {
    dated(body, page.items.first().map(|item| item.added), page.items.last().map(|item| item.added))
}

/// Source: TAXII 2.1, section 5.3.1 (manifest record).
fn record(item: &Item) -> Value {
    json!({
        "id": item.id,
        "date_added": item.added.to_micro_string(),
        "version": item.version.to_micro_string(),
        "media_type": format!("application/stix+json;version={}", item.spec),
    })
}

fn check_media(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported = |detail: &str| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(unsupported("bodies are taken as they are, without compression"));
    }
    let stated = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if negotiate::is_envelope(stated) { Ok(()) } else { Err(unsupported("the body must be application/taxii+json;version=2.1 or application/stix+json")) }
}

/// The whole body, with the room it takes.
async fn gather(state: &AppState, frames: &mut BodyDataStream, stated: Option<usize>) -> Result<(Bytes, tokio::sync::OwnedSemaphorePermit), Problem> {
    // Who does not say how much it sends may send all that is allowed.
    let room = state.hub.taxii_room(stated.unwrap_or(MAX_CONTENT)).await?;
    let mut body = Vec::with_capacity(stated.unwrap_or_default());
    loop {
        let frame = match tokio::time::timeout(limits::SUBMISSION_IDLE, frames.next()).await {
            Ok(None) => return Ok((Bytes::from(body), room)),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(Problem::new(StatusCode::BAD_REQUEST, "the body broke off")),
            Err(_) => return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body stood still for too long")),
        };
        if body.len() + frame.len() > MAX_CONTENT {
            return Err(HubError::TooLarge { limit: MAX_CONTENT as u64, unit: "bytes" }.into());
        }
        body.extend_from_slice(&frame);
    }
}
