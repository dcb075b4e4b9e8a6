//! `size`: disk and memory after so many events, and after a restart.

use super::feed::{Load, feed};
use super::process::Hub;
use super::{Arguments, Goal, row};
use crate::load::Generator;

const MEBIBYTE: f64 = 1_048_576.0;

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut hub = Hub::start(&arguments.memory, arguments.connections)?;
    let load = Load { first: 0, events: arguments.events, batch: arguments.batch, connections: arguments.connections };
    let report = feed(&hub, Generator::ending_now(arguments.events, 14), load)?;
    row("size", &format!("anonymous memory at {} events", report.accepted), hub.memory("RssAnon")? as f64 / MEBIBYTE, "MiB", Goal::AtMost(3_072.0));
    row("size", "resident memory", hub.memory("VmRSS")? as f64 / MEBIBYTE, "MiB", Goal::None);
    row("size", "highest resident memory", hub.memory("VmHWM")? as f64 / MEBIBYTE, "MiB", Goal::None);
    hub.stop()?;
    row("size", "disk, all views included", hub.disk()? as f64 / (report.accepted.max(1) as f64), "bytes/event", Goal::AtMost(60.0));
    let ready = hub.restart()?;
    row("size", "start after a clean stop", ready.as_secs_f64(), "s", Goal::None);
    row("size", "anonymous memory after it", hub.memory("RssAnon")? as f64 / MEBIBYTE, "MiB", Goal::None);
    Ok(())
}
