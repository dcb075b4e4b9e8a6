//! Objects in: an envelope is kept whole and, where it tells of events, taken in as events too.
//!
//! Flow: body → `formats::stix::contributed` → the store, with one sync → what is revoked loses its events ([`super::brought`]) → intake, as anyone's
//! STIX → where the events lie is noted beside the objects → the status resource.
//! Invariant: success means durable. What intake does not take is kept as an object all the same; a collection of few readers makes events for those
//! few alone, and a private one makes none. A partner's collection keeps no objects: what the partner posts becomes its events, or fails. An
//! organisation that holds as much as it may adds nothing, neither objects nor events.
//! Not here: what a reader sees of an object (`super::kept`).

use super::{Collection, MAX_CONTENT, STATUS_KEPT, Source, Versions};
use crate::answers::{self, LineError};
use crate::intake::Options;
use crate::{Actor, Hub, HubError};
use bytes::Bytes;
use formats::stix::contributed::{self, Refused};
use formats::{Defaults, Format};
use model::{Origin, Text, Timestamp, Tlp};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use store::objects::{Added, Bringing, Holding, MAX_HELD, MAX_VERSIONS, NewObject, Outcome, Posting};
use tokio::sync::OwnedSemaphorePermit;

/// Bytes of bodies that are gathered at the same time.
pub(crate) const MAX_GATHERED: usize = 4 * MAX_CONTENT;
/// How long a body waits for its turn before its sender is told to come back.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// Objects of a request whose additions are named one by one; failures that are named.
const MAX_NAMED: usize = 1_000;
/// Why the events of an object are withdrawn whose new version revokes it.
const REVOKED: &str = "the STIX object that brought it was revoked";
/// Stands for the id of an object that has none.
const NO_ID: &str = "unknown--00000000-0000-4000-8000-000000000000";

/// A status resource. Source: TAXII 2.1, section 4.3.1.
#[derive(Serialize)]
struct Status<'a> {
    id: &'a str,
    status: &'static str,
    request_timestamp: String,
    total_count: usize,
    success_count: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    successes: Vec<Detail>,
    failure_count: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<Detail>,
    pending_count: usize,
}

#[derive(Serialize)]
struct Detail {
    id: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// A body, read.
struct Prepared {
    objects: Vec<NewObject>,
    /// Places of those that their creators take back.
    revoked: HashSet<usize>,
    refused: Vec<Refused>,
    /// What is given to intake, and as what.
    events: Option<(Format, Vec<u8>)>,
}

impl Hub {
    /// Room for a body of so many bytes; waits where others have it.
    ///
    /// # Errors
    /// [`HubError::TooLarge`] past [`MAX_CONTENT`], [`HubError::Overloaded`] where no room becomes free.
    pub async fn taxii_room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, HubError> {
        if bytes > MAX_CONTENT {
            return Err(HubError::TooLarge { limit: MAX_CONTENT as u64, unit: "bytes" });
        }
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        match tokio::time::timeout(MAX_WAIT, Arc::clone(&self.gathering).acquire_many_owned(kib)).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) | Err(_) => Err(HubError::Overloaded { retry_after: 5 }),
        }
    }

    /// Adds the objects of an envelope to a collection. Gives the status resource as JSON.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] where the caller may not add; [`HubError::Invalid`] where the body is no envelope, or its organisation holds too much
    /// already; what the store says. Where the hub has no room for the events now, what intake says: the objects are kept then, and sending them
    /// again is no error.
    pub async fn taxii_add(self: &Arc<Self>, actor: &Actor, collection: &Collection, body: Bytes) -> Result<String, HubError> {
        collection.writable()?;
        let now = self.clock().now();
        let (source, org) = (collection.source.clone(), Arc::clone(&actor.organisation));
        let defaults = Defaults { now, tlp: org.default_tlp, pap: org.default_pap, named: org.named, category: None, origin: None, role: None };
        let of_body = defaults.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&source, &body, &of_body)).await.map_err(|error| HubError::Internal(Box::new(error)))?;
        let prepared = prepared.map_err(|reason| HubError::Invalid { pointer: "/objects".to_owned(), reason })?;
        if matches!(collection.source, Source::Agreement(..)) {
            return self.taxii_relay(actor, collection, now, prepared).await;
        }
        let Prepared { objects, revoked, refused, events } = prepared;
        let status = self.clock().uuid().to_string();
        let posting = Posting { brings: events.is_some(), objects, ..self.posting(actor, collection, status.clone(), now) };
        let (mut answer, mut told) = (String::new(), Vec::new());
        let add = self.objects().add(&posting, |outcomes| {
            answer = status_json(&status, now, &posting.objects, outcomes, &refused);
            told = outcomes.to_vec();
            answer.clone()
        });
        let bringing = match add.await? {
            Added::Done(bringing) => bringing,
            Added::Full(held) => return Err(full(held)),
        };
        let gone = taken_back(&posting.objects, &told, &revoked);
        if !gone.is_empty() {
            let only = (!actor.is_coordinator()).then_some(actor.organisation.number);
            self.withdraw_brought(actor, collection, &gone, (&Versions::All, &[]), only, REVOKED).await?;
        }
        let events = if told.iter().any(|outcome| matches!(outcome, Outcome::Erased(_))) {
            // What was erased does not come back as an event either.
            let left = posting.objects.iter().zip(&told).filter(|(_, outcome)| !matches!(outcome, Outcome::Erased(_)));
            let left: Vec<&str> = left.filter_map(|(object, _)| std::str::from_utf8(&object.json).ok()).collect();
            events_of(&collection.source, &left, &defaults)
        } else {
            events
        };
        self.take_in(actor, events, &bringing).await?;
        Ok(answer)
    }

    /// A request without objects yet.
    fn posting(&self, actor: &Actor, collection: &Collection, status: String, now: Timestamp) -> Posting {
        Posting {
            status,
            collection: collection.number(),
            org: actor.organisation.number,
            supersedes_others: actor.is_coordinator(),
            now,
            keep_statuses: STATUS_KEPT,
            brings: false,
            most: MAX_HELD,
            secret: self.taxii_erasure_secret(),
            objects: Vec::new(),
        }
    }

    /// Takes in what a partner passes on. None of it is kept as an object, for the collection is made of events.
    async fn taxii_relay(self: &Arc<Self>, actor: &Actor, collection: &Collection, now: Timestamp, prepared: Prepared) -> Result<String, HubError> {
        let Prepared { objects, mut refused, events, .. } = prepared;
        // Objects are numbered as they stand in the document that intake reads.
        let mut failed: HashMap<u64, String> = HashMap::new();
        if let Some((format, body)) = events {
            for LineError { line, reason } in self.relay(actor, format, body).await?.errors {
                failed.entry(line).or_insert(reason);
            }
        }
        let (mut taken, mut outcomes) = (Vec::new(), Vec::new());
        for (number, object) in (1..).zip(objects) {
            match failed.remove(&number) {
                Some(reason) => refused.push(Refused { id: Some(object.id), version: object.version, reason }),
                None => {
                    outcomes.push(Outcome::Added(object.version.unwrap_or(now)));
                    taken.push(object);
                }
            }
        }
        let status = self.clock().uuid().to_string();
        let answer = status_json(&status, now, &taken, &outcomes, &refused);
        let posting = self.posting(actor, collection, status, now);
        self.objects().add(&posting, |_| answer.clone()).await?;
        Ok(answer)
    }

    /// What became of what a partner passes on: relayed, unless it says otherwise.
    async fn relay(self: &Arc<Self>, actor: &Actor, format: Format, body: Vec<u8>) -> Result<answers::Outcome, HubError> {
        let options = Options { format: Some(format), origin: Some(Origin::Relayed), ..Options::default() };
        let mut session = self.intake(actor, options)?;
        session.push(Bytes::from(body)).await?;
        match session.finish().await {
            Ok(outcome) => Ok(outcome),
            Err(HubError::NothingUsable { outcome }) => Ok(*outcome),
            Err(error) => Err(whole(error)),
        }
    }

    /// Takes in what is told of events, and notes where they lie. What is refused for what it says stays an object; what the hub cannot take now is
    /// said to the sender.
    async fn take_in(self: &Arc<Self>, actor: &Actor, events: Option<(Format, Vec<u8>)>, bringing: &Bringing) -> Result<(), HubError> {
        let Some((format, body)) = events else {
            self.objects().note_events(bringing, None, 0).await?;
            return Ok(());
        };
        let options = Options { format: Some(format), ..Options::default() };
        let taken = async {
            let mut session = self.intake(actor, options)?;
            session.push(Bytes::from(body)).await?;
            session.finish().await
        };
        let (kept, error) = match taken.await {
            Ok(outcome) => (Some(outcome), None),
            // A part of it may be in the ledger.
            Err(HubError::Partly { error, outcome }) => (Some(*outcome), Some(*error)),
            Err(error) => (None, Some(error)),
        };
        let new = kept.filter(|outcome| outcome.accepted > 0);
        let places = new.as_ref().and_then(|outcome| outcome.first_seq.zip(outcome.last_seq));
        self.objects().note_events(bringing, places, new.as_ref().map_or(0, |outcome| outcome.accepted)).await?;
        match error {
            Some(error) if is_for_now(&error) => return Err(error),
            Some(error) => tracing::debug!(%error, "contributed objects gave no events, or some"),
            None => tracing::debug!(accepted = new.map_or(0, |outcome| outcome.accepted), "contributed objects were taken in"),
        }
        Ok(())
    }
}

/// That an organisation may add no more.
fn full(held: Holding) -> HubError {
    let reason = format!(
        "your organisation holds {} versions of objects of {} bytes here, of {} and {} that it may: nothing was added; delete what is no longer needed",
        held.objects, held.bytes, MAX_HELD.objects, MAX_HELD.bytes
    );
    HubError::Invalid { pointer: "/objects".to_owned(), reason }
}

/// Ids of the objects that are revoked now, by this request or an earlier one with the same version.
fn taken_back(objects: &[NewObject], outcomes: &[Outcome], revoked: &HashSet<usize>) -> Vec<String> {
    let now = objects.iter().zip(outcomes).enumerate().filter(|(place, (_, outcome))| {
        let stands = match outcome {
            Outcome::Added(_) | Outcome::Known(_) => true,
            Outcome::Foreign(_) | Outcome::TooMany(_) | Outcome::Erased(_) => false,
        };
        stands && revoked.contains(place)
    });
    now.map(|(_, (object, _))| object.id.clone()).collect()
}

/// Why a request broke off, whatever was kept of it.
fn whole(error: HubError) -> HubError {
    match error {
        HubError::Partly { error, .. } => *error,
        error => error,
    }
}

/// Whether the same events can be taken another time.
fn is_for_now(error: &HubError) -> bool {
    matches!(error, HubError::Overloaded { .. } | HubError::Quota { .. } | HubError::DiskFull | HubError::ReadOnly)
}

fn prepare(source: &Source, body: &[u8], defaults: &Defaults) -> Result<Prepared, String> {
    let shared = *source != Source::Private;
    let mut prepared = Prepared { objects: Vec::new(), revoked: HashSet::new(), refused: Vec::new(), events: None };
    let mut kept: Vec<&str> = Vec::new();
    for read in contributed::read(body, defaults.tlp)? {
        match read {
            Ok(object) if shared && object.tlp == Tlp::Red => {
                let reason = "TLP:RED is for named persons and is not shared through a collection".to_owned();
                prepared.refused.push(Refused { id: Some(object.id), version: object.version, reason });
            }
            Ok(object) => {
                kept.push(object.raw);
                if object.revoked {
                    prepared.revoked.insert(prepared.objects.len());
                }
                let parts = (!object.parts.is_empty()).then(|| serde_json::to_string(&object.parts)).transpose().map_err(|error| error.to_string())?;
                prepared.objects.push(NewObject {
                    id: object.id,
                    kind: object.kind,
                    spec: object.spec,
                    version: object.version,
                    tlp: object.tlp,
                    parts,
                    json: object.raw.as_bytes().to_vec(),
                });
            }
            Err(refused) => prepared.refused.push(refused),
        }
    }
    // A partner is told of each object whether it became an event.
    let any = matches!(source, Source::Agreement(..)) || prepared.objects.iter().any(|object| contributed::gives_events(&object.kind));
    if any {
        prepared.events = events_of(source, &kept, defaults);
    }
    Ok(prepared)
}

/// What is given to intake of the kept objects, and as what.
fn events_of(source: &Source, kept: &[&str], defaults: &Defaults) -> Option<(Format, Vec<u8>)> {
    if kept.is_empty() {
        return None;
    }
    match source {
        Source::Intelligence | Source::Agreement(..) => Some((Format::Stix, bundle(kept))),
        Source::Sector(sector) => narrowed(&bundle(kept), sector, defaults).map(|lines| (Format::Ndjson, lines)),
        Source::Private | Source::Events(_) => None,
    }
}

/// The kept objects as a document.
fn bundle(objects: &[&str]) -> Vec<u8> {
    let mut out = Vec::with_capacity(objects.iter().map(|object| object.len() + 1).sum::<usize>() + 16);
    out.extend_from_slice(b"{\"objects\":[");
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(object.as_bytes());
    }
    out.extend_from_slice(b"]}");
    out
}

/// The events that a document tells of, one per line, for the members of a sector alone; `None` where it tells of none.
fn narrowed(document: &[u8], sector: &Text, defaults: &Defaults) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for mut event in formats::parse_document(Format::Stix, document, defaults).events {
        event.details_mut().audience = vec![sector.clone()];
        out.extend_from_slice(formats::json::to_submission(&event).as_bytes());
        out.push(b'\n');
    }
    (!out.is_empty()).then_some(out)
}

/// What became of each object.
fn status_json(id: &str, now: Timestamp, objects: &[NewObject], outcomes: &[Outcome], refused: &[Refused]) -> String {
    let mut failures: Vec<Detail> = refused.iter().take(MAX_NAMED).map(refusal).collect();
    let mut failure_count = refused.len();
    let mut successes = Vec::new();
    let mut success_count = 0;
    let total_count = objects.len() + refused.len();
    for (object, outcome) in objects.iter().zip(outcomes) {
        let detail = |version: Timestamp, message: Option<&str>| Detail {
            id: object.id.clone(),
            version: version.to_micro_string(),
            message: message.map(str::to_owned),
        };
        let mut fail = |detail: Detail| {
            failure_count += 1;
            if failures.len() < MAX_NAMED {
                failures.push(detail);
            }
        };
        match *outcome {
            // What was erased is no error: it was here, as the sender says.
            Outcome::Added(version) | Outcome::Known(version) | Outcome::Erased(version) => {
                success_count += 1;
                if total_count <= MAX_NAMED {
                    successes.push(detail(version, None));
                }
            }
            Outcome::Foreign(version) => {
                fail(detail(version, Some("another organisation contributed this object and alone makes new versions of it")));
            }
            Outcome::TooMany(version) => {
                let reason = format!("there are {MAX_VERSIONS} versions of this object, and no more are kept");
                fail(detail(version, Some(reason.as_str())));
            }
        }
    }
    let status = Status {
        id,
        status: "complete",
        request_timestamp: now.to_micro_string(),
        total_count,
        success_count,
        successes,
        failure_count,
        failures,
        pending_count: 0,
    };
    serde_json::to_string(&status).unwrap_or_default()
}

fn refusal(refused: &Refused) -> Detail {
    Detail {
        id: refused.id.clone().unwrap_or_else(|| NO_ID.to_owned()),
        version: refused.version.unwrap_or_default().to_micro_string(),
        message: Some(refused.reason.clone()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn of_many_failures_all_are_counted_and_some_are_named() {
        let refused = vec![Refused { id: None, version: None, reason: "no".to_owned() }; MAX_NAMED + 5];
        let json: serde_json::Value = serde_json::from_str(&status_json("a", Timestamp::from_seconds(1), &[], &[], &refused)).unwrap();
        assert_eq!((json["failure_count"].as_u64(), json["total_count"].as_u64()), (Some(1_005), Some(1_005)));
        assert_eq!(json["failures"].as_array().unwrap().len(), MAX_NAMED);
    }

    #[test]
    fn what_a_request_takes_back_is_what_stands_revoked_after_it() {
        let object =
            |id: &str| NewObject { id: id.to_owned(), kind: "tool".to_owned(), spec: "2.1", version: None, tlp: Tlp::Green, parts: None, json: Vec::new() };
        let now = Timestamp::from_seconds(1);
        let objects = ["a", "b", "c", "d", "e"].map(object);
        let told = [Outcome::Added(now), Outcome::Known(now), Outcome::Foreign(now), Outcome::Added(now), Outcome::Erased(now)];
        assert_eq!(taken_back(&objects, &told, &HashSet::from([0, 1, 2, 4])), ["a", "b"]);
    }

    #[test]
    fn a_request_past_what_may_be_held_says_what_is_held() {
        let HubError::Invalid { pointer, reason } = full(Holding { objects: 7, bytes: 900 }) else { panic!("another error") };
        assert!(pointer == "/objects" && reason.contains("holds 7 versions") && reason.contains("5000000"), "{reason}");
    }

    #[test]
    fn what_the_hub_cannot_take_now_is_said_and_what_is_wrong_is_not() {
        for error in [HubError::Overloaded { retry_after: 1 }, HubError::Quota { retry_after: 1 }, HubError::DiskFull, HubError::ReadOnly] {
            assert!(is_for_now(&whole(error)));
        }
        assert!(!is_for_now(&HubError::BadBody("no".to_owned())));
    }
}
