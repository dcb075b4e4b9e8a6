//! Registrations of networks, domains, AS numbers and places on the web: asked for by the member, approved by its authority or the
//! coordinator, and proven to be the member's.
//!
//! Flow: [`Members::add_network`] → approved or rejected, and proven (`proofs`) → it counts: events are matched with it from there on.
//! Invariant: a registration that is not approved or not proven counts for nothing; no organisation but the hub's approves its own.
//! Not here: which event concerns whom (`store::views::owners`).

use super::suffixes::is_public;
use super::{Members, illegal, invalid, may_administer, reason_text, taken};
use crate::directory::Snapshot;
use crate::{Actor, HubError};
use ipnet::IpNet;
use model::canonical::canonical;
use model::ids::NetworkId;
use model::{KeyRole, ObservableType, OrgId, Organisation, Text, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashSet;
use store::records::{CheckResult, Network, NetworkKind, NetworkState, Proof, ProofMethod};
use store::views::owners::MAX_STEPS;

/// Registrations of one organisation at the most.
const MAX_NETWORKS: usize = 10_000;
/// The largest IPv4 range that may be registered without a reason of the coordinator's.
const WIDEST_IPV4: u8 = 8;
/// The largest IPv6 range that may be registered without a reason of the coordinator's.
const WIDEST_IPV6: u8 = 19;
/// Registrations of others that one names as overlapping at the most.
const MAX_CONFLICTS: usize = 20;
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
    /// Why, in the words of the last step.
    pub reason: Option<Text>,
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
        Ok(view(&network, actor, &organisation, &open_ids(&snapshot)))
    }

    /// The registrations of an organisation, newest first, without those that ended.
    pub fn list_networks(&self, actor: &Actor, organisation: OrgId) -> Result<Vec<NetworkView>, HubError> {
        let organisation = self.known(actor, organisation)?;
        let snapshot = self.directory.snapshot();
        let own = || snapshot.networks().iter().rev().filter(|network| network.organisation == organisation.id);
        let open = if own().any(|network| !network.conflicts.is_empty()) { open_ids(&snapshot) } else { HashSet::new() };
        Ok(own().map(|network| view(network, actor, &organisation, &open)).collect())
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
        let step = |network: &mut Network, _: Timestamp| after(network, "withdraw", NetworkState::withdrawn);
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
        self.change_network(actor, &organisation, network, step, reason_text("/reason", reason, false)?, |network, _| after(network, step, next)).await
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
        Ok(view(&network, actor, organisation, &open_ids(&self.directory.snapshot())))
    }
}

/// Carries a step out, or names the legal ones.
fn after(network: &mut Network, step: &str, next: fn(NetworkState) -> Option<NetworkState>) -> Result<(), HubError> {
    let legal = match network.state {
        NetworkState::Pending => "approve, reject, withdraw",
        NetworkState::Approved => "withdraw",
        NetworkState::Rejected | NetworkState::Withdrawn => "none",
    };
    network.state = next(network.state).ok_or_else(|| illegal(step, legal))?;
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

/// Approved registrations of others that hold this value, or that it holds, up to [`MAX_CONFLICTS`] of them.
fn overlapping(snapshot: &Snapshot, organisation: OrgId, kind: NetworkKind, value: &str) -> Vec<NetworkId> {
    let range: Option<IpNet> = value.parse().ok();
    let under = |inner: &str, outer: &str| inner.strip_suffix(outer).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    let below = |inner: &str, outer: &str| {
        let outer = outer.trim_end_matches('/');
        inner.trim_end_matches('/').strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let overlaps = |other: &str| match kind {
        NetworkKind::Cidr => range.is_some_and(|range| other.parse::<IpNet>().is_ok_and(|other| range.contains(&other) || other.contains(&range))),
        NetworkKind::Domain => under(other, value) || under(value, other),
        NetworkKind::Url => below(other, value) || below(value, other),
        NetworkKind::Asn => other == value,
    };
    let others = snapshot.networks().iter().filter(|other| other.organisation != organisation && other.kind == kind && other.state == NetworkState::Approved);
    others.filter(|other| overlaps(&other.value)).map(|other| other.id).take(MAX_CONFLICTS).collect()
}

fn open_ids(snapshot: &Snapshot) -> HashSet<NetworkId> {
    snapshot.networks().iter().map(|network| network.id).collect()
}

/// The canonical form of a value of this kind; a bare address is a range of one. `any_width` lets a range be wider than the limits.
fn tidy_value(kind: NetworkKind, value: &str, any_width: bool) -> Result<Text, HubError> {
    let observable = match kind {
        NetworkKind::Cidr => ObservableType::Cidr,
        NetworkKind::Domain => ObservableType::Domain,
        NetworkKind::Asn => ObservableType::Asn,
        NetworkKind::Url => ObservableType::Url,
    };
    let value = canonical(observable, value).map_err(|error| invalid("/value", error.to_string()))?;
    match kind {
        NetworkKind::Cidr => {
            let range: IpNet = value.parse().map_err(|_| invalid("/value", "not an address range"))?;
            let widest = match range {
                IpNet::V4(_) => WIDEST_IPV4,
                IpNet::V6(_) => WIDEST_IPV6,
            };
            if range.prefix_len() == 0 {
                return Err(invalid("/value", "all addresses are nobody's"));
            }
            if range.prefix_len() < widest && !any_width {
                return Err(invalid("/value", format!("wider than /{widest}, which takes the coordinator and a reason")));
            }
        }
        NetworkKind::Domain if is_public(&value) => return Err(invalid("/value", "everybody can register names below this one")),
        NetworkKind::Url => {
            let rest = value.split_once("://").map_or("", |(_, rest)| rest);
            if rest.contains(['?', '#', '@']) {
                return Err(invalid("/value", "only scheme, host and path can be registered"));
            }
            if rest.matches('/').count() > MAX_STEPS {
                return Err(invalid("/value", format!("a path has at most {MAX_STEPS} steps")));
            }
            if is_public(model::filter::host_of_url(&value)) {
                return Err(invalid("/value", "everybody can register names below this host"));
            }
        }
        NetworkKind::Domain | NetworkKind::Asn => {}
    }
    Ok(value)
}

fn view(network: &Network, actor: &Actor, organisation: &Organisation, open: &HashSet<NetworkId>) -> NetworkView {
    let decides = may_approve(actor, organisation);
    let manages = decides || may_register(actor, organisation.id).is_ok();
    let conflicts: Vec<NetworkId> = network.conflicts.iter().copied().filter(|other| open.contains(other)).collect();
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
        conflicts: if decides { conflicts } else { Vec::new() },
        reason: network.reason.clone(),
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
