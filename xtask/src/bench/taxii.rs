//! `taxii`: objects posted, and pages of them served, of what members contribute and of what is made from events; other servers beside it where there
//! are any.
//!
//! Flow: bundles over several connections → everything caught up → one connection through the whole collection by `next` → the first and a far page,
//! again and again → the same of indicators, once events were loaded → medallion, or a server that runs already (`beside`).
//! Invariant: posted means answered with 202, so durable, with the events that the objects tell of applied; a page holds up to 1,000 objects.
//! Not here: clients of others (`tests/python/taxii.py`), whose own time is most of what they take.

mod beside;
mod objects;

use super::feed::{Latencies, Load, feed};
use super::process::Hub;
use super::{Arguments, Goal, row};
use crate::load::{Connection, Generator};
use anyhow::{Context, bail};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Objects of a bundle and of a page.
const BUNDLE: u64 = 1_000;
/// The far page; of a smaller collection it is the last.
const FAR: usize = 900;
/// How often a page is asked for.
const ASKED: usize = 300;
/// Pages on which a time is not counted yet.
const WARM_UP: usize = 20;
/// Days that the events are spread over.
const DAYS: u64 = 14;
/// How long a bundle that is asked for later waits, where the hub does not say.
const PAUSE: Duration = Duration::from_millis(100);
const MEDIA: &str = "application/taxii+json;version=2.1";
const COLLECTIONS: &str = "/taxii2/main/collections";
/// The goals.
const POSTED: f64 = 20_000.0;
const PAGE_MILLIS: f64 = 20.0;
const TIMES_MEDALLION: f64 = 50.0;

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let hub = Hub::start(&arguments.memory, arguments.connections)?;
    let (rate, mut latencies) = post(&hub, arguments)?;
    let what = format!("{} objects posted in bundles of {BUNDLE}, {} connections", arguments.objects, arguments.connections);
    row("taxii", &what, rate, "objects/s", Goal::AtLeast(POSTED));
    row("taxii", "a bundle p50", latencies.percentile(50), "ms", Goal::None);
    row("taxii", "a bundle p99", latencies.percentile(99), "ms", Goal::None);
    hub.settle()?;
    let kept = serve(&hub, "intelligence", "contributed")?;

    let load = Load { first: 0, events: arguments.events, batch: arguments.batch, connections: arguments.connections };
    feed(&hub, Generator::ending_now(arguments.events, DAYS), load)?;
    hub.settle()?;
    serve(&hub, "events-green", "made from events")?;
    row("taxii", "memory, anonymous", hub.memory("RssAnon")? as f64 / f64::from(1 << 20), "MiB", Goal::None);
    let disk = std::fs::metadata(hub.data().join("objects.sqlite")).context("objects.sqlite")?.len();
    row("taxii", "disk of contributed objects", disk as f64 / arguments.objects.max(1) as f64, "bytes/object", Goal::None);
    drop(hub);
    for (name, other) in beside::measure()? {
        row("taxii", &format!("{name}: served on one connection"), other, "objects/s", Goal::None);
        row("taxii", &format!("contributed objects served, times {name}"), kept / other.max(f64::MIN_POSITIVE), "×", Goal::AtLeast(TIMES_MEDALLION));
    }
    Ok(())
}

/// Posts everything; gives objects a second, and the times of the bundles.
fn post(hub: &Hub, arguments: &Arguments) -> anyhow::Result<(f64, Latencies)> {
    let next = AtomicU64::new(0);
    let total = Mutex::new(Latencies::default());
    let began = Instant::now();
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..arguments.connections)
            .map(|number| {
                let (next, total) = (&next, &total);
                scope.spawn(move || -> anyhow::Result<()> {
                    let mut connection = hub.connect(number)?;
                    let (mut own, mut body) = (Latencies::default(), Vec::new());
                    loop {
                        let from = next.fetch_add(BUNDLE, Ordering::Relaxed);
                        if from >= arguments.objects {
                            break;
                        }
                        body.clear();
                        objects::write_bundle(&mut body, from, from.saturating_add(BUNDLE).min(arguments.objects));
                        own.push(post_one(&mut connection, &body)?);
                    }
                    if let Ok(mut total) = total.lock() {
                        total.append(own);
                    }
                    Ok(())
                })
            })
            .collect();
        for sender in senders {
            match sender.join() {
                Ok(result) => result?,
                Err(_) => bail!("a sender broke"),
            }
        }
        Ok(())
    })?;
    let rate = arguments.objects as f64 / began.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
    Ok((rate, total.into_inner().map_err(|_| anyhow::anyhow!("a sender broke"))?))
}

fn post_one(connection: &mut Connection, body: &[u8]) -> anyhow::Result<Duration> {
    loop {
        let began = Instant::now();
        let answer = connection.post(&format!("{COLLECTIONS}/intelligence/objects/"), MEDIA, body)?;
        let said = || String::from_utf8_lossy(answer.body.get(..300).unwrap_or(&answer.body)).into_owned();
        match answer.status {
            // Looking is cheaper than reading: a status names every object.
            202 if contains(&answer.body, b"\"failure_count\":0") => return Ok(began.elapsed()),
            202 => bail!("objects were refused: {}", said()),
            429 | 503 => std::thread::sleep(answer.retry_after.map_or(PAUSE, Duration::from_secs)),
            status => bail!("the hub answered {status}: {}", said()),
        }
    }
}

fn contains(body: &[u8], words: &[u8]) -> bool {
    body.windows(words.len()).any(|window| window == words)
}

/// Measures one collection; gives objects served a second.
fn serve(hub: &Hub, collection: &str, what: &str) -> anyhow::Result<f64> {
    let mut connection = hub.connect(0)?;
    let first = format!("{COLLECTIONS}/{collection}/objects/?limit={BUNDLE}");
    let began = Instant::now();
    let (mut path, mut far) = (first.clone(), first.clone());
    let (mut pages, mut bytes) = (0_usize, 0_usize);
    let last = loop {
        let body = page(&mut connection, &path)?;
        pages += 1;
        bytes += body.len();
        if pages <= FAR {
            far.clone_from(&path);
        }
        match next_of(&body) {
            Some(next) => path = format!("{first}&next={next}"),
            None => break body,
        }
    };
    let seconds = began.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
    let objects = (pages as u64 - 1) * BUNDLE + count(&last)?;
    let rate = objects as f64 / seconds;
    row("taxii", &format!("{what}: {objects} objects on one connection"), rate, "objects/s", Goal::None);
    row("taxii", &format!("{what}: bytes of a page"), bytes as f64 / pages as f64, "bytes", Goal::None);
    for (name, path) in [("page 1".to_owned(), &first), (format!("page {}", pages.min(FAR)), &far)] {
        let mut latencies = Latencies::default();
        for number in 0..WARM_UP + ASKED {
            let began = Instant::now();
            page(&mut connection, path)?;
            if number >= WARM_UP {
                latencies.push(began.elapsed());
            }
        }
        row("taxii", &format!("{what}: {name} p50"), latencies.percentile(50), "ms", Goal::None);
        row("taxii", &format!("{what}: {name} p99"), latencies.percentile(99), "ms", Goal::AtMost(PAGE_MILLIS));
    }
    Ok(rate)
}

fn page(connection: &mut Connection, path: &str) -> anyhow::Result<Vec<u8>> {
    let answer = connection.get(path)?;
    if answer.status != 200 {
        bail!("{path} was answered with {}", answer.status);
    }
    Ok(answer.body)
}

/// The cursor at the end of an envelope, which is not read for it.
fn next_of(body: &[u8]) -> Option<&str> {
    const BEGIN: &[u8] = b"\"more\":true,\"next\":\"";
    let tail = body.get(body.len().saturating_sub(200)..)?;
    let at = tail.windows(BEGIN.len()).rposition(|window| window == BEGIN)? + BEGIN.len();
    std::str::from_utf8(tail.get(at..)?).ok()?.split('"').next()
}

fn count(body: &[u8]) -> anyhow::Result<u64> {
    let envelope: serde_json::Value = serde_json::from_slice(body).context("the last page")?;
    Ok(envelope.get("objects").and_then(serde_json::Value::as_array).map_or(0, Vec::len) as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_found_at_the_end_of_a_page_and_nowhere_else() {
        assert_eq!(next_of(b"{\"objects\":[],\"more\":true,\"next\":\"0af\"}"), Some("0af"));
        assert_eq!(next_of(b"{\"more\":true,\"next\":\"0af\"}"), Some("0af"));
        assert_eq!(next_of(b"{}"), None);
        assert_eq!(next_of(b"{\"objects\":[{\"name\":\"next\"}]}"), None);
    }

    #[test]
    fn a_bundle_is_an_envelope_of_different_objects() {
        let mut body = Vec::new();
        objects::write_bundle(&mut body, 5, 1_005);
        assert_eq!(count(&body).unwrap(), 1_000);
        let envelope: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let ids: std::collections::HashSet<String> =
            envelope["objects"].as_array().unwrap().iter().map(|object| object["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids.len(), 1_000);
    }
}
