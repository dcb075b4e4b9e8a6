//! What the collections must know of organisations: who is a partner, what is agreed with it, how widely somebody's events may be passed on.
//!
//! Flow: a change of the records goes through the outbox as a control entry, carried into the ledger before the caller is answered, so that no event
//! of a new partner comes before it; [`tell_partners`] compares once at the start and tells what the ledger lacks, as after a restore or for a folder
//! from before there were agreements.
//! Invariant: told twice it changes nothing, so a start may repeat it.
//! Not here: what follows from it (`store::views::indicators`), the records themselves (`members`).

use crate::members::{AgreementView, NewOrganisation, OrganisationPatch, OrganisationView};
use crate::{Actor, Hub, HubError};
use model::{Agreement, OrgId, OrgKind, Organisation};
use std::sync::{Arc, Weak};
use std::time::Duration;
use store::ledger::Control;
use store::views::indicators::Register;

/// How often it is looked whether the log of indicators has heard what the ledger told up to the start.
const PAUSE: Duration = Duration::from_millis(500);

impl Hub {
    /// As [`crate::members::Members::add`]; the ledger knows of it when this returns.
    ///
    /// # Errors
    /// As [`crate::members::Members::add`].
    pub async fn add_organisation(&self, actor: &Actor, new: NewOrganisation) -> Result<Organisation, HubError> {
        let added = self.members().add(actor, new).await?;
        self.carry().await;
        Ok(added)
    }

    /// As [`crate::members::Members::change`]; the ledger knows of it when this returns.
    ///
    /// # Errors
    /// As [`crate::members::Members::change`].
    pub async fn change_organisation(
        &self,
        actor: &Actor,
        id: OrgId,
        version: u64,
        patch: OrganisationPatch,
        reason: &str,
    ) -> Result<OrganisationView, HubError> {
        let changed = self.members().change(actor, id, version, patch, reason).await?;
        self.carry().await;
        Ok(changed)
    }

    /// As [`crate::members::Members::set_agreement`]; the ledger knows of it when this returns.
    ///
    /// # Errors
    /// As [`crate::members::Members::set_agreement`].
    pub async fn set_agreement(&self, actor: &Actor, partner: OrgId, version: u64, agreement: Agreement, reason: &str) -> Result<AgreementView, HubError> {
        let set = self.members().set_agreement(actor, partner, version, agreement, reason).await?;
        self.carry().await;
        Ok(set)
    }

    /// As [`crate::members::Members::end_agreement`]; the ledger knows of it when this returns.
    ///
    /// # Errors
    /// As [`crate::members::Members::end_agreement`].
    pub async fn end_agreement(&self, actor: &Actor, partner: OrgId, version: Option<u64>, reason: &str) -> Result<AgreementView, HubError> {
        let ended = self.members().end_agreement(actor, partner, version, reason).await?;
        self.carry().await;
        Ok(ended)
    }

    /// Carries what is committed into the ledger. What cannot be carried now is tried again by the task that does so.
    pub async fn carry(&self) {
        if let Err(error) = self.drain_outbox().await {
            tracing::warn!(%error, "a change of an organisation waits in the outbox");
        }
    }

    /// Tells the ledger what it lacks or has otherwise than the records; gives how much.
    async fn tell_of_partners(&self, register: &Register) -> Result<u64, HubError> {
        let directory = self.directory().snapshot();
        let (mut reporters, mut agreements) = (Vec::new(), Vec::new());
        for organisation in directory.organisations() {
            let told = register.reporter(organisation.number).unwrap_or_default();
            let partner = organisation.kind == OrgKind::Partner;
            if (told.partner, told.licence) != (partner, organisation.licence) {
                reporters.push(Control::Reporter {
                    organisation: organisation.number,
                    version: organisation.version,
                    partner,
                    licence: organisation.licence,
                    at: organisation.updated,
                });
            }
            let told = register.terms(organisation.number);
            let ids = policy::audience_ids(organisation);
            let same = match (told, &organisation.agreement) {
                (Some(told), Some(agreement)) => told.agreement.as_ref() == Some(agreement) && told.audience == ids,
                (Some(told), None) => told.agreement.is_none(),
                (None, agreement) => agreement.is_none(),
            };
            if !same {
                agreements.push(Control::Agreement {
                    organisation: organisation.number,
                    version: organisation.version,
                    agreement: organisation.agreement.clone(),
                    audience: ids,
                    at: organisation.updated,
                });
            }
        }
        // Who is a partner first: what is agreed with one must never meet what another one reported.
        let mut told = 0;
        for control in reporters.into_iter().chain(agreements) {
            self.store().control(control).await?;
            told += 1;
        }
        Ok(told)
    }
}

/// Compares the records with what the ledger told, once all of it was heard.
pub(crate) async fn tell_partners(hub: Weak<Hub>) {
    let Some(end) = hub.upgrade().map(|hub| hub.store().ledger.end()) else { return };
    loop {
        {
            let Some(hub) = hub.upgrade() else { return };
            if *hub.stopping().borrow() {
                return;
            }
            let (heard, register): (_, Arc<Register>) = hub.store().indicators.told();
            if heard >= end {
                match hub.tell_of_partners(&register).await {
                    Ok(0) => {}
                    Ok(told) => tracing::info!(told, "partners, agreements and licences were told to the ledger again"),
                    Err(error) => tracing::warn!(%error, "partners were not told to the ledger; the next start does"),
                }
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
