//! What a frame of the ledger says about indicators: the values of events that count, and the keys that a deliberate act touches.
//!
//! Invariant: a value is taken from an event that counts and whose class some collection admits; nothing else of an event is looked at.

use super::Collection;
use super::register::{Enters, Register, could_enter};
use crate::ledger::{Control, Frame, Kind, Ledger, LedgerError, Place};
use crate::views::seen::KeyHash;
use crate::views::strings::Class;
use crate::views::{Days, Part, Views, replay};
use hashbrown::{HashMap, HashSet};
use model::{Observable, ObservableType, Pap, Seq, Text, Timestamp, Tlp};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A value that events brought.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) kind: ObservableType,
    pub(super) value: Text,
    /// The collections that one of the events enters.
    pub(super) enters: Enters,
    /// The strictest of what the events let recipients do.
    pub(super) pap: Pap,
    /// Their strictest marking.
    pub(super) tlp: Tlp,
}

/// Values by key.
pub(super) type Values = HashMap<u128, Found, KeyHash>;

/// What events enter, as of one moment.
pub(super) struct Admitting<'r> {
    register: &'r Register,
    now: Timestamp,
    open: Vec<Collection>,
}

impl<'r> Admitting<'r> {
    /// What events enter by what was told, at `now`.
    pub(super) fn of(register: &'r Register, now: Timestamp) -> Self {
        Self { register, now, open: register.open_collections(now) }
    }
}

/// Reads frames.
pub(super) struct Frames {
    pub(super) ledger: Arc<Ledger>,
    pub(super) views: Arc<Views>,
    pub(super) days: Box<dyn Days + Send>,
}

impl Frames {
    /// Adds what a frame brings and what it touches.
    ///
    /// # Errors
    /// An I/O error, `Interrupted` on `stop`.
    pub(super) fn take(
        &mut self,
        place: &Place,
        admitting: &Admitting<'_>,
        values: &mut Values,
        touched: &mut HashSet<u128>,
        stop: &AtomicBool,
    ) -> std::io::Result<()> {
        match place.header.kind {
            Kind::Events => self.bring(place, admitting, values),
            Kind::Control => self.touch(place, touched, stop),
        }
    }

    /// Adds what a frame of events brings.
    ///
    /// # Errors
    /// An I/O error.
    pub(super) fn bring(&mut self, place: &Place, admitting: &Admitting<'_>, values: &mut Values) -> std::io::Result<()> {
        for part in self.parts(place)? {
            self.gather(place, &part, admitting, values);
        }
        Ok(())
    }

    /// What a control entry says; `None` for frames of events and for what cannot be read.
    ///
    /// # Errors
    /// An I/O error.
    pub(super) fn control(&self, place: &Place) -> std::io::Result<Option<Control>> {
        let Some(frame) = self.read(place)?.filter(|frame| frame.header.kind == Kind::Control) else { return Ok(None) };
        match serde_json::from_slice(frame.body()) {
            Ok(control) => Ok(Some(control)),
            Err(error) => {
                tracing::error!(%error, seq = place.header.first_seq.0, "a control entry cannot be read");
                Ok(None)
            }
        }
    }

    fn gather(&self, place: &Place, part: &Part, admitting: &Admitting<'_>, values: &mut Values) {
        let prepared = &part.prepared;
        let text = |number: u32| prepared.strings.get((number as usize).checked_sub(1)?);
        // A part has few classes; what each enters is found once.
        let mut entered: Vec<Option<Enters>> = vec![None; prepared.classes.len()];
        each_value(place, part, |seq, key, number, class, observable| {
            let Some(slot) = entered.get_mut(number) else { return };
            let enters = slot.get_or_insert_with(|| admitting.register.entered(&admitting.open, class, text, admitting.now));
            if enters.is_empty() || !self.views.counts(seq) {
                return;
            }
            let new = || Found { kind: observable.kind, value: observable.value.clone(), enters: Enters::new(), pap: class.pap, tlp: class.tlp };
            let found = values.entry(key).or_insert_with(new);
            for collection in &*enters {
                if !found.enters.contains(collection) {
                    found.enters.push(*collection);
                }
            }
            found.pap = found.pap.max(class.pap);
            found.tlp = found.tlp.max(class.tlp);
        });
    }

    /// Adds the keys that a control entry touches.
    fn touch(&mut self, place: &Place, touched: &mut HashSet<u128>, stop: &AtomicBool) -> std::io::Result<()> {
        match self.control(place)? {
            Some(Control::Withdraw { ranges, .. }) => self.touch_ranges(ranges, touched, stop)?,
            Some(Control::Amend { old, .. }) => self.touch_ranges(vec![(old, old)], touched, stop)?,
            Some(Control::Dispute { key, .. } | Control::Erase { key, .. }) => touched.extend(u128::from_str_radix(&key, 16).ok()),
            // What expired was of use until it expired: its indicators end by their own validity, and fall when something touches them.
            Some(Control::Expire { .. }) => {}
            // These are heard before.
            Some(Control::Reporter { .. } | Control::Agreement { .. }) => {}
            Some(Control::Record { .. } | Control::Network { .. } | Control::National { .. } | Control::Release { .. }) | None => {}
        }
        Ok(())
    }

    /// Adds the keys of events in these ranges that some collection may have held.
    fn touch_ranges(&mut self, mut ranges: Vec<(Seq, Seq)>, touched: &mut HashSet<u128>, stop: &AtomicBool) -> std::io::Result<()> {
        ranges.sort_unstable();
        let (Some(&(first, _)), Some(last)) = (ranges.first(), ranges.iter().map(|range| range.1).max()) else { return Ok(()) };
        for place in self.ledger.places(self.ledger.index_of(first)..self.ledger.index_of(last) + 1) {
            if stop.load(Ordering::Relaxed) {
                return Err(std::io::ErrorKind::Interrupted.into());
            }
            let reaches = |range: &(Seq, Seq)| range.0 < place.header.end() && range.1 >= place.header.first_seq;
            let here: Vec<(Seq, Seq)> = ranges.iter().copied().filter(reaches).collect();
            if place.header.kind == Kind::Control || here.is_empty() {
                continue;
            }
            let before = |seq: Seq| here.partition_point(|range| range.0 <= seq).checked_sub(1).and_then(|at| here.get(at));
            let within = |seq: Seq| before(seq).is_some_and(|range| seq <= range.1);
            for part in self.parts(&place)? {
                each_value(&place, &part, |seq, key, _, class, _| {
                    if within(seq) && could_enter(class) {
                        touched.insert(key);
                    }
                });
            }
        }
        Ok(())
    }

    /// The value of a key, from an event that holds it.
    ///
    /// # Errors
    /// An I/O error.
    pub(super) fn value_of(&mut self, key: u128, event: Seq) -> std::io::Result<Option<(ObservableType, Text)>> {
        let Some(place) = self.ledger.place(self.ledger.index_of(event)) else { return Ok(None) };
        let mut value = None;
        for part in self.parts(&place)? {
            each_value(&place, &part, |seq, other, _, _, observable| {
                if seq == event && other == key {
                    value = Some((observable.kind, observable.value.clone()));
                }
            });
        }
        Ok(value)
    }

    /// The parts of a frame; none of one that is damaged, which `verify` reports.
    fn parts(&mut self, place: &Place) -> std::io::Result<Vec<Part>> {
        let Some(frame) = self.read(place)?.filter(|frame| frame.header.kind == Kind::Events) else { return Ok(Vec::new()) };
        let parts = replay(&frame, &self.views.keys, self.days.as_mut());
        if parts.is_none() {
            tracing::error!(seq = place.header.first_seq.0, "a block cannot be read; its events make no indicator");
        }
        Ok(parts.unwrap_or_default())
    }

    fn read(&self, place: &Place) -> std::io::Result<Option<Frame>> {
        match self.ledger.read(place) {
            Ok(frame) => Ok(Some(frame)),
            // A file that is shorter than it was stays so; anything else may pass.
            Err(LedgerError::Io { source, .. }) if source.kind() != std::io::ErrorKind::UnexpectedEof => Err(source),
            Err(error) => {
                tracing::error!(%error, seq = place.header.first_seq.0, "a block cannot be read; it makes no indicator");
                Ok(None)
            }
        }
    }
}

/// Gives each value of a part with its event's place, its key and its class with its number; the texts of a class are numbers of the part, too.
fn each_value(place: &Place, part: &Part, mut take: impl FnMut(Seq, u128, usize, &Class, &Observable)) {
    let prepared = &part.prepared;
    let mut row = None;
    let mut values = std::slice::Iter::<Observable>::default();
    for reference in &prepared.references {
        if row != Some(reference.event) {
            row = Some(reference.event);
            values = prepared.events.get(reference.event as usize).map_or_else(Default::default, |event| event.observables.iter());
        }
        // What was erased has no class and is no longer among the event's values.
        let number = reference.class as usize;
        let Some(class) = prepared.classes.get(number) else { continue };
        let Some(observable) = values.next() else { continue };
        let seq = Seq(place.header.first_seq.0 + u64::from(part.submission.start + reference.event));
        take(seq, reference.key, number, class, observable);
    }
}
