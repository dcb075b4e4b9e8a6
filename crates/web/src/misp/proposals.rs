//! Proposals, which MISP calls shadow attributes.

use super::events::written;
use super::{Asking, Sent};
use crate::AppState;
use crate::params::At;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use serde_json::json;
use std::sync::Arc;

/// `GET` and `POST /misp/shadow_attributes/index`. An instance that pulls is given none: they are for who contributed the event.
pub async fn list(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    if asking.sync {
        return reply::ok(&json!([]));
    }
    listed(&state, asking, None, sent).await
}

/// `GET /misp/shadow_attributes/index/{event}`
pub async fn list_of(State(state): State<AppState>, asking: Asking, At(event): At<String>, sent: Sent) -> Reply {
    listed(&state, asking, Some(event), sent).await
}

async fn listed(state: &AppState, asking: Asking, event: Option<String>, sent: Sent) -> Reply {
    let (filters, hub) = (asking.filters(sent.filters()), Arc::clone(&state.hub));
    let list = async move { hub.misp_proposals(&asking.actor, event.as_deref(), &filters, asking.sync).await };
    Ok(written(state.look(list).await?))
}

/// `GET /misp/shadow_attributes/view/{proposal}`
pub async fn show(State(state): State<AppState>, asking: Asking, At(proposal): At<String>) -> Reply {
    let hub = Arc::clone(&state.hub);
    reply::ok(&state.look(async move { hub.misp_proposal(&asking.actor, &proposal, asking.sync).await }).await?)
}

/// `POST /misp/shadow_attributes/add/{event}`
pub async fn propose(State(state): State<AppState>, asking: Asking, At(event): At<String>, sent: Sent) -> Reply {
    reply::ok(&act(async move { state.hub.misp_propose(&asking.actor, &event, sent.value).await }).await?)
}

/// `POST /misp/shadow_attributes/edit/{attribute}`
pub async fn propose_change(State(state): State<AppState>, asking: Asking, At(attribute): At<String>, sent: Sent) -> Reply {
    reply::ok(&act(async move { state.hub.misp_propose_change(&asking.actor, &attribute, sent.value).await }).await?)
}

/// `POST /misp/shadow_attributes/delete/{attribute}`
pub async fn propose_deletion(State(state): State<AppState>, asking: Asking, At(attribute): At<String>) -> Reply {
    reply::ok(&act(async move { state.hub.misp_propose_deletion(&asking.actor, &attribute).await }).await?)
}

/// `POST /misp/shadow_attributes/accept/{proposal}`
pub async fn accept(State(state): State<AppState>, asking: Asking, At(proposal): At<String>) -> Reply {
    reply::ok(&act(async move { state.hub.misp_accept(&asking.actor, &proposal).await }).await?)
}

/// `POST /misp/shadow_attributes/discard/{proposal}`
pub async fn discard(State(state): State<AppState>, asking: Asking, At(proposal): At<String>) -> Reply {
    reply::ok(&act(async move { state.hub.misp_discard(&asking.actor, &proposal).await }).await?)
}
