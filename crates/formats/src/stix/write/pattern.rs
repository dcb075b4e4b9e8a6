//! Patterns that say a value.
//!
//! Not here: patterns of others ([`super::super::pattern`] reads them).
//!
//! Source: OASIS STIX 2.1, section 9 (patterning) and section 6 (paths of observables).

use model::ObservableType;

/// The pattern that matches a value in canonical form; `None` for types without a path of the standard's: CVE ids, JA3 fingerprints, Bitcoin
/// addresses and phone numbers.
pub fn pattern(kind: ObservableType, value: &str) -> Option<String> {
    let path = match kind {
        ObservableType::Ipv4 => "ipv4-addr:value",
        ObservableType::Ipv6 => "ipv6-addr:value",
        ObservableType::Cidr if value.contains(':') => "ipv6-addr:value",
        ObservableType::Cidr => "ipv4-addr:value",
        ObservableType::Domain => "domain-name:value",
        ObservableType::Url => "url:value",
        ObservableType::Email => "email-addr:value",
        ObservableType::Md5 => "file:hashes.MD5",
        ObservableType::Sha1 => "file:hashes.'SHA-1'",
        ObservableType::Sha256 => "file:hashes.'SHA-256'",
        ObservableType::Sha512 => "file:hashes.'SHA-512'",
        ObservableType::Ssdeep => "file:hashes.SSDEEP",
        ObservableType::Asn => return value.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("[autonomous-system:number = {value}]")),
        ObservableType::Filename => "file:name",
        ObservableType::Mac => "mac-addr:value",
        ObservableType::UserAgent => "network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'",
        ObservableType::X509Sha1 => "x509-certificate:hashes.'SHA-1'",
        ObservableType::X509Sha256 => "x509-certificate:hashes.'SHA-256'",
        ObservableType::Cve | ObservableType::Ja3 | ObservableType::Bitcoin | ObservableType::Phone => return None,
    };
    Some(format!("[{path} = '{}']", quoted(value)))
}

/// A value between quotes.
fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, '\'' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_escaped() {
        assert_eq!(pattern(ObservableType::Filename, r"it's\here").as_deref(), Some(r"[file:name = 'it\'s\\here']"));
    }

    #[test]
    fn types_without_a_path_have_no_pattern() {
        assert_eq!(pattern(ObservableType::Cve, "CVE-2024-1"), None);
        assert_eq!(pattern(ObservableType::Asn, "64500").as_deref(), Some("[autonomous-system:number = 64500]"));
        assert_eq!(pattern(ObservableType::Cidr, "2001:db8::/32").as_deref(), Some("[ipv6-addr:value = '2001:db8::/32']"));
    }
}
