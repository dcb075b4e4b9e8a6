//! Values of filters in each of the forms in which clients write them.
//!
//! Invariant: what cannot be read is none, and how many values a condition has is bounded.

use crate::HubError;
use crate::misp::document::day;
use crate::misp::fields::{Fields, flag_of, number_of, text_of};
use crate::misp::show::deleted_of;
use crate::misp::{MAX_PATTERNS, MAX_VALUES, Moment, civil_day};
use serde_json::Value;
use store::misp::{Condition, TagCondition, Words};

/// A truth value; where both are asked for, neither is.
pub(super) fn one_flag(given: &Fields, name: &str) -> Option<bool> {
    match given.get(name)? {
        Value::Array(list) => deleted_of(list).filter(|_| !list.is_empty()),
        value => flag_of(value),
    }
}

/// Whether deleted parts are wanted: not, alone, or too.
pub(super) fn deleted(given: &Fields) -> Option<bool> {
    match given.get("deleted") {
        None | Some(Value::Null) => Some(false),
        Some(Value::Array(list)) => deleted_of(list),
        Some(Value::String(word)) if word == "only" => Some(true),
        Some(value) => Some(flag_of(value) == Some(true)),
    }
}

pub(super) fn size(given: &Fields, name: &str) -> Option<usize> {
    given.get(name).and_then(number_of).and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0)
}

/// One text, texts parted by `||`, a list, or lists under `OR`, `AND` and `NOT`; `!` before a text says that it is not wanted.
pub(super) fn words(given: &Fields, name: &str) -> Result<Words, HubError> {
    let condition = tags(given, name)?;
    let mut any = condition.any;
    any.extend(condition.all);
    Ok(Condition { any, none: condition.none })
}

/// The same where all of several may be wanted.
pub(super) fn tags(given: &Fields, name: &str) -> Result<TagCondition, HubError> {
    let mut condition = TagCondition::default();
    let mut add = |text: &str, list: fn(&mut TagCondition) -> &mut Vec<String>| {
        let text = text.trim();
        match text.strip_prefix('!') {
            Some(not) if !not.is_empty() => condition.none.push(not.to_owned()),
            _ if text.is_empty() => {}
            _ => list(&mut condition).push(text.to_owned()),
        }
    };
    match given.get(name) {
        None | Some(Value::Null | Value::Bool(_)) => {}
        Some(Value::Array(list)) => list.iter().filter_map(text_of).for_each(|text| add(&text, any_of)),
        Some(Value::Object(lists)) => {
            for (word, list) in lists {
                let of: fn(&mut TagCondition) -> &mut Vec<String> = match word.to_ascii_uppercase().as_str() {
                    "AND" => all_of,
                    "NOT" => none_of,
                    _ => any_of,
                };
                let texts: Vec<String> = match list {
                    Value::Array(list) => list.iter().filter_map(text_of).collect(),
                    one => text_of(one).into_iter().collect(),
                };
                texts.iter().for_each(|text| add(text, of));
            }
        }
        // A value may hold the sign itself; it is taken whole.
        Some(one) if name == "value" => text_of(one).iter().for_each(|text| add(text, any_of)),
        Some(one) => text_of(one).iter().flat_map(|text| text.split("||")).for_each(|text| add(text, any_of)),
    }
    let patterns = condition.any.iter().chain(&condition.none).filter(|text| text.contains('%')).count();
    if patterns + condition.all.len() > MAX_PATTERNS {
        return Err(HubError::TooLarge { limit: MAX_PATTERNS as u64, unit: "patterns of a condition" });
    }
    if condition.any.len() + condition.none.len() > MAX_VALUES {
        return Err(HubError::TooLarge { limit: MAX_VALUES as u64, unit: "values of a condition" });
    }
    Ok(condition)
}

fn any_of(condition: &mut TagCondition) -> &mut Vec<String> {
    &mut condition.any
}

fn all_of(condition: &mut TagCondition) -> &mut Vec<String> {
    &mut condition.all
}

fn none_of(condition: &mut TagCondition) -> &mut Vec<String> {
    &mut condition.none
}

/// A moment and all after it, or two moments and what is between; moments are seconds, or so long ago.
pub(super) fn range_of(value: &Value, now: i64) -> Option<(Option<i64>, Option<i64>)> {
    match value {
        Value::Array(list) => match list.as_slice() {
            [first, second] => {
                let (first, second) = (moment_of(first, now)?, moment_of(second, now)?);
                Some((Some(first.min(second)), Some(first.max(second))))
            }
            [first] => Some((Some(moment_of(first, now)?), None)),
            _ => None,
        },
        one => Some((Some(moment_of(one, now)?), None)),
    }
}

fn moment_of(value: &Value, now: i64) -> Option<i64> {
    if let Some(seconds) = number_of(value) {
        return Some(seconds);
    }
    let text = text_of(value)?;
    let unit = text.chars().next_back()?;
    if let Some(count) = text.strip_suffix(unit).and_then(|count| count.parse::<i64>().ok()).filter(|count| *count >= 0) {
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return None,
        };
        return Some(now.saturating_sub(count.saturating_mul(seconds)));
    }
    model::Timestamp::parse(&text).ok().map(model::Timestamp::seconds)
}

/// The day that a date, a number of seconds, or so long ago names.
pub(super) fn day_of(value: &Value, moment: &Moment) -> Option<String> {
    if let Some(day) = text_of(value).and_then(|text| day(&text)) {
        return Some(day);
    }
    moment_of(value, moment.now).map(|seconds| civil_day(seconds.div_euclid(86_400)))
}
