//! `status`: the hub's state as the key may see it.

use super::Api;
use super::lookup::plain;
use crate::cli::StatusArguments;
use crate::{Exit, output};
use serde_json::Value;

/// Runs `status`.
pub fn run(arguments: &StatusArguments) -> anyhow::Result<Exit> {
    let api = Api::new(&arguments.connection)?;
    let answer = api.get("/api/v1/status", &[])?;
    if arguments.json {
        output::line(answer.raw()?.get())?;
        return Ok(Exit::Done);
    }
    let status = answer.json()?;
    output::line(&format!("hub      {}, version {}, realm {}", api.url(), plain(status.get("version")), plain(status.get("realm"))))?;
    if let Some(ledger) = status.get("ledger") {
        // The number of events is for those who may see totals.
        let events = ledger.get("events").map(|events| format!("{} events, ", plain(Some(events)))).unwrap_or_default();
        output::line(&format!("ledger   {events}last sequence number {}", plain(ledger.get("last_seq"))))?;
    }
    for (name, position) in status.get("views").and_then(Value::as_object).into_iter().flatten() {
        output::line(&format!("view     {name} at {}", plain(Some(position))))?;
    }
    Ok(Exit::Done)
}
