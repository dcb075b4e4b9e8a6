//! The hub's state, and who the caller is.

use crate::AppState;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::reply::{self, Reply};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hub::HubError;
use model::{KeyId, KeyRole, Organisation};
use serde::Serialize;

const PLAIN: &str = "text/plain; charset=utf-8";

/// `GET /healthz`: the process answers.
pub async fn alive() -> Response {
    reply::typed(StatusCode::OK, PLAIN, b"alive\n".to_vec())
}

/// `GET /readyz`: the views have reached the ledger's end.
pub async fn ready(State(state): State<AppState>) -> Reply {
    if state.hub.ready() {
        return Ok(reply::typed(StatusCode::OK, PLAIN, b"ready\n".to_vec()));
    }
    Err(Problem::from(HubError::Overloaded { retry_after: 1 }))
}

/// `GET /api/v1/status`
pub async fn status(State(state): State<AppState>, Caller(actor): Caller) -> Reply {
    reply::ok(&state.hub.status(&actor))
}

/// `GET /api/v1/me`
pub async fn me(Caller(actor): Caller) -> Reply {
    reply::ok(&Me { organisation: &actor.organisation, key: actor.key, role: actor.role, red: actor.red })
}

/// The caller.
#[derive(Serialize)]
struct Me<'a> {
    organisation: &'a Organisation,
    key: KeyId,
    role: KeyRole,
    red: bool,
}
