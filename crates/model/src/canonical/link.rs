//! URLs as the WHATWG URL Standard serialises them, with scheme and host refanged.
//!
//! Invariant: a canonical URL has a scheme and a host. [`plain`] takes only texts that the `url` crate would leave as they are but for
//! the slash of an empty path; a property test compares the two.
//! Not here: bare `host/path` in lists, which need a look at the host first ([`crate::detect`]).

use super::domain::{MAX_NAME_BYTES, is_plain_domain};
use super::{CanonicalError, plain_ipv4, visible};
use crate::Text;
use crate::detect::refang;
use ::url::{ParseError, Url};
use std::borrow::Cow;

pub(super) fn url(text: &str) -> Result<Text, CanonicalError> {
    if let Some(url) = plain(text) {
        return Ok(url);
    }
    let visible = visible(text);
    if is_cut_off(&visible) {
        return Err(CanonicalError::CutOff);
    }
    // A UNC path is what a file URL is made of.
    let source = match visible.strip_prefix("\\\\") {
        Some(share) => Cow::Owned(format!("file://{}", share.replace('\\', "/"))),
        None => visible,
    };
    let refanged = refang(&source);
    let url = Url::parse(&with_scheme(&refanged)).map_err(reason)?;
    match url.host_str() {
        None | Some("") => return Err(CanonicalError::HostMissing),
        // A trailing dot is WHATWG's to keep.
        Some(host) if host.len() > MAX_NAME_BYTES + 1 => return Err(CanonicalError::NameTooLong),
        Some(_) => {}
    }
    if is_cut_off(url.as_str()) {
        return Err(CanonicalError::CutOff);
    }
    Ok(Text::from(url.as_str()))
}

fn reason(error: ParseError) -> CanonicalError {
    match error {
        ParseError::EmptyHost => CanonicalError::HostMissing,
        ParseError::InvalidPort => CanonicalError::Port,
        ParseError::IdnaError | ParseError::InvalidIpv4Address | ParseError::InvalidIpv6Address | ParseError::InvalidDomainCharacter => CanonicalError::UrlHost,
        _ => CanonicalError::Url,
    }
}

/// Reports and timelines shorten URLs; what is left of one names something else.
fn is_cut_off(text: &str) -> bool {
    text.contains('\u{2026}') || text.trim_end_matches([']', ')', '>']).ends_with("...")
}

/// The text with `http://` in front where no scheme is given. `host:8080/` has none: a port follows its colon.
fn with_scheme(text: &str) -> Cow<'_, str> {
    if let Some((scheme, rest)) = text.split_once(':')
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        && !rest.starts_with(|first: char| first.is_ascii_digit())
    {
        return Cow::Borrowed(text);
    }
    if text.starts_with("//") {
        return Cow::Owned(format!("http:{text}"));
    }
    Cow::Owned(format!("http://{text}"))
}

/// The short way: `http(s)://host[:port][/path][?query]` of lower-case host and characters that no part of the standard touches.
fn plain(text: &str) -> Option<Text> {
    let bytes = text.as_bytes();
    let (rest, default_port) = if let Some(rest) = bytes.strip_prefix(b"http://") { (rest, 80) } else { (bytes.strip_prefix(b"https://")?, 443) };
    let host_end = rest.iter().position(|&byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_')).unwrap_or(rest.len());
    let (host, rest) = rest.split_at_checked(host_end)?;
    if !is_plain_domain(host) && plain_ipv4(host).is_none() {
        return None;
    }
    let path = match rest.strip_prefix(b":") {
        Some(after) => {
            let digits = after.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(after.len());
            let (port, path) = after.split_at_checked(digits)?;
            if !is_plain_port(port, default_port) {
                return None;
            }
            path
        }
        None => rest,
    };
    if !is_plain_path(path) || bytes.ends_with(b"...") {
        return None;
    }
    if path.is_empty() {
        let mut url = Text::with_capacity(text.len() + 1);
        url.push_str(text);
        url.push('/');
        return Some(url);
    }
    Some(Text::new(text))
}

/// A port that is kept as it stands: no leading zero, not the scheme's own.
fn is_plain_port(digits: &[u8], default_port: u32) -> bool {
    if !(1..=5).contains(&digits.len()) || digits.starts_with(b"0") {
        return false;
    }
    let port = digits.iter().fold(0_u32, |port, digit| port * 10 + u32::from(digit - b'0'));
    u16::try_from(port).is_ok() && port != default_port
}

/// Nothing, or a path from its slash on, with a query perhaps. Segments that begin with a dot, or with `%` that may stand for one, may move others.
fn is_plain_path(path: &[u8]) -> bool {
    if path.first().is_some_and(|&first| first != b'/') {
        return false;
    }
    let (mut in_query, mut begins_segment) = (false, false);
    for &byte in path {
        match byte {
            b'/' => {
                begins_segment = !in_query;
                continue;
            }
            b'.' | b'%' if begins_segment => return false,
            b'?' => in_query = true,
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b'!'
            | b'$'
            | b'&'
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b';'
            | b'='
            | b':'
            | b'@'
            | b'%' => {}
            _ => return false,
        }
        begins_segment = false;
    }
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_follow_the_standard() {
        for (text, value) in [
            ("http://example.com", "http://example.com/"),
            ("https://example.com:443/a", "https://example.com/a"),
            ("http://example.com:8080", "http://example.com:8080/"),
            ("HTTP://Example.COM/Path", "http://example.com/Path"),
            ("http://example.com/a/../b", "http://example.com/b"),
            ("http://example.com/.well-known/x", "http://example.com/.well-known/x"),
            ("http://example.com/a b", "http://example.com/a%20b"),
            ("http://example.com/#Fragment", "http://example.com/#Fragment"),
            ("http://example.com?q=1", "http://example.com/?q=1"),
            ("http://0x7f.1/", "http://127.0.0.1/"),
            ("http://0056.0151.0121.0114/x", "http://46.105.81.76/x"),
            ("http://[2001:DB8:0:0::1]:8080/", "http://[2001:db8::1]:8080/"),
            ("http://révoke-cash.online/", "http://xn--rvoke-cash-b7a.online/"),
            ("http://user:pass@example.com/", "http://user:pass@example.com/"),
            ("ftp://188.128.111.33/IPTV/TV1324/view.html", "ftp://188.128.111.33/IPTV/TV1324/view.html"),
            ("tcp://example.com:4444", "tcp://example.com:4444"),
            ("http://a_b.example.com/", "http://a_b.example.com/"),
            ("http://localhost:8000/x", "http://localhost:8000/x"),
        ] {
            assert_eq!(url(text).as_deref(), Ok(value), "{text:?}");
            assert_eq!(url(value).as_deref(), Ok(value), "{value:?} is not stable");
        }
    }

    #[test]
    fn scheme_and_host_are_refanged_and_the_path_is_not() {
        for (text, value) in [
            ("hxxp://example[.]com/a[.]exe", "http://example.com/a[.]exe"),
            ("hXXps://example(.)com/", "https://example.com/"),
            ("hxxps[:]//example[dot]com/hxxps://other[.]com", "https://example.com/hxxps://other[.]com"),
            ("http[:]//barusgorlerat[.]me", "http://barusgorlerat.me/"),
            ("http[://]example[.]com", "http://example.com/"),
            ("hxxp:\\\\example.com\\x", "http://example.com/x"),
            ("meow://example.com/x", "http://example.com/x"),
            ("h**ps://example.com/x", "https://example.com/x"),
            ("http[s]://example.com/x", "https://example.com/x"),
            ("fxp://example[.]com/x", "ftp://example.com/x"),
            ("hxxp://1[.]2[.]3[.]4[:]8080/x", "http://1.2.3.4:8080/x"),
            ("hxxp://[2001:db8::1]/x", "http://[2001:db8::1]/x"),
            ("example[.]com[/]x", "http://example.com/x"),
            ("15[.]188[.]63[.]127/$TIME", "http://15.188.63.127/$TIME"),
        ] {
            assert_eq!(url(text).as_deref(), Ok(value), "{text:?}");
            assert_eq!(url(value).as_deref(), Ok(value), "{value:?} is not stable");
        }
    }

    #[test]
    fn a_missing_scheme_is_http() {
        for (text, value) in [
            ("example.com/path", "http://example.com/path"),
            ("example.com:8080/path", "http://example.com:8080/path"),
            ("//example.com/path", "http://example.com/path"),
            ("40.70.42.104?rid=8i4dr5f", "http://40.70.42.104/?rid=8i4dr5f"),
            ("\\\\192.0.2.1\\share\\x.exe", "file://192.0.2.1/share/x.exe"),
        ] {
            assert_eq!(url(text).as_deref(), Ok(value), "{text:?}");
        }
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for (text, error) in [
            ("http://example.com/very/lo\u{2026}", CanonicalError::CutOff),
            ("http://example.com/very/lo...", CanonicalError::CutOff),
            ("hxxp://example[.]com/[...]", CanonicalError::CutOff),
            ("http://", CanonicalError::HostMissing),
            ("http://?x", CanonicalError::HostMissing),
            ("file:///etc/passwd", CanonicalError::HostMissing),
            ("mailto:user@example.com", CanonicalError::HostMissing),
            ("http://eve292929.dothome.co.xn--kr/1122/", CanonicalError::UrlHost),
            ("http://1.2.3.456/", CanonicalError::UrlHost),
            ("http://exa mple.com/", CanonicalError::UrlHost),
            ("http://example.com:99999/", CanonicalError::Port),
        ] {
            assert_eq!(url(text), Err(error), "{text:?}");
        }
    }

    fn by_the_crate(text: &str) -> Option<String> {
        Url::parse(text).ok().map(String::from)
    }

    proptest! {
        #[test]
        fn the_short_way_agrees_with_the_url_crate(
            text in "https?://[a-z0-9._-]{1,20}(:[0-9]{1,6})?(/[a-zA-Z0-9./%~!$&()*+,;=:@_'^|{}\\[\\]-]{0,30})?(\\?[ -~]{0,20})?(#[ -~]{0,9})?",
        ) {
            if let Some(short) = plain(&text) {
                prop_assert_eq!(Some(short.to_string()), by_the_crate(&text));
            }
        }

        #[test]
        fn the_short_way_agrees_for_any_ascii(text in "https?://[!-~]{0,40}") {
            if let Some(short) = plain(&text) {
                prop_assert_eq!(Some(short.to_string()), by_the_crate(&text));
            }
        }

        #[test]
        fn the_short_way_is_taken_for_usual_urls(text in "https?://[a-z]{1,10}\\.(com|kr|top)/[a-zA-Z0-9/]{0,20}(\\?[a-z]{1,5}=[a-zA-Z0-9%]{0,5})?") {
            let found = plain(&text);
            prop_assert_eq!(found.as_deref(), Some(text.as_str()));
        }
    }
}
