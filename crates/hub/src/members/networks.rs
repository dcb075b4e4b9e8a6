//! Registrations of networks, domains, AS numbers and places on the web: asked for by the member, approved by its authority or the
//! coordinator, and proven to be the member's.
//!
//! Flow: [`Members::add_network`] → approved or rejected, and proven (`proofs`) → it counts: events are matched with it from there on.
//! Invariant: a registration that is not approved or not proven counts for nothing; no organisation but the hub's approves its own.
//! Not here: what may be registered (`values`), which event concerns whom (`store::views::owners`).

use super::values::{overlapping, shown, tidy_value};
use super::{Members, illegal, invalid, may_administer, may_know, reason_text, taken};
use crate::directory::Snapshot;
use crate::{Actor, HubError};
use model::canonical::canonical;
use model::ids::NetworkId;
use model::{KeyRole, ObservableType, OrgId, Organisation, Text, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use store::records::{CheckResult, DecidedBy, Decision, Network, NetworkKind, NetworkState, Proof, ProofMethod};

/// Registrations of one organisation at the most.
const MAX_NETWORKS: usize = 10_000;
/// Ended registrations that a list holds at the most, the newest.
const MAX_ENDED: usize = 1_000;
/// Name below a domain at which its challenge stands.
const CHALLENGE_NAME: &str = "_bongsu-proof";

/// What a registration is asked for with.
#[derive(Debug, Clone, Deserialize)]
pub struct NewNetwork {
    /// What is registered.
    pub kind: NetworkKind,
    /// The range, domain, AS number or URL.
    pub value: String,
    /// Whether a system in it may not be touched.
    #[serde(default)]
    pub protected: bool,
    /// Why; needed where another organisation holds it already.
    #[serde(default)]
    pub reason: String,
}

/// How ownership is shown, for those who manage the registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Challenge {
    /// What is to stand there, or to be quoted in a reply from the registered abuse address.
    pub token: Text,
    /// Name of the TXT record, for a domain or a URL below one.
    pub record: Option<String>,
    /// When the hub looked there last.
    pub checked: Option<Timestamp>,
    /// What it found then.
    pub found: Option<CheckResult>,
}

/// A registration of another organisation that one overlaps, for those who decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// The other registration.
    pub id: NetworkId,
    /// What it registers.
    pub value: Text,
    /// Whose it is; absent where the reader may not know of that organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<OrgId>,
    /// The name of that organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
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
    /// The range, domain, AS number or URL in canonical form.
    pub value: Text,
    /// Absent for those who may not see the mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// Whether the hub agrees.
    pub state: NetworkState,
    /// `claimed` or `proven`.
    pub proof: &'static str,
    /// How it was proven.
    pub proof_method: Option<&'static str>,
    /// When it was proven.
    pub proven: Option<Timestamp>,
    /// Absent for those who do not manage it, and once it is proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Challenge>,
    /// Whether another organisation holds it, or a part of it, too.
    pub conflict: bool,
    /// The registrations that it overlaps, for those who decide on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<NetworkId>,
    /// The same with what and whose they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overlaps: Vec<Overlap>,
    /// Why, in the words of the last step.
    pub reason: Option<Text>,
    /// When it was approved, rejected or withdrawn.
    pub decided: Option<Timestamp>,
    /// On whose side that was; never by whom.
    pub decided_by: Option<DecidedBy>,
    /// Version, starting at 1.
    pub version: u64,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// An authority registers its own networks with the key it has; approval is another's.
pub(super) fn may_register(actor: &Actor, organisation: OrgId) -> Result<(), HubError> {
    if actor.role == KeyRole::Authority && actor.organisation.id == organisation { Ok(()) } else { may_administer(actor, organisation) }
}

impl Members {
    /// Registers a network: approved at once where the actor may approve it, else pending. What the coordinator registers is proven, too.
    pub async fn add_network(&self, actor: &Actor, organisation: OrgId, new: NewNetwork) -> Result<NetworkView, HubError> {
        let organisation = self.known(actor, organisation)?;
        let approves = may_approve(actor, &organisation);
        if !approves {
            may_register(actor, organisation.id)?;
        }
        let reason = reason_text("/reason", &new.reason, false)?;
        let value = tidy_value(new.kind, &new.value, actor.is_coordinator() && !reason.is_empty())?;
        let change = self.noted(actor, "add", reason);
        let snapshot = self.directory.snapshot();
        let own = snapshot.networks().iter().find(|other| other.organisation == organisation.id && other.kind == new.kind && other.value == value);
        if let Some(own) = own {
            let (value, state) = (shown(own.kind, &own.value), own.state.as_str());
            return Err(invalid("/value", format!("{value} is registered for this organisation already: {} ({state})", own.id)));
        }
        let conflicts = overlapping(&snapshot, organisation.id, new.kind, &value);
        if !conflicts.is_empty() && reason.is_empty() {
            return Err(invalid("/reason", "another organisation holds this or a part of it: a reason is needed"));
        }
        let network = Network {
            id: NetworkId(self.clock.uuid()),
            organisation: organisation.id,
            kind: new.kind,
            value,
            protected: new.protected,
            state: if approves { NetworkState::Approved } else { NetworkState::Pending },
            proof: actor.is_coordinator().then_some(Proof { method: ProofMethod::Operator, at: change.at }),
            challenge: Some(challenge()),
            check: None,
            decided: approves.then(|| Decision { by: side(actor, &organisation), at: change.at }),
            conflicts,
            reason: said(reason),
            version: 1,
            created: change.at,
            updated: change.at,
        };
        if snapshot.networks().iter().filter(|other| other.organisation == organisation.id).count() >= MAX_NETWORKS {
            return Err(HubError::TooLarge { limit: MAX_NETWORKS as u64, unit: "registrations" });
        }
        let mut writer = self.records.write().await?;
        writer
            .insert(&network, &change, &[control(&network, &organisation)])
            .await
            .map_err(|error| taken(error, "/value", "registered for this organisation before"))?;
        self.commit(writer).await?;
        Ok(view(&network, actor, &organisation, &snapshot, &open_networks(&snapshot)))
    }

    /// The registrations of an organisation in these states, newest first; where none is named, those that did not end. Of those that ended the
    /// newest 1,000.
    pub async fn list_networks(&self, actor: &Actor, organisation: OrgId, states: &[NetworkState]) -> Result<Vec<NetworkView>, HubError> {
        let organisation = self.known(actor, organisation)?;
        let wanted = |state: NetworkState| if states.is_empty() { state.is_open() } else { states.contains(&state) };
        let ended: Vec<Network> = if states.iter().any(|state| !state.is_open()) {
            let all: Vec<Network> = self.records.owned(&organisation.id.to_string()).await?;
            all.into_iter().rev().filter(|network| !network.state.is_open() && wanted(network.state)).take(MAX_ENDED).collect()
        } else {
            Vec::new()
        };
        let snapshot = self.directory.snapshot();
        let own = snapshot.networks().iter().filter(|network| network.organisation == organisation.id && wanted(network.state));
        let mut rows: Vec<&Network> = own.map(Arc::as_ref).chain(&ended).collect();
        // Ids are in the order of time.
        rows.sort_by_key(|network| std::cmp::Reverse(network.id));
        let open = if rows.iter().any(|network| !network.conflicts.is_empty()) { open_networks(&snapshot) } else { HashMap::new() };
        Ok(rows.into_iter().map(|network| view(network, actor, &organisation, &snapshot, &open)).collect())
    }

    /// A registration of an organisation, in whatever state.
    pub async fn show_network(&self, actor: &Actor, organisation: OrgId, id: NetworkId) -> Result<NetworkView, HubError> {
        let organisation = self.known(actor, organisation)?;
        let found: Option<Network> = self.records.get(&id.to_string()).await?;
        let network = found.filter(|network| network.organisation == organisation.id).ok_or(HubError::NotFound)?;
        let snapshot = self.directory.snapshot();
        Ok(view(&network, actor, &organisation, &snapshot, &open_networks(&snapshot)))
    }

    /// Approves a pending registration.
    pub async fn approve_network(&self, actor: &Actor, organisation: OrgId, network: NetworkId, reason: &str) -> Result<NetworkView, HubError> {
        self.decide_network(actor, organisation, network, "approve", reason, NetworkState::approved).await
    }

    /// Rejects a pending registration.
    pub async fn reject_network(&self, actor: &Actor, organisation: OrgId, network: NetworkId, reason: &str) -> Result<NetworkView, HubError> {
        self.decide_network(actor, organisation, network, "reject", reason, NetworkState::rejected).await
    }

    /// Ends a registration.
    pub async fn withdraw_network(&self, actor: &Actor, organisation: OrgId, network: NetworkId, reason: &str) -> Result<NetworkView, HubError> {
        let organisation = self.known(actor, organisation)?;
        if !may_approve(actor, &organisation) {
            may_register(actor, organisation.id)?;
        }
        let by = side(actor, &organisation);
        let step = |network: &mut Network, at: Timestamp| after(network, "withdraw", NetworkState::withdrawn, Decision { by, at });
        self.change_network(actor, &organisation, network, "withdraw", reason_text("/reason", reason, false)?, step).await
    }

    async fn decide_network(
        &self,
        actor: &Actor,
        organisation: OrgId,
        network: NetworkId,
        step: &'static str,
        reason: &str,
        next: fn(NetworkState) -> Option<NetworkState>,
    ) -> Result<NetworkView, HubError> {
        let organisation = self.known(actor, organisation)?;
        if !may_approve(actor, &organisation) {
            return Err(HubError::Forbidden("only the coordinator or the authority of the organisation decides on its registrations"));
        }
        let (by, snapshot) = (side(actor, &organisation), self.directory.snapshot());
        let decide = |network: &mut Network, at: Timestamp| {
            after(network, step, next, Decision { by, at })?;
            // Others may have been approved since it was asked for.
            if network.state == NetworkState::Approved {
                network.conflicts = overlapping(&snapshot, network.organisation, network.kind, &network.value);
            }
            Ok(())
        };
        self.change_network(actor, &organisation, network, step, reason_text("/reason", reason, false)?, decide).await
    }

    pub(super) async fn change_network(
        &self,
        actor: &Actor,
        organisation: &Organisation,
        id: NetworkId,
        action: &'static str,
        reason: &str,
        step: impl FnOnce(&mut Network, Timestamp) -> Result<(), HubError> + Send,
    ) -> Result<NetworkView, HubError> {
        let change = self.noted(actor, action, reason);
        let mut writer = self.records.write().await?;
        let found: Option<Network> = writer.get(&id.to_string()).await?;
        let mut network = found.filter(|network| network.organisation == organisation.id).ok_or(HubError::NotFound)?;
        step(&mut network, change.at)?;
        let version = network.version;
        network.version = version + 1;
        network.updated = change.at;
        network.reason = said(reason).or(network.reason);
        network.challenge.get_or_insert_with(challenge);
        writer.update(&network, version, &change, &[control(&network, organisation)]).await?;
        self.commit(writer).await?;
        let snapshot = self.directory.snapshot();
        Ok(view(&network, actor, organisation, &snapshot, &open_networks(&snapshot)))
    }
}

/// On whose side the actor decides on the organisation's registrations.
fn side(actor: &Actor, organisation: &Organisation) -> DecidedBy {
    if actor.is_coordinator() {
        DecidedBy::Coordinator
    } else if actor.organisation.id == organisation.id {
        DecidedBy::Organisation
    } else {
        DecidedBy::Authority
    }
}

/// Carries a step out, or names the legal ones.
fn after(network: &mut Network, step: &str, next: fn(NetworkState) -> Option<NetworkState>, decision: Decision) -> Result<(), HubError> {
    let legal = match network.state {
        NetworkState::Pending => "approve, reject, withdraw",
        NetworkState::Approved => "withdraw",
        NetworkState::Rejected | NetworkState::Withdrawn => "none",
    };
    network.state = next(network.state).ok_or_else(|| illegal(step, legal))?;
    network.decided = Some(decision);
    Ok(())
}

fn said(reason: &str) -> Option<Text> {
    (!reason.is_empty()).then(|| Text::from(reason))
}

/// A fresh challenge.
fn challenge() -> Text {
    Text::from(format!("bongsu-proof={}", uuid::Uuid::new_v4().simple()))
}

/// Name of the TXT record that can prove a registration.
pub(super) fn record_of(network: &Network) -> Option<String> {
    let domain = match network.kind {
        NetworkKind::Domain => network.value.as_str(),
        NetworkKind::Url => model::filter::host_of_url(&network.value),
        NetworkKind::Cidr | NetworkKind::Asn => return None,
    };
    canonical(ObservableType::Domain, domain).ok().map(|domain| format!("{CHALLENGE_NAME}.{domain}"))
}

/// Whether the actor may make registrations of the organisation count.
pub(super) fn may_approve(actor: &Actor, organisation: &Organisation) -> bool {
    actor.is_coordinator() || (actor.reader.is_authority_of(organisation.constituency) && actor.organisation.id != organisation.id)
}

fn open_networks(snapshot: &Snapshot) -> HashMap<NetworkId, &Network> {
    snapshot.networks().iter().map(|network| (network.id, network.as_ref())).collect()
}

/// A registration that another one overlaps. Of an organisation that the actor may not know of it says no more than that there is one.
fn overlap(other: &Network, actor: &Actor, snapshot: &Snapshot) -> Overlap {
    let organisation = snapshot.by_id(other.organisation).filter(|organisation| may_know(actor, organisation));
    Overlap {
        id: other.id,
        value: other.value.clone(),
        organisation: organisation.map(|organisation| organisation.id),
        name: organisation.map(|organisation| organisation.name.clone()),
    }
}

fn view(network: &Network, actor: &Actor, organisation: &Organisation, snapshot: &Snapshot, open: &HashMap<NetworkId, &Network>) -> NetworkView {
    let decides = may_approve(actor, organisation);
    let manages = decides || may_register(actor, organisation.id).is_ok();
    let conflicts: Vec<&Network> = network.conflicts.iter().filter_map(|other| open.get(other).copied()).collect();
    // What ended before the decision was kept was changed last by it.
    let decided = network.decided.map(|decision| decision.at).or((!network.state.is_open()).then_some(network.updated));
    let challenge = network.challenge.clone().filter(|_| manages && network.proof.is_none() && network.state.is_open());
    NetworkView {
        id: network.id,
        organisation: network.organisation,
        kind: network.kind,
        value: network.value.clone(),
        protected: (actor.role != KeyRole::Auditor).then_some(network.protected),
        state: network.state,
        proof: if network.proof.is_some() { "proven" } else { "claimed" },
        proof_method: network.proof.map(|proof| proof.method.as_str()),
        proven: network.proof.map(|proof| proof.at),
        challenge: challenge.map(|token| Challenge {
            token,
            record: record_of(network),
            checked: network.check.map(|check| check.at),
            found: network.check.map(|check| check.found),
        }),
        conflict: !conflicts.is_empty(),
        conflicts: if decides { conflicts.iter().map(|other| other.id).collect() } else { Vec::new() },
        overlaps: if decides { conflicts.iter().map(|other| overlap(other, actor, snapshot)).collect() } else { Vec::new() },
        reason: network.reason.clone(),
        decided,
        decided_by: network.decided.map(|decision| decision.by),
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
        "counts": network.counts(),
        "version": network.version,
    })
}
