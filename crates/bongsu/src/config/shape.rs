//! The configuration's shape: every section with its fields and what holds where a key is not given.
//!
//! Flow: `toml` deserialises a table into [`Config`]; the demo makes one of its own.
//! Invariant: an unknown key is refused in every section.
//! Not here: where the values come from (`config`), whether they make sense together (`check`).

use hub::delivery::mail::MailTls;
use hub::members::DEFAULT_SECTORS;
use hub::outbound::OutboundOptions;
use hub::sources::SourceOptions;
use serde::{Deserialize, Deserializer};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The hub's configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
    /// Days after receipt until events expire; none keeps them.
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
    /// How mail is sent; without it none is.
    pub mail: Option<Mail>,
    /// Delivery to subscribers.
    pub delivery: Delivery,
    /// The nation's address space.
    pub national: super::national::National,
    /// Who is asked for texts in DNS.
    pub dns: super::national::Dns,
    /// Whom the hub may call.
    pub outbound: Outbound,
    /// Feeds that the hub collects; in the file alone.
    pub sources: Vec<SourceOptions>,
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

/// Whom the hub may call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outbound {
    /// Internal addresses and ranges that sources and partners may be called in all the same.
    pub allow: Vec<String>,
    /// Internal addresses and ranges that members' webhooks may be in.
    pub webhooks_allow: Vec<String>,
    /// PEM file of authorities that are trusted beside the public ones.
    pub ca: Option<PathBuf>,
    /// The proxy that makes the connections.
    pub proxy: Option<String>,
    /// Leaves names to the proxy that the hub cannot resolve.
    pub proxy_resolves: bool,
}

/// How mail is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// Name or address of the server.
    pub host: String,
    /// Its port; without one the usual one of `tls`.
    pub port: Option<u16>,
    /// How the connection is protected.
    pub tls: MailTls,
    /// PEM file of authorities that are trusted beside the public ones.
    pub ca: Option<PathBuf>,
    /// Name to log in with.
    pub user: Option<String>,
    /// File that holds its password, and nothing else.
    pub password_file: Option<PathBuf>,
    /// The sender: an address, with a name or without.
    pub from: String,
    /// The hub's address as people reach it.
    pub link: Option<String>,
    /// Tells abuse contacts of those who are no members what is wrong in their networks.
    pub abuse_contacts: bool,
    /// Addresses, and domains of addresses, that are not told.
    pub abuse_never: Vec<String>,
}

/// Delivery to subscribers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delivery {
    /// Dates that are no business days.
    pub holidays: Vec<String>,
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
            mail: None,
            delivery: Delivery::default(),
            national: super::national::National::default(),
            dns: super::national::Dns::default(),
            outbound: Outbound::default(),
            sources: Vec::new(),
            log: Log::default(),
        }
    }
}

impl Outbound {
    /// As the hub takes them; checked with the configuration.
    pub fn options(&self) -> OutboundOptions {
        let ranges = |list: &[String]| list.iter().filter_map(|range| hub::directory::parse_range(range)).collect();
        OutboundOptions {
            allow: ranges(&self.allow),
            webhooks_allow: ranges(&self.webhooks_allow),
            ca: self.ca.clone(),
            proxy: self.proxy.clone(),
            proxy_resolves: self.proxy_resolves,
        }
    }
}

impl Mail {
    /// The port: the one given, else 587 for STARTTLS, 465 for TLS from the start, 25 without.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            MailTls::StartTls => 587,
            MailTls::Implicit => 465,
            MailTls::None => 25,
        })
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("0", 0), ("17", 17), ("2 GiB", 2 << 30), ("512MiB", 512 << 20), ("1 kb", 1000), ("3g", 3 << 30)] {
            assert_eq!(Size::parse(text), Some(Size(bytes)), "{text}");
        }
        for text in ["", "GiB", "-1", "1.5 GiB", "99999999999 TiB", "1 PB"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
    }
}
