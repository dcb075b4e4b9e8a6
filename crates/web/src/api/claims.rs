//! Claims that a value is a false positive, waiting for an analyst.

use crate::AppState;
use crate::auth::Caller;
use crate::fields::Fields;
use crate::limits;
use crate::params::{At, Params, id};
use crate::payload::Payload;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use hub::members::ClaimView;
use model::ids::ClaimId;
use serde::Serialize;

/// `GET /api/v1/claims`
pub async fn list(State(state): State<AppState>, Caller(actor): Caller, params: Params) -> Reply {
    let (limit, cursor) = (params.limit()?, params.cursor()?);
    let (claims, cursor) = state.hub.members().claims(&actor, limit, cursor.as_deref()).await?;
    reply::ok(&Page { claims, cursor })
}

/// `POST /api/v1/claims/{claim}/steps`
pub async fn step(State(state): State<AppState>, Caller(actor): Caller, At(claim): At<String>, payload: Payload) -> Reply {
    let claim = id::<ClaimId>(&claim)?;
    let mut body = Fields::new(payload.value()?)?;
    let upheld = body.word("step", "step", |word| match word {
        "uphold" => Some(true),
        "reject" => Some(false),
        _ => None,
    })?;
    let reason = body.text("reason", limits::REASON)?;
    body.finish()?;
    let decided = act(async move { state.hub.decide_claim(&actor, claim, upheld, &reason).await }).await?;
    reply::ok(&decided)
}

#[derive(Serialize)]
struct Page {
    claims: Vec<ClaimView>,
    cursor: Option<String>,
}
