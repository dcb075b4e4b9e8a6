//! Attributes, objects and tags of events.

use super::events::{changed, looked, searched, written};
use super::{Asking, Sent};
use crate::AppState;
use crate::params::At;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use hub::misp::Scope;
use serde_json::{Map, Value};
use std::sync::Arc;

/// `GET /misp/attributes/index`
pub async fn attributes(State(state): State<AppState>, asking: Asking) -> Reply {
    let (filters, hub) = (asking.filters(Value::Null), Arc::clone(&state.hub));
    Ok(written(state.look(async move { hub.misp_attributes(&asking.actor, &filters, asking.sync).await }).await?))
}

/// `GET /misp/attributes/view/{attribute}`
pub async fn attribute(State(state): State<AppState>, asking: Asking, At(attribute): At<String>) -> Reply {
    let hub = Arc::clone(&state.hub);
    looked(&state, asking.actor.clone(), async move { hub.misp_attribute(&asking.actor, &attribute, asking.sync).await }).await
}

/// `POST /misp/attributes/add/{event}`
pub async fn add_attributes(State(state): State<AppState>, asking: Asking, At(event): At<String>, sent: Sent) -> Reply {
    let again = asking.text("breakOnDuplicate").is_some_and(|value| value == "0");
    let (hub, actor) = (Arc::clone(&state.hub), asking.actor.clone());
    changed(hub, actor, async move { state.hub.misp_add_attributes(&asking.actor, &event, sent.value, again).await }).await
}

/// `POST /misp/attributes/edit/{attribute}`
pub async fn edit_attribute(State(state): State<AppState>, asking: Asking, At(attribute): At<String>, sent: Sent) -> Reply {
    let (hub, actor) = (Arc::clone(&state.hub), asking.actor.clone());
    changed(hub, actor, async move { state.hub.misp_edit_attribute(&asking.actor, &attribute, sent.value).await }).await
}

/// `POST /misp/attributes/delete/{attribute}`
pub async fn delete_attribute(State(state): State<AppState>, asking: Asking, At(attribute): At<String>, sent: Sent) -> Reply {
    let hard = is_hard(&asking.filters(sent.value));
    reply::ok(&act(async move { state.hub.misp_delete_attribute(&asking.actor, &attribute, hard).await }).await?)
}

/// `POST /misp/attributes/restore/{attribute}`
pub async fn restore_attribute(State(state): State<AppState>, asking: Asking, At(attribute): At<String>) -> Reply {
    let (hub, actor) = (Arc::clone(&state.hub), asking.actor.clone());
    changed(hub, actor, async move { state.hub.misp_restore_attribute(&asking.actor, &attribute).await }).await
}

/// `GET` and `POST /misp/attributes/restSearch`
pub async fn search_attributes(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    let filters = asking.filters(sent.filters());
    searched(&state, asking, Scope::Attributes, filters).await
}

/// `GET /misp/attributes/describeTypes`
pub async fn describe_types(_asking: Asking) -> Reply {
    reply::ok(&formats::misp::describe::describe())
}

/// `GET /misp/objects/view/{misp_object}`
pub async fn object(State(state): State<AppState>, asking: Asking, At(object): At<String>) -> Reply {
    let hub = Arc::clone(&state.hub);
    looked(&state, asking.actor.clone(), async move { hub.misp_object(&asking.actor, &object, asking.sync).await }).await
}

/// `POST /misp/objects/add/{event}`
pub async fn add_object(State(state): State<AppState>, asking: Asking, At(event): At<String>, sent: Sent) -> Reply {
    let unique = asking.is("breakOnDuplicate");
    let (hub, actor) = (Arc::clone(&state.hub), asking.actor.clone());
    changed(hub, actor, async move { state.hub.misp_add_object(&asking.actor, &event, sent.value, unique).await }).await
}

/// `POST /misp/objects/edit/{misp_object}`
pub async fn edit_object(State(state): State<AppState>, asking: Asking, At(object): At<String>, sent: Sent) -> Reply {
    let (hub, actor) = (Arc::clone(&state.hub), asking.actor.clone());
    changed(hub, actor, async move { state.hub.misp_edit_object(&asking.actor, &object, sent.value).await }).await
}

/// `POST /misp/objects/delete/{misp_object}`
pub async fn delete_object(State(state): State<AppState>, asking: Asking, At(object): At<String>, sent: Sent) -> Reply {
    let hard = is_hard(&asking.filters(sent.value));
    reply::ok(&act(async move { state.hub.misp_delete_object(&asking.actor, &object, hard).await }).await?)
}

/// `POST /misp/objects/restSearch`
pub async fn search_objects(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    let filters = asking.filters(sent.filters());
    searched(&state, asking, Scope::Objects, filters).await
}

/// `POST /misp/tags/attachTagToObject`
pub async fn attach_tag(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    reply::ok(&act(async move { state.hub.misp_tag_part(&asking.actor, &sent.value, true).await }).await?)
}

/// `POST /misp/tags/removeTagFromObject`
pub async fn remove_tag(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    reply::ok(&act(async move { state.hub.misp_tag_part(&asking.actor, &sent.value, false).await }).await?)
}

/// Whether what is deleted is to be gone for good.
pub(super) fn is_hard(options: &Map<String, Value>) -> bool {
    match options.get("hard") {
        Some(Value::Bool(hard)) => *hard,
        Some(Value::Number(number)) => number.as_i64() == Some(1),
        Some(Value::String(text)) => text == "1" || text.eq_ignore_ascii_case("true"),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => false,
    }
}
