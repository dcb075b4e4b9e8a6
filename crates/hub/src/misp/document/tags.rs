//! Tags of events, attributes and objects.
//!
//! Invariant: a tag is there once, whatever case its name is written in.

use crate::HubError;
use crate::misp::fields::{Fields, flag, set, text, wrong};
use crate::misp::people::tag_number;
use crate::misp::{MAX_TAG, MAX_TAGS};
use serde_json::{Value, json};

/// The tags of a request.
pub(super) fn tags_of(given: &mut Fields) -> Vec<Value> {
    match given.remove("Tag") {
        Some(Value::Array(list)) => list,
        Some(one @ (Value::Object(_) | Value::String(_))) => vec![one],
        _ => Vec::new(),
    }
}

/// Adds the tags of a request to those that are there, and takes out those that it marks as deleted.
pub(super) fn merge_tags(fields: &mut Fields, given: Vec<Value>) -> Result<(), HubError> {
    let mut tags: Vec<Value> = fields.remove("Tag").and_then(|tags| tags.as_array().cloned()).unwrap_or_default();
    for entry in given {
        let (name, local, deleted, more) = match entry {
            Value::String(name) => (Some(name.trim().to_owned()), false, false, Fields::new()),
            Value::Object(entry) => (text(&entry, "name"), flag(&entry, "local") == Some(true), flag(&entry, "deleted") == Some(true), entry),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => continue,
        };
        let Some(name) = name.filter(|name| !name.is_empty()) else { continue };
        if deleted {
            tags.retain(|there| !is_named(there, &name));
        } else if !tags.iter().any(|there| is_named(there, &name)) {
            tags.push(tag(&name, local, &more)?);
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(HubError::TooLarge { limit: MAX_TAGS as u64, unit: "tags" });
    }
    set(fields, "Tag", tags);
    Ok(())
}

/// Adds a tag; false where it is there.
pub(in crate::misp) fn add_tag(fields: &mut Fields, name: &str, local: bool, relationship: Option<&str>) -> Result<bool, HubError> {
    let there = fields.get("Tag").and_then(Value::as_array).is_some_and(|tags| tags.iter().any(|tag| is_named(tag, name)));
    let mut more = Fields::new();
    set(&mut more, "name", name);
    set(&mut more, "local", local);
    set(&mut more, "relationship_type", relationship.unwrap_or_default());
    merge_tags(fields, vec![Value::Object(more)])?;
    Ok(!there)
}

/// Takes a tag out; false where it is not there.
pub(in crate::misp) fn remove_tag(fields: &mut Fields, name: &str) -> bool {
    let Some(Value::Array(tags)) = fields.get_mut("Tag") else { return false };
    let before = tags.len();
    tags.retain(|tag| !is_named(tag, name));
    tags.len() < before
}

/// The name of a tag as it is kept.
pub(in crate::misp) fn tag_name(tag: &Value) -> Option<&str> {
    tag.get("name").and_then(Value::as_str)
}

fn is_named(tag: &Value, name: &str) -> bool {
    tag_name(tag).is_some_and(|there| there.eq_ignore_ascii_case(name))
}

/// A tag in MISP's form.
pub(in crate::misp) fn tag(name: &str, local: bool, given: &Fields) -> Result<Value, HubError> {
    if name.len() > MAX_TAG || name.chars().any(char::is_control) {
        return Err(wrong("Tag", format!("a tag's name has at most {MAX_TAG} bytes and no control characters")));
    }
    let colour = text(given, "colour").filter(|colour| colour.len() <= 7).unwrap_or_else(|| colour_of(name).to_owned());
    let relationship = text(given, "relationship_type").filter(|word| word.len() <= MAX_TAG).unwrap_or_default();
    Ok(json!({
        "id": tag_number(name).to_string(),
        "name": name,
        "colour": colour,
        "exportable": true,
        "user_id": "0",
        "hide_tag": false,
        "numerical_value": null,
        "is_galaxy": name.starts_with("misp-galaxy:"),
        "is_custom_galaxy": false,
        "local_only": false,
        "local": local,
        "relationship_type": relationship,
    }))
}

fn colour_of(name: &str) -> &'static str {
    model::Tlp::parse(name).filter(|_| name.starts_with("tlp:")).map_or(formats::misp::feed::PLAIN, formats::misp::feed::colour)
}
