//! What requests and answers about subscriptions and the inbox hold.

use super::{Named, array, categories, count, id, observable_types, open, optional, page, reference, strict, text, time};
use crate::limits;
use serde_json::{Value, json};

/// The schemas of subscriptions and the inbox.
pub fn all() -> Vec<Named> {
    vec![
        ("NewSubscription", new_subscription()),
        ("SubscriptionPatch", patch()),
        ("SubscriptionChannel", channel()),
        ("SubscriptionFilter", filter()),
        ("Rhythm", rhythm()),
        ("SubscriptionCode", strict(&[], json!({ "code": optional(text(limits::NAME)) }))),
        ("SubscriptionTest", open(&["message"], json!({ "message": { "type": "string", "format": "uuid" } }))),
        ("Subscription", open(&FIELDS, fields())),
        ("SubscriptionGiven", given()),
        ("SubscriptionPage", page("subscriptions", "Subscription")),
        ("InboxMessage", message()),
        ("InboxPage", page("messages", "InboxMessage")),
    ]
}

/// What every subscription has.
const FIELDS: [&str; 14] =
    ["id", "organisation", "name", "about", "filter", "channel", "rhythm", "categories", "language", "state", "version", "created", "updated", "delivery"];

fn new_subscription() -> Value {
    strict(
        &["name", "about", "channel"],
        json!({
            "name": text(limits::NAME),
            "about": { "type": "string", "enum": ["events", "findings"] },
            "filter": optional(reference("SubscriptionFilter")),
            "channel": reference("SubscriptionChannel"),
            "rhythm": optional(reference("Rhythm")),
            "categories": optional(by_category()),
            "language": optional(language()),
        }),
    )
}

fn patch() -> Value {
    strict(
        &["version"],
        json!({
            "version": count(),
            "name": optional(text(limits::NAME)),
            "filter": optional(reference("SubscriptionFilter")),
            "channel": optional(reference("SubscriptionChannel")),
            "rhythm": optional(reference("Rhythm")),
            "categories": optional(by_category()),
            "language": optional(language()),
        }),
    )
}

fn channel() -> Value {
    let mail = strict(&["address"], json!({ "address": text(limits::NAME), "openpgp": optional(json!({ "type": "string" })) }));
    let webhook = strict(&["url"], json!({ "url": text(limits::VALUE) }));
    json!({
        "description": "Exactly one of these",
        "oneOf": [
            strict(&["inbox"], json!({ "inbox": strict(&[], json!({})) })),
            strict(&["mail"], json!({ "mail": mail })),
            strict(&["webhook"], json!({ "webhook": webhook })),
        ],
    })
}

/// The words of a search, in a body.
fn filter() -> Value {
    let list = |items: Value| json!({ "anyOf": [array(items.clone()), items, { "type": "null" }] });
    strict(
        &[],
        json!({
            "since": optional(time()),
            "until": optional(time()),
            "category": list(categories()),
            "type": list(observable_types()),
            "sector": list(text(limits::NAME)),
            "within": optional(text(limits::NAME)),
            "domain": optional(text(limits::VALUE)),
            "malware": optional(text(limits::NAME)),
        }),
    )
}

fn rhythm() -> Value {
    let times = json!({
        "type": "array",
        "items": { "type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$" },
        "minItems": 1,
        "maxItems": hub::delivery::rhythm::MAX_TIMES,
        "description": "In the realm's zone",
    });
    json!({ "oneOf": [{ "const": "at-once" }, strict(&["times"], json!({ "times": times, "business_days": { "type": "boolean" } }))] })
}

fn by_category() -> Value {
    json!({ "type": "object", "additionalProperties": reference("Rhythm"), "description": "Of findings of these categories: when instead" })
}

fn language() -> Value {
    json!({ "type": "string", "enum": ["ko", "en"] })
}

fn fields() -> Value {
    json!({
        "id": id("sub"),
        "organisation": id("org"),
        "name": { "type": "string" },
        "about": { "type": "string", "enum": ["events", "findings"] },
        "filter": optional(json!({ "type": "object" })),
        "channel": {
            "type": "object",
            "properties": {
                "inbox": { "type": "object" },
                "mail": open(&["address", "confirmed"], json!({
                    "address": optional(json!({ "type": "string" })),
                    "openpgp": optional(json!({ "type": "string", "description": "Fingerprint of the reader's key" })),
                    "confirmed": optional(time()),
                })),
                "webhook": open(&["url", "rotation"], json!({ "url": optional(json!({ "type": "string" })), "rotation": count() })),
            },
        },
        "rhythm": reference("Rhythm"),
        "categories": by_category(),
        "language": language(),
        "state": { "type": "string", "enum": ["active", "paused", "unconfirmed", "parked", "erased"] },
        "version": count(),
        "created": time(),
        "updated": time(),
        "delivery": open(
            &["waiting", "left_out", "queued", "sent"],
            json!({
                "waiting": count(),
                "left_out": count(),
                "queued": count(),
                "sent": count(),
                "last_sent": optional(time()),
                "next_attempt": optional(time()),
                "last_error": optional(json!({ "type": "string" })),
                "failed": optional(time()),
                "parked": optional(time()),
            }),
        ),
    })
}

fn given() -> Value {
    let mut fields = fields();
    if let Value::Object(fields) = &mut fields {
        fields.insert("secret".to_owned(), json!({ "type": "string", "pattern": "^whsec_", "description": "Of a webhook, once" }));
    }
    open(&FIELDS, fields)
}

fn message() -> Value {
    open(
        &["id", "lane", "subscription", "name", "language", "made", "events", "findings", "withdrawn", "left_out", "read"],
        json!({
            "id": { "type": "string", "format": "uuid" },
            "lane": { "type": "string", "enum": ["warning", "ordinary"] },
            "realm": { "type": "string" },
            "subscription": id("sub"),
            "name": { "type": "string" },
            "organisation": { "type": "string" },
            "language": language(),
            "made": time(),
            "events": array(reference("Event")),
            "findings": array(reference("Finding")),
            "withdrawn": array(json!({ "type": "object" })),
            "left_out": count(),
            "notice": { "type": "object" },
            "read": optional(time()),
        }),
    )
}
