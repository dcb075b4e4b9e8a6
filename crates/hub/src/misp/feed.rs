//! The feed under `/feeds/misp/`: the indicators of each collection as MISP events, one for each day on which values first came into it.
//!
//! Flow: the log of indicators is followed ([`Feed::catch_up`]) into parts: collection, day, and a number where a day has more than
//! [`MAX_PART`] → [`Hub::misp_feed_kept`] gives a file that is ready, [`Hub::misp_feed_made`] makes it and keeps it until its part, what is spared,
//! or the time changes it.
//! Invariant: an indicator stays in the event of the day on which its first version was added, under the same id, whatever becomes of it; what
//! may leave is decided by `policy::may_leave`. A value that is spared is in no file, not even as deleted.
//! Not here: contributed events: they are in no feed but by what of them is among the hub's own events.

use super::civil_day;
use crate::{Actor, Hub, HubError};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use formats::misp::feed::{Attribute, Head, event, hashes, manifest};
use hashbrown::{HashMap, HashSet};
use model::{ObservableType, Timestamp, Tlp};
use parking_lot::Mutex;
use policy::{Candidate, Purpose, Terms, may_fetch, may_leave, strictest_product, way_out};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::views::indicators::{Collection, Indicator};
use uuid::Uuid;

/// Attributes of one event at the most; a day that has more has further events.
pub const MAX_PART: usize = 10_000;
/// Events whose values are in the list of hashes at the most, the newest ones.
const MAX_HASHED: usize = 100;
/// Versions of the log read at once.
const PAGE: usize = 4_096;
/// Bytes of files that are kept at the most; the last one made is kept all the same.
const MAX_KEPT: usize = 128 * 1024 * 1024;
/// Seconds of the steps in which what expires leaves.
const STEP: i64 = 300;

/// A file of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedName {
    /// Every event with what tells whether it has changed.
    Manifest,
    /// The hashes of values with the events they are in.
    Hashes,
    /// An event.
    Event(Uuid),
}

impl FeedName {
    /// The file of a name; `None` for any other name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "manifest.json" => Some(Self::Manifest),
            "hashes.csv" => Some(Self::Hashes),
            _ => name.strip_suffix(".json").filter(|uuid| uuid.len() == 36).and_then(|uuid| Uuid::try_parse(uuid).ok()).map(Self::Event),
        }
    }
}

/// A file, ready to be sent.
#[derive(Debug, Clone)]
pub struct FeedFile {
    /// Its media type.
    pub media: &'static str,
    /// The strictest marking in it.
    pub tlp: Tlp,
    /// Its bytes.
    pub plain: Bytes,
    /// The same, compressed with gzip.
    pub gzip: Bytes,
    /// What its content is told by.
    pub tag: String,
    /// How many events or attributes it has.
    pub entries: usize,
    /// When what it is made of changed last.
    pub modified: Timestamp,
    /// Lines of the list of hashes, for events.
    hashes: Vec<u8>,
}

/// Some indicators whose first versions were added on one day, in the order in which they were.
#[derive(Debug)]
struct Part {
    uuid: Uuid,
    collection: Collection,
    day: i32,
    number: usize,
    /// When the first and the last of its values came.
    first: Timestamp,
    last: Timestamp,
    count: usize,
    /// When any of them changed last.
    changed: Timestamp,
    /// Values that have a later version than the one they came with.
    updated: HashSet<u128>,
}

/// How far the log is followed.
#[derive(Debug, Default)]
struct Log {
    positions: [Option<Timestamp>; 3],
    /// In order of their coming, those of all collections.
    parts: Vec<Part>,
    by_day: HashMap<(Collection, i32), Vec<usize>>,
    by_uuid: HashMap<Uuid, usize>,
}

/// What a file was made of: the last change in the log, what is spared, the time.
type Stamp = (Timestamp, u32, i64);

/// A file that was made.
#[derive(Debug)]
struct Kept {
    file: Arc<FeedFile>,
    stamp: Stamp,
    used: Instant,
}

/// The feed of one realm.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    log: Mutex<Log>,
    kept: Mutex<HashMap<(Collection, FeedName), Kept>>,
}

impl Feed {
    /// Takes in what the log has more.
    pub(crate) fn catch_up(&self, hub: &Hub) -> std::io::Result<()> {
        let mut days = hub.make_days();
        for collection in Collection::ALL {
            loop {
                // Page by page, so that whoever asks for a UUID does not wait for all of a long log.
                let mut log = self.log.lock();
                let page = hub.store().indicators.page(collection, log.position(collection), PAGE)?;
                let end = page.len() < PAGE;
                for version in &page {
                    let day = days.day(version.created);
                    log.take(version, day, |name| hub.feed_uuid(name));
                }
                if end {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether an event of this UUID is one of the feed's.
    pub(super) fn is_ours(&self, uuid: &str) -> bool {
        Uuid::try_parse(uuid).is_ok_and(|uuid| self.log.lock().by_uuid.contains_key(&uuid))
    }

    /// Drops the files that are kept: what is in them was erased.
    pub(super) fn forget(&self) {
        self.kept.lock().clear();
    }

    fn kept(&self, key: (Collection, FeedName), stamp: Stamp) -> Option<Arc<FeedFile>> {
        let mut kept = self.kept.lock();
        let found = kept.get_mut(&key).filter(|kept| kept.stamp == stamp)?;
        found.used = Instant::now();
        Some(Arc::clone(&found.file))
    }

    /// When an event of a collection changed last.
    fn changed(&self, collection: Collection) -> Timestamp {
        let log = self.log.lock();
        let parts = log.parts.iter().filter(|part| part.collection == collection);
        parts.map(|part| part.changed).max().unwrap_or_default()
    }

    /// Keeps a file; those that were not asked for the longest make room for it.
    fn keep(&self, key: (Collection, FeedName), stamp: Stamp, file: &Arc<FeedFile>) {
        let mut kept = self.kept.lock();
        kept.insert(key, Kept { file: Arc::clone(file), stamp, used: Instant::now() });
        let size = |file: &FeedFile| file.plain.len() + file.gzip.len() + file.hashes.len();
        let mut bytes: usize = kept.values().map(|kept| size(&kept.file)).sum();
        while bytes > MAX_KEPT {
            let others = kept.iter().filter(|(other, _)| **other != key);
            let Some(least) = others.min_by_key(|(_, kept)| kept.used).map(|(other, _)| *other) else { return };
            if let Some(gone) = kept.remove(&least) {
                bytes -= size(&gone.file);
            }
        }
    }
}

impl Log {
    fn position(&self, collection: Collection) -> Option<Timestamp> {
        self.positions.get(collection.number() as usize).copied().flatten()
    }

    fn take(&mut self, version: &Indicator, day: i32, uuid: impl Fn(&str) -> Uuid) {
        if let Some(position) = self.positions.get_mut(version.collection.number() as usize) {
            *position = Some(version.added);
        }
        let of_day = self.by_day.entry((version.collection, day)).or_default();
        if version.added == version.created {
            let open = of_day.last().and_then(|place| self.parts.get_mut(*place)).filter(|part| part.count < MAX_PART);
            if let Some(part) = open {
                part.count += 1;
                part.last = version.added;
                part.changed = version.added;
                return;
            }
            let number = of_day.len();
            let uuid = uuid(&name_of(version.collection, day, number));
            of_day.push(self.parts.len());
            self.by_uuid.insert(uuid, self.parts.len());
            self.parts.push(Part {
                uuid,
                collection: version.collection,
                day,
                number,
                first: version.added,
                last: version.added,
                count: 1,
                changed: version.added,
                updated: HashSet::new(),
            });
            return;
        }
        let held = of_day.iter().copied().find(|place| self.parts.get(*place).is_some_and(|part| (part.first..=part.last).contains(&version.created)));
        if let Some(part) = held.and_then(|place| self.parts.get_mut(place)) {
            part.changed = part.changed.max(version.added);
            part.updated.insert(version.key);
        }
    }
}

/// What an event's id is made of. The first of a day is the day's.
fn name_of(collection: Collection, day: i32, number: usize) -> String {
    let date = civil_day(i64::from(day));
    if number == 0 { format!("{}/{date}", collection.title()) } else { format!("{}/{date}/{number}", collection.title()) }
}

/// What a request asks for.
enum Asked {
    /// An event.
    Event(Plan),
    /// A list of a collection's events.
    List(Collection),
}

/// What is written of a part, taken out of the log's lock.
#[derive(Debug, Clone)]
struct Plan {
    uuid: Uuid,
    collection: Collection,
    date: String,
    number: usize,
    first: Timestamp,
    last: Timestamp,
    changed: Timestamp,
    updated: HashSet<u128>,
}

impl Plan {
    fn of(part: &Part) -> Self {
        Self {
            uuid: part.uuid,
            collection: part.collection,
            date: civil_day(i64::from(part.day)),
            number: part.number,
            first: part.first,
            last: part.last,
            changed: part.changed,
            updated: part.updated.clone(),
        }
    }

    fn info(&self) -> String {
        let more = if self.number == 0 { String::new() } else { format!(", part {}", self.number + 1) };
        format!("Indicators that came on {}{more}, up to TLP:{}", self.date, self.collection.tlp().as_str().to_ascii_uppercase())
    }
}

impl Hub {
    /// A file of the feed that is ready, for a caller with a key or without; `None` where it is to be made. Without a marking it is of the strictest
    /// collection that the caller may have.
    ///
    /// # Errors
    /// [`HubError::Unauthenticated`] where a key is needed, [`HubError::Forbidden`] where the caller's does not do, [`HubError::NotFound`] for an
    /// event that there is not or that the caller may not have, [`HubError::Overloaded`] while the log is being read after a start.
    pub fn misp_feed_kept(&self, actor: Option<&Actor>, name: FeedName, tlp: Option<Tlp>) -> Result<Option<Arc<FeedFile>>, HubError> {
        match self.feed_asked(actor, name, tlp)? {
            Asked::Event(plan) => Ok(self.misp.feed.kept((plan.collection, name), self.feed_stamp(plan.changed))),
            Asked::List(collection) => Ok(self.misp.feed.kept((collection, name), self.feed_stamp(self.misp.feed.changed(collection)))),
        }
    }

    /// The same, made where it is not ready. It takes a while; the doors see to it that few are made at a time.
    ///
    /// # Errors
    /// As [`Hub::misp_feed_kept`].
    pub fn misp_feed_made(&self, actor: Option<&Actor>, name: FeedName, tlp: Option<Tlp>) -> Result<Arc<FeedFile>, HubError> {
        match self.feed_asked(actor, name, tlp)? {
            Asked::Event(plan) => self.feed_event(&plan),
            Asked::List(collection) => self.feed_list(collection, name),
        }
    }

    /// What a caller means and may have.
    fn feed_asked(&self, actor: Option<&Actor>, name: FeedName, tlp: Option<Tlp>) -> Result<Asked, HubError> {
        self.products.is_ready()?;
        let internal = |error: std::io::Error| HubError::Internal(Box::new(error));
        self.misp.feed.catch_up(self).map_err(internal)?;
        let reader = actor.map(|actor| &actor.reader);
        if let FeedName::Event(uuid) = name {
            let plan = {
                let log = self.misp.feed.log.lock();
                log.by_uuid.get(&uuid).and_then(|place| log.parts.get(*place)).filter(|part| may_fetch(reader, part.collection.tlp())).map(Plan::of)
            };
            return plan.map(Asked::Event).ok_or(HubError::NotFound);
        }
        let tlp = tlp.unwrap_or_else(|| strictest_product(reader));
        let collection = Collection::ALL.into_iter().find(|collection| collection.tlp() == tlp);
        let collection = collection.ok_or_else(|| HubError::Invalid { pointer: "tlp".to_owned(), reason: "the feed is clear, green or amber".to_owned() })?;
        if !may_fetch(reader, tlp) {
            return Err(if actor.is_none() { HubError::Unauthenticated } else { HubError::Forbidden("this key's organisation does not receive this marking") });
        }
        Ok(Asked::List(collection))
    }

    /// The manifest or the hashes of a collection.
    fn feed_list(&self, collection: Collection, name: FeedName) -> Result<Arc<FeedFile>, HubError> {
        let plans: Vec<Plan> = {
            let log = self.misp.feed.log.lock();
            let mut parts: Vec<&Part> = log.parts.iter().filter(|part| part.collection == collection).collect();
            parts.sort_unstable_by_key(|part| std::cmp::Reverse(part.changed));
            parts.into_iter().map(Plan::of).collect()
        };
        let changed = plans.first().map_or(Timestamp::default(), |plan| plan.changed);
        let stamp = self.feed_stamp(changed);
        if let Some(file) = self.misp.feed.kept((collection, name), stamp) {
            return Ok(file);
        }
        let (media, body, entries) = if name == FeedName::Manifest {
            let infos: Vec<String> = plans.iter().map(Plan::info).collect();
            let creator = self.misp_hub_name();
            let heads = plans.iter().zip(&infos).map(|(plan, info)| self.feed_head(plan, info, &creator));
            (JSON, manifest(heads), plans.len())
        } else {
            let mut body = Vec::new();
            for plan in plans.iter().take(MAX_HASHED) {
                body.extend_from_slice(&self.feed_event(plan)?.hashes);
            }
            let lines = body.split(|byte| *byte == b'\n').count().saturating_sub(1);
            (CSV, body, lines)
        };
        let file = made(media, collection.tlp(), body, Vec::new(), entries, changed)?;
        self.misp.feed.keep((collection, name), stamp, &file);
        Ok(file)
    }

    fn feed_event(&self, plan: &Plan) -> Result<Arc<FeedFile>, HubError> {
        let key = (plan.collection, FeedName::Event(plan.uuid));
        let stamp = self.feed_stamp(plan.changed);
        if let Some(file) = self.misp.feed.kept(key, stamp) {
            return Ok(file);
        }
        let indicators = self.feed_indicators(plan).map_err(|error| HubError::Internal(Box::new(error)))?;
        let (info, creator) = (plan.info(), self.misp_hub_name());
        let uuids: Vec<Uuid> =
            indicators.iter().map(|(indicator, _)| self.feed_uuid(&attribute_name(indicator.collection, indicator.kind, &indicator.value))).collect();
        let attributes = indicators.iter().zip(&uuids).map(|((indicator, deleted), uuid)| Attribute {
            uuid: *uuid,
            kind: indicator.kind,
            value: &indicator.value,
            category: indicator.category,
            tlp: indicator.tlp,
            pap: indicator.pap,
            changed: indicator.added,
            first_seen: indicator.first_seen,
            last_seen: indicator.last_seen,
            deleted: *deleted,
        });
        let body = event(&self.feed_head(plan, &info, &creator), attributes);
        let mut lines = Vec::new();
        for (indicator, _) in indicators.iter().filter(|(_, deleted)| !deleted) {
            hashes(&mut lines, indicator.kind, &indicator.value, plan.uuid);
        }
        let file = made(JSON, plan.collection.tlp(), body, lines, indicators.len(), plan.changed)?;
        self.misp.feed.keep(key, stamp, &file);
        Ok(file)
    }

    /// The newest versions of a part's values that may leave, and whether each is taken back.
    fn feed_indicators(&self, plan: &Plan) -> std::io::Result<Vec<(Indicator, bool)>> {
        let now = self.clock().now();
        let log = &self.store().indicators;
        let mut chosen = Vec::new();
        let mut after = Some(Timestamp::from_micros(plan.first.micros() - 1));
        loop {
            let page = log.page(plan.collection, after, PAGE)?;
            let Some(last) = page.last().map(|version| version.added) else { break };
            after = Some(last);
            for version in page.into_iter().filter(|version| version.added == version.created && version.added <= plan.last) {
                let newest = if plan.updated.contains(&version.key) { log.versions(plan.collection, version.key)?.into_iter().next() } else { None };
                let newest = newest.unwrap_or(version);
                if self.leaves(&newest, plan.collection, now) {
                    let deleted = newest.revoked;
                    chosen.push((newest, deleted));
                }
            }
            if last >= plan.last {
                break;
            }
        }
        Ok(chosen)
    }

    /// Whether an indicator may be in the feed, taken back or not.
    fn leaves(&self, indicator: &Indicator, collection: Collection, now: Timestamp) -> bool {
        let candidate = Candidate {
            tlp: indicator.tlp,
            pap: indicator.pap,
            category: indicator.category,
            // Who has it must learn that it is taken back.
            revoked: false,
            expired: indicator.valid_until.is_some_and(|until| until <= now) && !indicator.revoked,
            spared: self.products.spares(self, indicator.kind, &indicator.value),
            confidence: 100,
            age: Duration::ZERO,
        };
        let terms = Terms { export: way_out(collection.tlp()), purpose: Purpose::Detect, min_confidence: 0, max_age: None };
        may_leave(&candidate, &terms)
    }

    fn feed_head<'a>(&self, plan: &'a Plan, info: &'a str, creator_name: &'a str) -> Head<'a> {
        let creator = self.stix_identity();
        Head { uuid: plan.uuid, creator, creator_name, info, date: &plan.date, changed: plan.changed, tlp: plan.collection.tlp() }
    }

    fn feed_stamp(&self, changed: Timestamp) -> Stamp {
        (changed, self.products.spared_stamp(), self.clock().now().seconds().div_euclid(STEP))
    }

    /// An id that is the same whenever it is made, and that nobody outside can make.
    fn feed_uuid(&self, name: &str) -> Uuid {
        Uuid::new_v5(&Uuid::from_u128(self.store().views.keys.label("misp feed")), name.as_bytes())
    }
}

fn attribute_name(collection: Collection, kind: ObservableType, value: &str) -> String {
    format!("{}/{kind}/{value}", collection.title())
}

const JSON: &str = "application/json";
const CSV: &str = "text/csv; charset=utf-8";

fn made(media: &'static str, tlp: Tlp, body: Vec<u8>, hashes: Vec<u8>, entries: usize, modified: Timestamp) -> Result<Arc<FeedFile>, HubError> {
    let internal = |error: std::io::Error| HubError::Internal(Box::new(error));
    let tag: String = blake3::hash(&body).to_hex().chars().take(32).collect();
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(&body).map_err(internal)?;
    let gzip = Bytes::from(encoder.finish().map_err(internal)?);
    Ok(Arc::new(FeedFile { media, tlp, plain: Bytes::from(body), gzip, tag, entries, modified, hashes }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use model::{Category, Pap, Text};

    fn version(collection: Collection, key: u128, created: i64, added: i64) -> Indicator {
        let at = Timestamp::from_seconds;
        Indicator {
            collection,
            added: at(added),
            key,
            kind: ObservableType::Ipv4,
            value: Text::from("185.60.1.1"),
            created: at(created),
            revoked: false,
            category: Category::C2Server,
            malware: None,
            pap: Pap::Clear,
            tlp: Tlp::Clear,
            confidence: None,
            reporters: 1,
            first_seen: at(created),
            last_seen: at(added),
            valid_until: None,
            sectors: Vec::new(),
        }
    }

    fn uuid(name: &str) -> Uuid {
        Uuid::new_v5(&Uuid::nil(), name.as_bytes())
    }

    #[test]
    fn a_value_stays_in_the_event_of_the_day_on_which_it_came() {
        let mut log = Log::default();
        for (key, created, added) in [(1, 10, 10), (2, 20, 20), (3, 86_400, 86_400), (1, 10, 90_000)] {
            let version = version(Collection::Green, key, created, added);
            log.take(&version, i32::try_from(created / 86_400).unwrap(), uuid);
        }
        assert_eq!((log.parts.len(), log.position(Collection::Green)), (2, Some(Timestamp::from_seconds(90_000))));
        let first = &log.parts[0];
        assert_eq!((first.count, first.changed, first.updated.contains(&1)), (2, Timestamp::from_seconds(90_000), true));
        assert_eq!((log.parts[1].count, log.parts[1].changed), (1, Timestamp::from_seconds(86_400)));
        assert!(log.by_uuid.contains_key(&uuid("events-green/1970-01-02")) && log.by_uuid.len() == 2);
    }

    #[test]
    fn a_day_of_many_values_has_further_events_and_collections_have_their_own() {
        let mut log = Log::default();
        for key in 0..=MAX_PART as u128 {
            let added = i64::try_from(key).unwrap();
            log.take(&version(Collection::Clear, key, added, added), 0, uuid);
        }
        log.take(&version(Collection::Amber, 0, 0, 0), 0, uuid);
        let counts: Vec<usize> = log.parts.iter().map(|part| part.count).collect();
        assert_eq!(counts, [MAX_PART, 1, 1]);
        assert_eq!(log.parts[1].uuid, uuid("events-clear/1970-01-01/1"));
        log.take(&version(Collection::Clear, 5, 5, 20_000), 0, uuid);
        assert!(log.parts[0].updated.contains(&5) && log.parts[1].updated.is_empty());
    }

    #[test]
    fn a_file_has_one_of_three_names() {
        assert_eq!(FeedName::parse("manifest.json"), Some(FeedName::Manifest));
        assert_eq!(FeedName::parse("hashes.csv"), Some(FeedName::Hashes));
        assert_eq!(FeedName::parse(&format!("{}.json", Uuid::nil())), Some(FeedName::Event(Uuid::nil())));
        assert_eq!(FeedName::parse("../manifest.json"), None);
    }
}
