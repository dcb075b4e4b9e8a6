//! The contribution ledger: what a member gave and what came of it, counted only from events that the member may see.
//!
//! Flow: one pass over the aggregates in order of key.
//! Invariant: relayed events are nobody's contribution and confirm nothing.

use super::view::View;
use crate::answers::{ContributionAnswer, ContributionMonth};
use crate::{Actor, Hub, HubError};
use model::time::civil_from_days;
use model::{Category, KeyRole, OrgId, OrgNo, Text};
use policy::{Reader, Sight};
use std::collections::BTreeMap;
use store::views::Row;
use store::views::prepare::JOIN;
use store::views::strings::Class;

/// The rule that gives a standing, in words.
const RULE: &str = "full: contributes; warned: fewer than 1 accepted event in the last 90 days, with a date; receive-limited: still none 30 days after the warning. \
     Standing never limits a member's own findings, warnings, or clear data, and an operator can set it with a reason on appeal.";

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
        let months = self.months(&view, organisation.number).map_err(|error| HubError::Internal(Box::new(error)))?;
        Ok(ContributionAnswer { organisation: id.to_string(), standing: organisation.standing, rule: RULE.to_owned(), months })
    }

    fn months(&self, view: &View<'_>, org: OrgNo) -> std::io::Result<Vec<ContributionMonth>> {
        let views = &self.store().views;
        let mut months: BTreeMap<String, ContributionMonth> = BTreeMap::new();
        for (key, tally) in views.tallies.read().iter().filter(|(key, _)| key.reporter == org && key.category != Category::Test) {
            month(&mut months, i64::from(key.day)).accepted += tally.events;
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
            let slot = month(&mut months, mine.first_time.utc_day());
            if others.is_none_or(|others| mine.first_seq < others.first_seq) {
                slot.first += 1;
            }
            if others.is_some_and(|others| others.last_seq > mine.first_seq) {
                slot.confirmed += 1;
            }
            if views.disputed.read().contains(&key) {
                slot.false_positives += 1;
            }
        }
        Ok(months.into_values().rev().collect())
    }

    fn knows(&self, view: &View<'_>, class: &Class) -> bool {
        let audience: Vec<Text> =
            self.store().views.strings.read().get(class.audience).map_or_else(Vec::new, |joined| joined.split(JOIN).map(Text::from).collect());
        view.class(class, &audience) >= Sight::WithoutReporterAndVictims
    }
}

fn month(months: &mut BTreeMap<String, ContributionMonth>, day: i64) -> &mut ContributionMonth {
    let (year, month, _) = civil_from_days(day);
    let name = format!("{year:04}-{month:02}");
    months.entry(name.clone()).or_insert_with(|| ContributionMonth {
        month: name,
        accepted: 0,
        first: 0,
        confirmed: 0,
        false_positives: 0,
        timeliness_seconds: None,
    })
}
