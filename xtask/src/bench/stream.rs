//! `stream`: from the acknowledgement of an event to its receipt by each of 100 subscribers, at 10,000 events a second.
//!
//! Invariant: one sender alone, so every sequence number between a batch's first and last is that batch's.

use super::feed::Latencies;
use super::process::Hub;
use super::{Arguments, Goal, row};
use crate::load::{Connection, Generator};
use anyhow::{Context, bail};
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

const SUBSCRIBERS: usize = 100;
const RATE: u64 = 10_000;
const BATCH: u64 = 500;
/// One in so many events is timed by each subscriber.
const SAMPLE: u64 = 16;
/// How long after the last acknowledgement a subscriber waits for what is missing.
const REST: Duration = Duration::from_secs(5);

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let hub = Hub::start(&arguments.memory, 2)?;
    let events = RATE * arguments.seconds;
    let end = Instant::now() + Duration::from_secs(arguments.seconds) + 2 * REST;
    let (batches, received) = std::thread::scope(|scope| {
        let mut readers = Vec::new();
        for _ in 0..SUBSCRIBERS {
            let mut connection = hub.connect(1)?;
            connection.ask("/api/v1/stream")?;
            readers.push(scope.spawn(move || follow(connection, end)));
        }
        // Subscribers are there before the first event.
        std::thread::sleep(Duration::from_secs(1));
        let batches = send(hub.connect(0)?, Generator::ending_now(events, 1), events)?;
        let mut received = Vec::new();
        for reader in readers {
            let Ok(seen) = reader.join() else { bail!("a subscriber broke") };
            received.push(seen?);
        }
        Ok((batches, received))
    })?;
    let mut latencies = Latencies::default();
    let mut least = u64::MAX;
    for seen in &received {
        least = least.min(seen.count);
        for (seq, at) in &seen.samples {
            let place = batches.partition_point(|batch| batch.last < *seq);
            if let Some(batch) = batches.get(place).filter(|batch| batch.first <= *seq) {
                // Before the acknowledgement counts as at once.
                latencies.push(at.saturating_duration_since(batch.acknowledged));
            }
        }
    }
    row("stream", &format!("{SUBSCRIBERS} subscribers, acknowledgement to receipt p50"), latencies.percentile(50), "ms", Goal::None);
    row("stream", "p99", latencies.percentile(99), "ms", Goal::AtMost(250.0));
    row("stream", "worst", latencies.percentile(100), "ms", Goal::None);
    row("stream", "events that the least served subscriber received", least as f64, &format!("of {events}"), Goal::None);
    Ok(())
}

struct Batch {
    first: u64,
    last: u64,
    acknowledged: Instant,
}

fn send(mut connection: Connection, generator: Generator, events: u64) -> anyhow::Result<Vec<Batch>> {
    let mut batches = Vec::new();
    let began = Instant::now();
    let mut body = Vec::new();
    for from in (0..events).step_by(usize::try_from(BATCH)?) {
        body.clear();
        generator.write_batch(&mut body, from, from + BATCH);
        let due = Duration::from_micros(from * 1_000_000 / RATE);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let answer = connection.post("/api/v1/events", "application/x-ndjson", &body)?;
        if answer.status != 200 {
            bail!("the hub answered {}", answer.status);
        }
        let number = |field| answer.number(field).with_context(|| format!("no {field}"));
        batches.push(Batch { first: number("first_seq")?, last: number("last_seq")?, acknowledged: Instant::now() });
    }
    Ok(batches)
}

#[derive(Default)]
struct Seen {
    count: u64,
    samples: Vec<(u64, Instant)>,
}

/// Reads events until the end, or until nothing comes any more.
fn follow(connection: Connection, end: Instant) -> anyhow::Result<Seen> {
    let stream = connection.into_stream();
    stream.set_read_timeout(Some(REST))?;
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    let mut seen = Seen::default();
    let (mut id, mut line) = (None, Vec::new());
    while Instant::now() < end {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                if seen.count > 0 {
                    break;
                }
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(text) = line.strip_prefix(b"id: ") {
            id = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<u64>().ok());
            continue;
        }
        // The opening and heartbeats have an id and no event.
        let (true, Some(id)) = (line.starts_with(b"data: "), id) else { continue };
        seen.count += 1;
        if id % SAMPLE == 0 {
            seen.samples.push((id, Instant::now()));
        }
    }
    Ok(seen)
}
