//! How a value is recognised in a text that people or programs wrote.
//!
//! Flow: the text in lower case → its escapes undone, as JSON and as addresses have them → each of these as it is, refanged, and by words.
//! Invariant: what holds the value is found; a text that only looks like it may be found too, for too much free text lost is better than
//! a value left.
//! Not here: what becomes of such a text (`columns::erasing`, `records`).

use model::ObservableType;
use model::canonical::canonical;
use model::detect::{refang, refang_text};

/// Marks around a word that are no part of it.
const AROUND: [char; 12] = ['.', ',', ':', ';', '!', '?', '(', ')', '[', ']', '{', '}'];

/// A value as it may be spelt in a text.
#[derive(Clone)]
pub(crate) struct Mention {
    kind: ObservableType,
    lower: String,
}

impl Mention {
    /// Mentions of this canonical value.
    pub(crate) fn of(kind: ObservableType, value: &str) -> Self {
        Self { kind, lower: value.to_lowercase() }
    }

    /// Whether a text holds the value: as it is, in another case, escaped, defanged, or as a word that means it.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let lower = text.to_lowercase();
        if self.is_spelt_in(&lower) {
            return true;
        }
        let escaped = lower.contains('\\');
        let plain = if escaped { unescaped(&lower) } else { lower };
        (escaped && self.is_spelt_in(&plain)) || (plain.contains('%') && self.is_spelt_in(&decoded(&plain)))
    }

    fn is_spelt_in(&self, text: &str) -> bool {
        if text.contains(&self.lower) {
            return true;
        }
        let plain = refang_text(text);
        plain.contains(&self.lower) || self.is_number_in(&plain) || words(text).chain(words(&plain)).any(|word| self.is_meant_by(word))
    }

    /// Whether a telephone number is written with blanks and hyphens of its own.
    fn is_number_in(&self, text: &str) -> bool {
        if self.kind != ObservableType::Phone {
            return false;
        }
        let mut squeezed = text.replace("(0)", "");
        squeezed.retain(|character| !(character.is_whitespace() || matches!(character, '-' | '.' | '(' | ')' | '/' | '\u{2010}'..='\u{2015}')));
        squeezed.contains(self.lower.trim_start_matches('+'))
    }

    fn is_meant_by(&self, word: &str) -> bool {
        let means_it = |word: &str| !word.is_empty() && canonical(self.kind, &refang(word)).is_ok_and(|other| other.to_lowercase() == self.lower);
        let bare = word.trim_matches(AROUND);
        means_it(word) || (bare.len() < word.len() && means_it(bare))
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| character.is_whitespace() || matches!(character, '"' | '\'' | '\\' | ',' | ';' | '<' | '>' | '|' | '='))
}

/// A text with JSON's escapes undone; what is none stays.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut characters = after.chars();
        match characters.next() {
            Some(mark @ ('"' | '\'' | '/' | '\\')) => {
                out.push(mark);
                rest = characters.as_str();
            }
            Some('n' | 'r' | 't') => {
                out.push(' ');
                rest = characters.as_str();
            }
            Some('u') => {
                let number = after.get(1..5).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                if let Some(character) = number.and_then(char::from_u32) {
                    out.extend(character.to_lowercase());
                    rest = after.get(5..).unwrap_or_default();
                } else {
                    out.push('\\');
                    rest = after;
                }
            }
            _ => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// A text with the escapes of addresses (`%40`) undone.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            out.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&out).to_lowercase()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_known_in_every_spelling_of_it() {
        for (kind, value, texts) in [
            (
                ObservableType::Email,
                "lee@household.kr",
                vec![
                    "Mail of LEE@Household.kr.",
                    "lee@household.kr로 보냄",
                    r#"{"mail":"x\nlee@household.kr"}"#,
                    "to: lee[@]household[.]kr",
                    "(Lee[at]household[.]kr), again",
                    "lee (at) household (dot) kr",
                    r"lee@household\.kr",
                    r#"{"mail":"lee\u0040household.kr"}"#,
                    "http://shop.kr/out?u=lee%40household.kr",
                    r#"{"link":"http:\/\/shop.kr\/?u=lee%40household.kr"}"#,
                ],
            ),
            (
                ObservableType::Url,
                "http://shop.kr/users/lee",
                vec![r#"{"link":"http:\/\/shop.kr\/users\/lee"}"#, "see hxxp://shop[.]kr/users/lee", "HXXP[:]//SHOP.KR/users/lee!"],
            ),
            (ObservableType::Ipv6, "2001:db8::1", vec!["at 2001:DB8:0:0::1.", "[2001:db8:0::1]"]),
            (ObservableType::Phone, "+821055557777", vec!["call +82 10-5555-7777 now", "+82 (0)10 5555 7777"]),
        ] {
            let mention = Mention::of(kind, value);
            for text in texts {
                assert!(mention.is_in(text), "{text}");
            }
            for text in ["", "kim@household.kr", "%", "%4", "\\", "\\u", "\\u00", "\\ud800", "50% of {}", "shop.kr", "2001:db8::2", "+82 10"] {
                assert!(!mention.is_in(text), "{value}: {text}");
            }
        }
    }
}
