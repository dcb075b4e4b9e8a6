//! Feeding: connections as threads, each sending the next batch as soon as its last one is acknowledged.
//!
//! Invariant: every event number is sent once; a batch that the hub asks to send later is sent again until it is taken.

use super::process::Hub;
use crate::load::{Connection, Generator};
use anyhow::{Context, bail};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a batch that is asked for later waits, where the hub does not say.
const PAUSE: Duration = Duration::from_millis(100);

/// What to send.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Number of the first event.
    pub first: u64,
    /// Events in all.
    pub events: u64,
    /// Events a request.
    pub batch: u64,
    /// Connections.
    pub connections: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Events taken.
    pub accepted: u64,
    /// Events merged.
    pub merged: u64,
    /// Events refused.
    pub refused: u64,
    /// Requests that had to be sent again.
    pub again: u64,
    /// From the request to its answer.
    pub latencies: Latencies,
    /// When answers came, since the first request; in order once everything was sent.
    pub answers: Vec<Duration>,
}

impl Report {
    /// Events that the hub dealt with, a second.
    pub fn rate(&self) -> f64 {
        (self.accepted + self.merged) as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// The longest time in which nobody was answered, in milliseconds.
    pub fn longest_pause(&self) -> f64 {
        let gaps = self.answers.windows(2).filter_map(|pair| pair.get(1)?.checked_sub(*pair.first()?));
        gaps.max().unwrap_or_default().as_secs_f64() * 1_000.0
    }
}

/// Times of requests.
#[derive(Debug, Default, Clone)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    /// Adds one.
    pub fn push(&mut self, time: Duration) {
        self.0.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// Adds those of another.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// In milliseconds, the time that so many of a hundred stay under; 100: the longest.
    pub fn percentile(&mut self, percent: usize) -> f64 {
        self.0.sort_unstable();
        let place = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        f64::from(self.0.get(place).copied().unwrap_or(0)) / 1_000.0
    }
}

/// Sends everything; gives the report.
pub fn feed(hub: &Hub, generator: Generator, load: Load) -> anyhow::Result<Report> {
    feed_until(hub, generator, load, &AtomicBool::new(false))
}

/// Sends until everything is sent or `stop` is set.
pub fn feed_until(hub: &Hub, generator: Generator, load: Load, stop: &AtomicBool) -> anyhow::Result<Report> {
    let next = AtomicU64::new(load.first);
    let end = load.first.saturating_add(load.events);
    let total = Mutex::new(Report::default());
    let began = Instant::now();
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..load.connections)
            .map(|number| {
                let (next, total) = (&next, &total);
                scope.spawn(move || -> anyhow::Result<()> {
                    let mut connection = hub.connect(number)?;
                    let mut own = Report::default();
                    let mut body = Vec::new();
                    let result = loop {
                        let from = next.fetch_add(load.batch, Ordering::Relaxed);
                        if from >= end || stop.load(Ordering::Relaxed) {
                            break Ok(());
                        }
                        body.clear();
                        generator.write_batch(&mut body, from, from.saturating_add(load.batch).min(end));
                        if let Err(error) = send(&mut connection, &body, &mut own, stop) {
                            break Err(error);
                        }
                        own.answers.push(began.elapsed());
                    };
                    if let Ok(mut total) = total.lock() {
                        total.accepted += own.accepted;
                        total.merged += own.merged;
                        total.refused += own.refused;
                        total.again += own.again;
                        total.latencies.append(own.latencies);
                        total.answers.append(&mut own.answers);
                    }
                    result
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
    let mut report = total.into_inner().map_err(|_| anyhow::anyhow!("a sender broke"))?;
    report.answers.sort_unstable();
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

/// Sends small requests, one after another with a rest between, until `stop` is set: what a quiet member notices of a full load.
pub fn probe(hub: &Hub, member: usize, generator: Generator, first: u64, stop: &AtomicBool) -> anyhow::Result<Latencies> {
    const EVENTS: u64 = 100;
    const REST: Duration = Duration::from_millis(20);
    let mut connection = hub.connect(member)?;
    let mut own = Report::default();
    let mut body = Vec::new();
    let mut next = first;
    while !stop.load(Ordering::Relaxed) {
        body.clear();
        generator.write_batch(&mut body, next, next + EVENTS);
        next += EVENTS;
        send(&mut connection, &body, &mut own, stop)?;
        std::thread::sleep(REST);
    }
    Ok(own.latencies)
}

fn send(connection: &mut Connection, body: &[u8], report: &mut Report, stop: &AtomicBool) -> anyhow::Result<()> {
    loop {
        let began = Instant::now();
        let answer = connection.post("/api/v1/events", "application/x-ndjson", body)?;
        match answer.status {
            200 => {
                report.latencies.push(began.elapsed());
                let number = |field| answer.number(field).with_context(|| format!("no {field}"));
                report.accepted += number("accepted")?;
                report.merged += number("merged")?;
                report.refused += number("refused")?;
                return Ok(());
            }
            429 | 503 => {
                report.again += 1;
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                std::thread::sleep(answer.retry_after.map_or(PAUSE, Duration::from_secs));
            }
            status => bail!("the hub answered {status}: {}", String::from_utf8_lossy(answer.body.get(..300).unwrap_or(&answer.body))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut latencies = Latencies::default();
        for millis in 1..=100 {
            latencies.push(Duration::from_millis(millis));
        }
        assert!((latencies.percentile(100) - 100.0).abs() < f64::EPSILON);
        assert!((latencies.percentile(50) - 51.0).abs() < f64::EPSILON);
        assert!(Latencies::default().percentile(99).abs() < f64::EPSILON);
    }
}
