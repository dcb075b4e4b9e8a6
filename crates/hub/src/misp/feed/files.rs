//! The files of the feed: which a caller means and may have, and how each is made.
//!
//! Invariant: what may leave is decided by `policy::may_leave`; a file is made once for what it was made of.

use super::log::Part;
use super::{FeedFile, FeedName, PAGE, Stamp};
use crate::misp::civil_day;
use crate::{Actor, Hub, HubError};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use formats::misp::feed::{Attribute, Head, event, hashes, manifest};
use hashbrown::HashSet;
use model::{ObservableType, Timestamp, Tlp};
use policy::{Candidate, Purpose, Terms, may_fetch, may_leave, strictest_product, way_out};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use store::views::indicators::{Collection, Indicator};
use uuid::Uuid;

/// Events whose values are in the list of hashes at the most, the newest ones.
const MAX_HASHED: usize = 100;
/// Seconds of the steps in which what expires leaves.
const STEP: i64 = 300;

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
    pub(super) fn feed_uuid(&self, name: &str) -> Uuid {
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
