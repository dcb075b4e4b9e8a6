//! Withdrawal and amendment: by the sender or an authority that sees the event whole; every view and product follows.

use super::blocks::Found;
use super::view::View;
use crate::answers::{Outcome, WithdrawAnswer};
use crate::{Actor, Hub, HubError};
use formats::Defaults;
use model::{Event, Filter, KeyRole, ReceiptId, Seq};
use policy::Sight;
use std::sync::Arc;
use store::Batch;
use store::ledger::{Control, Submission};
use store::views::prepare;
use tokio::sync::oneshot;

/// Events of one withdrawal at the most.
const MAX_EVENTS: usize = 1_000_000;
/// Bytes of a reason at the most.
const MAX_REASON: usize = 2_000;

/// What is to be withdrawn.
#[derive(Debug, Clone)]
pub enum Withdrawal {
    /// One event.
    Seq(Seq),
    /// Every event of a batch.
    Receipt(ReceiptId),
    /// Every event of one's own, or seen whole as authority, that a filter wants.
    Filter(Filter),
}

impl Hub {
    /// Withdraws events. When this returns no later answer shows them.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where nothing is there that the caller may withdraw, [`HubError::Forbidden`] for what it only sees.
    pub async fn withdraw(self: &Arc<Self>, actor: &Actor, what: Withdrawal, reason: &str, dry_run: bool) -> Result<WithdrawAnswer, HubError> {
        submits(actor)?;
        let reason = checked_reason(reason)?;
        // An event being amended is either withdrawn before, and then not amended, or amended before.
        let _turn = if matches!(what, Withdrawal::Seq(_)) { Some(self.amending.lock().await) } else { None };
        let (hub, caller) = (self.clone(), actor.clone());
        // Looking for them may read every block, so it is done away from the threads that serve connections.
        let found = tokio::task::spawn_blocking(move || hub.to_withdraw(&caller, what)).await;
        let seqs = found.map_err(|broken| HubError::Internal(Box::new(broken)))??;
        let withdrawn = seqs.len() as u64;
        if !dry_run && withdrawn > 0 {
            let control = Control::Withdraw { ranges: ranges(&seqs), by: actor.organisation.number, reason };
            self.store().control(control).await?;
        }
        Ok(WithdrawAnswer { withdrawn, dry_run })
    }

    /// The events that are meant, as far as the caller may withdraw them.
    fn to_withdraw(&self, actor: &Actor, what: Withdrawal) -> Result<Vec<Seq>, HubError> {
        match what {
            Withdrawal::Seq(seq) => {
                self.own_event(actor, seq)?;
                Ok(vec![seq])
            }
            Withdrawal::Receipt(id) => {
                let batch = self.batch_places(actor, id)?;
                self.batch_to_withdraw(actor, &batch)
            }
            Withdrawal::Filter(filter) => {
                if filter.is_empty() {
                    return Err(HubError::Invalid { pointer: "/filter".to_owned(), reason: "must hold a condition".to_owned() });
                }
                self.places_to_withdraw(actor, &filter, MAX_EVENTS)
            }
        }
    }

    /// Puts a corrected event in the place of one; the old one stays in the history of the ledger.
    ///
    /// # Errors
    /// As [`Hub::withdraw`]; [`HubError::Invalid`] where the corrected event is none.
    pub async fn amend(&self, actor: &Actor, seq: Seq, event_json: &[u8]) -> Result<Outcome, HubError> {
        submits(actor)?;
        // One after another: of two corrections of one event the later finds it replaced.
        let _turn = self.amending.lock().await;
        let old = self.own_event(actor, seq)?;
        let reporter = old.reporter;
        // What the correction leaves out stays as it was: nothing is relaxed by omission.
        let defaults =
            Defaults { now: self.clock().now(), tlp: old.event.tlp, pap: old.event.pap, named: old.event.named, category: None, origin: None, role: None };
        let mut notes = formats::Notes::default();
        let parsed = formats::ndjson::parse_event_noting(event_json, 1, &defaults, &mut notes);
        let mut event = parsed.map_err(|reason| HubError::Invalid { pointer: "/".to_owned(), reason })?;
        // The corrected event has the old one's id as a rule; it must not be merged into what it replaces.
        event.id = None;
        if event.audience().is_empty() && !old.event.audience().is_empty() && !mentions_audience(event_json) {
            event.details_mut().audience = old.event.audience().to_vec();
        }
        if reporter != actor.organisation.number {
            keep_limits(&mut event, &old.event);
        }
        let sends = self.directory().organisation(reporter).and_then(|organisation| crate::intake::sends_of(&organisation));
        if let Some(reason) = sends.and_then(|sends| policy::outside(&sends, event.tlp, event.category)) {
            return Err(HubError::Invalid { pointer: "/".to_owned(), reason });
        }
        let views = &self.store().views;
        let mut days = self.make_days();
        let prepared = prepare(vec![event], reporter, &views.keys, days.as_mut());
        let nonce = crate::intake::make_nonce();
        let submission = Submission { org: reporter, nonce, idempotency: None, first_ordinal: 0, start: 0, rows: 1, last: true };
        let (reply, answer) = oneshot::channel();
        let control = Control::Amend { old: seq, nonce, by: actor.organisation.number };
        self.store().amend(control, Batch { prepared, encoded: None, submission, holes: Vec::new(), reply }).await?;
        let result = answer.await.map_err(|_| HubError::Overloaded { retry_after: 5 })??;
        Ok(Outcome {
            receipt: Some(crate::intake::make_receipt(result.first_seq, nonce).to_string()),
            first_seq: Some(result.first_seq),
            last_seq: Some(result.last_seq),
            accepted: result.applied.accepted,
            merged: result.applied.merged,
            warned: notes.warned,
            warnings: crate::intake::warnings(notes).collect(),
            ..Outcome::default()
        })
    }

    /// An event that the caller may change: its own, or one that it sees whole.
    fn own_event(&self, actor: &Actor, seq: Seq) -> Result<Found, HubError> {
        let found = self.blocks.event(seq).ok_or(HubError::NotFound)?;
        if found.reporter == actor.organisation.number {
            return Ok(found);
        }
        let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
        let sight = view.event(found.reporter, &found.event);
        // An event of which nothing is left for the reader is not known to it.
        if !policy::redact(&mut found.event.clone(), sight) {
            return Err(HubError::NotFound);
        }
        match sight {
            Sight::Own | Sight::Whole => Ok(found),
            Sight::WithoutVictims | Sight::WithoutReporterAndVictims => Err(HubError::Forbidden("only the sender or its authority changes an event")),
            Sight::Hidden | Sight::OwnFinding => Err(HubError::NotFound),
        }
    }
}

/// Who corrects another's event shows it to nobody whom its sender did not let see it.
fn keep_limits(event: &mut Event, old: &Event) {
    event.tlp = event.tlp.max(old.tlp);
    event.pap = event.pap.max(old.pap);
    event.named &= old.named;
    event.origin = old.origin;
    if event.audience() != old.audience() {
        event.details_mut().audience = old.audience().to_vec();
    }
}

/// Whether the correction says something of the audience, be it that there is none.
fn mentions_audience(event_json: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(event_json).is_ok_and(|event| event.get("audience").is_some())
}

fn submits(actor: &Actor) -> Result<(), HubError> {
    match actor.role {
        KeyRole::Coordinator | KeyRole::Authority | KeyRole::MemberAdmin | KeyRole::Analyst | KeyRole::Reporter => Ok(()),
        KeyRole::Reader | KeyRole::Auditor => Err(HubError::Forbidden("this role does not change events")),
    }
}

fn checked_reason(reason: &str) -> Result<String, HubError> {
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > MAX_REASON {
        return Err(HubError::Invalid { pointer: "/reason".to_owned(), reason: format!("must have 1 to {MAX_REASON} bytes") });
    }
    Ok(reason.to_owned())
}

/// Runs of neighbouring places.
pub(crate) fn ranges(seqs: &[Seq]) -> Vec<(Seq, Seq)> {
    let mut ranges: Vec<(Seq, Seq)> = Vec::new();
    for &seq in seqs {
        match ranges.last_mut() {
            Some(range) if range.1.next() == seq => range.1 = seq,
            _ => ranges.push((seq, seq)),
        }
    }
    ranges
}
