//! Schemas of bodies, each written once; here the parts they are made of.
//!
//! Invariant: what a request must hold and may hold is said exactly, for the bodies are read strictly; answers may grow fields.

mod answers;
mod delivery;
mod findings;
mod members;
mod misp;
mod requests;
mod sources;
mod taxii;

use super::reference;
use hub::members::{ContactState, NetworkState};
use model::FindingState;
use model::category::Category;
use model::event::Origin;
use model::marking::Tlp;
use model::observable::{ObservableType, Role};
use serde_json::{Map, Value, json};

/// Every schema of the document, by name.
pub fn all() -> Map<String, Value> {
    let mut schemas = Map::new();
    for (name, schema) in requests::all()
        .into_iter()
        .chain(answers::all())
        .chain(members::all())
        .chain(taxii::all())
        .chain(misp::all())
        .chain(findings::all())
        .chain(delivery::all())
        .chain(sources::all())
    {
        schemas.insert(name.to_owned(), schema);
    }
    schemas
}

/// A schema and its name.
type Named = (&'static str, Value);

/// An object that holds nothing but the named fields.
fn strict(required: &[&str], properties: Value) -> Value {
    let mut schema = open(required, properties);
    if let Value::Object(fields) = &mut schema {
        fields.insert("additionalProperties".to_owned(), json!(false));
    }
    schema
}

/// An object that may grow fields.
fn open(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

fn page(name: &str, item: &str) -> Value {
    open(&[name, "cursor"], json!({ (name): array(reference(item)), "cursor": optional(json!({ "type": "string" })) }))
}

fn array(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn optional(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn text(max: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": max, "pattern": "^[^\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f]*$" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn percent() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": 100 })
}

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Value {
    let words: Vec<&str> = all.iter().map(|value| word(*value)).collect();
    json!({ "type": "string", "enum": words })
}

/// A sequence number.
pub fn seq() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": model::Seq::LIMIT - 1 })
}

/// An id behind its prefix.
pub fn id(prefix: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^{prefix}_[0-9a-f]{{32}}$") })
}

/// A moment.
pub fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// Categories of events.
pub fn categories() -> Value {
    words(Category::ALL, Category::as_str)
}

/// States of findings.
pub fn finding_states() -> Value {
    words(FindingState::ALL, FindingState::as_str)
}

/// States of contacts.
pub fn contact_states() -> Value {
    words(ContactState::ALL, ContactState::as_str)
}

/// States of registrations.
pub fn network_states() -> Value {
    words(NetworkState::ALL, NetworkState::as_str)
}

/// Types of observables.
pub fn observable_types() -> Value {
    words(ObservableType::ALL, ObservableType::as_str)
}

/// Markings.
pub fn tlp() -> Value {
    words(Tlp::ALL, Tlp::as_str)
}

/// Origins of events.
pub fn origins() -> Value {
    words(Origin::ALL, Origin::as_str)
}

/// Roles of observables.
pub fn roles_of_observables() -> Value {
    words(Role::ALL, Role::as_str)
}
