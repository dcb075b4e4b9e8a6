//! A running MISP, or its exported answers, as a directory.
//!
//! Flow: `/organisations`, `/admin/users` and `/sharing_groups` of a MISP, or files that hold those answers → [`Found`] → [`Found::directory`].
//! Invariant: an account never becomes more than an administrator of its own organisation; a domain of MISP is no proof of ownership, so it is
//! registered only where that is asked for.
//! Not here: events and attributes (`bongsu submit --format misp`, a source of the kind `misp-feed`), writing to the hub ([`super::apply`]).

use super::directory::{Directory, Entry, GroupEntry, NetworkEntry, Person, text};
use super::{Choices, External, Report, countries, slug};
use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of one answer.
const LARGEST_ANSWER: u64 = 256 << 20;
/// How deep answers are wrapped.
const MAX_NESTING: u32 = 6;
/// Rows of each kind.
const MAX_ROWS: usize = 100_000;

/// What was found of each kind.
#[derive(Debug, Default)]
pub struct Found {
    organisations: Vec<Value>,
    users: Vec<Value>,
    groups: Vec<Value>,
}

/// Asks a MISP for its organisations, users and sharing groups.
pub fn fetch(url: &str, key: &str, agent: &ureq::Agent) -> anyhow::Result<Found> {
    let base = url.trim_end_matches('/');
    let mut found = Found::default();
    for path in ["/organisations/index/scope:all", "/admin/users/index", "/sharing_groups/index"] {
        let request = ureq::http::Request::builder()
            .uri(format!("{base}{path}"))
            .header("authorization", key)
            .header("accept", "application/json")
            .body(())
            .context("making the request")?;
        let mut response = agent.run(request).with_context(|| format!("cannot reach {base}"))?;
        let status = response.status().as_u16();
        if status != 200 {
            bail!("{path} answered {status}; a key of a site administrator is needed (MISP: administration, users, auth key)");
        }
        let body = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec().with_context(|| format!("reading {path}"))?;
        found.take(&body).with_context(|| path.to_owned())?;
    }
    Ok(found)
}

impl Found {
    /// Takes what a file or an answer holds, whichever of the kinds it is.
    ///
    /// # Errors
    /// Where it is no JSON, or holds none of them.
    pub fn take(&mut self, body: &[u8]) -> anyhow::Result<()> {
        let value: Value = serde_json::from_slice(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)).context("no JSON")?;
        let before = self.rows();
        let empty = value.as_array().is_some_and(Vec::is_empty);
        self.walk(value, 0);
        if self.rows() == before && !empty {
            bail!("holds no organisation, user or sharing group as MISP's REST interface gives them");
        }
        Ok(())
    }

    fn rows(&self) -> usize {
        self.organisations.len() + self.users.len() + self.groups.len()
    }

    fn walk(&mut self, value: Value, depth: u32) {
        if depth > MAX_NESTING || self.rows() >= MAX_ROWS {
            return;
        }
        match value {
            Value::Array(items) => items.into_iter().for_each(|item| self.walk(item, depth + 1)),
            Value::Object(fields) => {
                if fields.get("User").is_some_and(Value::is_object) {
                    self.users.push(Value::Object(fields));
                } else if fields.get("SharingGroup").is_some_and(Value::is_object) {
                    self.groups.push(Value::Object(fields));
                } else if fields.get("Organisation").is_some_and(Value::is_object) {
                    self.organisations.extend(fields.into_iter().find(|(name, _)| name == "Organisation").map(|(_, value)| value));
                } else {
                    // `{"response": […]}`, or several answers under names of their own.
                    fields.into_iter().filter(|(_, value)| value.is_array() || value.is_object()).for_each(|(_, value)| self.walk(value, depth + 1));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// What of it the hub can hold; the rest is named in the report.
    pub fn directory(self, choices: &Choices, report: &mut Report) -> Directory {
        let mut directory = Directory::new();
        let mut by_number: BTreeMap<String, usize> = BTreeMap::new();
        let mut by_uuid: BTreeMap<String, usize> = BTreeMap::new();
        for row in &self.organisations {
            let Some(name) = text(row, &["name"]) else { continue };
            let uuid = text(row, &["uuid"]).unwrap_or_default().to_ascii_lowercase();
            if by_uuid.contains_key(&uuid) && !uuid.is_empty() {
                continue;
            }
            let local = flag(row.get("local")).unwrap_or(true);
            if !local && choices.external == External::Skip {
                report.leave("organisation", &name, "known to that MISP only by what it published; --external partner takes such organisations too");
                continue;
            }
            let place = directory.organisations.len();
            directory.organisations.push(organisation(row, name, &uuid, local, choices, report));
            by_uuid.insert(uuid, place);
            by_number.insert(number(row.get("id")), place);
        }
        self.users.iter().for_each(|row| user(row, &mut directory, &by_number, report));
        self.groups.iter().for_each(|row| group(row, &mut directory, &by_uuid, &by_number, report));
        directory
    }
}

fn organisation(row: &Value, name: String, uuid: &str, local: bool, choices: &Choices, report: &mut Report) -> Entry {
    let mut entry = Entry { reference: if uuid.is_empty() { name.clone() } else { uuid.to_owned() }, ..Entry::default() };
    entry.kind = if local { choices.kind.clone() } else { "partner".to_owned() };
    entry.constituency = local.then(|| choices.constituency.clone());
    if let Some(nationality) = text(row, &["nationality"]).filter(|word| !matches!(word.as_str(), "International" | "Not specified")) {
        match countries::code(&nationality) {
            Some(code) => entry.country = Some(code),
            None => report.leave("nationality", &name, &format!("{nationality:?} is no country this program knows by name or by two letters")),
        }
    }
    if let Some(sector) = text(row, &["sector"]).filter(|_| local) {
        match sector_of(&sector) {
            Some(known) => entry.sector = Some(known.to_owned()),
            None => report.leave("sector", &name, &format!("{sector:?} is not one of the usual sectors; set it with `bongsu org set`")),
        }
    }
    entry.contact = text(row, &["contacts"]).and_then(|contacts| first_mail(&contacts));
    for domain in domains(row.get("restricted_to_domain")) {
        if choices.domains {
            entry.networks.push(NetworkEntry { kind: "domain".to_owned(), value: domain, protected: false });
        } else {
            report.leave("domain", &domain, "restricts accounts' mail addresses and proves nothing; --domains registers such domains");
        }
    }
    for (field, what) in [("description", "description"), ("landingpage", "landing page"), ("type", "type")] {
        if text(row, &[field]).is_some() {
            report.leave(what, &name, "an organisation of the hub has no such field");
        }
    }
    entry.name = name;
    entry
}

fn user(row: &Value, directory: &mut Directory, by_number: &BTreeMap<String, usize>, report: &mut Report) {
    let Some(mail) = text(row, &["User", "email"]) else { return };
    if flag(row.get("User").and_then(|user| user.get("disabled"))) == Some(true) {
        return report.leave("user", &mail, "disabled");
    }
    let number = number(row.get("User").and_then(|user| user.get("org_id")));
    let Some(entry) = by_number.get(&number).and_then(|&place| directory.organisations.get_mut(place)) else {
        return report.leave("user", &mail, "its organisation was not taken");
    };
    let (role, administers) = role(row.get("Role").unwrap_or(&Value::Null));
    let name = text(row, &["Role", "name"]).unwrap_or_default();
    if flag(row.get("Role").and_then(|role| role.get("perm_site_admin"))) == Some(true) || name.eq_ignore_ascii_case("admin") {
        report.leave("role", &mail, "a site administrator becomes the administrator of its own organisation; make a coordinator's key by hand");
    }
    // One address is told of abuse; an administrator's is the best guess where the organisation names none.
    if entry.contact.is_none()
        || (administers && entry.contact.as_ref().is_some_and(|known| entry.people.iter().any(|person| person.name == *known && person.role != "member-admin")))
    {
        entry.contact = Some(mail.clone());
    }
    for (field, what) in [("gpgkey", "OpenPGP key"), ("certif_public", "S/MIME key")] {
        if text(row, &["User", field]).is_some() {
            report.leave(what, &mail, "the member sets it on a subscription, where it is checked");
        }
    }
    if !entry.people.iter().any(|person| person.name == mail) {
        entry.people.push(Person { name: mail, role: role.to_owned() });
    }
}

/// The hub's role for one of MISP's, and whether it administers its organisation.
fn role(role: &Value) -> (&'static str, bool) {
    let may = |name: &str| flag(role.get(name)) == Some(true);
    let name = text(role, &["name"]).unwrap_or_default().to_ascii_lowercase();
    if may("perm_site_admin") || may("perm_admin") || matches!(name.as_str(), "admin" | "org admin") {
        return ("member-admin", true);
    }
    let publishes = may("perm_publish") || may("perm_modify_org") || may("perm_modify");
    match name.as_str() {
        "sync user" => ("reporter", false),
        "user" | "publisher" => ("analyst", false),
        "read only" | "readonly" | "guest" => ("reader", false),
        _ if publishes => ("analyst", false),
        _ if may("perm_sync") || may("perm_add") => ("reporter", false),
        _ => ("reader", false),
    }
}

fn group(row: &Value, directory: &mut Directory, by_uuid: &BTreeMap<String, usize>, by_number: &BTreeMap<String, usize>, report: &mut Report) {
    let Some(title) = text(row, &["SharingGroup", "name"]) else { return };
    if flag(row.get("SharingGroup").and_then(|group| group.get("active"))) == Some(false) {
        return report.leave("sharing group", &title, "not active");
    }
    let uuid = text(row, &["SharingGroup", "uuid"]).unwrap_or_default();
    let mut id = slug(&title, &uuid);
    if directory.groups.iter().any(|known| known.id == id) {
        id = slug("", &uuid);
    }
    for server in row.get("SharingGroupServer").and_then(Value::as_array).into_iter().flatten() {
        let named = text(server, &["Server", "name"]).unwrap_or_else(|| "a server".to_owned());
        report.leave("sharing group's server", &named, "a group of the hub holds organisations; share with another hub by an agreement");
    }
    let mut members = BTreeSet::new();
    for member in row.get("SharingGroupOrg").and_then(Value::as_array).into_iter().flatten() {
        let uuid = text(member, &["Organisation", "uuid"]).unwrap_or_default().to_ascii_lowercase();
        let number = number(member.get("org_id"));
        match by_uuid.get(&uuid).filter(|_| !uuid.is_empty()).or_else(|| by_number.get(&number)) {
            Some(&place) => {
                members.insert(place);
            }
            None => {
                let name = text(member, &["Organisation", "name"]).unwrap_or(number);
                report.leave("member of a sharing group", &format!("{name} in {title}"), "its organisation was not taken");
            }
        }
    }
    for place in members {
        if let Some(entry) = directory.organisations.get_mut(place) {
            entry.groups.push(id.clone());
        }
    }
    directory.groups.push(GroupEntry { id, title, named: false });
}

/// A flag as MISP's versions write it: a boolean, `0`/`1`, or either as text.
fn flag(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => Some(number.as_i64() != Some(0)),
        Value::String(text) => Some(matches!(text.as_str(), "1" | "true")),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A number that may be written as text.
fn number(value: Option<&Value>) -> String {
    match value {
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.trim().to_owned(),
        _ => String::new(),
    }
}

/// A list, a list written as JSON text, or lines.
fn domains(value: Option<&Value>) -> Vec<String> {
    let words = match value {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(text)) => match serde_json::from_str::<Vec<String>>(text) {
            Ok(list) => list,
            Err(_) => text.split_whitespace().map(str::to_owned).collect(),
        },
        _ => Vec::new(),
    };
    words.into_iter().map(|word| word.trim().to_ascii_lowercase()).filter(|word| !word.is_empty()).collect()
}

fn first_mail(text: &str) -> Option<String> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '<' | '>' | '(' | ')'));
    words.map(|word| word.trim_start_matches("mailto:").trim_end_matches('.')).find(|word| is_mail(word)).map(str::to_owned)
}

/// Whether a word looks like a mail address; the hub checks it.
pub fn is_mail(word: &str) -> bool {
    word.split_once('@').is_some_and(|(local, host)| !local.is_empty() && host.contains('.') && !host.contains('@'))
}

/// The hub's sector for MISP's free text, by words that leave no doubt.
fn sector_of(text: &str) -> Option<&'static str> {
    const WORDS: [(&str, &str); 24] = [
        ("bank", "finance"),
        ("financ", "finance"),
        ("insur", "finance"),
        ("telco", "telecom"),
        ("telecom", "telecom"),
        ("internet service", "telecom"),
        ("energy", "energy"),
        ("electricity", "energy"),
        ("oil", "energy"),
        ("gas", "energy"),
        ("health", "health"),
        ("hospital", "health"),
        ("pharma", "health"),
        ("transport", "transport"),
        ("aviation", "transport"),
        ("rail", "transport"),
        ("water", "water"),
        ("government", "government"),
        ("public admin", "government"),
        ("nuclear", "nuclear"),
        ("broadcast", "broadcasting"),
        ("logistic", "logistics"),
        ("electronic", "electronics"),
        ("semiconductor", "electronics"),
    ];
    let text = text.to_lowercase();
    WORDS
        .iter()
        .find(|(word, _)| {
            text.split(|c: char| !c.is_alphanumeric() && c != ' ').any(|part| part.trim().starts_with(word) || part.contains(&format!(" {word}")))
        })
        .map(|(_, sector)| *sector)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found() -> Found {
        let mut found = Found::default();
        let answers = json!({
            "organisations": [
                {"Organisation": {"id": "1", "name": "First Bank", "uuid": "AAAA0000-0000-4000-8000-000000000001", "local": true, "nationality": "Poland", "sector": "Banking",
                    "contacts": "SOC <soc@first.example>", "restricted_to_domain": ["first.example"], "description": "x"}},
                {"Organisation": {"id": "2", "name": "Second", "uuid": "aaaa0000-0000-4000-8000-000000000002", "local": true, "sector": "Gaming"}},
                {"Organisation": {"id": "3", "name": "Abroad", "uuid": "aaaa0000-0000-4000-8000-000000000003", "local": false}},
            ],
            "users": [
                {"User": {"id": "1", "org_id": "2", "email": "u@second.example", "disabled": false}, "Role": {"name": "User"}},
                {"User": {"id": "2", "org_id": "2", "email": "boss@second.example", "disabled": "0"}, "Role": {"name": "Org Admin"}},
                {"User": {"id": "3", "org_id": "2", "email": "gone@second.example", "disabled": true}, "Role": {"name": "User"}},
                {"User": {"id": "4", "org_id": "3", "email": "x@abroad.example"}, "Role": {"name": "User"}},
            ],
            "sharing_groups": {"response": [{"SharingGroup": {"name": "Banks & friends", "uuid": "bbbb0000-0000-4000-8000-000000000001", "active": true},
                "SharingGroupOrg": [{"org_id": "1", "Organisation": {"name": "First Bank", "uuid": "aaaa0000-0000-4000-8000-000000000001"}},
                    {"org_id": "3", "Organisation": {"name": "Abroad", "uuid": "aaaa0000-0000-4000-8000-000000000003"}}],
                "SharingGroupServer": [{"Server": {"name": "other"}}]}]},
        });
        found.take(&serde_json::to_vec(&answers).unwrap()).unwrap();
        found
    }

    #[test]
    fn organisations_users_and_groups_of_a_misp_are_brought_and_the_rest_is_named() {
        let mut report = Report::default();
        let directory = found().directory(&Choices::default(), &mut report);
        assert_eq!(directory.organisations.len(), 2);
        let (first, second) = (&directory.organisations[0], &directory.organisations[1]);
        assert_eq!(
            (first.name.as_str(), first.kind.as_str(), first.sector.as_deref(), first.country.as_deref()),
            ("First Bank", "company", Some("finance"), Some("PL"))
        );
        assert_eq!((first.contact.as_deref(), first.groups.as_slice()), (Some("soc@first.example"), &["banks-friends".to_owned()][..]));
        assert!(first.networks.is_empty());
        assert_eq!(second.contact.as_deref(), Some("boss@second.example"));
        assert_eq!(second.people.iter().map(|person| person.role.as_str()).collect::<Vec<_>>(), ["analyst", "member-admin"]);
        let left: Vec<(&str, &str)> = report.left().map(|left| (left.what.as_str(), left.name.as_str())).collect();
        for expected in [
            ("organisation", "Abroad"),
            ("user", "gone@second.example"),
            ("user", "x@abroad.example"),
            ("member of a sharing group", "Abroad in Banks & friends"),
            ("sharing group's server", "other"),
            ("sector", "Second"),
            ("domain", "first.example"),
        ] {
            assert!(left.contains(&expected), "{expected:?} in {left:?}");
        }
    }

    #[test]
    fn what_is_asked_for_is_taken_too() {
        let choices = Choices { external: External::Partner, domains: true, ..Choices::default() };
        let directory = found().directory(&choices, &mut Report::default());
        let abroad = &directory.organisations[2];
        assert_eq!((abroad.kind.as_str(), abroad.constituency.as_deref(), abroad.groups.len()), ("partner", None, 1));
        assert_eq!(directory.organisations[0].networks[0].value, "first.example");
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        assert!(Found::default().take(br#"{"Event":{"info":"x"}}"#).is_err());
        assert!(Found::default().take(b"[]").is_ok());
        assert!(Found::default().take(b"<html>").is_err());
    }

    #[test]
    fn no_role_of_misp_becomes_a_coordinator() {
        for (given, expected) in [
            (json!({"name": "admin", "perm_site_admin": true}), "member-admin"),
            (json!({"name": "Custom", "perm_publish": "1"}), "analyst"),
            (json!({"name": "Sync user", "perm_sync": true, "perm_publish": true}), "reporter"),
            (json!({"name": "Read Only"}), "reader"),
            (Value::Null, "reader"),
        ] {
            assert_eq!(role(&given).0, expected, "{given}");
        }
    }
}
