//! Findings counted, and how long owners take to end them.
//!
//! Invariant: made of the findings and decisions that the reader sees and of nothing else.

use super::{FindingFilter, reads};
use crate::{Actor, Hub, HubError};
use model::Text;
use policy::{sees_told, sees_waiting};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// How long the owners of a sector take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TimeToFix {
    /// Half of the findings were fixed within so many seconds of being told.
    pub median_seconds: u64,
    /// Findings that were fixed.
    pub findings: u64,
}

/// Findings that the reader sees, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FindingSummary {
    /// How many there are.
    pub findings: u64,
    /// By state.
    pub states: BTreeMap<&'static str, u64>,
    /// By category, then by state.
    pub categories: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Those that wait for release, and those that wait for too long.
    pub waiting: u64,
    /// Those that wait for longer than their clock allows.
    pub overdue: u64,
    /// By the owners' sector; without one: `none`.
    pub time_to_fix: BTreeMap<Text, TimeToFix>,
}

impl Hub {
    /// Counts the findings that the actor sees.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for roles that read no events.
    pub fn finding_summary(&self, actor: &Actor) -> Result<FindingSummary, HubError> {
        reads(actor)?;
        let now = self.clock().now();
        let directory = self.directory().snapshot();
        let mut summary = FindingSummary::default();
        for organisation in directory.organisations() {
            if sees_told(&actor.reader, organisation.number, organisation.constituency).is_none() {
                continue;
            }
            self.store().owners.of_owner(organisation.number, None, |finding| {
                if let Some(shown) = self.shown(&actor.reader, finding, now).filter(|shown| shown.told.is_some()) {
                    let (category, state) = (finding.category.as_str(), shown.state.as_str());
                    summary.findings += 1;
                    *summary.states.entry(state).or_default() += 1;
                    *summary.categories.entry(category).or_default().entry(state).or_default() += 1;
                }
                ControlFlow::Continue(())
            });
        }
        for organisation in directory.organisations() {
            for red in [false, true] {
                if sees_waiting(&actor.reader, organisation.number, organisation.constituency, red).is_none() {
                    continue;
                }
                self.store().owners.waiting(organisation.number, red, None, |seq, finding| {
                    // Once for each, whoever else's events wait in it.
                    let shown = self.shown(&actor.reader, finding, now).filter(|shown| super::newest_waiting(&shown.waiting) == Some(seq));
                    if let Some(waiting) = shown.and_then(|shown| super::waiting_view(&shown.waiting, now)) {
                        summary.waiting += 1;
                        summary.overdue += u64::from(waiting.overdue);
                    }
                    ControlFlow::Continue(())
                });
            }
        }
        let mut seconds: BTreeMap<Text, Vec<u64>> = BTreeMap::new();
        for record in self.findings.all() {
            let Some(owner) = directory.by_id(record.organisation) else { continue };
            let seen = sees_told(&actor.reader, owner.number, owner.constituency).is_some();
            if let Some(taken) = record.fix_seconds.filter(|_| seen) {
                seconds.entry(owner.sector.clone().unwrap_or_else(|| Text::from("none"))).or_default().push(taken);
            }
        }
        for (sector, mut taken) in seconds {
            let findings = taken.len();
            let (_, median, _) = taken.select_nth_unstable(findings.saturating_sub(1) / 2);
            summary.time_to_fix.insert(sector, TimeToFix { median_seconds: *median, findings: findings as u64 });
        }
        Ok(summary)
    }

    /// Findings as a table for spreadsheets (RFC 4180).
    ///
    /// # Errors
    /// As [`Hub::findings`].
    pub fn findings_csv(&self, actor: &Actor, filter: &FindingFilter) -> Result<Vec<u8>, HubError> {
        let mut out = String::from("id,state,category,type,value,port,malware,events,count,first_time,last_time,protected,until\r\n");
        for finding in self.export_findings(actor, filter)? {
            let cells = [
                finding.id.to_string(),
                finding.state.to_string(),
                finding.category.to_string(),
                finding.kind.map(|kind| kind.to_string()).unwrap_or_default(),
                finding.value.map(String::from).unwrap_or_default(),
                finding.port.map(|port| port.to_string()).unwrap_or_default(),
                finding.malware.map(String::from).unwrap_or_default(),
                finding.events.to_string(),
                finding.count.to_string(),
                finding.first_time.to_micro_string(),
                finding.last_time.to_micro_string(),
                finding.protected.unwrap_or_default().to_string(),
                finding.until.map(model::Timestamp::to_micro_string).unwrap_or_default(),
            ];
            let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
            out.push_str(&cells.join(","));
            out.push_str("\r\n");
        }
        Ok(out.into_bytes())
    }
}

/// A cell that a spreadsheet takes as text: what would be a formula gets an apostrophe in front.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    format!("\"{}{}\"", if formula { "'" } else { "" }, cell.replace('"', "\"\""))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_ends_early_or_is_a_formula() {
        assert_eq!(quoted("plain"), "\"plain\"");
        assert_eq!(quoted("a\"b,c"), "\"a\"\"b,c\"");
        assert_eq!(quoted("=HYPERLINK(1)"), "\"'=HYPERLINK(1)\"");
    }
}
