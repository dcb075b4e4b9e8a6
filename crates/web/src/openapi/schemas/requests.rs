//! What requests hold.

use super::{
    Named, array, categories, count, id, observable_types, open, optional, origins, percent, reference, roles_of_observables, seq, strict, text, time, tlp,
    words,
};
use crate::limits;
use model::event::{Notify, Severity};
use model::marking::Pap;
use model::organisation::{Constituency, KeyRole, OrgKind, Redistribution, Standing};
use serde_json::{Value, json};

/// The schemas of requests.
pub fn all() -> Vec<Named> {
    vec![
        ("NewEvent", new_event()),
        ("NewObservable", new_observable()),
        ("Withdrawal", withdrawal()),
        ("Filter", filter()),
        ("Lookup", strict(&["values"], json!({ "values": { "type": "array", "items": { "type": "string" }, "maxItems": limits::LOOKUP_VALUES } }))),
        (
            "NewSighting",
            strict(
                &["kind"],
                json!({ "kind": { "type": "string", "enum": ["seen", "false-positive", "expired"] }, "time": optional(time()), "note": optional(text(limits::REASON)) }),
            ),
        ),
        ("NewOrganisation", new_organisation()),
        ("OrganisationPatch", organisation_patch()),
        ("NewStanding", new_standing()),
        ("NewAgreement", new_agreement()),
        ("AgreementEnd", strict(&["version"], json!({ "version": version_read(), "reason": optional(text(limits::REASON)) }))),
        (
            "NewGroup",
            strict(
                &["id", "title"],
                json!({
                    "id": { "type": "string", "pattern": "^[a-z0-9._-]{1,64}$", "description": "As audiences name it; neither an organisation's id nor a sector" },
                    "title": text(limits::NAME),
                    "named": { "type": "boolean", "default": false, "description": "Needs a reason where it is true" },
                    "reason": optional(text(limits::REASON)),
                }),
            ),
        ),
        (
            "GroupPatch",
            strict(
                &["version"],
                json!({
                    "version": { "type": "integer", "minimum": 0, "description": "The version that was read; a stale one is refused" },
                    "reason": optional(text(limits::REASON)),
                    "title": text(limits::NAME),
                    "named": { "type": "boolean" },
                }),
            ),
        ),
        (
            "NewKey",
            strict(
                &["role"],
                json!({
                    "role": words(KeyRole::ALL, KeyRole::as_str),
                    "expires": optional(time()),
                    "allow": { "type": "array", "items": text(64), "maxItems": limits::RANGES, "description": "Address ranges it may be used from; empty: from anywhere" },
                    "red": { "type": "boolean", "default": false, "description": "Held by a person who may see red" },
                    "holder": optional(json!({ "allOf": [text(limits::NAME)], "description": "The person who holds it, a name or a staff number of up to 200 bytes; needed for what takes two people" })),
                }),
            ),
        ),
        (
            "KeyRotation",
            strict(
                &[],
                json!({ "overlap": { "type": "integer", "minimum": 0, "maximum": limits::ROTATION_MAX, "default": limits::ROTATION_DEFAULT, "description": "Seconds for which the old key holds beside the new one" } }),
            ),
        ),
        ("Reason", strict(&[], json!({ "reason": optional(text(limits::REASON)) }))),
        (
            "NewNetwork",
            strict(
                &["kind", "value"],
                json!({
                    "kind": { "type": "string", "enum": ["cidr", "domain", "asn", "url"] },
                    "value": text(limits::VALUE),
                    "protected": { "type": "boolean", "default": false },
                    "reason": optional(text(limits::REASON)),
                }),
            ),
        ),
        ("NetworkStep", step(&["approve", "reject", "withdraw", "remove"], &["step"], optional(text(limits::REASON)))),
        ("ClaimStep", step(&["uphold", "reject"], &["step", "reason"], text(limits::REASON))),
        ("NewErasure", new_erasure()),
        ("ErasureStep", step(&["confirm", "reject"], &["step"], optional(text(limits::REASON)))),
    ]
}

fn new_standing() -> Value {
    let until = json!({ "anyOf": [time(), { "type": "null" }], "description": "Until when the rule leaves it alone; default: half a year from now" });
    strict(&["standing", "reason"], json!({ "standing": words(Standing::ALL, Standing::as_str), "reason": text(limits::REASON), "until": until }))
}

fn new_erasure() -> Value {
    let basis = json!({ "allOf": [text(limits::REASON)], "description": "The legal basis; must not repeat the value" });
    strict(&["type", "value", "basis"], json!({ "type": observable_types(), "value": text(limits::VALUE), "basis": basis }))
}

fn new_event() -> Value {
    let port = || json!({ "type": "integer", "minimum": 0, "maximum": 65_535 });
    let asn = || json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    json!({
        "type": "object",
        "description": "What was seen, by someone, at a time. Fields that are not named here are kept under `extra`.",
        "required": ["time", "category"],
        "anyOf": [{ "required": ["observables"] }, { "required": ["observable"] }, { "required": ["value"] }],
        "properties": {
            "time": { "anyOf": [time(), { "type": "number" }], "description": "More than 24 hours ahead is refused" },
            "category": { "type": "string", "description": "A category, or a name of n6 or IntelMQ; an unknown name becomes `other`" },
            "observables": { "type": "array", "minItems": 1, "items": { "anyOf": [{ "type": "string" }, reference("NewObservable")] } },
            "observable": reference("NewObservable"),
            "value": { "type": "string" },
            "origin": origins(),
            "tlp": tlp(),
            "pap": words(Pap::ALL, Pap::as_str),
            "audience": array(json!({ "type": "string" })),
            "named": { "type": "boolean" },
            "detect": { "type": "boolean" },
            "valid_until": time(),
            "notify_owner": words(Notify::ALL, Notify::as_str),
            "id": { "type": "string" },
            "confidence": percent(),
            "severity": words(Severity::ALL, Severity::as_str),
            "sector": { "type": "string" },
            "malware": { "type": "string" },
            "technique": array(json!({ "type": "string" })),
            "cve": array(json!({ "type": "string" })),
            "port": port(),
            "dst_ip": { "type": "string" },
            "dst_port": port(),
            "protocol": { "type": "string" },
            "count": { "type": "integer", "minimum": 1 },
            "last_time": time(),
            "target": { "type": "object", "properties": { "ip": { "type": "string" }, "asn": asn(), "sector": { "type": "string" } } },
            "source_asn": asn(),
            "note": { "type": "string" },
        },
    })
}

fn new_observable() -> Value {
    open(&["value"], json!({ "type": observable_types(), "value": { "type": "string" }, "role": roles_of_observables(), "detect": { "type": "boolean" } }))
}

fn withdrawal() -> Value {
    let mut schema = strict(
        &["reason"],
        json!({
            "seq": seq(), "receipt": id("rcp"), "filter": reference("Filter"), "reason": text(limits::REASON),
            "dry_run": { "type": "boolean", "default": false },
        }),
    );
    if let Value::Object(fields) = &mut schema {
        fields.insert("oneOf".to_owned(), json!([{ "required": ["seq"] }, { "required": ["receipt"] }, { "required": ["filter"] }]));
    }
    schema
}

fn filter() -> Value {
    let some = |items: Value| json!({ "type": "array", "items": items, "minItems": 1, "maxItems": limits::LIST });
    let mut schema = strict(
        &[],
        json!({
            "since": time(), "until": time(), "category": some(categories()), "type": some(observable_types()), "sector": some(text(64)),
            "within": text(64), "domain": text(253), "malware": text(limits::NAME), "value": text(limits::VALUE),
        }),
    );
    if let Value::Object(fields) = &mut schema {
        fields.insert("minProperties".to_owned(), json!(1));
    }
    schema
}

fn new_organisation() -> Value {
    strict(
        &["name", "kind"],
        json!({
            "name": text(limits::NAME),
            "kind": words(OrgKind::ALL, OrgKind::as_str),
            "constituency": optional(words(Constituency::ALL, Constituency::as_str)),
            "sector": optional(text(64)),
            "country": optional(json!({ "type": "string", "pattern": "^[A-Z]{2}$" })),
        }),
    )
}

fn organisation_patch() -> Value {
    strict(
        &["version"],
        json!({
            "version": { "type": "integer", "minimum": 0, "description": "The version that was read; a stale one is refused" },
            "reason": optional(text(limits::REASON)),
            "name": text(limits::NAME),
            "kind": words(OrgKind::ALL, OrgKind::as_str),
            "constituency": optional(words(Constituency::ALL, Constituency::as_str)),
            "sector": optional(text(64)),
            "country": optional(json!({ "type": "string", "pattern": "^[A-Z]{2}$" })),
            "groups": { "type": "array", "items": text(64), "maxItems": limits::LIST },
            "standing": words(Standing::ALL, Standing::as_str),
            "standing_rule": { "type": "boolean" },
            "acts_for": { "type": "array", "items": id("org"), "maxItems": limits::LIST },
            "agreement": optional(strict(&["max_tlp"], agreement())),
            "licence": optional(words(Redistribution::ALL, Redistribution::as_str)),
            "default_tlp": tlp(),
            "default_pap": words(Pap::ALL, Pap::as_str),
            "named": { "type": "boolean" },
            "quota_per_day": optional(count()),
        }),
    )
}

/// What an agreement says.
fn agreement() -> Value {
    let list = |items: Value, description: &str| json!({ "type": "array", "items": items, "maxItems": limits::LIST, "description": description });
    json!({
        "max_tlp": { "allOf": [tlp()], "description": "The strictest marking that the partner sees; red is refused" },
        "strict": { "type": "boolean", "description": "Whether that is amber+strict, too; by default where max_tlp says so" },
        "categories": list(categories(), "What events above green must be of; empty: anything"),
        "sectors": list(text(limits::NAME), "Which sector events above green must name; empty: any or none"),
        "names": { "type": "boolean", "default": false, "description": "Whether the names of reporters pass who permit it anyway" },
        "expires": optional(time()),
        "sends": optional(strict(&[], json!({
            "max_tlp": { "allOf": [tlp()], "description": "The strictest marking of what the partner sends; absent: any" },
            "categories": list(categories(), "What its events may be of; empty: anything"),
        }))),
    })
}

/// The fields of an agreement with the version that was read and a reason.
fn new_agreement() -> Value {
    let mut fields = agreement();
    if let Value::Object(fields) = &mut fields {
        fields.insert("version".to_owned(), version_read());
        fields.insert("reason".to_owned(), optional(text(limits::REASON)));
    }
    strict(&["version", "max_tlp"], fields)
}

fn version_read() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX, "description": "The version that was read; a stale one is refused" })
}

fn step(steps: &[&str], required: &[&str], reason: Value) -> Value {
    strict(required, json!({ "step": { "type": "string", "enum": steps }, "reason": reason }))
}
