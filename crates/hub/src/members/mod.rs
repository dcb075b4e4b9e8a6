//! Members: organisations with their standing, their keys and registrations, and claims against what they sent.
//!
//! Flow: judge by the directory → open a writer, read again, check version, rights and fields → write → commit and refresh the directory.
//! Invariant: *may not know it exists* is [`HubError::NotFound`], *may not do it* is [`HubError::Forbidden`], and a stale version is
//! told before rights are. When a method returns, the next request sees the change.
//! Not here: what a reader sees of events (`policy`), how records are kept (`store::records`), the carrying of control entries.

mod agreements;
mod claims;
mod contacts;
mod delegation;
mod groups;
mod keys;
mod networks;
mod organisations;
mod proofs;
mod shapes;
pub(crate) mod standing;
mod suffixes;
#[cfg(test)]
mod tests;
mod values;

pub use agreements::{AgreementView, MAX_AGREEMENTS, collection_title};
pub use claims::{About, CLAIM_CLOCK, ClaimPart, ClaimView};
pub(crate) use contacts::link_code;
pub use contacts::{ContactBehind, ContactState, ContactToAsk, ContactView, MAX_ASKS};
pub use groups::{GroupPatch, GroupView, NewGroup};
pub use keys::{KeyView, MAX_OVERLAP, NewKey};
pub use networks::{Challenge, NetworkView, NewNetwork, Overlap};
pub use shapes::{HistoryRow, NewOrganisation, OrganisationPatch, OrganisationView, Patch};
pub use store::records::{NetworkState, ProofMethod};

use crate::clock::Clock;
use crate::directory::Directory;
use crate::{Actor, HubError};
use model::{KeyRole, OrgId, OrgKind, OrgNo, Organisation, Text};
use std::sync::Arc;
use store::records::{Change, Records, RecordsError, Writer};

/// The sectors where the configuration names none.
pub const DEFAULT_SECTORS: [&str; 11] =
    ["electronics", "transport", "finance", "water", "energy", "health", "telecom", "government", "nuclear", "broadcasting", "logistics"];
/// Characters of a reason or note at the most.
pub const MAX_REASON: usize = 2_000;
/// Rows of a page at the most.
pub const MAX_PAGE: usize = 1_000;

/// The use cases of members.
#[derive(Debug)]
pub struct Members {
    records: Arc<Records>,
    directory: Arc<Directory>,
    clock: Clock,
    sectors: Vec<Text>,
}

impl Members {
    /// Members kept in `records` and seen through `directory`, with the default sectors.
    pub fn new(records: Arc<Records>, directory: Arc<Directory>, clock: Clock) -> Self {
        Self { records, directory, clock, sectors: DEFAULT_SECTORS.iter().map(|sector| Text::from(*sector)).collect() }
    }

    /// The same with other sectors; they are kept in lower case.
    #[must_use]
    pub fn with_sectors(mut self, sectors: impl IntoIterator<Item = Text>) -> Self {
        self.sectors = sectors.into_iter().map(|sector| Text::from(sector.to_lowercase())).collect();
        self
    }

    /// The sectors that an organisation may be in.
    pub fn sectors(&self) -> &[Text] {
        &self.sectors
    }

    fn noted<'a>(&self, actor: &Actor, action: &'a str, reason: &'a str) -> Change<'a> {
        Change { actor_key: Some(actor.key), actor_org: Some(actor.organisation.id), at: self.clock.now(), action, reason }
    }

    /// The organisation, where the actor may know that it exists.
    fn known(&self, actor: &Actor, id: OrgId) -> Result<Arc<Organisation>, HubError> {
        self.directory.by_id(id).filter(|organisation| may_know(actor, organisation)).ok_or(HubError::NotFound)
    }

    /// Commits and refreshes the directory. It goes on when the caller goes away: a revoked key must not hold because a connection broke.
    async fn commit(&self, writer: Writer) -> Result<(), HubError> {
        let records = Arc::clone(&self.records);
        let directory = Arc::clone(&self.directory);
        let done = tokio::spawn(async move {
            writer.commit().await?;
            directory.refresh(&records).await
        });
        done.await.map_err(|error| HubError::Internal(Box::new(error)))?
    }
}

/// Whether the actor may know that the organisation exists.
fn may_know(actor: &Actor, organisation: &Organisation) -> bool {
    actor.organisation.id == organisation.id
        || match actor.role {
            KeyRole::Coordinator | KeyRole::Auditor => true,
            // A feed that the hub collects belongs to no line.
            KeyRole::Authority => actor.reader.is_authority_of(organisation.constituency) || organisation.kind == OrgKind::Source,
            KeyRole::MemberAdmin | KeyRole::Analyst | KeyRole::Reporter | KeyRole::Reader => false,
        }
}

/// Whether the actor manages the organisation's keys and registrations.
fn may_administer(actor: &Actor, organisation: OrgId) -> Result<(), HubError> {
    match actor.role {
        KeyRole::Coordinator => Ok(()),
        KeyRole::MemberAdmin if actor.organisation.id == organisation => Ok(()),
        KeyRole::MemberAdmin | KeyRole::Authority | KeyRole::Analyst | KeyRole::Reporter | KeyRole::Reader | KeyRole::Auditor => {
            Err(HubError::Forbidden("only the coordinator or an administrator of the organisation may do this"))
        }
    }
}

fn coordinator_only(actor: &Actor) -> Result<(), HubError> {
    if actor.is_coordinator() { Ok(()) } else { Err(HubError::Forbidden("only the coordinator may do this")) }
}

fn is_hub(organisation: &Organisation) -> bool {
    organisation.number == OrgNo::HUB
}

pub(crate) fn invalid(pointer: &str, reason: impl Into<String>) -> HubError {
    HubError::Invalid { pointer: pointer.to_owned(), reason: reason.into() }
}

/// A reason or note without outer blanks.
pub(crate) fn reason_text<'a>(pointer: &str, text: &'a str, required: bool) -> Result<&'a str, HubError> {
    let text = text.trim();
    if required && text.is_empty() {
        return Err(invalid(pointer, "a reason is needed"));
    }
    if text.chars().count() > MAX_REASON {
        return Err(invalid(pointer, format!("longer than {MAX_REASON} characters")));
    }
    Ok(text)
}

/// Another record has the name: tells it as a fault of the field at `pointer`.
fn taken(error: RecordsError, pointer: &str, reason: &str) -> HubError {
    if matches!(error, RecordsError::Taken) { invalid(pointer, reason) } else { error.into() }
}

pub(crate) fn illegal(step: &str, legal: &str) -> HubError {
    HubError::IllegalStep { step: step.to_owned(), legal: legal.to_owned() }
}

impl From<RecordsError> for HubError {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::Stale { given, current, .. } => Self::Conflict { given, current },
            RecordsError::Missing { .. } => Self::NotFound,
            RecordsError::Taken => invalid("/", "another record of the kind has this name"),
            RecordsError::Busy => Self::Overloaded { retry_after: 1 },
            RecordsError::DiskFull(_) => Self::DiskFull,
            RecordsError::Unwritable(_) => Self::ReadOnly,
            RecordsError::UnknownSchema { .. }
            | RecordsError::Content { .. }
            | RecordsError::TooManyEntries { .. }
            | RecordsError::Io(_)
            | RecordsError::Engine(_) => Self::Internal(Box::new(error)),
        }
    }
}
