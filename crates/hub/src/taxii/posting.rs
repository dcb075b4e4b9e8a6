//! Objects in: an envelope is kept whole and, where it tells of events, taken in as events too.
//!
//! Flow: body → `formats::stix::contributed` → the store, with one sync; beside it → intake, as anyone's STIX → the status resource.
//! Invariant: success means durable. What intake does not take is kept as an object all the same; a collection of few readers makes events for those
//! few alone, and a private one makes none.
//! Not here: what a reader sees of an object (`super::kept`).

use super::{Collection, MAX_CONTENT, STATUS_KEPT, Source};
use crate::intake::Options;
use crate::{Actor, Hub, HubError};
use bytes::Bytes;
use formats::stix::contributed::{self, Refused};
use formats::{Defaults, Format};
use model::{Text, Timestamp, Tlp};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use store::objects::{MAX_VERSIONS, NewObject, Outcome, Posting};
use tokio::sync::OwnedSemaphorePermit;

/// Bytes of bodies that are gathered at the same time.
pub(crate) const MAX_GATHERED: usize = 4 * MAX_CONTENT;
/// How long a body waits for its turn before its sender is told to come back.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// Objects of a request whose additions are named one by one; failures that are named.
const MAX_NAMED: usize = 1_000;
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
    /// [`HubError::Forbidden`] where the caller may not add; [`HubError::Invalid`] where the body is no envelope; what the store says. Where
    /// the hub has no room for the events now, what intake says: the objects are kept then, and sending them again is no error.
    pub async fn taxii_add(self: &Arc<Self>, actor: &Actor, collection: &Collection, body: Bytes) -> Result<String, HubError> {
        collection.writable()?;
        let now = self.clock().now();
        let (source, org) = (collection.source.clone(), Arc::clone(&actor.organisation));
        let defaults = Defaults { now, tlp: org.default_tlp, pap: org.default_pap, named: org.named, category: None, origin: None, role: None };
        let prepared = tokio::task::spawn_blocking(move || prepare(&source, &body, &defaults)).await.map_err(|error| HubError::Internal(Box::new(error)))?;
        let Prepared { objects, refused, events } = prepared.map_err(|reason| HubError::Invalid { pointer: "/objects".to_owned(), reason })?;
        let status = self.clock().uuid().to_string();
        let posting = Posting {
            status: status.clone(),
            collection: collection.number(),
            org: actor.organisation.number,
            supersedes_others: actor.is_coordinator(),
            now,
            keep_statuses: STATUS_KEPT,
            objects,
        };
        let mut answer = String::new();
        let add = self.objects().add(&posting, |outcomes| {
            answer = status_json(&status, now, &posting.objects, outcomes, &refused);
            answer.clone()
        });
        let (added, taken) = tokio::join!(add, self.take_in(actor, events));
        added?;
        taken?;
        Ok(answer)
    }

    /// Takes in what is told of events. What is refused for what it says stays an object; what the hub cannot take now is said to the sender.
    async fn take_in(self: &Arc<Self>, actor: &Actor, events: Option<(Format, Vec<u8>)>) -> Result<(), HubError> {
        let Some((format, body)) = events else { return Ok(()) };
        let options = Options { format: Some(format), ..Options::default() };
        let taken = async {
            let mut session = self.intake(actor, options)?;
            session.push(Bytes::from(body)).await?;
            session.finish().await
        };
        match taken.await {
            Ok(outcome) => {
                tracing::debug!(accepted = outcome.accepted, merged = outcome.merged, refused = outcome.refused, "contributed objects were taken in");
            }
            Err(error) => {
                let error = whole(error);
                if is_for_now(&error) {
                    return Err(error);
                }
                tracing::debug!(%error, "contributed objects gave no events");
            }
        }
        Ok(())
    }
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
    let mut prepared = Prepared { objects: Vec::new(), refused: Vec::new(), events: None };
    let mut kept: Vec<&str> = Vec::new();
    for read in contributed::read(body, defaults.tlp)? {
        match read {
            Ok(object) if shared && object.tlp == Tlp::Red => {
                let reason = "TLP:RED is for named persons and is not shared through a collection".to_owned();
                prepared.refused.push(Refused { id: Some(object.id), version: object.version, reason });
            }
            Ok(object) => {
                kept.push(object.raw);
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
    if !kept.is_empty() {
        prepared.events = match source {
            Source::Intelligence => Some((Format::Stix, bundle(&kept))),
            Source::Sector(sector) => narrowed(&bundle(&kept), sector, defaults).map(|lines| (Format::Ndjson, lines)),
            Source::Private | Source::Events(_) => None,
        };
    }
    Ok(prepared)
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
            Outcome::Added(version) | Outcome::Known(version) => {
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
    fn what_the_hub_cannot_take_now_is_said_and_what_is_wrong_is_not() {
        for error in [HubError::Overloaded { retry_after: 1 }, HubError::Quota { retry_after: 1 }, HubError::DiskFull, HubError::ReadOnly] {
            assert!(is_for_now(&whole(error)));
        }
        assert!(!is_for_now(&HubError::BadBody("no".to_owned())));
    }
}
