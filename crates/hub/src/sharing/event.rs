//! One event, and what became of a batch.

use super::lookup::reads;
use super::view::View;
use crate::answers::ReceiptAnswer;
use crate::intake::read_receipt;
use crate::{Actor, Hub, HubError};
use model::{Event, KeyRole, OrgNo, ReceiptId, Seq};
use policy::Sight;
use store::ledger::{Body, Kind, Submission, columns};
use store::views::strings::Class;

/// Events of a batch that a receipt looks at.
const MAX_EXAMINED: u64 = 10_000;
/// Blocks looked through for the parts of one batch.
const MAX_BLOCKS: usize = 4_096;

/// The rows of a batch.
pub(crate) struct BatchPlaces {
    /// Runs of rows, first and last place.
    pub(crate) runs: Vec<(Seq, Seq)>,
    /// Who sent it.
    pub(crate) org: OrgNo,
}

impl Hub {
    /// One event as its reader may see it, as JSON.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where it is hidden, withdrawn or not there, [`HubError::Replaced`] where a corrected event stands in its place and
    /// the caller may know of both.
    pub fn event(&self, actor: &Actor, seq: Seq) -> Result<Vec<u8>, HubError> {
        reads(actor)?;
        let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
        let Some(mut found) = self.blocks.event(seq) else { return Err(self.no_longer(&view, seq)) };
        view.render(seq, found.received, found.reporter, &mut found.event).ok_or(HubError::NotFound)
    }

    /// Finds the rows of a receipt that the caller may act on: as its sender, as the sender's authority or as coordinator.
    pub(crate) fn batch_places(&self, actor: &Actor, id: ReceiptId) -> Result<BatchPlaces, HubError> {
        let (first, nonce) = read_receipt(id);
        // A batch goes by its first event, what came later with it by a filter or by itself.
        if self.store().views.is_expired(first) {
            return Err(HubError::NotFound);
        }
        let ledger = &self.store().ledger;
        let start = ledger.index_of(first);
        let mut batch: Option<BatchPlaces> = None;
        for place in ledger.places(start..start + MAX_BLOCKS) {
            if place.header.kind == Kind::Control {
                continue;
            }
            let frame = ledger.read(&place).map_err(|error| HubError::Internal(Box::new(error)))?;
            for submission in frame.submissions().into_iter().filter(|submission| submission.nonce == nonce) {
                let run = run_of(place.header.first_seq, &submission);
                let batch = batch.get_or_insert_with(|| BatchPlaces { runs: Vec::new(), org: submission.org });
                batch.runs.push(run);
                if submission.last {
                    return self.admit(actor, first, batch);
                }
            }
            if batch.is_none() {
                break;
            }
        }
        match batch {
            Some(mut batch) => self.admit(actor, first, &mut batch),
            None => Err(HubError::NotFound),
        }
    }

    fn admit(&self, actor: &Actor, first: Seq, batch: &mut BatchPlaces) -> Result<BatchPlaces, HubError> {
        let of_its_line = || self.directory().organisation(batch.org).is_some_and(|sender| actor.reader.is_authority_of(sender.constituency));
        let known = batch.org == actor.organisation.number || actor.is_coordinator() || of_its_line();
        if !known || actor.role == KeyRole::Auditor || batch.runs.first().is_none_or(|run| run.0 != first) {
            return Err(HubError::NotFound);
        }
        Ok(BatchPlaces { runs: std::mem::take(&mut batch.runs), org: batch.org })
    }

    /// What became of a batch, as far as policy allows.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where it is not the caller's.
    pub fn receipt(&self, actor: &Actor, id: ReceiptId) -> Result<ReceiptAnswer, HubError> {
        if actor.role == KeyRole::Auditor {
            return Err(HubError::Forbidden("this role does not read receipts"));
        }
        let batch = self.batch_places(actor, id)?;
        // What an authority withdraws by its receipt may hold more than it sees.
        if batch.org != actor.organisation.number && !actor.is_coordinator() {
            return Err(HubError::NotFound);
        }
        let (first, last) = (batch.runs.first().map_or(Seq(0), |run| run.0), batch.runs.last().map_or(Seq(0), |run| run.1));
        let received = self.blocks.any_event(first).ok_or(HubError::NotFound)?.received;
        let views = &self.store().views;
        let mut answer = ReceiptAnswer {
            receipt: id.to_string(),
            received,
            first_seq: first,
            last_seq: last,
            accepted: 0,
            merged: 0,
            withdrawn: 0,
            confirmed: 0,
            disputed: 0,
            owners_told: 0,
            fixed: 0,
            warnings: 0,
            examined: 0,
        };
        // A reporter key reads its own receipts although it reads no events: what others did is counted for its organisation as an analyst.
        let mut reader = actor.reader.clone();
        if reader.role == KeyRole::Reporter {
            reader.role = KeyRole::Analyst;
        }
        let view = View { reader: &reader, directory: self.directory().snapshot() };
        for (first, last) in batch.runs {
            let (merged, withdrawn) = (views.merged.read(), views.withdrawn.read());
            let count = last.0 - first.0 + 1;
            let merged_here = merged.range_cardinality(first.0..=last.0);
            answer.merged += merged_here;
            answer.withdrawn += withdrawn.range_cardinality(first.0..=last.0);
            answer.accepted += count - merged_here;
            drop((merged, withdrawn));
            let examined = count.min(MAX_EXAMINED - answer.examined);
            if examined == 0 {
                continue;
            }
            answer.examined += examined;
            for (_, event) in self.events_of((first, Seq(first.0 + examined - 1))) {
                let mut confirmed = false;
                let mut disputed = false;
                for observable in &event.observables {
                    let key = views.keys.observable(observable.kind, &observable.value);
                    disputed |= views.disputed.read().contains(&key);
                    let rows = views.observables.get(key).map_err(|error| HubError::Internal(Box::new(error)))?;
                    confirmed |= rows.iter().filter_map(|row| views.class(row.class)).any(|class| self.confirms(&view, &class, batch.org));
                }
                answer.confirmed += u64::from(confirmed);
                answer.disputed += u64::from(disputed);
            }
        }
        Ok(answer)
    }

    /// The events of a run that count; its block is opened once.
    fn events_of(&self, (first, last): (Seq, Seq)) -> Vec<(Seq, Event)> {
        let position = self.store().views.position();
        let Some(frame) = self.blocks.frame(first).filter(|frame| frame.header.kind != Kind::Control) else { return Vec::new() };
        let Some((_, columns)) = columns::split_filter(frame.body()) else { return Vec::new() };
        let Some(reader) = Body::open(frame.header.rows, columns).and_then(|body| body.events(frame.vault())) else { return Vec::new() };
        let block = frame.header.first_seq.0;
        let end = last.0.saturating_add(1).min(frame.header.end().0).min(position.0);
        let counting = (first.0.max(block)..end).map(Seq).filter(|seq| self.store().views.counts(*seq));
        counting.filter_map(|seq| Some((seq, reader.event(usize::try_from(seq.0 - block).ok()?)?))).collect()
    }

    /// The events of a batch that the caller may withdraw: all of its own, of another's those that it sees whole.
    pub(crate) fn batch_to_withdraw(&self, actor: &Actor, batch: &BatchPlaces) -> Result<Vec<Seq>, HubError> {
        if batch.org == actor.organisation.number || actor.is_coordinator() {
            let counted = |seq: &Seq| self.store().views.counts(*seq);
            return Ok(batch.runs.iter().flat_map(|run| (run.0.0..=run.1.0).map(Seq)).filter(counted).collect());
        }
        let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
        let mut places = Vec::new();
        for run in &batch.runs {
            for (seq, mut event) in self.events_of(*run) {
                let sight = view.event(batch.org, &event);
                if sight == Sight::Whole && policy::redact(&mut event, sight) {
                    places.push(seq);
                }
            }
        }
        // Where it sees nothing of a batch, the batch is not known to it.
        if places.is_empty() { Err(HubError::NotFound) } else { Ok(places) }
    }

    /// Whether rows of this class are another member's own observation that the reader may know of.
    pub(crate) fn confirms(&self, view: &View<'_>, class: &Class, org: OrgNo) -> bool {
        let audience = self.store().views.strings.audience(class.audience);
        class.reporter != org && !class.relayed && !class.withdrawn && view.class(class, &audience, &self.store().views.strings).sees_event()
    }
}

/// The first and the last place of a submission's rows in the block that begins at `first`.
pub(super) fn run_of(first: Seq, submission: &Submission) -> (Seq, Seq) {
    let start = first.0 + u64::from(submission.start);
    (Seq(start), Seq(start + u64::from(submission.rows.max(1)) - 1))
}
