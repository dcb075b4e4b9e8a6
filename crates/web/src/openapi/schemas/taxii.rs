//! Resources of TAXII 2.1. Objects are STIX and not described here.
//!
//! Source: OASIS TAXII 2.1, sections 3.6 to 5.

use super::{Named, array, count, open};
use serde_json::{Value, json};

/// The schemas of TAXII.
pub fn all() -> Vec<Named> {
    let text = || json!({ "type": "string" });
    vec![
        ("TaxiiDiscovery", open(&["title"], json!({ "title": text(), "description": text(), "default": text(), "api_roots": array(text()) }))),
        ("TaxiiRoot", open(&["title", "versions", "max_content_length"], json!({ "title": text(), "versions": array(text()), "max_content_length": count() }))),
        ("TaxiiCollections", open(&[], json!({ "collections": array(super::reference("TaxiiCollection")) }))),
        (
            "TaxiiCollection",
            open(
                &["id", "title", "can_read", "can_write"],
                json!({
                    "id": { "type": "string", "format": "uuid" },
                    "title": text(),
                    "description": text(),
                    "alias": text(),
                    "can_read": { "type": "boolean" },
                    "can_write": { "type": "boolean" },
                    "media_types": array(text()),
                }),
            ),
        ),
        ("TaxiiEnvelope", paged("objects", json!({ "type": "object" }))),
        (
            "TaxiiManifest",
            paged("objects", open(&["id", "date_added", "version"], json!({ "id": text(), "date_added": time(), "version": time(), "media_type": text() }))),
        ),
        ("TaxiiVersions", paged("versions", time())),
        (
            "TaxiiStatus",
            open(
                &["id", "status", "total_count", "success_count", "failure_count", "pending_count"],
                json!({
                    "id": { "type": "string", "format": "uuid" },
                    "status": { "type": "string", "enum": ["complete", "pending"] },
                    "request_timestamp": time(),
                    "total_count": count(),
                    "success_count": count(),
                    "successes": array(detail()),
                    "failure_count": count(),
                    "failures": array(detail()),
                    "pending_count": count(),
                    "pendings": array(detail()),
                }),
            ),
        ),
        ("TaxiiDeleted", open(&[], json!({}))),
        (
            "TaxiiError",
            open(&["title"], json!({ "title": text(), "description": text(), "http_status": { "type": "string" }, "details": { "type": "object" } })),
        ),
    ]
}

fn paged(name: &str, item: Value) -> Value {
    open(&[], json!({ "more": { "type": "boolean" }, "next": { "type": "string" }, (name): array(item) }))
}

fn detail() -> Value {
    open(&["id", "version"], json!({ "id": { "type": "string" }, "version": time(), "message": { "type": "string" } }))
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time", "pattern": "\\.[0-9]{6}Z$" })
}
