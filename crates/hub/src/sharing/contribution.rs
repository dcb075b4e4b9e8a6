//! The contribution ledger: what a member gave and what came of it, counted only from events that the member may see.
//!
//! Flow: one pass over the aggregates in order of key.
//! Invariant: but for `accepted`, which counts all that was taken, relayed events are nobody's contribution and confirm nothing.
//! Invariant: bounded memory: [`MAX_MONTHS`] months with a few counters each, whatever times events claim.
//! Not here: the rule that gives a standing (`members::standing`); it looks at what was received in a month.

use super::view::View;
use crate::answers::{ContributionAnswer, ContributionMonth};
use crate::members::standing::{Month, RULE};
use crate::{Actor, Hub, HubError};
use model::{Category, KeyRole, OrgId, OrgNo, Seq, Timestamp};
use policy::{Reader, Sight};
use std::collections::BTreeMap;
use store::views::Row;
use store::views::strings::Class;

/// Months of an answer at the most; events of earlier ones are left out.
const MAX_MONTHS: i64 = 120;
/// Classes of delays: none, then up to each power of two seconds, to beyond the range of time.
const DELAY_CLASSES: usize = 41;

/// Counters of one month.
#[derive(Debug, Clone, Copy)]
struct Counters {
    accepted: u64,
    first: u64,
    confirmed: u64,
    false_positives: u64,
    delays: [u64; DELAY_CLASSES],
}

impl Hub {
    /// A member's contribution by month.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where it is neither the caller's own nor the caller is coordinator, auditor or the member's authority.
    pub fn contribution(&self, actor: &Actor, id: OrgId) -> Result<ContributionAnswer, HubError> {
        let organisation = self.directory().by_id(id).ok_or(HubError::NotFound)?;
        let may =
            actor.organisation.id == id || actor.is_coordinator() || actor.role == KeyRole::Auditor || actor.reader.is_authority_of(organisation.constituency);
        if !may {
            return Err(HubError::NotFound);
        }
        let now = self.clock().now();
        let reader = Reader::new(&organisation, KeyRole::Analyst, false, now);
        let view = View { reader: &reader, directory: self.directory().snapshot() };
        let months = self.months(&view, organisation.number, now).map_err(|error| HubError::Internal(Box::new(error)))?;
        Ok(ContributionAnswer {
            organisation: id.to_string(),
            standing: organisation.standing,
            standing_by: organisation.standing_by,
            standing_since: organisation.standing_since,
            standing_reason: organisation.standing_reason.clone(),
            standing_review: organisation.standing_review,
            rule: RULE.to_owned(),
            months,
        })
    }

    fn months(&self, view: &View<'_>, org: OrgNo, now: Timestamp) -> std::io::Result<Vec<ContributionMonth>> {
        let views = &self.store().views;
        let mut days = self.make_days();
        // An event's time may lie a day ahead.
        let newest = Month::of_day(i64::from(days.day(now))).plus(1);
        let shown = |month: &Month| *month <= newest && *month > newest.plus(-MAX_MONTHS);
        let mut months: BTreeMap<Month, Counters> = BTreeMap::new();
        for (key, tally) in views.tallies.read().iter().filter(|(key, _)| key.reporter == org && key.category != Category::Test) {
            let month = Month::of_day(i64::from(key.day));
            if shown(&month) {
                months.entry(month).or_default().accepted += tally.events;
            }
        }
        for (key, rows) in views.observables.scan()? {
            let mut mine: Option<Row> = None;
            let mut others: Option<Row> = None;
            let classes: Vec<(Row, Class)> = rows.iter().filter_map(|row| Some((*row, views.class(row.class)?))).collect();
            if !classes.iter().any(|(_, class)| class.reporter == org) {
                continue;
            }
            for (row, class) in classes.iter().filter(|(_, class)| !class.relayed && !class.withdrawn && class.category != Category::Test) {
                let slot = if class.reporter == org {
                    &mut mine
                } else if self.knows(view, class) {
                    &mut others
                } else {
                    continue;
                };
                match slot {
                    Some(slot) => slot.merge(row),
                    None => *slot = Some(*row),
                }
            }
            let Some(mine) = mine else { continue };
            let month = Month::of_day(i64::from(days.day(mine.first_time)));
            if !shown(&month) {
                continue;
            }
            let slot = months.entry(month).or_default();
            if others.is_none_or(|others| mine.first_seq < others.first_seq) {
                slot.first += 1;
            }
            if others.is_some_and(|others| others.last_seq > mine.first_seq) {
                slot.confirmed += 1;
            }
            if views.disputed.read().contains(&key) {
                slot.false_positives += 1;
            }
            if let Some(received) = self.received(mine.first_seq) {
                slot.add_delay(received.seconds() - mine.first_time.seconds());
            }
        }
        Ok(months.into_iter().rev().map(|(month, counters)| counters.answer(month)).collect())
    }

    /// When the hub received an event; its block is not opened.
    fn received(&self, seq: Seq) -> Option<Timestamp> {
        let ledger = &self.store().ledger;
        let header = ledger.place(ledger.index_of(seq))?.header;
        let row = seq.0.checked_sub(header.first_seq.0)?;
        u32::try_from(row).ok().map(|row| header.received_at(row))
    }

    fn knows(&self, view: &View<'_>, class: &Class) -> bool {
        let audience = self.store().views.strings.audience(class.audience);
        view.class(class, &audience, &self.store().views.strings) >= Sight::WithoutReporterAndVictims
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self { accepted: 0, first: 0, confirmed: 0, false_positives: 0, delays: [0; DELAY_CLASSES] }
    }
}

impl Counters {
    /// Counts one delay; a time ahead of the receipt is none.
    fn add_delay(&mut self, seconds: i64) {
        let class = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map_or(0, |seconds| seconds.next_power_of_two().trailing_zeros() as usize + 1);
        if let Some(slot) = self.delays.get_mut(class.min(DELAY_CLASSES - 1)) {
            *slot += 1;
        }
    }

    /// Upper bound of the class in which half of the delays are reached; `None` where there is none.
    fn median_delay(&self) -> Option<u64> {
        let all: u64 = self.delays.iter().sum();
        let mut so_far = 0;
        let class = self.delays.iter().position(|delays| {
            so_far += delays;
            so_far * 2 >= all
        })?;
        (all > 0).then(|| class.checked_sub(1).map_or(0, |power| 1 << power))
    }

    fn answer(&self, month: Month) -> ContributionMonth {
        ContributionMonth {
            month: month.to_string(),
            accepted: self.accepted,
            first: self.first,
            confirmed: self.confirmed,
            false_positives: self.false_positives,
            timeliness_seconds: self.median_delay(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_delay_is_the_upper_bound_of_its_class() {
        let table: [(&[i64], Option<u64>); 6] =
            [(&[], None), (&[0], Some(0)), (&[-5, 0, 1], Some(0)), (&[1, 3, 3_600], Some(4)), (&[60, 61, 64, 100_000], Some(64)), (&[i64::MAX], Some(1 << 39))];
        for (delays, expected) in table {
            let mut counters = Counters::default();
            delays.iter().for_each(|delay| counters.add_delay(*delay));
            assert_eq!(counters.median_delay(), expected, "{delays:?}");
        }
    }
}
