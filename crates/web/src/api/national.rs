//! The nation's address space, and who stands for what nobody registered.

use crate::AppState;
use crate::auth::Caller;
use crate::reply::{self, Reply};
use axum::extract::State;

/// `GET /api/v1/national`
pub async fn show(State(state): State<AppState>, Caller(actor): Caller) -> Reply {
    reply::ok(&state.hub.national(&actor)?)
}
