//! MISP attribute types: which give values, which are indicators this hub does not match, which only describe.
//!
//! Invariant: every type of MISP's `describeTypes.json` is in one of the three; an unknown one is named to the sender.
//! Not here: the values themselves ([`super::attribute`]).
//!
//! Source: MISP core format, section 2.4.2 (attribute types).

use crate::stix::value::Means;
use model::ObservableType as Type;

/// What an attribute type is to this hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One value.
    One(Means),
    /// Two values parted by `|`.
    Pair(Means, Means),
    /// A value of which only the part before `|` is matched.
    First(Means),
    /// A value and a port parted by `|`.
    WithPort(Means),
    /// An address of whom it was aimed at.
    Victim(Means),
    /// Something to detect, but not by equality of one of this hub's types.
    Unmatched,
    /// Describes, gives nothing to match.
    Context,
    /// No type of MISP's.
    Unknown,
}

/// Looks up an attribute type.
pub(super) fn kind(name: &str) -> Kind {
    const FILE: Means = Means::Exactly(Type::Filename);
    let exactly = |kind| Kind::One(Means::Exactly(kind));
    match name {
        "ip-src" | "ip-dst" => Kind::One(Means::Address),
        "ip-src|port" | "ip-dst|port" => Kind::WithPort(Means::Address),
        "domain" | "hostname" | "onion-address" => exactly(Type::Domain),
        "hostname|port" => Kind::WithPort(Means::Exactly(Type::Domain)),
        "domain|ip" => Kind::Pair(Means::Exactly(Type::Domain), Means::Address),
        "url" | "uri" => exactly(Type::Url),
        "email" | "email-src" | "email-dst" | "email-reply-to" | "whois-registrant-email" | "dns-soa-email" => exactly(Type::Email),
        "target-email" => Kind::Victim(Means::Exactly(Type::Email)),
        "md5" => exactly(Type::Md5),
        "sha1" => exactly(Type::Sha1),
        "sha256" => exactly(Type::Sha256),
        "sha512" => exactly(Type::Sha512),
        "ssdeep" => exactly(Type::Ssdeep),
        "filename" | "email-attachment" => Kind::One(FILE),
        "filename|md5" | "malware-sample" => Kind::Pair(FILE, Means::Exactly(Type::Md5)),
        "filename|sha1" => Kind::Pair(FILE, Means::Exactly(Type::Sha1)),
        "filename|sha256" => Kind::Pair(FILE, Means::Exactly(Type::Sha256)),
        "filename|sha512" => Kind::Pair(FILE, Means::Exactly(Type::Sha512)),
        "filename|ssdeep" => Kind::Pair(FILE, Means::Exactly(Type::Ssdeep)),
        "AS" => exactly(Type::Asn),
        "mac-address" => exactly(Type::Mac),
        "vulnerability" => exactly(Type::Cve),
        "user-agent" => exactly(Type::UserAgent),
        "ja3-fingerprint-md5" => exactly(Type::Ja3),
        "x509-fingerprint-sha1" => exactly(Type::X509Sha1),
        "x509-fingerprint-sha256" => exactly(Type::X509Sha256),
        "btc" => exactly(Type::Bitcoin),
        "phone-number" | "whois-registrant-phone" | "prtn" => exactly(Type::Phone),
        _ if name.starts_with("filename|") => Kind::First(FILE),
        _ if UNMATCHED.contains(&name) => Kind::Unmatched,
        _ if CONTEXT.contains(&name) => Kind::Context,
        _ => Kind::Unknown,
    }
}

/// Technical types, of which a sender should know that they are not matched.
const UNMATCHED: [&str; 85] = [
    "pdb",
    "eppn",
    "email-subject",
    "email-body",
    "email-header",
    "email-x-mailer",
    "email-mime-boundary",
    "email-thread-index",
    "email-message-id",
    "email-src-display-name",
    "email-dst-display-name",
    "git-commit-id",
    "http-method",
    "jarm-fingerprint",
    "favicon-mmh3",
    "hassh-md5",
    "hasshserver-md5",
    "regkey",
    "regkey|value",
    "snort",
    "suricata",
    "bro",
    "zeek",
    "community-id",
    "dom-hash",
    "pattern-in-file",
    "pattern-in-traffic",
    "pattern-in-memory",
    "filename-pattern",
    "pgp-public-key",
    "pgp-private-key",
    "ssh-fingerprint",
    "yara",
    "stix2-pattern",
    "sigma",
    "gene",
    "kusto-query",
    "cookie",
    "named pipe",
    "mutex",
    "process-state",
    "dash",
    "xmr",
    "iban",
    "bic",
    "bank-account-nr",
    "aba-rtn",
    "bin",
    "cc-number",
    "authentihash",
    "vhash",
    "imphash",
    "telfhash",
    "pehash",
    "impfuzzy",
    "sha224",
    "sha384",
    "sha512/224",
    "sha512/256",
    "sha3-224",
    "sha3-256",
    "sha3-384",
    "sha3-512",
    "tlsh",
    "cdhash",
    "windows-scheduled-task",
    "windows-service-name",
    "windows-service-displayname",
    "x509-fingerprint-md5",
    "mac-eui-64",
    "github-username",
    "github-repository",
    "github-organisation",
    "jabber-id",
    "twitter-id",
    "dkim",
    "dkim-signature",
    "mobile-application-id",
    "azure-application-id",
    "chrome-extension-id",
    "edge-extension-id",
    "cpe",
    "weakness",
    "hex",
    "cortex",
];

/// Types that describe the event, its authors or its victims.
const CONTEXT: [&str; 53] = [
    "float",
    "mime-type",
    "identity-card-number",
    "attachment",
    "link",
    "comment",
    "text",
    "other",
    "target-user",
    "target-machine",
    "target-org",
    "target-location",
    "target-external",
    "threat-actor",
    "campaign-name",
    "campaign-id",
    "malware-type",
    "whois-registrant-name",
    "whois-registrant-org",
    "whois-registrar",
    "whois-creation-date",
    "size-in-bytes",
    "counter",
    "integer",
    "datetime",
    "port",
    "first-name",
    "middle-name",
    "last-name",
    "full-name",
    "date-of-birth",
    "place-of-birth",
    "gender",
    "passport-number",
    "passport-country",
    "passport-expiration",
    "redress-number",
    "nationality",
    "visa-number",
    "issue-date-of-the-visa",
    "primary-residence",
    "country-of-residence",
    "special-service-request",
    "frequent-flyer-number",
    "travel-details",
    "payment-details",
    "place-port-of-original-embarkation",
    "place-port-of-clearance",
    "place-port-of-onward-foreign-destination",
    "passenger-name-record-locator-number",
    "boolean",
    "uuid",
    "anonymised",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composite_types_are_read_in_parts() {
        assert_eq!(kind("domain|ip"), Kind::Pair(Means::Exactly(Type::Domain), Means::Address));
        assert_eq!(kind("filename|imphash"), Kind::First(Means::Exactly(Type::Filename)));
        assert_eq!(kind("ip-dst|port"), Kind::WithPort(Means::Address));
    }

    #[test]
    fn technical_types_are_told_from_describing_ones() {
        assert_eq!(kind("regkey"), Kind::Unmatched);
        assert_eq!(kind("comment"), Kind::Context);
        assert_eq!(kind("no-such-type"), Kind::Unknown);
    }
}
