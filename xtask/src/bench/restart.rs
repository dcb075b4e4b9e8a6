//! `restart`: from a kill without warning under full load to ready.

use super::feed::{Load, feed, feed_until};
use super::process::Hub;
use super::{Arguments, Goal, row};
use crate::load::Generator;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const KILLS: u64 = 3;
/// How long the load runs before each kill.
const RUN: Duration = Duration::from_secs(4);
/// Events of a run at the most.
const MOST_EVENTS: u64 = 20_000_000;

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut hub = Hub::start(&arguments.memory, arguments.connections)?;
    let generator = Generator::ending_now(arguments.events + KILLS * MOST_EVENTS, 14);
    let load = Load { first: 0, events: arguments.events, batch: arguments.batch, connections: arguments.connections };
    feed(&hub, generator, load)?;
    let mut worst = Duration::ZERO;
    for kill in 0..KILLS {
        let stop = AtomicBool::new(false);
        let more = Load { first: arguments.events + kill * MOST_EVENTS, events: MOST_EVENTS, ..load };
        let pid = hub.id();
        std::thread::scope(|scope| {
            let feeding = scope.spawn(|| feed_until(&hub, generator, more, &stop));
            std::thread::sleep(RUN);
            // Senders see a broken connection; that is what is being tried.
            let killed = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            stop.store(true, Ordering::Relaxed);
            let _ = feeding.join();
            killed
        })?;
        hub.kill()?;
        worst = worst.max(hub.restart()?);
    }
    row("restart", &format!("worst of {KILLS} from kill -9 to ready"), worst.as_secs_f64(), "s", Goal::AtMost(5.0));
    Ok(())
}
