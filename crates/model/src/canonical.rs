//! One canonical form per observable type.
//!
//! Flow: every format knows or guesses the type of a value and calls [`canonical`] (or [`observable`]); the untidy text of real
//! lists (defanged, mixed case, zero-width spaces, octal addresses) becomes the one text that is stored, hashed and looked up.
//! Invariant: `canonical(kind, canonical(kind, x)) == canonical(kind, x)`; every value is within its limit; no control characters.
//! A text that is canonical already takes the short way: one pass over its bytes and no allocation beyond the value itself.
//! Source: the table in `docs/formats.md`.
//! Not here: which type a bare text has ([`crate::detect`]).

mod address;
mod domain;
mod link;
mod reserved;

pub(crate) use address::{address_text, loose_ipv4, parse_address, plain_ipv4};
pub use reserved::is_reserved;

use crate::detect::refang;
use crate::{Observable, ObservableType, Role, Text};
use std::borrow::Cow;

/// The most bytes of a value that is no URL.
pub const MAX_VALUE_BYTES: usize = 4_096;
/// The most bytes of a URL.
pub const MAX_URL_BYTES: usize = 8_192;

/// Why a text has no canonical form of its type. No variant carries the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CanonicalError {
    /// Nothing but blanks.
    #[error("value is empty")]
    Empty,
    /// Read again, the value would be another: control characters between brackets, for example.
    #[error("value has no stable form")]
    Unstable,
    /// Longer than [`MAX_VALUE_BYTES`] or [`MAX_URL_BYTES`].
    #[error("value is too long")]
    TooLong,
    /// Contains control characters.
    #[error("value contains control characters")]
    Control,
    /// Ends in an ellipsis: the rest was lost on the way.
    #[error("value is cut off")]
    CutOff,
    /// Not an IPv4 address.
    #[error("not an IPv4 address")]
    Ipv4,
    /// Not an IPv6 address.
    #[error("not an IPv6 address")]
    Ipv6,
    /// Not an address range.
    #[error("not an address range")]
    Cidr,
    /// Not a domain name.
    #[error("not a domain name")]
    Domain,
    /// An address where a name is expected.
    #[error("an IP address, not a domain name")]
    AddressNotName,
    /// A name or label too long for the domain name system.
    #[error("a domain name has at most 253 bytes and 63 a label")]
    NameTooLong,
    /// Not a URL.
    #[error("not a URL")]
    Url,
    /// A URL without a host.
    #[error("host is missing")]
    HostMissing,
    /// A URL whose host is neither a name nor an address.
    #[error("host of the URL is not valid")]
    UrlHost,
    /// A port that is no number up to 65535.
    #[error("port is not valid")]
    Port,
    /// Not a mail address.
    #[error("not a mail address")]
    Email,
    /// Not an MD5.
    #[error("an md5 has 32 hexadecimal digits")]
    Md5,
    /// Not a SHA-1.
    #[error("a sha1 has 40 hexadecimal digits")]
    Sha1,
    /// Not a SHA-256.
    #[error("a sha256 has 64 hexadecimal digits")]
    Sha256,
    /// Not a SHA-512.
    #[error("a sha512 has 128 hexadecimal digits")]
    Sha512,
    /// Not a JA3 fingerprint.
    #[error("a ja3 has 32 hexadecimal digits")]
    Ja3,
    /// Not a SHA-1 fingerprint.
    #[error("an x509-sha1 has 40 hexadecimal digits")]
    X509Sha1,
    /// Not a SHA-256 fingerprint.
    #[error("an x509-sha256 has 64 hexadecimal digits")]
    X509Sha256,
    /// Not a fuzzy hash.
    #[error("not an ssdeep hash")]
    Ssdeep,
    /// Not an AS number.
    #[error("not an AS number")]
    Asn,
    /// Not a MAC address.
    #[error("not a MAC address")]
    Mac,
    /// Not a CVE id.
    #[error("not a CVE id")]
    Cve,
    /// Not a bitcoin address.
    #[error("not a bitcoin address")]
    Bitcoin,
    /// Not a phone number.
    #[error("not a phone number")]
    Phone,
}

/// The canonical form of a text whose type is known.
///
/// # Errors
/// [`CanonicalError`] where the text is no value of that type.
pub fn canonical(kind: ObservableType, text: &str) -> Result<Text, CanonicalError> {
    let value = once(kind, text)?;
    // One value, one key: a form that would change when read again could be kept twice. Only untidy input pays for the second reading.
    if value == text || once(kind, &value).is_ok_and(|again| again == value) { Ok(value) } else { Err(CanonicalError::Unstable) }
}

fn once(kind: ObservableType, text: &str) -> Result<Text, CanonicalError> {
    let text = tidy(text);
    let limit = if kind == ObservableType::Url { MAX_URL_BYTES } else { MAX_VALUE_BYTES };
    if text.is_empty() {
        return Err(CanonicalError::Empty);
    }
    if text.len() > limit {
        return Err(CanonicalError::TooLong);
    }
    let value = match kind {
        ObservableType::Ipv4 => address::ipv4(text),
        ObservableType::Ipv6 => address::ipv6(text),
        ObservableType::Cidr => address::cidr(text),
        ObservableType::Domain => domain::domain(text),
        ObservableType::Url => link::url(text),
        ObservableType::Email => email(text),
        ObservableType::Md5 => hex(text, 32, CanonicalError::Md5),
        ObservableType::Sha1 => hex(text, 40, CanonicalError::Sha1),
        ObservableType::Sha256 => hex(text, 64, CanonicalError::Sha256),
        ObservableType::Sha512 => hex(text, 128, CanonicalError::Sha512),
        ObservableType::Ja3 => hex(text, 32, CanonicalError::Ja3),
        ObservableType::X509Sha1 => hex(text, 40, CanonicalError::X509Sha1),
        ObservableType::X509Sha256 => hex(text, 64, CanonicalError::X509Sha256),
        ObservableType::Ssdeep => ssdeep(text),
        ObservableType::Asn => asn(text),
        ObservableType::Mac => mac(text),
        ObservableType::Cve => cve(text),
        ObservableType::Bitcoin => bitcoin(text),
        ObservableType::Phone => phone(text),
        ObservableType::Filename | ObservableType::UserAgent => free_text(text),
    }?;
    // Percent-encoding and A-labels can make a value longer than its text.
    if value.len() > limit { Err(CanonicalError::TooLong) } else { Ok(value) }
}

/// An observable from a text whose type is known: canonical, flagged `reserved` where it names a reserved range, `detect` by type unless stated.
///
/// # Errors
/// As [`canonical`].
pub fn observable(kind: ObservableType, text: &str, role: Role, detect: Option<bool>) -> Result<Observable, CanonicalError> {
    let value = canonical(kind, text)?;
    Ok(Observable { kind, role, detect: detect.unwrap_or(kind.detect_by_default()), reserved: is_reserved(kind, &value), value })
}

/// The text without blanks at its ends: white space of any script, zero-width characters, byte order marks, NUL.
pub fn tidy(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || matches!(character, '\0' | '\u{200b}' | '\u{2060}' | '\u{feff}'))
}

/// The text without characters that show nothing: zero-width, direction marks, soft hyphens, NUL.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte != 0 && byte.is_ascii()) || !text.contains(is_invisible) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter(|&character| !is_invisible(character)).collect())
}

const fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\0' | '\u{00ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
    )
}

/// Hexadecimal digits, lower-case. A leading name of the algorithm and the colons, dashes and blanks of fingerprints are taken away.
fn hex(text: &str, digits: usize, error: CanonicalError) -> Result<Text, CanonicalError> {
    if text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(Text::new(text));
    }
    let text = visible(text);
    let bare = match text.split_once([':', '=']) {
        Some((name, rest)) if is_algorithm(name.trim()) => rest.trim_start(),
        Some(_) | None => &*text,
    };
    let mut value = Text::with_capacity(digits);
    for character in bare.chars() {
        if character.is_ascii_hexdigit() && value.len() < digits {
            value.push(character.to_ascii_lowercase());
        } else if !matches!(character, ':' | '-' | ' ') {
            return Err(error);
        }
    }
    if value.len() == digits { Ok(value) } else { Err(error) }
}

fn is_algorithm(name: &str) -> bool {
    ["md5", "sha1", "sha-1", "sha256", "sha-256", "sha512", "sha-512", "ja3"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Local part as given, host canonical. Source: RFC 5321 section 2.3.11 (the local part is the host's own affair).
fn email(text: &str) -> Result<Text, CanonicalError> {
    let visible = visible(text);
    let refanged = refang(&visible);
    let mut bare: &str = &refanged;
    if let Some(rest) = strip_prefix_ignoring_case(bare, "mailto:") {
        bare = rest.split('?').next().unwrap_or(rest);
    }
    if let Some(inner) = bare.strip_suffix('>') {
        bare = inner.rsplit_once('<').ok_or(CanonicalError::Email)?.1;
    }
    let (local, host) = bare.rsplit_once('@').ok_or(CanonicalError::Email)?;
    let forbidden = |character: char| {
        character.is_whitespace()
            || character.is_control()
            || matches!(character, '[' | ']' | '(' | ')' | '{' | '}' | '<' | '>' | '\\' | ',' | ';' | ':' | '@' | '/' | '?' | '#')
    };
    if local.is_empty() || local.contains(forbidden) {
        return Err(CanonicalError::Email);
    }
    let mut value = Text::with_capacity(bare.len());
    value.push_str(local);
    value.push('@');
    if let Some(literal) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let literal = strip_prefix_ignoring_case(literal, "ipv6:").unwrap_or(literal);
        value.push('[');
        value.push_str(&address_text(parse_address(literal).ok_or(CanonicalError::Email)?));
        value.push(']');
    } else {
        value.push_str(&domain::domain(host)?);
    }
    Ok(value)
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// `block size:hash:hash`; a file name after a comma is taken away. Source: Kornblum, "Identifying almost identical files", 2006.
fn ssdeep(text: &str) -> Result<Text, CanonicalError> {
    let value = text.split_once(',').map_or(text, |(hash, _)| hash).trim_end();
    let mut parts = value.split(':');
    let (Some(size), Some(first), Some(second), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(CanonicalError::Ssdeep);
    };
    let is_hash = |part: &str| part.len() <= 64 && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
    let is_size = (1..=10).contains(&size.len()) && size.bytes().all(|byte| byte.is_ascii_digit());
    if is_size && is_hash(first) && is_hash(second) { Ok(Text::new(value)) } else { Err(CanonicalError::Ssdeep) }
}

/// Decimal without `AS`; the dotted form is two halves of 16 bits. Source: RFC 5396.
fn asn(text: &str) -> Result<Text, CanonicalError> {
    let bare = strip_prefix_ignoring_case(text, "asn").or_else(|| strip_prefix_ignoring_case(text, "as")).unwrap_or(text).trim_start();
    let number =
        |digits: &str| -> Option<u32> { if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) { None } else { digits.parse().ok() } };
    let value = match bare.split_once('.') {
        Some((high, low)) => {
            let half = |digits: &str| number(digits).filter(|&half| u16::try_from(half).is_ok());
            half(high).zip(half(low)).map(|(high, low)| (high << 16) | low)
        }
        None => number(bare),
    };
    value.map(|value| compact_str::format_compact!("{value}")).ok_or(CanonicalError::Asn)
}

/// Six pairs, lower-case, colons between. Taken: colons, dashes, Cisco's dotted quads, twelve bare digits.
fn mac(text: &str) -> Result<Text, CanonicalError> {
    let mut value = Text::with_capacity(17);
    let mut digits = 0;
    for character in text.chars() {
        if character.is_ascii_hexdigit() {
            if digits > 0 && digits % 2 == 0 {
                value.push(':');
            }
            value.push(character.to_ascii_lowercase());
            digits += 1;
        } else if !matches!(character, ':' | '-' | '.') || digits == 0 || digits % 2 == 1 {
            return Err(CanonicalError::Mac);
        }
        if digits > 12 {
            return Err(CanonicalError::Mac);
        }
    }
    if digits == 12 && text.ends_with(|character: char| character.is_ascii_hexdigit()) { Ok(value) } else { Err(CanonicalError::Mac) }
}

/// `CVE-year-number`, upper-case. Source: CVE numbering rules: four digits of year, four or more of number.
fn cve(text: &str) -> Result<Text, CanonicalError> {
    let rest = strip_prefix_ignoring_case(text, "cve").ok_or(CanonicalError::Cve)?;
    let separator = |character: char| matches!(character, '-' | '_' | ' ' | ':' | '\u{2010}'..='\u{2015}' | '\u{2212}');
    let (year, number) = rest.strip_prefix(separator).and_then(|rest| rest.split_once(separator)).ok_or(CanonicalError::Cve)?;
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if year.len() == 4 && (4..=19).contains(&number.len()) && all_digits(year) && all_digits(number) {
        Ok(compact_str::format_compact!("CVE-{year}-{number}"))
    } else {
        Err(CanonicalError::Cve)
    }
}

/// As given for base58 (its case counts), lower-case for bech32. Checksums are not verified: a mistyped address in a ransom note is still one.
/// Source: BIP 13, BIP 173.
fn bitcoin(text: &str) -> Result<Text, CanonicalError> {
    let bare = strip_prefix_ignoring_case(text, "bitcoin:").unwrap_or(text);
    let bare = bare.split('?').next().unwrap_or(bare);
    if let Some(data) = strip_prefix_ignoring_case(bare, "bc1") {
        let one_case = !(bare.bytes().any(|byte| byte.is_ascii_lowercase()) && bare.bytes().any(|byte| byte.is_ascii_uppercase()));
        let in_alphabet = data.bytes().all(|byte| byte.is_ascii_alphanumeric() && !matches!(byte.to_ascii_lowercase(), b'1' | b'b' | b'i' | b'o'));
        if one_case && in_alphabet && (11..=71).contains(&data.len()) {
            return Ok(Text::new(bare).to_ascii_lowercase());
        }
        return Err(CanonicalError::Bitcoin);
    }
    let in_alphabet = bare.bytes().all(|byte| byte.is_ascii_alphanumeric() && !matches!(byte, b'0' | b'O' | b'I' | b'l'));
    if bare.starts_with(['1', '3']) && (26..=35).contains(&bare.len()) && in_alphabet { Ok(Text::new(bare)) } else { Err(CanonicalError::Bitcoin) }
}

/// Digits, with `+` in front where the country is known (`+` or `00`). A national number stays national: a made-up country would name someone else.
/// Source: ITU-T E.164, E.123.
fn phone(text: &str) -> Result<Text, CanonicalError> {
    let visible = visible(text);
    let bare = strip_prefix_ignoring_case(&visible, "tel:").unwrap_or(&visible).trim_start();
    let (plus, bare) = bare.strip_prefix(['+', '\u{ff0b}']).map_or((false, bare), |rest| (true, rest));
    // The national zero that British habit writes into international numbers.
    let bare = if plus || bare.starts_with("00") { bare.replacen("(0)", "", 1) } else { bare.to_owned() };
    let mut digits = Text::with_capacity(bare.len());
    for character in bare.chars() {
        if character.is_ascii_digit() {
            digits.push(character);
        } else if !(character.is_whitespace() || matches!(character, '-' | '.' | '(' | ')' | '/' | '\u{2010}'..='\u{2015}')) {
            return Err(CanonicalError::Phone);
        }
    }
    let international = if plus { Some(digits.as_str()) } else { digits.strip_prefix("00") };
    let number = international.unwrap_or(&digits);
    if !(3..=20).contains(&number.len()) {
        return Err(CanonicalError::Phone);
    }
    Ok(if international.is_some() { compact_str::format_compact!("+{number}") } else { digits })
}

/// As given, trimmed.
fn free_text(text: &str) -> Result<Text, CanonicalError> {
    if text.chars().any(char::is_control) { Err(CanonicalError::Control) } else { Ok(Text::new(text)) }
}

#[cfg(test)]
mod tests;
