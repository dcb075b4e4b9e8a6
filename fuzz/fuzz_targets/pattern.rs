//! Any text as the pattern of a STIX indicator.
#![no_main]

use formats::Format;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|pattern: &str| {
    let indicator = json!({
        "type": "indicator", "spec_version": "2.1", "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f", "created": "2026-01-05T08:00:00Z",
        "modified": "2026-01-05T08:00:00Z", "valid_from": "2026-01-05T08:00:00Z", "pattern_type": "stix", "pattern": pattern
    });
    bongsu_fuzz::parse(Format::Stix, json!([indicator]).to_string().as_bytes());
});
