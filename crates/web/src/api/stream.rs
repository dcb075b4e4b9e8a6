//! The live stream: where it starts and what it holds.

use crate::auth::Caller;
use crate::params::{Params, seq};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::{AppState, stream};
use axum::extract::State;
use axum::http::HeaderMap;
use model::Seq;

const LAST_EVENT_ID: &str = "last-event-id";

/// `GET /api/v1/stream`
pub async fn follow(State(state): State<AppState>, Caller(actor): Caller, params: Params, headers: HeaderMap) -> Reply {
    let from = start(&params, &headers)?;
    let subscription = state.hub.subscribe(&actor, params.filter()?, from)?;
    Ok(stream::response(subscription))
}

/// The first sequence number wanted. A reader that comes back says what it had last, and that wins over the address it called at first.
fn start(params: &Params, headers: &HeaderMap) -> Result<Option<Seq>, Problem> {
    let from = params.parsed("from", "a sequence number", seq)?;
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(from) };
    let last = value.to_str().ok().and_then(seq).ok_or_else(|| Problem::parameter("Last-Event-ID", "must be a sequence number"))?;
    Ok(Some(last.next()))
}
