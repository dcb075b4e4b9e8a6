//! MISP's feed: an event per day of indicators, its line in the manifest, and the hashes by which consumers tell whether they have a value.
//!
//! Flow: `hub::misp` chooses the indicators of an event → [`event`], [`manifest`], [`hashes`].
//! Invariant: pure, and a function of what is given: the same indicators are the same bytes. An attribute keeps its id whatever else of it changes.
//! Not here: which indicators may leave (`policy::leave`), contributed events (`hub::misp`), HTTP (`web::feeds`).
//!
//! Source: MISP core format, sections 2 to 4 (event, manifest); the feed's `hashes.csv` as PyMISP writes it.

use super::md5::md5_hex;
use crate::json::quote_into;
use model::category::Class;
use model::{Category, ObservableType, Pap, Timestamp, Tlp};
use uuid::Uuid;

/// What an event and its line in the manifest say of themselves.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    /// The event's.
    pub uuid: Uuid,
    /// Of the organisation that made it: the hub.
    pub creator: Uuid,
    /// Its name.
    pub creator_name: &'a str,
    /// What it is.
    pub info: &'a str,
    /// Its day, `2026-11-21`.
    pub date: &'a str,
    /// When something in it changed last.
    pub changed: Timestamp,
    /// The strictest marking in it.
    pub tlp: Tlp,
}

/// One indicator.
#[derive(Debug, Clone)]
pub struct Attribute<'a> {
    /// Its own, the same as long as the hub stands.
    pub uuid: Uuid,
    /// Type of the value.
    pub kind: ObservableType,
    /// Canonical.
    pub value: &'a str,
    /// Of its newest event.
    pub category: Category,
    /// Its marking.
    pub tlp: Tlp,
    /// What may be done with it.
    pub pap: Pap,
    /// When this version was made.
    pub changed: Timestamp,
    /// First seen.
    pub first_seen: Timestamp,
    /// Last seen.
    pub last_seen: Timestamp,
    /// Whether it was taken back.
    pub deleted: bool,
}

/// An event with its attributes, as a file of the feed.
pub fn event<'a>(head: &Head<'_>, attributes: impl Iterator<Item = Attribute<'a>>) -> Vec<u8> {
    let mut out = b"{\"Event\":{\"uuid\":".to_vec();
    quote_into(&mut out, &head.uuid.to_string());
    text(&mut out, "info", head.info);
    text(&mut out, "date", head.date);
    let changed = head.changed.seconds().to_string();
    for name in ["timestamp", "publish_timestamp"] {
        text(&mut out, name, &changed);
    }
    out.extend_from_slice(b",\"published\":true,\"analysis\":\"2\",\"threat_level_id\":\"4\",\"extends_uuid\":\"\",");
    creator(&mut out, head);
    tags(&mut out, &[(tlp_tag(head.tlp), colour(head.tlp))]);
    out.extend_from_slice(b",\"Object\":[],\"Attribute\":[");
    for (place, attribute) in attributes.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(&mut out, &attribute);
    }
    out.extend_from_slice(b"]}}");
    out
}

fn write(out: &mut Vec<u8>, attribute: &Attribute<'_>) {
    let (kind, category) = type_of(attribute.kind, attribute.category);
    out.extend_from_slice(b"{\"uuid\":");
    quote_into(out, &attribute.uuid.to_string());
    text(out, "type", kind);
    text(out, "category", category);
    text(out, "value", &value_of(attribute.kind, attribute.value));
    out.extend_from_slice(b",\"to_ids\":true,\"comment\":\"\",\"disable_correlation\":false,\"deleted\":");
    out.extend_from_slice(if attribute.deleted { b"true" } else { b"false" });
    text(out, "timestamp", &attribute.changed.seconds().to_string());
    text(out, "first_seen", &attribute.first_seen.to_micro_string());
    text(out, "last_seen", &attribute.last_seen.max(attribute.first_seen).to_micro_string());
    let pap = format!("PAP:{}", attribute.pap.as_str().to_ascii_uppercase());
    tags(out, &[(tlp_tag(attribute.tlp), colour(attribute.tlp)), (pap, PLAIN), (category_tag(attribute.category), PLAIN)]);
    out.push(b'}');
}

/// The manifest: every event with what tells whether it has changed.
pub fn manifest<'a>(heads: impl Iterator<Item = Head<'a>>) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for (place, head) in heads.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        quote_into(&mut out, &head.uuid.to_string());
        out.extend_from_slice(b":{");
        creator(&mut out, &head);
        tags(&mut out, &[(tlp_tag(head.tlp), colour(head.tlp))]);
        text(&mut out, "info", head.info);
        text(&mut out, "date", head.date);
        out.extend_from_slice(b",\"analysis\":\"2\",\"threat_level_id\":\"4\"");
        text(&mut out, "timestamp", &head.changed.seconds().to_string());
        out.push(b'}');
    }
    out.push(b'}');
    out
}

/// Appends a line of the list of hashes.
pub fn hashes(out: &mut Vec<u8>, kind: ObservableType, value: &str, event: Uuid) {
    out.extend_from_slice(md5_hex(&value_of(kind, value)).as_bytes());
    out.push(b',');
    out.extend_from_slice(event.to_string().as_bytes());
    out.push(b'\n');
}

/// The attribute type and category that a value has in MISP.
pub fn type_of(kind: ObservableType, category: Category) -> (&'static str, &'static str) {
    const NETWORK: &str = "Network activity";
    const PAYLOAD: &str = "Payload delivery";
    match kind {
        ObservableType::Ipv4 | ObservableType::Ipv6 | ObservableType::Cidr => (if comes_from(category) { "ip-src" } else { "ip-dst" }, NETWORK),
        ObservableType::Domain => ("domain", NETWORK),
        ObservableType::Url => ("url", NETWORK),
        ObservableType::Email => ("email-src", PAYLOAD),
        ObservableType::Md5 => ("md5", PAYLOAD),
        ObservableType::Sha1 => ("sha1", PAYLOAD),
        ObservableType::Sha256 => ("sha256", PAYLOAD),
        ObservableType::Sha512 => ("sha512", PAYLOAD),
        ObservableType::Ssdeep => ("ssdeep", PAYLOAD),
        ObservableType::Asn => ("AS", NETWORK),
        ObservableType::Filename => ("filename", PAYLOAD),
        ObservableType::Mac => ("mac-address", NETWORK),
        ObservableType::Cve => ("vulnerability", "External analysis"),
        ObservableType::UserAgent => ("user-agent", NETWORK),
        ObservableType::Ja3 => ("ja3-fingerprint-md5", NETWORK),
        ObservableType::X509Sha1 => ("x509-fingerprint-sha1", NETWORK),
        ObservableType::X509Sha256 => ("x509-fingerprint-sha256", NETWORK),
        ObservableType::Bitcoin => ("btc", "Financial fraud"),
        ObservableType::Phone => ("phone-number", "Financial fraud"),
    }
}

/// Whether attacks of this category come from the address, rather than lead to it.
fn comes_from(category: Category) -> bool {
    matches!(category.class(), Class::InformationGathering | Class::IntrusionAttempts | Class::Availability) || category == Category::Spam
}

/// The value as MISP writes it.
fn value_of(kind: ObservableType, value: &str) -> String {
    if kind == ObservableType::Asn { format!("AS{value}") } else { value.to_owned() }
}

/// The tag of a marking.
pub fn tlp_tag(tlp: Tlp) -> String {
    format!("tlp:{tlp}")
}

/// The tag of a category, of the reference security incident taxonomy.
pub fn category_tag(category: Category) -> String {
    format!("rsit:{}=\"{category}\"", category.class())
}

/// The colour of a tag that has no meaning by it.
pub const PLAIN: &str = "#0088cc";

/// The colour that the standard gives a marking.
pub const fn colour(tlp: Tlp) -> &'static str {
    match tlp {
        Tlp::Clear => "#ffffff",
        Tlp::Green => "#33ff00",
        Tlp::Amber | Tlp::AmberStrict => "#ffc000",
        Tlp::Red => "#ff2b2b",
    }
}

fn creator(out: &mut Vec<u8>, head: &Head<'_>) {
    out.extend_from_slice(b"\"Orgc\":{\"uuid\":");
    quote_into(out, &head.creator.to_string());
    text(out, "name", head.creator_name);
    out.push(b'}');
}

fn tags(out: &mut Vec<u8>, tags: &[(String, &str)]) {
    out.extend_from_slice(b",\"Tag\":[");
    for (place, (name, colour)) in tags.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"name\":");
        quote_into(out, name);
        text(out, "colour", colour);
        out.extend_from_slice(b",\"local\":false,\"relationship_type\":\"\"}");
    }
    out.push(b']');
}

/// Appends a field that is not the first of its object.
fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b',');
    quote_into(out, name);
    out.push(b':');
    quote_into(out, value);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::super::describe::fits;
    use super::*;
    use serde_json::Value;

    const DAY: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn head() -> Head<'static> {
        let (uuid, creator) = (Uuid::from_u128(1), Uuid::from_u128(2));
        Head { uuid, creator, creator_name: "Bongsu \"main\"", info: "Indicators", date: "2026-09-21", changed: DAY, tlp: Tlp::Green }
    }

    fn attribute(kind: ObservableType, value: &'static str) -> Attribute<'static> {
        Attribute {
            uuid: Uuid::from_u128(3),
            kind,
            value,
            category: Category::C2Server,
            tlp: Tlp::Clear,
            pap: Pap::Amber,
            changed: DAY,
            first_seen: DAY,
            last_seen: DAY,
            deleted: false,
        }
    }

    #[test]
    fn an_event_is_json_and_reads_back_as_what_it_was_made_of() {
        let written = event(&head(), [attribute(ObservableType::Ipv4, "198.51.100.1"), attribute(ObservableType::Asn, "64500")].into_iter());
        let event: Value = serde_json::from_slice(&written).unwrap();
        let first = &event["Event"]["Attribute"][0];
        assert_eq!((first["type"].as_str(), first["to_ids"].as_bool(), first["deleted"].as_bool()), (Some("ip-dst"), Some(true), Some(false)));
        let names: Vec<&str> = first["Tag"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["tlp:clear", "PAP:AMBER", "rsit:malicious-code=\"c2-server\""]);
        assert_eq!(event["Event"]["Attribute"][1]["value"], "AS64500");
        assert_eq!(event["Event"]["Orgc"]["name"], "Bongsu \"main\"");
        let defaults = crate::Defaults { now: DAY, tlp: Tlp::Red, pap: Pap::Red, named: false, category: None, origin: None, role: None };
        let parsed = crate::parse_document(crate::Format::Misp, &written, &defaults);
        assert_eq!((parsed.events.len(), parsed.refusals.len()), (2, 0));
        assert_eq!((parsed.events[0].category, parsed.events[0].tlp, parsed.events[0].pap), (Category::C2Server, Tlp::Clear, Pap::Amber));
    }

    #[test]
    fn the_manifest_names_each_event_and_the_hashes_are_those_of_the_values() {
        let manifest: Value = serde_json::from_slice(&manifest([head()].into_iter())).unwrap();
        assert_eq!(manifest[Uuid::from_u128(1).to_string()]["timestamp"], DAY.seconds().to_string());
        let mut out = Vec::new();
        hashes(&mut out, ObservableType::Filename, "abc", Uuid::from_u128(1));
        assert_eq!(String::from_utf8(out).unwrap(), "900150983cd24fb0d6963f7d28e17f72,00000000-0000-0000-0000-000000000001\n");
    }

    #[test]
    fn every_type_of_ours_has_one_of_misp_s_that_fits_its_category() {
        for &kind in ObservableType::ALL {
            for &category in Category::ALL {
                let (name, section) = type_of(kind, category);
                assert!(fits(name, section), "{name} in {section}");
            }
        }
    }
}
