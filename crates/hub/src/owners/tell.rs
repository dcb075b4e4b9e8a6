//! Registrations that the ledger should know and does not, as after a restore: they are told again.
//!
//! Invariant: told twice a registration changes nothing, so a start may repeat it.

use crate::{Hub, HubError};
use hashbrown::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use store::ledger::Control;
use store::records::Network;

/// How often it is looked whether the view has reached the ledger's end of the start.
const PAUSE: Duration = Duration::from_millis(500);

/// Compares the records with what the ledger told, once the view has read all of it.
pub(crate) async fn tell_registrations(hub: Weak<Hub>) {
    let Some(end) = hub.upgrade().map(|hub| hub.store().ledger.end()) else { return };
    loop {
        {
            let Some(hub) = hub.upgrade() else { return };
            if *hub.stopping().borrow() {
                return;
            }
            if hub.store().owners.position() >= end {
                match hub.tell_missing().await {
                    Ok(0) => {}
                    Ok(told) => tracing::info!(told, "registrations were told to the ledger again"),
                    Err(error) => tracing::warn!(%error, "registrations were not told to the ledger; the next start does"),
                }
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Hub {
    async fn tell_missing(self: &Arc<Self>) -> Result<u64, HubError> {
        let known: HashMap<_, _> = self.store().owners.registrations().into_iter().map(|(id, version, counts)| (id, (version, counts))).collect();
        let directory = self.directory().snapshot();
        let mut told = 0;
        let mut held = hashbrown::HashSet::new();
        for network in directory.networks().iter().filter(|network| network.counts()) {
            let id = model::Text::from(network.id.to_string());
            if known.get(&id).is_none_or(|(version, counts)| !counts && *version < network.version) {
                told += u64::from(self.tell(network).await?);
            }
            held.insert(id);
        }
        for (id, _) in known.iter().filter(|(id, (_, counts))| *counts && !held.contains(*id)) {
            let network: Option<Network> = self.records().get(id).await?;
            if let Some(network) = network {
                told += u64::from(self.tell(&network).await?);
            }
        }
        Ok(told)
    }

    async fn tell(&self, network: &Network) -> Result<bool, HubError> {
        let Some(organisation) = self.directory().by_id(network.organisation) else { return Ok(false) };
        let control = Control::Network {
            id: network.id.to_string(),
            version: network.version,
            organisation: organisation.number,
            kind: network.kind,
            value: network.value.clone(),
            protected: network.protected,
            counts: network.counts(),
            at: network.updated,
        };
        self.store().control(control).await?;
        Ok(true)
    }
}
