//! What an indicator points to: malware, techniques of ATT&CK, vulnerabilities, and the relationships that say so.
//!
//! Invariant: ids of techniques and vulnerabilities are written where they are ids alone, so that nothing else stands under the name of another body's
//! list. References have no URL, for one would ask for a hash of what it leads to.
//! Not here: which there are, and their UUIDs (`hub::taxii`); reading them ([`super::super::context`]).
//!
//! Source: OASIS STIX 2.1, sections 2.5 (external reference), 4.1 (attack pattern), 4.7 (indicator: its table of relationships), 4.11 (malware), 4.19
//! (vulnerability), 5.1 (relationship); MITRE's own STIX of ATT&CK for the source's name, `mitre-attack`.

use super::{Object, marking_id};
use crate::stix::technique;
use model::canonical::canonical;
use model::{ObservableType, Text, Timestamp, Tlp};
use uuid::Uuid;

/// What objects beside an indicator share.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// UUID of the object.
    pub id: Uuid,
    /// UUID of the hub's identity.
    pub creator: Uuid,
    /// When its first version was made.
    pub created: Timestamp,
    /// When this one was.
    pub modified: Timestamp,
    /// Whether it is taken back.
    pub revoked: bool,
    /// Who may receive it.
    pub tlp: Tlp,
}

/// Appends a family of malware.
pub fn malware(out: &mut Vec<u8>, head: &Head, name: &str) {
    let mut object = Object::begin(out, "malware", &head.id.to_string());
    object.head(head);
    object.text("name", name);
    object.raw("is_family", "true");
    object.raw("malware_types", "[\"unknown\"]");
    object.end();
}

/// Appends a technique of ATT&CK, by its id where no name of it is known. False, and nothing appended, where `id` is none: `T1566`, `T1566.001`.
pub fn attack_pattern(out: &mut Vec<u8>, head: &Head, id: &str, name: Option<&str>) -> bool {
    let Some(id) = technique(id) else { return false };
    let mut object = Object::begin(out, "attack-pattern", &head.id.to_string());
    object.head(head);
    object.text("name", name.unwrap_or(&id));
    object.reference("mitre-attack", &id);
    object.end();
    true
}

/// Appends a vulnerability, which its id names. False, and nothing appended, where `id` is no id of CVE as STIX's schema has them: a number with
/// zeros before it has four digits.
pub fn vulnerability(out: &mut Vec<u8>, head: &Head, id: &str) -> bool {
    let Some(id) = cve(id) else { return false };
    let mut object = Object::begin(out, "vulnerability", &head.id.to_string());
    object.head(head);
    object.text("name", &id);
    object.reference("cve", &id);
    object.end();
    true
}

/// Whether a text is the id of a technique in the form in which it is written.
pub fn is_technique(id: &str) -> bool {
    technique(id).is_some_and(|written| written.as_str() == id)
}

/// Whether a text is the id of a vulnerability in the form in which it is written.
pub fn is_cve(id: &str) -> bool {
    cve(id).is_some_and(|written| written.as_str() == id)
}

fn cve(id: &str) -> Option<Text> {
    let id = canonical(ObservableType::Cve, id).ok()?;
    let number = id.rsplit('-').next()?;
    let is_written = !number.starts_with('0') || number.len() == 4;
    is_written.then_some(id)
}

/// Appends what an indicator has to do with another object; both are ids with their types.
///
/// To a vulnerability it is `related-to`, which is for objects of all types: in the standard's table an indicator `indicates` attack patterns, campaigns,
/// infrastructure, intrusion sets, malware, threat actors and tools, and stix2-validator in strict mode takes nothing else there.
pub fn relationship(out: &mut Vec<u8>, head: &Head, indicator: &str, target: &str) {
    let mut object = Object::begin(out, "relationship", &head.id.to_string());
    object.head(head);
    object.raw("relationship_type", if target.starts_with("vulnerability--") { "\"related-to\"" } else { "\"indicates\"" });
    object.text("source_ref", indicator);
    object.text("target_ref", target);
    object.end();
}

impl Object<'_> {
    fn head(&mut self, head: &Head) {
        self.text("created_by_ref", &format!("identity--{}", head.creator));
        self.times(head.created, head.modified);
        if head.revoked {
            self.raw("revoked", "true");
        }
        self.raw("object_marking_refs", &format!("[\"{}\"]", marking_id(head.tlp)));
    }

    /// The only external reference, by an id that needs no escape.
    fn reference(&mut self, source: &str, id: &str) {
        self.raw("external_references", &format!("[{{\"source_name\":\"{source}\",\"external_id\":\"{id}\"}}]"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::super::{Indicator, indicator, shaped};
    use super::*;
    use crate::{Defaults, Format, parse_document};
    use model::{Category, Pap};
    use serde_json::{Value, json};

    const MOMENT: Timestamp = Timestamp::from_micros(1_760_000_000_123_456);

    fn head(id: u128) -> Head {
        Head { id: shaped(id), creator: shaped(2), created: MOMENT, modified: MOMENT, revoked: false, tlp: Tlp::Green }
    }

    fn read(out: &[u8]) -> Value {
        serde_json::from_slice(out).unwrap()
    }

    #[test]
    fn a_technique_has_its_id_as_reference_and_as_name_where_no_other_is_known() {
        let mut out = Vec::new();
        assert!(attack_pattern(&mut out, &head(1), "t1566.001", None));
        let object = read(&out);
        assert_eq!((&object["type"], &object["name"]), (&json!("attack-pattern"), &json!("T1566.001")));
        assert_eq!(object["external_references"], json!([{ "source_name": "mitre-attack", "external_id": "T1566.001" }]));
        assert_eq!(object["object_marking_refs"], json!([marking_id(Tlp::Green)]));
        out.clear();
        assert!(attack_pattern(&mut out, &head(1), "T1566", Some("Phishing")));
        assert_eq!(read(&out)["name"], "Phishing");
    }

    #[test]
    fn a_vulnerability_has_its_id_as_name_and_reference() {
        for (given, written) in [("cve-2021-44228", "CVE-2021-44228"), ("CVE-2021-0001", "CVE-2021-0001"), ("CVE-2024-1234567", "CVE-2024-1234567")] {
            let mut out = Vec::new();
            assert!(vulnerability(&mut out, &head(1), given), "{given}");
            let object = read(&out);
            assert_eq!((&object["type"], &object["name"]), (&json!("vulnerability"), &json!(written)));
            assert_eq!(object["external_references"], json!([{ "source_name": "cve", "external_id": written }]));
        }
    }

    #[test]
    fn what_is_no_id_is_not_written() {
        let mut out = Vec::new();
        for id in ["", "T156", "TA0001", "T1566.1", "T1566\",\"x\":\"", "CAPEC-1", "S0002"] {
            assert!(!attack_pattern(&mut out, &head(1), id, None), "{id}");
        }
        for id in ["", "CVE-2021-1", "CVE-2021-00012", "GHSA-1", "CVE-2021-12x4", "2021-44228"] {
            assert!(!vulnerability(&mut out, &head(1), id), "{id}");
        }
        assert_eq!(out, b"");
        assert!(is_technique("T1566.001") && !is_technique("t1566.001") && !is_technique("TA0001"));
        assert!(is_cve("CVE-2021-0001") && !is_cve("cve-2021-44228") && !is_cve("CVE-2021-00012"));
    }

    #[test]
    fn an_indicator_indicates_malware_and_techniques_and_is_related_to_vulnerabilities() {
        for (target, kind) in [("malware--x", "indicates"), ("attack-pattern--x", "indicates"), ("vulnerability--x", "related-to")] {
            let mut out = Vec::new();
            relationship(&mut out, &Head { revoked: true, ..head(1) }, "indicator--x", target);
            let object = read(&out);
            assert_eq!((&object["relationship_type"], &object["target_ref"], &object["revoked"]), (&json!(kind), &json!(target), &json!(true)));
        }
    }

    #[test]
    fn what_is_written_beside_an_indicator_is_read_with_it() {
        let mut objects = vec![Vec::new(); 7];
        let written = Indicator {
            id: shaped(7),
            creator: shaped(2),
            kind: ObservableType::Domain,
            value: "a.example.com",
            created: MOMENT,
            modified: MOMENT,
            revoked: false,
            category: Category::C2Server,
            malware: None,
            pap: Pap::Green,
            tlp: Tlp::Green,
            confidence: None,
            first_seen: MOMENT,
            last_seen: MOMENT,
            valid_until: None,
            sectors: &[],
            warning_lists: &[],
            reserved: false,
        };
        assert!(indicator(&mut objects[0], &written));
        malware(&mut objects[1], &head(11), "Emotet");
        assert!(attack_pattern(&mut objects[2], &head(12), "T1071.001", None) && vulnerability(&mut objects[3], &head(13), "CVE-2024-3400"));
        for (place, (kind, id)) in [("malware", 11), ("attack-pattern", 12), ("vulnerability", 13)].into_iter().enumerate() {
            let (source, target) = (format!("indicator--{}", shaped(7)), format!("{kind}--{}", shaped(id)));
            relationship(&mut objects[4 + place], &head(20 + place as u128), &source, &target);
        }
        let objects: Vec<Value> = objects.iter().map(|object| read(object)).collect();
        let bundle = json!({ "type": "bundle", "id": format!("bundle--{}", shaped(30)), "objects": objects }).to_string();
        let defaults = Defaults { now: MOMENT, tlp: Tlp::Amber, pap: Pap::Green, named: false, category: None, origin: None, role: None };
        let parsed = parse_document(Format::Stix, bundle.as_bytes(), &defaults);
        let event = parsed.events.iter().find(|event| event.malware.is_some()).unwrap_or_else(|| panic!("{:?}", parsed.refusals));
        let details = event.details.as_deref().unwrap();
        assert_eq!(event.malware.as_deref(), Some("Emotet"));
        assert_eq!(details.technique, ["T1071.001"]);
        assert_eq!(details.cve, ["CVE-2024-3400"]);
    }
}
