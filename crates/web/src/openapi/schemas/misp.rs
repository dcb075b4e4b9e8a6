//! MISP's requests and answers, which are MISP's own and not described here, and its refusals.

use super::{Named, open};
use serde_json::json;

/// The schemas of MISP.
pub fn all() -> Vec<Named> {
    vec![
        ("MispRequest", json!({ "description": "As MISP's OpenAPI description has it; at most 16 MiB" })),
        ("MispAnswer", json!({ "description": "As MISP's OpenAPI description has it" })),
        (
            "MispError",
            open(
                &["name", "message", "url", "errors"],
                json!({
                    "saved": { "type": "boolean" },
                    "name": { "type": "string" },
                    "message": { "type": "string" },
                    "url": { "type": "string" },
                    "errors": { "description": "What is wrong, by field, or in a sentence" },
                }),
            ),
        ),
    ]
}
