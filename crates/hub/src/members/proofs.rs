//! Proof that a registration is its organisation's: looked up in DNS by the hub, or confirmed by the coordinator.
//!
//! Flow: [`Members::proof_wanted`] says what is to stand where → the hub asks DNS (`owners::dns`) → [`Members::note_check`] records what was found
//! and, where it is the challenge, that it is proven. What no DNS can show the coordinator confirms: [`Members::prove_network`].
//! Invariant: a look changes nothing but what it notes, unless the challenge was there; looks at one registration are [`CHECK_EVERY`] apart.
//! Not here: approval (`networks`), asking DNS.

use super::networks::{NetworkView, may_approve, may_register, record_of};
use super::{Members, coordinator_only, illegal, invalid, reason_text};
use crate::{Actor, Hub, HubError};
use model::ids::NetworkId;
use model::{OrgId, Text, Timestamp};
use std::time::Duration;
use store::records::{CheckResult, Network, Proof, ProofCheck, ProofMethod};
use subtle::ConstantTimeEq;

/// A registration is looked at again after so long at the earliest.
const CHECK_EVERY: Duration = Duration::from_secs(10);
/// How those are proven for which there is nothing to look at.
const NOT_IN_DNS: &str = "a range, an AS number or an address has no name in DNS; it is proven by a reply from the abuse address that the registry has for it, \
    which quotes the challenge, and the coordinator confirms that";

impl Members {
    /// Confirms that a registration was shown to be the organisation's by other means than the hub's own look; the coordinator alone does this.
    pub async fn prove_network(
        &self,
        actor: &Actor,
        organisation: OrgId,
        network: NetworkId,
        method: ProofMethod,
        reason: &str,
    ) -> Result<NetworkView, HubError> {
        let organisation = self.known(actor, organisation)?;
        coordinator_only(actor)?;
        let step = |network: &mut Network, at: Timestamp| {
            may_be_proven(network)?;
            if method == ProofMethod::DnsTxt && record_of(network).is_none() {
                return Err(invalid("/method", "only a domain or a URL below one has a DNS record"));
            }
            network.proof = Some(Proof { method, at });
            Ok(())
        };
        self.change_network(actor, &organisation, network, "prove", reason_text("/reason", reason, true)?, step).await
    }

    /// Name of the TXT record that is to be looked at, and what is to stand there.
    fn proof_wanted(&self, actor: &Actor, organisation: OrgId, id: NetworkId) -> Result<(String, Text), HubError> {
        let organisation = self.known(actor, organisation)?;
        if !may_approve(actor, &organisation) {
            may_register(actor, organisation.id)?;
        }
        let snapshot = self.directory.snapshot();
        let network = snapshot.networks().iter().find(|network| network.id == id && network.organisation == organisation.id).ok_or(HubError::NotFound)?;
        may_be_proven(network)?;
        let record = record_of(network).ok_or_else(|| invalid("/", NOT_IN_DNS))?;
        let challenge = network.challenge.clone().ok_or_else(|| invalid("/", "it has no challenge; withdraw it and register it again"))?;
        let wait = network.check.and_then(|check| u64::try_from(check.at.plus(CHECK_EVERY).seconds() - self.clock.now().seconds()).ok());
        match wait.filter(|wait| *wait > 0) {
            Some(retry_after) => Err(HubError::TooSoon { retry_after }),
            None => Ok((record, challenge)),
        }
    }

    /// Notes what a look found.
    async fn note_check(&self, actor: &Actor, organisation: OrgId, network: NetworkId, challenge: &Text, found: CheckResult) -> Result<NetworkView, HubError> {
        let organisation = self.known(actor, organisation)?;
        let step = |network: &mut Network, at: Timestamp| {
            may_be_proven(network)?;
            network.check = Some(ProofCheck { at, found });
            // It may have been given another challenge meanwhile.
            if found == CheckResult::Found && network.challenge.as_ref() == Some(challenge) {
                network.proof = Some(Proof { method: ProofMethod::DnsTxt, at });
            }
            Ok(())
        };
        self.change_network(actor, &organisation, network, "check", "", step).await
    }
}

impl Hub {
    /// Looks whether the challenge of a registration stands in DNS, and records what was found; where it stands there the registration is proven.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for who does not manage it, [`HubError::IllegalStep`] where it is proven or ended, [`HubError::Invalid`] for what has
    /// no name in DNS, [`HubError::TooSoon`] for a look right after another.
    pub async fn check_network(&self, actor: &Actor, organisation: OrgId, network: NetworkId) -> Result<NetworkView, HubError> {
        let (record, challenge) = self.members().proof_wanted(actor, organisation, network)?;
        let found = match self.resolver.txt(&record).await {
            Ok(texts) if texts.iter().any(|text| stands_in(text, &challenge)) => CheckResult::Found,
            Ok(texts) if texts.is_empty() => CheckResult::Absent,
            Ok(_) => CheckResult::Other,
            Err(error) => {
                tracing::info!(%error, "a proof could not be looked up");
                CheckResult::Unreachable
            }
        };
        self.members().note_check(actor, organisation, network, &challenge, found).await
    }
}

/// Whether a text of DNS is the challenge; blanks and quotes around it are nobody's fault.
fn stands_in(text: &str, challenge: &str) -> bool {
    bool::from(text.trim().trim_matches('"').trim().as_bytes().ct_eq(challenge.as_bytes()))
}

fn may_be_proven(network: &Network) -> Result<(), HubError> {
    match (network.state.is_open(), network.proof.is_some()) {
        (true, false) => Ok(()),
        (true, true) => Err(illegal("prove", "withdraw")),
        (false, _) => Err(illegal("prove", "none")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_found_whole_and_nothing_like_it() {
        let challenge = "bongsu-proof=00112233445566778899aabbccddeeff";
        for text in [challenge.to_owned(), format!(" {challenge}\n"), format!("\"{challenge}\"")] {
            assert!(stands_in(&text, challenge), "{text}");
        }
        for text in ["", "bongsu-proof=", &challenge[1..], &format!("x {challenge}"), &challenge.to_uppercase()] {
            assert!(!stands_in(text, challenge), "{text}");
        }
    }
}
