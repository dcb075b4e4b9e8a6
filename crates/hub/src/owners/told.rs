//! What an owner was to be told of since a place, for those who carry it to the owner.
//!
//! Invariant: what a key of the owner's that reads would see, by the same functions; repeats that are only counted are not told again.
//! Not here: mail, digests, webhooks (`delivery`).

use super::Shown;
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

/// Whether the owner's people said that they need not be told of it again.
const fn is_settled(state: FindingState) -> bool {
    match state {
        FindingState::NotMine | FindingState::FalsePositive | FindingState::AcceptedRisk => true,
        FindingState::Open | FindingState::Acknowledged | FindingState::Fixed | FindingState::Verified | FindingState::Reopened | FindingState::Closed => false,
    }
}
