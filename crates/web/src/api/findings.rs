//! Findings for the owners of networks.

use crate::AppState;
use crate::auth::Caller;
use crate::fields::Fields;
use crate::limits;
use crate::params::{At, Params, id, one_of};
use crate::payload::Payload;
use crate::problem::Problem;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use axum::http::StatusCode;
use hub::members::HistoryRow;
use hub::owners::{FindingFilter, FindingView, NewStep};
use model::ids::FindingId;
use model::{Category, FindingState, FindingStep, OrgId, Timestamp};
use serde::Serialize;

/// The media type of the table.
pub const CSV: &str = "text/csv; charset=utf-8";

/// `GET /api/v1/findings`
pub async fn list(State(state): State<AppState>, Caller(actor): Caller, params: Params) -> Reply {
    let (filter, limit, cursor) = (filter(&params)?, params.limit()?, params.cursor()?);
    let (findings, cursor) = state.read(move |hub| hub.findings(&actor, &filter, limit, cursor.as_deref())).await?;
    reply::ok(&Page { findings, cursor })
}

/// `GET /api/v1/findings.csv`
pub async fn table(State(state): State<AppState>, Caller(actor): Caller, params: Params) -> Reply {
    let filter = filter(&params)?;
    let table = state.read(move |hub| hub.findings_csv(&actor, &filter)).await?;
    Ok(reply::typed(StatusCode::OK, CSV, table))
}

/// `GET /api/v1/findings/summary`
pub async fn summary(State(state): State<AppState>, Caller(actor): Caller) -> Reply {
    reply::ok(&state.read(move |hub| hub.finding_summary(&actor)).await?)
}

/// `GET /api/v1/findings/{finding}`
pub async fn show(State(state): State<AppState>, Caller(actor): Caller, At(finding): At<String>) -> Reply {
    let finding = id::<FindingId>(&finding)?;
    reply::ok(&state.read(move |hub| hub.finding(&actor, finding)).await?)
}

/// `POST /api/v1/findings/{finding}/steps`
pub async fn step(State(state): State<AppState>, Caller(actor): Caller, At(finding): At<String>, payload: Payload) -> Reply {
    let finding = id::<FindingId>(&finding)?;
    let mut body = Fields::new(payload.value()?)?;
    let new = NewStep {
        step: body.word("step", "step", FindingStep::parse)?,
        reason: body.text_or_none("reason", limits::REASON)?.unwrap_or_default(),
        version: body.number_or_none("version", u64::MAX)?,
        until: body.time_or_none("until")?,
    };
    body.finish()?;
    reply::ok(&act(async move { state.hub.step_finding(&actor, finding, new).await }).await?)
}

/// `GET /api/v1/findings/{finding}/history`
pub async fn history(State(state): State<AppState>, Caller(actor): Caller, At(finding): At<String>) -> Reply {
    let finding = id::<FindingId>(&finding)?;
    reply::ok(&History { history: state.hub.finding_history(&actor, finding).await? })
}

#[derive(Serialize)]
struct Page {
    findings: Vec<FindingView>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct History {
    history: Vec<HistoryRow>,
}

fn filter(params: &Params) -> Result<FindingFilter, Problem> {
    let state =
        |word: &String| FindingState::parse(word).ok_or_else(|| Problem::parameter("state", one_of("unknown state", FindingState::ALL, FindingState::as_str)));
    let category =
        |word: &String| Category::parse(word).ok_or_else(|| Problem::parameter("category", one_of("unknown category", Category::ALL, Category::as_str)));
    Ok(FindingFilter {
        states: params.words("state")?.iter().map(state).collect::<Result<_, _>>()?,
        categories: params.words("category")?.iter().map(category).collect::<Result<_, _>>()?,
        since: params.parsed("since", "a time", |text| Timestamp::parse(text).ok())?,
        owner: params.parsed("owner", "an organisation's id", |text| text.parse::<OrgId>().ok())?,
    })
}
