//! Events that contributed objects brought, withdrawn when the objects are taken back: deleted, or revoked by a new version.
//!
//! Flow: the objects' versions → where the events lie that came with them (`store::objects`) → of those the ones that have the version's id and
//! contributor → one withdrawal.
//! Invariant: only what came with the object is withdrawn: the same object in another collection, or sent through another door before, keeps its event.
//! An object is deleted after its events were withdrawn, so that a failure between the two can be tried again.
//! Not here: who may take an object back ([`super::kept`], [`super::posting`]).

use super::{Collection, Versions};
use crate::sharing::runs_of;
use crate::{Actor, Hub, HubError};
use formats::stix::contributed::{event_id, gives_events};
use model::{OrgNo, Seq, Text, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use store::ledger::{Body, Control, Frame, Kind, columns};
use store::objects::{Brought, Query};

/// Ids looked up at once.
const IDS: usize = 200;
/// Versions read at once.
const READ_AT_ONCE: usize = 1_000;
/// Events of one control entry.
const WITHDRAWN_AT_ONCE: usize = 1_000_000;
/// Where a crash kept the places of a request's events from being noted, they are looked for so long after it came.
const LOOKED_FOR: Duration = Duration::from_secs(600);

/// Events by their contributor and id.
type Ids = HashSet<(OrgNo, Text)>;

/// What is looked for, by where it lies.
#[derive(Default)]
struct Sought {
    between: BTreeMap<(Seq, Seq), Ids>,
    since: BTreeMap<Timestamp, Ids>,
}

impl Hub {
    /// Withdraws the events that these objects brought: those of the versions wanted, and with `only` of this contributor alone. Gives how many.
    ///
    /// # Errors
    /// What the ledger or the store says.
    pub(super) async fn withdraw_brought(
        self: &Arc<Self>,
        actor: &Actor,
        collection: &Collection,
        ids: &[String],
        (versions, specs): (&Versions, &[String]),
        only: Option<OrgNo>,
        reason: &str,
    ) -> Result<usize, HubError> {
        let sought = self.sought(collection, ids, (versions, specs), only).await?;
        if sought.between.is_empty() && sought.since.is_empty() {
            return Ok(0);
        }
        let hub = Arc::clone(self);
        // Reading blocks is done away from the threads that serve connections.
        let found = tokio::task::spawn_blocking(move || hub.places_of(&sought)).await;
        let seqs = found.map_err(|broken| HubError::Internal(Box::new(broken)))??;
        // An event being corrected is either withdrawn before, and then not corrected, or corrected before.
        let _turn = self.amending.lock().await;
        for some in seqs.chunks(WITHDRAWN_AT_ONCE) {
            self.store().control(Control::Withdraw { ranges: runs_of(some), by: actor.organisation.number, reason: reason.to_owned() }).await?;
        }
        Ok(seqs.len())
    }

    /// The events that the objects may have brought, with where to look for them.
    async fn sought(&self, collection: &Collection, ids: &[String], wanted: (&Versions, &[String]), only: Option<OrgNo>) -> Result<Sought, HubError> {
        let mut sought = Sought::default();
        let (versions, specs) = wanted;
        for ids in ids.chunks(IDS) {
            let mut after = None;
            loop {
                let query = Query { collection: collection.number(), after, ids, types: &[], specs, versions, limit: READ_AT_ONCE };
                let page = self.objects().page(&query).await?;
                let Some(last) = page.objects.last().map(|object| object.added) else { break };
                let end = page.objects.len() < READ_AT_ONCE && !page.cut;
                let bringing = page.objects.into_iter().filter(|object| gives_events(&object.kind) && only.is_none_or(|only| only == object.org));
                let events: HashMap<Timestamp, (OrgNo, Text)> =
                    bringing.filter_map(|object| Some((object.added, (object.org, event_id(&object.json)?)))).collect();
                let mut added: Vec<Timestamp> = events.keys().copied().collect();
                added.sort_unstable();
                for (added, brought) in self.objects().events_of(&added).await? {
                    let Some(event) = events.get(&added) else { continue };
                    let ids = match brought {
                        Brought::Between(first, last) => sought.between.entry((first, last)).or_default(),
                        Brought::Since(moment) => sought.since.entry(moment).or_default(),
                    };
                    ids.insert(event.clone());
                }
                if end {
                    break;
                }
                after = Some(last);
            }
        }
        Ok(sought)
    }

    /// The places of the events that are there and count, in order.
    fn places_of(&self, sought: &Sought) -> Result<Vec<Seq>, HubError> {
        let ledger = &self.store().ledger;
        let mut found = Vec::new();
        for (&(first, last), ids) in &sought.between {
            self.look_in(ledger.index_of(first)..ledger.index_of(last).saturating_add(1), first..Seq(last.0.saturating_add(1)), ids, &mut found)?;
        }
        for (&moment, ids) in &sought.since {
            self.look_in(self.blocks_since(moment), Seq(0)..Seq(u64::MAX), ids, &mut found)?;
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The blocks in which the events of a request lie that came at a moment.
    fn blocks_since(&self, moment: Timestamp) -> Range<usize> {
        let ledger = &self.store().ledger;
        let received = |index: usize| ledger.place(index).map(|place| place.header.received);
        let end = ledger.frames();
        let mut first = end;
        while first > 0 && received(first - 1).is_some_and(|received| received >= moment) {
            first -= 1;
        }
        // Its rows may have been received after its first one was.
        let first = first.saturating_sub(1);
        let last = (first..end).find(|index| received(*index).is_some_and(|received| received > moment.plus(LOOKED_FOR)));
        first..last.unwrap_or(end)
    }

    fn look_in(&self, blocks: Range<usize>, places: Range<Seq>, ids: &Ids, found: &mut Vec<Seq>) -> Result<(), HubError> {
        let orgs: HashSet<OrgNo> = ids.iter().map(|(org, _)| *org).collect();
        for index in blocks {
            let Some(place) = self.store().ledger.place(index) else { break };
            if place.header.kind == Kind::Control || place.header.expired {
                continue;
            }
            let frame = self.store().ledger.read(&place).map_err(|error| HubError::Internal(Box::new(error)))?;
            if frame.submissions().iter().any(|submission| orgs.contains(&submission.org)) {
                self.look_at(&frame, &places, ids, &orgs, found);
            }
        }
        Ok(())
    }

    fn look_at(&self, frame: &Frame, places: &Range<Seq>, ids: &Ids, orgs: &HashSet<OrgNo>, found: &mut Vec<Seq>) {
        let Some((_, body)) = columns::split_filter(frame.body()) else { return };
        let Some(events) = Body::open(frame.header.rows, body).and_then(|body| body.events(frame.vault())) else { return };
        let views = &self.store().views;
        let position = views.position();
        for submission in frame.submissions().into_iter().filter(|submission| orgs.contains(&submission.org)) {
            for row in submission.start..submission.start.saturating_add(submission.rows) {
                let seq = Seq(frame.header.first_seq.0 + u64::from(row));
                if !places.contains(&seq) || seq >= position || !views.counts(seq) {
                    continue;
                }
                let id = events.event(row as usize).and_then(|event| event.id);
                if id.is_some_and(|id| ids.contains(&(submission.org, id))) {
                    found.push(seq);
                }
            }
        }
    }
}
