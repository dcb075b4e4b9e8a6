//! Feeds that the hub collects: the list, one with its runs, a run now, accepting what was held back.

use crate::AppState;
use crate::auth::Caller;
use crate::fields::Fields;
use crate::limits;
use crate::params::At;
use crate::payload::Payload;
use crate::problem::Problem;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use hub::sources::{RunView, SourceView};
use serde::Serialize;

/// `GET /api/v1/sources`
pub async fn list(State(state): State<AppState>, Caller(actor): Caller) -> Reply {
    reply::ok(&Sources { sources: state.hub.list_sources(&actor).await? })
}

/// `GET /api/v1/sources/{name}`
pub async fn show(State(state): State<AppState>, Caller(actor): Caller, At(name): At<String>) -> Reply {
    reply::ok(&state.hub.show_source(&actor, &name).await?)
}

/// `POST /api/v1/sources/{name}/run`
pub async fn run(State(state): State<AppState>, Caller(actor): Caller, At(name): At<String>, payload: Payload) -> Reply {
    let mut body = Fields::new(payload.value_or_empty()?)?;
    let dry_run = body.flag("dry_run")?;
    body.finish()?;
    wait(Box::pin(act(async move { state.hub.run_source(&actor, &name, dry_run).await }))).await
}

/// `POST /api/v1/sources/{name}/accept`
pub async fn accept(State(state): State<AppState>, Caller(actor): Caller, At(name): At<String>, payload: Payload) -> Reply {
    let mut fields = Fields::new(payload.value_or_empty()?)?;
    let entries = fields.number_or_none("entries", u64::MAX)?;
    fields.finish()?;
    wait(Box::pin(act(async move { state.hub.accept_source(&actor, &name, entries).await }))).await
}

/// The end of a run, or that it goes on.
async fn wait(work: impl Future<Output = Result<RunView, Problem>>) -> Reply {
    match tokio::time::timeout(limits::SOURCE_RUN, work).await {
        Ok(run) => reply::ok(&Run { finished: true, run: Some(run?) }),
        Err(_) => reply::ok(&Run { finished: false, run: None }),
    }
}

#[derive(Serialize)]
struct Sources {
    sources: Vec<SourceView>,
}

#[derive(Serialize)]
struct Run {
    finished: bool,
    run: Option<RunView>,
}
