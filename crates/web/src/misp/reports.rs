//! Reports of contributed events, one by one.

use super::events::written;
use super::parts::is_hard;
use super::{Asking, Sent};
use crate::AppState;
use crate::params::At;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use serde_json::Value;
use std::sync::Arc;

/// `GET /misp/event_reports/index`
pub async fn list(State(state): State<AppState>, asking: Asking) -> Reply {
    let (filters, hub) = (asking.filters(Value::Null), Arc::clone(&state.hub));
    Ok(written(state.look(async move { hub.misp_reports(&asking.actor, &filters, asking.sync).await }).await?))
}

/// `GET /misp/event_reports/view/{report}`
pub async fn show(State(state): State<AppState>, asking: Asking, At(report): At<String>) -> Reply {
    let hub = Arc::clone(&state.hub);
    reply::ok(&state.look(async move { hub.misp_report(&asking.actor, &report, asking.sync).await }).await?)
}

/// `POST /misp/event_reports/add/{event}`
pub async fn add(State(state): State<AppState>, asking: Asking, At(event): At<String>, sent: Sent) -> Reply {
    reply::ok(&act(async move { state.hub.misp_add_report(&asking.actor, &event, sent.value).await }).await?)
}

/// `POST /misp/event_reports/edit/{report}`
pub async fn edit(State(state): State<AppState>, asking: Asking, At(report): At<String>, sent: Sent) -> Reply {
    reply::ok(&act(async move { state.hub.misp_edit_report(&asking.actor, &report, sent.value).await }).await?)
}

/// `POST /misp/event_reports/delete/{report}`
pub async fn delete(State(state): State<AppState>, asking: Asking, At(report): At<String>, sent: Sent) -> Reply {
    let hard = is_hard(&asking.filters(sent.value));
    reply::ok(&act(async move { state.hub.misp_delete_report(&asking.actor, &report, hard).await }).await?)
}

/// `POST /misp/event_reports/restore/{report}`
pub async fn restore(State(state): State<AppState>, asking: Asking, At(report): At<String>) -> Reply {
    reply::ok(&act(async move { state.hub.misp_restore_report(&asking.actor, &report).await }).await?)
}
