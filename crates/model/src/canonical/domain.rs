//! Domain names: lower-case A-labels without a trailing dot.
//!
//! Invariant: letters, digits, hyphens, underscores; labels of 1 to 63 bytes, 253 in all; the last label is no number.
//! A name that is canonical already is copied after one pass; only names with `xn--` or beyond ASCII go through IDNA.
//! Source: RFC 1035 section 2.3.4 and RFC 2181 section 11 (lengths), UTS #46 as the WHATWG URL Standard applies it (A-labels).

use super::{CanonicalError, visible};
use crate::Text;
use crate::detect::refang;
use idna::AsciiDenyList;

/// The most bytes of a name.
pub(super) const MAX_NAME_BYTES: usize = 253;
/// The most bytes of a label.
const MAX_LABEL_BYTES: usize = 63;

pub(super) fn domain(text: &str) -> Result<Text, CanonicalError> {
    if is_plain_domain(text.as_bytes()) {
        return Ok(Text::new(text));
    }
    let visible = visible(text);
    let refanged = refang(&visible);
    let mut name: &str = &refanged;
    while let Some(rest) = name.strip_prefix("*.").or_else(|| name.strip_prefix('.')).or_else(|| name.strip_prefix("%20")) {
        name = rest;
    }
    let name = name.strip_suffix('/').unwrap_or(name);
    let mut value = if name.is_ascii() && !has_a_label(name) {
        Text::new(name).to_ascii_lowercase()
    } else {
        Text::from(idna::domain_to_ascii_cow(name.as_bytes(), AsciiDenyList::URL).map_err(|_| CanonicalError::Domain)?)
    };
    if value.ends_with('.') {
        value.pop();
    }
    check(&value)?;
    Ok(value)
}

/// Whether a name is canonical as it stands and needs no IDNA to say so.
pub(super) fn is_plain_domain(bytes: &[u8]) -> bool {
    if bytes.len() > MAX_NAME_BYTES {
        return false;
    }
    let mut ends_in_a_letter_label = false;
    for label in bytes.split(|&byte| byte == b'.') {
        if label.is_empty() || label.len() > MAX_LABEL_BYTES || label.starts_with(b"xn--") || !label.iter().copied().all(is_name_byte) {
            return false;
        }
        ends_in_a_letter_label = label.first().is_some_and(u8::is_ascii_lowercase);
    }
    ends_in_a_letter_label
}

const fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')
}

fn has_a_label(name: &str) -> bool {
    name.split('.').any(|label| label.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--")))
}

fn check(value: &str) -> Result<(), CanonicalError> {
    if value.len() > MAX_NAME_BYTES {
        return Err(CanonicalError::NameTooLong);
    }
    let mut last = "";
    for label in value.split('.') {
        if label.is_empty() || !label.bytes().all(is_name_byte) {
            return Err(CanonicalError::Domain);
        }
        if label.len() > MAX_LABEL_BYTES {
            return Err(CanonicalError::NameTooLong);
        }
        last = label;
    }
    // A browser would read such a name as an address: WHATWG URL Standard, "ends in a number".
    let hexadecimal = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) { Err(CanonicalError::AddressNotName) } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_lower_case_a_labels() {
        for (text, value) in [
            ("example.com", "example.com"),
            ("Example.COM.", "example.com"),
            ("*.example.com", "example.com"),
            ("*.*.example.com", "example.com"),
            (".example.com", "example.com"),
            ("%20mandrillapp.com", "mandrillapp.com"),
            ("_dmarc.Some_Host.example", "_dmarc.some_host.example"),
            ("evil[.]com", "evil.com"),
            ("evil[dot]co(.)kr", "evil.co.kr"),
            ("evil{.}com", "evil.com"),
            ("evil.]com", "evil.com"),
            ("evil\\.com", "evil.com"),
            ("révoke-cash.online", "xn--rvoke-cash-b7a.online"),
            ("XN--RVOKE-CASH-B7A.online", "xn--rvoke-cash-b7a.online"),
            ("한국.kr", "xn--3e0b707e.kr"),
            ("ex\u{200b}ample.com", "example.com"),
            ("r3---sn-x.googlevideo.com", "r3---sn-x.googlevideo.com"),
            ("localhost", "localhost"),
            ("vwxyzabcdefghijk.onion", "vwxyzabcdefghijk.onion"),
            ("example.com/", "example.com"),
        ] {
            assert_eq!(domain(text).as_deref(), Ok(value), "{text:?}");
            assert_eq!(domain(value).as_deref(), Ok(value), "{value:?} is not stable");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for (text, error) in [
            ("1.2.3.4", CanonicalError::AddressNotName),
            ("1.2.3.0x4", CanonicalError::AddressNotName),
            ("a..b", CanonicalError::Domain),
            (".", CanonicalError::Domain),
            ("exa mple.com", CanonicalError::Domain),
            ("example.com/path", CanonicalError::Domain),
            ("example.com?x", CanonicalError::Domain),
            ("http://example.com", CanonicalError::Domain),
            ("foo*.example.com", CanonicalError::Domain),
        ] {
            assert_eq!(domain(text), Err(error), "{text:?}");
        }
        assert_eq!(domain(&format!("{}.com", "a".repeat(64))), Err(CanonicalError::NameTooLong));
        assert_eq!(domain(&format!("{}com", "abcdefghi.".repeat(26))), Err(CanonicalError::NameTooLong));
        assert!(domain(&format!("{}com", "abcdefghi.".repeat(25))).is_ok(), "253 bytes are allowed");
    }

    proptest! {
        #[test]
        fn the_short_way_agrees_with_idna(text in "[a-z0-9_-]{1,12}(\\.[a-z0-9_-]{1,12}){0,4}") {
            if is_plain_domain(text.as_bytes()) {
                let long = idna::domain_to_ascii_cow(text.as_bytes(), AsciiDenyList::URL).map(std::borrow::Cow::into_owned);
                prop_assert_eq!(long.ok(), Some(text.clone()));
                prop_assert_eq!(check(&text), Ok(()));
            }
        }

        #[test]
        fn lower_casing_agrees_with_idna(text in "[a-zA-Z0-9_-]{1,12}(\\.[a-zA-Z0-9-]{1,12}){0,4}") {
            if let Ok(value) = domain(&text) {
                let long = idna::domain_to_ascii_cow(text.as_bytes(), AsciiDenyList::URL).map(std::borrow::Cow::into_owned);
                let long = long.ok();
                prop_assert_eq!(long.as_deref(), Some(value.as_str()));
            }
        }
    }
}
