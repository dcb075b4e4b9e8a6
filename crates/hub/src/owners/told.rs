//! What an owner was to be told of since a place, for those who carry it to the owner.
//!
//! Invariant: what a key of the owner's that reads would see, by the same functions; repeats that are only counted are not told again.
//! Not here: mail, digests, webhooks (`delivery`).

use super::{FindingView, Shown};
use crate::Hub;
use model::{FindingState, KeyRole, OrgNo, Timestamp};
use policy::{FindingPart, Reader, sees_told};
use serde_json::Value;
use std::ops::ControlFlow;

impl Hub {
    /// The findings that `org` was to be told of after `after`, in the order in which it was to be told, each with when and as `GET …/findings` gives it;
    /// without those of which its people said that they are not theirs, no matter, or accepted. Up to `limit`, and beyond it what was to be told at the
    /// same moment as the last one: who asks again after the last moment misses nothing.
    pub fn findings_told_since(&self, org: OrgNo, after: Timestamp, limit: usize) -> Vec<(Timestamp, Value)> {
        let now = self.clock().now();
        let Some(owner) = self.directory().organisation(org) else { return Vec::new() };
        let reader = Reader::new(&owner, KeyRole::Reader, false, now);
        if sees_told(&reader, org, owner.constituency) != Some(FindingPart::Owner) {
            return Vec::new();
        }
        let mut times: Vec<Timestamp> = Vec::new();
        let mut found: Vec<Shown> = Vec::new();
        self.store().owners.told_since(org, after, |told, finding| {
            if found.len() >= limit && times.last().is_some_and(|last| *last != told) {
                return ControlFlow::Break(());
            }
            let shown = self.shown(&reader, finding, now).filter(|shown| shown.told.is_some() && !is_settled(shown.state));
            if let Some(shown) = shown {
                times.push(told);
                found.push(shown);
            }
            ControlFlow::Continue(())
        });
        let views = self.views_of(&found);
        times.into_iter().zip(views).filter_map(|(told, view)| Some((told, serde_json::to_value(view).ok()?))).collect()
    }
}

impl Hub {
    /// Of findings in whose value nobody has a registration: those that still call for something, as who stands in for an owner is told of them.
    pub(crate) fn findings_of_nobody(&self, ids: &[u128]) -> Vec<FindingView> {
        let now = self.clock().now();
        let of_nobody = |id: &u128| {
            let finding = self.store().owners.get(*id).filter(|finding| finding.fallback && !finding.is_far() && !finding.is_guarded())?;
            let owner = self.directory().organisation(finding.owner)?;
            let reader = Reader::new(&owner, KeyRole::Reader, false, now);
            if sees_told(&reader, finding.owner, owner.constituency) != Some(FindingPart::Owner) {
                return None;
            }
            self.shown(&reader, &finding, now).filter(|shown| shown.told.is_some() && is_open(shown.state))
        };
        let shown: Vec<Shown> = ids.iter().filter_map(of_nobody).collect();
        self.views_of(&shown)
    }
}

/// Whether something is to be done still.
const fn is_open(state: FindingState) -> bool {
    match state {
        FindingState::Open | FindingState::Acknowledged | FindingState::Reopened => true,
        FindingState::Fixed
        | FindingState::Verified
        | FindingState::Closed
        | FindingState::NotMine
        | FindingState::FalsePositive
        | FindingState::AcceptedRisk => false,
    }
}

/// Whether the owner's people said that they need not be told of it again.
const fn is_settled(state: FindingState) -> bool {
    match state {
        FindingState::NotMine | FindingState::FalsePositive | FindingState::AcceptedRisk => true,
        FindingState::Open | FindingState::Acknowledged | FindingState::Fixed | FindingState::Verified | FindingState::Reopened | FindingState::Closed => false,
    }
}
