//! Observables as STIX cyber-observable objects, with the ids that the standard works out of their content.
//!
//! Source: OASIS STIX 2.1, section 2.9 (deterministic identifiers) and section 6.

use model::ObservableType;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The namespace of identifiers that follow from the content.
pub(in crate::stix) const NAMESPACE: Uuid = Uuid::from_u128(0x00ab_edb4_aa42_466c_9c01_fed2_3315_a9b7);

/// The id of the observable of a value in canonical form; `None` for types that the standard has no observable for.
pub fn observable_id(kind: ObservableType, value: &str) -> Option<String> {
    let (name, fields) = content(kind, value)?;
    Some(id(name, &fields))
}

/// The observable of a value in canonical form.
pub fn observable(kind: ObservableType, value: &str) -> Option<Value> {
    let (name, fields) = content(kind, value)?;
    let id = id(name, &fields);
    let mut object = Map::new();
    object.insert("type".to_owned(), json!(name));
    object.insert("spec_version".to_owned(), json!("2.1"));
    object.insert("id".to_owned(), json!(id));
    object.extend(fields);
    Some(Value::Object(object))
}

/// All of what is written contributes to the id. Names are in order and texts are escaped as canonical JSON (RFC 8785) wants them.
fn id(name: &str, fields: &Map<String, Value>) -> String {
    let sorted: std::collections::BTreeMap<&String, &Value> = fields.iter().collect();
    let canonical = serde_json::to_string(&sorted).unwrap_or_default();
    format!("{name}--{}", Uuid::new_v5(&NAMESPACE, canonical.as_bytes()))
}

fn content(kind: ObservableType, value: &str) -> Option<(&'static str, Map<String, Value>)> {
    let (name, content) = match kind {
        ObservableType::Ipv4 => ("ipv4-addr", json!({ "value": value })),
        ObservableType::Ipv6 => ("ipv6-addr", json!({ "value": value })),
        ObservableType::Cidr if value.contains(':') => ("ipv6-addr", json!({ "value": value })),
        ObservableType::Cidr => ("ipv4-addr", json!({ "value": value })),
        ObservableType::Domain => ("domain-name", json!({ "value": value })),
        ObservableType::Url => ("url", json!({ "value": value })),
        ObservableType::Email => ("email-addr", json!({ "value": value })),
        ObservableType::Mac => ("mac-addr", json!({ "value": value })),
        ObservableType::Md5 => ("file", json!({ "hashes": { "MD5": value } })),
        ObservableType::Sha1 => ("file", json!({ "hashes": { "SHA-1": value } })),
        ObservableType::Sha256 => ("file", json!({ "hashes": { "SHA-256": value } })),
        ObservableType::Sha512 => ("file", json!({ "hashes": { "SHA-512": value } })),
        ObservableType::Ssdeep => ("file", json!({ "hashes": { "SSDEEP": value } })),
        ObservableType::Filename => ("file", json!({ "name": value })),
        ObservableType::Asn => ("autonomous-system", json!({ "number": value.parse::<u32>().ok()? })),
        ObservableType::X509Sha1 => ("x509-certificate", json!({ "hashes": { "SHA-1": value } })),
        ObservableType::X509Sha256 => ("x509-certificate", json!({ "hashes": { "SHA-256": value } })),
        ObservableType::Cve | ObservableType::UserAgent | ObservableType::Ja3 | ObservableType::Bitcoin | ObservableType::Phone => return None,
    };
    match content {
        Value::Object(fields) => Some((name, fields)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_that_the_reference_library_gives() {
        const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (kind, value, id) in [
            (ObservableType::Ipv4, "203.0.113.5", "ipv4-addr--826fe3cb-56b0-5620-9d30-4c17ed7b24e3"),
            (ObservableType::Domain, "a.b", "domain-name--c881cc87-9492-5f10-845d-de0664f0453f"),
            (ObservableType::Sha256, EMPTY, "file--22f8ff52-8f62-5f03-a53a-6f50f54fd74c"),
            (ObservableType::Filename, "evil.exe", "file--3974613c-1980-5209-8f08-17920a04da04"),
            (ObservableType::Asn, "64500", "autonomous-system--0a5f7072-df00-5729-9f0a-4eb18631a446"),
            (ObservableType::X509Sha1, "da39a3ee5e6b4b0d3255bfef95601890afd80709", "x509-certificate--fa6e66a5-f019-51f9-8ab5-812023e58c6e"),
        ] {
            assert_eq!(observable_id(kind, value).as_deref(), Some(id));
            assert_eq!(observable(kind, value).unwrap()["id"], id);
        }
        assert_eq!(observable_id(ObservableType::Phone, "+8221234567"), None);
    }
}
