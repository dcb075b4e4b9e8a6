//! `org` and `key`: organisations with their agreements, and keys.
//!
//! Invariant: `add` and `rotate` print the id or the secret alone, so that a script can keep it; a secret is printed once and nowhere else.
//! Not here: who may do it (the hub decides).

use super::lookup::{plain, shown};
use super::pages::Pages;
use super::{Answer, Api, parse, query};
use crate::cli::{Connection, KeyCommand, OrgCommand};
use crate::{Exit, output};
use anyhow::{Context, anyhow, bail};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::io::Write;
use ureq::http::Method;

/// Rows a request.
const PAGE: u64 = 1_000;
/// Organisations named where a name fits none or several.
const NEAR: usize = 10;

/// Runs `org`.
pub fn organisations(command: &OrgCommand) -> anyhow::Result<Exit> {
    match command {
        OrgCommand::Add { name, kind, constituency, sector, country, json, connection } => {
            let mut body = json!({ "name": name, "kind": kind });
            set(&mut body, "constituency", constituency.map(|word| json!(word)));
            set(&mut body, "sector", sector.as_ref().map(|text| json!(text)));
            set(&mut body, "country", country.as_ref().map(|text| json!(text)));
            let answer = Api::new(connection)?.send_json(Method::POST, "/api/v1/organisations", &body)?;
            alone(&answer, "id", *json)?;
        }
        OrgCommand::List { json, connection } => {
            let rows = pages(&Api::new(connection)?, "/api/v1/organisations", "organisations")?;
            list(&rows, &["id", "kind", "constituency", "sector", "country", "standing", "name"], "organisations", *json)?;
        }
        OrgCommand::Show { id, json, connection } => {
            let api = Api::new(connection)?;
            let answer = api.get(&organisation(&named_or_own(&api, id.as_deref())?), &[])?;
            whole(&answer, *json)?;
        }
        OrgCommand::Agreement { id, max_tlp, strict, categories, sectors, names, expires, sends_max_tlp, sends_categories, end, reason, json, connection } => {
            let api = Api::new(connection)?;
            let (partner, name) = partner(&api, id.as_deref())?;
            let path = format!("{}/agreement", organisation(&partner));
            let answer = match max_tlp {
                None if !end => api.get(&path, &[])?,
                None => api.send_json(Method::DELETE, &path, &json!({ "version": version(&api, &path)?, "reason": reason }))?,
                Some(max_tlp) => {
                    let mut sends = json!({});
                    set(&mut sends, "max_tlp", sends_max_tlp.map(|tlp| json!(tlp)));
                    set(&mut sends, "categories", (!sends_categories.is_empty()).then(|| json!(sends_categories)));
                    let mut body = json!({ "version": version(&api, &path)?, "reason": reason, "max_tlp": max_tlp, "names": names, "sends": sends });
                    set(&mut body, "strict", strict.then(|| json!(true)));
                    set(&mut body, "categories", (!categories.is_empty()).then(|| json!(categories)));
                    set(&mut body, "sectors", (!sectors.is_empty()).then(|| json!(sectors)));
                    set(&mut body, "expires", expires.map(|time| json!(time)));
                    api.send_json(Method::PUT, &path, &body)?
                }
            };
            if *json {
                output::line(answer.raw()?.get())?;
            } else {
                agreement(&answer.json()?, &name).iter().try_for_each(|line| output::line(line))?;
            }
        }
        OrgCommand::Set { id, changes, reason, json, connection } => {
            let api = Api::new(connection)?;
            let version = version(&api, &organisation(id))?;
            let mut body = Map::new();
            body.insert("version".to_owned(), json!(version));
            body.insert("reason".to_owned(), json!(reason));
            for change in changes {
                let (field, value) = change.split_once('=').ok_or_else(|| anyhow!("{change}: expected FIELD=VALUE"))?;
                body.insert(field.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| json!(value)));
            }
            let answer = api.send_json(Method::PATCH, &organisation(id), &Value::Object(body))?;
            whole(&answer, *json)?;
        }
    }
    Ok(Exit::Done)
}

/// Runs `key`.
pub fn keys(command: &KeyCommand) -> anyhow::Result<Exit> {
    match command {
        KeyCommand::Add { org, role, expires, allow, red, holder, json, connection } => {
            let mut body = json!({ "role": role });
            set(&mut body, "expires", expires.map(|time| json!(time)));
            set(&mut body, "allow", (!allow.is_empty()).then(|| json!(allow)));
            set(&mut body, "red", red.then(|| json!(true)));
            set(&mut body, "holder", holder.as_ref().map(|text| json!(text)));
            secret(connection, &format!("{}/keys", organisation(org)), &body, *json)?;
        }
        KeyCommand::List { org, json, connection } => {
            let api = Api::new(connection)?;
            let rows = pages(&api, &format!("{}/keys", organisation(&named_or_own(&api, org.as_deref())?)), "keys")?;
            list(&rows, &["id", "role", "state", "expires", "valid_until", "last_used", "red", "allow", "holder"], "keys", *json)?;
        }
        KeyCommand::Rotate { org, key, overlap, json, connection } => {
            let mut body = json!({});
            set(&mut body, "overlap", overlap.map(|seconds| json!(seconds)));
            secret(connection, &format!("{}/rotate", key_path(org, key)), &body, *json)?;
        }
        KeyCommand::Revoke { org, key, reason, json, connection } => {
            let answer = Api::new(connection)?.send_json(Method::POST, &format!("{}/revoke", key_path(org, key)), &json!({ "reason": reason }))?;
            if !(200..300).contains(&answer.status) {
                return Err(answer.problem());
            }
            if *json && !answer.body.is_empty() {
                output::line(answer.raw()?.get())?;
            } else {
                output::note(&format!("{key} is revoked"));
            }
        }
    }
    Ok(Exit::Done)
}

/// The version of a record as it is now.
fn version(api: &Api, path: &str) -> anyhow::Result<u64> {
    let current = api.get(path, &[])?.json()?;
    current.get("version").and_then(Value::as_u64).context("the hub's answer holds no version")
}

/// The id of an organisation that is given by its id or, where one alone has it, by its name.
pub(super) fn resolve(api: &Api, given: &str) -> anyhow::Result<String> {
    if given.parse::<model::OrgId>().is_ok() {
        return Ok(given.to_owned());
    }
    by_name(&organisations_named(api)?, given)
}

/// Id and name of every organisation that the key may know.
pub(super) fn organisations_named(api: &Api) -> anyhow::Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for row in pages(api, "/api/v1/organisations", "organisations")? {
        let row = parse(&row)?;
        all.push((plain(row.get("id")), plain(row.get("name"))));
    }
    Ok(all)
}

/// The id of the key's own organisation.
pub(super) fn own(api: &Api) -> anyhow::Result<String> {
    let me = api.get("/api/v1/me", &[])?.json()?;
    me.pointer("/organisation/id").and_then(Value::as_str).map(str::to_owned).context("the hub's answer holds no organisation")
}

/// The id of the organisation that is named, or of the key's own.
fn named_or_own(api: &Api, named: Option<&str>) -> anyhow::Result<String> {
    named.map_or_else(|| own(api), |named| resolve(api, named))
}

/// Id and name of the partner that is meant: the one named, or the key's own organisation.
fn partner(api: &Api, named: Option<&str>) -> anyhow::Result<(String, String)> {
    let Some(named) = named else {
        let me = api.get("/api/v1/me", &[])?.json()?;
        let organisation = me.get("organisation").context("the hub's answer holds no organisation")?;
        if !is_partner(organisation) {
            bail!("your organisation is no partner; name one: bongsu org agreement NAME");
        }
        return Ok((plain(organisation.get("id")), plain(organisation.get("name"))));
    };
    let id = resolve(api, named)?;
    let record = api.get(&organisation(&id), &[])?.json()?;
    if !is_partner(&record) {
        bail!("{} is no partner, and agreements are with partners alone", plain(record.get("name")));
    }
    Ok((id, plain(record.get("name"))))
}

/// Whether an organisation is one with which there can be an agreement.
fn is_partner(organisation: &Value) -> bool {
    organisation.get("kind").and_then(Value::as_str) == Some(model::OrgKind::Partner.as_str())
}

/// The id of the only organisation of a name, whatever its case; else an error that names what is near.
fn by_name(all: &[(String, String)], given: &str) -> anyhow::Result<String> {
    let wanted = given.trim().to_lowercase();
    let listed = |found: &[&(String, String)]| {
        let lines: Vec<String> = found.iter().take(NEAR).map(|(id, name)| format!("\n  {id}  {name}")).collect();
        lines.concat()
    };
    let named: Vec<&(String, String)> = all.iter().filter(|(_, name)| name.trim().to_lowercase() == wanted).collect();
    match named.as_slice() {
        [one] => return Ok(one.0.clone()),
        [] => {}
        several => bail!("{} organisations are named {given}; give one's id:{}", several.len(), listed(several)),
    }
    let near: Vec<&(String, String)> = all.iter().filter(|(_, name)| !wanted.is_empty() && name.to_lowercase().contains(&wanted)).collect();
    match near.as_slice() {
        [] => bail!("{given} is neither an organisation's id nor the name of one that you may know; `bongsu org list` has all"),
        near => bail!("{given} is neither an organisation's id nor its whole name; near are:{}", listed(near)),
    }
}

/// Asks for a new key and prints it.
fn secret(connection: &Connection, path: &str, body: &Value, json: bool) -> anyhow::Result<()> {
    let answer = Api::new(connection)?.send_json(Method::POST, path, body)?;
    alone(&answer, "key", json)
}

pub(super) fn organisation(id: &str) -> String {
    let mut path = "/api/v1/organisations/".to_owned();
    query::encode(id, &mut path);
    path
}

fn key_path(org: &str, key: &str) -> String {
    let mut path = format!("{}/keys/", organisation(org));
    query::encode(key, &mut path);
    path
}

fn set(body: &mut Value, field: &str, value: Option<Value>) {
    if let (Some(object), Some(value)) = (body.as_object_mut(), value) {
        object.insert(field.to_owned(), value);
    }
}

/// Every row of a list.
pub(super) fn pages(api: &Api, path: &str, field: &'static str) -> anyhow::Result<Vec<Box<RawValue>>> {
    let pages = Pages::new(api, path, field, Vec::new());
    // The other lists have pages of the hub's own size.
    if path.ends_with("/organisations") { pages.of(PAGE).all() } else { pages.all() }
}

/// The fields of an object as the hub wrote them, in its order.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry::<String, Box<RawValue>>()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// Prints rows as a table, or as they are; where there is none, that there are no such things, which `what` names.
pub(super) fn list(rows: &[Box<RawValue>], columns: &[&str], what: &str, json: bool) -> anyhow::Result<()> {
    if rows.is_empty() {
        output::note(&format!("no {what}"));
        return Ok(());
    }
    let mut out = output::standard();
    if json {
        for row in rows {
            writeln!(out, "{row}")?;
        }
    } else {
        let mut cells: Vec<Vec<String>> = Vec::with_capacity(rows.len());
        for row in rows {
            let row = parse(row)?;
            cells.push(columns.iter().map(|&column| if column == "value" { shown(&row) } else { plain(row.get(column)) }).collect());
        }
        let titles: Vec<String> = columns.iter().map(|column| column.replace('_', " ")).collect();
        let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
        output::table(&mut out, &titles, &cells)?;
    }
    Ok(out.flush()?)
}

/// Prints one field alone, or everything.
fn alone(answer: &Answer, field: &str, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(output::line(answer.raw()?.get())?);
    }
    let answer = answer.json()?;
    let value = answer.get(field).and_then(Value::as_str).with_context(|| format!("the hub's answer holds no {field}"))?;
    Ok(output::line(value)?)
}

/// Prints every field, one a line, or everything as JSON.
fn whole(answer: &Answer, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(output::line(answer.raw()?.get())?);
    }
    for (field, value) in &answer.read::<Fields>()?.0 {
        let mut lines = Vec::new();
        flat(field, &parse(value)?, &mut lines);
        lines.iter().try_for_each(|line| output::line(line))?;
    }
    Ok(())
}

/// A field as a line; an object as a line for each field of it, named after both.
fn flat(name: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(field, value)| flat(&format!("{name}.{field}"), value, lines)),
        other => lines.push(format!("{name:<16} {}", plain(Some(other)))),
    }
}

/// What is agreed with a partner, line by line, for people.
fn agreement(answer: &Value, name: &str) -> Vec<String> {
    let said = |pointer: &str, otherwise: &str| {
        let value = plain(answer.pointer(pointer));
        if value.is_empty() { otherwise.to_owned() } else { value }
    };
    let is = |pointer: &str| answer.pointer(pointer).and_then(Value::as_bool).unwrap_or_default();
    let line = |title: &str, value: String| format!("{title:<16} {value}");
    let mut lines = vec![line("partner", format!("{name} ({})", said("/organisation", "")))];
    if answer.get("agreement").is_none_or(Value::is_null) {
        lines.push(line("agreement", "none: the partner sees clear and green, and no reporter's name".to_owned()));
    } else {
        let strict = if is("/agreement/strict") { "amber+strict is covered" } else { "amber+strict is not covered" };
        let names = if is("/agreement/names") { "named where they permit it anyway" } else { "withheld" };
        lines.push(line("in force", if is("/holds") { "yes" } else { "no: its date is past; the partner sees clear and green" }.to_owned()));
        lines.push(line("until", said("/agreement/expires", "no end")));
        lines.push(line("sees up to", format!("{}; {strict}", said("/agreement/max_tlp", ""))));
        lines.push(line("  above green", format!("categories: {}", said("/agreement/categories", "any"))));
        lines.push(line("", format!("sectors: {}", said("/agreement/sectors", "any, and none"))));
        lines.push(line("reporters", names.to_owned()));
        lines.push(line("may send up to", said("/agreement/sends/max_tlp", "any marking")));
        lines.push(line("", format!("categories: {}", said("/agreement/sends/categories", "any"))));
        lines.push(line("collection", said("/collection", "")));
    }
    lines.push(line("version", format!("{}, changed {}", said("/version", ""), said("/updated", ""))));
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        assert_eq!(organisation("../x?y"), "/api/v1/organisations/..%2Fx%3Fy");
        assert_eq!(key_path("org_1", "key_2"), "/api/v1/organisations/org_1/keys/key_2");
    }

    #[test]
    fn a_name_that_one_organisation_alone_has_stands_for_its_id() {
        let all = [("org_1", "Harbour Waterworks"), ("org_2", "Bank"), ("org_3", "bank"), ("org_4", "Harbour Police")];
        let all = all.map(|(id, name)| (id.to_owned(), name.to_owned()));
        assert_eq!(by_name(&all, "harbour waterworks ").unwrap(), "org_1");
        let error = |given: &str| by_name(&all, given).unwrap_err().to_string();
        assert!(error("Bank").starts_with("2 organisations") && error("Bank").contains("org_3"), "{}", error("Bank"));
        assert!(error("Harbour").contains("org_1") && error("Harbour").contains("org_4"), "{}", error("Harbour"));
        assert!(error("nobody").contains("org list") && error("").contains("org list"));
    }

    #[test]
    fn an_agreement_is_told_in_words_and_that_there_is_none() {
        let whole = json!({ "organisation": "org_1", "holds": true, "collection": "agreement-org_1", "version": 3, "updated": "2026-11-21T00:00:00Z",
            "agreement": { "max_tlp": "amber", "strict": false, "categories": ["phishing", "c2-server"], "sectors": [], "names": true, "expires": null,
                "sends": { "max_tlp": "green", "categories": [] } } });
        let words = agreement(&whole, "CERT Far").join("\n");
        assert!(words.starts_with("partner          CERT Far (org_1)\n"), "{words}");
        for part in ["in force         yes", "amber; amber+strict is not covered", "categories: phishing, c2-server", "sectors: any, and", "up to   green"] {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert!(words.contains("no end"), "{words}");
        assert!(!words.contains('{') && !words.contains('['));
        let none =
            agreement(&json!({ "organisation": "org_1", "agreement": null, "holds": false, "version": 1, "updated": "2026-11-21T00:00:00Z" }), "CERT Far");
        assert!(none.join("\n").contains("none: the partner sees clear and green"));
        let mut lines = Vec::new();
        flat("agreement", &whole["agreement"], &mut lines);
        assert!(lines.contains(&"agreement.sends.max_tlp green".to_owned()), "{lines:?}");
    }

    #[test]
    fn agreements_are_with_partners_alone() {
        assert!(is_partner(&json!({ "id": "org_1", "kind": "partner" })));
        assert!(!is_partner(&json!({ "id": "org_1", "kind": "company" })) && !is_partner(&Value::Null));
    }

    #[test]
    fn fields_keep_the_hubs_order() {
        let fields: Fields = serde_json::from_str(r#"{"name":"A","id":"org_1","cursor":null}"#).unwrap();
        assert_eq!(fields.0.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>(), ["name", "id", "cursor"]);
        assert_eq!(fields.0[1].1.get(), "\"org_1\"");
    }

    #[test]
    fn only_fields_that_are_given_are_sent() {
        let mut body = json!({ "name": "A" });
        set(&mut body, "sector", None);
        set(&mut body, "country", Some(json!("KR")));
        assert_eq!(body, json!({ "name": "A", "country": "KR" }));
    }
}
