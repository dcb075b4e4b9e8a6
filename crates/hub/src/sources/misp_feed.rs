//! MISP feeds: a manifest that lists events with the time of their last change, and a file for each.
//!
//! Flow: `manifest.json` → events that are new or changed since they were read → `UUID.json` each → attributes as events, with the event they are
//! from under `extra.misp` → bodies; what an event no longer holds, and events that vanished from a snapshot's manifest, are superseded.
//! Invariant: an event is remembered only together with its attributes, in one [`Collected`]; an empty or broken manifest delists nothing.
//! Not here: `hashes.csv`, which only saves a MISP work; what attributes mean (`formats::misp`).

use super::{Body, Collected, Context, MAX_BODIES, MAX_BYTES, SourceError, Superseded};
use crate::outbound::Answer;
use formats::{Defaults, Format, Refusal};
use model::{Origin, Pap, Text, Timestamp, Tlp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

/// Events of a feed.
const MAX_EVENTS: usize = 50_000;
/// Bytes of a manifest.
const MAX_MANIFEST: usize = 64 << 20;
/// Bytes of an event's file.
const MAX_EVENT: usize = 64 << 20;
/// Events that are read in a run.
const A_RUN: usize = 500;
/// Refused attributes that are named.
const MAX_REFUSED: usize = 1_000;
/// From so many events on, more than half of them vanishing at once is not believed at first …
const MANY: usize = 10;
/// … but only when it is still so after this time.
const DOUBT: Duration = Duration::from_secs(86_400);
/// Characters of an event's title that are kept.
const MAX_INFO: usize = 256;

/// What is remembered between runs.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// Events that were read, with the time of their last change then.
    events: BTreeMap<Uuid, i64>,
    /// The manifest's tag, once all of it was read.
    etag: Option<String>,
    /// Since when more than half of the events are missing.
    doubt: Option<Timestamp>,
}

/// What a manifest says of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    uuid: Uuid,
    changed: i64,
    orgc: Option<String>,
}

/// Brings what is new or changed.
pub(super) async fn collect(context: &Context<'_>) -> Result<Collected, SourceError> {
    let mut state: State = serde_json::from_value(context.state.clone()).unwrap_or_default();
    let Some((manifest, etag)) = manifest(context, state.etag.as_deref()).await? else {
        return Ok(Collected { unchanged: true, state: context.state.clone(), ..Collected::default() });
    };
    let listed = read_manifest(&manifest)?;
    if listed.is_empty() && !state.events.is_empty() {
        return Err(SourceError::Content("the manifest is empty now; nothing is taken from it".to_owned()));
    }
    let mut run = Run { context, collected: Collected::default(), bytes: 0 };
    if context.source.snapshot {
        run.delist(&mut state, &listed);
    }
    let mut news: Vec<&Listed> = listed.iter().filter(|event| state.events.get(&event.uuid).is_none_or(|known| *known < event.changed)).collect();
    news.sort_unstable_by_key(|event| event.changed);
    let all = news.len();
    let mut read = 0;
    for event in news {
        if read >= A_RUN || run.is_full() {
            break;
        }
        match run.read(event).await {
            Ok(()) => {}
            // What came before is taken; the next run meets the fault again.
            Err(error) if read > 0 => {
                tracing::warn!(source = %context.source.name, %error, "a feed was read in part");
                break;
            }
            Err(error) => return Err(error),
        }
        state.events.insert(event.uuid, event.changed);
        read += 1;
    }
    run.collected.more = read < all;
    state.etag = etag.filter(|_| read == all);
    let mut collected = run.collected;
    collected.unchanged = all == 0 && collected.superseded.is_empty();
    collected.state = serde_json::to_value(&state).map_err(|error| SourceError::Content(error.to_string()))?;
    Ok(collected)
}

/// One run under way.
struct Run<'a> {
    context: &'a Context<'a>,
    collected: Collected,
    bytes: usize,
}

impl Run<'_> {
    fn is_full(&self) -> bool {
        self.collected.bodies.len() >= MAX_BODIES || self.bytes >= MAX_BYTES / 2
    }

    /// What was read and is listed no more.
    fn delist(&mut self, state: &mut State, listed: &[Listed]) {
        let there: BTreeSet<Uuid> = listed.iter().map(|event| event.uuid).collect();
        let gone: Vec<Uuid> = state.events.keys().filter(|uuid| !there.contains(*uuid)).copied().collect();
        let is_much = state.events.len() >= MANY && gone.len() * 2 > state.events.len();
        if !is_much {
            state.doubt = None;
        } else if state.doubt.get_or_insert(self.context.now).plus(DOUBT) > self.context.now {
            tracing::warn!(source = %self.context.source.name, gone = gone.len(), "more than half of a feed vanished at once; nothing is delisted for a day");
            return;
        }
        for uuid in gone {
            state.events.remove(&uuid);
            self.collected.superseded.push(Superseded { object: uuid.to_string(), keep: BTreeSet::new() });
        }
    }

    /// Reads an event's file.
    async fn read(&mut self, event: &Listed) -> Result<(), SourceError> {
        let name = format!("{}.json", event.uuid);
        let bytes = match get(self.context, &name, MAX_EVENT, None).await {
            Ok(answer) => answer.map_or_else(Vec::new, |(bytes, _)| bytes),
            // Listed and not there: told once, and read when it changes.
            Err(SourceError::Status { status: 404 | 410, .. }) => {
                self.refuse(&name, Refusal { line: 1, reason: "the manifest lists this event, but there is no such file".to_owned() });
                return Ok(());
            }
            Err(SourceError::File { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
                self.refuse(&name, Refusal { line: 1, reason: "the manifest lists this event, but there is no such file".to_owned() });
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let whole: Value =
            serde_json::from_slice(&bytes).map_err(|error| SourceError::Content(format!("{name}: cut off or no JSON, at line {}", error.line())))?;
        let inner = whole.get("Event").unwrap_or(&whole);
        if inner.get("Attribute").is_none() && inner.get("Object").is_none() && inner.get("info").is_none() {
            return Err(SourceError::Content(format!("{name}: no event of MISP")));
        }
        let info: String = inner.get("info").and_then(Value::as_str).unwrap_or_default().chars().take(MAX_INFO).collect();
        let from = json!({ "event": event.uuid, "info": info, "orgc": event.orgc });
        let (body, keep) = self.convert(&name, &bytes, &from);
        self.collected.superseded.push(Superseded { object: event.uuid.to_string(), keep });
        if !body.is_empty() {
            self.bytes += body.len();
            self.collected.bodies.push(Body { is_ours: true, ..Body::new(name, Some(Format::Ndjson), body) });
        }
        Ok(())
    }

    /// The attributes as lines, and the ids of their events.
    fn convert(&mut self, name: &str, bytes: &[u8], from: &Value) -> (Vec<u8>, BTreeSet<String>) {
        let source = self.context.source;
        let defaults = Defaults {
            now: self.context.now,
            tlp: source.tlp.unwrap_or(Tlp::Amber),
            pap: source.pap.unwrap_or(Pap::Green),
            named: false,
            category: source.category,
            origin: Some(Origin::Relayed),
            role: source.role,
        };
        let parsed = formats::parse_document(Format::Misp, bytes, &defaults);
        let mut out = Vec::new();
        let mut keep = BTreeSet::new();
        for mut event in parsed.events {
            keep.extend(event.id.as_ref().map(ToString::to_string));
            let mut extra: Map<String, Value> =
                event.details.as_deref().and_then(|details| details.extra.as_deref()).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            extra.insert("misp".to_owned(), from.clone());
            event.details_mut().extra = serde_json::to_string(&extra).ok().map(Text::from);
            // What the line leaves out is the source's: whether its name is shown.
            let Ok(mut line) = serde_json::from_str::<Map<String, Value>>(&formats::json::to_submission(&event)) else { continue };
            line.remove("named");
            if let Ok(line) = serde_json::to_string(&line) {
                out.extend_from_slice(line.as_bytes());
                out.push(b'\n');
            }
        }
        for refusal in parsed.refusals {
            // An event that only describes is none to complain of.
            if !refusal.reason.starts_with("document holds no observation") {
                self.refuse(name, refusal);
            }
        }
        (out, keep)
    }

    fn refuse(&mut self, name: &str, refusal: Refusal) {
        if self.collected.refused.len() < MAX_REFUSED {
            self.collected.refused.push((name.to_owned(), refusal));
        }
    }
}

/// The manifest and its tag; `None` where it has not changed.
async fn manifest(context: &Context<'_>, etag: Option<&str>) -> Result<Option<(Vec<u8>, Option<String>)>, SourceError> {
    get(context, "manifest.json", MAX_MANIFEST, etag).await
}

/// A file of the feed and its tag; `None` where it has this tag still.
async fn get(context: &Context<'_>, name: &str, limit: usize, etag: Option<&str>) -> Result<Option<(Vec<u8>, Option<String>)>, SourceError> {
    if let Some(folder) = &context.source.path {
        let bytes = read_file(&folder_of(folder).join(name), limit).await?;
        return Ok(Some((bytes, None)));
    }
    let mut url = context.url()?;
    let path = url.path().trim_end_matches("manifest.json").trim_end_matches('/').to_owned();
    url.set_path(&format!("{path}/{name}"));
    let headers: Vec<(&str, &str)> = [Some(("accept", "application/json")), etag.map(|etag| ("if-none-match", etag))].into_iter().flatten().collect();
    let answer: Answer = context.get(url, &headers).await?;
    if answer.status == 304 {
        return Ok(None);
    }
    if answer.body.len() > limit {
        return Err(SourceError::Content(format!("{name}: larger than {limit} bytes")));
    }
    let etag = answer.header("etag").filter(|etag| etag.len() <= MAX_INFO).map(str::to_owned);
    Ok(Some((answer.body, etag)))
}

/// The feed's folder, where its manifest is named.
fn folder_of(path: &Path) -> &Path {
    if path.file_name().is_some_and(|name| name == "manifest.json") { path.parent().unwrap_or(path) } else { path }
}

async fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, SourceError> {
    let failed = |error| SourceError::File { what: path.display().to_string(), error };
    let length = tokio::fs::metadata(path).await.map_err(failed)?.len();
    if length > limit as u64 {
        return Err(SourceError::Content(format!("{}: larger than {limit} bytes", path.display())));
    }
    tokio::fs::read(path).await.map_err(failed)
}

/// The events of a manifest. One without a UUID or a time is passed over, for its file could not be named.
fn read_manifest(bytes: &[u8]) -> Result<Vec<Listed>, SourceError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let manifest: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| SourceError::Content(format!("manifest.json: cut off or no manifest, at line {}", error.line())))?;
    if manifest.len() > MAX_EVENTS {
        return Err(SourceError::Content(format!("manifest.json: lists more than {MAX_EVENTS} events")));
    }
    let listed = manifest.into_iter().filter_map(|(uuid, event)| {
        let changed = match event.get("timestamp")? {
            Value::Number(number) => number.as_i64()?,
            Value::String(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        let orgc = event.get("Orgc").and_then(|orgc| orgc.get("name")).and_then(Value::as_str).map(|name| name.chars().take(MAX_INFO).collect());
        Some(Listed { uuid: Uuid::try_parse(&uuid).ok()?, changed, orgc })
    });
    Ok(listed.collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::super::SourceOptions;
    use super::*;
    use crate::outbound::{Outbound, OutboundOptions};

    const ONE: &str = "5b4b7a26-0f4c-4c3c-8a51-4f0f0a3a0001";
    const TWO: &str = "5b4b7a26-0f4c-4c3c-8a51-4f0f0a3a0002";

    fn source(folder: &Path, snapshot: bool) -> SourceOptions {
        serde_json::from_value(json!({ "name": "feed", "kind": "misp-feed", "path": folder, "snapshot": snapshot })).unwrap()
    }

    fn event(uuid: &str, changed: i64, values: &[(&str, i64)]) -> Value {
        let attributes: Vec<Value> = values
            .iter()
            .enumerate()
            .map(|(at, (value, changed))| {
                json!({ "uuid": format!("6b4b7a26-0f4c-4c3c-8a51-4f0f0a3a{at:04}"), "type": "ip-dst", "category": "Network activity", "to_ids": true,
                    "timestamp": changed.to_string(), "value": value })
            })
            .collect();
        json!({ "Event": { "uuid": uuid, "info": "test", "date": "2026-11-01", "timestamp": changed.to_string(), "Attribute": attributes } })
    }

    fn write(folder: &Path, events: &[Value]) {
        let manifest: Map<String, Value> = events
            .iter()
            .map(|event| {
                let event = &event["Event"];
                std::fs::write(folder.join(format!("{}.json", event["uuid"].as_str().unwrap())), json!({ "Event": event }).to_string()).unwrap();
                (event["uuid"].as_str().unwrap().to_owned(), json!({ "timestamp": event["timestamp"], "Orgc": { "name": "CERT" } }))
            })
            .collect();
        std::fs::write(folder.join("manifest.json"), Value::Object(manifest).to_string()).unwrap();
    }

    async fn run(source: &SourceOptions, state: &Value) -> Result<Collected, SourceError> {
        let outbound = Outbound::new(&OutboundOptions::default()).unwrap();
        collect(&Context { source, outbound: &outbound, state, now: Timestamp::parse("2026-11-22T10:00:00Z").unwrap() }).await
    }

    #[tokio::test]
    async fn only_what_is_new_or_changed_is_read_and_what_vanished_is_superseded() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path(), true);
        write(folder.path(), &[event(ONE, 1_790_000_000, &[("192.0.2.1", 1_790_000_000)]), event(TWO, 1_790_000_001, &[("192.0.2.2", 1_790_000_001)])]);
        let first = run(&source, &Value::Null).await.unwrap();
        assert_eq!(first.bodies.len(), 2);
        let line: Value = serde_json::from_slice(&first.bodies[0].bytes).unwrap();
        assert_eq!((&line["extra"]["misp"]["event"], &line["extra"]["misp"]["orgc"], &line["origin"]), (&json!(ONE), &json!("CERT"), &json!("relayed")));
        let second = run(&source, &first.state).await.unwrap();
        assert!(second.unchanged && second.bodies.is_empty());

        write(folder.path(), &[event(ONE, 1_790_000_500, &[("192.0.2.9", 1_790_000_500)])]);
        let third = run(&source, &first.state).await.unwrap();
        assert_eq!(third.bodies.len(), 1);
        let gone = third.superseded.iter().find(|object| object.object == TWO).unwrap();
        assert!(gone.keep.is_empty());
        let changed = third.superseded.iter().find(|object| object.object == ONE).unwrap();
        assert_eq!(changed.keep.len(), 1);
    }

    #[tokio::test]
    async fn a_bad_day_of_the_manifest_takes_and_delists_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path(), true);
        write(folder.path(), &[event(ONE, 1_790_000_000, &[("192.0.2.1", 1_790_000_000)])]);
        let first = run(&source, &Value::Null).await.unwrap();
        for bad in ["{}", "", "{\"5b4b7a26-0f4c", "<html>", "[]"] {
            std::fs::write(folder.path().join("manifest.json"), bad).unwrap();
            assert!(run(&source, &first.state).await.is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn most_of_a_feed_vanishing_at_once_is_believed_after_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path(), true);
        let uuid = |number: u32| format!("5b4b7a26-0f4c-4c3c-8a51-4f0f0a3a{number:04}");
        let events: Vec<Value> = (0..20).map(|number| event(&uuid(number), 1_790_000_000, &[])).collect();
        write(folder.path(), &events);
        let first = run(&source, &Value::Null).await.unwrap();
        write(folder.path(), &events[..3]);
        let second = run(&source, &first.state).await.unwrap();
        assert!(second.superseded.is_empty());
        let outbound = Outbound::new(&OutboundOptions::default()).unwrap();
        let later = Context { source: &source, outbound: &outbound, state: &second.state, now: Timestamp::parse("2026-11-23T10:00:01Z").unwrap() };
        assert_eq!(collect(&later).await.unwrap().superseded.len(), 17);
    }

    #[tokio::test]
    async fn an_event_that_is_listed_and_not_there_is_named_and_the_rest_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path(), false);
        write(folder.path(), &[event(ONE, 1_790_000_000, &[("192.0.2.1", 1_790_000_000)]), event(TWO, 1_790_000_001, &[])]);
        std::fs::remove_file(folder.path().join(format!("{ONE}.json"))).unwrap();
        let collected = run(&source, &Value::Null).await.unwrap();
        assert_eq!((collected.refused.len(), collected.more), (1, false));
    }
}
