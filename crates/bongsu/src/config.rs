//! Configuration: one TOML file, overlaid by `BONGSU_…` variables, overlaid by flags, checked into one [`Config`].
//!
//! Flow: [`load`] reads the file → puts each variable of [`KEYS`] in its place → deserialises (unknown keys are refused) → [`Config::check`].
//! Invariant: an error names the key (or variable), the value where it is no secret, and what was expected.
//! Not here: what the values do (`serve`); `docs/configuration.md` describes every key, and a test holds the two together.

use crate::cli::ServeArguments;
use anyhow::{Context, bail};
use hub::members::DEFAULT_SECTORS;
use serde::{Deserialize, Deserializer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Configuration files are read up to this size.
const LARGEST_FILE: u64 = 1 << 20;
/// The smallest memory for views a hub runs with.
const LEAST_MEMORY: u64 = 256 << 20;

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
    ("log.format", Kind::Text),
    ("log.level", Kind::Text),
];

/// Variables of the same prefix that belong to the command line.
const OTHER_VARIABLES: &[&str] = &["BONGSU_URL", "BONGSU_KEY", "BONGSU_CA", "BONGSU_CONFIG"];

/// The hub's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its folder.
    pub data: PathBuf,
    /// Allows listening beyond loopback without TLS.
    pub plain_http: bool,
    /// The realm's time zone (IANA), fixed at creation.
    pub zone: String,
    /// `main`, or an exercise's name.
    pub realm: String,
    /// Memory for the views.
    pub memory: Size,
    /// Days after receipt until events expire; refused by [`Self::check`] until expiry is there.
    pub retention_days: Option<u32>,
    /// Folder of warning lists in MISP's format.
    pub warning_lists: Option<PathBuf>,
    /// Sectors, in the order shown.
    pub sectors: Vec<String>,
    /// Reverse proxies whose `X-Forwarded-For` is believed: addresses and ranges.
    pub trusted_proxies: Vec<String>,
    /// Limits of a request.
    pub limits: Limits,
    /// Certificate and key.
    pub tls: Option<Tls>,
    /// The log.
    pub log: Log,
}

/// Limits of a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a body after decompression.
    pub max_body: Size,
    /// Events of a body.
    pub max_events: u64,
}

/// Files of the TLS identity, PEM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The log, on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Lines for people or for machines.
    pub format: LogFormat,
    /// A level, or directives such as `info,hub=debug`.
    pub level: String,
}

/// Shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8470)),
            data: PathBuf::from("./bongsu-data"),
            plain_http: false,
            zone: "Asia/Seoul".to_owned(),
            realm: "main".to_owned(),
            memory: Size(2 << 30),
            retention_days: None,
            warning_lists: None,
            sectors: DEFAULT_SECTORS.iter().map(|&sector| sector.to_owned()).collect(),
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
            tls: None,
            log: Log::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_body: Size(256 << 20), max_events: 1_000_000 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// A number of bytes, written as a number or as `512 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// Parses `1048576`, `512 MiB`, `2GiB`, `500 MB`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (number, unit) = text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()));
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kib" | "k" => 1 << 10,
            "mib" | "m" => 1 << 20,
            "gib" | "g" => 1 << 30,
            "tib" | "t" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        let expected = || serde::de::Error::custom("expected a size such as 536870912 or \"512 MiB\"");
        match Written::deserialize(deserializer).map_err(|_| expected())? {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => Self::parse(&text).ok_or_else(expected),
        }
    }
}

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

impl Config {
    /// Whether it listens where others can reach it.
    pub fn is_open(&self) -> bool {
        !self.listen.ip().is_loopback()
    }

    /// Checks what types alone cannot.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.is_open() && self.tls.is_none() && !self.plain_http {
            bail!(
                "listen = {}: refusing to listen beyond loopback without TLS; give tls.certificate and tls.key, listen on 127.0.0.1, or allow it with --plain-http (for example behind a proxy that ends TLS)",
                self.listen
            );
        }
        if self.memory.0 < LEAST_MEMORY {
            bail!("memory = {}: expected at least {} MiB", self.memory.0, LEAST_MEMORY >> 20);
        }
        if self.limits.max_body.0 == 0 || self.limits.max_events == 0 {
            bail!("limits.max_body and limits.max_events: expected more than 0");
        }
        if let Some(days) = self.retention_days {
            // Refused rather than passed over: who relies on expiry must know that nothing expires yet.
            bail!("retention_days = {days}: this release does not expire events; leave the key out");
        }
        if jiff::tz::TimeZone::get(&self.zone).is_err() {
            bail!("zone = {:?}: expected the name of a time zone such as Asia/Seoul that this machine knows (package tzdata)", self.zone);
        }
        if !is_slug(&self.realm) {
            bail!("realm = {:?}: expected lower-case letters, digits and hyphens", self.realm);
        }
        if let Some(folder) = &self.warning_lists
            && !folder.is_dir()
        {
            bail!("warning_lists = {}: expected a folder", folder.display());
        }
        for (key, file) in self.tls.iter().flat_map(|tls| [("tls.certificate", &tls.certificate), ("tls.key", &tls.key)]) {
            if !file.is_file() {
                bail!("{key} = {}: expected a PEM file", file.display());
            }
        }
        for range in &self.trusted_proxies {
            if hub::directory::parse_range(range).is_none() {
                bail!("trusted_proxies: {range:?}: expected an address or a range such as 10.0.0.0/8");
            }
        }
        if self.sectors.is_empty() {
            bail!("sectors: expected at least one");
        }
        for (place, sector) in self.sectors.iter().enumerate() {
            if !is_slug(sector) {
                bail!("sectors: {sector:?}: expected lower-case letters, digits and hyphens");
            }
            if self.sectors.iter().take(place).any(|earlier| earlier == sector) {
                bail!("sectors: {sector:?} is given twice");
            }
        }
        Ok(())
    }
}

fn is_slug(text: &str) -> bool {
    !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
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
        log = { format = "json", level = "debug" }
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
    fn it_refuses_to_listen_beyond_loopback_without_tls() {
        let mut config = Config { listen: "0.0.0.0:8470".parse().unwrap(), zone: "UTC".to_owned(), ..Config::default() };
        assert!(config.check().unwrap_err().to_string().contains("--plain-http"));
        config.plain_http = true;
        config.check().unwrap();
        config.listen = "[::1]:8470".parse().unwrap();
        config.plain_http = false;
        config.check().unwrap();
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("0", 0), ("17", 17), ("2 GiB", 2 << 30), ("512MiB", 512 << 20), ("1 kb", 1000), ("3g", 3 << 30)] {
            assert_eq!(Size::parse(text), Some(Size(bytes)), "{text}");
        }
        for text in ["", "GiB", "-1", "1.5 GiB", "99999999999 TiB", "1 PB"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
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
