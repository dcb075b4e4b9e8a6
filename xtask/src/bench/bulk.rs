//! `bulk`: how many events a second, durable, deduplicated, all views current.

use super::feed::{Load, feed};
use super::process::Hub;
use super::{Arguments, Goal, row};
use crate::load::Generator;

/// Days that the events are spread over.
const DAYS: u64 = 14;

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let hub = Hub::start(&arguments.memory, arguments.connections)?;
    let load = Load { first: 0, events: arguments.events, batch: arguments.batch, connections: arguments.connections };
    let mut report = feed(&hub, Generator::ending_now(arguments.events, DAYS), load)?;
    row(
        "bulk",
        &format!("{} events in batches of {}, {} connections", arguments.events, arguments.batch, arguments.connections),
        report.rate(),
        "events/s",
        Goal::AtLeast(500_000.0),
    );
    row("bulk", "acknowledgement p50", report.latencies.percentile(50), "ms", Goal::None);
    row("bulk", "acknowledgement p99", report.latencies.percentile(99), "ms", Goal::None);
    row("bulk", "worst pause of acknowledgements", report.latencies.percentile(100), "ms", Goal::AtMost(250.0));
    row("bulk", "merged", report.merged as f64, "events", Goal::None);
    row("bulk", "refused", report.refused as f64, "events", Goal::None);
    row("bulk", "asked to send later", report.again as f64, "requests", Goal::None);
    row("bulk", "memory, anonymous", hub.memory("RssAnon")? as f64 / f64::from(1 << 20), "MiB", Goal::AtMost(3_072.0));
    row("bulk", "disk", hub.disk()? as f64 / (report.accepted.max(1) as f64), "bytes/event", Goal::AtMost(60.0));
    Ok(())
}
