//! What answers about events and values hold.

use super::{Named, array, categories, count, id, observable_types, open, optional, origins, percent, reference, roles_of_observables, seq, time, tlp, words};
use model::event::Severity;
use model::marking::Pap;
use serde_json::{Map, Value, json};

/// The schemas of answers about events and values.
pub fn all() -> Vec<Named> {
    vec![
        ("Problem", problem()),
        (
            "FieldError",
            open(&["reason"], json!({ "pointer": { "type": "string" }, "line": { "type": "integer", "minimum": 1 }, "reason": { "type": "string" } })),
        ),
        ("Outcome", outcome()),
        ("Event", event()),
        ("EventObservable", event_observable()),
        ("EventPage", open(&["events", "cursor"], json!({ "events": array(reference("Event")), "cursor": optional(json!({ "type": "string" })) }))),
        ("EventHistory", open(&["items"], json!({ "items": array(reference("EventVersion")), "at_least": { "type": "boolean" } }))),
        ("EventVersion", event_version()),
        ("Receipt", receipt()),
        ("WithdrawAnswer", open(&["withdrawn"], json!({ "withdrawn": count(), "dry_run": { "type": "boolean" } }))),
        ("Observable", observable()),
        ("Related", open(&["type", "value"], json!({ "type": observable_types(), "value": { "type": "string" } }))),
        ("LookupAnswer", open(&["results"], json!({ "results": array(json!({ "anyOf": [reference("Observable"), { "type": "null" }] })) }))),
        ("SightingAnswer", json!({ "anyOf": [reference("Outcome"), open(&["id", "state"], json!({ "id": id("clm"), "state": { "type": "string" } }))] })),
        ("ProductIndex", product_index()),
        ("ListedProduct", listed_product()),
        ("RecallList", open(&["items"], json!({ "items": array(reference("Recall")) }))),
        ("Recall", recall()),
        ("Status", status()),
        ("Document", json!({ "type": "object", "description": "This document" })),
    ]
}

fn problem() -> Value {
    open(
        &["type", "title", "status", "detail"],
        json!({
            "type": { "type": "string", "format": "uri-reference" },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string" },
            "errors": array(reference("FieldError")),
            "current": { "type": "integer", "description": "The version there is" },
            "legal": { "type": "array", "items": { "type": "string" }, "description": "The steps that are legal now" },
            "limit": count(),
            "unit": { "type": "string" },
            "seq": { "allOf": [seq()], "description": "The event that stands in the place of this one" },
            "receipt": { "allOf": [id("rcp")], "description": "Of the part of a submission that was kept although the rest was refused" },
            "first_seq": seq(),
            "last_seq": seq(),
            "accepted": count(),
            "merged": count(),
            "refused": count(),
            "warnings": warnings(),
            "warned": warned(),
        }),
    )
}

fn line_error() -> Value {
    open(&["line", "reason"], json!({ "line": count(), "reason": { "type": "string" } }))
}

fn warnings() -> Value {
    json!({
        "type": "array",
        "items": line_error(),
        "maxItems": formats::MAX_WARNINGS,
        "description": "What looks like a mistake in entries that were read, such as a name near a field that is absent",
    })
}

fn warned() -> Value {
    json!({ "type": "integer", "minimum": 1, "description": "All that looks so; the first of them are in `warnings`" })
}

fn outcome() -> Value {
    open(
        &["first_seq", "last_seq", "accepted", "merged", "refused", "errors"],
        json!({
            "receipt": id("rcp"),
            "first_seq": optional(seq()),
            "last_seq": optional(seq()),
            "accepted": count(),
            "merged": count(),
            "refused": count(),
            "errors": array(line_error()),
            "merged_withdrawn": { "type": "integer", "minimum": 1, "description": "Of the merged, those whose event was withdrawn since: it stays withdrawn" },
            "warnings": warnings(),
            "warned": warned(),
            "defaults": {
                "type": "array",
                "description": "What stood in where entries of NDJSON, JSON, CSV and lists said nothing, and the request neither",
                "items": open(&["field", "value", "entries"], json!({ "field": { "type": "string" }, "value": { "type": "string" }, "entries": count() })),
            },
            "dry_run": { "type": "boolean" },
        }),
    )
}

fn event() -> Value {
    open(
        &["seq", "received", "time", "category", "observables", "origin", "tlp", "pap", "named", "count"],
        json!({
            "seq": seq(),
            "received": time(),
            "time": time(),
            "category": categories(),
            "observables": array(reference("EventObservable")),
            "origin": origins(),
            "tlp": tlp(),
            "pap": words(Pap::ALL, Pap::as_str),
            "named": { "type": "boolean" },
            "count": { "type": "integer", "minimum": 0 },
            "confidence": percent(),
            "severity": words(Severity::ALL, Severity::as_str),
            "sector": { "type": "string" },
            "malware": { "type": "string" },
            "own": { "type": "boolean" },
            "reporter": open(&["id", "name"], json!({ "id": id("org"), "name": { "type": "string" } })),
        }),
    )
}

fn event_version() -> Value {
    open(
        &["seq", "received", "state"],
        json!({
            "seq": seq(),
            "received": time(),
            "state": { "type": "string", "enum": ["current", "amended", "withdrawn"] },
            "by": open(&["id", "name"], json!({ "id": id("org"), "name": { "type": "string" } })),
            "reason": { "type": "string" },
            "event": reference("Event"),
        }),
    )
}

fn event_observable() -> Value {
    open(
        &["type", "value", "role", "detect"],
        json!({
            "type": observable_types(), "value": { "type": "string" }, "role": roles_of_observables(), "detect": { "type": "boolean" },
            "reserved": { "type": "boolean" },
        }),
    )
}

fn receipt() -> Value {
    let counts = ["accepted", "merged", "withdrawn", "confirmed", "disputed", "owners_told", "fixed", "warnings", "examined"];
    let mut properties = Map::new();
    for name in counts {
        properties.insert(name.to_owned(), count());
    }
    for (name, schema) in [("receipt", id("rcp")), ("received", time()), ("first_seq", seq()), ("last_seq", seq())] {
        properties.insert(name.to_owned(), schema);
    }
    let required: Vec<&str> = counts.into_iter().chain(["receipt", "received", "first_seq", "last_seq"]).collect();
    open(&required, Value::Object(properties))
}

fn observable() -> Value {
    let texts = || array(json!({ "type": "string" }));
    open(
        &[
            "type",
            "value",
            "state",
            "first_seen",
            "last_seen",
            "events",
            "count",
            "reporters",
            "sectors",
            "categories",
            "malware",
            "confidence",
            "tlp",
            "pap",
            "warning_lists",
        ],
        json!({
            "type": observable_types(),
            "value": { "type": "string" },
            "state": { "type": "string", "enum": ["active", "expired", "disputed", "withdrawn"] },
            "first_seen": time(),
            "last_seen": time(),
            "events": count(),
            "count": count(),
            "reporters": { "anyOf": [count(), { "const": "<3" }] },
            "sectors": texts(),
            "categories": array(categories()),
            "malware": texts(),
            "confidence": optional(percent()),
            "tlp": tlp(),
            "pap": words(Pap::ALL, Pap::as_str),
            "warning_lists": texts(),
            "protected": { "type": "boolean" },
            "reserved": { "type": "boolean" },
            "related": array(reference("Related")),
            "at_least": { "type": "boolean" },
        }),
    )
}

fn product_index() -> Value {
    let told = |words: [&str; 2]| open(&words, json!({ (words[0]): { "type": "string" }, (words[1]): { "type": "string" } }));
    open(
        &["markings", "valid_for", "products", "also", "parameters"],
        json!({
            "markings": { "type": "array", "items": tlp(), "description": "What `tlp` may be for the caller; the last one is the default" },
            "valid_for": { "type": "integer", "minimum": 1, "description": "Seconds for which a copy may be used" },
            "products": array(reference("ListedProduct")),
            "also": { "type": "array", "items": told(["path", "meaning"]), "description": "What else there is under /feeds/" },
            "parameters": { "type": "array", "items": told(["name", "meaning"]), "description": "How to narrow a product" },
        }),
    )
}

fn listed_product() -> Value {
    open(
        &["path", "format", "media", "types", "use", "tlp", "entries", "made", "expires", "parameters"],
        json!({
            "path": { "type": "string" },
            "format": { "type": "string", "description": "For people" },
            "media": { "type": "string" },
            "types": array(observable_types()),
            "use": { "type": "string", "enum": ["blocking", "detecting", "informing"] },
            "tlp": tlp(),
            "entries": optional(json!({ "type": "integer", "minimum": 0, "description": "Of the copy that was made last; null where none is kept ready" })),
            "made": optional(time()),
            "expires": optional(time()),
            "parameters": array(json!({ "type": "string" })),
        }),
    )
}

fn recall() -> Value {
    open(
        &["type", "value", "reason", "recalled", "tlp", "products", "replaced"],
        json!({
            "type": observable_types(),
            "value": { "type": "string" },
            "reason": { "type": "string", "enum": ["false-positive", "withdrawn"] },
            "recalled": time(),
            "tlp": tlp(),
            "products": { "type": "array", "items": { "type": "string" }, "description": "As they were asked for, filters included" },
            "replaced": { "type": "boolean", "description": "Whether each of them was fetched again since" },
        }),
    )
}

fn status() -> Value {
    open(
        &["version", "realm", "ledger", "views"],
        json!({
            "version": { "type": "string" },
            "realm": { "type": "string" },
            "ledger": open(&["last_seq"], json!({ "last_seq": seq(), "events": count() })),
            "views": {
                "type": "object",
                "additionalProperties": seq(),
                "description": "The last sequence number that each view holds: the same as the ledger's `last_seq` where it has caught up",
            },
        }),
    )
}
