//! Objects with versions: what was brought before is left out, and what no longer stands is withdrawn.
//!
//! Flow: before intake [`leave_known`] takes known versions out of the bodies → after intake [`settle`] reads what the ledger now holds of the
//! source, notes it by object and version, and withdraws what the sender has replaced, revoked or deleted.
//! Invariant: noting reads the ledger from the place where the run began, so that a run that broke after intake is noted by the next one; an
//! event is forgotten only after it was withdrawn.
//! Not here: which version stands (the rooms of the kinds say so in [`Superseded`]), snapshots of lists (`snapshot`).

use super::{Collected, Superseded};
use crate::sharing::runs_of;
use crate::{Hub, HubError};
use formats::Format;
use model::{Event, OrgNo, Seq};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::ledger::{Body, Control, Frame, Kind, columns};
use store::records::RecordsError;
use store::sources::{Brought, Sources};

/// Events that are noted in one transaction.
const NOTED_AT_ONCE: usize = 20_000;
/// Why these events are withdrawn.
const REASON: &str = "replaced, revoked or deleted at the source";

/// Takes lines out of the bodies whose events were brought before in the same version; tells how many.
///
/// # Errors
/// What the file of sources says.
pub(super) async fn leave_known(sources: &Sources, name: &str, collected: &mut Collected) -> Result<u64, RecordsError> {
    let mut left = 0;
    for body in collected.bodies.iter_mut().filter(|body| body.is_ours && body.format == Some(Format::Ndjson)) {
        let lines: Vec<(&[u8], Option<u128>)> =
            body.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| (line, id_of(line))).collect();
        let ids: Vec<u128> = lines.iter().filter_map(|(_, id)| *id).collect();
        let known = sources.known(name, &ids).await?;
        if known.is_empty() {
            continue;
        }
        let mut kept = Vec::with_capacity(body.bytes.len());
        for (line, id) in lines {
            if id.is_some_and(|id| known.contains(&id)) {
                left += 1;
            } else {
                kept.extend_from_slice(line);
                kept.push(b'\n');
            }
        }
        body.bytes = kept.into();
    }
    collected.bodies.retain(|body| !(body.is_ours && body.bytes.is_empty()));
    Ok(left)
}

/// Notes what the ledger holds of the organisation from `from` on, and withdraws what no longer stands; tells how many events that were.
///
/// # Errors
/// [`HubError`]; everything can be done again.
pub(super) async fn settle(hub: &Arc<Hub>, sources: &Sources, name: &str, org: OrgNo, from: Seq, superseded: &[Superseded]) -> Result<u64, HubError> {
    let reading = hub.clone();
    let found = tokio::task::spawn_blocking(move || events_since(&reading, org, from)).await;
    let found = found.map_err(|broken| HubError::Internal(Box::new(broken)))??;
    for some in found.chunks(NOTED_AT_ONCE) {
        sources.bring(name, some).await?;
    }
    let stands: BTreeMap<u128, BTreeSet<u128>> =
        superseded.iter().map(|object| (hash(object.object.as_bytes()), object.keep.iter().map(|id| hash(id.as_bytes())).collect())).collect();
    let objects: Vec<u128> = stands.keys().copied().collect();
    let under = sources.under(name, &objects).await?;
    let is_gone = |event: &&Brought| [event.object, event.group].iter().any(|of| stands.get(of).is_some_and(|keep| !keep.contains(&event.id)));
    let gone: Vec<Brought> = under.iter().filter(is_gone).copied().collect();
    if gone.is_empty() {
        return Ok(0);
    }
    let mut seqs: Vec<Seq> = gone.iter().map(|event| event.seq).filter(|seq| hub.store().views.counts(*seq)).collect();
    seqs.sort_unstable();
    seqs.dedup();
    if !seqs.is_empty() {
        // An event being corrected is either withdrawn before, and then not corrected, or corrected before.
        let _turn = hub.amending.lock().await;
        hub.store().control(Control::Withdraw { ranges: runs_of(&seqs), by: org, reason: REASON.to_owned() }).await?;
    }
    let ids: Vec<u128> = gone.iter().map(|event| event.id).collect();
    sources.forget(name, &ids).await?;
    Ok(seqs.len() as u64)
}

/// What the ledger holds of an organisation from a place on, as far as it has ids with versions.
fn events_since(hub: &Hub, org: OrgNo, from: Seq) -> Result<Vec<Brought>, HubError> {
    let ledger = &hub.store().ledger;
    let mut found = Vec::new();
    for place in ledger.places(ledger.index_of(from)..usize::MAX) {
        if place.header.kind == Kind::Control || place.header.expired {
            continue;
        }
        let frame = ledger.read(&place).map_err(|error| HubError::Internal(Box::new(error)))?;
        if frame.submissions().iter().any(|submission| submission.org == org) {
            note(hub, &frame, org, from, &mut found);
        }
    }
    Ok(found)
}

fn note(hub: &Hub, frame: &Frame, org: OrgNo, from: Seq, found: &mut Vec<Brought>) {
    let Some((_, body)) = columns::split_filter(frame.body()) else { return };
    let Some(body) = Body::open(frame.header.rows, body) else { return };
    let Some(events) = body.events(frame.vault()) else { return };
    for submission in frame.submissions().into_iter().filter(|submission| submission.org == org) {
        for row in submission.start..submission.start.saturating_add(submission.rows) {
            let seq = Seq(frame.header.first_seq.0 + u64::from(row));
            if seq >= from && hub.store().views.counts(seq) {
                found.extend(events.event(row as usize).and_then(|event| brought(&event, seq)));
            }
        }
    }
}

fn brought(event: &Event, seq: Seq) -> Option<Brought> {
    let id = event.id.as_deref()?;
    let (object, _) = id.split_once('|')?;
    let object = hash(object.as_bytes());
    let extra = event.details.as_deref().and_then(|details| details.extra.as_deref()).filter(|extra| extra.contains("\"misp\""));
    let extra: Option<Value> = extra.and_then(|extra| serde_json::from_str(extra).ok());
    let group = extra.as_ref().and_then(|extra| extra.get("misp")?.get("event")?.as_str()).map_or(object, |group| hash(group.as_bytes()));
    Some(Brought { id: hash(id.as_bytes()), object, group, seq })
}

/// The id of a line's event, where it is one of an object with a version.
fn id_of(line: &[u8]) -> Option<u128> {
    #[derive(serde::Deserialize)]
    struct Line {
        id: Option<String>,
    }
    let line: Line = serde_json::from_slice(line).ok()?;
    line.id.filter(|id| id.contains('|')).map(|id| hash(id.as_bytes()))
}

fn hash(bytes: &[u8]) -> u128 {
    let mut first = [0; 16];
    first.iter_mut().zip(blake3::hash(bytes).as_bytes()).for_each(|(to, from)| *to = *from);
    u128::from_be_bytes(first)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::super::Body as Given;
    use super::*;
    use model::{Category, Observable, ObservableType, Role, Text, Timestamp};

    #[tokio::test]
    async fn known_versions_are_left_out_and_new_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources::open(&folder.path().join("sources.sqlite")).await.unwrap();
        sources.bring("a", &[Brought { id: hash(b"x|1"), object: hash(b"x"), group: hash(b"x"), seq: Seq(1) }]).await.unwrap();
        let lines = "{\"id\":\"x|1\"}\n{\"id\":\"x|2\"}\n{\"value\":\"1.2.3.4\"}\n";
        let given = || Given { is_ours: true, ..Given::new("page", Some(Format::Ndjson), lines.as_bytes().to_vec()) };
        let mut collected = Collected { bodies: vec![given(), Given::new("other", Some(Format::Ndjson), lines.as_bytes().to_vec())], ..Collected::default() };
        assert_eq!(leave_known(&sources, "a", &mut collected).await.unwrap(), 1);
        assert_eq!(collected.bodies[0].bytes.as_ref(), "{\"id\":\"x|2\"}\n{\"value\":\"1.2.3.4\"}\n".as_bytes());
        assert_eq!(collected.bodies[1].bytes.len(), lines.len());
    }

    #[test]
    fn an_event_is_known_by_its_object_and_its_group() {
        let observable = Observable { kind: ObservableType::Ipv4, role: Role::Attacker, detect: true, reserved: true, value: Text::from("192.0.2.1") };
        let mut event = Event::new(Timestamp::from_seconds(1), Category::Scanner, observable);
        assert_eq!(brought(&event, Seq(1)), None);
        event.id = Some(Text::from("a|1"));
        let alone = brought(&event, Seq(1)).unwrap();
        assert_eq!((alone.object, alone.group), (hash(b"a"), hash(b"a")));
        event.details_mut().extra = Some(Text::from(r#"{"misp":{"event":"e"}}"#));
        assert_eq!(brought(&event, Seq(1)).unwrap().group, hash(b"e"));
    }
}
