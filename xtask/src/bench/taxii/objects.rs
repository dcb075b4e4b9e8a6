//! STIX objects of the load: of ten, four indicators, three families of malware, two tools and a relationship.
//!
//! Invariant: an object is a function of its number alone.

use crate::load::mix;

/// When all of them were made.
const MOMENT: &str = "2026-01-01T00:00:00.000Z";
const GREEN: &str = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb";

/// Appends an envelope of the objects `from..to`.
pub fn write_bundle(out: &mut Vec<u8>, from: u64, to: u64) {
    out.extend_from_slice(b"{\"objects\":[");
    for number in from..to {
        if number > from {
            out.push(b',');
        }
        write_object(out, number);
    }
    out.extend_from_slice(b"]}");
}

fn write_object(out: &mut Vec<u8>, number: u64) {
    let kind = match number % 10 {
        0..=3 => "indicator",
        4..=6 => "malware",
        7 | 8 => "tool",
        _ => "relationship",
    };
    let id = uuid(number);
    let begin = format!(
        "{{\"type\":\"{kind}\",\"spec_version\":\"2.1\",\"id\":\"{kind}--{id}\",\"created\":\"{MOMENT}\",\"modified\":\"{MOMENT}\",\
         \"object_marking_refs\":[\"{GREEN}\"],"
    );
    let rest = match kind {
        "indicator" => format!(
            "\"name\":\"phishing page\",\"indicator_types\":[\"malicious-activity\"],\"labels\":[\"phishing\"],\"confidence\":{},\
             \"pattern\":\"[domain-name:value = 'n{:x}.bench-{}.net']\",\"pattern_type\":\"stix\",\"valid_from\":\"{MOMENT}\"}}",
            number % 101,
            mix(number),
            number % 997
        ),
        "malware" => format!(
            "\"name\":\"family {}\",\"is_family\":true,\"malware_types\":[\"trojan\"],\"description\":\"seen {} times by sensors of one kind or another\"}}",
            number % 5_000,
            mix(number) % 1_000
        ),
        "tool" => format!("\"name\":\"tool {number}\",\"tool_types\":[\"remote-access\"]}}"),
        _ => format!(
            "\"relationship_type\":\"indicates\",\"source_ref\":\"indicator--{}\",\"target_ref\":\"malware--{}\"}}",
            uuid(number - number % 10),
            uuid(number - number % 10 + 4)
        ),
    };
    out.extend_from_slice(begin.as_bytes());
    out.extend_from_slice(rest.as_bytes());
}

/// A UUID of version 4's shape.
fn uuid(number: u64) -> String {
    let (one, other) = (mix(number), mix(number ^ 0x55AA));
    format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", one >> 32, one >> 16 & 0xFFFF, one & 0xFFF, other >> 52, other & 0xFFFF_FFFF_FFFF)
}
