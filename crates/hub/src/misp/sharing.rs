//! What is published of contributed events, among the hub's own events.
//!
//! Flow: an event was changed → what each of its attributes gives now, against what was given before → new events by intake, in the name of who
//! contributed it; those that are behind are withdrawn → noted. What cannot be done now is done by [`follow`].
//! Invariant: of an event that is not published, or deleted, nothing is among the hub's own. An attribute's event is as narrow as the attribute is
//! in its event.
//! Not here: the change itself ([`super::change`]), how events are taken in (`crate::intake`).
//!
//! Where the hub ends between intake and note, the events are taken in again under the same ids and so merged; the number that is noted then is that
//! of a merged one, and a later withdrawal leaves the first. The contributor withdraws it as any event of its own.

use super::access::Owner;
use super::change::{defaults, judge_in};
use super::show::Wait;
use super::{MAX_ATTRIBUTES, apart};
use crate::intake::Options;
use crate::{Actor, Hub, HubError};
use bytes::Bytes;
use formats::Format;
use formats::json::to_submission;
use formats::misp::judge::Surroundings;
use hashbrown::{HashMap, HashSet};
use model::{Event, KeyId, KeyRole, Organisation, Seq, Text};
use policy::Reader;
use std::sync::{Arc, Weak};
use std::time::Duration;
use store::ledger::Control;
use store::misp::{Head, Name, Shared};
use tokio::sync::watch;
use uuid::Uuid;

/// How often what could not be brought in line is tried again.
const AGAIN: Duration = Duration::from_secs(30);
/// Bytes of a sender's id at the most.
const MAX_ID: usize = 255;
/// Why events are withdrawn, in their history.
const REASON: &str = "changed or taken back over MISP";

/// What an attribute is to be among the hub's own events.
struct Wanted {
    attribute: String,
    digest: i64,
    line: String,
}

impl Hub {
    /// Brings the hub's own events in line with what is published of an event. What cannot be done now is done later.
    pub(super) async fn misp_share(self: &Arc<Self>, event: i64) {
        if let Err(error) = self.share(event).await {
            tracing::warn!(event, %error, "a changed MISP event is not among the hub's own yet; it is tried again");
        }
    }

    async fn share(self: &Arc<Self>, event: i64) -> Result<(), HubError> {
        let Some(turn) = self.misp.turn(event) else { return Ok(()) };
        let _turn = turn.lock().await;
        let Some(head) = self.misp_events().named(&Name::Id(event)).await?.into_iter().next() else { return Ok(()) };
        let organisation = self.directory().organisation(head.org).ok_or(HubError::NotFound)?;
        let there = self.misp_events().shared(event).await?;
        let wanted = if head.published && !head.deleted { self.wanted_of(&head, &organisation).await? } else { Vec::new() };
        let known: HashMap<&str, i64> = there.iter().map(|shared| (shared.attribute.as_str(), shared.digest)).collect();
        let stays: HashSet<&str> =
            wanted.iter().filter(|wanted| known.get(wanted.attribute.as_str()) == Some(&wanted.digest)).map(|wanted| wanted.attribute.as_str()).collect();
        let new: Vec<&Wanted> = wanted.iter().filter(|wanted| !stays.contains(wanted.attribute.as_str())).collect();
        let behind: Vec<&Shared> = there.iter().filter(|shared| !stays.contains(shared.attribute.as_str())).collect();
        let came = self.misp_take_in(&organisation, &new).await?;
        self.take_back(&organisation, &behind).await?;
        let gone: Vec<String> = behind.iter().map(|shared| shared.attribute.clone()).collect();
        let mut edit = self.misp_events().write().await?;
        edit.set_shared(event, head.generation, &gone, &came).await?;
        edit.commit().await?;
        Ok(())
    }

    /// What each attribute of an event is to be.
    async fn wanted_of(&self, head: &Head, organisation: &Arc<Organisation>) -> Result<Vec<Wanted>, HubError> {
        let (document, _room) = self.opened(head, Wait::InLine).await?;
        let (organisation, directory, now, generation) = (Arc::clone(organisation), self.directory().snapshot(), self.clock().now(), head.generation);
        apart(move || {
            let owner = Owner::new(&organisation, &directory);
            let defaults = defaults(&organisation, &document.head, now);
            let surroundings = Surroundings::of_event(&document.head);
            let event = owner.event(&document.head, &surroundings, &defaults);
            let mut wanted = Vec::new();
            let mut seen: HashSet<String> = HashSet::new();
            for (attribute, object) in document.each().take(MAX_ATTRIBUTES) {
                let judged = judge_in(attribute, object, &surroundings, &defaults);
                let access = owner.attribute(attribute, object, &event, &judged);
                let (Some(mut given), Some(uuid)) = (judged.event, super::fields::text(attribute, "uuid")) else { continue };
                // What is noted is noted by UUID: of a second of the same nobody would know that it is to be taken back.
                if !seen.insert(uuid.clone()) {
                    continue;
                }
                given.tlp = given.tlp.max(access.tlp);
                given.details_mut().audience = owner.whole(&event, &access);
                wanted.push(wanted_of(uuid, given, generation));
            }
            Ok(wanted)
        })
        .await
    }

    /// Takes events in for an organisation, and gives the sequence number of each.
    async fn misp_take_in(self: &Arc<Self>, organisation: &Arc<Organisation>, wanted: &[&Wanted]) -> Result<Vec<Shared>, HubError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let actor = self.standing_in(organisation);
        let mut session = self.intake(&actor, Options { format: Some(Format::Ndjson), ..Options::default() })?;
        for wanted in wanted {
            session.push(Bytes::from(format!("{}\n", wanted.line))).await?;
        }
        let outcome = match session.finish().await {
            Ok(outcome) => outcome,
            // What no event can be made of is kept all the same.
            Err(HubError::NothingUsable { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let refused: HashSet<u64> = outcome.errors.iter().map(|error| error.line).collect();
        let Some(receipt) = outcome.receipt.as_deref().and_then(|receipt| receipt.parse().ok()) else { return Ok(Vec::new()) };
        let hub = Arc::clone(self);
        // Rows of a batch have their numbers in the order in which they were handed in.
        let places = apart(move || hub.batch_places(&actor, receipt)).await?;
        let mut numbers = places.runs.iter().flat_map(|run| (run.0.0..=run.1.0).map(Seq));
        let mut shared = Vec::with_capacity(wanted.len());
        for (place, wanted) in wanted.iter().enumerate() {
            if refused.contains(&(place as u64 + 1)) {
                continue;
            }
            let Some(seq) = numbers.next() else { break };
            shared.push(Shared { attribute: wanted.attribute.clone(), digest: wanted.digest, seq });
        }
        Ok(shared)
    }

    async fn take_back(&self, organisation: &Organisation, behind: &[&Shared]) -> Result<(), HubError> {
        let mut numbers: Vec<Seq> = behind.iter().map(|shared| shared.seq).filter(|seq| self.store().views.counts(*seq)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.is_empty() {
            return Ok(());
        }
        let mut ranges: Vec<(Seq, Seq)> = Vec::new();
        for seq in numbers {
            match ranges.last_mut() {
                Some(range) if range.1.next() == seq => range.1 = seq,
                _ => ranges.push((seq, seq)),
            }
        }
        self.store().control(Control::Withdraw { ranges, by: organisation.number, reason: REASON.to_owned() }).await?;
        Ok(())
    }

    /// The organisation itself, where the hub does what follows from what it did.
    fn standing_in(&self, organisation: &Arc<Organisation>) -> Actor {
        let role = KeyRole::Analyst;
        Actor {
            key: KeyId(Uuid::nil()),
            organisation: Arc::clone(organisation),
            role,
            red: false,
            reader: Reader::new(organisation, role, false, self.clock().now()),
        }
    }
}

/// The event of an attribute as it is handed in. Its id is the attribute's version; from the second change of its event on, that one's too: what was
/// withdrawn must not be taken for what comes anew.
fn wanted_of(attribute: String, mut event: Event, generation: i64) -> Wanted {
    let id = event.id.take();
    let said = to_submission(&event);
    let digest = blake3::hash(said.as_bytes()).as_bytes().iter().take(8).fold(0, |sum: i64, &byte| sum << 8 | i64::from(byte));
    event.id = id.map(|id| if generation > 1 { Text::from(format!("{id}|{generation}")) } else { id }).filter(|id| id.len() <= MAX_ID);
    Wanted { attribute, digest, line: to_submission(&event) }
}

/// Brings in line what could not be before, until the hub goes.
pub(crate) async fn follow(hub: Weak<Hub>, mut stopping: watch::Receiver<bool>) {
    loop {
        {
            let Some(hub) = hub.upgrade() else { return };
            match hub.misp_events().pending().await {
                Ok(events) => {
                    for event in events {
                        hub.misp_share(event).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "what is behind of MISP's events was not read; the next round does"),
            }
            // So that the first who fetches the feed need not wait for all of the log to be read.
            let caught_up = tokio::task::spawn_blocking(move || hub.misp.feed.catch_up(&hub)).await;
            if let Ok(Err(error)) = caught_up {
                tracing::warn!(%error, "the log of indicators was not read for the MISP feed; the next round does");
            }
        }
        tokio::select! {
            _ = stopping.changed() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use model::{Category, Observable, ObservableType, Role, Timestamp};

    fn event(id: &str) -> Event {
        let observable = Observable { kind: ObservableType::Ipv4, role: Role::Attacker, detect: true, reserved: false, value: Text::from("185.60.1.1") };
        let mut event = Event::new(Timestamp::from_seconds(1_767_225_600), Category::Other, observable);
        event.id = Some(Text::from(id));
        event
    }

    #[test]
    fn what_is_handed_in_again_has_another_id_and_the_same_digest() {
        let (first, second) = (wanted_of("u".into(), event("u|5"), 1), wanted_of("u".into(), event("u|5"), 2));
        assert_eq!(first.digest, second.digest);
        assert!(first.line.contains("\"u|5\"") && second.line.contains("\"u|5|2\""));
        let mut narrowed = event("u|5");
        narrowed.details_mut().audience = vec![Text::from("members")];
        assert_ne!(wanted_of("u".into(), narrowed, 1).digest, first.digest);
    }

    #[test]
    fn an_event_that_is_handed_in_is_read_back_as_it_is() {
        let defaults = formats::Defaults {
            now: Timestamp::from_seconds(1_790_000_000),
            tlp: model::Tlp::Red,
            pap: model::Pap::Red,
            named: true,
            category: None,
            origin: None,
            role: None,
        };
        let wanted = wanted_of("u".into(), event("u|5"), 1);
        let parsed = formats::parse_document(Format::Ndjson, wanted.line.as_bytes(), &defaults);
        let (there, given) = (&parsed.events[0], event("u|5"));
        assert_eq!((there.id.clone(), there.tlp, there.pap, there.named), (given.id, given.tlp, given.pap, given.named));
        assert_eq!((there.time, &there.observables), (given.time, &given.observables));
    }
}
