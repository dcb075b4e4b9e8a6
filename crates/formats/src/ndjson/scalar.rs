//! One field as the sender wrote it, and the words for types.
//!
//! Invariant: generous in shape (numbers as text and text as numbers), strict in meaning: what is given and not understood is an error
//! that names the field.

use model::{ObservableType, Timestamp};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Characters of input that a reason may quote.
const QUOTED_CHARS: usize = 80;

/// A value that is no list or object.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Scalar<'a> {
    /// Not given, or null.
    #[default]
    Absent,
    /// true or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A whole number that is larger. Two small variants: every event carries thirty of these, most of them absent.
    Large(u64),
    /// Any other number.
    Float(f64),
    /// Text, borrowed from the input where it holds no escapes.
    Text(Cow<'a, str>),
    /// A list or object where none belongs.
    Compound,
}

impl<'a> Scalar<'a> {
    /// Borrowed text.
    pub(crate) const fn borrowed(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// Whether there is nothing, or nothing but spaces.
    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::Text(text) => text.trim().is_empty(),
            Self::Bool(_) | Self::Integer(_) | Self::Large(_) | Self::Float(_) | Self::Compound => false,
        }
    }

    /// Trimmed text; `None` where blank.
    pub(crate) fn text(&self, field: &str) -> Result<Option<Cow<'_, str>>, String> {
        Ok(match self {
            Self::Absent => None,
            Self::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
            Self::Integer(number) => Some(Cow::Owned(number.to_string())),
            Self::Large(number) => Some(Cow::Owned(number.to_string())),
            Self::Float(number) => Some(Cow::Owned(number.to_string())),
            Self::Text(text) => {
                let text = text.trim();
                (!text.is_empty()).then_some(Cow::Borrowed(text))
            }
            Self::Compound => return Err(format!("{field} must be text")),
        })
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn number(&self, field: &str, least: u64, most: u64) -> Result<Option<u64>, String> {
        let number = match self {
            Self::Absent => return Ok(None),
            Self::Integer(number) => Some(i128::from(*number)),
            Self::Large(number) => Some(i128::from(*number)),
            Self::Float(number) => whole(*number),
            Self::Text(text) => {
                let text = text.trim();
                if text.is_empty() {
                    return Ok(None);
                }
                text.parse::<i128>().ok().or_else(|| whole(text.parse::<f64>().ok()?))
            }
            Self::Bool(_) | Self::Compound => None,
        };
        number
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| (least..=most).contains(number))
            .map(Some)
            .ok_or_else(|| format!("{field} must be {least} to {most}"))
    }

    /// RFC 3339, or seconds or milliseconds since 1970.
    pub(crate) fn time(&self, field: &str) -> Result<Option<Timestamp>, String> {
        let time = match self {
            Self::Absent => return Ok(None),
            Self::Integer(number) => Timestamp::from_number(*number as f64),
            Self::Large(number) => Timestamp::from_number(*number as f64),
            Self::Float(number) => Timestamp::from_number(*number),
            Self::Text(text) => {
                let text = text.trim();
                if text.is_empty() {
                    return Ok(None);
                }
                // Tables write the zone as a word.
                let civil = text.strip_suffix(" UTC").or_else(|| text.strip_suffix(" GMT"));
                Timestamp::parse(civil.unwrap_or(text))
            }
            Self::Bool(_) | Self::Compound => return Err(format!("{field} must be RFC 3339 or a number")),
        };
        time.map(Some).map_err(|error| if field == "time" { error.to_string() } else { format!("{field}: {error}") })
    }

    /// true or false, also as text or 1 and 0.
    pub(crate) fn flag(&self, field: &str) -> Result<Option<bool>, String> {
        match self {
            Self::Absent => Ok(None),
            Self::Bool(flag) => Ok(Some(*flag)),
            Self::Integer(1) => Ok(Some(true)),
            Self::Integer(0) => Ok(Some(false)),
            Self::Text(text) => match text.trim() {
                "" => Ok(None),
                word if word == "1" || word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("yes") => Ok(Some(true)),
                word if word == "0" || word.eq_ignore_ascii_case("false") || word.eq_ignore_ascii_case("no") => Ok(Some(false)),
                _ => Err(format!("{field} must be true or false")),
            },
            Self::Integer(_) | Self::Large(_) | Self::Float(_) | Self::Compound => Err(format!("{field} must be true or false")),
        }
    }

    /// One word of an enum.
    pub(crate) fn word<T>(&self, what: &str, parse: fn(&str) -> Option<T>) -> Result<Option<T>, String> {
        match self.text(what)? {
            None => Ok(None),
            Some(word) => parse(&word).map(Some).ok_or_else(|| format!("unknown {what} {}", quoted(&word))),
        }
    }
}

/// A float without a fraction, within the range where floats count exactly.
fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < 9.0e15).then_some(number as i128)
}

/// Input in quotes, cut to what a reason may show.
pub(crate) fn quoted(text: &str) -> String {
    let mut out: String = text.chars().take(QUOTED_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED_CHARS).is_some() {
        out.push('…');
    }
    format!("\"{out}\"")
}

/// What type a sender says a value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Wanted {
    /// Whatever it looks like.
    #[default]
    Any,
    /// An address or range of either family.
    Address,
    /// A hash of whatever length it has.
    Hash,
    /// This type.
    Exact(ObservableType),
}

impl Wanted {
    /// The type a word names; `None` for an unknown word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let word = word.trim();
        if let Some(kind) = ObservableType::parse(word) {
            return Some(Self::Exact(kind));
        }
        let folded = word.to_ascii_lowercase().replace(['_', ' '], "-");
        if let Some(kind) = ObservableType::parse(&folded) {
            return Some(Self::Exact(kind));
        }
        Some(match folded.as_str() {
            "any" | "auto" | "host" | "indicator" | "ioc" | "observable" => Self::Any,
            "address" | "ip" | "ip-addr" | "ip-address" | "ip-dst" | "ip-src" | "ipaddr" | "ipaddress" | "ips" => Self::Address,
            "file" | "file-hash" | "filehash" | "hash" | "hashes" => Self::Hash,
            "domain-names" | "domainname" | "domains" | "host-name" => Self::Exact(ObservableType::Domain),
            "link" | "urls" => Self::Exact(ObservableType::Url),
            "email-address" | "email-dst" | "email-sender" | "email-src" | "emailaddress" | "emailsender" | "emailwhois" | "mail-address" => {
                Self::Exact(ObservableType::Email)
            }
            "file-hash-md5" | "filehash-md5" | "hash-md5" | "md5-hash" => Self::Exact(ObservableType::Md5),
            "file-hash-sha1" | "filehash-sha1" | "hash-sha1" | "sha1-hash" => Self::Exact(ObservableType::Sha1),
            "file-hash-sha256" | "filehash-sha256" | "hash-sha256" | "sha256-hash" => Self::Exact(ObservableType::Sha256),
            "useragent" => Self::Exact(ObservableType::UserAgent),
            "x509fp-sha1" => Self::Exact(ObservableType::X509Sha1),
            "x509fp-sha256" => Self::Exact(ObservableType::X509Sha256),
            _ => return None,
        })
    }

    /// As [`Self::parse`], also by the last part that names a type (`LOADER_SHA256`); anything else is any type.
    pub(crate) fn parse_loosely(word: &str) -> Self {
        let by_part = || word.rsplit(|part: char| !part.is_ascii_alphanumeric()).find_map(Self::parse);
        Self::parse(word).or_else(by_part).unwrap_or_default()
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Absent)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Scalar::Large(number), Scalar::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Compound)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Compound)
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_from_text_and_floats_without_a_fraction() {
        for (scalar, expected) in [
            (Scalar::Integer(443), Ok(Some(443))),
            (Scalar::borrowed(" 443 "), Ok(Some(443))),
            (Scalar::borrowed("443.0"), Ok(Some(443))),
            (Scalar::Float(443.0), Ok(Some(443))),
            (Scalar::borrowed(""), Ok(None)),
            (Scalar::Absent, Ok(None)),
            (Scalar::Float(4.5), Err("port must be 0 to 65535".to_owned())),
            (Scalar::Large(u64::MAX), Err("port must be 0 to 65535".to_owned())),
            (Scalar::Integer(-1), Err("port must be 0 to 65535".to_owned())),
            (Scalar::Integer(65_536), Err("port must be 0 to 65535".to_owned())),
            (Scalar::Compound, Err("port must be 0 to 65535".to_owned())),
        ] {
            assert_eq!(scalar.number("port", 0, 65_535), expected, "{scalar:?}");
        }
    }

    #[test]
    fn type_words_of_other_systems_are_known() {
        for (word, expected) in [
            ("IPv4", Wanted::Exact(ObservableType::Ipv4)),
            ("hostname", Wanted::Exact(ObservableType::Domain)),
            ("ipaddress", Wanted::Address),
            ("email-sender", Wanted::Exact(ObservableType::Email)),
            ("file", Wanted::Hash),
            ("SILKLOADER_SHA256", Wanted::Exact(ObservableType::Sha256)),
            ("something else", Wanted::Any),
        ] {
            assert_eq!(Wanted::parse_loosely(word), expected, "{word}");
        }
        assert_eq!(Wanted::parse("something else"), None);
    }

    #[test]
    fn a_scalar_is_no_larger_than_the_text_it_may_hold() {
        assert_eq!(size_of::<Scalar<'_>>(), size_of::<String>());
    }

    #[test]
    fn a_reason_quotes_at_most_eighty_characters() {
        assert_eq!(quoted("가\n"), "\"가\\n\"");
        assert_eq!(quoted(&"x".repeat(81)), format!("\"{}…\"", "x".repeat(80)));
    }
}
