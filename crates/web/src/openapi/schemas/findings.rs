//! What requests and answers about findings, proofs, contacts and the nation's address space hold.

use super::{Named, array, categories, contact_states, count, finding_states, id, observable_types, open, optional, page, reference, strict, text, time};
use crate::limits;
use hub::owners::abuse::MAX_IMPORT;
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
        ("Bounce", strict(&["reason"], json!({ "reason": text(limits::REASON) }))),
        ("ContactQueue", open(&["contacts", "total"], json!({ "contacts": array(reference("Contact")), "total": count() }))),
        ("AbuseContact", abuse_contact()),
        ("AbuseContactPage", page("contacts", "AbuseContact")),
        ("AbuseContactImport", abuse_import()),
        ("AbuseContactOutcome", abuse_outcome()),
        ("National", national()),
    ]
}

fn abuse_contact() -> Value {
    open(
        &["kind", "value", "address", "source", "updated"],
        json!({
            "kind": { "type": "string", "enum": ["cidr", "asn", "domain"] },
            "value": { "type": "string" },
            "address": { "type": "string" },
            "source": { "type": "string" },
            "updated": time(),
            "refused": time(),
        }),
    )
}

fn abuse_import() -> Value {
    let row = strict(&["value"], json!({ "value": text(limits::VALUE), "address": optional(text(limits::NAME)) }));
    strict(
        &["contacts"],
        json!({
            "contacts": { "type": "array", "items": row, "maxItems": MAX_IMPORT, "description": "Address, range, AS number or domain with its mail address" },
            "source": optional(text(limits::NAME)),
        }),
    )
}

fn abuse_outcome() -> Value {
    let error = open(&["line", "reason"], json!({ "line": count(), "reason": { "type": "string" } }));
    open(
        &["added", "changed", "unchanged", "removed", "refused", "errors"],
        json!({ "added": count(), "changed": count(), "unchanged": count(), "removed": count(), "refused": count(), "errors": array(error) }),
    )
}

fn national() -> Value {
    let size = open(
        &["ipv4_ranges", "ipv4_addresses", "ipv6_ranges", "asns", "routes"],
        json!({ "ipv4_ranges": count(), "ipv4_addresses": count(), "ipv6_ranges": count(), "asns": count(), "routes": count() }),
    );
    open(
        &["configured", "active", "unreadable", "size", "providers", "authorities"],
        json!({
            "configured": { "type": "boolean" },
            "active": { "type": "boolean", "description": "Whether findings are made with a table now" },
            "country": optional(json!({ "type": "string" })),
            "table": optional(json!({ "type": "string" })),
            "read": optional(time()),
            "problem": optional(json!({ "type": "string", "description": "Why the files cannot be used; what held before holds on" })),
            "unreadable": count(),
            "size": size,
            "providers": array(open(&["asn", "organisation"], json!({ "asn": count(), "organisation": id("org") }))),
            "authorities": { "type": "object", "additionalProperties": id("org"), "description": "By line" },
        }),
    )
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
            "fallback": { "type": "boolean", "description": "Nobody registered the value; its access provider or authority is told in an owner's place" },
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
            "state": contact_states(),
            "verified": optional(time()),
            "due": optional(time()),
            "bounced": optional(time()),
            "bounces": count(),
            "asked": optional(time()),
            "asks": count(),
            "token": { "type": "string" },
            "version": count(),
        }),
    )
}
