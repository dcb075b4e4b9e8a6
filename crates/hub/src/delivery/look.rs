//! Which finding is for which subscription: what owners were told of since the last look.
//!
//! Flow: the owners' view moves on → the findings of each organisation with a subscription, of which it was told later than the last look →
//! rows in the file with the time of the look. After a withdrawal: which of the findings that were sent are no more.
//! Invariant: an organisation is sent its own findings alone. Repeats are sent when the owner is told again, which the view decides.
//! Not here: which repeats are told (`store::views::owners`), whether it still is worth telling (`queue`).

use super::queue::MAX_WAITING;
use super::roster::Entry;
use crate::{Hub, HubError};
use hashbrown::HashMap;
use model::{Category, OrgId, OrgNo, Seq, Timestamp};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use store::deliveries::{Item, MAX_ROWS, Match};
use store::records::About;
use tokio::sync::watch;

/// How often it is looked whether the view has moved on.
const PAUSE: Duration = Duration::from_millis(500);
/// A look takes at most one part in so many of the time, however many findings there are.
const SHARE: u32 = 20;
/// Wait after something could not be written.
const RETRY: Duration = Duration::from_secs(5);

/// A finding of which its owner was told.
#[derive(Debug, Clone, Copy)]
struct Told {
    id: u128,
    category: Category,
    at: Timestamp,
}

/// Where the looks stand.
struct Progress {
    /// Findings before this place are not all there until the view has been made anew.
    begin: Seq,
    /// The view's position at the last look, the last withdrawal that was known, and the subscriptions then.
    seen: Option<(Seq, Seq, Vec<i64>)>,
    /// Up to when what owners were told was looked at, by subscriber.
    noticed: HashMap<i64, Timestamp>,
    /// Withdrawals up to this place were looked at.
    withdrawn: Seq,
}

/// Looks at findings until the hub goes.
pub(super) async fn run(hub: Weak<Hub>, mut stopping: watch::Receiver<bool>) {
    let Some(begin) = hub.upgrade().map(|hub| hub.store().ledger.end()) else { return };
    let mut progress = Progress { begin, seen: None, noticed: HashMap::new(), withdrawn: Seq(0) };
    loop {
        let wait = {
            let Some(hub) = hub.upgrade() else { return };
            let began = Instant::now();
            match hub.look_at_findings(&mut progress).await {
                Ok(()) => PAUSE.max(began.elapsed() * SHARE),
                Err(error) => {
                    tracing::warn!(%error, "findings wait to be matched with subscriptions");
                    RETRY
                }
            }
        };
        tokio::select! {
            _ = stopping.changed() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Hub {
    async fn look_at_findings(self: &Arc<Self>, progress: &mut Progress) -> Result<(), HubError> {
        let all = self.delivery.roster.entries();
        let entries: Vec<Arc<Entry>> = all.iter().filter(|entry| entry.subscription.about == About::Findings).cloned().collect();
        let position = self.store().owners.position();
        let numbers: Vec<i64> = entries.iter().map(|entry| entry.number).collect();
        let withdrawn_to = Seq(self.delivery.withdrawn_to.load(Ordering::Acquire));
        let seen = (position, withdrawn_to, numbers);
        if entries.is_empty() || position < progress.begin || progress.seen.as_ref() == Some(&seen) {
            return Ok(());
        }
        self.know_finding_places(&entries, progress).await?;
        let mut by_owner: HashMap<OrgId, Vec<Arc<Entry>>> = HashMap::new();
        for entry in entries {
            by_owner.entry(entry.subscription.organisation).or_default().push(entry);
        }
        let mut whole = true;
        let withdrawn = progress.withdrawn < withdrawn_to && position >= withdrawn_to;
        for (owner, entries) in by_owner {
            let Some(organisation) = self.directory().by_id(owner) else { continue };
            let since = entries.iter().filter_map(|entry| progress.noticed.get(&entry.number)).min().copied().unwrap_or(Timestamp::MAX);
            let (hub, number) = (Arc::clone(self), organisation.number);
            let looked = self.delivery.background.run(move || hub.findings_to_deliver(number, since)).await;
            let (told, more) = looked.map_err(|error| HubError::Internal(Box::new(error)))?;
            whole &= !more;
            for entry in &entries {
                self.note_told_findings(entry, &told, progress).await?;
                if withdrawn {
                    self.note_gone_findings(entry).await?;
                }
            }
        }
        if withdrawn {
            progress.withdrawn = withdrawn_to;
        }
        progress.seen = Some(seen).filter(|_| whole);
        Ok(())
    }

    async fn know_finding_places(&self, entries: &[Arc<Entry>], progress: &mut Progress) -> Result<(), HubError> {
        for entry in entries {
            if !progress.noticed.contains_key(&entry.number)
                && let Some(subscriber) = self.delivery.file.subscriber(&entry.subscription.id.to_string()).await?
            {
                progress.noticed.insert(entry.number, subscriber.noticed);
            }
        }
        Ok(())
    }

    /// The findings of which an owner was told after `since`, those told first first, up to [`MAX_ROWS`] and those of the same moment as the last;
    /// and whether there are more.
    fn findings_to_deliver(&self, owner: OrgNo, since: Timestamp) -> (Vec<Told>, bool) {
        let mut found: Vec<Told> = Vec::new();
        let mut more = false;
        self.store().owners.told_since(owner, since, |at, finding| {
            if found.len() >= MAX_ROWS && found.last().is_some_and(|last| last.at != at) {
                more = true;
                return ControlFlow::Break(());
            }
            found.push(Told { id: finding.id(), category: finding.category, at });
            ControlFlow::Continue(())
        });
        (found, more)
    }

    async fn note_told_findings(&self, entry: &Entry, told: &[Told], progress: &mut Progress) -> Result<(), HubError> {
        let Some(since) = progress.noticed.get(&entry.number).copied() else { return Ok(()) };
        let Some(filter) = entry.filter() else { return Ok(()) };
        let now = self.clock().now();
        let new: Vec<&Told> = told.iter().filter(|told| told.at > since).collect();
        let Some(last) = new.last().map(|told| told.at) else { return Ok(()) };
        let wanted = new.into_iter().filter(|told| filter.categories.is_empty() || filter.categories.contains(&told.category));
        let row = |told: &Told| Match {
            subscriber: entry.number,
            item: Item::Finding(told.id),
            category: Some(told.category),
            noticed: told.at,
            due: self.delivery.due(entry.rhythm_of(Some(told.category)), now),
        };
        let rows: Vec<Match> = wanted.map(row).collect();
        self.delivery.file.note_findings(entry.number, last, &rows, MAX_WAITING).await?;
        progress.noticed.insert(entry.number, last);
        metrics::counter!("bongsu_deliveries_matched_total", "about" => "findings").increment(rows.len() as u64);
        if let Some(due) = rows.iter().map(|row| row.due).min() {
            self.delivery.is_due(entry.number, due);
        }
        Ok(())
    }

    /// Notes which findings that were sent are no more, for every event of them was withdrawn.
    async fn note_gone_findings(&self, entry: &Entry) -> Result<(), HubError> {
        let sent = self.delivery.file.told_findings(entry.number).await?;
        let gone: Vec<u128> = sent.into_iter().filter(|id| self.store().owners.get(*id).is_none_or(|finding| finding.told.is_none())).collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.delivery.file.withdraw_findings(entry.number, &gone, self.clock().now()).await?;
        self.delivery.look_at(entry.number).await?;
        self.delivery.queue_nudge.notify_one();
        Ok(())
    }
}
