//! Registrations of networks, domains and AS numbers: asked for by the member, approved by its authority or the coordinator.
//!
//! Invariant: a pending registration counts for nothing; no organisation but the hub's approves its own.

use super::{Members, illegal, invalid, may_administer, reason_text, taken};
use crate::{Actor, HubError};
use ipnet::IpNet;
use model::canonical::canonical;
use model::ids::NetworkId;
use model::{KeyRole, ObservableType, OrgId, Organisation, Text, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::records::{Network, NetworkKind, NetworkState};

/// Registrations of one organisation at the most.
const MAX_NETWORKS: usize = 10_000;
/// The largest IPv4 range that may be registered.
const WIDEST_IPV4: u8 = 8;
/// The largest IPv6 range that may be registered.
const WIDEST_IPV6: u8 = 16;

/// What a registration is asked for with.
#[derive(Debug, Clone, Deserialize)]
pub struct NewNetwork {
    /// What is registered.
    pub kind: NetworkKind,
    /// The range, domain or AS number.
    pub value: String,
    /// Whether a system in it may not be touched.
    #[serde(default)]
    pub protected: bool,
}

/// A registration for those who may know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkView {
    /// Its id.
    pub id: NetworkId,
    /// Whose it is.
    pub organisation: OrgId,
    /// What is registered.
    pub kind: NetworkKind,
    /// The range, domain or AS number in canonical form.
    pub value: Text,
    /// Absent for those who may not see the mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// Whether it counts.
    pub state: NetworkState,
    /// Version, starting at 1.
    pub version: u64,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// An authority registers its own networks with the key it has; approval is another's.
fn may_register(actor: &Actor, organisation: OrgId) -> Result<(), HubError> {
    if actor.role == KeyRole::Authority && actor.organisation.id == organisation { Ok(()) } else { may_administer(actor, organisation) }
}

impl Members {
    /// Registers a network: approved at once where the actor may approve it, else pending.
    pub async fn add_network(&self, actor: &Actor, organisation: OrgId, new: NewNetwork) -> Result<NetworkView, HubError> {
        let organisation = self.known(actor, organisation)?;
        let approves = may_approve(actor, &organisation);
        if !approves {
            may_register(actor, organisation.id)?;
        }
        let value = tidy_value(new.kind, &new.value)?;
        let change = self.noted(actor, "add", "");
        let network = Network {
            id: NetworkId(self.clock.uuid()),
            organisation: organisation.id,
            kind: new.kind,
            value,
            protected: new.protected,
            state: if approves { NetworkState::Approved } else { NetworkState::Pending },
            version: 1,
            created: change.at,
            updated: change.at,
        };
        if self.directory.snapshot().networks().iter().filter(|other| other.organisation == organisation.id).count() >= MAX_NETWORKS {
            return Err(HubError::TooLarge { limit: MAX_NETWORKS as u64, unit: "registrations" });
        }
        let mut writer = self.records.write().await?;
        writer
            .insert(&network, &change, &[control(&network, &organisation)])
            .await
            .map_err(|error| taken(error, "/value", "registered for this organisation before"))?;
        self.commit(writer).await?;
        Ok(view(&network, true))
    }

    /// The registrations of an organisation, newest first, without removed ones.
    pub fn list_networks(&self, actor: &Actor, organisation: OrgId) -> Result<Vec<NetworkView>, HubError> {
        let organisation = self.known(actor, organisation)?;
        let sees_mark = actor.role != KeyRole::Auditor;
        let snapshot = self.directory.snapshot();
        Ok(snapshot.networks().iter().rev().filter(|network| network.organisation == organisation.id).map(|network| view(network, sees_mark)).collect())
    }

    /// Approves a pending registration.
    pub async fn approve_network(&self, actor: &Actor, organisation: OrgId, network: NetworkId, reason: &str) -> Result<NetworkView, HubError> {
        let organisation = self.known(actor, organisation)?;
        if !may_approve(actor, &organisation) {
            return Err(HubError::Forbidden("only the coordinator or the authority of the organisation approves its registrations"));
        }
        self.step_network(actor, &organisation, network, "approve", reason, NetworkState::approved).await
    }

    /// Ends a registration.
    pub async fn remove_network(&self, actor: &Actor, organisation: OrgId, network: NetworkId, reason: &str) -> Result<NetworkView, HubError> {
        let organisation = self.known(actor, organisation)?;
        if !may_approve(actor, &organisation) {
            may_register(actor, organisation.id)?;
        }
        self.step_network(actor, &organisation, network, "remove", reason, NetworkState::removed).await
    }

    async fn step_network(
        &self,
        actor: &Actor,
        organisation: &Organisation,
        id: NetworkId,
        step: &'static str,
        reason: &str,
        after: fn(NetworkState) -> Option<NetworkState>,
    ) -> Result<NetworkView, HubError> {
        let reason = reason_text("/reason", reason, false)?;
        let change = self.noted(actor, step, reason);
        let mut writer = self.records.write().await?;
        let found: Option<Network> = writer.get(&id.to_string()).await?;
        let mut network = found.filter(|network| network.organisation == organisation.id).ok_or(HubError::NotFound)?;
        let legal = match network.state {
            NetworkState::Pending => "approve, remove",
            NetworkState::Approved => "remove",
            NetworkState::Removed => "none",
        };
        network.state = after(network.state).ok_or_else(|| illegal(step, legal))?;
        let version = network.version;
        network.version = version + 1;
        network.updated = change.at;
        writer.update(&network, version, &change, &[control(&network, organisation)]).await?;
        self.commit(writer).await?;
        Ok(view(&network, true))
    }
}

/// Whether the actor may make registrations of the organisation count.
fn may_approve(actor: &Actor, organisation: &Organisation) -> bool {
    actor.is_coordinator() || (actor.reader.is_authority_of(organisation.constituency) && actor.organisation.id != organisation.id)
}

/// The canonical form of a value of this kind; a bare address is a range of one.
fn tidy_value(kind: NetworkKind, value: &str) -> Result<Text, HubError> {
    let observable = match kind {
        NetworkKind::Cidr => ObservableType::Cidr,
        NetworkKind::Domain => ObservableType::Domain,
        NetworkKind::Asn => ObservableType::Asn,
    };
    let value = canonical(observable, value).map_err(|error| invalid("/value", error.to_string()))?;
    match kind {
        NetworkKind::Cidr => {
            let range: IpNet = value.parse().map_err(|_| invalid("/value", "not an address range"))?;
            let widest = match range {
                IpNet::V4(_) => WIDEST_IPV4,
                IpNet::V6(_) => WIDEST_IPV6,
            };
            if range.prefix_len() < widest {
                return Err(invalid("/value", format!("wider than /{widest}")));
            }
        }
        NetworkKind::Domain if !value.contains('.') => return Err(invalid("/value", "a top-level domain cannot be registered")),
        NetworkKind::Domain | NetworkKind::Asn => {}
    }
    Ok(value)
}

fn view(network: &Network, sees_mark: bool) -> NetworkView {
    NetworkView {
        id: network.id,
        organisation: network.organisation,
        kind: network.kind,
        value: network.value.clone(),
        protected: sees_mark.then_some(network.protected),
        state: network.state,
        version: network.version,
        created: network.created,
        updated: network.updated,
    }
}

/// What the ledger is told of a registration.
fn control(network: &Network, organisation: &Organisation) -> Value {
    json!({
        "control": "network",
        "id": network.id,
        "organisation": organisation.number,
        "kind": network.kind,
        "value": network.value,
        "protected": network.protected,
        "state": network.state,
        "version": network.version,
    })
}
