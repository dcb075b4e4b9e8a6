//! What people do with a finding.
//!
//! Flow: part of the actor → version → rights → legality → the step's own fields → record with history → (release: outbox → ledger → view).
//! Invariant: the state is the owner's to say; an authority only verifies, reopens and releases, a sender only releases its own reports.
//! The history names to an owner nobody who released something: that would be the reporter.

use super::{FindingView, Shown, reads};
use crate::members::{HistoryRow, illegal, invalid, reason_text};
use crate::{Actor, Hub, HubError};
use model::ids::FindingId;
use model::{FindingState, FindingStep, KeyRole, OrgNo, Seq, Text, Timestamp};
use policy::FindingPart;
use serde_json::json;
use std::time::Duration;
use store::records::{Change, FindingRecord};

/// The longest time for which a risk is accepted.
const MAX_ACCEPTANCE: Duration = Duration::from_secs(366 * 86_400);
/// How long a release waits for the view, which lags a little.
const RELEASE_WAIT: Duration = Duration::from_secs(5);

/// A step as it is asked for.
#[derive(Debug, Clone)]
pub struct NewStep {
    /// What is done.
    pub step: FindingStep,
    /// Why.
    pub reason: String,
    /// The version that the caller has seen.
    pub version: Option<u64>,
    /// Until when a risk is accepted.
    pub until: Option<Timestamp>,
}

impl Hub {
    /// Takes a step; gives the finding as it is then.
    ///
    /// # Errors
    /// [`HubError::NotFound`] without a part in it, [`HubError::Conflict`] for a stale version, [`HubError::Forbidden`] for a step that is
    /// another's to take or a release of more than the key sees, [`HubError::IllegalStep`] for one that is not legal now, [`HubError::Invalid`] for its fields.
    pub async fn step_finding(&self, actor: &Actor, id: FindingId, new: NewStep) -> Result<FindingView, HubError> {
        reads(actor)?;
        let mut writer = self.records().write().await?;
        // Seen with the writer held: nobody else decides meanwhile.
        let shown = self.shown_finding(actor, id)?;
        if let Some(given) = new.version.filter(|given| *given != shown.version()) {
            return Err(HubError::Conflict { given, current: shown.version() });
        }
        may_take(actor, &shown, new.step)?;
        let now = self.clock().now();
        let (state, control) = if new.step == FindingStep::Release {
            if shown.waiting.is_empty() {
                return Err(illegal(new.step.as_str(), &legal(&shown)));
            }
            let reporters: Vec<OrgNo> = shown.waiting.iter().map(|waiting| waiting.reporter).collect();
            // A release is of all that waits of a reporter, so who does not see all of it cannot release it.
            if shown.finding.waiting.iter().any(|waiting| reporters.contains(&waiting.reporter) && !shown.waiting.contains(waiting)) {
                return Err(HubError::Forbidden("more waits of this sender than this key may see"));
            }
            let before = shown.waiting.iter().map(|waiting| waiting.seen.last_seq.0).max().map(|last| Seq(last.saturating_add(1)));
            let control = json!({
                "control": "release", "finding": format!("{:032x}", id.0.as_u128()), "reporters": reporters, "by": actor.organisation.number, "before": before,
            });
            (None, vec![control])
        } else {
            let state = shown.told.and_then(|_| shown.state.after(new.step));
            (Some(state.ok_or_else(|| illegal(new.step.as_str(), &legal(&shown)))?), Vec::new())
        };
        let reason = reason_text("/reason", &new.reason, matches!(new.step, FindingStep::NotMine | FindingStep::FalsePositive | FindingStep::AcceptRisk))?;
        let until = self.accepted_until(&new, now)?;
        let before: Option<FindingRecord> = writer.get(&id.to_string()).await?;
        let owner = self.directory().organisation(shown.finding.owner).ok_or(HubError::NotFound)?;
        let fresh =
            || FindingRecord { id, organisation: owner.id, state: FindingState::Open, set: now, until: None, fix_seconds: None, reason: None, version: 0 };
        let mut record = before.clone().unwrap_or_else(fresh);
        if let Some(state) = state {
            let fixed = (state == FindingState::Fixed).then(|| u64::try_from(now.seconds() - shown.finding.since.seconds()).unwrap_or_default());
            record.fix_seconds = record.fix_seconds.or(fixed);
            (record.state, record.set, record.until) = (state, now, until);
            record.reason = (!reason.is_empty()).then(|| Text::from(reason));
        }
        record.version += 1;
        let change = Change { actor_key: Some(actor.key), actor_org: Some(actor.organisation.id), at: now, action: new.step.as_str(), reason };
        match &before {
            Some(before) => writer.update(&record, before.version, &change, &control).await.map(drop)?,
            None => writer.insert(&record, &change, &control).await?,
        }
        writer.commit().await?;
        self.findings.set(record);
        if new.step == FindingStep::Release {
            self.drain_outbox().await?;
            self.owners_caught_up(RELEASE_WAIT).await;
        }
        // A sender's part may be over with its release.
        self.finding(actor, id).or_else(|_| self.views_of(&[shown]).pop().ok_or(HubError::NotFound))
    }

    fn accepted_until(&self, new: &NewStep, now: Timestamp) -> Result<Option<Timestamp>, HubError> {
        match (new.step == FindingStep::AcceptRisk, new.until) {
            (false, None) => Ok(None),
            (false, Some(_)) => Err(invalid("/until", "only an accepted risk has a date")),
            (true, Some(until)) if until > now && until <= now.plus(MAX_ACCEPTANCE) => Ok(Some(until)),
            (true, _) => Err(invalid("/until", "a risk is accepted until a date within a year from now")),
        }
    }

    /// The steps taken on a finding, newest first.
    ///
    /// # Errors
    /// [`HubError::NotFound`] without a part in it; a sender and its authority have none in this.
    pub async fn finding_history(&self, actor: &Actor, id: FindingId) -> Result<Vec<HistoryRow>, HubError> {
        reads(actor)?;
        let shown = self.shown_finding(actor, id)?;
        if shown.owner_side.is_none() {
            return Err(HubError::NotFound);
        }
        let mut rows = self.members().rows_of(&id.to_string()).await?;
        let own = actor.organisation.id.to_string();
        for row in &mut rows {
            if row.action == FindingStep::Release.as_str() && !actor.is_coordinator() && row.organisation.as_ref() != Some(&own) {
                (row.key, row.organisation, row.reason) = (None, None, String::new());
            }
        }
        Ok(rows)
    }

    /// Waits until findings are as far as the ledger is now, or the time is over.
    async fn owners_caught_up(&self, longest: Duration) {
        let end = self.store().ledger.end();
        let mut position = self.store().owners.watch();
        // An answer a little behind is still right.
        let _ = tokio::time::timeout(longest, position.wait_for(|position| *position >= end)).await;
    }
}

/// Whether the step is the actor's to take.
fn may_take(actor: &Actor, shown: &Shown, step: FindingStep) -> Result<(), HubError> {
    match actor.role {
        KeyRole::Coordinator | KeyRole::Authority | KeyRole::MemberAdmin | KeyRole::Analyst => {}
        KeyRole::Reporter | KeyRole::Reader | KeyRole::Auditor => return Err(HubError::Forbidden("this role takes no steps on findings")),
    }
    match (shown.part, step) {
        (FindingPart::Owner, FindingStep::Release) if shown.waiting.is_empty() => Err(HubError::Forbidden("its sender or the authority releases it")),
        (FindingPart::Owner, _)
        | (FindingPart::Authority, FindingStep::Verify | FindingStep::Reopen | FindingStep::Release)
        | (FindingPart::Sender, FindingStep::Release) => Ok(()),
        (FindingPart::Authority | FindingPart::Sender, _) => Err(HubError::Forbidden("this step is for the owner's people")),
    }
}

fn legal(shown: &Shown) -> String {
    let mut legal = if shown.told.is_some() { shown.state.legal() } else { String::new() };
    if !shown.waiting.is_empty() {
        if !legal.is_empty() {
            legal.push_str(", ");
        }
        legal.push_str(FindingStep::Release.as_str());
    }
    if legal.is_empty() { "none".to_owned() } else { legal }
}
