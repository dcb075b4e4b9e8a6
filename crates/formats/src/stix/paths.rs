//! What an object path of a pattern means to this hub.
//!
//! Invariant: a path that is not in the table is unknown and gives no value.
//! Not here: the properties of whole objects ([`super::sco`]).

use super::value::Means;
use model::{ObservableType, Role};

/// What the values compared with a path are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Values to match.
    Value(Means),
    /// Mail addresses of those who received it.
    Recipient,
    /// File names: worth detecting alone only where nothing else must hold as well.
    FileName,
    /// Port of the source.
    SourcePort,
    /// Port of the destination.
    DestinationPort,
    /// Narrows another comparison, gives nothing itself.
    Constraint,
    /// Not matched by this hub.
    Unknown,
}

/// Looks up a path in lower case without list indices.
pub(super) fn meaning(path: &str) -> Meaning {
    use ObservableType as Type;
    match path {
        "ipv4-addr:value" | "ipv6-addr:value" => Meaning::Value(Means::Address),
        "domain-name:value" | "hostname:value" | "x-opencti-hostname:value" => Meaning::Value(Means::Exactly(Type::Domain)),
        "network-traffic:dst_ref.value" | "network-traffic:src_ref.value" | "domain-name:resolves_to_refs.value" => Meaning::Value(Means::Peer),
        "url:value" => Meaning::Value(Means::Exactly(Type::Url)),
        "email-addr:value" | "email-message:from_ref.value" | "email-message:sender_ref.value" => Meaning::Value(Means::Exactly(Type::Email)),
        "email-message:to_refs.value" | "email-message:cc_refs.value" | "email-message:bcc_refs.value" => Meaning::Recipient,
        "file:name" => Meaning::FileName,
        "mac-addr:value" => Meaning::Value(Means::Exactly(Type::Mac)),
        "autonomous-system:number" => Meaning::Value(Means::Exactly(Type::Asn)),
        "user-agent:value" | "x-opencti-user-agent:value" | "network-traffic:extensions.http-request-ext.request_header.user-agent" => {
            Meaning::Value(Means::Exactly(Type::UserAgent))
        }
        "phone-number:value" | "x-opencti-phone-number:value" => Meaning::Value(Means::Exactly(Type::Phone)),
        "cryptocurrency-wallet:value" | "x-opencti-cryptocurrency-wallet:value" => Meaning::Value(Means::Exactly(Type::Bitcoin)),
        "vulnerability:name" => Meaning::Value(Means::Exactly(Type::Cve)),
        "network-traffic:src_port" => Meaning::SourcePort,
        "network-traffic:dst_port" => Meaning::DestinationPort,
        "network-traffic:dst_ref.type" | "network-traffic:src_ref.type" | "network-traffic:protocols" => Meaning::Constraint,
        _ => hash_path(path).map_or(Meaning::Unknown, |kind| Meaning::Value(Means::Exactly(kind))),
    }
}

fn hash_path(path: &str) -> Option<ObservableType> {
    // `app:cert` is what mobile forensics kits write for the certificate that signed an app.
    if let Some(name) = path.strip_prefix("x509-certificate:hashes.").or_else(|| path.strip_prefix("app:cert.")) {
        return certificate_hash(name);
    }
    let name =
        ["file:hashes.", "artifact:hashes.", "process:image_ref.hashes.", "process:binary_ref.hashes."].iter().find_map(|prefix| path.strip_prefix(prefix))?;
    file_hash(name)
}

/// The type of a file's hash by the name of its algorithm, however it is written: `SHA-256`, `sha256`, `SHA_256`.
pub(super) fn file_hash(algorithm: &str) -> Option<ObservableType> {
    match plain(algorithm).as_str() {
        "md5" => Some(ObservableType::Md5),
        "sha1" => Some(ObservableType::Sha1),
        "sha256" => Some(ObservableType::Sha256),
        "sha512" => Some(ObservableType::Sha512),
        "ssdeep" => Some(ObservableType::Ssdeep),
        _ => None,
    }
}

/// The type of a certificate's hash by the name of its algorithm.
pub(super) fn certificate_hash(algorithm: &str) -> Option<ObservableType> {
    match plain(algorithm).as_str() {
        "sha1" => Some(ObservableType::X509Sha1),
        "sha256" => Some(ObservableType::X509Sha256),
        _ => None,
    }
}

fn plain(algorithm: &str) -> String {
    /// Longer names are no algorithm's.
    const MAX_ALGORITHM: usize = 32;
    algorithm.chars().take(MAX_ALGORITHM).filter(|c| !matches!(c, '-' | '_' | ' ')).map(|c| c.to_ascii_lowercase()).collect()
}

/// The role that a path gives its values, where it gives one.
pub(super) const fn role(meaning: Meaning) -> Option<Role> {
    match meaning {
        Meaning::Recipient => Some(Role::Victim),
        Meaning::Value(_) | Meaning::FileName | Meaning::SourcePort | Meaning::DestinationPort | Meaning::Constraint | Meaning::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_known_however_their_algorithm_is_written() {
        for name in ["sha-256", "sha256", "sha_256", "SHA-256"] {
            assert_eq!(file_hash(name), Some(ObservableType::Sha256), "{name}");
        }
        assert_eq!(meaning("file:hashes.sha-1"), Meaning::Value(Means::Exactly(ObservableType::Sha1)));
        assert_eq!(meaning("x509-certificate:hashes.sha-1"), Meaning::Value(Means::Exactly(ObservableType::X509Sha1)));
        assert_eq!(meaning("file:hashes.tlsh"), Meaning::Unknown);
        assert_eq!(meaning("windows-registry-key:key"), Meaning::Unknown);
    }
}
