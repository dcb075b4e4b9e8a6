//! Which type a bare text has.
//!
//! Flow: lists, plain strings in `observables` and lookups give a text without a type; the first type in a fixed order that takes it
//! wins: hash by length, CVE, address, range, address and port, URL, mail address, AS number, MAC, ssdeep, bitcoin, file name, domain.
//! Invariant: what is detected is canonical; a text with blanks inside is nothing.
//! Not here: JA3, fingerprints of certificates, user agents, phones: nothing in their text tells them from other types.

mod defang;
mod readings;

pub use defang::{refang, refang_text};
pub use readings::readings;

use crate::canonical::{self, CanonicalError, canonical, tidy, visible};
use crate::{ObservableType, Text};

/// A type, a canonical value, and the port that was written behind it.
type Detected = (ObservableType, Text, Option<u16>);

/// Endings of files, of three letters or more, that are no top-level domains: a name with one of them is a file's.
const FILE_ENDINGS: &[&str] = &[
    "aspx", "asp", "avi", "bak", "bat", "bin", "bmp", "cfg", "chm", "class", "cmd", "conf", "cpl", "css", "csv", "dat", "dll", "dmg", "doc", "docm", "docx",
    "dotm", "elf", "eml", "exe", "gif", "hta", "htm", "html", "ico", "img", "ini", "ioc", "iso", "jar", "jpeg", "jpg", "jse", "json", "jsp", "lnk", "lock",
    "log", "lua", "mp3", "mp4", "msg", "msi", "ocx", "odt", "pdb", "pdf", "php", "pif", "png", "pptx", "ppt", "pptm", "ps1", "psd", "rar", "reg", "rtf", "scr",
    "sct", "sql", "sqlite", "svg", "swf", "sys", "tar", "tgz", "tiff", "tmp", "ttf", "txt", "vbe", "vbs", "vhd", "vhdx", "war", "wav", "wsf", "xla", "xlam",
    "xll", "xls", "xlsb", "xlsm", "xlsx", "xml", "yaml", "yml", "apk", "dex", "ipa", "deb", "rpm", "pyc", "xps", "url",
];
/// Endings that are both: a name in lower-case letters, digits and hyphens is a host's, any other a file's.
const SHARED_ENDINGS: &[&str] = &["zip", "mov", "cab"];
/// First labels of application packages (`com.vendor.product`), which are names of hosts written backwards.
const PACKAGE_STARTS: &[&str] = &["com", "org", "net"];
/// Top-level names of two letters apart, those under which a name that begins like a package is a host nevertheless.
const COMMON_TOP_LEVEL: &[&str] = &[
    "com", "net", "org", "info", "biz", "xyz", "top", "online", "site", "shop", "club", "icu", "app", "dev", "live", "life", "store", "tech", "website",
    "space", "fun", "vip", "work", "click", "link", "cloud", "host", "page", "pro", "mobi", "name", "asia", "buzz", "rest", "cyou", "sbs", "cfd", "monster",
    "world", "today", "support", "services", "onion",
];
/// The longest ending of a file.
const MAX_ENDING_BYTES: usize = 6;

/// The type and canonical form of a bare text, possibly defanged; `None` where it is no value of a type that can be told by its text.
pub fn detect(text: &str) -> Option<(ObservableType, Text)> {
    detect_with_port(text).map(|(kind, value, _)| (kind, value))
}

/// As [`detect`], with the port of `address:port` and `name:port`.
pub fn detect_with_port(text: &str) -> Option<(ObservableType, Text, Option<u16>)> {
    let text = unquoted(text);
    if text.is_empty() || text.len() > canonical::MAX_URL_BYTES {
        return None;
    }
    let visible = visible(text);
    let text: &str = &visible;
    if let Some(kind) = hash_by_length(text) {
        return without_port(kind, text);
    }
    if text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("cve"))
        && let Some(found) = without_port(ObservableType::Cve, text)
    {
        return Some(found);
    }
    let has_blank = if text.is_ascii() { text.bytes().any(|byte| byte <= b' ') } else { text.contains(char::is_whitespace) };
    if has_blank {
        return None;
    }
    let refanged = refang(text);
    address(&refanged)
        .or_else(|| url(text, &refanged))
        .or_else(|| email(&refanged))
        .or_else(|| as_number(text))
        .or_else(|| mac(text))
        .or_else(|| ssdeep(text))
        .or_else(|| bitcoin(text))
        .or_else(|| file_name(&refanged))
        .or_else(|| domain(&refanged))
}

/// The text without blanks, and without the quotes, backquotes or angle brackets that enclose it.
fn unquoted(text: &str) -> &str {
    let mut text = tidy(text);
    loop {
        let inner = [('"', '"'), ('\'', '\''), ('`', '`'), ('<', '>')]
            .into_iter()
            .find_map(|(open, close)| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)));
        match inner {
            Some(inner) => text = tidy(inner),
            None => return text,
        }
    }
}

fn without_port(kind: ObservableType, text: &str) -> Option<Detected> {
    canonical(kind, text).ok().map(|value| (kind, value, None))
}

fn hash_by_length(text: &str) -> Option<ObservableType> {
    let kind = match text.len() {
        32 => ObservableType::Md5,
        40 => ObservableType::Sha1,
        64 => ObservableType::Sha256,
        128 => ObservableType::Sha512,
        _ => return None,
    };
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(kind)
}

/// An address, a range, an address and a port. A range of one address is that address.
fn address(text: &str) -> Option<Detected> {
    let first = *text.as_bytes().first()?;
    if !(first.is_ascii_hexdigit() || matches!(first, b':' | b'[')) {
        return None;
    }
    if let Some((host, length)) = text.split_once('/') {
        if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') || canonical::parse_address(host).is_none() {
            return None;
        }
        let range = canonical(ObservableType::Cidr, text).ok()?;
        return Some(match range.strip_suffix("/32").filter(|single| !single.contains(':')) {
            Some(single) => (ObservableType::Ipv4, Text::new(single), None),
            None => match range.strip_suffix("/128") {
                Some(single) => (ObservableType::Ipv6, Text::new(single), None),
                None => (ObservableType::Cidr, range, None),
            },
        });
    }
    if first.is_ascii_digit() {
        let (host, port) = split_port(text)?;
        let bare = host.strip_suffix('.').unwrap_or(host);
        if canonical::plain_ipv4(bare.as_bytes()).is_some() {
            return Some((ObservableType::Ipv4, Text::new(bare), port));
        }
        if let Some(address) = canonical::loose_ipv4(bare) {
            return Some((ObservableType::Ipv4, canonical::address_text(address.into()), port));
        }
    }
    if let Some((literal, after)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = match after.strip_prefix(':') {
            Some(digits) => parse_port(digits).ok()?,
            None if after.is_empty() => None,
            None => return None,
        };
        return canonical(ObservableType::Ipv6, literal).ok().map(|value| (ObservableType::Ipv6, value, port));
    }
    if text.bytes().filter(|&byte| byte == b':').count() >= 2 { without_port(ObservableType::Ipv6, text) } else { None }
}

/// Host and port of `host:port`; the whole text where there is no colon, or more than one; `None` where no port follows the colon.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    match text.split_once(':') {
        Some((_, digits)) if digits.contains(':') => Some((text, None)),
        Some((host, digits)) => Some((host, parse_port(digits).ok()?)),
        None => Some((text, None)),
    }
}

/// A port; zero and nothing are none.
fn parse_port(digits: &str) -> Result<Option<u16>, CanonicalError> {
    if digits.is_empty() {
        return Ok(None);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(CanonicalError::Port);
    }
    digits.parse::<u16>().map(|port| (port != 0).then_some(port)).map_err(|_| CanonicalError::Port)
}

/// Any scheme with `://`; a UNC path; `host/path` and `host?query`, with a port or without.
fn url(text: &str, refanged: &str) -> Option<Detected> {
    if let Some(share) = text.strip_prefix("\\\\") {
        let host = share.split('\\').next().unwrap_or_default();
        return if is_host(&refang(host)) { without_port(ObservableType::Url, text) } else { None };
    }
    if let Some((scheme, _)) = refanged.split_once("://")
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    {
        return without_port(ObservableType::Url, text);
    }
    let end = refanged.find(['/', '?'])?;
    let (host, _) = split_port(refanged.get(..end)?)?;
    if is_host(host) { without_port(ObservableType::Url, text) } else { None }
}

/// Whether a text without a scheme is an address or a name that is likely a host's.
fn is_host(text: &str) -> bool {
    canonical::plain_ipv4(text.as_bytes()).is_some()
        || canonical::loose_ipv4(text).is_some()
        || (text.contains('.') && canonical(ObservableType::Domain, text).is_ok_and(|name| is_likely_host(&name)))
}

/// Whether a canonical domain name is likely a host's: two labels or more, the last of letters, not a file's ending, not a package's name.
fn is_likely_host(name: &str) -> bool {
    let Some((_, top)) = name.rsplit_once('.') else { return false };
    if top.starts_with("xn--") {
        return true;
    }
    if top.len() < 2 || !top.bytes().all(|byte| byte.is_ascii_lowercase()) || is_file_ending(top) {
        return false;
    }
    let is_package = name.split('.').next().is_some_and(|first| PACKAGE_STARTS.contains(&first));
    !is_package || top.len() == 2 || COMMON_TOP_LEVEL.contains(&top)
}

/// Whether a lower-case ending is a file's. Most names end in one of the first few, so the table is seldom looked at.
fn is_file_ending(ending: &str) -> bool {
    match ending.len() {
        0 | 1 => false,
        2 => matches!(ending, "7z" | "gz" | "js"),
        _ => !matches!(ending, "com" | "net" | "org" | "info" | "xyz" | "top" | "shop" | "online") && FILE_ENDINGS.contains(&ending),
    }
}

fn email(text: &str) -> Option<Detected> {
    let (_, host) = text.rsplit_once('@')?;
    let value = canonical(ObservableType::Email, text).ok()?;
    let likely = host.starts_with('[') || value.rsplit_once('@').is_some_and(|(_, host)| is_likely_host(host));
    likely.then_some((ObservableType::Email, value, None))
}

fn as_number(text: &str) -> Option<Detected> {
    let (head, digits) = text.split_at_checked(2)?;
    if head.eq_ignore_ascii_case("as") && !digits.is_empty() && digits.len() <= 10 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return without_port(ObservableType::Asn, text);
    }
    None
}

/// Only with separators: twelve bare digits are anything.
fn mac(text: &str) -> Option<Detected> {
    if !matches!(text.len(), 14 | 17) {
        return None;
    }
    let separated = |separator: char, groups: usize, digits: usize| {
        let mut count = 0;
        text.split(separator).all(|group| {
            count += 1;
            group.len() == digits
        }) && count == groups
    };
    if separated(':', 6, 2) || separated('-', 6, 2) || separated('.', 3, 4) { without_port(ObservableType::Mac, text) } else { None }
}

/// Only with a block size that the algorithm can have: three times a power of two.
fn ssdeep(text: &str) -> Option<Detected> {
    let (size, rest) = text.split_once(':')?;
    let (first, second) = rest.split_once(':')?;
    let size: u32 = size.parse().ok()?;
    if size.is_multiple_of(3) && (size / 3).is_power_of_two() && first.len() >= 3 && second.len() >= 2 {
        without_port(ObservableType::Ssdeep, text)
    } else {
        None
    }
}

/// Base58 needs both cases, for its checksum is not looked at.
fn bitcoin(text: &str) -> Option<Detected> {
    if text.len() < 14 || !(text.starts_with(['1', '3']) || text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("bc1"))) {
        return None;
    }
    let mixed = text.bytes().any(|byte| byte.is_ascii_lowercase()) && text.bytes().any(|byte| byte.is_ascii_uppercase());
    if text.starts_with(['1', '3']) && !mixed { None } else { without_port(ObservableType::Bitcoin, text) }
}

fn file_name(text: &str) -> Option<Detected> {
    let (stem, ending) = text.rsplit_once('.')?;
    if stem.is_empty()
        || ending.is_empty()
        || ending.len() > MAX_ENDING_BYTES
        || text.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|', '@', '=', ',', ';'])
    {
        return None;
    }
    let mut lower = Text::new(ending);
    lower.as_mut_str().make_ascii_lowercase();
    let is_file = is_file_ending(&lower)
        || (SHARED_ENDINGS.contains(&lower.as_str()) && !text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')));
    if is_file { without_port(ObservableType::Filename, text) } else { None }
}

fn domain(text: &str) -> Option<Detected> {
    if text.contains(['/', '?']) {
        return None;
    }
    let (host, port) = split_port(text)?;
    let name = canonical(ObservableType::Domain, host).ok()?;
    is_likely_host(&name).then_some((ObservableType::Domain, name, port))
}

#[cfg(test)]
mod tests;
