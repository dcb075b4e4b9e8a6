//! The form in which each field of an event, attribute or object is kept, and what is refused.
//!
//! Invariant: what is given and cannot be read is named by its field; resident numbers are masked in every text that is no observable.

use super::Moment;
use crate::HubError;
use crate::misp::fields::{Fields, flag, number, set, text, text_of, uuid_of, wrong};
use crate::misp::{MAX_TAG, MAX_TEXT};
use formats::misp::describe::{defaults_of, is_category};
use formats::misp::judge::{is_type, only_describes};
use formats::privacy::mask_resident_numbers;
use serde_json::Value;
use std::borrow::Cow;
use uuid::Uuid;

/// MISP's distribution "as what it is in".
const INHERIT: &str = "5";

pub(super) fn tidy_event(head: &mut Fields, moment: &Moment) -> Result<(), HubError> {
    let info = text(head, "info").ok_or_else(|| wrong("info", "an event says what it is about"))?;
    if info.len() > MAX_TEXT {
        return Err(wrong("info", format!("at most {MAX_TEXT} bytes")));
    }
    set(head, "info", info);
    tidy_uuid(head)?;
    let date = text(head, "date").unwrap_or_else(|| moment.today.clone());
    set(head, "date", day(&date).ok_or_else(|| wrong("date", "must be a day, YYYY-MM-DD"))?);
    choice(head, "threat_level_id", &["1", "2", "3", "4"], "4")?;
    choice(head, "analysis", &["0", "1", "2"], "0")?;
    choice(head, "distribution", &["0", "1", "2", "3", "4"], "1")?;
    tidy_times(head, moment);
    let published = number(head, "publish_timestamp").unwrap_or(0).max(0);
    set(head, "publish_timestamp", published.to_string());
    let extends = text(head, "extends_uuid").and_then(|uuid| uuid_of(&uuid)).unwrap_or_default();
    set(head, "extends_uuid", extends);
    let group = number(head, "sharing_group_id").unwrap_or(0);
    set(head, "sharing_group_id", group.to_string());
    mask(head);
    Ok(())
}

pub(super) fn tidy_attribute(fields: &mut Fields, moment: &Moment) -> Result<(), HubError> {
    let kind = text(fields, "type").filter(|kind| is_type(kind)).ok_or_else(|| wrong("type", "must be one of the attribute types of MISP"))?;
    let value = text(fields, "value").ok_or_else(|| wrong("value", "an attribute has a value"))?;
    if value.len() > MAX_TEXT {
        return Err(wrong("value", format!("at most {MAX_TEXT} bytes")));
    }
    let (usual, detect) = defaults_of(&kind).unwrap_or(("Other", false));
    let category = text(fields, "category").filter(|category| is_category(category)).unwrap_or_else(|| usual.to_owned());
    let value = if only_describes(&kind) { mask_resident_numbers(&value).into_owned() } else { value };
    set(fields, "type", kind);
    set(fields, "value", value);
    set(fields, "category", category);
    tidy_uuid(fields)?;
    choice(fields, "distribution", &["0", "1", "2", "3", "4", "5"], INHERIT)?;
    tidy_times(fields, moment);
    tidy_part(fields)?;
    let to_ids = flag(fields, "to_ids").unwrap_or(detect);
    set(fields, "to_ids", to_ids);
    let alone = flag(fields, "disable_correlation").unwrap_or(false);
    set(fields, "disable_correlation", alone);
    if !fields.contains_key("object_relation") {
        set(fields, "object_relation", Value::Null);
    }
    Ok(())
}

pub(super) fn tidy_object(fields: &mut Fields, moment: &Moment) -> Result<(), HubError> {
    let name = text(fields, "name").filter(|name| name.len() <= MAX_TAG).ok_or_else(|| wrong("name", "an object has a name"))?;
    set(fields, "name", name);
    tidy_uuid(fields)?;
    choice(fields, "distribution", &["0", "1", "2", "3", "4", "5"], INHERIT)?;
    tidy_times(fields, moment);
    tidy_part(fields)
}

pub(super) fn tidy_report(fields: &mut Fields, moment: &Moment) -> Result<(), HubError> {
    let name = text(fields, "name").filter(|name| name.len() <= MAX_TEXT);
    set(fields, "name", name.ok_or_else(|| wrong("name", format!("a report has a name of at most {MAX_TEXT} bytes")))?);
    let content = fields.get("content").and_then(Value::as_str).unwrap_or_default().to_owned();
    set(fields, "content", content);
    tidy_uuid(fields)?;
    choice(fields, "distribution", &["0", "1", "2", "3", "4", "5"], INHERIT)?;
    tidy_times(fields, moment);
    let deleted = flag(fields, "deleted").unwrap_or(false);
    set(fields, "deleted", deleted);
    let group = number(fields, "sharing_group_id").unwrap_or(0);
    set(fields, "sharing_group_id", group.to_string());
    mask(fields);
    Ok(())
}

/// Masks resident numbers in every text but values, which are observables, and what is attached.
fn mask(fields: &mut Fields) {
    for (name, value) in fields {
        if !matches!(name.as_str(), "uuid" | "value" | "data" | "Attribute") {
            mask_value(value);
        }
    }
}

fn mask_value(value: &mut Value) {
    match value {
        Value::String(text) => {
            let masked = match mask_resident_numbers(text) {
                Cow::Owned(masked) => masked,
                Cow::Borrowed(_) => return,
            };
            *text = masked;
        }
        Value::Array(list) => list.iter_mut().for_each(mask_value),
        Value::Object(fields) => fields.values_mut().for_each(mask_value),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What attributes and objects share.
fn tidy_part(fields: &mut Fields) -> Result<(), HubError> {
    mask(fields);
    let comment = fields.get("comment").and_then(text_of).unwrap_or_default();
    if comment.len() > MAX_TEXT {
        return Err(wrong("comment", format!("at most {MAX_TEXT} bytes")));
    }
    set(fields, "comment", comment);
    let deleted = flag(fields, "deleted").unwrap_or(false);
    set(fields, "deleted", deleted);
    let group = number(fields, "sharing_group_id").unwrap_or(0);
    set(fields, "sharing_group_id", group.to_string());
    for name in ["first_seen", "last_seen"] {
        if !fields.contains_key(name) {
            set(fields, name, Value::Null);
        }
    }
    Ok(())
}

fn tidy_uuid(fields: &mut Fields) -> Result<(), HubError> {
    let uuid = match text(fields, "uuid") {
        Some(uuid) => uuid_of(&uuid).ok_or_else(|| wrong("uuid", "must be a UUID"))?,
        None => Uuid::new_v4().to_string(),
    };
    set(fields, "uuid", uuid);
    Ok(())
}

fn tidy_times(fields: &mut Fields, moment: &Moment) {
    // Nobody sees the future: what is ahead of the hub could not be changed until then.
    let timestamp = number(fields, "timestamp").filter(|stated| *stated > 0).unwrap_or(moment.now).min(moment.now.saturating_add(1));
    set(fields, "timestamp", timestamp.to_string());
}

/// One of a few numbers, as a text.
fn choice(fields: &mut Fields, name: &str, all: &[&str], usual: &str) -> Result<(), HubError> {
    let chosen = text(fields, name).unwrap_or_else(|| usual.to_owned());
    if !all.contains(&chosen.as_str()) {
        return Err(wrong(name, format!("must be one of {}", all.join(", "))));
    }
    set(fields, name, chosen);
    Ok(())
}

/// A day in its one form.
pub(in crate::misp) fn day(text: &str) -> Option<String> {
    let date = text.get(..10).unwrap_or(text);
    let (year, rest) = date.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let (year, month, day): (i64, i64, i64) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    let days = model::time::days_from_civil(year, month, day);
    // What is no day of the calendar comes back as another.
    ((1..=9_999).contains(&year) && model::time::civil_from_days(days) == (year, month, day)).then(|| format!("{year:04}-{month:02}-{day:02}"))
}
