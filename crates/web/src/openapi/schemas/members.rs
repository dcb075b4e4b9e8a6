//! What answers about members hold.

use super::{Named, array, categories, count, id, observable_types, open, optional, page, reference, time, tlp, words};
use model::marking::Pap;
use model::organisation::{Constituency, KeyRole, OrgKind, Redistribution, Standing, StandingBy};
use serde_json::{Value, json};

/// The schemas of answers about members.
pub fn all() -> Vec<Named> {
    vec![
        ("Organisation", organisation()),
        ("OrganisationPage", page("organisations", "Organisation")),
        ("History", open(&["history"], json!({ "history": array(reference("HistoryRow")) }))),
        ("HistoryRow", history_row()),
        ("Contribution", contribution()),
        ("Agreement", agreement()),
        (
            "AgreementAnswer",
            open(
                &["organisation", "agreement", "holds", "collection", "version", "updated"],
                json!({
                    "organisation": id("org"),
                    "agreement": optional(reference("Agreement")),
                    "holds": { "type": "boolean", "description": "Whether it holds now" },
                    "collection": { "type": "string", "description": "Title of its collection over TAXII, which is listed while it holds" },
                    "version": count(),
                    "updated": time(),
                }),
            ),
        ),
        ("Group", group()),
        ("GroupList", open(&["groups"], json!({ "groups": array(reference("Group")) }))),
        ("Key", key()),
        ("KeyList", open(&["keys"], json!({ "keys": array(reference("Key")) }))),
        ("KeySecret", open(&["id", "key"], json!({ "id": id("key"), "key": { "type": "string", "description": "Shown this once" } }))),
        ("Network", network()),
        ("NetworkList", open(&["networks"], json!({ "networks": array(reference("Network")) }))),
        ("Claim", claim()),
        ("ClaimPage", page("claims", "Claim")),
        ("Erasure", erasure()),
        ("ErasurePage", page("erasures", "Erasure")),
        (
            "Me",
            open(
                &["organisation", "key", "role", "red"],
                json!({ "organisation": reference("Organisation"), "key": id("key"), "role": words(KeyRole::ALL, KeyRole::as_str), "red": { "type": "boolean" } }),
            ),
        ),
    ]
}

fn organisation() -> Value {
    open(
        &[
            "id",
            "name",
            "kind",
            "constituency",
            "sector",
            "country",
            "groups",
            "standing",
            "standing_by",
            "standing_rule",
            "default_tlp",
            "default_pap",
            "named",
            "version",
            "created",
            "updated",
        ],
        json!({
            "id": id("org"),
            "name": { "type": "string" },
            "kind": words(OrgKind::ALL, OrgKind::as_str),
            "constituency": optional(words(Constituency::ALL, Constituency::as_str)),
            "sector": optional(json!({ "type": "string" })),
            "country": optional(json!({ "type": "string" })),
            "groups": array(json!({ "type": "string" })),
            "standing": words(Standing::ALL, Standing::as_str),
            "standing_since": optional(time()),
            "standing_reason": optional(json!({ "type": "string" })),
            "standing_review": standing_review(),
            "standing_by": words(StandingBy::ALL, StandingBy::as_str),
            "standing_rule": { "type": "boolean", "description": "Whether the rule of contribution applies to it, where its kind is bound to share" },
            "acts_for": array(id("org")),
            "acted_for_by": array(id("org")),
            "agreement": optional(reference("Agreement")),
            "licence": optional(json!({ "allOf": [words(Redistribution::ALL, Redistribution::as_str)], "description": "How widely what it reports may be passed on; null: as the marking says" })),
            "default_tlp": tlp(),
            "default_pap": words(Pap::ALL, Pap::as_str),
            "named": { "type": "boolean" },
            "quota_per_day": optional(count()),
            "version": count(),
            "created": time(),
            "updated": time(),
        }),
    )
}

fn agreement() -> Value {
    open(
        &["max_tlp", "strict", "categories", "sectors", "names", "sends"],
        json!({
            "max_tlp": tlp(),
            "strict": { "type": "boolean", "description": "Whether amber+strict is covered" },
            "categories": array(categories()),
            "sectors": array(json!({ "type": "string" })),
            "names": { "type": "boolean", "description": "Whether the names of reporters pass who permit it anyway" },
            "expires": optional(time()),
            "sends": open(&["max_tlp", "categories"], json!({ "max_tlp": optional(tlp()), "categories": array(categories()) })),
        }),
    )
}

fn group() -> Value {
    open(
        &["id", "title", "named", "members", "version", "created", "updated"],
        json!({
            "id": { "type": "string" },
            "title": { "type": "string" },
            "named": { "type": "boolean", "description": "Whether reporters are named inside it" },
            "members": array(id("org")),
            "version": count(),
            "created": time(),
            "updated": time(),
        }),
    )
}

fn standing_review() -> Value {
    json!({ "anyOf": [time(), { "type": "null" }], "description": "A warned member is receive-limited from then; an operator's decision holds until then" })
}

fn history_row() -> Value {
    open(
        &["version", "at", "action", "reason", "content", "hash"],
        json!({
            "version": count(),
            "at": time(),
            "key": optional(json!({ "type": "string" })),
            "organisation": optional(json!({ "type": "string" })),
            "action": { "type": "string" },
            "reason": { "type": "string" },
            "content": { "type": "object" },
            "hash": { "type": "string" },
        }),
    )
}

fn contribution() -> Value {
    let month = open(
        &["month", "accepted", "first", "confirmed", "false_positives", "timeliness_seconds"],
        json!({
            "month": { "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$" },
            "accepted": count(),
            "first": count(),
            "confirmed": count(),
            "false_positives": count(),
            "timeliness_seconds": optional(count()),
        }),
    );
    open(
        &["organisation", "standing", "standing_by", "rule", "months"],
        json!({
            "organisation": id("org"),
            "standing": words(Standing::ALL, Standing::as_str),
            "standing_by": words(StandingBy::ALL, StandingBy::as_str),
            "standing_since": optional(time()),
            "standing_reason": optional(json!({ "type": "string" })),
            "standing_review": standing_review(),
            "rule": { "type": "string" },
            "months": array(month),
        }),
    )
}

fn key() -> Value {
    open(
        &["id", "organisation", "role", "state", "created", "allow", "red"],
        json!({
            "id": id("key"),
            "organisation": id("org"),
            "role": words(KeyRole::ALL, KeyRole::as_str),
            "state": { "type": "string", "enum": ["active", "rotating", "expired", "revoked"] },
            "created": time(),
            "expires": optional(time()),
            "valid_until": optional(time()),
            "revoked_at": optional(time()),
            "last_used": optional(time()),
            "allow": array(json!({ "type": "string" })),
            "red": { "type": "boolean" },
            "holder": optional(json!({ "type": "string" })),
        }),
    )
}

fn network() -> Value {
    open(
        &["id", "organisation", "kind", "value", "state", "proof", "conflict", "version", "created", "updated"],
        json!({
            "id": id("net"),
            "organisation": id("org"),
            "version": count(),
            "created": time(),
            "updated": time(),
            "kind": { "type": "string", "enum": ["cidr", "domain", "asn", "url"] },
            "value": { "type": "string" },
            "state": { "type": "string", "enum": ["pending", "approved", "rejected", "withdrawn"] },
            "proof": { "type": "string", "enum": ["claimed", "proven"] },
            "proof_method": optional(json!({ "type": "string", "enum": ["dns-txt", "abuse-mail", "operator"] })),
            "proven": optional(time()),
            "challenge": challenge(),
            "conflict": { "type": "boolean", "description": "Another organisation holds it, or a part of it, too" },
            "conflicts": array(id("net")),
            "overlaps": overlaps(),
            "decided": optional(time()),
            "decided_by": optional(json!({ "type": "string", "enum": ["coordinator", "authority", "organisation"] })),
            "reason": optional(json!({ "type": "string" })),
            "protected": { "type": "boolean" },
        }),
    )
}

fn overlaps() -> Value {
    array(open(&["id", "value"], json!({ "id": id("net"), "value": { "type": "string" }, "organisation": id("org"), "name": { "type": "string" } })))
}

fn challenge() -> Value {
    open(
        &["token"],
        json!({
            "token": { "type": "string" },
            "record": optional(json!({ "type": "string" })),
            "checked": optional(time()),
            "found": optional(json!({ "type": "string", "enum": ["found", "absent", "other", "unreachable"], "description": "What the hub found at `record` then" })),
        }),
    )
}

fn claim() -> Value {
    open(
        &["id", "part", "type", "state", "opened", "due", "overdue"],
        json!({
            "id": id("clm"),
            "part": { "type": "string", "enum": ["queue", "claimant", "sender"] },
            "type": observable_types(),
            "value": optional(json!({ "type": "string" })),
            "note": { "type": "string" },
            "state": { "type": "string", "enum": ["open", "upheld", "rejected"] },
            "opened": time(),
            "due": time(),
            "overdue": { "type": "boolean" },
            "decided": optional(time()),
            "reason": optional(json!({ "type": "string" })),
        }),
    )
}

fn erasure() -> Value {
    let signatory = || open(&["key", "organisation"], json!({ "key": id("key"), "organisation": id("org") }));
    open(
        &["id", "type", "basis", "state", "requested", "requested_by", "entries"],
        json!({
            "id": id("ers"),
            "type": observable_types(),
            "value": { "type": "string", "description": "Only where one open erasure is asked for" },
            "basis": { "type": "string" },
            "state": { "type": "string", "enum": ["requested", "confirmed", "done", "rejected"] },
            "requested": time(),
            "requested_by": signatory(),
            "confirmed": optional(time()),
            "confirmed_by": optional(signatory()),
            "ended": optional(time()),
            "reason": optional(json!({ "type": "string" })),
            "entries": count(),
        }),
    )
}
