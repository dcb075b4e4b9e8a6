//! The inbox of the caller's organisation.

use crate::AppState;
use crate::auth::Caller;
use crate::params::{At, Params};
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use hub::delivery::InboxMessage;
use serde::Serialize;

/// `GET /api/v1/inbox`
pub async fn list(State(state): State<AppState>, Caller(actor): Caller, params: Params) -> Reply {
    let (unread, limit, cursor) = (params.flag("unread")?, params.limit()?, params.cursor()?);
    let (messages, cursor) = state.hub.inbox(&actor, unread, limit, cursor.as_deref()).await?;
    reply::ok(&Page { messages, cursor })
}

/// `POST /api/v1/inbox/{message}/read`
pub async fn read(State(state): State<AppState>, Caller(actor): Caller, At(message): At<String>) -> Reply {
    reply::ok(&act(async move { state.hub.read_inbox(&actor, &message).await }).await?)
}

#[derive(Serialize)]
struct Page {
    messages: Vec<InboxMessage>,
    cursor: Option<String>,
}
