//! `bulk`: how many events a second, durable, deduplicated, all views current.

use super::feed::{Load, feed, probe};
use super::process::Hub;
use super::{Arguments, Goal, row};
use crate::load::Generator;
use anyhow::bail;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Days that the events are spread over.
const DAYS: u64 = 14;

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let hub = Hub::start(&arguments.memory, arguments.connections + 1)?;
    let load = Load { first: 0, events: arguments.events, batch: arguments.batch, connections: arguments.connections };
    let generator = Generator::ending_now(arguments.events, DAYS);
    let stop = AtomicBool::new(false);
    let (report, quiet) = std::thread::scope(|scope| {
        let (hub, stop) = (&hub, &stop);
        let probing = scope.spawn(move || probe(hub, arguments.connections, generator, arguments.events, stop));
        let report = feed(hub, generator, load);
        stop.store(true, Ordering::Relaxed);
        let Ok(quiet) = probing.join() else { bail!("the quiet sender broke") };
        Ok((report?, quiet?))
    })?;
    let (mut report, mut quiet) = (report, quiet);
    let what = format!("{} events in batches of {}, {} connections", arguments.events, arguments.batch, arguments.connections);
    row("bulk", &what, report.rate(), "events/s", Goal::AtLeast(500_000.0));
    row("bulk", "acknowledgement of a batch p50", report.latencies.percentile(50), "ms", Goal::None);
    row("bulk", "p99", report.latencies.percentile(99), "ms", Goal::None);
    row("bulk", "worst", report.latencies.percentile(100), "ms", Goal::AtMost(250.0));
    row("bulk", "longest time without any acknowledgement", report.longest_pause(), "ms", Goal::AtMost(250.0));
    row("bulk", "a quiet sender beside it, 100 events a request, p50", quiet.percentile(50), "ms", Goal::None);
    row("bulk", "p99", quiet.percentile(99), "ms", Goal::None);
    row("bulk", "worst", quiet.percentile(100), "ms", Goal::AtMost(250.0));
    row("bulk", "merged", report.merged as f64, "events", Goal::None);
    row("bulk", "refused", report.refused as f64, "events", Goal::None);
    row("bulk", "asked to send later", report.again as f64, "requests", Goal::None);
    row("bulk", "memory, anonymous", hub.memory("RssAnon")? as f64 / f64::from(1 << 20), "MiB", Goal::AtMost(3_072.0));
    row("bulk", "disk, at the last acknowledgement", hub.disk()? as f64 / (report.accepted.max(1) as f64), "bytes/event", Goal::None);
    let settling = Instant::now();
    // While a merge runs, what it merges is there twice.
    hub.settle()?;
    row("bulk", "disk, once everything was caught up with", hub.disk()? as f64 / (report.accepted.max(1) as f64), "bytes/event", Goal::AtMost(60.0));
    row("bulk", "of it the log of indicators", hub.disk_of("indicators")? as f64 / (report.accepted.max(1) as f64), "bytes/event", Goal::None);
    row("bulk", "caught up after", settling.elapsed().as_secs_f64(), "s", Goal::None);
    Ok(())
}
