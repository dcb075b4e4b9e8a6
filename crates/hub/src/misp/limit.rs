//! What of an event is for its owner and those who see everything alone.
//!
//! Invariant: nothing inside of an event is shown further than its own distribution says, whatever it is.

use super::fields::{Fields, flag, number, number_of, set, text};
use policy::Sight;
use serde_json::Value;

/// Takes out what is for the owner and those who see everything alone: who is in a sharing group, what inside is shared less far, what references
/// repeat of parts that may be hidden, and local tags, which no instance gets.
pub(super) fn limit(shown: &mut Fields, sight: Sight, sync: bool) {
    if !sight.sees_victims() {
        shown.remove("SharingGroup");
        let outer = number(shown, "distribution").unwrap_or(0);
        narrow(shown, outer);
        // Instances write what is referred to into a reference, value and all; who sees that is decided where it stands.
        let references = shown.get_mut("ObjectReference").and_then(Value::as_array_mut).into_iter().flatten();
        for reference in references.filter_map(Value::as_object_mut) {
            reference.retain(|_, value| !value.is_object() && !value.is_array());
        }
    }
    if (sync || !sight.sees_victims())
        && let Some(Value::Array(tags)) = shown.get_mut("Tag")
    {
        tags.retain(|tag| tag.as_object().is_none_or(|tag| flag(tag, "local") != Some(true)));
    }
    if text(shown, "distribution").is_none() {
        set(shown, "distribution", "1");
    }
}

/// Takes out what has a distribution of its own that is narrower than that of what it is in: reports, notes, clusters.
fn narrow(fields: &mut Fields, outer: i64) {
    // Who sees attributes and objects is decided on each of them.
    let is_part = |name: &str| matches!(name, "Attribute" | "Object");
    fields.retain(|name, value| is_part(name) || reaches(value, outer));
    fields.iter_mut().filter(|(name, _)| !is_part(name)).for_each(|(_, value)| narrow_value(value, outer));
}

fn narrow_value(value: &mut Value, outer: i64) {
    match value {
        Value::Array(list) => {
            list.retain(|entry| reaches(entry, outer));
            list.iter_mut().for_each(|entry| narrow_value(entry, outer));
        }
        Value::Object(fields) => narrow(fields, outer),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether something inside reaches as far as what it is in, by its own distribution where it has one. A group of its own is nobody's here.
fn reaches(value: &Value, outer: i64) -> bool {
    match value.get("distribution") {
        None | Some(Value::Null) => true,
        Some(level) => match number_of(level) {
            Some(3 | 5) => true,
            Some(level @ (1 | 2)) => (1..=level).contains(&outer),
            Some(_) | None => false,
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        super::super::fields::object(value).unwrap()
    }

    #[test]
    fn local_tags_and_the_members_of_a_group_are_for_the_owner_alone() {
        let event = json!({ "Tag": [{ "name": "a", "local": true }, { "name": "b", "local": false }], "SharingGroup": {} });
        let seen = |sight, sync| {
            let mut shown = fields(event.clone());
            limit(&mut shown, sight, sync);
            (shown["Tag"].as_array().unwrap().len(), shown.contains_key("SharingGroup"))
        };
        assert_eq!(seen(Sight::Own, false), (2, true));
        assert_eq!(seen(Sight::Own, true), (1, true));
        assert_eq!(seen(Sight::WithoutVictims, false), (1, false));
    }

    #[test]
    fn what_is_inside_and_shared_less_far_is_for_the_owner_alone() {
        let event = json!({ "distribution": "2", "EventReport": [{ "name": "a", "distribution": "0" }, { "name": "b", "distribution": "5" },
            { "name": "c", "distribution": 1 }, { "name": "d", "distribution": 4 }], "Galaxy": [{ "GalaxyCluster": [{ "distribution": "0" }, { "value": "x" }] }],
            "Note": { "distribution": 0 }, "ObjectReference": [{ "referenced_uuid": "u", "Attribute": { "value": "hidden" } }] });
        let seen = |sight| {
            let mut shown = fields(event.clone());
            limit(&mut shown, sight, false);
            Value::Object(shown)
        };
        assert_eq!(seen(Sight::Own), event);
        let shown = seen(Sight::WithoutVictims);
        assert_eq!(shown["EventReport"], json!([{ "name": "b", "distribution": "5" }]));
        assert_eq!((&shown["Galaxy"][0]["GalaxyCluster"], shown.get("Note")), (&json!([{ "value": "x" }]), None));
        assert_eq!((&shown["ObjectReference"], &shown["distribution"]), (&json!([{ "referenced_uuid": "u" }]), &json!("2")));
    }
}
