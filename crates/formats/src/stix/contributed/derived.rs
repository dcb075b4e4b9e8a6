//! Ids that follow from an observable's content, and whether one fits it.
//!
//! Flow: id of UUID version 5 and a type that the standard gives contributing properties for → those that the object has, as canonical JSON → the id
//! that follows → the object's own.
//! Invariant: an id is found wrong only where every reading of the rule gives another one. Where libraries have read it differently, and of several
//! hashes, each reading counts; what cannot be written in one canonical form is not judged.
//! Not here: ids of objects that the hub makes ([`super::super::write::observable_id`]).
//!
//! Source: OASIS STIX 2.1, section 2.9 and the contributing properties of each type in section 6; RFC 8785 (canonical JSON).

use super::super::lenient;
use super::super::write::NAMESPACE;
use serde_json::{Map, Value};
use uuid::Uuid;

/// The types whose ids can follow from their content, with what contributes. Processes have nothing that does.
const CONTRIBUTING: [(&str, &[&str]); 17] = [
    ("artifact", &["hashes", "payload_bin"]),
    ("autonomous-system", &["number"]),
    ("directory", &["path"]),
    ("domain-name", &["value"]),
    ("email-addr", &["value"]),
    ("email-message", &["from_ref", "subject", "body"]),
    ("file", &["hashes", "name", "parent_directory_ref", "extensions"]),
    ("ipv4-addr", &["value"]),
    ("ipv6-addr", &["value"]),
    ("mac-addr", &["value"]),
    ("mutex", &["name"]),
    ("network-traffic", &["start", "end", "src_ref", "dst_ref", "src_port", "dst_port", "protocols", "extensions"]),
    ("software", &["name", "cpe", "swid", "vendor", "version"]),
    ("url", &["value"]),
    ("user-account", &["account_type", "user_id", "account_login"]),
    ("windows-registry-key", &["key", "values"]),
    ("x509-certificate", &["hashes", "serial_number"]),
];
/// Properties that drafts of the standard did not count, and libraries of their time do not.
const LATER: [&str; 2] = ["parent_directory_ref", "swid"];
/// The hash that counts: the first of these, else any.
const HASHES: [&str; 4] = ["MD5", "SHA-1", "SHA-256", "SHA-512"];
/// Hashes that are tried by themselves, at the most.
const MAX_HASHES: usize = 8;
/// Integers past this have no canonical form of their own: they are doubles in RFC 8785.
const EXACT: u64 = 1 << 53;
/// How deep a value that contributes may be nested.
const MAX_DEPTH: usize = 32;

/// Whether an object's id is one that can be its.
pub(super) fn fits(id: &str, kind: &str, raw: &str) -> bool {
    let uuid = id.strip_prefix(kind).and_then(|rest| rest.strip_prefix("--")).and_then(|uuid| Uuid::try_parse(uuid).ok());
    let Some(uuid) = uuid.filter(|uuid| uuid.get_version_num() == 5) else { return true };
    let Some((_, names)) = CONTRIBUTING.iter().find(|(of, _)| *of == kind) else { return true };
    let Ok(fields) = lenient::fields(raw) else { return true };
    // Without any of them the standard asks for another kind of UUID; there is nothing to hold this one against.
    if !names.iter().any(|name| fields.contains_key(*name)) {
        return true;
    }
    let all: Vec<&str> = names.to_vec();
    let before: Vec<&str> = names.iter().copied().filter(|name| !LATER.contains(name)).collect();
    let readings = if before.len() < all.len() { vec![all, before] } else { vec![all] };
    let hashes = fields.get("hashes").map(hash_choices).unwrap_or_default();
    for reading in &readings {
        let choices: Vec<Option<&Value>> = if hashes.is_empty() { vec![None] } else { hashes.iter().map(Some).collect() };
        for hash in choices {
            match derived(&fields, reading, hash) {
                Some(derived) if derived != uuid => {}
                // Fitting, or not to be judged.
                Some(_) | None => return true,
            }
        }
    }
    false
}

/// What may stand for a dictionary of hashes: the one that counts first, then each other, then all together.
fn hash_choices(hashes: &Value) -> Vec<Value> {
    let Some(given) = hashes.as_object() else { return Vec::new() };
    let alone = |name: &str, value: &Value| Value::Object(Map::from_iter([(name.to_owned(), value.clone())]));
    let mut choices: Vec<Value> = HASHES.iter().filter_map(|name| Some(alone(name, given.get(*name)?))).take(1).collect();
    choices.extend(given.iter().take(MAX_HASHES).map(|(name, value)| alone(name, value)));
    choices.push(hashes.clone());
    choices
}

/// The UUID that follows; `None` where the content has no one canonical form.
fn derived(fields: &Map<String, Value>, names: &[&str], hash: Option<&Value>) -> Option<Uuid> {
    let mut given: Vec<(&str, &Value)> = names.iter().filter_map(|name| Some((*name, fields.get(*name)?))).collect();
    given.sort_unstable_by_key(|(name, _)| *name);
    let mut out = String::from("{");
    for (name, value) in given {
        let value = if name == "hashes" { hash.unwrap_or(value) } else { value };
        begin(&mut out, name);
        canonical(&mut out, value, 0)?;
    }
    out.push('}');
    Some(Uuid::new_v5(&NAMESPACE, out.as_bytes()))
}

/// Begins a property; every one but the first has a comma before it.
fn begin(out: &mut String, name: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push_str(&quoted(name));
    out.push(':');
}

/// Texts are escaped as RFC 8785 wants them.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn canonical(out: &mut String, value: &Value, depth: usize) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    match value {
        // STIX knows no null.
        Value::Null => return None,
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => {
            let exact = number.as_i64().is_some_and(|number| number.unsigned_abs() <= EXACT) || number.as_u64().is_some_and(|number| number <= EXACT);
            // Fractions are written in as many ways as there are libraries.
            if !exact {
                return None;
            }
            out.push_str(&number.to_string());
        }
        Value::String(text) => out.push_str(&quoted(text)),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                canonical(out, item, depth + 1)?;
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            // Names are in the order of UTF-16, which differs from ours past ASCII.
            if fields.iter().any(|(name, _)| !name.is_ascii()) {
                return None;
            }
            fields.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (name, value) in fields {
                begin(out, name);
                canonical(out, value, depth + 1)?;
            }
            out.push('}');
        }
    }
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    fn is_fit(uuid: &str, object: &Value) -> bool {
        let kind = object["type"].as_str().unwrap();
        fits(&format!("{kind}--{uuid}"), kind, &object.to_string())
    }

    #[test]
    fn an_id_of_every_type_is_held_against_what_contributes_to_it() {
        let registry = json!([{ "name": "Foo", "data": "qwerty", "data_type": "REG_SZ" }]);
        for (uuid, object) in [
            (
                "e0ff9b1f-19b8-5203-a90d-b4efa608aec3",
                json!({ "type": "file", "hashes": { "MD5": "d41d8cd98f00b204e9800998ecf8427e" }, "name": "한글.exe", "size": 7 }),
            ),
            (
                "b6b261ef-6056-5281-8a06-2a4442673102",
                json!({ "type": "network-traffic", "src_ref": "ipv4-addr--826fe3cb-56b0-5620-9d30-4c17ed7b24e3", "dst_port": 443, "protocols": ["ipv4", "tcp"] }),
            ),
            ("44b70a8f-a279-5869-b913-a8a56fb9f87f", json!({ "type": "windows-registry-key", "key": "HKEY_LOCAL_MACHINE\\System\\Foo", "values": registry })),
            ("f7dd848c-9850-584f-bf18-b7f2f17e601f", json!({ "type": "user-account", "user_id": "1001", "account_login": "lee", "account_type": "unix" })),
            ("33542f21-f107-5ff5-bf18-d2f2cb70c7f7", json!({ "type": "software", "name": "Word", "vendor": "Microsoft", "version": "2010" })),
            ("f93fe911-e545-5239-b9b0-597840d0c871", json!({ "type": "mutex", "name": "__CLEANSWEEP__" })),
            ("0a58d0c1-59e6-5afd-8252-dcd3f13e5622", json!({ "type": "directory", "path": "C:\\Windows\\System32" })),
            ("1f5b1fa6-6ec7-5da0-a726-823f812dc514", json!({ "type": "email-message", "subject": "Hi\n", "body": "x", "is_multipart": false })),
            ("c45ea443-8207-5741-8844-00429bee0249", json!({ "type": "artifact", "hashes": { "SHA-256": "ab" }, "payload_bin": "eA==" })),
            ("49b8d2de-8f58-587b-bd29-99194ed203b4", json!({ "type": "x509-certificate", "hashes": { "SSDEEP": "3:x" }, "serial_number": "36:f7" })),
            ("0a5f7072-df00-5729-9f0a-4eb18631a446", json!({ "type": "autonomous-system", "number": 64_500, "name": "Any" })),
            ("826fe3cb-56b0-5620-9d30-4c17ed7b24e3", json!({ "type": "ipv4-addr", "value": "203.0.113.5" })),
        ] {
            assert!(is_fit(uuid, &object), "{object}");
            let wrong = "826fe3cb-56b0-5620-9d30-4c17ed7b24e4";
            assert!(!is_fit(wrong, &object), "{object}");
        }
        assert_eq!(CONTRIBUTING.iter().filter(|(_, names)| names.is_empty()).count(), 0);
    }

    #[test]
    fn every_reading_of_the_rule_fits() {
        let word = json!({ "type": "software", "name": "Word", "vendor": "Microsoft", "version": "2010", "swid": "x" });
        for uuid in ["3593ce95-bdec-58de-aa59-f5d2161d58f3", "33542f21-f107-5ff5-bf18-d2f2cb70c7f7"] {
            assert!(is_fit(uuid, &word), "{uuid}");
        }
        let more = json!({ "type": "file", "hashes": { "SHA-256": "ab", "MD5": "d41d8cd98f00b204e9800998ecf8427e" }, "name": "한글.exe" });
        assert!(is_fit("e0ff9b1f-19b8-5203-a90d-b4efa608aec3", &more), "one hash counts");
    }

    #[test]
    fn what_cannot_be_judged_is_not() {
        let any = "826fe3cb-56b0-5620-9d30-4c17ed7b24e4";
        for object in [
            json!({ "type": "process", "pid": 7 }),
            json!({ "type": "x-own", "value": "y" }),
            json!({ "type": "file", "size": 7 }),
            json!({ "type": "network-traffic", "protocols": ["tcp"], "extensions": { "x": { "score": 0.1 } } }),
            json!({ "type": "network-traffic", "protocols": ["tcp"], "extensions": { "값": {} } }),
        ] {
            assert!(is_fit(any, &object), "{object}");
        }
        assert!(is_fit("826fe3cb-56b0-4620-9d30-4c17ed7b24e4", &json!({ "type": "ipv4-addr", "value": "203.0.113.5" })), "a random id needs no content");
    }
}
