//! `rebuild`: all views anew from the ledger.

use super::feed::{Load, feed};
use super::process::{Hub, binary};
use super::{Arguments, Goal, row};
use crate::load::Generator;
use anyhow::bail;
use std::process::Command;
use std::time::Instant;

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut hub = Hub::start(&arguments.memory, arguments.connections)?;
    let load = Load { first: 0, events: arguments.events, batch: arguments.batch, connections: arguments.connections };
    let report = feed(&hub, Generator::ending_now(arguments.events, 14), load)?;
    hub.stop()?;
    let began = Instant::now();
    let output = Command::new(binary()?).arg("rebuild").arg("--data").arg(hub.data()).output()?;
    let seconds = began.elapsed().as_secs_f64();
    if !output.status.success() {
        bail!("rebuild failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    row("rebuild", &format!("{} events", report.accepted), report.accepted as f64 / seconds, "events/s", Goal::AtLeast(1_000_000.0));
    Ok(())
}
