//! What one source is: the `[[sources]]` tables of the configuration, read and checked.
//!
//! Flow: `bongsu::config` deserialises → [`check`] before the hub opens → `Sources` runs them.
//! Invariant: a source that passed [`check`] has a name, a place and a rhythm that make sense together; secrets are named by file, never held here.
//! Not here: what a run does (`schedule`, `take`), how a source is asked (`fetch` and the rooms of its kinds).

use model::{Category, Pap, Redistribution, Role, Tlp};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// Sources at the most.
pub const MAX_SOURCES: usize = 500;
/// The shortest time between two runs.
pub const LEAST_EVERY: Duration = Duration::from_secs(60);
/// The longest time between two runs, and the longest silence.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// Headers, columns and senders of one source at the most.
const MAX_NAMED: usize = 100;
/// Characters of a source's name.
const MAX_NAME: usize = 48;

/// How a source is asked and what it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One value per line.
    List,
    /// A table with a header.
    Csv,
    /// One JSON document: an array of objects, or an object that holds one.
    Json,
    /// One JSON object per line.
    Ndjson,
    /// A STIX bundle.
    Stix,
    /// A MISP feed: a manifest and a file per event.
    MispFeed,
    /// A collection of a TAXII 2.1 server.
    Taxii,
    /// Reports of Shadowserver: a folder, or their interface.
    Shadowserver,
    /// A maildir of which the attachments are taken.
    Mail,
    /// A folder of which each new file is taken.
    Folder,
}

impl Kind {
    /// Every kind.
    pub const ALL: &'static [Self] =
        &[Self::List, Self::Csv, Self::Json, Self::Ndjson, Self::Stix, Self::MispFeed, Self::Taxii, Self::Shadowserver, Self::Mail, Self::Folder];

    /// The name in configuration and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Stix => "stix",
            Self::MispFeed => "misp-feed",
            Self::Taxii => "taxii",
            Self::Shadowserver => "shadowserver",
            Self::Mail => "mail",
            Self::Folder => "folder",
        }
    }

    /// Whether each run gives everything there is, so that fewer entries than before mean something.
    pub const fn gives_all(self) -> bool {
        match self {
            Self::List | Self::Csv | Self::Json | Self::Ndjson | Self::Stix => true,
            Self::MispFeed | Self::Taxii | Self::Shadowserver | Self::Mail | Self::Folder => false,
        }
    }
}

/// What is expected of a source; what differs raises an alarm.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Entries of a run at the least; only for sources of which each run gives all.
    pub min_entries: u64,
    /// How many times more or fewer entries than the median of the last runs are believed.
    pub max_change: f64,
    /// How long a source may bring nothing new.
    #[serde(deserialize_with = "some_duration")]
    pub silence: Option<Duration>,
    /// Refused entries of a run in percent, from which on something is wrong.
    pub max_refused: f64,
}

impl Default for Expect {
    fn default() -> Self {
        Self { min_entries: 0, max_change: 10.0, silence: None, max_refused: 20.0 }
    }
}

/// One `[[sources]]` table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceOptions {
    /// Its name, a slug; its organisation is known by it.
    pub name: String,
    /// How it is asked and what it gives.
    pub kind: Kind,
    /// Where it is, `https://…`; `http://` only inside `outbound.allow`.
    #[serde(default)]
    pub url: Option<String>,
    /// The file, folder or maildir instead.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// Time between two runs: `15m`, `1h`, `1d`.
    #[serde(default = "hourly", deserialize_with = "duration")]
    pub every: Duration,
    /// Headers of each request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// User of HTTP Basic.
    #[serde(default)]
    pub user: Option<String>,
    /// File with the password of HTTP Basic.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// File with a key that is sent in `key_header`.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// The header that carries the key.
    #[serde(default = "authorization")]
    pub key_header: String,
    /// Their column or field → our field.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// Name of the field that holds the entries of a JSON document that is no array; steps by dots.
    #[serde(default)]
    pub entries: Option<String>,
    /// Category of entries that have none.
    #[serde(default)]
    pub category: Option<Category>,
    /// Marking of entries that have none.
    #[serde(default)]
    pub tlp: Option<Tlp>,
    /// Permissible actions of entries that have none.
    #[serde(default)]
    pub pap: Option<Pap>,
    /// To whom its licence lets it be given on.
    #[serde(default = "to_none")]
    pub redistribute: Redistribution,
    /// Confidence of entries that have none, 0 to 100.
    #[serde(default)]
    pub confidence: Option<u8>,
    /// Role of values that have none.
    #[serde(default)]
    pub role: Option<Role>,
    /// Whether each run is the whole state: what vanishes from it is delisted.
    #[serde(default)]
    pub snapshot: bool,
    /// What is expected of it.
    #[serde(default)]
    pub expect: Expect,
    /// The partner whose events these are, `org_…`, instead of the source's own organisation.
    #[serde(default)]
    pub partner: Option<model::OrgId>,
    /// Senders whose mail is taken: addresses, or `@domain`.
    #[serde(default)]
    pub senders: Vec<String>,
    /// Collection of a TAXII server: its id, title or alias; every readable one where it is absent.
    #[serde(default)]
    pub collection: Option<String>,
    /// Names of the files or attachments that are taken, `*` standing for anything; all where there are none.
    #[serde(default)]
    pub files: Vec<String>,
    /// Whether it runs by itself.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn hourly() -> Duration {
    Duration::from_secs(3_600)
}

fn authorization() -> String {
    "Authorization".to_owned()
}

const fn to_none() -> Redistribution {
    Redistribution::None
}

const fn yes() -> bool {
    true
}

/// Parses `90s`, `15m`, `1h`, `2d`, `1w`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|character: char| !character.is_ascii_digit())?);
    let factor = match unit.trim() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).map(Duration::from_secs).filter(|duration| *duration <= LONGEST)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?}: expected a time such as \"15m\", \"1h\" or \"2d\"")))
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// Checks all sources together: what is wrong, naming the source and the key.
///
/// # Errors
/// The first fault found, in words for the operator.
pub fn check(sources: &[SourceOptions]) -> Result<(), String> {
    if sources.len() > MAX_SOURCES {
        return Err(format!("sources: {} tables, at most {MAX_SOURCES} are taken", sources.len()));
    }
    let mut names = BTreeSet::new();
    for source in sources {
        let of = |key: &str, what: &str| Err(format!("sources: {:?}: {key}: {what}", source.name));
        if !is_slug(&source.name) {
            return of("name", "expected lower-case letters, digits and hyphens, 48 characters at the most");
        }
        if !names.insert(source.name.as_str()) {
            return of("name", "is given twice");
        }
        check_place(source).map_err(|reason| format!("sources: {:?}: {reason}", source.name))?;
        if source.every < LEAST_EVERY {
            return of("every", "expected at least 1m");
        }
        if source.confidence.is_some_and(|confidence| confidence > 100) {
            return of("confidence", "expected 0 to 100");
        }
        if source.headers.len() > MAX_NAMED || source.columns.len() > MAX_NAMED || source.senders.len() > MAX_NAMED {
            return of("headers, columns, senders", "expected 100 at the most");
        }
        if source.user.is_some() != source.password_file.is_some() {
            return of("user, password_file", "one needs the other");
        }
        if source.user.is_some() && source.key_file.is_some() && source.key_header.eq_ignore_ascii_case("authorization") {
            return of("key_file", "user and key_file cannot both be sent in Authorization; name another key_header");
        }
        for (name, value) in source.headers.iter().chain([(&source.key_header, &String::new())]) {
            if !is_header(name) || value.chars().any(char::is_control) {
                return of("headers", "expected names and values that HTTP allows");
            }
        }
        for file in [&source.password_file, &source.key_file].into_iter().flatten() {
            if !file.is_file() {
                return of("password_file, key_file", &format!("{}: expected a file", file.display()));
            }
        }
        let expect = &source.expect;
        if !(expect.max_change.is_finite() && expect.max_change >= 1.5) {
            return of("expect.max_change", "expected a ratio of at least 1.5");
        }
        if !(0.0..=100.0).contains(&expect.max_refused) {
            return of("expect.max_refused", "expected percent, 0 to 100");
        }
        if source.snapshot && !(source.kind.gives_all() || source.kind == Kind::MispFeed) {
            return of("snapshot", "this kind brings what is new, never the whole state");
        }
        if !source.columns.is_empty() && matches!(source.kind, Kind::Stix | Kind::MispFeed | Kind::Taxii | Kind::List) {
            return of("columns", "this kind has no columns");
        }
        if let Some(unknown) = source.columns.values().find(|ours| !formats::csv::is_field(ours) && !ours.starts_with("extra.")) {
            return of("columns", &format!("{unknown:?} is no field of ours; see formats.md, or write extra.{unknown} to keep it"));
        }
        if source.entries.is_some() && source.kind != Kind::Json {
            return of("entries", "only for kind = \"json\"");
        }
        if source.collection.is_some() && source.kind != Kind::Taxii {
            return of("collection", "only for kind = \"taxii\"");
        }
        if !source.files.is_empty() && !matches!(source.kind, Kind::Mail | Kind::Shadowserver) {
            return of("files", "only for the kinds mail and shadowserver");
        }
        if source.files.len() > MAX_NAMED {
            return of("files", "expected 100 at the most");
        }
    }
    Ok(())
}

/// Whether the place suits the kind.
fn check_place(source: &SourceOptions) -> Result<(), String> {
    match (&source.url, &source.path) {
        (None, None) => Err("url: expected an address, or a path".to_owned()),
        (Some(_), Some(_)) => Err("url, path: expected one of them".to_owned()),
        (Some(url), None) => {
            if matches!(source.kind, Kind::Mail | Kind::Folder) {
                return Err("path: expected a folder".to_owned());
            }
            let parsed = url::Url::parse(url).map_err(|error| format!("url: {error}"))?;
            if !matches!(parsed.scheme(), "https" | "http") || parsed.host_str().is_none() {
                return Err("url: expected https://…".to_owned());
            }
            if !parsed.username().is_empty() || parsed.password().is_some() {
                return Err("url: a user or password does not belong here; see user and password_file".to_owned());
            }
            Ok(())
        }
        (None, Some(path)) => {
            let is_folder = matches!(source.kind, Kind::Mail | Kind::Folder | Kind::Shadowserver);
            if source.kind == Kind::Taxii {
                return Err("url: expected the address of a collection".to_owned());
            }
            if !path.is_absolute() {
                return Err(format!("path: {}: expected an absolute path", path.display()));
            }
            // A file may come later; a folder that is missing is a slip of the pen.
            if is_folder && !path.is_dir() {
                return Err(format!("path: {}: expected a folder", path.display()));
            }
            Ok(())
        }
    }
}

fn is_slug(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn source(more: Value) -> SourceOptions {
        let mut fields = json!({ "name": "feed", "kind": "list", "url": "https://feed.example/list.txt" });
        for (name, value) in more.as_object().unwrap() {
            fields[name] = value.clone();
        }
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn what_is_not_said_is_cautious() {
        let plain = source(json!({}));
        check(std::slice::from_ref(&plain)).unwrap();
        assert_eq!((plain.every, plain.redistribute, plain.enabled, plain.snapshot), (Duration::from_secs(3_600), Redistribution::None, true, false));
        assert_eq!((plain.expect.max_change, plain.expect.max_refused, plain.expect.silence), (10.0, 20.0, None));
        let told = source(json!({ "every": "15m", "expect": { "min_entries": 5, "max_change": 5.0, "silence": "2d" }, "redistribute": "public" }));
        assert_eq!((told.every.as_secs(), told.expect.silence.unwrap().as_secs(), told.expect.min_entries), (900, 172_800, 5));
    }

    #[test]
    fn times_have_units_and_an_end() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1 h", 3_600), ("2d", 172_800), ("1w", 604_800)] {
            assert_eq!(parse_duration(text).map(|time| time.as_secs()), Some(seconds), "{text}");
        }
        for text in ["", "5", "h", "1y", "-1h", "1.5h", "9999999999999999999d", "400d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_source_and_key() {
        for (more, key) in [
            (json!({ "name": "Feed One" }), "name"),
            (json!({ "url": "ftp://feed.example/" }), "url"),
            (json!({ "url": "https://user:secret@feed.example/" }), "user"),
            (json!({ "url": null }), "url"),
            (json!({ "path": "/srv/feed" }), "url, path"),
            (json!({ "every": "30s" }), "every"),
            (json!({ "confidence": 101 }), "confidence"),
            (json!({ "user": "me" }), "password_file"),
            (json!({ "key_file": "/nowhere/key" }), "key_file"),
            (json!({ "headers": { "Bad Header": "x" } }), "headers"),
            (json!({ "headers": { "X": "a\nb" } }), "headers"),
            (json!({ "expect": { "max_change": 1.0 } }), "max_change"),
            (json!({ "kind": "taxii", "snapshot": true }), "snapshot"),
            (json!({ "columns": { "a": "ip" } }), "columns"),
            (json!({ "kind": "csv", "columns": { "a": "colour" } }), "columns"),
            (json!({ "kind": "csv", "entries": "a" }), "entries"),
            (json!({ "kind": "folder" }), "path"),
        ] {
            let refusal = check(&[source(more.clone())]).unwrap_err();
            assert!(refusal.contains(key), "{more}: {refusal}");
        }
        let twice = [source(json!({})), source(json!({}))];
        assert!(check(&twice).unwrap_err().contains("given twice"));
        check(&[source(json!({ "kind": "csv", "columns": { "a": "ip", "b": "extra.colour", "2": "time" } }))]).unwrap();
    }
}
