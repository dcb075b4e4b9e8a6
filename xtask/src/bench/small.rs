//! `small`: 64 senders, 100 events a request.

use super::feed::{Load, feed};
use super::process::Hub;
use super::{Arguments, Goal, row};
use crate::load::Generator;

const SENDERS: usize = 64;
const BATCH: u64 = 100;
/// A figure settles well before this many events.
const MOST_EVENTS: u64 = 2_000_000;

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let hub = Hub::start(&arguments.memory, SENDERS)?;
    let events = arguments.events.min(MOST_EVENTS);
    let mut report = feed(&hub, Generator::ending_now(events, 1), Load { first: 0, events, batch: BATCH, connections: SENDERS })?;
    row("small", &format!("{events} events, {SENDERS} senders of {BATCH}"), report.rate(), "events/s", Goal::AtLeast(50_000.0));
    row("small", "acknowledgement p50", report.latencies.percentile(50), "ms", Goal::None);
    row("small", "acknowledgement p99", report.latencies.percentile(99), "ms", Goal::AtMost(50.0));
    row("small", "acknowledgement worst", report.latencies.percentile(100), "ms", Goal::None);
    Ok(())
}
