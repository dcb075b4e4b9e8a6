//! Erasures: a value destroyed by two people on a legal basis.

use crate::AppState;
use crate::auth::Caller;
use crate::fields::Fields;
use crate::limits;
use crate::params::{At, Params, id};
use crate::payload::Payload;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use hub::erasures::ErasureView;
use model::ObservableType;
use model::ids::ErasureId;
use serde::Serialize;

/// `GET /api/v1/erasures`
pub async fn list(State(state): State<AppState>, Caller(actor): Caller, params: Params) -> Reply {
    let (limit, cursor) = (params.limit()?, params.cursor()?);
    let (erasures, cursor) = state.hub.erasures(&actor, limit, cursor.as_deref()).await?;
    reply::ok(&Page { erasures, cursor })
}

/// `POST /api/v1/erasures`
pub async fn request(State(state): State<AppState>, Caller(actor): Caller, payload: Payload) -> Reply {
    let mut body = Fields::new(payload.value()?)?;
    let kind = body.word("type", "type", ObservableType::parse)?;
    let value = body.text("value", limits::VALUE)?;
    let basis = body.text("basis", limits::REASON)?;
    body.finish()?;
    let requested = act(async move { state.hub.request_erasure(&actor, kind, &value, &basis).await }).await?;
    reply::created(&requested)
}

/// `GET /api/v1/erasures/{erasure}`
pub async fn show(State(state): State<AppState>, Caller(actor): Caller, At(erasure): At<String>) -> Reply {
    let erasure = id::<ErasureId>(&erasure)?;
    reply::ok(&state.hub.erasure(&actor, erasure).await?)
}

/// `POST /api/v1/erasures/{erasure}/steps`
pub async fn step(State(state): State<AppState>, Caller(actor): Caller, At(erasure): At<String>, payload: Payload) -> Reply {
    let erasure = id::<ErasureId>(&erasure)?;
    let mut body = Fields::new(payload.value()?)?;
    let confirms = body.word("step", "step", |word| match word {
        "confirm" => Some(true),
        "reject" => Some(false),
        _ => None,
    })?;
    let reason = body.text_or_none("reason", limits::REASON)?.unwrap_or_default();
    body.finish()?;
    let work = async move {
        if confirms { state.hub.confirm_erasure(&actor, erasure, &reason).await } else { state.hub.reject_erasure(&actor, erasure, &reason).await }
    };
    reply::ok(&act(work).await?)
}

#[derive(Serialize)]
struct Page {
    erasures: Vec<ErasureView>,
    cursor: Option<String>,
}
