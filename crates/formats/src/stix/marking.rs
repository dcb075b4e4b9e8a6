//! Markings of STIX objects: TLP 1, TLP 2.0 and PAP, by well-known id or by definition in the same document.
//!
//! Invariant: of several markings the strictest holds; a marking that cannot be resolved never makes an event laxer than amber.
//! Not here: what a marking allows (`policy`).
//!
//! Source: OASIS STIX 2.1 section 7.2.1.4 (TLP 1 ids); OASIS common objects, extension definition of TLP 2.0.

use super::lenient::{self, Fields};
use crate::Defaults;
use model::{Pap, Tlp};
use serde_json::Value;
use std::collections::HashMap;

/// The ids that TLP levels have in every document; `marking-definition--` before each.
const TLP_IDS: [(&str, Tlp); 10] = [
    ("613f2e26-407d-48c7-9eca-b8e91df99dc9", Tlp::Clear),
    ("34098fce-860f-48ae-8e50-ebd3cc5e41da", Tlp::Green),
    ("f88d31f6-486f-44da-b317-01333bde0b82", Tlp::Amber),
    ("5e57c739-391a-4eb3-b6be-7d15ca92d5ed", Tlp::Red),
    ("94868c89-83c2-464b-929b-a1a8aa3c8487", Tlp::Clear),
    ("bab4a63c-aed9-4cf5-a766-dfca5abac2bb", Tlp::Green),
    ("55d920b0-5e8b-4f79-9ee9-91f868d9b421", Tlp::Amber),
    ("939a9414-2ddd-4d32-a0cd-375ea402b003", Tlp::AmberStrict),
    ("e828b379-4e03-4974-9ac4-e53a884c97c1", Tlp::Red),
    // What OpenCTI writes for its own TLP:AMBER+STRICT.
    ("826578e1-40ad-459f-bc73-ede076f81f37", Tlp::AmberStrict),
];

/// What the markings of an object say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Marking {
    /// The strictest TLP level named.
    pub tlp: Option<Tlp>,
    /// The strictest PAP level named.
    pub pap: Option<Pap>,
    /// Whether one could not be resolved.
    pub unresolved: bool,
}

impl Marking {
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self { tlp: self.tlp.max(other.tlp), pap: self.pap.max(other.pap), unresolved: self.unresolved || other.unresolved }
    }

    /// The level that holds, with the sender's default where the object names none.
    pub(super) fn tlp(self, defaults: &Defaults) -> Tlp {
        let named = self.tlp.unwrap_or(defaults.tlp);
        if self.unresolved { named.max(Tlp::Amber) } else { named }
    }

    /// The permissible actions that hold.
    pub(super) fn pap(self, defaults: &Defaults) -> Pap {
        self.pap.unwrap_or(defaults.pap)
    }
}

/// Reads the markings of an object, those of its parts included: they apply to the whole event.
pub(super) fn of(fields: &Fields, definitions: &HashMap<String, Marking>) -> Marking {
    let parts = lenient::objects_of(fields, "granular_markings").into_iter().filter_map(|part| part.get("marking_ref").and_then(Value::as_str));
    lenient::texts_of(fields, "object_marking_refs")
        .into_iter()
        .chain(parts)
        .fold(Marking::default(), |marking, reference| marking.and(resolve(reference, definitions)))
}

/// What one reference says.
pub(super) fn resolve(reference: &str, definitions: &HashMap<String, Marking>) -> Marking {
    let id = reference.to_ascii_lowercase();
    let known = id.strip_prefix("marking-definition--").and_then(|uuid| TLP_IDS.iter().find(|(known, _)| *known == uuid)).map(|(_, tlp)| *tlp);
    if known.is_some() {
        return Marking { tlp: known, pap: None, unresolved: false };
    }
    definitions.get(&id).copied().unwrap_or(Marking { tlp: None, pap: None, unresolved: true })
}

/// Reads a `marking-definition` object. A statement or a policy of another kind names no level and is passed over.
pub(super) fn define(fields: &Fields) -> Marking {
    let mut marking = Marking::default();
    let definition = fields.get("definition").and_then(Value::as_object);
    let extensions = fields.get("extensions").and_then(Value::as_object);
    let inside = definition.into_iter().chain(extensions.into_iter().flat_map(|list| list.values().filter_map(Value::as_object)));
    for part in inside {
        for key in ["tlp", "TLP", "tlp_2_0"] {
            if let Some(word) = lenient::text_of(part, key) {
                marking = marking.and(tlp_marking(&word));
            }
        }
        if let Some(pap) = lenient::text_of(part, "pap").and_then(|word| Pap::parse(&word)) {
            marking.pap = marking.pap.max(Some(pap));
        }
    }
    for key in ["name", "x_opencti_definition"] {
        let Some(name) = lenient::text_of(fields, key) else { continue };
        if name.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("tlp:")) {
            marking = marking.and(tlp_marking(&name));
        } else if let Some(pap) = Pap::parse(&name).filter(|_| name.contains(':')) {
            marking.pap = marking.pap.max(Some(pap));
        }
    }
    marking
}

fn tlp_marking(word: &str) -> Marking {
    let tlp = tlp_word(word);
    Marking { tlp, pap: None, unresolved: tlp.is_none() }
}

/// The level that a word of a marking or tag names, in any case, with or without `tlp:`.
///
/// `ex:chr` is the Chatham House rule added to red. `unclear` and unknown levels are none.
pub(crate) fn tlp_word(word: &str) -> Option<Tlp> {
    /// Longer words are no level's.
    const MAX_WORD: usize = 32;
    let word: String = word.chars().take(MAX_WORD).filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
    let level = word.strip_prefix("tlp:").unwrap_or(&word);
    if level.starts_with("ex:") { Some(Tlp::Red) } else { Tlp::parse(level) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn marking(object: &str, definitions: &[&str]) -> Marking {
        let definitions = definitions
            .iter()
            .map(|definition| {
                let fields = lenient::fields(definition).unwrap();
                (fields["id"].as_str().unwrap().to_ascii_lowercase(), define(&fields))
            })
            .collect();
        of(&lenient::fields(object).unwrap(), &definitions)
    }

    #[test]
    fn the_strictest_marking_holds_and_parts_count_for_the_whole() {
        let clear_and_red = r#"{"object_marking_refs":["marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"],
            "granular_markings":[{"marking_ref":"marking-definition--E828B379-4E03-4974-9AC4-E53A884C97C1","selectors":["name"]}]}"#;
        assert_eq!(marking(clear_and_red, &[]), Marking { tlp: Some(Tlp::Red), pap: None, unresolved: false });
    }

    #[test]
    fn definitions_in_the_document_are_read() {
        let refers = r#"{"object_marking_refs":["marking-definition--00000000-0000-4000-8000-000000000001"]}"#;
        for (definition, expected) in [
            (r#""definition_type":"tlp","definition":{"tlp":"green"}"#, Marking { tlp: Some(Tlp::Green), ..Marking::default() }),
            (
                r#""definition_type":"TLP","name":"TLP:AMBER+STRICT","definition":{"TLP":"TLP:AMBER+STRICT"}"#,
                Marking { tlp: Some(Tlp::AmberStrict), ..Marking::default() },
            ),
            (
                r#""extensions":{"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d":{"extension_type":"property-extension","tlp_2_0":"amber"}}"#,
                Marking { tlp: Some(Tlp::Amber), ..Marking::default() },
            ),
            (r#""definition_type":"statement","definition":{"statement":"Copyright"}"#, Marking::default()),
            (r#""definition_type":"PAP","name":"PAP:RED""#, Marking { pap: Some(Pap::Red), ..Marking::default() }),
            (r#""definition_type":"tlp","definition":{"tlp":"mauve"}"#, Marking { unresolved: true, ..Marking::default() }),
        ] {
            let definition = format!(r#"{{"type":"marking-definition","id":"marking-definition--00000000-0000-4000-8000-000000000001",{definition}}}"#);
            assert_eq!(marking(refers, &[&definition]), expected, "{definition}");
        }
        assert_eq!(marking(refers, &[]), Marking { unresolved: true, ..Marking::default() });
    }

    #[test]
    fn words_of_tags_name_levels() {
        for (word, expected) in [
            ("tlp:white", Some(Tlp::Clear)),
            ("TLP:CLEAR", Some(Tlp::Clear)),
            ("TLP: AMBER + STRICT", Some(Tlp::AmberStrict)),
            ("tlp:ex:chr", Some(Tlp::Red)),
            ("red", Some(Tlp::Red)),
            ("tlp:unclear", None),
        ] {
            assert_eq!(tlp_word(word), expected, "{word}");
        }
    }
}
