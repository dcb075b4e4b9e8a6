//! Masking of Korean resident registration numbers in free text.
//!
//! Flow: every format calls [`finish`] on an event as its last step, before anything is kept.
//! Invariant: observables are never altered; masking twice changes nothing; JSON stays JSON.
//! Not here: victims' values, which are kept whole in the vault (`store`).
//! Source: the number is `YYMMDD-GNNNNNN`, where G, 1 to 8, gives sex, century and residence. Numbers issued since October 2020 carry no
//! check digit, so none is asked for.

use crate::json::quote_into;
use model::{Event, Text};
use std::borrow::Cow;

/// Digits of the birth date.
const DATE_DIGITS: usize = 6;
/// Digits after the date.
const SERIAL_DIGITS: usize = 7;
/// What stays readable: the date and the first digit after it.
const KEPT_DIGITS: usize = DATE_DIGITS + 1;

/// Masks the resident numbers in an event's note, extra fields, original text and malware name.
pub fn finish(event: &mut Event) {
    mask_field(&mut event.malware, mask_resident_numbers);
    if let Some(details) = event.details.as_deref_mut() {
        mask_field(&mut details.note, mask_resident_numbers);
        mask_field(&mut details.extra, mask_json);
        mask_field(&mut details.original, mask_original);
    }
}

/// Replaces the digits after the first of the second part by `*`, in every resident number with a valid date.
///
/// A dash or space may stand between the parts; without one only thirteen digits standing alone count.
pub fn mask_resident_numbers(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut masked: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some((start, end)) = next_digits(bytes, at) {
        at = end;
        let Some((from, to)) = serial_to_hide(bytes, start, end) else { continue };
        if let Some(hidden) = masked.get_or_insert_with(|| bytes.to_vec()).get_mut(from..to) {
            hidden.fill(b'*');
        }
        at = to;
    }
    match masked {
        // Digits became asterisks, both ASCII, so the text stays UTF-8.
        Some(bytes) => Cow::Owned(String::from_utf8(bytes).unwrap_or_default()),
        None => Cow::Borrowed(text),
    }
}

fn mask_field(field: &mut Option<Text>, mask: fn(&str) -> Cow<'_, str>) {
    let masked = match field {
        Some(text) => match mask(text) {
            Cow::Owned(masked) => Some(masked),
            Cow::Borrowed(_) => None,
        },
        None => None,
    };
    if let Some(masked) = masked {
        *field = Some(Text::from(masked));
    }
}

fn mask_original(text: &str) -> Cow<'_, str> {
    if text.trim_start().starts_with(['{', '[']) { mask_json(text) } else { mask_resident_numbers(text) }
}

/// Masks strings of a JSON text as they read after unescaping; a number that is masked becomes a string.
fn mask_json(text: &str) -> Cow<'_, str> {
    let escapes = memchr::memchr(b'\\', text.as_bytes()).is_some();
    if !escapes && matches!(mask_resident_numbers(text), Cow::Borrowed(_)) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len() + 2);
    let mut rest = text;
    while let Some(first) = rest.bytes().next() {
        let length = match first {
            b'"' => string_length(rest.as_bytes()),
            b'0'..=b'9' | b'-' | b'+' | b'.' => rest.bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count(),
            _ => rest.bytes().take_while(|byte| !matches!(byte, b'"' | b'0'..=b'9' | b'-' | b'+' | b'.')).count(),
        };
        let Some((token, after)) = rest.split_at_checked(length.max(1)) else { break };
        rest = after;
        let plain: Cow<'_, str> = if first == b'"' { unescaped(token) } else { Cow::Borrowed(token) };
        match mask_resident_numbers(&plain) {
            Cow::Owned(masked) => quote_into(&mut out, &masked),
            Cow::Borrowed(_) => out.extend_from_slice(token.as_bytes()),
        }
    }
    out.extend_from_slice(rest.as_bytes());
    Cow::Owned(String::from_utf8(out).unwrap_or_default())
}

/// Length of a JSON string with its quotes; to the end of the text where it is not closed.
fn string_length(bytes: &[u8]) -> usize {
    let mut escaped = false;
    for (index, &byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    bytes.len()
}

fn unescaped(token: &str) -> Cow<'_, str> {
    match serde_json::from_str::<String>(token) {
        Ok(plain) => Cow::Owned(plain),
        Err(_) => Cow::Borrowed(token),
    }
}

/// The next run of ASCII digits from `at`.
fn next_digits(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at + bytes.get(at..)?.iter().position(u8::is_ascii_digit)?;
    let length = bytes.get(start..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some((start, start + length))
}

/// The range to hide where a resident number starts with this run of digits.
fn serial_to_hide(bytes: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    match end - start {
        DATE_DIGITS => {
            let serial = end + separator_length(bytes.get(end..)?)?;
            let (from, to) = next_digits(bytes, serial)?;
            let valid = from == serial && to - from == SERIAL_DIGITS && is_birth_date(bytes.get(start..end)?, *bytes.get(from)?);
            valid.then_some((from + 1, to))
        }
        length if length == DATE_DIGITS + SERIAL_DIGITS => {
            let valid = stands_alone(bytes, start, end) && is_birth_date(bytes.get(start..start + DATE_DIGITS)?, *bytes.get(start + DATE_DIGITS)?);
            valid.then_some((start + KEPT_DIGITS, end))
        }
        _ => None,
    }
}

/// Length of a dash with or without a space on either side, or of one space.
fn separator_length(after: &[u8]) -> Option<usize> {
    match after {
        [b' ', b'-', b' ', ..] => Some(3),
        [b' ', b'-', ..] | [b'-', b' ', ..] => Some(2),
        [b'-' | b' ', ..] => Some(1),
        _ => None,
    }
}

/// Whether a run of digits is no part of a longer word, hash or decimal number.
fn stands_alone(bytes: &[u8], start: usize, end: usize) -> bool {
    let byte_at = |index: usize| bytes.get(index).copied().unwrap_or(b' ');
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let before = start.checked_sub(1).map_or(b' ', byte_at);
    let before_that = start.checked_sub(2).map_or(b' ', byte_at);
    let (after, after_that) = (byte_at(end), byte_at(end + 1));
    let decimal = (before == b'.' && before_that.is_ascii_digit()) || (after == b'.' && after_that.is_ascii_digit());
    !word(before) && !word(after) && !decimal
}

/// Whether six digits are a date of the century that the generation digit names.
fn is_birth_date(date: &[u8], generation: u8) -> bool {
    let [y0, y1, m0, m1, d0, d1] = *date else { return false };
    let two = |tens: u8, ones: u8| u32::from(tens.wrapping_sub(b'0')) * 10 + u32::from(ones.wrapping_sub(b'0'));
    let century = match generation {
        b'1' | b'2' | b'5' | b'6' => 1900,
        b'3' | b'4' | b'7' | b'8' => 2000,
        _ => return false,
    };
    let year = century + two(y0, y1);
    let days = match two(m0, m1) {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && year != 1900 => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&two(d0, d1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_resident_number_is_masked_after_its_generation_digit() {
        for (text, masked) in [
            ("900101-1234567", "900101-1******"),
            ("주민번호 900101-1234567번", "주민번호 900101-1******번"),
            ("900101 1234567", "900101 1******"),
            ("900101 - 1234567", "900101 - 1******"),
            ("id=9001011234567.", "id=9001011******."),
            ("RRN900101-1234567", "RRN900101-1******"),
            ("000229-3234567 and 900101-2345678", "000229-3****** and 900101-2******"),
        ] {
            assert_eq!(mask_resident_numbers(text), masked, "{text}");
        }
    }

    #[test]
    fn other_numbers_stay() {
        for text in [
            "901301-1234567",
            "900230-1234567",
            "000229-1234567",
            "900101-9234567",
            "900101-0234567",
            "900101-12345678",
            "1900101-1234567",
            "900101-123456",
            "a9001011234567b",
            "0.9001011234567",
            "19001011234567",
            "9001011******",
            "",
        ] {
            assert_eq!(mask_resident_numbers(text), text, "{text}");
        }
    }

    #[test]
    fn json_stays_json_when_masked() {
        let masked =
            mask_json(r#"{"note":"900101-1234567","escaped":"\u0039\u00300101-1234567","line":"\n9001011234567","number":9001011234567,"kept":1.5e3}"#);
        let value: serde_json::Value = serde_json::from_str(&masked).unwrap();
        assert_eq!(value["note"], "900101-1******");
        assert_eq!(value["escaped"], "900101-1******");
        assert_eq!(value["line"], "\n9001011******");
        assert_eq!(value["number"], "9001011******");
        assert_eq!(value["kept"], 1500.0);
    }

    proptest! {
        #[test]
        fn masking_twice_changes_nothing(text in "[0-9 .\\-a\"\\\\{}가]{0,60}") {
            let once = mask_resident_numbers(&text).into_owned();
            prop_assert_eq!(mask_resident_numbers(&once).into_owned(), once.clone());
            let json = mask_json(&text).into_owned();
            prop_assert_eq!(json.is_empty(), text.is_empty());
        }

        #[test]
        fn every_number_with_a_valid_date_is_masked(year in 0u32..100, month in 1u32..=12, day in 1u32..=28, generation in 1u32..=8, serial in 0u32..1_000_000) {
            let number = format!("{year:02}{month:02}{day:02}-{generation}{serial:06}");
            let text = format!("x {number} y");
            prop_assert_eq!(mask_resident_numbers(&text).into_owned(), format!("x {}****** y", &number[..8]));
        }
    }
}
