//! Registrations of address ranges, domains, AS numbers and places on the web.

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
use hub::members::{NetworkState, NetworkView, NewNetwork, ProofMethod};
use model::OrgId;
use model::ids::NetworkId;
use serde::Serialize;
use serde_json::json;

/// `GET /api/v1/organisations/{id}/networks`
pub async fn list(State(state): State<AppState>, Caller(actor): Caller, At(organisation): At<String>, params: Params) -> Reply {
    let organisation = id::<OrgId>(&organisation)?;
    let state_of =
        |word: &String| NetworkState::parse(word).ok_or_else(|| Problem::parameter("state", one_of("unknown state", NetworkState::ALL, NetworkState::as_str)));
    let states: Vec<NetworkState> = params.words("state")?.iter().map(state_of).collect::<Result<_, _>>()?;
    reply::ok(&Networks { networks: state.hub.members().list_networks(&actor, organisation, &states).await? })
}

/// `GET /api/v1/organisations/{id}/networks/{net}`
pub async fn show(State(state): State<AppState>, Caller(actor): Caller, At((organisation, network)): At<(String, String)>) -> Reply {
    let (organisation, network) = (id::<OrgId>(&organisation)?, id::<NetworkId>(&network)?);
    reply::ok(&state.hub.members().show_network(&actor, organisation, network).await?)
}

/// `POST /api/v1/organisations/{id}/networks`
pub async fn add(State(state): State<AppState>, Caller(actor): Caller, At(organisation): At<String>, payload: Payload) -> Reply {
    let organisation = id::<OrgId>(&organisation)?;
    let new = new_network(Fields::new(payload.value()?)?)?;
    let work = async move {
        let added = state.hub.members().add_network(&actor, organisation, new).await?;
        // What is sent from the answer on is a finding.
        state.hub.carry().await;
        Ok(added)
    };
    reply::created(&act(work).await?)
}

/// `POST /api/v1/organisations/{id}/networks/{net}/steps`
pub async fn step(State(state): State<AppState>, Caller(actor): Caller, At((organisation, network)): At<(String, String)>, payload: Payload) -> Reply {
    let (organisation, network) = (id::<OrgId>(&organisation)?, id::<NetworkId>(&network)?);
    let mut body = Fields::new(payload.value()?)?;
    let step = body.word("step", "step", Step::parse)?;
    let reason = body.text_or_none("reason", limits::REASON)?.unwrap_or_default();
    body.finish()?;
    let work = async move {
        let changed = match step {
            Step::Approve => state.hub.members().approve_network(&actor, organisation, network, &reason).await,
            Step::Reject => state.hub.members().reject_network(&actor, organisation, network, &reason).await,
            Step::Withdraw => state.hub.members().withdraw_network(&actor, organisation, network, &reason).await,
        }?;
        state.hub.carry().await;
        Ok(changed)
    };
    reply::ok(&act(work).await?)
}

/// `POST /api/v1/organisations/{id}/networks/{net}/proof`
pub async fn prove(State(state): State<AppState>, Caller(actor): Caller, At((organisation, network)): At<(String, String)>, payload: Payload) -> Reply {
    let (organisation, network) = (id::<OrgId>(&organisation)?, id::<NetworkId>(&network)?);
    let mut body = Fields::new(payload.value()?)?;
    let method = body.word("method", "method", ProofMethod::parse)?;
    let reason = body.text("reason", limits::REASON)?;
    body.finish()?;
    let work = async move {
        let proven = state.hub.members().prove_network(&actor, organisation, network, method, &reason).await?;
        state.hub.carry().await;
        Ok(proven)
    };
    reply::ok(&act(work).await?)
}

/// `POST /api/v1/organisations/{id}/networks/{net}/proof/check`
pub async fn check(State(state): State<AppState>, Caller(actor): Caller, At((organisation, network)): At<(String, String)>) -> Reply {
    let (organisation, network) = (id::<OrgId>(&organisation)?, id::<NetworkId>(&network)?);
    let work = async move {
        let checked = state.hub.check_network(&actor, organisation, network).await?;
        state.hub.carry().await;
        Ok(checked)
    };
    reply::ok(&act(work).await?)
}

/// What can be done with a registration.
#[derive(Clone, Copy)]
enum Step {
    Approve,
    Reject,
    Withdraw,
}

impl Step {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "approve" => Some(Self::Approve),
            "reject" => Some(Self::Reject),
            // The second word is the one of before.
            "withdraw" | "remove" => Some(Self::Withdraw),
            _ => None,
        }
    }
}

#[derive(Serialize)]
struct Networks {
    networks: Vec<NetworkView>,
}

fn new_network(mut body: Fields) -> Result<NewNetwork, Problem> {
    let kind = body.text("kind", limits::NAME)?;
    let value = body.text("value", limits::VALUE)?;
    let protected = body.flag("protected")?;
    let reason = body.text_or_none("reason", limits::REASON)?.unwrap_or_default();
    let new = serde_json::from_value(json!({ "kind": kind, "value": value, "protected": protected, "reason": reason }));
    let new = new.map_err(|_| body.wrong("kind", "must be cidr, domain, asn or url"))?;
    body.finish()?;
    Ok(new)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_is_a_range_a_domain_or_an_as_number() {
        assert!(new_network(Fields::new(json!({ "kind": "cidr", "value": "192.0.2.0/24" })).unwrap()).is_ok());
        assert!(new_network(Fields::new(json!({ "kind": "person", "value": "x" })).unwrap()).is_err());
        assert!(new_network(Fields::new(json!({ "kind": "asn" })).unwrap()).is_err());
    }
}
