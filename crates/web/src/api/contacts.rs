//! Where organisations are told of abuse.

use crate::AppState;
use crate::auth::Caller;
use crate::fields::Fields;
use crate::limits;
use crate::params::{At, id};
use crate::payload::Payload;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use model::OrgId;

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
