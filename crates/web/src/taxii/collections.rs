//! Discovery, the API root, collections and statuses.

use super::{Asking, MEDIA_TYPE, STIX_MEDIA_TYPES, answer, check_root, find};
use crate::AppState;
use crate::params::At;
use crate::reply::{Reply, encode};
use axum::extract::State;
use axum::http::StatusCode;
use hub::taxii::{Collection, MAX_CONTENT};
use serde_json::{Map, Value, json};

/// `GET /taxii2/`
pub async fn discovery(State(state): State<AppState>, Asking(_): Asking) -> Reply {
    let root = format!("/taxii2/{}/", state.hub.realm());
    let discovery = json!({
        "title": "Bongsu",
        "description": "National hub for sharing cyber threats and responding to them",
        "default": root,
        "api_roots": [root],
    });
    Ok(answer(StatusCode::OK, encode(&discovery)?))
}

/// `GET /taxii2/{root}/`
pub async fn root(State(state): State<AppState>, Asking(_): Asking, At(root): At<String>) -> Reply {
    check_root(&state, &root)?;
    let described = json!({
        "title": format!("Bongsu, realm {root}"),
        "versions": [MEDIA_TYPE],
        "max_content_length": MAX_CONTENT,
    });
    Ok(answer(StatusCode::OK, encode(&described)?))
}

/// `GET /taxii2/{root}/collections/`
pub async fn collections(State(state): State<AppState>, Asking(actor): Asking, At(root): At<String>) -> Reply {
    check_root(&state, &root)?;
    let all: Vec<Value> = state.hub.taxii_collections(&actor).iter().map(described).collect();
    let mut body = Map::new();
    if !all.is_empty() {
        body.insert("collections".to_owned(), Value::Array(all));
    }
    Ok(answer(StatusCode::OK, encode(&body)?))
}

/// `GET /taxii2/{root}/collections/{collection}/`
pub async fn collection(State(state): State<AppState>, Asking(actor): Asking, At((root, name)): At<(String, String)>) -> Reply {
    let collection = find(&state, &actor, &root, &name)?;
    Ok(answer(StatusCode::OK, encode(&described(&collection))?))
}

/// `GET /taxii2/{root}/status/{status}/`
pub async fn status(State(state): State<AppState>, Asking(actor): Asking, At((root, id)): At<(String, String)>) -> Reply {
    check_root(&state, &root)?;
    let status = state.hub.taxii_status(&actor, &id).await?;
    Ok(answer(StatusCode::OK, status.into_bytes()))
}

fn described(collection: &Collection) -> Value {
    // What is made here is all of one version.
    let media_types: &[&str] = if collection.is_made_of_events() { STIX_MEDIA_TYPES.get(..1).unwrap_or_default() } else { &STIX_MEDIA_TYPES };
    json!({
        "id": collection.id.to_string(),
        "title": collection.title,
        "description": collection.description,
        "alias": collection.title,
        "can_read": collection.can_read,
        "can_write": collection.can_write,
        "media_types": media_types,
    })
}
