//! What became of a batch.

use crate::AppState;
use crate::auth::Caller;
use crate::params::{At, id};
use crate::reply::{self, Reply};
use axum::extract::State;
use model::ReceiptId;

/// `GET /api/v1/receipts/{receipt}`
pub async fn show(State(state): State<AppState>, Caller(actor): Caller, At(receipt): At<String>) -> Reply {
    let receipt = id::<ReceiptId>(&receipt)?;
    reply::ok(&state.read(move |hub| hub.receipt(&actor, receipt)).await?)
}
