//! `bulk-lookup`: 10,000 values in one request.

use super::feed::{Latencies, Load, feed};
use super::process::Hub;
use super::{Arguments, Goal, row};
use crate::load::{Generator, mix};
use anyhow::bail;
use serde_json::json;
use std::time::Instant;

const VALUES: u64 = 10_000;
const REQUESTS: u64 = 50;

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let hub = Hub::start(&arguments.memory, arguments.connections)?;
    let generator = Generator::ending_now(arguments.events, 14);
    feed(&hub, generator, Load { first: 0, events: arguments.events, batch: arguments.batch, connections: arguments.connections })?;
    hub.settle()?;
    let mut connection = hub.connect(0)?;
    let mut latencies = Latencies::default();
    for request in 0..REQUESTS {
        let values: Vec<String> = (0..VALUES).map(|place| generator.value(mix(request * VALUES + place) % arguments.events.max(1))).collect();
        let body = json!({ "values": values }).to_string();
        let began = Instant::now();
        let answer = connection.post("/api/v1/observables/lookup", "application/json", body.as_bytes())?;
        latencies.push(began.elapsed());
        if answer.status != 200 {
            bail!("a bulk lookup answered {}", answer.status);
        }
    }
    row("bulk-lookup", "10,000 values p50", latencies.percentile(50), "ms", Goal::AtMost(30.0));
    row("bulk-lookup", "10,000 values p99", latencies.percentile(99), "ms", Goal::None);
    Ok(())
}
