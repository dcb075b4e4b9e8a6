//! Fields of MISP's JSON, which writes numbers and truth values as texts as often as not.

use crate::HubError;
use serde_json::{Map, Value};
use uuid::Uuid;

/// The fields of one JSON object.
pub(super) type Fields = Map<String, Value>;

/// A text, trimmed; numbers count as text; `None` where it is absent, empty or of another shape.
pub(super) fn text(fields: &Fields, key: &str) -> Option<String> {
    fields.get(key).and_then(text_of)
}

/// As [`text`], of a value.
pub(super) fn text_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A truth value, given as such, as a number or as a text.
pub(super) fn flag(fields: &Fields, key: &str) -> Option<bool> {
    fields.get(key).and_then(flag_of)
}

/// As [`flag`], of a value.
pub(super) fn flag_of(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => number.as_f64().map(|number| number != 0.0),
        Value::String(text) => match text.trim() {
            "1" => Some(true),
            "0" | "" => Some(false),
            word if word.eq_ignore_ascii_case("true") => Some(true),
            word if word.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A whole number, given as such or as a text.
pub(super) fn number(fields: &Fields, key: &str) -> Option<i64> {
    fields.get(key).and_then(number_of)
}

/// As [`number`], of a value.
pub(super) fn number_of(value: &Value) -> Option<i64> {
    /// Whole numbers below are exact as floating point.
    const EXACT: f64 = 9e15;
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().filter(|value| value.abs() < EXACT).map(|value| value as i64)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse::<f64>().ok().filter(|value| value.abs() < EXACT).map(|value| value as i64))
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Objects of a list; one bare object counts as a list of one.
pub(super) fn objects(fields: &mut Fields, key: &str) -> Vec<Fields> {
    match fields.remove(key) {
        Some(Value::Array(list)) => list.into_iter().filter_map(object).collect(),
        Some(Value::Object(one)) => vec![one],
        _ => Vec::new(),
    }
}

/// A value that is an object.
pub(super) fn object(value: Value) -> Option<Fields> {
    match value {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

/// What is inside the wrapper of this name, or the object itself where it has none.
pub(super) fn unwrapped(value: Value, wrapper: &str) -> Option<Fields> {
    let mut fields = object(value)?;
    match fields.remove(wrapper) {
        Some(Value::Object(inner)) => Some(inner),
        Some(other) => {
            fields.insert(wrapper.to_owned(), other);
            Some(fields)
        }
        None => Some(fields),
    }
}

/// A UUID in its one form.
pub(super) fn uuid_of(text: &str) -> Option<String> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten().map(|uuid| uuid.to_string())
}

/// Sets a text.
pub(super) fn set(fields: &mut Fields, key: &str, value: impl Into<Value>) {
    fields.insert(key.to_owned(), value.into());
}

/// A refusal of a field.
pub(super) fn wrong(field: &str, reason: impl Into<String>) -> HubError {
    HubError::Invalid { pointer: format!("/{field}"), reason: reason.into() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_and_truth_values_are_read_however_they_are_written() {
        for (value, number, flag) in [
            (json!(1), Some(1), Some(true)),
            (json!("1"), Some(1), Some(true)),
            (json!("0"), Some(0), Some(false)),
            (json!(1_700_000_000.7), Some(1_700_000_000), Some(true)),
            (json!("1700000000.7"), Some(1_700_000_000), None),
            (json!(true), None, Some(true)),
            (json!("False"), None, Some(false)),
            (json!("soon"), None, None),
            (json!(null), None, None),
        ] {
            assert_eq!((number_of(&value), flag_of(&value)), (number, flag), "{value}");
        }
    }

    #[test]
    fn a_uuid_has_one_form_and_a_wrapper_is_taken_off() {
        assert_eq!(uuid_of("AB2B6E28-FDA5-4282-BF60-22B81DE77851").unwrap(), "ab2b6e28-fda5-4282-bf60-22b81de77851");
        assert_eq!(uuid_of("ab2b6e28fda54282bf6022b81de77851"), None);
        assert_eq!(unwrapped(json!({ "Event": { "info": "x" } }), "Event").unwrap()["info"], "x");
        assert_eq!(unwrapped(json!({ "info": "x" }), "Event").unwrap()["info"], "x");
    }
}
