//! Configuration: one TOML file, overlaid by `BONGSU_…` variables, overlaid by flags, checked into one [`Config`].
//!
//! Flow: [`load`] reads the file → puts each variable of [`KEYS`] in its place → deserialises (`shape`; unknown keys are refused) → [`Config::check`].
//! Invariant: an error names the key (or variable), the value where it is no secret, and what was expected.
//! Not here: what the values do (`serve`); `docs/configuration.md` describes every key, and a test holds the two together.

mod check;
mod national;
mod shape;

pub use shape::{Config, Log, LogFormat, Mail, Size};

use crate::cli::ServeArguments;
use anyhow::{Context, bail};
use std::path::Path;
use toml::{Table, Value};

/// Configuration files are read up to this size.
const LARGEST_FILE: u64 = 1 << 20;

/// How the text of a variable becomes a TOML value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As it stands.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A size: a number of bytes or a number with a unit.
    Size,
    /// Texts separated by commas.
    List,
    /// Names with texts, `name=text`, separated by commas.
    Pairs,
}

/// Every key: its path and how its variable is read. The variable is the path in upper case behind `BONGSU_`, with `_` for the dot.
pub const KEYS: &[(&str, Kind)] = &[
    ("listen", Kind::Text),
    ("data", Kind::Text),
    ("plain_http", Kind::Boolean),
    ("zone", Kind::Text),
    ("realm", Kind::Text),
    ("memory", Kind::Size),
    ("retention_days", Kind::Integer),
    ("warning_lists", Kind::Text),
    ("sectors", Kind::List),
    ("trusted_proxies", Kind::List),
    ("limits.max_body", Kind::Size),
    ("limits.max_events", Kind::Integer),
    ("tls.certificate", Kind::Text),
    ("tls.key", Kind::Text),
    ("mail.host", Kind::Text),
    ("mail.port", Kind::Integer),
    ("mail.tls", Kind::Text),
    ("mail.ca", Kind::Text),
    ("mail.user", Kind::Text),
    ("mail.password_file", Kind::Text),
    ("mail.from", Kind::Text),
    ("mail.link", Kind::Text),
    ("mail.abuse_contacts", Kind::Boolean),
    ("mail.abuse_never", Kind::List),
    ("delivery.holidays", Kind::List),
    ("outbound.allow", Kind::List),
    ("outbound.webhooks_allow", Kind::List),
    ("outbound.ca", Kind::Text),
    ("outbound.proxy", Kind::Text),
    ("outbound.proxy_resolves", Kind::Boolean),
    ("national.country", Kind::Text),
    ("national.delegated", Kind::List),
    ("national.prefixes", Kind::List),
    ("national.asns", Kind::List),
    ("national.routes", Kind::Text),
    ("national.providers", Kind::Pairs),
    ("national.authorities", Kind::Pairs),
    ("national.constituencies", Kind::Pairs),
    ("dns.servers", Kind::List),
    ("log.format", Kind::Text),
    ("log.level", Kind::Text),
];

/// Variables of the same prefix that belong to the command line.
const OTHER_VARIABLES: &[&str] = &["BONGSU_URL", "BONGSU_KEY", "BONGSU_CA", "BONGSU_CONFIG"];

/// Reads file, environment and flags.
pub fn load(arguments: &ServeArguments) -> anyhow::Result<Config> {
    let text = match &arguments.config {
        Some(path) => Some((path.as_path(), read(path)?)),
        None => None,
    };
    let mut config = parse(text.as_ref().map(|(path, text)| (*path, text.as_str())), |name| std::env::var(name).ok())?;
    if let Some(data) = &arguments.data {
        config.data.clone_from(data);
    }
    if let Some(listen) = arguments.listen {
        config.listen = listen;
    }
    config.plain_http |= arguments.plain_http;
    config.check()?;
    Ok(config)
}

/// Variables that begin with `BONGSU_` but name no key. They are reported, not refused: orchestrators set variables of their own that begin with a service's name.
pub fn unknown_variables() -> Vec<String> {
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("BONGSU_") && !OTHER_VARIABLES.contains(&name.as_str()) && KEYS.iter().all(|(path, _)| variable(path) != *name))
        .collect()
}

fn read(path: &Path) -> anyhow::Result<String> {
    let length = std::fs::metadata(path).with_context(|| format!("configuration {}", path.display()))?.len();
    if length > LARGEST_FILE {
        bail!("configuration {} is larger than {LARGEST_FILE} bytes", path.display());
    }
    std::fs::read_to_string(path).with_context(|| format!("configuration {}", path.display()))
}

/// Makes the configuration of a file's text and the variables that `lookup` knows. Not checked yet.
fn parse(file: Option<(&Path, &str)>, lookup: impl Fn(&str) -> Option<String>) -> anyhow::Result<Config> {
    let mut table = Table::new();
    if let Some((path, text)) = file {
        // Parsed once into the final type for its errors alone: they carry line, column and key.
        toml::from_str::<Config>(text).with_context(|| format!("configuration {}", path.display()))?;
        table = toml::from_str::<Table>(text).with_context(|| format!("configuration {}", path.display()))?;
    }
    for (path, kind) in KEYS {
        let name = variable(path);
        let Some(text) = lookup(&name) else { continue };
        let value = value_of(*kind, &text).with_context(|| format!("variable {name}"))?;
        overlay(&mut table, path, value);
        // Checked one by one, so that an error names its variable; a certificate waits for its key.
        if *path != "tls.certificate" {
            table.clone().try_into::<Config>().with_context(|| format!("variable {name} = {text:?}"))?;
        }
    }
    table.try_into().context("configuration")
}

/// The variable of a key.
fn variable(path: &str) -> String {
    format!("BONGSU_{}", path.replace('.', "_").to_ascii_uppercase())
}

fn value_of(kind: Kind, text: &str) -> anyhow::Result<Value> {
    Ok(match kind {
        Kind::Text | Kind::Size => Value::String(text.to_owned()),
        Kind::Boolean => match text {
            "true" | "1" => Value::Boolean(true),
            "false" | "0" => Value::Boolean(false),
            _ => bail!("{text:?}: expected true or false"),
        },
        Kind::Integer => Value::Integer(text.trim().parse().map_err(|_| anyhow::anyhow!("{text:?}: expected a whole number"))?),
        Kind::Pairs => {
            let pair = |item: &str| match item.split_once('=') {
                Some((name, text)) => Ok((name.trim().to_owned(), Value::String(text.trim().to_owned()))),
                None => Err(anyhow::anyhow!("{item:?}: expected name=text")),
            };
            Value::Table(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(pair).collect::<anyhow::Result<Table>>()?)
        }
        Kind::List => Value::Array(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(|item| Value::String(item.to_owned())).collect()),
    })
}

fn overlay(table: &mut Table, path: &str, value: Value) {
    let Some((section, key)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return;
    };
    let entry = table.entry(section.to_owned()).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(inner) = entry {
        inner.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::shape::{Limits, Tls};
    use super::*;

    const FULL: &str = r#"
        listen = "[::1]:9000"
        data = "/srv/bongsu"
        plain_http = true
        zone = "UTC"
        realm = "drill-2026"
        memory = "512 MiB"
        retention_days = 400
        warning_lists = "/etc/bongsu/lists"
        sectors = ["finance", "water"]
        trusted_proxies = ["10.0.0.1", "fd00::/8"]
        limits = { max_body = 1048576, max_events = 5000 }
        tls = { certificate = "/c.pem", key = "/k.pem" }
        mail = { host = "mail.cert.example", port = 2465, tls = "implicit", ca = "/ca.pem", user = "hub", password_file = "/p", from = "a@cert.example", link = "https://h", abuse_contacts = true, abuse_never = ["quiet.example"] }
        delivery = { holidays = ["2026-01-01", "2026-02-17"] }
        dns = { servers = ["192.0.2.53", "[2001:db8::53]:5353"] }
        outbound = { allow = ["10.1.0.0/16"], webhooks_allow = ["10.2.0.0/16"], ca = "/ca.pem", proxy = "http://proxy.example:3128", proxy_resolves = true }
        log = { format = "json", level = "debug" }

        [national]
        country = "KR"
        delegated = ["/srv/rir/delegated-apnic-extended-latest"]
        prefixes = ["203.0.113.0/24"]
        asns = ["64500", "64510-64515"]
        routes = "/srv/rir/pfx2as"
        providers = { 4766 = "org_0190a5b8a1b27000800000000000abcd" }
        authorities = { private = "org_0190a5b8a1b27000800000000000abce" }
        constituencies = { "203.0.113.128/25" = "public", AS64510 = "defence" }
    "#;

    fn file(text: &str) -> anyhow::Result<Config> {
        parse(Some((Path::new("bongsu.toml"), text)), |_| None)
    }

    #[test]
    fn every_key_is_read_from_the_file() {
        let config = file(FULL).unwrap();
        assert_eq!(config.listen, "[::1]:9000".parse().unwrap());
        assert_eq!(config.memory, Size(512 << 20));
        assert_eq!(config.limits, Limits { max_body: Size(1 << 20), max_events: 5000 });
        assert_eq!(config.sectors, ["finance", "water"]);
        assert_eq!(config.log, Log { format: LogFormat::Json, level: "debug".to_owned() });
        assert_eq!(config.retention_days, Some(400));
        let mail = config.mail.unwrap();
        assert_eq!((mail.host.as_str(), mail.port(), mail.tls), ("mail.cert.example", 2465, hub::delivery::mail::MailTls::Implicit));
        assert_eq!((mail.abuse_contacts, mail.abuse_never.len()), (true, 1));
        assert_eq!(config.delivery.holidays, ["2026-01-01", "2026-02-17"]);
    }

    #[test]
    fn every_key_has_its_place_in_the_configuration() {
        let table: Table = toml::from_str(FULL).unwrap();
        for (path, _) in KEYS {
            let found = match path.split_once('.') {
                Some((section, key)) => table.get(section).and_then(Value::as_table).and_then(|inner| inner.get(key)),
                None => table.get(*path),
            };
            assert!(found.is_some(), "{path} is missing from the test's file");
        }
    }

    #[test]
    fn a_variable_wins_over_the_file() {
        let config = parse(Some((Path::new("f"), FULL)), |name| match name {
            "BONGSU_LISTEN" => Some("127.0.0.1:1".to_owned()),
            "BONGSU_LIMITS_MAX_EVENTS" => Some("7".to_owned()),
            "BONGSU_MEMORY" => Some("1 GiB".to_owned()),
            "BONGSU_SECTORS" => Some("health, energy".to_owned()),
            "BONGSU_PLAIN_HTTP" => Some("false".to_owned()),
            _ => None,
        })
        .unwrap();
        assert_eq!(config.listen.port(), 1);
        assert_eq!(config.limits.max_events, 7);
        assert_eq!(config.memory, Size(1 << 30));
        assert_eq!(config.sectors, ["health", "energy"]);
        assert!(!config.plain_http);
    }

    #[test]
    fn tls_can_come_from_variables_alone() {
        let config = parse(None, |name| match name {
            "BONGSU_TLS_CERTIFICATE" => Some("/c.pem".to_owned()),
            "BONGSU_TLS_KEY" => Some("/k.pem".to_owned()),
            _ => None,
        })
        .unwrap();
        assert_eq!(config.tls, Some(Tls { certificate: "/c.pem".into(), key: "/k.pem".into() }));
    }

    #[test]
    fn mail_can_come_from_variables_alone() {
        let config = parse(None, |name| match name {
            "BONGSU_MAIL_HOST" => Some("127.0.0.1".to_owned()),
            "BONGSU_MAIL_PORT" => Some("2525".to_owned()),
            "BONGSU_MAIL_TLS" => Some("none".to_owned()),
            "BONGSU_MAIL_FROM" => Some("alert@cert.example".to_owned()),
            "BONGSU_DELIVERY_HOLIDAYS" => Some("2026-01-01, 2026-03-01".to_owned()),
            _ => None,
        })
        .unwrap();
        assert_eq!(config.mail.unwrap().port(), 2525);
        assert_eq!(config.delivery.holidays, ["2026-01-01", "2026-03-01"]);
    }

    #[test]
    fn pairs_can_come_from_variables() {
        let given = |text: &'static str| parse(None, move |name| (name == "BONGSU_NATIONAL_PROVIDERS").then(|| text.to_owned()));
        let config = given("4766=org_1, AS9318 = org_2").unwrap();
        let pairs: Vec<(&str, &str)> = config.national.providers.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(pairs, [("4766", "org_1"), ("AS9318", "org_2")]);
        let error = format!("{:#}", given("4766").unwrap_err());
        assert!(error.contains("BONGSU_NATIONAL_PROVIDERS") && error.contains("name=text"), "{error}");
    }

    #[test]
    fn an_error_names_key_value_and_what_was_expected() {
        let message = |result: anyhow::Result<Config>| format!("{:#}", result.unwrap_err());
        let unknown = message(file("listn = \"x\""));
        assert!(unknown.contains("listn") && unknown.contains("bongsu.toml"), "{unknown}");
        let size = message(file("memory = \"2 GoB\""));
        assert!(size.contains("memory") && size.contains("512 MiB"), "{size}");
        let number = message(parse(None, |name| (name == "BONGSU_LIMITS_MAX_EVENTS").then(|| "many".to_owned())));
        assert!(number.contains("BONGSU_LIMITS_MAX_EVENTS") && number.contains("many") && number.contains("whole number"), "{number}");
        let listen = message(parse(None, |name| (name == "BONGSU_LISTEN").then(|| "everywhere".to_owned())));
        assert!(listen.contains("BONGSU_LISTEN") && listen.contains("everywhere"), "{listen}");
    }

    #[test]
    fn the_documentation_names_every_key_and_variable() {
        let document = include_str!("../../../docs/configuration.md");
        for (path, _) in KEYS {
            assert!(document.contains(&format!("`{path}`")), "{path} is not described");
            assert!(document.contains(&format!("`{}`", variable(path))), "{} is not described", variable(path));
        }
    }
}
