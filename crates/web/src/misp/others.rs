//! The instance and its caller, organisations, sharing groups, tags, warning lists.

use super::events::written;
use super::{Asking, Sent};
use crate::AppState;
use crate::params::At;
use crate::reply::{self, Reply};
use axum::extract::State;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /misp/servers/getVersion`
pub async fn version(State(state): State<AppState>, asking: Asking) -> Reply {
    reply::ok(&state.hub.misp_version(&asking.actor))
}

/// `GET /misp/servers/getPyMISPVersion`
pub async fn pymisp_version(_asking: Asking) -> Reply {
    reply::ok(&json!({ "version": hub::misp::VERSION }))
}

/// `POST /misp/servers/postTest`: what was sent, as an instance that would push tries it.
pub async fn post_test(_asking: Asking, sent: Sent) -> Reply {
    reply::ok(&json!({ "body": sent.value, "headers": { "Accept": reply::JSON, "Content-type": reply::JSON } }))
}

/// `GET /misp/users/view/{user}`
pub async fn user(State(state): State<AppState>, asking: Asking, At(user): At<String>) -> Reply {
    reply::ok(&state.hub.misp_user(&asking.actor, &user)?)
}

/// `GET /misp/organisations/index`
pub async fn organisations(State(state): State<AppState>, asking: Asking) -> Reply {
    reply::ok(&state.hub.misp_organisations(&asking.actor, asking.text("searchall"))?)
}

/// `GET /misp/organisations/view/{organisation}`
pub async fn organisation(State(state): State<AppState>, asking: Asking, At(organisation): At<String>) -> Reply {
    reply::ok(&state.hub.misp_organisation(&asking.actor, &organisation)?)
}

/// `GET /misp/sharing_groups/index`
pub async fn groups(State(state): State<AppState>, asking: Asking) -> Reply {
    reply::ok(&state.hub.misp_groups(&asking.actor))
}

/// `GET /misp/sharing_groups/view/{sharing_group}`
pub async fn group(State(state): State<AppState>, asking: Asking, At(group): At<String>) -> Reply {
    reply::ok(&state.hub.misp_group(&asking.actor, &group)?)
}

/// `GET /misp/tags/index`
pub async fn tags(State(state): State<AppState>, asking: Asking) -> Reply {
    let (filters, hub) = (asking.filters(Value::Null), Arc::clone(&state.hub));
    Ok(written(state.look(async move { hub.misp_tags(&asking.actor, &filters, false, asking.sync).await }).await?))
}

/// `GET /misp/tags/view/{tag}`
pub async fn tag(State(state): State<AppState>, asking: Asking, At(tag): At<String>) -> Reply {
    let hub = Arc::clone(&state.hub);
    reply::ok(&state.look(async move { hub.misp_tag(&asking.actor, &tag, asking.sync).await }).await?)
}

/// `POST /misp/tags/add`
pub async fn add_tag(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    reply::ok(&state.hub.misp_new_tag(&asking.actor, sent.value)?)
}

/// `POST /misp/tags/search`
pub async fn search_tags(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    let (filters, hub) = (asking.filters(sent.filters()), Arc::clone(&state.hub));
    Ok(written(state.look(async move { hub.misp_tags(&asking.actor, &filters, true, asking.sync).await }).await?))
}

/// `POST /misp/warninglists/checkValue`
pub async fn check_warning_lists(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    reply::ok(&state.hub.misp_warning_lists(&asking.actor, &sent.value)?)
}
