//! Writes into a hub what a directory holds and the hub lacks.
//!
//! Flow: [`apply`] reads the hub's own directory → groups → organisations, each with contact, networks and people → who acts for whom.
//! Invariant: which organisation is which is decided before anything is written, and what is in doubt is not touched; fields that one has are never
//! overwritten. A refusal of one thing is noted and the next is tried; a fault of the hub ends the run.
//! Not here: reading other systems (`misp`, `n6`), who is who (`matching`).

use super::super::Api;
use super::Report;
use super::directory::{Directory, Entry, GroupEntry, NetworkEntry, Person, escaped, of_hub, text};
use super::matching::{Match, decide};
use crate::cli::ImportOptions;
use anyhow::{Context, bail};
use model::ObservableType;
use model::canonical::canonical;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use ureq::http::Method;

/// What the history says.
const REASON: &str = "imported";

/// A hub being written to.
struct Target<'a> {
    api: &'a Api,
    options: &'a ImportOptions,
    keys: Option<File>,
    /// The hub's organisations by id.
    present: BTreeMap<String, Entry>,
    groups: BTreeSet<String>,
}

/// Writes what is missing.
///
/// # Errors
/// Where the hub cannot be reached or fails; what was done before stays, and is told in the report.
pub fn apply(api: &Api, directory: &Directory, options: &ImportOptions, report: &mut Report) -> anyhow::Result<()> {
    let present = of_hub(api)?;
    let groups = present.groups.iter().map(|group| group.id.clone()).collect();
    let keys = match &options.keys {
        Some(path) if !options.dry_run => Some(key_file(path).with_context(|| format!("--keys {}", path.display()))?),
        _ => None,
    };
    let present: BTreeMap<String, Entry> = present.organisations.into_iter().map(|entry| (entry.reference.clone(), entry)).collect();
    let decided = decide(directory, &present, &report.organisations);
    let mut target = Target { api, options, keys, present, groups };
    for group in &directory.groups {
        target.group(group, report)?;
    }
    let mut ids = Vec::with_capacity(decided.len());
    for (entry, found) in directory.organisations.iter().zip(decided) {
        ids.push(target.organisation(entry, found, report)?);
    }
    for (entry, id) in directory.organisations.iter().zip(&ids).filter(|(entry, _)| !entry.acts_for.is_empty()) {
        if let Some(id) = id {
            target.acts_for(entry, id, report)?;
        }
    }
    Ok(())
}

impl Target<'_> {
    fn group(&mut self, group: &GroupEntry, report: &mut Report) -> anyhow::Result<()> {
        let id = group.id.trim().to_lowercase();
        if self.groups.contains(&id) {
            report.count("groups there already");
            return Ok(());
        }
        let body = json!({ "id": id, "title": group.title, "named": group.named, "reason": REASON });
        if self.post("/api/v1/groups", &body, "group", &group.title, report)?.is_some() {
            report.count(self.word("groups added", "groups to add"));
            self.groups.insert(id);
        }
        Ok(())
    }

    /// Brings an organisation; gives its id here, `None` where it was not taken.
    fn organisation(&mut self, entry: &Entry, found: Match, report: &mut Report) -> anyhow::Result<Option<String>> {
        let id = match found {
            Match::Is(by, id) => {
                report.count("organisations there already");
                report.matched(entry, &id, by);
                id
            }
            Match::Doubtful(reason) => {
                report.refuse("organisation", &entry.name, &reason);
                return Ok(None);
            }
            Match::New if entry.own => {
                report.leave("organisation", &entry.name, "runs the hub that it comes from; each hub has one of its own");
                return Ok(None);
            }
            Match::New => match self.add(entry, report)? {
                Some(id) => id,
                None => return Ok(None),
            },
        };
        if !self.options.dry_run && !entry.reference.is_empty() {
            report.organisations.insert(entry.reference.clone(), id.clone());
        }
        let known = self.present.get(&id).cloned().unwrap_or_default();
        self.fields(&id, entry, &known, report)?;
        self.contact(&id, entry, &known, report)?;
        for network in &entry.networks {
            self.network(&id, entry, network, &known, report)?;
        }
        for person in &entry.people {
            self.person(&id, entry, person, &known, report)?;
        }
        Ok(Some(id))
    }

    fn add(&mut self, entry: &Entry, report: &mut Report) -> anyhow::Result<Option<String>> {
        let mut body = json!({ "name": entry.name, "kind": entry.kind });
        for (field, value) in [("constituency", &entry.constituency), ("sector", &entry.sector), ("country", &entry.country)] {
            if let (Some(value), Some(object)) = (value, body.as_object_mut()) {
                object.insert(field.to_owned(), json!(value));
            }
        }
        let answer = match self.try_post("/api/v1/organisations", &body)? {
            Ok(answer) => Some(answer),
            // Its sectors may be others than the usual ones.
            Err(reason) if entry.sector.is_some() && reason.contains("sector") => {
                report.refuse("sector", &entry.name, &reason);
                if let Some(object) = body.as_object_mut() {
                    object.remove("sector");
                }
                self.post("/api/v1/organisations", &body, "organisation", &entry.name, report)?
            }
            Err(reason) => {
                report.refuse("organisation", &entry.name, &reason);
                None
            }
        };
        let Some(answer) = answer else { return Ok(None) };
        report.count(self.word("organisations added", "organisations to add"));
        let id = if self.options.dry_run { format!("new: {}", entry.name) } else { text(&answer, &["id"]).context("the hub's answer holds no id")? };
        // What it has now is what it was added with.
        let known = Entry { reference: id.clone(), name: entry.name.clone(), sector: entry.sector.clone(), country: entry.country.clone(), ..Entry::default() };
        self.present.insert(id.clone(), known);
        Ok(Some(id))
    }

    /// Sets what the organisation lacks.
    fn fields(&mut self, id: &str, entry: &Entry, known: &Entry, report: &mut Report) -> anyhow::Result<()> {
        let mut changes = Map::new();
        let mut groups: BTreeSet<String> = known.groups.iter().cloned().collect();
        let before = groups.len();
        groups.extend(entry.groups.iter().map(|group| group.trim().to_lowercase()).filter(|group| self.groups.contains(group)));
        if groups.len() > before {
            changes.insert("groups".to_owned(), json!(groups));
        }
        // A default that is set is a decision; only one that the hub has just made by itself is replaced.
        if known.kind.is_empty() {
            for (field, value) in [("default_tlp", &entry.default_tlp), ("default_pap", &entry.default_pap)] {
                changes.extend(value.as_ref().map(|value| (field.to_owned(), json!(value))));
            }
            changes.extend(entry.named.filter(|named| *named).map(|named| ("named".to_owned(), json!(named))));
            changes.extend(entry.quota_per_day.map(|quota| ("quota_per_day".to_owned(), json!(quota))));
        }
        for (field, given, has) in [("sector", &entry.sector, &known.sector), ("country", &entry.country, &known.country)] {
            if let (Some(given), None) = (given, has) {
                changes.insert(field.to_owned(), json!(given));
            }
        }
        if changes.is_empty() { Ok(()) } else { self.change(id, &entry.name, changes, report) }
    }

    fn change(&mut self, id: &str, name: &str, mut changes: Map<String, Value>, report: &mut Report) -> anyhow::Result<()> {
        if !self.options.dry_run {
            let path = format!("/api/v1/organisations/{}", escaped(id));
            let current = self.api.get(&path, &[])?.json()?;
            changes.insert("version".to_owned(), current.get("version").cloned().unwrap_or(Value::Null));
            changes.insert("reason".to_owned(), json!(self.reason()));
            let answer = self.api.send_json(Method::PATCH, &path, &Value::Object(changes))?;
            if let Err(reason) = judged(&answer)? {
                report.refuse("organisation", name, &reason);
                return Ok(());
            }
        }
        report.count(self.word("organisations changed", "organisations to change"));
        Ok(())
    }

    fn contact(&mut self, id: &str, entry: &Entry, known: &Entry, report: &mut Report) -> anyhow::Result<()> {
        let Some(contact) = &entry.contact else { return Ok(()) };
        match &known.contact {
            Some(there) if there.eq_ignore_ascii_case(contact) => return Ok(()),
            Some(_) => {
                report.leave("contact", contact, "the organisation has another contact in the hub already");
                return Ok(());
            }
            None => {}
        }
        let path = format!("/api/v1/organisations/{}/contact", escaped(id));
        if self.post(&path, &json!({ "address": contact }), "contact", contact, report)?.is_some() {
            report.count(self.word("contacts set, to be verified", "contacts to set"));
        }
        Ok(())
    }

    fn network(&mut self, id: &str, entry: &Entry, network: &NetworkEntry, known: &Entry, report: &mut Report) -> anyhow::Result<()> {
        let form = |network: &NetworkEntry| (network.kind.clone(), canonical_value(network));
        if known.networks.iter().any(|there| form(there) == form(network)) {
            report.count("networks there already");
            return Ok(());
        }
        let path = format!("/api/v1/organisations/{}/networks", escaped(id));
        let mut body = json!({ "kind": network.kind, "value": network.value, "protected": network.protected });
        if let (Some(reason), Some(object)) = (&self.options.reason, body.as_object_mut()) {
            object.insert("reason".to_owned(), json!(reason));
        }
        let name = format!("{} of {}", network.value, entry.name);
        if self.post(&path, &body, "network", &name, report)?.is_some() {
            report.count(self.word("networks registered", "networks to register"));
        }
        Ok(())
    }

    fn person(&mut self, id: &str, entry: &Entry, person: &Person, known: &Entry, report: &mut Report) -> anyhow::Result<()> {
        if known.people.iter().any(|there| there.name == person.name) {
            report.count("people with a key already");
            return Ok(());
        }
        if self.options.keys.is_none() {
            report.leave("user", &person.name, "no key was made; --keys FILE makes one for each and writes it there");
            return Ok(());
        }
        let path = format!("/api/v1/organisations/{}/keys", escaped(id));
        let body = json!({ "role": person.role, "holder": person.name });
        let Some(answer) = self.post(&path, &body, "user", &person.name, report)? else { return Ok(()) };
        if let Some(file) = &mut self.keys {
            let cell = |text: &str| text.replace(['\t', '\n', '\r'], " ");
            let (key_id, key) = (text(&answer, &["id"]).unwrap_or_default(), text(&answer, &["key"]).context("the hub's answer holds no key")?);
            writeln!(file, "{}\t{}\t{}\t{key_id}\t{key}", cell(&entry.name), cell(&person.name), person.role)?;
            // A key that is made and not written down is lost.
            file.sync_all()?;
        }
        report.count(self.word("keys made", "keys to make"));
        Ok(())
    }

    fn acts_for(&mut self, entry: &Entry, id: &str, report: &mut Report) -> anyhow::Result<()> {
        let known: BTreeSet<String> = self.present.get(id).map(|known| known.acts_for.iter().cloned().collect()).unwrap_or_default();
        let mut all = known.clone();
        for reference in &entry.acts_for {
            match report.organisations.get(reference) {
                Some(other) => {
                    all.insert(other.clone());
                }
                None if self.options.dry_run => {}
                None => report.leave("delegation", &entry.name, &format!("acts for {reference}, which was not taken")),
            }
        }
        if all == known { Ok(()) } else { self.change(id, &entry.name, Map::from_iter([("acts_for".to_owned(), json!(all))]), report) }
    }

    /// Sends, and notes a refusal; `None` where it was refused.
    fn post(&self, path: &str, body: &Value, what: &str, name: &str, report: &mut Report) -> anyhow::Result<Option<Value>> {
        match self.try_post(path, body)? {
            Ok(answer) => Ok(Some(answer)),
            Err(reason) => {
                report.refuse(what, name, &reason);
                Ok(None)
            }
        }
    }

    /// Sends; a dry run sends nothing and is answered with nothing.
    fn try_post(&self, path: &str, body: &Value) -> anyhow::Result<Result<Value, String>> {
        if self.options.dry_run {
            return Ok(Ok(Value::Null));
        }
        let answer = self.api.send_json(Method::POST, path, body)?;
        Ok(match judged(&answer)? {
            Ok(()) => Ok(answer.json()?),
            Err(reason) => Err(reason),
        })
    }

    fn reason(&self) -> &str {
        self.options.reason.as_deref().unwrap_or(REASON)
    }

    fn word(&self, done: &'static str, to_do: &'static str) -> &'static str {
        if self.options.dry_run { to_do } else { done }
    }
}

/// A refusal of one thing, as words; a fault that concerns everything is an error.
fn judged(answer: &super::super::Answer) -> anyhow::Result<Result<(), String>> {
    match answer.status {
        200..=299 => Ok(Ok(())),
        400 | 404 | 409 | 413 | 422 => Ok(Err(answer.problem().to_string())),
        _ => Err(answer.problem()),
    }
}

fn canonical_value(network: &NetworkEntry) -> String {
    let kind = match network.kind.as_str() {
        "cidr" => ObservableType::Cidr,
        "domain" => ObservableType::Domain,
        "asn" => ObservableType::Asn,
        _ => ObservableType::Url,
    };
    canonical(kind, &network.value).map_or_else(|_| network.value.clone(), |value| value.to_string())
}

/// The file that keys are appended to; others may not read it.
fn key_file(path: &Path) -> anyhow::Result<File> {
    let is_new = !path.exists();
    let mut file = File::options().append(true).create(true).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        bail!("others can read this file; make it mode 0600");
    }
    if is_new {
        writeln!(file, "organisation\tholder\trole\tid\tkey")?;
    }
    Ok(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_compared_as_the_hub_writes_them() {
        let network = |kind: &str, value: &str| NetworkEntry { kind: kind.to_owned(), value: value.to_owned(), protected: false };
        assert_eq!(canonical_value(&network("cidr", "192.0.2.7/24")), "192.0.2.0/24");
        assert_eq!(canonical_value(&network("asn", "AS64500")), "64500");
        assert_eq!(canonical_value(&network("domain", "A.Example.")), "a.example");
        assert_eq!(canonical_value(&network("cidr", "nonsense")), "nonsense");
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        drop(key_file(&path).unwrap());
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("organisation\t"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(key_file(&path).is_err());
    }
}
