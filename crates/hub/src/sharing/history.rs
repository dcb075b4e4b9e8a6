//! The versions of an event: what was corrected or taken back, by whom, and what stands there now.
//!
//! Flow: the ledger has a corrected event and, in the frame after it, the control entry that lets it replace another. So the version before
//! an event is named beside it, and what ended an event is found by reading the control entries since.
//! Invariant: the versions are for who sees the event as its sender or whole; to others it is unknown, or forbidden where they see it now.
//! Not here: making corrections (`withdraw`).

use super::event::run_of;
use super::lookup::reads;
use super::view::View;
use crate::answers::{Acting, EventVersion, HistoryAnswer, VersionState};
use crate::{Actor, Hub, HubError};
use model::{OrgNo, Seq};
use policy::{Sight, redact};
use serde_json::value::RawValue;
use store::ledger::{Control, Frame, Kind};

/// Versions looked at before the one asked for, and as many in all after the first of them.
const MAX_VERSIONS: usize = 100;
/// Control entries read for one answer at the most.
const MAX_CONTROLS: usize = 100_000;

/// Why an event no longer counts.
enum Ending {
    /// A corrected event stands in its place.
    Amended { by: OrgNo, new: Option<Seq> },
    /// It was taken back.
    Withdrawn { by: OrgNo, reason: String },
}

/// A chain of corrections, oldest first; an event that counts has no ending.
struct Chain {
    versions: Vec<(Seq, Option<Ending>)>,
    /// Whether a limit was reached before the end.
    is_cut: bool,
}

impl Hub {
    /// The versions of an event, newest first.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where the caller may not know of it, [`HubError::Forbidden`] where it sees the event but is neither its sender
    /// nor sees it whole.
    pub fn event_history(&self, actor: &Actor, seq: Seq) -> Result<HistoryAnswer, HubError> {
        reads(actor)?;
        let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
        self.may_know_versions(&view, seq)?;
        let mut first = seq;
        let mut is_cut = true;
        for _ in 0..MAX_VERSIONS {
            let Some(before) = self.version_before(first)? else {
                is_cut = false;
                break;
            };
            first = before;
        }
        let chain = self.chain_from(first)?;
        let items = chain.versions.into_iter().rev().filter_map(|(seq, ending)| self.version(&view, seq, ending)).collect();
        Ok(HistoryAnswer { items, at_least: is_cut || chain.is_cut })
    }

    /// Why an event that does not count is not shown: replaced, for who may know of both, else as if it had never been.
    pub(super) fn no_longer(&self, view: &View<'_>, seq: Seq) -> HubError {
        if self.may_know_versions(view, seq).is_err() {
            return HubError::NotFound;
        }
        match self.chain_from(seq) {
            Ok(Chain { versions, .. }) => match versions.last() {
                Some((newest, None)) if *newest != seq && self.may_know_versions(view, *newest).is_ok() => HubError::Replaced { by: *newest },
                Some(_) | None => HubError::NotFound,
            },
            Err(error) => error,
        }
    }

    fn may_know_versions(&self, view: &View<'_>, seq: Seq) -> Result<(), HubError> {
        let views = &self.store().views;
        if seq >= views.position() || views.merged.read().contains(seq.0) {
            return Err(HubError::NotFound);
        }
        let mut found = self.blocks.any_event(seq).ok_or(HubError::NotFound)?;
        let sight = view.event(found.reporter, &found.event);
        // An event of which nothing is left for the reader is not known to it.
        if !redact(&mut found.event, sight) {
            return Err(HubError::NotFound);
        }
        match sight {
            Sight::Own | Sight::Whole => Ok(()),
            Sight::WithoutVictims | Sight::WithoutReporterAndVictims if views.counts(seq) => {
                Err(HubError::Forbidden("only the sender and its authority read the history of an event"))
            }
            Sight::WithoutVictims | Sight::WithoutReporterAndVictims | Sight::Hidden | Sight::OwnFinding => Err(HubError::NotFound),
        }
    }

    /// The event that this one was written to replace.
    fn version_before(&self, seq: Seq) -> Result<Option<Seq>, HubError> {
        let Some(Control::Amend { old, nonce, .. }) = self.control(self.store().ledger.index_of(seq) + 1)? else { return Ok(None) };
        let is_its = self.blocks.frame(seq).is_some_and(|frame| place_of(&frame, nonce) == Some(seq));
        Ok((is_its && old < seq).then_some(old))
    }

    /// Follows the corrections of an event up to what counts now, or to its end.
    fn chain_from(&self, first: Seq) -> Result<Chain, HubError> {
        let ledger = &self.store().ledger;
        let mut chain = Chain { versions: Vec::new(), is_cut: false };
        let (mut index, mut left) = (ledger.index_of(first) + 1, MAX_CONTROLS);
        let mut seq = first;
        loop {
            if self.store().views.counts(seq) {
                chain.versions.push((seq, None));
                return Ok(chain);
            }
            let Some(ending) = self.ending_of(seq, &mut index, &mut left)? else {
                chain.is_cut = true;
                return Ok(chain);
            };
            let next = match &ending {
                Ending::Amended { new, .. } => *new,
                Ending::Withdrawn { .. } => None,
            };
            chain.versions.push((seq, Some(ending)));
            let Some(next) = next else { return Ok(chain) };
            if chain.versions.len() > MAX_VERSIONS {
                chain.is_cut = true;
                return Ok(chain);
            }
            seq = next;
        }
    }

    /// The first control entry from `index` on that ended an event; moves on to the one after.
    fn ending_of(&self, seq: Seq, index: &mut usize, left: &mut usize) -> Result<Option<Ending>, HubError> {
        let frames = self.store().ledger.frames();
        while *index < frames && *left > 0 {
            let here = *index;
            *index += 1;
            let Some(control) = self.control(here)? else { continue };
            *left -= 1;
            match control {
                Control::Amend { old, nonce, by } if old == seq => return Ok(Some(Ending::Amended { by, new: self.written_before(here, nonce) })),
                Control::Withdraw { ranges, by, reason } if ranges.iter().any(|range| range.0 <= seq && seq <= range.1) => {
                    return Ok(Some(Ending::Withdrawn { by, reason }));
                }
                Control::Amend { .. }
                | Control::Withdraw { .. }
                | Control::Dispute { .. }
                | Control::Erase { .. }
                | Control::Expire { .. }
                | Control::Record { .. }
                | Control::Network { .. }
                | Control::Reporter { .. }
                | Control::Agreement { .. }
                | Control::National { .. }
                | Control::Release { .. } => {}
            }
        }
        Ok(None)
    }

    /// The event of a nonce in the frame before that of a control entry.
    fn written_before(&self, index: usize, nonce: u64) -> Option<Seq> {
        let place = self.store().ledger.place(index.checked_sub(1)?)?;
        let frame = self.blocks.frame(place.header.first_seq)?;
        place_of(&frame, nonce)
    }

    /// The control entry in the frame of this index, where it is one.
    fn control(&self, index: usize) -> Result<Option<Control>, HubError> {
        let ledger = &self.store().ledger;
        let Some(place) = ledger.place(index).filter(|place| place.header.kind == Kind::Control) else { return Ok(None) };
        let frame = ledger.read(&place).map_err(|error| HubError::Internal(Box::new(error)))?;
        Ok(serde_json::from_slice(frame.body()).ok())
    }

    /// One version as its reader may see it; `None` where that one is hidden from it.
    fn version(&self, view: &View<'_>, seq: Seq, ending: Option<Ending>) -> Option<EventVersion> {
        let mut found = self.blocks.any_event(seq)?;
        let sight = view.event(found.reporter, &found.event);
        if sight < Sight::Whole {
            return None;
        }
        let json = view.render(seq, found.received, found.reporter, &mut found.event);
        // Its sender knows of an event that an erasure has emptied.
        if json.is_none() && sight != Sight::Own {
            return None;
        }
        let event = json.and_then(|json| RawValue::from_string(String::from_utf8(json).ok()?).ok());
        let acting = |number: OrgNo| view.directory.organisation(number).map(|by| Acting { id: by.id, name: by.name.clone() });
        let (state, by, reason) = match ending {
            None => (VersionState::Current, None, None),
            Some(Ending::Amended { by, .. }) => (VersionState::Amended, acting(by), None),
            Some(Ending::Withdrawn { by, reason }) => (VersionState::Withdrawn, acting(by), Some(reason)),
        };
        Some(EventVersion { seq, received: found.received, state, by, reason, event })
    }
}

/// The place of the event that a nonce names in a block: a correction is a submission of one.
fn place_of(frame: &Frame, nonce: u64) -> Option<Seq> {
    let submissions = frame.submissions();
    submissions.iter().find(|submission| submission.nonce == nonce).map(|submission| run_of(frame.header.first_seq, submission).0)
}
