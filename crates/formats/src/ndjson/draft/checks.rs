//! Checks of one field: present or absent, well formed, within its limit.
//!
//! Invariant: absent is no error; a reason names the field and never holds more of its value than `quoted` allows.
//! Not here: words that are enums and plain numbers (`scalar`), values (`observables`).

use super::{MAX_LIST, MAX_WORD_BYTES};
use crate::Defaults;
use crate::json::quote_into;
use crate::ndjson::scalar::{Scalar, quoted};
use model::canonical::canonical;
use model::{ObservableType, Text, Timestamp};
use std::time::Duration;

/// How far ahead of the hub's time an event may lie.
const AHEAD: Duration = Duration::from_hours(24);

pub(super) fn time_not_ahead(scalar: &Scalar<'_>, field: &str, defaults: &Defaults) -> Result<Option<Timestamp>, String> {
    match scalar.time(field)? {
        Some(time) if time > defaults.now.plus(AHEAD) => Err(format!("{field} lies more than 24 h ahead")),
        time => Ok(time),
    }
}

pub(super) fn json_text(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    quote_into(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

pub(super) fn bounded(scalar: &Scalar<'_>, field: &str, limit: usize) -> Result<Option<Text>, String> {
    match scalar.text(field)? {
        Some(text) if text.len() > limit => Err(format!("{field} is longer than {limit} bytes")),
        Some(text) => Ok(Some(Text::from(text))),
        None => Ok(None),
    }
}

pub(super) fn sector(scalar: &Scalar<'_>, field: &str) -> Result<Option<Text>, String> {
    Ok(bounded(scalar, field, MAX_WORD_BYTES)?.map(lower_case))
}

pub(super) fn lower_case(mut text: Text) -> Text {
    text.make_ascii_lowercase();
    text
}

pub(super) fn port(scalar: &Scalar<'_>, field: &str) -> Result<Option<u16>, String> {
    Ok(scalar.number(field, 0, u64::from(u16::MAX))?.map(|port| port as u16))
}

pub(super) fn asn(scalar: &Scalar<'_>, field: &str) -> Result<Option<u32>, String> {
    if let Scalar::Text(text) = scalar
        && let Some((prefix, digits)) = text.trim().split_at_checked(2)
        && prefix.eq_ignore_ascii_case("as")
        && let Ok(number) = digits.trim().parse::<u32>()
    {
        return Ok(Some(number));
    }
    Ok(scalar.number(field, 0, u64::from(u32::MAX))?.map(|number| number as u32))
}

pub(super) fn address(scalar: &Scalar<'_>, field: &str) -> Result<Option<Text>, String> {
    let Some(text) = scalar.text(field)? else { return Ok(None) };
    canonical(ObservableType::Ipv4, &text).or_else(|_| canonical(ObservableType::Ipv6, &text)).map(Some).map_err(|_| format!("{field}: not an IP address"))
}

/// A list of words without repeats.
pub(super) fn list(items: &[Scalar<'_>], field: &str, each: impl Fn(&str) -> Result<Text, String>) -> Result<Vec<Text>, String> {
    if items.len() > MAX_LIST {
        return Err(format!("{field}: more than {MAX_LIST} entries"));
    }
    let mut out = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let Some(text) = item.text(field)? else { continue };
        let entry = each(&text).map_err(|reason| format!("{field}[{index}]: {reason}"))?;
        if !out.contains(&entry) {
            out.push(entry);
        }
    }
    Ok(out)
}

pub(super) fn word(text: &str) -> Result<Text, String> {
    if text.len() > MAX_WORD_BYTES {
        return Err(format!("longer than {MAX_WORD_BYTES} bytes"));
    }
    Ok(Text::new(text))
}

/// An ATT&CK id: `T1059.001`, `TA0001`, `S0002`, `G0016`, `M1036`, …
pub(super) fn technique(text: &str) -> Result<Text, String> {
    let shaped = text.len() <= MAX_WORD_BYTES
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-');
    if !shaped {
        return Err(format!("not an ATT&CK id: {}", quoted(text)));
    }
    Ok(Text::from(text.to_ascii_uppercase()))
}
