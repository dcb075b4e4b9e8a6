//! Lines that are rules of other programs: filter lists, response policy zones, hosts files, Zeek logs, OpenIOC terms.
//!
//! Invariant: a rule that allows something is never taken for an indicator.
//! Source: AdBlock filter syntax; draft-vixie-dnsop-dns-rpz (triggers); hosts(5); Zeek's intelligence framework; OpenIOC 1.0.

use super::cells::{Wanted, is_weak, value_of};
use super::{Entry, Line, NO_COLUMN, Shape};
use model::canonical::{canonical, tidy};
use model::detect::detect_with_port;
use model::{ObservableType, Timestamp};
use smallvec::SmallVec;

/// Names on one line of a hosts file.
const MAX_NAMES: usize = 64;
/// Addresses to which hosts files send what they block.
const SINKS: &[&str] =
    &["0.0.0.0", "127.0.0.1", "127.0.1.1", "::", "::1", "255.255.255.255", "fe80::1%lo0", "fe00::0", "ff00::0", "ff02::1", "ff02::2", "ff02::3"];
/// Names that every hosts file has for the machine itself.
const OWN_NAMES: &[&str] = &["localhost.localdomain", "local.localdomain"];
/// First options of filters, by which the `$` before them is told from one in a path.
const FILTER_OPTIONS: &[&str] = &[
    "1p",
    "3p",
    "all",
    "badfilter",
    "client",
    "css",
    "denyallow",
    "dnsrewrite",
    "dnstype",
    "doc",
    "document",
    "domain",
    "first-party",
    "font",
    "frame",
    "image",
    "important",
    "media",
    "network",
    "object",
    "other",
    "ping",
    "popup",
    "script",
    "stylesheet",
    "subdocument",
    "third-party",
    "websocket",
    "xhr",
    "xmlhttprequest",
];

/// A line of a Zeek log whose columns are known.
pub(super) fn zeek(line: &str, indicator: u8, kind: u8, time: u8) -> Line {
    let cell = |column: u8| {
        let cell = if column == NO_COLUMN { None } else { line.split('\t').nth(usize::from(column)) };
        cell.map(tidy).filter(|cell| !matches!(*cell, "" | "-" | "(empty)"))
    };
    let Some(value) = cell(indicator) else { return Line::refused("no value in the column of indicators") };
    let found = match cell(kind).and_then(|name| intelligence_type(name, value)) {
        Some(wanted) => value_of(wanted, value),
        None => detect_with_port(value).map(Entry::new),
    };
    let Some(mut entry) = found else { return Line::refused("the indicator is no value of a known type") };
    entry.time = cell(time).and_then(|time| Timestamp::parse(time).ok());
    Line::one(entry)
}

fn intelligence_type(name: &str, value: &str) -> Option<Wanted> {
    let name = name.strip_prefix("Intel::").unwrap_or(name);
    Some(match name {
        "ADDR" | "SUBNET" => Wanted::Address,
        "URL" => Wanted::Kind(ObservableType::Url),
        "DOMAIN" => Wanted::Kind(ObservableType::Domain),
        "EMAIL" => Wanted::Kind(ObservableType::Email),
        "FILE_HASH" => Wanted::Hash,
        "FILE_NAME" => Wanted::Kind(ObservableType::Filename),
        "CERT_HASH" if value.len() == 64 => Wanted::Kind(ObservableType::X509Sha256),
        "CERT_HASH" => Wanted::Kind(ObservableType::X509Sha1),
        "SOFTWARE" => Wanted::Kind(ObservableType::UserAgent),
        _ => return None,
    })
}

/// A filter: `||name^`, `||name/path^$options`, `|http://…|`. Exceptions, rules about parts of pages and patterns are refused.
pub(super) fn filter(line: &str, shape: Shape) -> Option<Line> {
    if line.starts_with("@@") {
        return Some(Line::refused("an exception names what is allowed"));
    }
    if !(line.starts_with("||") || line.starts_with("|http")) {
        let about_pages = shape == Shape::AdBlock && ["##", "#@#", "#?#", "#$#"].iter().any(|mark| line.contains(mark));
        return about_pages.then(|| Line::refused("a rule about parts of pages"));
    }
    let body = without_options(line.trim_start_matches('|')).trim_end_matches(['^', '|']);
    let body = body.strip_prefix("*.").unwrap_or(body);
    if body.contains(['*', '^']) {
        return Some(Line::refused("a pattern, not a value"));
    }
    Some(detect_with_port(body).map_or_else(|| Line::refused("the filter names no host"), |found| Line::one(Entry::new(found))))
}

fn without_options(filter: &str) -> &str {
    if let Some((body, _)) = filter.split_once("^$") {
        return body;
    }
    match filter.rsplit_once('$') {
        Some((body, options)) if options.split([',', '=']).next().is_some_and(|first| FILTER_OPTIONS.contains(&first.trim_start_matches('~'))) => body,
        Some(_) | None => filter,
    }
}

/// Whether a line is one that only a zone file has.
pub(super) fn is_zone_line(line: &str) -> bool {
    line.starts_with("$TTL") || line.starts_with("$ORIGIN") || line.split_ascii_whitespace().skip(1).take(4).any(|word| matches!(word, "CNAME" | "SOA"))
}

/// A rule of a response policy zone. Records about the zone itself are no entries.
pub(super) fn zone(line: &str, shape: Shape) -> Option<Line> {
    let is_zone = shape == Shape::Rpz;
    if !is_zone && !is_zone_line(line) {
        return None;
    }
    let mut words = line.split(';').next()?.split_ascii_whitespace();
    let name = words.next()?;
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    // A record without an owner, or what is inside the brackets of the zone's head.
    let about_zone = name.starts_with(['$', '@', '(', ')']) || matches!(name, "NS" | "SOA" | "IN" | "A" | "AAAA" | "TXT") || is_number(name);
    if is_zone && about_zone {
        return Some(Line::Nothing);
    }
    let mut words = words.skip_while(|word| matches!(*word, "IN" | "in") || is_number(word));
    let (record, target) = (words.next()?, words.next());
    match record {
        "CNAME" | "cname" if target.is_some_and(|target| target.eq_ignore_ascii_case("rpz-passthru.")) => {
            Some(Line::refused("a passthru rule names what is allowed"))
        }
        "CNAME" | "cname" => Some(policy(name)),
        "A" | "AAAA" | "TXT" | "a" | "aaaa" | "txt" if is_zone => Some(policy(name)),
        "NS" | "SOA" | "ns" | "soa" => Some(Line::Nothing),
        _ => None,
    }
}

/// What a policy rule is about: a name, an address in reverse, the name of a server of names.
fn policy(name: &str) -> Line {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.ends_with(".rpz-client-ip") {
        return Line::refused("a rule about clients");
    }
    if let Some(reversed) = name.strip_suffix(".rpz-ip").or_else(|| name.strip_suffix(".rpz-nsip")) {
        let found = reversed_range(reversed).and_then(|range| detect_with_port(&range)).filter(|(kind, _, _)| kind.is_address());
        return found.map_or_else(|| Line::refused("the rule names no address"), |found| Line::one(Entry::new(found)));
    }
    let name = name.strip_suffix(".rpz-nsdname").unwrap_or(name);
    match canonical(ObservableType::Domain, name) {
        Ok(value) => Line::one(Entry::new((ObservableType::Domain, value, None))),
        Err(error) => Line::refused(error.to_string()),
    }
}

/// `24.0.2.0.192` is 192.0.2.0/24; `32.zz.db8.2001` is 2001:db8::/32.
fn reversed_range(reversed: &str) -> Option<String> {
    let (length, parts) = reversed.split_once('.')?;
    let mut parts: Vec<&str> = parts.split('.').collect();
    parts.reverse();
    if parts.len() == 4 && !parts.contains(&"zz") {
        return Some(format!("{}/{length}", parts.join(".")));
    }
    let mut address = parts.iter().map(|part| if *part == "zz" { "" } else { *part }).collect::<Vec<_>>().join(":");
    if address.starts_with(':') {
        address.insert(0, ':');
    }
    if address.ends_with(':') {
        address.push(':');
    }
    Some(format!("{address}/{length}"))
}

/// Whether a line sends a name to an address that goes nowhere.
pub(super) fn is_hosts_line(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next().is_some_and(|first| SINKS.contains(&first)) && words.next().is_some_and(|second| !second.starts_with('#'))
}

/// A line of a hosts file: each of its names but the machine's own.
pub(super) fn hosts(line: &str) -> Option<Line> {
    if !is_hosts_line(line) {
        return None;
    }
    let names = line.split('#').next().unwrap_or(line).split_whitespace().skip(1).take(MAX_NAMES);
    let entries: SmallVec<[Entry; 1]> = names
        .filter(|name| name.contains('.') && !OWN_NAMES.contains(name))
        .filter_map(|name| canonical(ObservableType::Domain, name).ok())
        .map(|value| Entry::new((ObservableType::Domain, value, None)))
        .collect();
    Some(if entries.is_empty() { Line::refused("no domain but the machine's own names") } else { Line::Entries(entries) })
}

/// XML and JSON: the term of an OpenIOC file if it tells its type by itself; nothing else.
pub(super) fn markup(line: &str) -> Option<Line> {
    let mut characters = line.chars();
    let (first, second) = (characters.next()?, characters.next());
    match first {
        '<' => Some(openioc_term(line).map_or_else(|| Line::refused("markup without a value"), Line::one)),
        '{' | '}' | ']' => Some(Line::refused("JSON, not a list")),
        '[' if matches!(second, None | Some('{' | '"' | '[' | ']')) => Some(Line::refused("JSON, not a list")),
        '"' if line.contains("\":") => Some(Line::refused("JSON, not a list")),
        _ => None,
    }
}

fn openioc_term(line: &str) -> Option<Entry> {
    let (_, content) = line.strip_prefix("<Content")?.split_once('>')?;
    let (content, _) = content.split_once("</")?;
    let found = detect_with_port(&content.replace("&amp;", "&"))?;
    // A file's name is only a part of a condition there.
    (!is_weak(found.0)).then(|| Entry::new(found))
}
