//! Cyber-observable objects: what their properties give.
//!
//! Flow: one object's fields → [`Sco`] (values, references to further objects, ports).
//! Invariant: recipients of a mail are victims; a reference is followed one step only.
//! Not here: resolving references ([`super::context`]), making events of them ([`super::reader`]).
//!
//! Source: OASIS STIX 2.1 section 6; OpenCTI's additional observable types.

use super::lenient::{self, Fields};
use super::paths;
use super::value::{Found, Means};
use model::{ObservableType, Role};
use serde_json::Value;

/// Types that give values.
const UNDERSTOOD: [&str; 18] = [
    "artifact",
    "autonomous-system",
    "cryptocurrency-wallet",
    "domain-name",
    "email-addr",
    "email-message",
    "file",
    "hostname",
    "ipv4-addr",
    "ipv6-addr",
    "mac-addr",
    "network-traffic",
    "phone-number",
    "url",
    "user-agent",
    "x509-certificate",
    "x-opencti-cryptocurrency-wallet",
    "x-opencti-hostname",
];
/// Types that are observations, but of nothing this hub matches by value.
const UNMATCHED: [&str; 6] = ["directory", "mutex", "process", "software", "user-account", "windows-registry-key"];

/// Whether objects of a type can give values.
pub(super) fn is_understood(kind: &str) -> bool {
    UNDERSTOOD.contains(&kind)
}

/// Whether objects of a type are observations that give no value.
pub(super) fn is_unmatched(kind: &str) -> bool {
    UNMATCHED.contains(&kind)
}

/// What an observable object says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sco {
    /// Its own values.
    pub found: Vec<Found>,
    /// Objects it refers to for values, with the role that the reference gives them.
    pub refs: Vec<(String, Option<Role>)>,
    /// Ports, where it is a connection.
    pub traffic: Option<Traffic>,
}

/// Ports of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Source port.
    pub source: Option<u16>,
    /// Destination port.
    pub destination: Option<u16>,
}

impl Sco {
    /// Reads an object of a type.
    pub(super) fn read(kind: &str, fields: &Fields) -> Self {
        use ObservableType as Type;
        let mut sco = Self::default();
        match kind {
            "ipv4-addr" | "ipv6-addr" => sco.value(fields, "value", Means::Address),
            "domain-name" | "hostname" | "x-opencti-hostname" => sco.value(fields, "value", Means::Exactly(Type::Domain)),
            "url" => sco.value(fields, "value", Means::Exactly(Type::Url)),
            "email-addr" => sco.value(fields, "value", Means::Exactly(Type::Email)),
            "mac-addr" => sco.value(fields, "value", Means::Exactly(Type::Mac)),
            "autonomous-system" => sco.value(fields, "number", Means::Exactly(Type::Asn)),
            "user-agent" => sco.value(fields, "value", Means::Exactly(Type::UserAgent)),
            "phone-number" => sco.value(fields, "value", Means::Exactly(Type::Phone)),
            "cryptocurrency-wallet" | "x-opencti-cryptocurrency-wallet" => sco.value(fields, "value", Means::Exactly(Type::Bitcoin)),
            "file" => {
                sco.hashes(fields, paths::file_hash);
                sco.value(fields, "name", Means::Exactly(Type::Filename));
            }
            "artifact" => sco.hashes(fields, paths::file_hash),
            "x509-certificate" => sco.hashes(fields, paths::certificate_hash),
            "network-traffic" => sco.traffic(fields),
            "email-message" => sco.refs = references(kind, fields),
            _ => {}
        }
        sco
    }

    fn value(&mut self, fields: &Fields, key: &str, means: Means) {
        if let Some(text) = lenient::text_of(fields, key) {
            self.found.push(Found::new(means, text));
        }
    }

    fn hashes(&mut self, fields: &Fields, kind: fn(&str) -> Option<ObservableType>) {
        for (algorithm, hash) in fields.get("hashes").and_then(Value::as_object).into_iter().flatten() {
            if let (Some(kind), Some(hash)) = (kind(algorithm), hash.as_str()) {
                self.found.push(Found::new(Means::Exactly(kind), hash));
            }
        }
    }

    fn traffic(&mut self, fields: &Fields) {
        let port = |key| lenient::number_of(fields, key).and_then(|number| u16::try_from(number).ok());
        self.traffic = Some(Traffic { source: port("src_port"), destination: port("dst_port") });
        self.refs = references("network-traffic", fields);
        let headers =
            fields.get("extensions").and_then(|list| list.get("http-request-ext")).and_then(|request| request.get("request_header")).and_then(Value::as_object);
        for (name, value) in headers.into_iter().flatten() {
            if name.eq_ignore_ascii_case("user-agent")
                && let Some(agent) = value.as_str().or_else(|| value.get(0).and_then(Value::as_str))
            {
                self.found.push(Found::new(Means::Exactly(ObservableType::UserAgent), agent));
            }
        }
    }
}

/// The objects that a connection or message refers to for values, with the role that the reference gives them.
pub(super) fn references(kind: &str, fields: &Fields) -> Vec<(String, Option<Role>)> {
    const NONE: &[&str] = &[];
    const ENDS: &[&str] = &["src_ref", "dst_ref"];
    const SENDERS: &[&str] = &["from_ref", "sender_ref"];
    const RECIPIENTS: &[&str] = &["to_refs", "cc_refs", "bcc_refs"];
    let (plain, recipients) = match kind {
        "network-traffic" => (ENDS, NONE),
        "email-message" => (SENDERS, RECIPIENTS),
        _ => (NONE, NONE),
    };
    let plain = plain.iter().flat_map(|key| lenient::texts_of(fields, key)).map(|id| (id.to_owned(), None));
    let recipients = recipients.iter().flat_map(|key| lenient::texts_of(fields, key)).map(|id| (id.to_owned(), Some(Role::Victim)));
    plain.chain(recipients).collect()
}
