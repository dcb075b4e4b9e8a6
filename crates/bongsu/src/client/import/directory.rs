//! The directory as a file: who is who in a hub, without secrets, in the one shape that every import is brought into.
//!
//! Flow: `export directory` reads a hub through its doors → [`Directory`] → a JSON file; `import` reads that file, or what `misp` and
//! `n6` make of theirs, and [`super::apply`] writes it into a hub.
//! Invariant: no key, token or hash is ever in it; what stands in it can be read back as it is.
//! Not here: events (`export --format ndjson`), the history of records (a backup has it).

use super::super::lookup::plain;
use super::super::members::pages;
use super::super::{Api, parse, query};
use crate::cli::ExportArguments;
use crate::{Exit, output};
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// What the first field of the file says.
pub const KIND: &str = "bongsu-directory";
/// The version of the shape that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// Who is who.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Directory {
    /// [`KIND`].
    pub kind: String,
    /// [`VERSION`].
    pub version: u32,
    /// Organisations.
    #[serde(default)]
    pub organisations: Vec<Entry>,
    /// Groups for sharing.
    #[serde(default)]
    pub groups: Vec<GroupEntry>,
}

/// One organisation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Its id where it comes from: an `org_…`, a UUID of MISP, an id of n6.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is the organisation that runs the hub; it is never added, only matched.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
    /// Its line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constituency: Option<String>,
    /// Its sector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sector: Option<String>,
    /// Two-letter country code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Ids of the groups it belongs to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// References of the organisations it may act for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub acts_for: Vec<String>,
    /// Default marking of its events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_tlp: Option<String>,
    /// Default permissible actions of its events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_pap: Option<String>,
    /// Whether it is shown as reporter by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named: Option<bool>,
    /// Events a day it may send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_per_day: Option<u64>,
    /// Where it is told of abuse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// What it registered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkEntry>,
    /// Who has a key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<Person>,
}

/// One registration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetworkEntry {
    /// `cidr`, `domain`, `asn` or `url`.
    pub kind: String,
    /// Its value.
    pub value: String,
    /// Whether a system in it may not be touched.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
}

/// Someone who works with the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// A mail address, a name or a staff number.
    pub name: String,
    /// What the person's key may do.
    pub role: String,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupEntry {
    /// The id that audiences name it by.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// Whether its members let each other see who reported.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub named: bool,
}

impl Directory {
    /// An empty one.
    pub fn new() -> Self {
        Self { kind: KIND.to_owned(), version: VERSION, ..Self::default() }
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// Where it is another file, or one of a newer program.
    pub fn read(text: &[u8]) -> anyhow::Result<Self> {
        let directory: Self = serde_json::from_slice(text).context("this is no directory as `bongsu export directory` writes it")?;
        if directory.kind != KIND {
            bail!("this is no directory as `bongsu export directory` writes it: its kind is {:?}", output::shorten(&directory.kind, 40));
        }
        if directory.version > VERSION {
            bail!("the directory has version {}, this program reads up to {VERSION}", directory.version);
        }
        Ok(directory)
    }
}

/// Runs `export directory`.
pub fn export(arguments: &ExportArguments) -> anyhow::Result<Exit> {
    let api = Api::new(&arguments.connection)?;
    let directory = of_hub(&api)?;
    let mut text = serde_json::to_string_pretty(&directory)?;
    text.push('\n');
    if arguments.out == Path::new("-") {
        output::line(text.trim_end())?;
        return Ok(Exit::Done);
    }
    let target = if arguments.out.is_dir() { arguments.out.join("directory.json") } else { arguments.out.clone() };
    super::write_private(&target, text.as_bytes()).with_context(|| format!("--out {}", target.display()))?;
    output::note(&format!("{} organisations and {} groups written to {}", directory.organisations.len(), directory.groups.len(), target.display()));
    Ok(Exit::Done)
}

/// Reads a hub's directory through its doors, as far as the key may see it.
pub fn of_hub(api: &Api) -> anyhow::Result<Directory> {
    let own = text(&api.get("/api/v1/me", &[])?.json()?, &["organisation", "id"]);
    let mut directory = Directory::new();
    for row in pages(api, "/api/v1/organisations", "organisations")? {
        let row = parse(&row)?;
        let kind = plain(row.get("kind"));
        // Sources are made from the configuration and hold no keys.
        if kind != "source" {
            directory.organisations.push(entry(api, &row, kind, own.as_deref())?);
        }
    }
    // Oldest first: what acts for another comes after it, as it was added.
    directory.organisations.reverse();
    for row in pages(api, "/api/v1/groups", "groups")? {
        let row = parse(&row)?;
        directory.groups.push(GroupEntry { id: plain(row.get("id")), title: plain(row.get("title")), named: flag(&row, "named") });
    }
    Ok(directory)
}

fn entry(api: &Api, row: &Value, kind: String, own: Option<&str>) -> anyhow::Result<Entry> {
    let id = text(row, &["id"]).context("the hub lists an organisation without an id")?;
    let path = format!("/api/v1/organisations/{}", escaped(&id));
    let mut networks = Vec::new();
    for network in pages(api, &format!("{path}/networks"), "networks")? {
        let network = parse(&network)?;
        // What was rejected or is still asked for is no fact to carry elsewhere.
        if network.get("state").and_then(Value::as_str) == Some("approved") {
            networks.push(NetworkEntry { kind: plain(network.get("kind")), value: plain(network.get("value")), protected: flag(&network, "protected") });
        }
    }
    networks.sort_unstable();
    let mut people: BTreeMap<String, String> = BTreeMap::new();
    for key in pages(api, &format!("{path}/keys"), "keys")? {
        let key = parse(&key)?;
        let holds = matches!(key.get("state").and_then(Value::as_str), Some("active" | "rotating"));
        if let Some(holder) = text(&key, &["holder"]).filter(|_| holds) {
            people.insert(holder, plain(key.get("role")));
        }
    }
    Ok(Entry {
        own: own == Some(id.as_str()),
        name: plain(row.get("name")),
        kind,
        constituency: text(row, &["constituency"]),
        sector: text(row, &["sector"]),
        country: text(row, &["country"]),
        groups: texts(row, "groups"),
        acts_for: texts(row, "acts_for"),
        default_tlp: text(row, &["default_tlp"]),
        default_pap: text(row, &["default_pap"]),
        named: row.get("named").and_then(Value::as_bool),
        quota_per_day: row.get("quota_per_day").and_then(Value::as_u64),
        contact: contact(api, &path)?,
        networks,
        people: people.into_iter().map(|(name, role)| Person { name, role }).collect(),
        reference: id,
    })
}

/// Where an organisation is told of abuse; `None` where it has said nothing.
pub fn contact(api: &Api, path: &str) -> anyhow::Result<Option<String>> {
    let answer = api.get(&format!("{path}/contact"), &[])?;
    if answer.status == 404 { Ok(None) } else { Ok(text(&answer.json()?, &["address"])) }
}

/// A path segment, percent-encoded.
pub fn escaped(text: &str) -> String {
    let mut out = String::new();
    query::encode(text, &mut out);
    out
}

/// A text that is not empty, by the names that lead to it.
pub fn text(value: &Value, path: &[&str]) -> Option<String> {
    let found = path.iter().try_fold(value, |value, name| value.get(*name))?;
    found.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The texts of a list.
pub fn texts(value: &Value, name: &str) -> Vec<String> {
    value.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut directory = Directory::new();
        directory.groups.push(GroupEntry { id: "banks".to_owned(), title: "Banks".to_owned(), named: true });
        directory.organisations.push(Entry {
            reference: "org_1".to_owned(),
            name: "First".to_owned(),
            kind: "company".to_owned(),
            constituency: Some("private".to_owned()),
            groups: vec!["banks".to_owned()],
            networks: vec![NetworkEntry { kind: "cidr".to_owned(), value: "192.0.2.0/24".to_owned(), protected: true }],
            people: vec![Person { name: "a@first.example".to_owned(), role: "analyst".to_owned() }],
            ..Entry::default()
        });
        let text = serde_json::to_vec(&directory).unwrap();
        assert_eq!(Directory::read(&text).unwrap(), directory);
    }

    #[test]
    fn another_file_is_refused_with_words() {
        for (text, words) in
            [("{}", "no directory"), (r#"{"kind":"x","version":1}"#, "no directory"), (r#"{"kind":"bongsu-directory","version":9}"#, "version 9")]
        {
            assert!(format!("{:#}", Directory::read(text.as_bytes()).unwrap_err()).contains(words), "{text}");
        }
    }
}
