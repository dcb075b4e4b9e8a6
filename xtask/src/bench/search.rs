//! `search`: the first page of the last week, with every filter.

use super::feed::{Latencies, Load, feed};
use super::process::Hub;
use super::{Arguments, Goal, row};
use crate::load::Generator;
use anyhow::bail;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const ROUNDS: u32 = 10;
/// Two weeks of events, so that a week is half of them.
const DAYS: u64 = 14;

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let hub = Hub::start(&arguments.memory, arguments.connections)?;
    let load = Load { first: 0, events: arguments.events, batch: arguments.batch, connections: arguments.connections };
    feed(&hub, Generator::ending_now(arguments.events, DAYS), load)?;
    #[expect(clippy::disallowed_methods, reason = "the load is made for now")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let week = now.saturating_sub(7 * 86_400);
    let filters = [
        ("none", String::new()),
        ("category", "&category=phishing".to_owned()),
        ("type", "&type=email".to_owned()),
        ("sector", "&sector=nuclear".to_owned()),
        ("within", "&within=45.12.0.0/16".to_owned()),
        ("domain", "&domain=kr".to_owned()),
        ("domain that no event has", "&domain=nowhere.example".to_owned()),
        ("malware", "&malware=badofi".to_owned()),
        ("until, a day in the middle", format!("&until={}", week + 86_400)),
        ("category, sector and type", "&category=c2-server&sector=water&type=domain".to_owned()),
    ];
    let mut connection = hub.connect(0)?;
    for (name, filter) in filters {
        let mut latencies = Latencies::default();
        let mut found = 0;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let answer = connection.get(&format!("/api/v1/events?limit=100&since={week}{filter}"))?;
            latencies.push(began.elapsed());
            if answer.status != 200 {
                bail!("a search by {name} answered {}", answer.status);
            }
            let page: serde_json::Value = serde_json::from_slice(&answer.body)?;
            found = page.get("events").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
        }
        row("search", &format!("{name}: worst of {ROUNDS}, {found} found"), latencies.percentile(100), "ms", Goal::AtMost(200.0));
    }
    Ok(())
}
