//! STIX 2.1 that the hub makes itself: indicators, and the objects that they refer to.
//!
//! Flow: `hub::taxii` and `hub::products` have one version of an indicator → [`indicator`] appends it as JSON; [`identity`], [`project`],
//! [`extension`] and [`marking`] are what it refers to; [`malware`], [`attack_pattern`], [`vulnerability`] and [`relationship`] stand beside it.
//! Invariant: all of it passes stix2-validator 3.2.0 in strict mode. Ids are given or follow from the content; nothing here is random.
//! Not here: which indicators there are (`store`), who may have them (`policy`), contributed objects ([`super::contributed`]).
//!
//! Source: OASIS STIX 2.1; OASIS common objects, extension definition of TLP 2.0.

mod observable;
mod pattern;
mod threats;

pub(in crate::stix) use observable::NAMESPACE;
pub use observable::{observable, observable_id};
pub use pattern::pattern;
pub use threats::{Head, attack_pattern, is_cve, is_technique, malware, relationship, vulnerability};

use crate::json::quote_into;
use model::category::Class;
use model::{Category, ObservableType, Pap, Text, Timestamp, Tlp};
use uuid::Uuid;

/// The extension that carries our own properties of an indicator.
pub const EXTENSION: &str = "extension-definition--9c3f7d1e-5b64-4c0a-8f52-6d1f0e7a4b39";
/// Who defines it: this software, whoever runs it.
pub const PROJECT: &str = "identity--5d2b1c94-7a3e-4f68-9b0d-c1e8a4f27d60";
/// When both were made.
const PROJECT_CREATED: &str = "2026-01-01T00:00:00.000Z";
/// The extension that carries TLP 2.0.
const TLP_EXTENSION: &str = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d";
/// When TLP 2.0's definitions were made.
const TLP_CREATED: &str = "2022-10-01T00:00:00.000Z";

/// One version of an indicator.
#[derive(Debug, Clone, Copy)]
pub struct Indicator<'a> {
    /// Its UUID.
    pub id: Uuid,
    /// UUID of the hub's identity.
    pub creator: Uuid,
    /// Type of the value.
    pub kind: ObservableType,
    /// The value in canonical form.
    pub value: &'a str,
    /// When the first version was made.
    pub created: Timestamp,
    /// When this one was.
    pub modified: Timestamp,
    /// Whether it is taken back.
    pub revoked: bool,
    /// What the newest event is.
    pub category: Category,
    /// Malware.
    pub malware: Option<&'a str>,
    /// What a recipient may do.
    pub pap: Pap,
    /// Who may receive it.
    pub tlp: Tlp,
    /// 0 to 100.
    pub confidence: Option<u8>,
    /// Earliest time.
    pub first_seen: Timestamp,
    /// Latest time.
    pub last_seen: Timestamp,
    /// Until when it counts as active.
    pub valid_until: Option<Timestamp>,
    /// Sectors it concerns.
    pub sectors: &'a [Text],
    /// Warning lists that hold the value.
    pub warning_lists: &'a [Text],
    /// Whether the value is in a private, documentation or example range.
    pub reserved: bool,
}

/// Appends an indicator. False, and nothing appended, where no pattern of STIX can say the value.
pub fn indicator(out: &mut Vec<u8>, indicator: &Indicator<'_>) -> bool {
    let Some(pattern) = pattern(indicator.kind, indicator.value) else { return false };
    let mut object = Object::begin(out, "indicator", &indicator.id.to_string());
    object.text("created_by_ref", &format!("identity--{}", indicator.creator));
    object.times(indicator.created, indicator.modified);
    if indicator.revoked {
        object.raw("revoked", "true");
    }
    object.text("name", &format!("{}: {}", indicator.category, indicator.value));
    let malware = indicator.malware.map_or_else(String::new, |name| format!(", malware {name}"));
    object.text("description", &format!("{} that members of this hub reported as {}{malware}", indicator.kind, indicator.category));
    object.raw("indicator_types", indicator_types(indicator.category));
    object.text("pattern", &pattern);
    object.raw("pattern_type", "\"stix\"");
    object.raw("pattern_version", "\"2.1\"");
    object.text("valid_from", &millis(indicator.first_seen));
    // At the precision that is written, or else the two could be equal, which the standard forbids.
    if let Some(until) = indicator.valid_until.filter(|until| floor(*until) > floor(indicator.first_seen)) {
        object.text("valid_until", &millis(until));
    }
    if let Some(confidence) = indicator.confidence {
        object.raw("confidence", &confidence.min(100).to_string());
    }
    object.raw("labels", &format!("[\"{}\"]", indicator.category));
    object.raw("object_marking_refs", &format!("[\"{}\"]", marking_id(indicator.tlp)));
    own_properties(&mut object, indicator);
    object.end();
    true
}

fn own_properties(object: &mut Object<'_>, indicator: &Indicator<'_>) {
    object.name("extensions");
    object.out.push(b'{');
    quote_into(object.out, EXTENSION);
    object.out.extend_from_slice(b":{\"extension_type\":\"property-extension\"");
    object.text("category", indicator.category.as_str());
    object.text("observable_type", indicator.kind.as_str());
    object.text("observable_value", indicator.value);
    object.text("pap", indicator.pap.as_str());
    object.text("last_seen", &millis(indicator.last_seen.max(indicator.first_seen)));
    if let Some(malware) = indicator.malware {
        object.text("malware", malware);
    }
    object.texts("sectors", indicator.sectors);
    object.texts("warning_lists", indicator.warning_lists);
    if indicator.reserved {
        object.raw("reserved", "true");
    }
    object.out.extend_from_slice(b"}}");
}

/// Words of STIX's `indicator-type-ov`. `compromised` is said where the category says no more than that, for a reader of ours would take it
/// for the category.
fn indicator_types(category: Category) -> &'static str {
    match category {
        Category::SystemCompromise => "[\"compromised\"]",
        Category::Scanner | Category::Sniffing => "[\"anomalous-activity\"]",
        _ if matches!(category.class(), Class::Other | Class::Test) => "[\"unknown\"]",
        _ => "[\"malicious-activity\"]",
    }
}

/// Appends the identity of a hub.
pub fn identity(out: &mut Vec<u8>, id: Uuid, name: &str) {
    let mut object = Object::begin(out, "identity", &id.to_string());
    object.text("created", PROJECT_CREATED);
    object.text("modified", PROJECT_CREATED);
    object.text("name", name);
    object.text("description", "A hub for sharing cyber threats; it stands for those of its members who do not show their names");
    object.raw("identity_class", "\"organization\"");
    object.end();
}

/// Appends the identity that defines the extension.
pub fn project(out: &mut Vec<u8>) {
    let mut object = Object::begin(out, "identity", PROJECT.trim_start_matches("identity--"));
    object.text("created", PROJECT_CREATED);
    object.text("modified", PROJECT_CREATED);
    object.text("name", "Bongsu");
    object.text("description", "The software that defines the properties it adds to STIX objects");
    object.raw("identity_class", "\"organization\"");
    object.end();
}

/// Appends the definition of the extension.
pub fn extension(out: &mut Vec<u8>) {
    let mut object = Object::begin(out, "extension-definition", EXTENSION.trim_start_matches("extension-definition--"));
    object.text("created_by_ref", PROJECT);
    object.text("created", PROJECT_CREATED);
    object.text("modified", PROJECT_CREATED);
    object.text("name", "Bongsu indicator");
    object.text("description", "What a hub knows of an indicator beyond STIX's own properties");
    object.text("schema", SCHEMA);
    object.raw("version", "\"1.0.0\"");
    object.raw("extension_types", "[\"property-extension\"]");
    object.end();
}

const SCHEMA: &str = "Properties: category (string, required; type of the Reference Security Incident Taxonomy); observable_type (string, required); \
observable_value (string, required; canonical form); pap (string, required; clear, green, amber or red: permissible actions); last_seen (timestamp, required); \
malware (string; a name); sectors (list of string); warning_lists (list of string; names of lists of benign values that hold this one); reserved (boolean; the \
value is in a private, documentation or example range).";

/// Appends a definition of TLP 2.0, word by word that of the standard.
pub fn marking(out: &mut Vec<u8>, tlp: Tlp) {
    let (id, _) = tlp_words(tlp);
    let mut object = Object::begin(out, "marking-definition", id);
    object.text("created", TLP_CREATED);
    object.text("name", &format!("TLP:{}", tlp.as_str().to_ascii_uppercase()));
    object.raw("extensions", &format!("{{\"{TLP_EXTENSION}\":{{\"extension_type\":\"property-extension\",\"tlp_2_0\":\"{tlp}\"}}}}"));
    object.end();
}

/// The id of a definition of TLP 2.0.
pub fn marking_id(tlp: Tlp) -> &'static str {
    tlp_words(tlp).1
}

const fn tlp_words(tlp: Tlp) -> (&'static str, &'static str) {
    match tlp {
        Tlp::Clear => ("94868c89-83c2-464b-929b-a1a8aa3c8487", "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"),
        Tlp::Green => ("bab4a63c-aed9-4cf5-a766-dfca5abac2bb", "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"),
        Tlp::Amber => ("55d920b0-5e8b-4f79-9ee9-91f868d9b421", "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"),
        Tlp::AmberStrict => ("939a9414-2ddd-4d32-a0cd-375ea402b003", "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"),
        Tlp::Red => ("e828b379-4e03-4974-9ac4-e53a884c97c1", "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"),
    }
}

/// `2026-11-21T19:26:00.000Z`: what STIX asks of `created` and `modified`.
pub fn millis(time: Timestamp) -> String {
    let mut text = time.to_micro_string();
    text.truncate(text.len() - 4);
    text.push('Z');
    text
}

/// The moment that [`millis`] writes.
pub const fn floor(time: Timestamp) -> Timestamp {
    Timestamp::from_micros(time.micros() - time.micros().rem_euclid(1_000))
}

/// A 128-bit number as a UUID of version 4's shape.
pub const fn shaped(number: u128) -> Uuid {
    Uuid::from_u128((number & !(0xF_u128 << 76) & !(0b11_u128 << 62)) | (4_u128 << 76) | (0b10_u128 << 62))
}

/// An object being written; every property has a comma before it but the first.
struct Object<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Object<'o> {
    fn begin(out: &'o mut Vec<u8>, kind: &str, uuid: &str) -> Self {
        out.extend_from_slice(format!("{{\"type\":\"{kind}\",\"spec_version\":\"2.1\",\"id\":\"{kind}--{uuid}\"").as_bytes());
        Self { out }
    }

    fn end(self) {
        self.out.push(b'}');
    }

    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        quote_into(self.out, text);
    }

    /// A value that is JSON already.
    fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.out.extend_from_slice(json.as_bytes());
    }

    /// A list; an empty one is left out, as the standard asks.
    fn texts(&mut self, name: &str, texts: &[Text]) {
        for (index, text) in texts.iter().enumerate() {
            if index == 0 {
                self.name(name);
                self.out.push(b'[');
            } else {
                self.out.push(b',');
            }
            quote_into(self.out, text);
        }
        if !texts.is_empty() {
            self.out.push(b']');
        }
    }

    fn times(&mut self, created: Timestamp, modified: Timestamp) {
        self.text("created", &millis(created));
        self.text("modified", &millis(modified.max(created)));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::{Defaults, Format, parse_document};
    use model::canonical::canonical;
    use serde_json::Value;

    const MOMENT: Timestamp = Timestamp::from_micros(1_760_000_000_123_456);

    fn example(kind: ObservableType, value: &str) -> Indicator<'_> {
        Indicator {
            id: shaped(7),
            creator: shaped(8),
            kind,
            value,
            created: MOMENT,
            modified: MOMENT,
            revoked: false,
            category: Category::Phishing,
            malware: Some("a \"name\""),
            pap: Pap::Green,
            tlp: Tlp::Green,
            confidence: Some(60),
            first_seen: MOMENT,
            last_seen: MOMENT,
            valid_until: Some(MOMENT),
            sectors: &[],
            warning_lists: &[],
            reserved: false,
        }
    }

    fn written(source: &Indicator<'_>) -> Value {
        let mut out = Vec::new();
        assert!(indicator(&mut out, source));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn an_indicator_holds_what_is_known_and_no_empty_list() {
        let json = written(&example(ObservableType::Domain, "a.example.com"));
        assert_eq!(json["created"], "2025-10-09T08:53:20.123Z");
        assert_eq!(json["pattern"], "[domain-name:value = 'a.example.com']");
        assert_eq!(json["extensions"][EXTENSION]["malware"], "a \"name\"");
        assert_eq!(json["object_marking_refs"][0], marking_id(Tlp::Green));
        assert!(json.get("valid_until").is_none() && json.get("revoked").is_none() && json["extensions"][EXTENSION].get("sectors").is_none());
        let sectors = [Text::from("energy"), Text::from("water")];
        let later = Timestamp::from_micros(MOMENT.micros() + 1_000_000);
        let json = written(&Indicator { revoked: true, valid_until: Some(later), sectors: &sectors, ..example(ObservableType::Domain, "a.example.com") });
        assert_eq!((&json["revoked"], &json["valid_until"]), (&Value::Bool(true), &Value::from("2025-10-09T08:53:21.123Z")));
        assert_eq!(json["extensions"][EXTENSION]["sectors"], serde_json::json!(["energy", "water"]));
    }

    #[test]
    fn every_object_beside_an_indicator_is_json_with_its_id() {
        let head = Head { id: shaped(1), creator: shaped(2), created: MOMENT, modified: MOMENT, revoked: true, tlp: Tlp::Amber };
        let mut all: Vec<Vec<u8>> = vec![Vec::new(); 5];
        identity(&mut all[0], shaped(3), "A hub");
        project(&mut all[1]);
        extension(&mut all[2]);
        malware(&mut all[3], &head, "Emotet");
        relationship(&mut all[4], &head, "indicator--x", "malware--y");
        for &tlp in Tlp::ALL {
            let mut out = Vec::new();
            marking(&mut out, tlp);
            all.push(out);
        }
        for out in all {
            let json: Value = serde_json::from_slice(&out).unwrap();
            assert!(json["id"].as_str().unwrap().starts_with(json["type"].as_str().unwrap()), "{json}");
            assert_eq!(json["spec_version"], "2.1");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same_value_category_and_marking() {
        let defaults = Defaults { now: MOMENT, tlp: Tlp::Amber, pap: Pap::Green, named: false, category: None, origin: None, role: None };
        for (kind, value) in [
            (ObservableType::Ipv4, "198.51.100.7"),
            (ObservableType::Ipv6, "2001:db8::7"),
            (ObservableType::Cidr, "198.51.100.0/24"),
            (ObservableType::Domain, "a.example.com"),
            (ObservableType::Url, "http://a.example.com/it's"),
            (ObservableType::Md5, "d41d8cd98f00b204e9800998ecf8427e"),
            (ObservableType::Asn, "64500"),
            (ObservableType::X509Sha1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ] {
            for category in [Category::Phishing, Category::C2Server, Category::SystemCompromise, Category::InfectedSystem, Category::Scanner] {
                let value = canonical(kind, value).unwrap();
                let mut out = Vec::new();
                assert!(indicator(&mut out, &Indicator { category, ..example(kind, &value) }), "{kind}");
                let parsed = parse_document(Format::Stix, &out, &defaults);
                let event = parsed.events.first().unwrap_or_else(|| panic!("{:?}", parsed.refusals));
                let read = &event.observables[0];
                assert_eq!((read.kind, &read.value, event.category, event.tlp), (kind, &value, category, Tlp::Green), "{kind} {value}");
            }
        }
    }

    #[test]
    fn a_shaped_number_is_a_uuid_of_version_4() {
        for number in [0, 7, u128::MAX] {
            assert_eq!((shaped(number).get_version_num(), shaped(number).get_variant()), (4, uuid::Variant::RFC4122));
        }
    }
}
