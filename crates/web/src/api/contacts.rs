//! Where organisations are told of abuse, and who is told of what belongs to no member.

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
use hub::members::{ContactState, ContactView};
use hub::owners::abuse::{AbuseContactView, MAX_IMPORT, NewAbuseContact};
use model::OrgId;
use serde::Serialize;
use serde_json::Value;

/// `GET /api/v1/organisations/{id}/contact`
pub async fn show(State(state): State<AppState>, Caller(actor): Caller, At(organisation): At<String>) -> Reply {
    let organisation = id::<OrgId>(&organisation)?;
    reply::ok(&state.hub.members().contact(&actor, organisation).await?)
}

/// `POST /api/v1/organisations/{id}/contact`
pub async fn set(State(state): State<AppState>, Caller(actor): Caller, At(organisation): At<String>, payload: Payload) -> Reply {
    let organisation = id::<OrgId>(&organisation)?;
    let mut body = Fields::new(payload.value()?)?;
    let address = body.text("address", limits::NAME)?;
    body.finish()?;
    reply::ok(&act(async move { state.hub.members().set_contact(&actor, organisation, &address).await }).await?)
}

/// `POST /api/v1/organisations/{id}/contact/verify`
pub async fn verify(State(state): State<AppState>, Caller(actor): Caller, At(organisation): At<String>, payload: Payload) -> Reply {
    let organisation = id::<OrgId>(&organisation)?;
    let mut body = Fields::new(payload.value_or_empty()?)?;
    let token = body.text_or_none("token", limits::NAME)?;
    body.finish()?;
    reply::ok(&act(async move { state.hub.members().verify_contact(&actor, organisation, token.as_deref()).await }).await?)
}

/// `POST /api/v1/organisations/{id}/contact/bounce`
pub async fn bounce(State(state): State<AppState>, Caller(actor): Caller, At(organisation): At<String>, payload: Payload) -> Reply {
    let organisation = id::<OrgId>(&organisation)?;
    let mut body = Fields::new(payload.value()?)?;
    let reason = body.text("reason", limits::REASON)?;
    body.finish()?;
    reply::ok(&act(async move { state.hub.members().note_bounce(&actor, organisation, &reason).await }).await?)
}

/// `GET /api/v1/contacts/queue`
pub async fn queue(State(state): State<AppState>, Caller(actor): Caller, params: Params) -> Reply {
    let state_of =
        |word: &String| ContactState::parse(word).ok_or_else(|| Problem::parameter("state", one_of("unknown state", ContactState::ALL, ContactState::as_str)));
    let states: Vec<ContactState> = params.words("state")?.iter().map(state_of).collect::<Result<_, _>>()?;
    let (contacts, total) = state.hub.members().contact_queue(&actor, &states, params.limit()?).await?;
    reply::ok(&Queue { contacts, total })
}

/// `GET /api/v1/contacts`
pub async fn list(State(state): State<AppState>, Caller(actor): Caller, params: Params) -> Reply {
    let what = format!("a value of up to {} characters", limits::VALUE);
    let value = params.parsed("value", &what, |text| (!text.is_empty() && text.len() <= limits::VALUE).then(|| text.to_owned()))?;
    let (limit, cursor) = (params.limit()?, params.cursor()?);
    let (contacts, cursor) = state.read(move |hub| hub.abuse_contacts(&actor, value.as_deref(), limit, cursor.as_deref())).await?;
    reply::ok(&Page { contacts, cursor })
}

/// `POST /api/v1/contacts`
pub async fn import(State(state): State<AppState>, Caller(actor): Caller, payload: Payload) -> Reply {
    let mut body = Fields::new(payload.value()?)?;
    let source = body.text_or_none("source", limits::NAME)?.unwrap_or_default();
    let rows = match body.take("contacts") {
        Some(Value::Array(rows)) if rows.len() <= MAX_IMPORT => rows,
        Some(Value::Array(_)) => return Err(body.wrong("contacts", &format!("at most {MAX_IMPORT} are taken"))),
        Some(_) => return Err(body.wrong("contacts", "must be an array")),
        None => return Err(body.missing("contacts")),
    };
    body.finish()?;
    let rows = rows.into_iter().zip(0_u64..).map(|(row, index)| new_contact(row, index)).collect::<Result<Vec<_>, _>>()?;
    reply::ok(&act(async move { state.hub.import_abuse_contacts(&actor, rows, &source).await }).await?)
}

fn new_contact(row: Value, index: u64) -> Result<NewAbuseContact, Problem> {
    let wrong = |_| Problem::field(&format!("/contacts/{index}"), "must be an object of a value and an address");
    let mut row = Fields::new(row).map_err(wrong)?;
    let value = row.text("value", limits::VALUE).map_err(wrong)?;
    let address = row.text_or_none("address", limits::NAME).map_err(wrong)?;
    row.finish().map_err(wrong)?;
    Ok(NewAbuseContact { value, address })
}

#[derive(Serialize)]
struct Queue {
    contacts: Vec<ContactView>,
    total: u64,
}

#[derive(Serialize)]
struct Page {
    contacts: Vec<AbuseContactView>,
    cursor: Option<String>,
}
