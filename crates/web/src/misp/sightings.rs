//! Sightings of contributed attributes.

use super::events::written;
use super::{Asking, Sent};
use crate::AppState;
use crate::params::At;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use std::sync::Arc;

/// `POST /misp/sightings/add`
pub async fn add(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    reply::ok(&act(async move { state.hub.misp_sight_part(&asking.actor, None, sent.value).await }).await?)
}

/// `POST /misp/sightings/add/{attribute}`
pub async fn add_to(State(state): State<AppState>, asking: Asking, At(attribute): At<String>, sent: Sent) -> Reply {
    reply::ok(&act(async move { state.hub.misp_sight_part(&asking.actor, Some(&attribute), sent.value).await }).await?)
}

/// `POST /misp/sightings/delete/{sighting}`
pub async fn delete(State(state): State<AppState>, asking: Asking, At(sighting): At<String>) -> Reply {
    reply::ok(&act(async move { state.hub.misp_delete_sighting(&asking.actor, &sighting).await }).await?)
}

/// `POST /misp/sightings/bulkSaveSightings/{event}`
pub async fn take(State(state): State<AppState>, asking: Asking, At(event): At<String>, sent: Sent) -> Reply {
    reply::ok(&act(async move { state.hub.misp_take_sightings(&asking.actor, &event, sent.value).await }).await?)
}

/// `POST /misp/sightings/filterSightingUuidsForPush/{event}`
pub async fn wanted(State(state): State<AppState>, asking: Asking, At(event): At<String>, sent: Sent) -> Reply {
    let hub = Arc::clone(&state.hub);
    reply::ok(&state.look(async move { hub.misp_wanted_sightings(&asking.actor, &event, &sent.value).await }).await?)
}

/// `POST /misp/sightings/listSightings`, `POST /misp/sightings/index`
pub async fn list(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    listed(&state, asking, sent, None, false).await
}

/// `POST /misp/sightings/restSearch`
pub async fn search(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    listed(&state, asking, sent, None, true).await
}

/// `POST /misp/sightings/restSearch/{context}`
pub async fn search_of(State(state): State<AppState>, asking: Asking, At(context): At<String>, sent: Sent) -> Reply {
    listed(&state, asking, sent, Some(context), true).await
}

async fn listed(state: &AppState, asking: Asking, sent: Sent, context: Option<String>, wrapped: bool) -> Reply {
    let (filters, hub) = (asking.filters(sent.filters()), Arc::clone(&state.hub));
    let list = async move { hub.misp_list_sightings(&asking.actor, &filters, context.as_deref(), wrapped, asking.sync).await };
    Ok(written(state.look(list).await?))
}
