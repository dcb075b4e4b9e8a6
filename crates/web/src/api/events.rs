//! Events out, and taken back.

use crate::AppState;
use crate::auth::Caller;
use crate::fields::Fields;
use crate::limits;
use crate::params::{At, FilterText, Params, seq};
use crate::payload::Payload;
use crate::problem::Problem;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use axum::http::StatusCode;
use hub::sharing::Withdrawal;
use model::{Filter, ReceiptId, Seq, Timestamp};

/// `GET /api/v1/events`
pub async fn search(State(state): State<AppState>, Caller(actor): Caller, params: Params) -> Reply {
    let (filter, mine) = (params.filter()?, params.flag("mine")?);
    let (limit, cursor) = (params.limit()?, params.cursor()?);
    let body = state.read(move |hub| reply::events(&hub.search(&actor, &filter, mine, limit, cursor.as_deref())?)).await?;
    Ok(reply::json(StatusCode::OK, body))
}

/// `GET /api/v1/events/{seq}`
pub async fn show(State(state): State<AppState>, Caller(actor): Caller, At(number): At<String>) -> Reply {
    let seq = seq(&number).ok_or_else(Problem::not_found)?;
    let body = state.read(move |hub| hub.event(&actor, seq)).await?;
    Ok(reply::json(StatusCode::OK, body))
}

/// `GET /api/v1/events/{seq}/history`
pub async fn history(State(state): State<AppState>, Caller(actor): Caller, At(number): At<String>) -> Reply {
    let seq = seq(&number).ok_or_else(Problem::not_found)?;
    let answer = state.read(move |hub| hub.event_history(&actor, seq)).await?;
    reply::ok(&answer)
}

/// `POST /api/v1/events/withdraw`
pub async fn withdraw(State(state): State<AppState>, Caller(actor): Caller, payload: Payload) -> Reply {
    let mut body = Fields::new(payload.value()?)?;
    let what = withdrawal(&mut body)?;
    let reason = body.text("reason", limits::REASON)?;
    let dry_run = body.flag("dry_run")?;
    body.finish()?;
    let answer = act(async move { state.hub.withdraw(&actor, what, &reason, dry_run).await }).await?;
    reply::ok(&answer)
}

/// What is to be withdrawn: exactly one of an event, a batch and everything that meets a filter.
fn withdrawal(body: &mut Fields) -> Result<Withdrawal, Problem> {
    let seq = body.number_or_none("seq", Seq::LIMIT - 1)?.map(|number| Withdrawal::Seq(Seq(number)));
    let receipt = match body.text_or_none("receipt", limits::NAME)? {
        None => None,
        Some(text) => Some(Withdrawal::Receipt(text.parse::<ReceiptId>().map_err(|error| body.wrong("receipt", &error.to_string()))?)),
    };
    let filter = match body.object("filter")? {
        None => None,
        Some(fields) => Some(Withdrawal::Filter(filter(fields)?)),
    };
    match (seq, receipt, filter) {
        (Some(what), None, None) | (None, Some(what), None) | (None, None, Some(what)) => Ok(what),
        (_, _, _) => Err(Problem::field("", "exactly one of seq, receipt and filter is taken")),
    }
}

/// The filter of a withdrawal. One without a condition would take back everything, so it is refused.
fn filter(fields: Fields) -> Result<Filter, Problem> {
    let filter = filter_fields(fields)?;
    if filter.is_empty() {
        return Err(Problem::field("/filter", "must hold at least one condition"));
    }
    Ok(filter)
}

/// A filter in a body: the words of a search.
pub(super) fn filter_fields(mut fields: Fields) -> Result<Filter, Problem> {
    let text = FilterText {
        since: fields.time_or_none("since")?.map(Timestamp::to_micro_string),
        until: fields.time_or_none("until")?.map(Timestamp::to_micro_string),
        category: fields.texts("category", limits::LIST, limits::NAME)?,
        kind: fields.texts("type", limits::LIST, limits::NAME)?,
        sector: fields.texts("sector", limits::LIST, limits::NAME)?,
        within: fields.text_or_none("within", limits::NAME)?,
        domain: fields.text_or_none("domain", limits::VALUE)?,
        malware: fields.text_or_none("malware", limits::NAME)?,
        value: fields.text_or_none("value", limits::VALUE)?,
    };
    let filter = text.parse().map_err(|(name, reason)| fields.wrong(name, &reason))?;
    fields.finish()?;
    Ok(filter)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn what(body: Value) -> Result<Withdrawal, Problem> {
        withdrawal(&mut Fields::new(body).unwrap())
    }

    #[test]
    fn exactly_one_thing_is_withdrawn() {
        assert!(matches!(what(json!({ "seq": 65_536 })), Ok(Withdrawal::Seq(Seq(65_536)))));
        assert!(what(json!({})).is_err());
        assert!(what(json!({ "seq": 1, "filter": { "malware": "x" } })).is_err());
        assert!(what(json!({ "receipt": "org_1" })).is_err());
    }

    #[test]
    fn a_filter_without_a_condition_withdraws_nothing() {
        assert!(what(json!({ "filter": {} })).is_err());
        assert!(what(json!({ "filter": { "category": [] } })).is_err());
        assert!(matches!(what(json!({ "filter": { "category": ["phishing"], "since": "2026-01-01" } })), Ok(Withdrawal::Filter(_))));
        assert!(what(json!({ "filter": { "categroy": ["phishing"] } })).is_err());
        assert!(matches!(what(json!({ "filter": { "value": "evil.example" } })), Ok(Withdrawal::Filter(_))));
    }
}
