//! What is agreed with a partner: set, shown and ended by the coordinator.
//!
//! Flow: version, rights, fields → the partner's record, whose version and history are the agreement's too → the directory → `Hub` tells the ledger
//! before the caller is answered.
//! Invariant: a partner has one agreement at a time, kept with it, so that a request never sees the one without the other.
//! Not here: what an agreement lets a partner see and send (`policy`), its collection (`store::views::indicators`, `taxii`).

use super::{Members, coordinator_only, invalid, reason_text};
use crate::{Actor, HubError};
use model::{Agreement, OrgId, OrgKind, Organisation, Text, Timestamp, Tlp};
use serde::Serialize;

/// Agreements of a realm at the most: each has a log of its own.
pub const MAX_AGREEMENTS: usize = 100;
/// Categories, and sectors, of one agreement at the most.
const MAX_WORDS: usize = 100;

/// The agreement with a partner, for those who may know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgreementView {
    /// The partner.
    pub organisation: OrgId,
    /// The agreement; `None`: there is none, and the partner has clear and green.
    pub agreement: Option<Agreement>,
    /// Whether it holds now.
    pub holds: bool,
    /// Title of its collection over TAXII, which is listed while it holds.
    pub collection: String,
    /// Version of the partner's record, which a change names.
    pub version: u64,
    /// When the record was changed last.
    pub updated: Timestamp,
}

/// The title of the collection of a partner's agreement.
pub fn collection_title(partner: OrgId) -> String {
    format!("agreement-{partner}")
}

impl Members {
    /// The agreement with a partner.
    ///
    /// # Errors
    /// [`HubError::NotFound`] for whom the caller may not know, and for what is no partner.
    pub fn agreement(&self, actor: &Actor, partner: OrgId) -> Result<AgreementView, HubError> {
        let organisation = self.known(actor, partner)?;
        if organisation.kind != OrgKind::Partner {
            return Err(HubError::NotFound);
        }
        Ok(view(&organisation, self.clock.now()))
    }

    /// Sets the agreement with a partner whose record the caller read at `version`; it takes the place of the one there was.
    ///
    /// # Errors
    /// [`HubError::NotFound`] as for [`Members::agreement`], [`HubError::Conflict`] for another version, [`HubError::Forbidden`] for all but the
    /// coordinator, [`HubError::Invalid`] for what cannot be agreed.
    pub async fn set_agreement(&self, actor: &Actor, partner: OrgId, version: u64, agreement: Agreement, reason: &str) -> Result<AgreementView, HubError> {
        let agreement = (Some(agreement), "agree");
        self.change_agreement(actor, partner, Some(version), agreement, reason).await
    }

    /// Ends the agreement with a partner: clear and green are left to it, and its collection is gone.
    ///
    /// # Errors
    /// As [`Members::set_agreement`]; [`HubError::NotFound`] where there is none.
    pub async fn end_agreement(&self, actor: &Actor, partner: OrgId, version: Option<u64>, reason: &str) -> Result<AgreementView, HubError> {
        self.change_agreement(actor, partner, version, (None, "end agreement"), reason).await
    }

    async fn change_agreement(
        &self,
        actor: &Actor,
        partner: OrgId,
        version: Option<u64>,
        (agreement, action): (Option<Agreement>, &'static str),
        reason: &str,
    ) -> Result<AgreementView, HubError> {
        self.agreement(actor, partner)?;
        let mut writer = self.records.write().await?;
        let mut organisation: Organisation = writer.get(&partner.to_string()).await?.ok_or(HubError::NotFound)?;
        if let Some(given) = version.filter(|version| *version != organisation.version) {
            return Err(HubError::Conflict { given, current: organisation.version });
        }
        coordinator_only(actor)?;
        let version = version.ok_or_else(|| invalid("/version", "is required"))?;
        if agreement.is_none() && organisation.agreement.is_none() {
            return Err(HubError::NotFound);
        }
        let reason = reason_text("/reason", reason, false)?;
        let change = self.noted(actor, action, reason);
        organisation.agreement = agreement.map(|agreement| self.tidy_agreement("", agreement)).transpose()?;
        if organisation.agreement.is_some() {
            self.check_room(partner)?;
        }
        let saved = self.save(writer, organisation, version, &change).await?;
        Ok(view(&saved, self.clock.now()))
    }

    /// Refuses one agreement more than there may be.
    pub(super) fn check_room(&self, partner: OrgId) -> Result<(), HubError> {
        let snapshot = self.directory.snapshot();
        let others = snapshot.organisations().filter(|other| other.id != partner && other.agreement.is_some()).count();
        if others < MAX_AGREEMENTS { Ok(()) } else { Err(HubError::TooLarge { limit: MAX_AGREEMENTS as u64, unit: "agreements" }) }
    }

    /// Checks an agreement whose fields are at `pointer`, and brings it into its one form.
    pub(super) fn tidy_agreement(&self, pointer: &str, mut agreement: Agreement) -> Result<Agreement, HubError> {
        let at = |field: &str| format!("{pointer}/{field}");
        if agreement.max_tlp == Tlp::Red {
            return Err(invalid(&at("max_tlp"), "red is for named persons and in no agreement"));
        }
        if agreement.max_tlp == Tlp::Clear && agreement.expires.is_some() {
            // Without an agreement there is green: the end of such a one would open what it closed.
            return Err(invalid(&at("expires"), "an agreement on clear alone has no date, for a partner without an agreement has green, too"));
        }
        if agreement.expires.is_some_and(|expires| expires <= self.clock.now()) {
            return Err(invalid(&at("expires"), "must lie ahead"));
        }
        for sector in &mut agreement.sectors {
            *sector = Text::from(sector.trim().to_lowercase());
            if !self.sectors().contains(sector) {
                return Err(invalid(&at("sectors"), format!("not a sector; known: {}", self.sectors().join(" "))));
            }
        }
        agreement.sectors.sort_unstable();
        agreement.sectors.dedup();
        for categories in [&mut agreement.categories, &mut agreement.sends.categories] {
            categories.sort_unstable();
            categories.dedup();
        }
        let most = agreement.sectors.len().max(agreement.categories.len()).max(agreement.sends.categories.len());
        if most > MAX_WORDS {
            return Err(HubError::TooLarge { limit: MAX_WORDS as u64, unit: "categories or sectors" });
        }
        Ok(agreement)
    }
}

fn view(organisation: &Organisation, now: Timestamp) -> AgreementView {
    AgreementView {
        organisation: organisation.id,
        agreement: organisation.agreement.clone(),
        holds: organisation.agreement.as_ref().is_some_and(|agreement| agreement.holds(now)),
        collection: collection_title(organisation.id),
        version: organisation.version,
        updated: organisation.updated,
    }
}
