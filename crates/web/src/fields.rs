//! Fields of a JSON body, taken one by one into the domain's types.
//!
//! Invariant: what is left over when a handler has taken its fields is refused by name, so that a misspelt field is never ignored.
//! `null` counts as absent.

use crate::problem::Problem;
use model::Timestamp;
use serde_json::{Map, Value};

/// The fields of an object not yet taken.
pub struct Fields {
    map: Map<String, Value>,
    /// JSON pointer of the object itself.
    at: String,
}

impl Fields {
    /// The fields of a body, which must be an object.
    pub fn new(value: Value) -> Result<Self, Problem> {
        Self::at(value, String::new())
    }

    fn at(value: Value, at: String) -> Result<Self, Problem> {
        match value {
            Value::Object(map) => Ok(Self { map, at }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Err(Problem::field(&at, "must be an object")),
        }
    }

    /// An inner object.
    pub fn object(&mut self, name: &str) -> Result<Option<Self>, Problem> {
        let at = self.pointer(name);
        self.take(name).map(|value| Self::at(value, at)).transpose()
    }

    /// Text of 1 to `max` characters, without control characters.
    pub fn text(&mut self, name: &str, max: usize) -> Result<String, Problem> {
        self.text_or_none(name, max)?.ok_or_else(|| self.missing(name))
    }

    /// The same, where it may be absent.
    pub fn text_or_none(&mut self, name: &str, max: usize) -> Result<Option<String>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let Value::String(text) = value else { return Err(self.wrong(name, "must be a string")) };
        check_text(&text, max).map_err(|reason| self.wrong(name, &reason))?;
        Ok(Some(text))
    }

    /// One of the words that `parse` knows.
    pub fn word<T>(&mut self, name: &str, what: &str, parse: fn(&str) -> Option<T>) -> Result<T, Problem> {
        self.word_or_none(name, what, parse)?.ok_or_else(|| self.missing(name))
    }

    /// The same, where it may be absent.
    pub fn word_or_none<T>(&mut self, name: &str, what: &str, parse: fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let Value::String(text) = value else { return Err(self.wrong(name, "must be a string")) };
        parse(&text).map(Some).ok_or_else(|| self.wrong(name, &format!("unknown {what}")))
    }

    /// A number from 0 to `max`.
    pub fn number_or_none(&mut self, name: &str, max: u64) -> Result<Option<u64>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_u64().filter(|number| *number <= max);
        number.map(Some).ok_or_else(|| self.wrong(name, &format!("must be a whole number from 0 to {max}")))
    }

    /// True or false; false where absent.
    pub fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        Ok(self.flag_or_none(name)?.unwrap_or_default())
    }

    /// True or false, where it may be absent.
    pub fn flag_or_none(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(name, "must be true or false"))
    }

    /// A time: RFC 3339, or seconds or milliseconds since 1970.
    pub fn time_or_none(&mut self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let time = match self.take(name) {
            None => return Ok(None),
            Some(Value::String(text)) => Timestamp::parse(&text),
            Some(Value::Number(number)) => Timestamp::from_number(number.as_f64().unwrap_or(f64::NAN)),
            Some(_) => return Err(self.wrong(name, "must be a time")),
        };
        time.map(Some).map_err(|error| self.wrong(name, &error.to_string()))
    }

    /// Strings, up to `most` of them with up to `max` characters each; one bare string counts as a list of one.
    pub fn texts(&mut self, name: &str, most: usize, max: usize) -> Result<Vec<String>, Problem> {
        let items = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Value::String(text)) => vec![Value::String(text)],
            Some(Value::Array(items)) => items,
            Some(_) => return Err(self.wrong(name, "must be an array of strings")),
        };
        if items.len() > most {
            return Err(self.wrong(name, &format!("at most {most} are taken")));
        }
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("{name}/{index}");
            let Value::String(text) = item else { return Err(self.wrong(&place, "must be a string")) };
            check_text(&text, max).map_err(|reason| self.wrong(&place, &reason))?;
            texts.push(text);
        }
        Ok(texts)
    }

    /// A value as it stands.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// Whether the field is there at all, `null` included.
    pub fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// Refuses what is left over.
    pub fn finish(self) -> Result<(), Problem> {
        if self.map.is_empty() {
            return Ok(());
        }
        let problem = Problem::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, "the body has fields that are not known here");
        Err(self.map.keys().take(NAMED).fold(problem, |problem, name| problem.error(&self.pointer(name), "unknown field")))
    }

    /// The problem of a required field that is absent.
    pub fn missing(&self, name: &str) -> Problem {
        self.wrong(name, "is required")
    }

    /// The problem of a field that is wrong.
    pub fn wrong(&self, name: &str, reason: &str) -> Problem {
        Problem::field(&self.pointer(name), reason)
    }

    fn pointer(&self, name: &str) -> String {
        format!("{}/{name}", self.at)
    }
}

/// Unknown fields that are named.
const NAMED: usize = 20;

fn check_text(text: &str, max: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\t')) {
        return Err("must not hold control characters".to_owned());
    }
    if text.chars().count() > max {
        return Err(format!("must be at most {max} characters long"));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        Fields::new(value).unwrap()
    }

    #[test]
    fn a_field_that_nobody_takes_is_refused_by_name() {
        let mut body = fields(json!({ "name": "a", "nmae": "b" }));
        assert_eq!(body.text("name", 10).unwrap(), "a");
        let problem = format!("{:?}", body.finish().unwrap_err());
        assert!(problem.contains("/nmae"), "{problem}");
    }

    #[test]
    fn null_counts_as_absent() {
        let mut body = fields(json!({ "a": null, "b": null, "c": null }));
        assert_eq!(body.text_or_none("a", 10).unwrap(), None);
        assert!(!body.flag("b").unwrap());
        assert_eq!(body.time_or_none("c").unwrap(), None);
        assert!(body.finish().is_ok());
    }

    #[test]
    fn wrong_fields_are_422_with_their_pointer() {
        let mut body = fields(json!({ "a": 1, "list": ["x", 2], "n": 11, "empty": "  ", "nul": "a\u{0}b" }));
        assert_eq!(body.text("a", 10).unwrap_err().into_response().status().as_u16(), 422);
        assert!(format!("{:?}", body.texts("list", 5, 5).unwrap_err()).contains("/list/1"));
        assert!(body.number_or_none("n", 10).is_err());
        assert!(body.text("empty", 10).is_err());
        assert!(body.text("nul", 10).is_err());
        assert!(body.text("absent", 10).is_err());
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        assert!(Fields::new(json!([1])).is_err());
    }

    #[test]
    fn a_time_is_text_or_a_number() {
        let mut body = fields(json!({ "a": "2026-11-21", "b": 1_700_000_000, "c": "soon" }));
        assert!(body.time_or_none("a").unwrap().is_some());
        assert_eq!(body.time_or_none("b").unwrap(), Some(Timestamp::from_seconds(1_700_000_000)));
        assert!(body.time_or_none("c").is_err());
    }
}
