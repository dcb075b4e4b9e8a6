#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::misp::fields::object;

const UUID: &str = "ab2b6e28-fda5-4282-bf60-22b81de77851";

fn moment(now: i64) -> Moment {
    Moment { now, today: "2026-11-21".to_owned() }
}

fn fields(value: Value) -> Fields {
    object(value).unwrap()
}

fn event(more: Value) -> Document {
    let mut given = fields(json!({ "info": "x", "Attribute": [{ "type": "ip-dst", "value": "198.51.100.1", "uuid": UUID, "timestamp": 50 }] }));
    given.extend(fields(more));
    Document::new(given, &moment(1_000)).unwrap()
}

#[test]
fn a_new_event_has_what_misp_gives_it_and_nothing_of_another_instance() {
    let mut document =
        event(json!({ "id": "7", "Org": {}, "x_own": [1], "Object": [{ "name": "file", "Attribute": [{ "type": "filename", "value": "a" }] }] }));
    assert_eq!((document.head["distribution"].as_str(), document.head["date"].as_str()), (Some("1"), Some("2026-11-21")));
    assert!(!document.head.contains_key("id") && !document.head.contains_key("Org") && document.head["x_own"] == json!([1]));
    assert_eq!(document.attributes[0]["category"], "Network activity");
    assert_eq!(document.unnumbered(), (2, 1));
    document.number(10, 20);
    assert_eq!((document.unnumbered(), document.attribute_mut(11).unwrap()["value"].as_str()), ((0, 0), Some("a")));
    let again = Document::open(&document.head_json(), &document.content_json()).unwrap();
    assert_eq!((again.head, again.attributes, again.objects), (document.head, document.attributes, document.objects));
}

#[test]
fn what_is_wrong_is_named() {
    for (given, field) in [
        (json!({}), "/info"),
        (json!({ "info": "x", "distribution": 7 }), "/distribution"),
        (json!({ "info": "x", "date": "2026-02-30" }), "/date"),
        (json!({ "info": "x", "uuid": "7" }), "/uuid"),
        (json!({ "info": "x", "Attribute": [{ "type": "no-such", "value": "x" }] }), "/type"),
        (json!({ "info": "x", "Attribute": [{ "type": "text", "value": " " }] }), "/value"),
        (json!({ "info": "x", "Object": [{}] }), "/name"),
    ] {
        let refused = Document::new(fields(given.clone()), &moment(1)).unwrap_err();
        assert!(matches!(&refused, HubError::Invalid { pointer, .. } if pointer == field), "{given} {refused}");
    }
}

#[test]
fn a_change_takes_what_is_newer_and_keeps_what_it_does_not_name() {
    let mut document = event(json!({}));
    let stale = document.merge(fields(json!({ "info": "y", "timestamp": "1000" })), &moment(2_000));
    assert!(matches!(stale, Err(HubError::Forbidden(_))));
    let older = json!({ "info": "y", "Attribute": [{ "uuid": UUID, "type": "ip-dst", "value": "198.51.100.2", "timestamp": 50 }] });
    document.merge(fields(older), &moment(2_000)).unwrap();
    assert_eq!((document.head["info"].as_str(), document.attributes[0]["value"].as_str()), (Some("y"), Some("198.51.100.1")));
    let newer = json!({ "Attribute": [{ "uuid": UUID, "value": "198.51.100.2" }, { "type": "text", "value": "new" }] });
    document.merge(fields(newer), &moment(2_000)).unwrap();
    assert_eq!((document.attributes.len(), document.attributes[0]["value"].as_str()), (2, Some("198.51.100.2")));
    assert_eq!(document.attributes[0]["type"], "ip-dst");
    assert_eq!((document.head["info"].as_str(), document.head["timestamp"].as_str()), (Some("y"), Some("2001")));
}

#[test]
fn what_one_request_names_twice_is_one_thing_here() {
    let mut document = event(json!({ "Object": [{ "name": "file", "uuid": UUID, "Attribute": [] }] }));
    let (one, other) = ("0b2b6e28-fda5-4282-bf60-22b81de77851", "1b2b6e28-fda5-4282-bf60-22b81de77851");
    let given = json!({
        "Attribute": [{ "uuid": one, "type": "text", "value": "x", "timestamp": 100 }, { "uuid": one, "value": "y", "timestamp": 101 }],
        "Object": [{ "uuid": UUID, "Attribute": [{ "uuid": other, "type": "text", "value": "x", "timestamp": 100 }, { "uuid": other, "value": "z", "timestamp": 101 }] }],
    });
    document.merge(fields(given), &moment(2_000)).unwrap();
    let values: Vec<_> = document.each().map(|(attribute, _)| attribute["value"].as_str().unwrap()).collect();
    assert_eq!(values, ["198.51.100.1", "y", "z"]);
}

#[test]
fn an_object_that_is_deleted_takes_its_attributes_with_it_and_they_stay_to_be_seen() {
    let mut document = event(json!({ "Object": [{ "name": "file", "uuid": UUID, "Attribute": [{ "type": "filename", "value": "a" }] }] }));
    document.merge(fields(json!({ "Object": [{ "uuid": UUID, "deleted": true }] })), &moment(2_000)).unwrap();
    assert_eq!(document.objects[0]["deleted"], true);
    assert!(inner(&document.objects[0]).all(|attribute| attribute["deleted"] == true));
}

#[test]
fn tags_are_added_once_and_removed_where_that_is_said() {
    let mut document = event(json!({ "Tag": [{ "name": "tlp:green" }, "own"] }));
    document
        .merge(fields(json!({ "Tag": [{ "name": "TLP:GREEN" }, { "name": "own", "deleted": 1 }, { "name": "new", "local": true }] })), &moment(2_000))
        .unwrap();
    let names: Vec<&str> = document.head["Tag"].as_array().unwrap().iter().filter_map(tag_name).collect();
    assert_eq!(names, ["tlp:green", "new"]);
    assert_eq!(document.head["Tag"][0]["colour"], "#33ff00");
    assert!(!add_tag(&mut document.head, "new", false, None).unwrap() && remove_tag(&mut document.head, "NEW"));
}

#[test]
fn an_object_that_says_the_same_is_known_by_what_it_says() {
    let file = |name: &str| fields(json!({ "name": "file", "Attribute": [{ "object_relation": "filename", "type": "filename", "value": name }] }));
    let document = event(json!({ "Object": [file("a")] }));
    assert!(document.repeats_object(&file("a")) && !document.repeats_object(&file("b")));
}

#[test]
fn a_tag_is_taken_with_the_time_that_was_read_and_nothing_else_is() {
    let mut document = event(json!({}));
    let read = json!({ "uuid": UUID, "type": "ip-dst", "value": "198.51.100.9", "timestamp": 50, "Tag": ["own"] });
    assert!(merge_attribute(&mut document.attributes[0], fields(read.clone()), &moment(2_000)).unwrap());
    assert_eq!((&document.attributes[0]["value"], &document.attributes[0]["timestamp"]), (&json!("198.51.100.1"), &json!("2000")));
    assert!(!merge_attribute(&mut document.attributes[0], fields(read), &moment(3_000)).unwrap());
}

#[test]
fn resident_numbers_are_masked_in_every_text_and_observables_stay_whole() {
    let text = |value: &str| json!({ "type": "text", "value": value, "comment": value });
    let document = event(json!({ "info": "of 850315-1234561", "x_own": [{ "note": "850315-1234561" }], "Attribute": [text("850315-1234561"),
        { "type": "url", "value": "http://evil.example/850315-1234561" }] }));
    let whole = format!("{}{}", document.head_json(), String::from_utf8(document.content_json()).unwrap());
    assert_eq!(whole.matches("1234561").count(), 1, "{whole}");
    assert!(whole.contains("850315-1******"), "{whole}");
}

#[test]
fn days_have_one_form() {
    assert_eq!(day("2018-9-1").as_deref(), Some("2018-09-01"));
    assert_eq!(day("2018-09-01T00:00:00").as_deref(), Some("2018-09-01"));
    assert_eq!(day("Aug 18 2018"), None);
}
