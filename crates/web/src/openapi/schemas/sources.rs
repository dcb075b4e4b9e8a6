//! What requests and answers about sources hold.

use super::{Named, array, count, id, open, optional, reference, strict, time, tlp, words};
use hub::sources::{AlarmKind, Kind, RunResult};
use model::Redistribution;
use model::marking::Pap;
use serde_json::{Map, Value, json};

/// The schemas of sources.
pub fn all() -> Vec<Named> {
    let text = || json!({ "type": "string" });
    vec![
        ("SourceList", open(&["sources"], json!({ "sources": array(reference("Source")) }))),
        ("Source", source()),
        ("SourceRun", run()),
        (
            "RunSource",
            strict(
                &[],
                json!({ "dry_run": { "type": "boolean", "default": false, "description": "Reads and judges, and changes nothing; `samples` shows the first entries" } }),
            ),
        ),
        (
            "AcceptSource",
            strict(
                &[],
                json!({ "entries": { "type": "integer", "minimum": 0, "description": "`held_entries` as it was seen; 422 where another number is held back meanwhile" } }),
            ),
        ),
        (
            "SourceRunAnswer",
            open(
                &["finished", "run"],
                json!({
                    "finished": { "type": "boolean", "description": "False where the run goes on: `running` and `runs` of the source tell more" },
                    "run": optional(reference("SourceRun")),
                }),
            ),
        ),
        ("RefusedLine", open(&["file", "line", "reason"], json!({ "file": text(), "line": count(), "reason": text() }))),
    ]
}

fn source() -> Value {
    open(
        &["name", "kind", "place", "enabled", "every", "tlp", "pap", "snapshot", "listed", "held", "running", "failures", "alarms"],
        json!({
            "name": { "type": "string" },
            "kind": words(Kind::ALL, Kind::name),
            "place": { "type": "string", "description": "Address without its query, or path" },
            "enabled": { "type": "boolean" },
            "every": { "type": "integer", "minimum": 60, "description": "Seconds" },
            "organisation": optional(id("org")),
            "partner": { "type": "boolean" },
            "tlp": tlp(),
            "pap": words(Pap::ALL, Pap::as_str),
            "redistribute": optional(words(Redistribution::ALL, Redistribution::as_str)),
            "snapshot": { "type": "boolean", "description": "What vanishes is delisted" },
            "listed": count(),
            "held": { "type": "boolean", "description": "A run waits to be accepted" },
            "held_entries": { "type": "integer", "minimum": 0, "description": "Its entries" },
            "running": { "type": "boolean" },
            "last_run": optional(time()),
            "last_success": optional(time()),
            "last_new": optional(time()),
            "next_run": optional(time()),
            "failures": count(),
            "alarms": alarms(&open(&["since", "text"], json!({ "since": time(), "text": { "type": "string" } }))),
            "runs": array(reference("SourceRun")),
            "tried": optional(reference("SourceRun")),
        }),
    )
}

fn run() -> Value {
    open(
        &["started", "ended", "result", "bytes", "entries", "taken", "merged", "refused", "delisted", "refusals", "alarms"],
        json!({
            "started": time(),
            "ended": time(),
            "result": words(RunResult::ALL, RunResult::name),
            "bytes": count(),
            "entries": count(),
            "taken": count(),
            "merged": count(),
            "refused": count(),
            "delisted": count(),
            "refusals": array(reference("RefusedLine")),
            "alarms": alarms(&json!({ "type": "string" })),
            "error": { "type": "string" },
            "receipt": { "type": "string" },
            "samples": array(json!({ "type": "object" })),
        }),
    )
}

/// An object whose fields are alarms.
fn alarms(of: &Value) -> Value {
    let fields: Map<String, Value> = AlarmKind::ALL.iter().map(|kind| (kind.name().to_owned(), of.clone())).collect();
    json!({ "type": "object", "properties": fields })
}
