//! `lookup`: one value over HTTP, while the hub is idle and while it is fed as fast as it takes.

use super::feed::{Latencies, Load, feed, feed_until};
use super::process::Hub;
use super::{Arguments, Goal, row};
use crate::load::{Generator, mix};
use anyhow::bail;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LOOKUPS: u64 = 5_000;
/// The load runs for a moment before lookups are timed.
const WARM_UP: Duration = Duration::from_secs(2);

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let hub = Hub::start(&arguments.memory, arguments.connections + 1)?;
    let generator = Generator::ending_now(arguments.events * 4, 14);
    let load = Load { first: 0, events: arguments.events, batch: arguments.batch, connections: arguments.connections };
    feed(&hub, generator, load)?;
    let mut idle = ask(&hub, generator, arguments)?;
    row("lookup", "idle p50", idle.percentile(50), "ms", Goal::None);
    row("lookup", "idle p99", idle.percentile(99), "ms", Goal::AtMost(1.0));

    let stop = AtomicBool::new(false);
    let (mut busy, report) = std::thread::scope(|scope| {
        let more = Load { first: arguments.events, events: arguments.events * 3, ..load };
        let (hub, stop) = (&hub, &stop);
        let feeding = scope.spawn(move || feed_until(hub, generator, more, stop));
        std::thread::sleep(WARM_UP);
        let busy = ask(hub, generator, arguments);
        stop.store(true, Ordering::Relaxed);
        let Ok(report) = feeding.join() else { bail!("the load broke") };
        Ok((busy?, report?))
    })?;
    row("lookup", "under full load p50", busy.percentile(50), "ms", Goal::None);
    row("lookup", "under full load p99", busy.percentile(99), "ms", Goal::AtMost(10.0));
    row("lookup", "that load", report.rate(), "events/s", Goal::None);
    Ok(())
}

fn ask(hub: &Hub, generator: Generator, arguments: &Arguments) -> anyhow::Result<Latencies> {
    let mut connection = hub.connect(arguments.connections)?;
    let mut latencies = Latencies::default();
    let mut asked = 0;
    let mut draw = 0;
    while asked < LOOKUPS {
        draw += 1;
        let value = generator.value(mix(draw) % arguments.events.max(1));
        if value.parse::<Ipv4Addr>().is_err() {
            continue;
        }
        let began = Instant::now();
        let answer = connection.get(&format!("/api/v1/observables/ipv4/{value}"))?;
        latencies.push(began.elapsed());
        // A victim's address is not there for a stranger.
        if !matches!(answer.status, 200 | 404) {
            bail!("a lookup answered {}", answer.status);
        }
        asked += 1;
    }
    Ok(latencies)
}
