//! Rules that alert: Suricata's and Snort 3's.
//!
//! A rule's number is made of its value, so that it stays the same from file to file; two values of one number are told apart by taking the
//! next free one, in order of the entries.
//! Source: Suricata's and Snort 3's documentation of rules; sid 1,000,000 and above are for local use, of which we take a part that fits
//! into 31 bits and that no published rule set uses.
//! Invariant: no byte of a value stands in a rule as itself unless it means nothing there.

use super::{Entry, Product};
use model::ObservableType;
use model::filter::host_of_url;
use std::collections::HashSet;
use std::fmt::Write;

/// The first number of ours.
pub(super) const FIRST_SID: u32 = 1_000_000_000;
/// How many there are.
const SIDS: u32 = 1_000_000_000;
/// Bytes of a URL in a rule at the most.
const MAX_URL: usize = 1_000;
/// Characters of a malware's name in a message.
const MAX_NAME: usize = 64;

/// Whether there is a rule for a value.
pub(super) fn takes(product: Product, kind: ObservableType, value: &str) -> bool {
    match kind {
        ObservableType::Ipv4 | ObservableType::Ipv6 | ObservableType::Cidr | ObservableType::Domain => true,
        ObservableType::Url => value.len() <= MAX_URL && (value.starts_with("http://") || value.starts_with("https://")),
        ObservableType::UserAgent => product == Product::SuricataRules && value.len() <= MAX_URL,
        ObservableType::Ja3 | ObservableType::X509Sha1 => product == Product::SuricataRules,
        ObservableType::Email
        | ObservableType::Md5
        | ObservableType::Sha1
        | ObservableType::Sha256
        | ObservableType::Sha512
        | ObservableType::Ssdeep
        | ObservableType::Asn
        | ObservableType::Filename
        | ObservableType::Mac
        | ObservableType::Cve
        | ObservableType::X509Sha256
        | ObservableType::Bitcoin
        | ObservableType::Phone => false,
    }
}

/// The rules.
pub(super) fn write<'a>(product: Product, entries: impl Iterator<Item = Entry<'a>>, out: &mut String) {
    let mut sids = Sids::default();
    for entry in entries {
        let rules = if product == Product::SnortRules { snort(&entry) } else { suricata(&entry) };
        for (number, (header, options)) in rules.iter().enumerate() {
            let sid = sids.of(&entry, number as u8);
            let (space, close) = if product == Product::SnortRules { (" ", " )") } else { ("", ")") };
            let _ = writeln!(out, "alert {header} ({space}{}; {options} sid:{sid}; rev:1; {};{close}", message(&entry), metadata(&entry));
        }
    }
}

/// Header and options of each rule.
type Rules = Vec<(String, String)>;

fn suricata(entry: &Entry<'_>) -> Rules {
    let value = entry.value;
    match entry.kind {
        ObservableType::Ipv4 | ObservableType::Ipv6 | ObservableType::Cidr => {
            vec![(format!("ip any any <> {value} any"), "threshold:type limit, track by_src, seconds 3600, count 1;".to_owned())]
        }
        ObservableType::Domain => {
            let name = content(&format!(".{value}"));
            let rule = |protocol: &str, buffer: &str| (format!("{protocol} any any -> any any"), format!("{buffer}; dotprefix; {name} nocase; endswith;"));
            vec![rule("dns", "dns.query"), rule("tls", "tls.sni")]
        }
        ObservableType::Url => {
            let (host, target) = (host_of_url(value), target_of_url(value));
            let options = format!("http.host; {} bsize:{}; http.uri.raw; {} bsize:{};", content(host), host.len(), content(target), target.len());
            vec![("http any any -> any any".to_owned(), options)]
        }
        ObservableType::UserAgent => {
            vec![("http any any -> any any".to_owned(), format!("http.user_agent; {} bsize:{};", content(value), value.len()))]
        }
        ObservableType::Ja3 => vec![("tls any any -> any any".to_owned(), format!("ja3.hash; {}", content(value)))],
        ObservableType::X509Sha1 => vec![("tls any any -> any any".to_owned(), format!("tls.cert_fingerprint; {}", content(&pairs(value))))],
        _ => Vec::new(),
    }
}

fn snort(entry: &Entry<'_>) -> Rules {
    let value = entry.value;
    match entry.kind {
        ObservableType::Ipv4 | ObservableType::Ipv6 | ObservableType::Cidr => vec![(format!("ip any any <> {value} any"), String::new())],
        ObservableType::Domain => vec![("udp any any -> any 53".to_owned(), format!("content:\"{}|00|\",nocase,fast_pattern;", wire_name(value)))],
        ObservableType::Url => {
            let (authority, target) = (authority_of_url(value), target_of_url(value));
            let (host, uri) = (escaped(authority), escaped(target));
            let options = format!(
                "flow:to_server,established; http_raw_uri; content:\"{uri}\",fast_pattern; bufferlen:{}; http_header:field host; content:\"{host}\",nocase; bufferlen:{};",
                target.len(),
                authority.len()
            );
            vec![("http".to_owned(), options)]
        }
        _ => Vec::new(),
    }
}

/// Numbers given so far.
#[derive(Default)]
struct Sids {
    taken: HashSet<u32>,
}

impl Sids {
    fn of(&mut self, entry: &Entry<'_>, number: u8) -> u32 {
        let mut place = (hash(&[entry.kind.number(), number], entry.value.as_bytes()) % u64::from(SIDS)) as u32;
        while !self.taken.insert(place) {
            place = (place + 1) % SIDS;
        }
        FIRST_SID + place
    }
}

/// Source: FNV-1a of 64 bits, its halves mixed.
fn hash(head: &[u8], bytes: &[u8]) -> u64 {
    let hash = head.iter().chain(bytes).fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^ (hash >> 32)
}

fn message(entry: &Entry<'_>) -> String {
    let malware: String = entry.malware.unwrap_or_default().chars().take(MAX_NAME).map(plain).collect();
    let space = if malware.is_empty() { "" } else { " " };
    format!("msg:\"BONGSU {} {}{space}{malware}\"", entry.category, entry.kind)
}

fn metadata(entry: &Entry<'_>) -> String {
    let tlp = entry.tlp.as_str().replace('+', "-");
    let until = entry.valid_until.map(|until| until.to_micro_string().chars().take(10).collect::<String>());
    let until = until.map(|day| format!(", until {day}")).unwrap_or_default();
    format!("metadata:tlp {tlp}, pap {}{until}", entry.pap)
}

/// A character of a message that means nothing in a rule.
fn plain(character: char) -> char {
    if character.is_ascii_alphanumeric() || matches!(character, ' ' | '.' | '-' | '_' | '+') { character } else { '_' }
}

fn content(text: &str) -> String {
    format!("content:\"{}\";", escaped(text))
}

/// A pattern: what is no plain character is written in hexadecimal.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut open = false;
    for byte in text.bytes() {
        let as_itself = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/' | b'=' | b'&' | b'?' | b'%' | b'~' | b'+' | b',');
        if as_itself == open {
            out.push('|');
        }
        if as_itself {
            out.push(char::from(byte));
        } else {
            let space = if open { " " } else { "" };
            let _ = write!(out, "{space}{byte:02X}");
        }
        open = !as_itself;
    }
    if open {
        out.push('|');
    }
    out
}

/// A name as it stands in a DNS message, without the root: each label behind its length.
fn wire_name(name: &str) -> String {
    let labels: Vec<String> = name.split('.').map(|label| format!("|{:02X}|{}", label.len(), escaped(label))).collect();
    labels.concat()
}

/// What a client asks a server for: path and query, without the fragment.
fn target_of_url(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let target = rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or("/");
    target.split('#').next().unwrap_or(target)
}

/// Host and port, as the `Host` header has them.
fn authority_of_url(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// A fingerprint in pairs of digits with colons between them.
fn pairs(hex: &str) -> String {
    let mut out = String::with_capacity(hex.len() * 3 / 2);
    for (place, digit) in hex.chars().filter(|digit| *digit != ':').enumerate() {
        if place > 0 && place % 2 == 0 {
            out.push(':');
        }
        out.push(digit.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::products::tests::entry;
    use proptest::prelude::*;

    #[test]
    fn what_means_something_in_a_rule_is_written_in_hexadecimal() {
        assert_eq!(escaped("/a?b=1"), "/a?b=1");
        assert_eq!(escaped("a\";:|\\b"), "a|22 3B 3A 7C 5C|b");
        assert_eq!(escaped("\"x\""), "|22|x|22|");
    }

    #[test]
    fn a_url_is_host_and_target() {
        for (url, authority, target) in
            [("http://a.kr/", "a.kr", "/"), ("http://a.kr:8080/x/y?q=1#f", "a.kr:8080", "/x/y?q=1"), ("https://user:word@a.kr/x", "a.kr", "/x")]
        {
            assert_eq!((authority_of_url(url), target_of_url(url)), (authority, target), "{url}");
        }
    }

    #[test]
    fn two_values_of_one_number_get_two_and_each_keeps_its_own_where_it_stands_alone() {
        let mut sids = Sids::default();
        let first = sids.of(&entry(ObservableType::Ipv4, "1.2.3.4"), 0);
        let again = sids.of(&entry(ObservableType::Ipv4, "1.2.3.4"), 0);
        assert_eq!(again, first + 1);
        assert_eq!(Sids::default().of(&entry(ObservableType::Ipv4, "1.2.3.4"), 0), first);
        assert!((FIRST_SID..2_000_000_000).contains(&first));
    }

    proptest! {
        #[test]
        fn no_value_breaks_out_of_its_rule(value in "\\PC{1,60}", malware in "\\PC{0,60}") {
            let user_agent = Entry { malware: Some(&malware), ..entry(ObservableType::UserAgent, &value) };
            let mut out = String::new();
            write(Product::SuricataRules, std::iter::once(user_agent), &mut out);
            prop_assert_eq!(out.lines().count(), 1);
            prop_assert_eq!(out.matches('"').count(), 4);
            prop_assert!(out.is_ascii());
        }
    }
}
