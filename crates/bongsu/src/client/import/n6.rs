//! The administrative data of n6 as a directory: organisations, their networks, where they are told, their users and groups.
//!
//! Flow: a JSON file, either with an object per organisation or with the rows of n6's tables under the tables' names → [`read`].
//! Invariant: what n6's operators entered as an organisation's own network is taken as such; blocked users and disabled addresses are not.
//! Not here: n6's events (`bongsu submit`, which reads n6's JSON and CSV), its sources, its criteria of access by source.

use super::directory::{Directory, Entry, GroupEntry, NetworkEntry, Person, text};
use super::misp::is_mail;
use super::{Choices, Report, slug};
use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// n6's tables of networks: the table, the list inside an organisation, the column, and our kind.
const NETWORKS: [(&str, &str, &str, &str); 4] = [
    ("inside_filter_asn", "inside_filter_asns", "asn", "asn"),
    ("inside_filter_ip_network", "inside_filter_ip_networks", "ip_network", "cidr"),
    ("inside_filter_fqdn", "inside_filter_fqdns", "fqdn", "domain"),
    ("inside_filter_url", "inside_filter_urls", "url", "url"),
];
/// What n6 has of an organisation and the hub has not.
const LEFT: [(&str, &str); 6] = [
    ("inside_filter_ccs", "a whole country belongs to the fallback owner (docs/owners.md)"),
    ("email_notification_times", "the member chooses times on its subscription"),
    ("email_notification_language", "the member chooses the language on its subscription"),
    ("inside_subsources", "sight follows marking and audience, not source by source"),
    ("threats_subsources", "sight follows marking and audience, not source by source"),
    ("search_subsources", "sight follows marking and audience, not source by source"),
];
/// Tables that say nothing an import could bring.
const KNOWN: [&str; 12] = [
    "org",
    "orgs",
    "user",
    "users",
    "org_group",
    "org_groups",
    "email_notification_address",
    "org_org_group_link",
    "org_group_link",
    "inside_filter_cc",
    "email_notification_time",
    "user_user_org",
];

/// Reads an export.
///
/// # Errors
/// Where it is no JSON or holds no organisation.
pub fn read(bytes: &[u8], choices: &Choices, report: &mut Report) -> anyhow::Result<Directory> {
    let data: Value = serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).context("no JSON")?;
    let rows = |names: [&str; 2]| names.iter().find_map(|name| data.get(*name)).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let orgs = rows(["orgs", "org"]);
    if orgs.is_empty() {
        bail!("holds no organisation of n6: expected an object with \"orgs\" or the tables of its database by name (docs/moving-in.md)");
    }
    let mut directory = Directory::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for row in orgs {
        let Some(id) = text(row, &["org_id"]) else {
            report.leave("organisation", "a row without org_id", "has no id");
            continue;
        };
        if places.contains_key(&id) {
            report.leave("organisation", &id, "is there twice; the first is taken");
            continue;
        }
        places.insert(id.clone(), directory.organisations.len());
        directory.organisations.push(organisation(row, id, choices, report));
    }
    tables(&data, &places, &mut directory, report);
    for row in rows(["users", "user"]) {
        let place = text(row, &["org_id"]).and_then(|id| places.get(&id).copied());
        user(row, place.and_then(|place| directory.organisations.get_mut(place)), report);
    }
    groups(&data, rows(["org_groups", "org_group"]), &places, &mut directory);
    for name in data.as_object().into_iter().flat_map(|fields| fields.keys()) {
        let known = KNOWN.contains(&name.as_str()) || NETWORKS.iter().any(|(table, _, _, _)| table == name);
        if !known {
            report.leave("table", name, "nothing in the hub answers to it");
        }
    }
    Ok(directory)
}

fn organisation(row: &Value, id: String, choices: &Choices, report: &mut Report) -> Entry {
    let name = text(row, &["actual_name"]).unwrap_or_else(|| id.clone());
    let mut entry =
        Entry { reference: id.clone(), name: name.clone(), kind: choices.kind.clone(), constituency: Some(choices.constituency.clone()), ..Entry::default() };
    for (_, list, column, kind) in NETWORKS {
        for cell in row.get(list).and_then(Value::as_array).into_iter().flatten() {
            network(&mut entry, cell, column, kind, report);
        }
    }
    for cell in row.get("email_notification_addresses").and_then(Value::as_array).into_iter().flatten() {
        address(&mut entry, cell, report);
    }
    if row.get("email_notification_enabled") == Some(&Value::Bool(false)) && entry.contact.take().is_some() {
        report.leave("contact", &name, "notifications are disabled for it in n6");
    }
    for person in row.get("users").and_then(Value::as_array).into_iter().flatten() {
        user(person, Some(&mut entry), report);
    }
    for group in row.get("org_groups").and_then(Value::as_array).into_iter().flatten() {
        if let Some(group) = cell_text(group, "org_group_id") {
            entry.groups.push(slug(&group, ""));
        }
    }
    for (field, reason) in LEFT {
        let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if row.get(field).is_some_and(|value| !is_empty(value)) {
            report.leave(field, &name, reason);
        }
    }
    if row.get("full_access") == Some(&Value::Bool(true)) {
        report.leave("full_access", &name, "make it an authority by hand if it is to see everything");
    }
    entry
}

/// Rows of tables beside the organisations'.
fn tables(data: &Value, places: &BTreeMap<String, usize>, directory: &mut Directory, report: &mut Report) {
    for (table, _, column, kind) in NETWORKS {
        for row in data.get(table).and_then(Value::as_array).into_iter().flatten() {
            match text(row, &["org_id"]).and_then(|id| places.get(&id)).and_then(|&place| directory.organisations.get_mut(place)) {
                Some(entry) => network(entry, row, column, kind, report),
                None => report.leave("network", &cell_text(row, column).unwrap_or_default(), "its organisation is not in the file"),
            }
        }
    }
    for row in data.get("email_notification_address").and_then(Value::as_array).into_iter().flatten() {
        match text(row, &["org_id"]).and_then(|id| places.get(&id)).and_then(|&place| directory.organisations.get_mut(place)) {
            Some(entry) => address(entry, row, report),
            None => report.leave("contact", &cell_text(row, "email").unwrap_or_default(), "its organisation is not in the file"),
        }
    }
}

fn network(entry: &mut Entry, cell: &Value, column: &str, kind: &str, report: &mut Report) {
    let Some(value) = cell_text(cell, column) else { return };
    // n6 compares URLs by a piece of text; a registration is a place on the web.
    if kind == "url" && !value.contains("://") {
        return report.leave("network", &value, "a piece of a URL; register the whole address by hand");
    }
    let network = NetworkEntry { kind: kind.to_owned(), value, protected: false };
    if !entry.networks.contains(&network) {
        entry.networks.push(network);
    }
}

/// One address is told of abuse; the others are named.
fn address(entry: &mut Entry, cell: &Value, report: &mut Report) {
    let Some(mail) = cell_text(cell, "email") else { return };
    match &entry.contact {
        None => entry.contact = Some(mail),
        Some(known) if *known == mail => {}
        Some(_) => report.leave("contact", &mail, "an organisation has one contact; more addresses belong on a subscription"),
    }
}

fn user(row: &Value, entry: Option<&mut Entry>, report: &mut Report) {
    let Some(login) = cell_text(row, "login") else { return };
    if row.get("is_blocked") == Some(&Value::Bool(true)) {
        return report.leave("user", &login, "blocked");
    }
    let Some(entry) = entry else { return report.leave("user", &login, "its organisation is not in the file") };
    if entry.contact.is_none() && is_mail(&login) {
        entry.contact = Some(login.clone());
    }
    if !entry.people.iter().any(|person| person.name == login) {
        entry.people.push(Person { name: login, role: "analyst".to_owned() });
    }
}

fn groups(data: &Value, rows: &[Value], places: &BTreeMap<String, usize>, directory: &mut Directory) {
    let mut titles: BTreeMap<String, String> = BTreeMap::new();
    let mut members: BTreeSet<(usize, String)> = BTreeSet::new();
    for row in rows {
        let Some(name) = cell_text(row, "org_group_id") else { continue };
        let id = slug(&name, "");
        titles.insert(id.clone(), text(row, &["comment"]).map_or_else(|| name.clone(), |comment| format!("{name}: {comment}").chars().take(200).collect()));
        for org in row.get("orgs").and_then(Value::as_array).into_iter().flatten() {
            members.extend(cell_text(org, "org_id").and_then(|org| places.get(&org)).map(|&place| (place, id.clone())));
        }
    }
    for row in ["org_org_group_link", "org_group_link"].iter().filter_map(|table| data.get(*table)).filter_map(Value::as_array).flatten() {
        let place = text(row, &["org_id"]).and_then(|org| places.get(&org).copied());
        members.extend(place.zip(cell_text(row, "org_group_id").map(|group| slug(&group, ""))));
    }
    for (place, id) in members {
        if let Some(entry) = directory.organisations.get_mut(place)
            && !entry.groups.contains(&id)
        {
            entry.groups.push(id);
        }
    }
    for id in directory.organisations.iter().flat_map(|entry| &entry.groups) {
        titles.entry(id.clone()).or_insert_with(|| id.clone());
    }
    directory.groups = titles.into_iter().map(|(id, title)| GroupEntry { id, title, named: false }).collect();
}

/// A cell: the value itself, or a row that holds it.
fn cell_text(cell: &Value, column: &str) -> Option<String> {
    let value = cell.get(column).unwrap_or(cell);
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_and_tables_of_n6_give_the_same_directory() {
        let objects = json!({
            "orgs": [{"org_id": "a.example", "actual_name": "A", "inside_filter_asns": [64500], "inside_filter_ip_networks": ["192.0.2.0/24"], "inside_filter_fqdns": ["a.example"],
                "email_notification_addresses": ["abuse@a.example"], "org_groups": ["Banks"], "users": [{"login": "x@a.example", "is_blocked": false}]}],
            "org_groups": [{"org_group_id": "Banks", "comment": null}],
        });
        let tables = json!({
            "org": [{"org_id": "a.example", "actual_name": "A"}],
            "inside_filter_asn": [{"asn": 64500, "org_id": "a.example"}],
            "inside_filter_ip_network": [{"ip_network": "192.0.2.0/24", "org_id": "a.example"}],
            "inside_filter_fqdn": [{"fqdn": "a.example", "org_id": "a.example"}],
            "email_notification_address": [{"email": "abuse@a.example", "org_id": "a.example"}],
            "org_group": [{"org_group_id": "Banks"}],
            "org_org_group_link": [{"org_id": "a.example", "org_group_id": "Banks"}],
            "user": [{"login": "x@a.example", "org_id": "a.example", "is_blocked": false}],
        });
        let read = |value: &Value| {
            let mut report = Report::default();
            let directory = read(value.to_string().as_bytes(), &Choices::default(), &mut report).unwrap();
            assert_eq!(report.left().count(), 0);
            directory
        };
        let directory = read(&objects);
        assert_eq!(directory, read(&tables));
        let entry = &directory.organisations[0];
        assert_eq!((entry.name.as_str(), entry.networks.len(), entry.contact.as_deref(), entry.groups[0].as_str()), ("A", 3, Some("abuse@a.example"), "banks"));
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        let data = json!({
            "orgs": [{"org_id": "a", "inside_filter_urls": ["a.example/x"], "inside_filter_ccs": ["KR"], "full_access": true, "email_notification_enabled": false,
                "email_notification_addresses": ["a@a.example", "b@a.example"], "users": [{"login": "x", "is_blocked": true}]}, {"x": 1}],
            "inside_filter_asn": [{"asn": 1, "org_id": "gone"}],
            "source": [],
        });
        let mut report = Report::default();
        let directory = read(data.to_string().as_bytes(), &Choices::default(), &mut report).unwrap();
        assert_eq!((directory.organisations.len(), directory.organisations[0].contact.clone()), (1, None));
        let left: BTreeSet<&str> = report.left().map(|left| left.what.as_str()).collect();
        assert_eq!(left, BTreeSet::from(["network", "inside_filter_ccs", "full_access", "contact", "user", "organisation", "table"]));
        assert!(read(b"{}", &Choices::default(), &mut report).is_err());
    }
}
