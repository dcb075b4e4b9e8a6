//! Erasure: a value is destroyed in every file once one person has asked for it, on a legal basis, and another has confirmed.
//!
//! Flow: [`Hub::request_erasure`] → [`Hub::confirm_erasure`] with another person's key → ledger and views → contributed MISP events → claims,
//! contacts, subscriptions → messages → contributed objects → reasons in the history → the record's own copy.
//! Invariant: nothing is destroyed by one person alone, and who has how many keys does not matter: both keys name their holder. An authority
//! knows of its own line's erasures and destroys its own line's values, with what mentions them in anyone's texts; what others reported too,
//! the coordinator confirms. What was confirmed is carried out, after an interruption at the next start.
//! Not here: how blocks are rewritten (`store::ledger`); backups, which are the operator's to destroy.

use crate::members::{MAX_PAGE, illegal, invalid, reason_text};
use crate::{Actor, Hub, HubError};
use model::canonical::canonical;
use model::ids::ErasureId;
use model::{KeyRole, ObservableType, Text, Timestamp};
use serde::Serialize;
use store::ledger::Victim;
use store::records::{Change, Contact, Erasure, ErasureState, Signatory};

/// What is said to a key without a holder.
const NO_HOLDER: &str = "an erasure takes two people and this key names no holder; use one made by: bongsu key add ORG --role ROLE --holder NAME";

/// An erasure as coordinators and authorities see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErasureView {
    /// Its id.
    pub id: ErasureId,
    /// Type of the value.
    #[serde(rename = "type")]
    pub kind: ObservableType,
    /// The value, only where one erasure that is still open is asked for: who confirms must know what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Text>,
    /// The legal basis.
    pub basis: Text,
    /// How far it is.
    pub state: ErasureState,
    /// When it was asked for.
    pub requested: Timestamp,
    /// Who asked.
    pub requested_by: Signatory,
    /// When it was confirmed.
    pub confirmed: Option<Timestamp>,
    /// Who confirmed.
    pub confirmed_by: Option<Signatory>,
    /// When it was done or rejected.
    pub ended: Option<Timestamp>,
    /// Why it was confirmed or rejected.
    pub reason: Option<Text>,
    /// Entries of the vault that were destroyed.
    pub entries: u64,
}

impl Hub {
    /// Asks for the destruction of a value. Where one about the same value is open already, that is given.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for other roles than coordinator and authority and for a key without a holder, [`HubError::Invalid`] for what is
    /// no value or no basis.
    pub async fn request_erasure(&self, actor: &Actor, kind: ObservableType, value: &str, basis: &str) -> Result<ErasureView, HubError> {
        may_erase(actor)?;
        self.holder(&signatory(actor)).ok_or(HubError::Forbidden(NO_HOLDER))?;
        let value = canonical(kind, value).map_err(|error| invalid("/value", error.to_string()))?;
        let basis = self.words_beside(kind, &value, "/basis", basis, true)?;
        let change = self.noted(actor, "request", "");
        let erasure = Erasure {
            id: ErasureId(self.clock().uuid()),
            kind,
            value: Some(value),
            basis: Text::from(basis),
            state: ErasureState::Requested,
            requested_by: signatory(actor),
            confirmed_by: None,
            confirmed: None,
            ended: None,
            reason: None,
            entries: 0,
            redacted: Vec::new(),
            version: 1,
            created: change.at,
        };
        let mut writer = self.records().write().await?;
        let all: Vec<Erasure> = writer.all().await?;
        let same = |other: &Erasure| other.state.is_open() && other.kind == kind && other.value == erasure.value && self.knows_erasure(actor, other);
        if let Some(same) = all.into_iter().find(same) {
            return Ok(view(same, false));
        }
        writer.insert(&erasure, &change, &[]).await?;
        writer.commit().await?;
        Ok(view(erasure, false))
    }

    /// Confirms an erasure and carries it out. When this returns the value is in no file and in no answer. Confirming again takes up one
    /// that failed on the way.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for who asked, with whichever key, and for a key without a holder, [`HubError::IllegalStep`] for one that has
    /// ended; else what the disk says: it stays confirmed.
    pub async fn confirm_erasure(&self, actor: &Actor, id: ErasureId, reason: &str) -> Result<ErasureView, HubError> {
        may_erase(actor)?;
        // One after another: each rewrites files of the ledger.
        let _turn = self.erasing.lock().await;
        let mut writer = self.records().write().await?;
        let mut erasure: Erasure = writer.get(&id.to_string()).await?.filter(|erasure| self.knows_erasure(actor, erasure)).ok_or(HubError::NotFound)?;
        if !erasure.state.is_open() {
            return Err(illegal("confirm", "none"));
        }
        self.is_second_person(actor, &erasure)?;
        if erasure.state == ErasureState::Requested {
            self.may_destroy(actor, &erasure)?;
            let reason = self.words_about(&erasure, reason)?;
            let change = self.noted(actor, "confirm", reason);
            let version = erasure.version;
            erasure = Erasure {
                state: ErasureState::Confirmed,
                confirmed_by: Some(signatory(actor)),
                confirmed: Some(change.at),
                reason: (!reason.is_empty()).then(|| Text::from(reason)),
                version: version + 1,
                ..erasure
            };
            writer.update(&erasure, version, &change, &[]).await?;
            writer.commit().await?;
        } else {
            drop(writer);
        }
        self.carry_out(erasure).await
    }

    /// Ends an erasure that nobody confirmed; nothing is destroyed but the request's own copy of the value.
    ///
    /// # Errors
    /// [`HubError::IllegalStep`] for one that was confirmed or has ended.
    pub async fn reject_erasure(&self, actor: &Actor, id: ErasureId, reason: &str) -> Result<ErasureView, HubError> {
        may_erase(actor)?;
        let mut writer = self.records().write().await?;
        let erasure: Erasure = writer.get(&id.to_string()).await?.filter(|erasure| self.knows_erasure(actor, erasure)).ok_or(HubError::NotFound)?;
        if erasure.state != ErasureState::Requested {
            return Err(illegal("reject", if erasure.state.is_open() { "confirm" } else { "none" }));
        }
        let reason = self.words_about(&erasure, reason)?;
        let change = self.noted(actor, "reject", reason);
        let version = erasure.version;
        let rejected = Erasure {
            state: ErasureState::Rejected,
            value: None,
            ended: Some(change.at),
            reason: (!reason.is_empty()).then(|| Text::from(reason)),
            version: version + 1,
            ..erasure
        };
        writer.update(&rejected, version, &change, &[]).await?;
        writer.commit().await?;
        self.records().checkpoint().await?;
        Ok(view(rejected, false))
    }

    /// One erasure, with its value while it is open.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none.
    pub async fn erasure(&self, actor: &Actor, id: ErasureId) -> Result<ErasureView, HubError> {
        may_erase(actor)?;
        let erasure: Option<Erasure> = self.records().get(&id.to_string()).await?;
        erasure.filter(|erasure| self.knows_erasure(actor, erasure)).map(|erasure| view(erasure, true)).ok_or(HubError::NotFound)
    }

    /// Erasures, newest first, and where the next page starts.
    ///
    /// # Errors
    /// [`HubError::Invalid`] for a cursor of another list.
    pub async fn erasures(&self, actor: &Actor, limit: usize, cursor: Option<&str>) -> Result<(Vec<ErasureView>, Option<String>), HubError> {
        may_erase(actor)?;
        if cursor.is_some_and(|cursor| cursor.parse::<ErasureId>().is_err()) {
            return Err(invalid("cursor", "not a cursor of this list"));
        }
        let limit = limit.clamp(1, MAX_PAGE);
        let mut page: Vec<ErasureView> = Vec::new();
        let mut before = cursor.map(str::to_owned);
        loop {
            let read: Vec<Erasure> = self.records().page(before.as_deref(), limit as u32 + 1).await?;
            let Some(last) = read.last() else { return Ok((page, None)) };
            before = Some(last.id.to_string());
            for erasure in read.into_iter().filter(|erasure| self.knows_erasure(actor, erasure)) {
                if page.len() == limit {
                    // The cursor is an erasure the caller saw; one made of any other would tell that it exists.
                    let next = page.last().map(|last| last.id.to_string());
                    return Ok((page, next));
                }
                page.push(view(erasure, false));
            }
        }
    }

    /// Whether the actor may know of an erasure: the coordinator, and the authority of the line that asks for it.
    fn knows_erasure(&self, actor: &Actor, erasure: &Erasure) -> bool {
        let line = || self.directory().by_id(erasure.requested_by.organisation).and_then(|organisation| organisation.constituency);
        actor.is_coordinator() || actor.reader.is_authority_of(line())
    }

    /// Refuses whoever cannot be told from the person who asked.
    fn is_second_person(&self, actor: &Actor, erasure: &Erasure) -> Result<(), HubError> {
        let first = self.holder(&erasure.requested_by);
        let first = first.ok_or(HubError::Forbidden("who asked for this erasure used a key without a holder: reject it and ask anew"))?;
        let second = self.holder(&signatory(actor)).ok_or(HubError::Forbidden(NO_HOLDER))?;
        if erasure.requested_by.key == actor.key || first == second {
            return Err(HubError::Forbidden("an erasure is confirmed by another person than who asked for it"));
        }
        Ok(())
    }

    /// The person who holds a key, in lower case; revoked keys keep theirs.
    fn holder(&self, signatory: &Signatory) -> Option<String> {
        let directory = self.directory().snapshot();
        let facts = directory.keys_of(signatory.organisation).iter().find(|facts| facts.key.id == signatory.key)?;
        facts.key.holder.as_ref().map(|holder| holder.trim().to_lowercase())
    }

    /// Whether the actor may destroy the value: an authority only one that its own line reported, and no other. Unknown is answered as
    /// known to others, so that nobody learns by asking.
    fn may_destroy(&self, actor: &Actor, erasure: &Erasure) -> Result<(), HubError> {
        if actor.is_coordinator() {
            return Ok(());
        }
        let views = &self.store().views;
        let key = views.keys.observable(erasure.kind, erasure.value.as_deref().unwrap_or_default());
        let rows = views.observables.get(key).map_err(|error| HubError::Internal(Box::new(error)))?;
        let in_line = |reporter| self.directory().organisation(reporter).is_some_and(|sender| actor.reader.is_authority_of(sender.constituency));
        if !rows.is_empty() && rows.iter().all(|row| views.class(row.class).is_some_and(|class| in_line(class.reporter))) {
            return Ok(());
        }
        Err(HubError::Forbidden("the coordinator confirms the erasure of a value that not the authority's own line alone reported"))
    }

    /// Takes up what was confirmed before the hub stopped.
    pub(crate) async fn resume_erasures(&self) -> Result<(), HubError> {
        let _turn = self.erasing.lock().await;
        for erasure in self.records().all::<Erasure>().await? {
            let id = erasure.id;
            // One before may have ended this one with it.
            let now: Option<Erasure> = self.records().get(&id.to_string()).await?;
            let Some(erasure) = now.filter(|erasure| erasure.state == ErasureState::Confirmed) else { continue };
            if let Err(error) = self.carry_out(erasure).await {
                tracing::error!(%id, %error, "a confirmed erasure waits; confirm it again or restart once the cause is gone");
            }
        }
        Ok(())
    }

    /// Destroys the value of a confirmed erasure everywhere; doing it again does what is left. The caller holds `erasing`.
    async fn carry_out(&self, erasure: Erasure) -> Result<ErasureView, HubError> {
        let Some(value) = erasure.value.clone() else { return Err(HubError::NotFound) };
        let victim = Victim::new(&self.store().views.keys, erasure.kind, &value);
        let erased = self.store().erase(victim.clone(), erasure.id.to_string(), erasure.basis.to_string()).await;
        // Where it failed, part of it may be done.
        self.blocks.forget();
        let entries = erased?;
        // Whoever looks an attribute up finds its value gone; what is left of it among the hub's own events is withdrawn a little later.
        self.misp_erase(&victim).await?;
        let change = Change { actor_key: None, actor_org: None, at: self.clock().now(), action: "erase", reason: "" };
        self.records().erase_claims(&victim, &change).await?;
        self.records().erase_addresses::<Contact>(&victim, &change).await?;
        self.records().erase_subscriptions(&victim, &change).await?;
        // After the ledger, so that whatever is rendered from now on is without it.
        self.delivery.erase(&victim).await?;
        self.sources.erase(&victim).await?;
        // What members contributed and names it, also by the id that follows from it.
        let observable = formats::stix::write::observable_id(erasure.kind, &value);
        let objects = self.objects().erase(&victim, observable.as_deref(), self.taxii_erasure_secret()).await?;
        self.abuse.erase(self.records(), &victim, &change).await?;
        // A claim just decided lies in the outbox with its value until the ledger has it.
        self.drain_outbox().await?;
        let mut writer = self.records().write().await?;
        let redacted = writer.redact(&victim).await?;
        // Another request for the same, by someone who could not know of this one, would keep the value.
        let all: Vec<Erasure> = writer.all().await?;
        let same = |other: &Erasure| other.id != erasure.id && other.kind == erasure.kind && other.value.as_ref() == Some(&value);
        for other in all.into_iter().filter(same) {
            let version = other.version;
            writer.update(&done(other, change.at), version, &change, &[]).await?;
        }
        let version = erasure.version;
        let done = Erasure { entries, redacted, ..done(erasure, change.at) };
        writer.update(&done, version, &change, &[]).await?;
        writer.commit().await?;
        self.directory().refresh(self.records()).await?;
        self.refresh_subscriptions().await?;
        self.records().checkpoint().await?;
        tracing::info!(id = %done.id, entries, objects, "a value was erased");
        Ok(view(done, false))
    }

    fn noted<'a>(&self, actor: &Actor, action: &'a str, reason: &'a str) -> Change<'a> {
        Change { actor_key: Some(actor.key), actor_org: Some(actor.organisation.id), at: self.clock().now(), action, reason }
    }

    fn words_about<'a>(&self, erasure: &Erasure, reason: &'a str) -> Result<&'a str, HubError> {
        self.words_beside(erasure.kind, erasure.value.as_deref().unwrap_or_default(), "/reason", reason, false)
    }

    /// Words that enter the history or the ledger, where they may outlive it: they must not repeat the value.
    fn words_beside<'a>(&self, kind: ObservableType, value: &str, pointer: &str, words: &'a str, required: bool) -> Result<&'a str, HubError> {
        let words = reason_text(pointer, words, required)?;
        if Victim::new(&self.store().views.keys, kind, value).is_in(words) {
            return Err(invalid(pointer, "must not repeat the value"));
        }
        Ok(words)
    }
}

fn may_erase(actor: &Actor) -> Result<(), HubError> {
    match actor.role {
        KeyRole::Coordinator | KeyRole::Authority => Ok(()),
        KeyRole::MemberAdmin | KeyRole::Analyst | KeyRole::Reporter | KeyRole::Reader | KeyRole::Auditor => {
            Err(HubError::Forbidden("only coordinators and authorities erase values"))
        }
    }
}

/// An erasure whose value is destroyed.
fn done(erasure: Erasure, at: Timestamp) -> Erasure {
    Erasure { state: ErasureState::Done, value: None, ended: Some(at), version: erasure.version + 1, ..erasure }
}

fn signatory(actor: &Actor) -> Signatory {
    Signatory { key: actor.key, organisation: actor.organisation.id }
}

fn view(erasure: Erasure, with_value: bool) -> ErasureView {
    ErasureView {
        id: erasure.id,
        kind: erasure.kind,
        value: erasure.value.filter(|_| with_value),
        basis: erasure.basis,
        state: erasure.state,
        requested: erasure.created,
        requested_by: erasure.requested_by,
        confirmed: erasure.confirmed,
        confirmed_by: erasure.confirmed_by,
        ended: erasure.ended,
        reason: erasure.reason,
        entries: erasure.entries,
    }
}
