//! Parameters of paths, queries and headers, each described once.

use super::{Route, schemas};
use crate::limits;
use serde_json::{Value, json};

/// The parameters of a route, described.
pub fn of(route: &Route) -> Vec<Value> {
    let path = names_in(route.path).filter_map(|name| path(name).map(|schema| parameter("path", name, "", true, schema)));
    let query = route.query.iter().filter_map(|name| query(route, name).map(|(words, schema)| parameter("query", name, words, false, schema)));
    let headers = route.headers.iter().filter_map(|name| header(name).map(|(words, schema)| parameter("header", name, words, false, schema)));
    path.chain(query).chain(headers).collect()
}

/// The names in braces.
fn names_in(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('{').skip(1).filter_map(|part| part.split('}').next())
}

fn parameter(place: &str, name: &str, words: &str, required: bool, schema: Value) -> Value {
    let mut parameter = json!({ "in": place, "name": name, "required": required, "schema": schema });
    if let Value::Object(fields) = &mut parameter {
        if !words.is_empty() {
            fields.insert("description".to_owned(), json!(words));
        }
        if fields.get("schema").and_then(|schema| schema.get("type")).is_some_and(|kind| kind == "array") {
            // Lists are written with commas; repeating the parameter is taken as well.
            fields.insert("style".to_owned(), json!("form"));
            fields.insert("explode".to_owned(), json!(false));
        }
    }
    parameter
}

fn path(name: &str) -> Option<Value> {
    Some(match name {
        "seq" => schemas::seq(),
        "receipt" => schemas::id("rcp"),
        "id" => schemas::id("org"),
        "root" => json!({ "type": "string", "pattern": "^[a-z0-9-]{1,64}$" }),
        "collection" => json!({ "type": "string", "pattern": "^[a-z0-9_-]{1,80}$", "description": "Its id or its alias" }),
        "object" => json!({ "type": "string", "pattern": "^[a-z0-9_-]{3,250}--[0-9a-f-]{36}$" }),
        "status" => json!({ "type": "string", "format": "uuid" }),
        "group" => json!({ "type": "string", "pattern": "^[a-z0-9._-]{1,64}$" }),
        "name" => json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,47}$" }),
        "code" => json!({ "type": "string", "pattern": "^[0-9a-f]{32}-[0-9a-f]{32}$", "description": "What the mailed link ends with" }),
        "key" => schemas::id("key"),
        "net" => schemas::id("net"),
        "claim" => schemas::id("clm"),
        "finding" => schemas::id("fnd"),
        "erasure" => schemas::id("ers"),
        "subscription" => schemas::id("sub"),
        "message" => json!({ "type": "string", "format": "uuid" }),
        "product" => products(),
        "file" => json!({ "type": "string", "pattern": "^(manifest\\.json|hashes\\.csv|[0-9a-f-]{36}\\.json)$" }),
        "event" | "attribute" | "misp_object" | "sharing_group" | "organisation" | "sighting" | "proposal" | "report" => {
            json!({ "type": "string", "pattern": "^([0-9]{1,18}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$", "description": "Its number or UUID" })
        }
        "tag" => json!({ "type": "string", "minLength": 1, "maxLength": limits::NAME, "description": "Its number or name" }),
        "user" => json!({ "type": "string", "enum": ["me"] }),
        "context" => json!({ "type": "string", "enum": ["event", "attribute"] }),
        "type" => schemas::observable_types(),
        "value" => json!({ "type": "string", "minLength": 1, "maxLength": limits::VALUE }),
        _ => return None,
    })
}

fn query(route: &Route, name: &str) -> Option<(&'static str, Value)> {
    let submission = route.id == "submitEvents";
    let product = route.group == "products";
    Some(match name {
        "since" if route.id == "fetchProduct" => (
            "Only what came (`+`) and what left (`-`) since this version, of lists and csv",
            json!({ "type": "string", "minLength": 1, "maxLength": limits::CURSOR }),
        ),
        "since" if product => ("Recalled at or after", schemas::time()),
        "since" => ("On the event's time: at or after", schemas::time()),
        "until" => ("On the event's time: before", schemas::time()),
        "category" if submission => ("Category of entries that carry none", schemas::categories()),
        "category" => ("One of these categories", list(schemas::categories())),
        "min_confidence" => ("The least confidence today", json!({ "type": "integer", "minimum": 0, "maximum": 100, "default": 0 })),
        "max_age_days" => ("The greatest age since it was last seen", json!({ "type": "integer", "minimum": 1, "maximum": limits::PRODUCT_DAYS })),
        "type" if product => ("One of these types", list(schemas::observable_types())),
        "type" => ("Has an observable of one of these types", list(schemas::observable_types())),
        "value" if route.id == "listAbuseContacts" => (
            "Those that match this address, range, AS number or domain alone, the innermost first",
            json!({ "type": "string", "minLength": 1, "maxLength": limits::VALUE }),
        ),
        "value" => (
            "Has this value, of whatever type; in canonical form or not",
            json!({ "type": "string", "examples": ["192.0.2.7"], "minLength": 1, "maxLength": limits::VALUE }),
        ),
        "sector" => ("One of these sectors; a free word", list(json!({ "type": "string", "minLength": 1, "maxLength": 64 }))),
        "within" => ("Has an address or range inside this address or range", json!({ "type": "string", "examples": ["192.0.2.0/24"], "maxLength": 64 })),
        "domain" => (
            "Has a domain, or a host of a URL or mail address, equal to this or below it",
            json!({ "type": "string", "examples": ["example.kr"], "maxLength": 253 }),
        ),
        "malware" => ("Malware name, ignoring ASCII case", json!({ "type": "string", "minLength": 1, "maxLength": limits::NAME })),
        "state" if route.id == "listContactQueue" => ("In one of these states; else every state but `verified`", list(schemas::contact_states())),
        "state" if route.id == "listNetworks" => ("In one of these states; else `pending` and `approved`", list(schemas::network_states())),
        "state" => ("In one of these states", list(schemas::finding_states())),
        "owner" => ("Of this organisation's networks", schemas::id("org")),
        "mine" => ("Only what the caller's organisation reported", flag()),
        "unread" => ("Only what nobody has read", flag()),
        "limit" if route.group == "taxii" => ("Objects of a page; a page holds 1000 at the most", json!({ "type": "integer", "minimum": 1 })),
        "added_after" => ("Added to the collection after this", json!({ "type": "string", "format": "date-time", "pattern": "Z$" })),
        "next" => ("The cursor of the page before, with the same filters", json!({ "type": "string", "maxLength": 100 })),
        "match[id]" => ("Ids, with commas", json!({ "type": "string" })),
        "match[type]" => ("Types, with commas", json!({ "type": "string" })),
        "match[version]" => ("`all`, or `first`, `last` and timestamps with commas", json!({ "type": "string" })),
        "match[spec_version]" => ("Versions of STIX, with commas", json!({ "type": "string" })),
        "limit" => ("Entries of a page", json!({ "type": "integer", "minimum": 1, "maximum": limits::PAGE_MAX, "default": limits::PAGE_DEFAULT })),
        "cursor" => ("The cursor of the page before", json!({ "type": "string", "minLength": 1, "maxLength": limits::CURSOR })),
        "from" => ("First sequence number wanted", schemas::seq()),
        "dry_run" => ("Say what would be done, and do nothing", flag()),
        "tlp" if product => (
            "The strictest marking in it; the most that the caller's membership allows where absent",
            json!({ "type": "string", "enum": ["clear", "green", "amber"] }),
        ),
        "tlp" => ("Marking of events that carry none", schemas::tlp()),
        "origin" => ("Origin of events that carry none", schemas::origins()),
        "role" => ("Role of observables that carry none", schemas::roles_of_observables()),
        "on_behalf_of" => ("The organisation whose events these are; the caller's must act for it", schemas::id("org")),
        "lang" => ("Language of the page; overrides Accept-Language", json!({ "type": "string", "enum": ["ko", "en"] })),
        _ => return None,
    })
}

fn header(name: &str) -> Option<(&'static str, Value)> {
    Some(match name {
        "Idempotency-Key" => (
            "Covers the lines of its request by their place for seven days: sent again, corrected or not, each line is taken once",
            json!({ "type": "string", "pattern": "^[!-~]{1,255}$" }),
        ),
        "If-None-Match" => ("Entity tags that the caller has", json!({ "type": "string", "maxLength": limits::CURSOR })),
        "If-Modified-Since" => ("When the caller's copy was made, where it has no tag", json!({ "type": "string", "maxLength": 64 })),
        "Last-Event-ID" => ("Sequence number of the last event received; the stream goes on after it", schemas::seq()),
        _ => return None,
    })
}

fn products() -> Value {
    let names: Vec<String> = formats::products::Product::all().into_iter().map(formats::products::Product::name).collect();
    json!({ "type": "string", "enum": names })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items, "minItems": 1, "maxItems": limits::LIST })
}

fn flag() -> Value {
    json!({ "type": "string", "enum": ["1", "0", "true", "false"], "default": "0" })
}
