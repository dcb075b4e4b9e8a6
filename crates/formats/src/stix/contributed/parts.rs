//! Takes parts out of an object, and out of what its granular markings say.
//!
//! Invariant: what is left is an object of its type; selectors that are left select what they selected before.
//!
//! Source: OASIS STIX 2.1, section 7.2.3.1 (selectors).

use serde_json::Value;

/// Properties without which an object of any type, or of the types named, is none.
const REQUIRED: &[(&str, &[&str])] = &[
    ("type", &[]),
    ("id", &[]),
    ("spec_version", &[]),
    ("created", &[]),
    ("modified", &[]),
    ("pattern", &["indicator"]),
    ("pattern_type", &["indicator"]),
    ("valid_from", &["indicator"]),
    ("relationship_type", &["relationship"]),
    ("source_ref", &["relationship"]),
    ("target_ref", &["relationship"]),
    ("sighting_of_ref", &["sighting"]),
    ("first_observed", &["observed-data"]),
    ("last_observed", &["observed-data"]),
    ("number_observed", &["observed-data"]),
    ("object_refs", &["grouping", "note", "opinion", "report"]),
    ("context", &["grouping"]),
    ("content", &["note"]),
    ("opinion", &["opinion"]),
    ("published", &["report"]),
    ("product", &["malware-analysis"]),
    ("is_family", &["malware"]),
    (
        "name",
        &["attack-pattern", "campaign", "course-of-action", "identity", "infrastructure", "intrusion-set", "report", "threat-actor", "tool", "vulnerability"],
    ),
    ("value", &["domain-name", "email-addr", "ipv4-addr", "ipv6-addr", "mac-addr", "url"]),
    ("number", &["autonomous-system"]),
    ("path", &["directory"]),
    ("protocols", &["network-traffic"]),
];

/// Removes what the selectors select. `None` where what is left is no object of its type.
pub(super) fn remove(object: &mut Value, selectors: &[&str]) -> Option<()> {
    let required: Vec<&str> = required(object);
    for selector in selectors {
        if let Some(place) = find(object, selector) {
            // STIX knows no null: it stands for what goes, so that positions hold until all is marked.
            *place = Value::Null;
        }
    }
    let granular = object.as_object_mut()?.remove("granular_markings");
    let granular = granular.map(|granular| kept_markings(object, granular));
    prune(object);
    if let Some(granular) = granular.filter(|granular| granular.as_array().is_some_and(|list| !list.is_empty())) {
        object.as_object_mut()?.insert("granular_markings".to_owned(), granular);
    }
    required.iter().all(|name| object.get(name).is_some()).then_some(())
}

/// The properties that the object has and may not lose.
fn required(object: &Value) -> Vec<&'static str> {
    let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
    let needed = REQUIRED.iter().filter(|(name, kinds)| (kinds.is_empty() || kinds.contains(&kind)) && object.get(name).is_some());
    needed.map(|(name, _)| *name).collect()
}

/// The place that a selector selects.
fn find<'a>(object: &'a mut Value, selector: &str) -> Option<&'a mut Value> {
    let mut place = object;
    for step in selector.split('.') {
        place = match index(step) {
            Some(index) => place.as_array_mut()?.get_mut(index)?,
            None => place.as_object_mut()?.get_mut(step)?,
        };
    }
    Some(place)
}

/// `[7]` is 7.
fn index(step: &str) -> Option<usize> {
    step.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// The granular markings whose parts are left, with the positions they will have.
fn kept_markings(object: &Value, granular: Value) -> Value {
    let Value::Array(list) = granular else { return granular };
    let kept = list.into_iter().filter_map(|mut marking| {
        let selectors = marking.get("selectors")?.as_array()?;
        let moved: Vec<Value> = selectors.iter().filter_map(Value::as_str).filter_map(|selector| moved(object, selector)).map(Value::from).collect();
        if moved.is_empty() {
            return None;
        }
        marking.as_object_mut()?.insert("selectors".to_owned(), Value::Array(moved));
        Some(marking)
    });
    Value::Array(kept.collect())
}

/// A selector after what is marked has gone; `None` where it selects something of that.
fn moved(object: &Value, selector: &str) -> Option<String> {
    let mut place = object;
    let mut steps = Vec::new();
    for step in selector.split('.') {
        if let Some(index) = index(step) {
            let list = place.as_array()?;
            place = list.get(index)?;
            let before = list.iter().take(index).filter(|item| !item.is_null()).count();
            steps.push(format!("[{before}]"));
        } else {
            place = place.as_object()?.get(step)?;
            steps.push(step.to_owned());
        }
        if place.is_null() {
            return None;
        }
    }
    Some(steps.join("."))
}

/// Takes out nulls, and what is empty without them.
fn prune(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(prune);
            items.retain(|item| !is_nothing(item));
        }
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, field| !is_nothing(field));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parts_are_gone_and_what_is_left_keeps_its_markings() {
        let mut object = json!({
            "type": "tool", "id": "tool--1", "name": "nmap", "description": "secret", "labels": ["a", "b", "c"],
            "external_references": [{ "source_name": "x", "url": "secret" }],
            "extensions": { "e": { "only": "secret" } },
            "granular_markings": [
                { "marking_ref": "red", "selectors": ["description", "labels.[1]", "external_references.[0].url", "extensions.e.only"] },
                { "marking_ref": "green", "selectors": ["labels.[2]", "labels.[1]", "name"] }
            ]
        });
        let hidden = ["description", "labels.[1]", "external_references.[0].url", "extensions.e.only"];
        assert_eq!(remove(&mut object, &hidden), Some(()));
        assert_eq!(
            object,
            json!({
                "type": "tool", "id": "tool--1", "name": "nmap", "labels": ["a", "c"], "external_references": [{ "source_name": "x" }],
                "granular_markings": [{ "marking_ref": "green", "selectors": ["labels.[1]", "name"] }]
            })
        );
    }

    #[test]
    fn an_object_is_hidden_where_it_would_not_be_whole() {
        for (kind, selector) in [("tool", "name"), ("indicator", "pattern"), ("tool", "id"), ("ipv4-addr", "value")] {
            let mut object = json!({ "type": kind, "id": "1", "name": "n", "pattern": "p", "value": "v" });
            assert_eq!(remove(&mut object, &[selector]), None, "{kind} {selector}");
        }
        let mut malware = json!({ "type": "malware", "id": "1", "name": "n" });
        assert_eq!(remove(&mut malware, &["name"]), Some(()));
    }

    #[test]
    fn what_selects_nothing_removes_nothing() {
        let mut object = json!({ "type": "tool", "id": "1", "name": "n", "labels": ["a"] });
        let before = object.clone();
        assert_eq!(remove(&mut object, &["labels.[7]", "nowhere.at.all", "name.x", "", "[0]"]), Some(()));
        assert_eq!(object, before);
    }
}
