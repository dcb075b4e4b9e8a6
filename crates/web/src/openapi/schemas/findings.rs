//! What requests and answers about findings, proofs and contacts hold.

use super::{Named, array, categories, count, finding_states, id, observable_types, open, optional, page, reference, strict, text, time};
use crate::limits;
use model::FindingStep;
use serde_json::{Value, json};

/// The schemas of findings, proofs and contacts.
pub fn all() -> Vec<Named> {
    vec![
        ("Finding", finding()),
        ("FindingPage", page("findings", "Finding")),
        ("FindingHistory", open(&["history"], json!({ "history": array(reference("HistoryRow")) }))),
        ("FindingSummary", summary()),
        ("FindingStep", step()),
        (
            "NetworkProof",
            strict(
                &["method", "reason"],
                json!({ "method": { "type": "string", "enum": ["dns-txt", "abuse-mail", "operator"] }, "reason": text(limits::REASON) }),
            ),
        ),
        ("NewContact", strict(&["address"], json!({ "address": text(limits::NAME) }))),
        (
            "ContactVerification",
            strict(
                &[],
                json!({ "token": { "anyOf": [text(limits::NAME), { "type": "null" }], "description": "As the mail to the address says; not needed by the coordinator" } }),
            ),
        ),
        ("Contact", contact()),
    ]
}

fn finding() -> Value {
    let advice = open(&["en", "ko"], json!({ "en": { "type": "string" }, "ko": { "type": "string" } }));
    let waiting = open(
        &["since", "due", "overdue", "events", "red"],
        json!({ "since": time(), "due": time(), "overdue": { "type": "boolean" }, "events": count(), "red": { "type": "boolean" } }),
    );
    open(
        &["id", "part", "state", "version", "category", "type", "value", "events", "count", "first_time", "last_time", "suppressed", "guidance"],
        json!({
            "id": id("fnd"),
            "part": { "type": "string", "enum": ["owner", "authority", "sender"] },
            "owner": id("org"),
            "state": finding_states(),
            "version": { "type": "integer", "minimum": 0, "description": "0: nobody has acted" },
            "category": categories(),
            "type": optional(observable_types()),
            "value": optional(json!({ "type": "string" })),
            "port": optional(json!({ "type": "integer", "minimum": 0, "maximum": 65_535 })),
            "malware": optional(json!({ "type": "string" })),
            "events": count(),
            "count": count(),
            "first_time": time(),
            "last_time": time(),
            "since": optional(time()),
            "protected": { "type": "boolean" },
            "until": optional(time()),
            "reason": optional(json!({ "type": "string" })),
            "notify_after": optional(time()),
            "suppressed": count(),
            "guidance": advice,
            "waiting": waiting,
        }),
    )
}

fn summary() -> Value {
    let counts = || json!({ "type": "object", "additionalProperties": count() });
    let taken = open(&["median_seconds", "findings"], json!({ "median_seconds": count(), "findings": count() }));
    open(
        &["findings", "states", "categories", "waiting", "overdue", "time_to_fix"],
        json!({
            "findings": count(),
            "states": counts(),
            "categories": { "type": "object", "additionalProperties": counts() },
            "waiting": count(),
            "overdue": count(),
            "time_to_fix": { "type": "object", "additionalProperties": taken, "description": "By the owners' sector" },
        }),
    )
}

fn step() -> Value {
    let words: Vec<&str> = FindingStep::ALL.iter().map(|step| step.as_str()).collect();
    strict(
        &["step"],
        json!({
            "step": { "type": "string", "enum": words },
            "reason": optional(text(limits::REASON)),
            "version": optional(count()),
            "until": optional(time()),
        }),
    )
}

fn contact() -> Value {
    open(
        &["organisation", "address", "state", "version"],
        json!({
            "organisation": id("org"),
            "address": optional(json!({ "type": "string" })),
            "state": { "type": "string", "enum": ["unverified", "verified", "due"] },
            "verified": optional(time()),
            "due": optional(time()),
            "token": { "type": "string" },
            "version": count(),
        }),
    )
}
