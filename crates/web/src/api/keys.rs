//! Keys of an organisation: a secret is shown once, in the answer that makes it.

use crate::AppState;
use crate::auth::Caller;
use crate::fields::Fields;
use crate::limits;
use crate::params::{At, id};
use crate::payload::Payload;
use crate::problem::Problem;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use hub::members::{KeyView, NewKey};
use model::{KeyId, KeyRole, OrgId};
use serde::Serialize;
use std::time::Duration;

/// `GET /api/v1/organisations/{id}/keys`
pub async fn list(State(state): State<AppState>, Caller(actor): Caller, At(organisation): At<String>) -> Reply {
    let organisation = id::<OrgId>(&organisation)?;
    reply::ok(&Keys { keys: state.hub.members().list_keys(&actor, organisation)? })
}

/// `POST /api/v1/organisations/{id}/keys`
pub async fn add(State(state): State<AppState>, Caller(actor): Caller, At(organisation): At<String>, payload: Payload) -> Reply {
    let organisation = id::<OrgId>(&organisation)?;
    let new = new_key(Fields::new(payload.value()?)?)?;
    let (id, key) = act(async move { state.hub.members().add_key(&actor, organisation, new).await }).await?;
    reply::created(&Secret { id, key })
}

/// `POST /api/v1/organisations/{id}/keys/{key}/rotate`
pub async fn rotate(State(state): State<AppState>, Caller(actor): Caller, At((organisation, key)): At<(String, String)>, payload: Payload) -> Reply {
    let (organisation, key) = (id::<OrgId>(&organisation)?, id::<KeyId>(&key)?);
    let mut body = Fields::new(payload.value_or_empty()?)?;
    let overlap = body.number_or_none("overlap", limits::ROTATION_MAX)?.unwrap_or(limits::ROTATION_DEFAULT);
    body.finish()?;
    let overlap = Duration::from_secs(overlap);
    let (id, key) = act(async move { state.hub.members().rotate_key(&actor, organisation, key, overlap).await }).await?;
    reply::created(&Secret { id, key })
}

/// `POST /api/v1/organisations/{id}/keys/{key}/revoke`
pub async fn revoke(State(state): State<AppState>, Caller(actor): Caller, At((organisation, key)): At<(String, String)>, payload: Payload) -> Reply {
    let (organisation, key) = (id::<OrgId>(&organisation)?, id::<KeyId>(&key)?);
    let mut body = Fields::new(payload.value_or_empty()?)?;
    let reason = body.text_or_none("reason", limits::REASON)?.unwrap_or_default();
    body.finish()?;
    act(async move { state.hub.members().revoke_key(&actor, organisation, key, &reason).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Serialize)]
struct Keys {
    keys: Vec<KeyView>,
}

#[derive(Serialize)]
struct Secret {
    id: KeyId,
    key: String,
}

fn new_key(mut body: Fields) -> Result<NewKey, Problem> {
    let new = NewKey {
        role: body.word("role", KeyRole::WHAT, KeyRole::parse)?,
        expires: body.time_or_none("expires")?,
        allow: body.texts("allow", limits::RANGES, limits::NAME)?,
        red: body.flag("red")?,
        holder: body.text_or_none("holder", limits::NAME)?,
    };
    body.finish()?;
    Ok(new)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_needs_a_role_and_nothing_else() {
        let key = new_key(Fields::new(json!({ "role": "reporter" })).unwrap()).unwrap();
        assert_eq!((key.role, key.expires, key.allow.len(), key.red, key.holder), (KeyRole::Reporter, None, 0, false, None));
        assert!(new_key(Fields::new(json!({ "role": "king" })).unwrap()).is_err());
        assert!(new_key(Fields::new(json!({})).unwrap()).is_err());
    }
}
