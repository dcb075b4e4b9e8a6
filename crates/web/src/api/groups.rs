//! Information-sharing groups: added and changed by the coordinator, shown to their members.

use crate::AppState;
use crate::auth::Caller;
use crate::fields::Fields;
use crate::limits;
use crate::params::At;
use crate::payload::Payload;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use hub::members::{GroupPatch, GroupView, HistoryRow, NewGroup};
use serde::Serialize;

/// `GET /api/v1/groups`
pub async fn list(State(state): State<AppState>, Caller(actor): Caller) -> Reply {
    reply::ok(&Groups { groups: state.hub.members().list_groups(&actor) })
}

/// `POST /api/v1/groups`
pub async fn add(State(state): State<AppState>, Caller(actor): Caller, payload: Payload) -> Reply {
    let mut body = Fields::new(payload.value()?)?;
    let new = NewGroup {
        id: body.text("id", limits::NAME)?,
        title: body.text("title", limits::NAME)?,
        named: body.flag("named")?,
        reason: body.text_or_none("reason", limits::REASON)?.unwrap_or_default(),
    };
    body.finish()?;
    let added = act(async move { state.hub.members().add_group(&actor, new).await }).await?;
    reply::created(&added)
}

/// `GET /api/v1/groups/{group}`
pub async fn show(State(state): State<AppState>, Caller(actor): Caller, At(group): At<String>) -> Reply {
    reply::ok(&state.hub.members().show_group(&actor, &group)?)
}

/// `PATCH /api/v1/groups/{group}`
pub async fn change(State(state): State<AppState>, Caller(actor): Caller, At(group): At<String>, payload: Payload) -> Reply {
    let mut body = Fields::new(payload.value()?)?;
    let version = body.number_or_none("version", u64::from(u32::MAX))?.ok_or_else(|| body.missing("version"))?;
    let reason = body.text_or_none("reason", limits::REASON)?.unwrap_or_default();
    let patch = GroupPatch { title: body.text_or_none("title", limits::NAME)?, named: body.flag_or_none("named")? };
    body.finish()?;
    let changed = act(async move { state.hub.members().change_group(&actor, &group, version, patch, &reason).await }).await?;
    reply::ok(&changed)
}

/// `GET /api/v1/groups/{group}/history`
pub async fn history(State(state): State<AppState>, Caller(actor): Caller, At(group): At<String>) -> Reply {
    reply::ok(&History { history: state.hub.members().group_history(&actor, &group).await? })
}

#[derive(Serialize)]
struct Groups {
    groups: Vec<GroupView>,
}

#[derive(Serialize)]
struct History {
    history: Vec<HistoryRow>,
}
