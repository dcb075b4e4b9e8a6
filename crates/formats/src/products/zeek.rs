//! A file for Zeek's intelligence framework.
//!
//! Source: Zeek's documentation of the intelligence framework and of its ASCII reader: one `#fields` line, columns between tabs, other lines
//! that begin with `#` passed over.

use super::Entry;
use model::ObservableType;

/// Zeek's type of a value; `None` where it has none.
pub(super) const fn type_of(kind: ObservableType) -> Option<&'static str> {
    Some(match kind {
        ObservableType::Ipv4 | ObservableType::Ipv6 => "Intel::ADDR",
        ObservableType::Cidr => "Intel::SUBNET",
        ObservableType::Domain => "Intel::DOMAIN",
        ObservableType::Url => "Intel::URL",
        ObservableType::Email => "Intel::EMAIL",
        ObservableType::Md5 | ObservableType::Sha1 | ObservableType::Sha256 => "Intel::FILE_HASH",
        ObservableType::Filename => "Intel::FILE_NAME",
        ObservableType::UserAgent => "Intel::SOFTWARE",
        ObservableType::X509Sha1 => "Intel::CERT_HASH",
        ObservableType::Sha512
        | ObservableType::Ssdeep
        | ObservableType::Asn
        | ObservableType::Mac
        | ObservableType::Cve
        | ObservableType::Ja3
        | ObservableType::X509Sha256
        | ObservableType::Bitcoin
        | ObservableType::Phone => return None,
    })
}

/// The file.
pub(super) fn write<'a>(entries: impl Iterator<Item = Entry<'a>>, out: &mut String) {
    out.push_str("#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc\n");
    for entry in entries {
        let Some(kind) = type_of(entry.kind) else { continue };
        // Zeek names a URL without its scheme.
        let value = if entry.kind == ObservableType::Url { entry.value.split_once("://").map_or(entry.value, |(_, rest)| rest) } else { entry.value };
        cell(out, value);
        out.push('\t');
        out.push_str(kind);
        out.push_str("\tbongsu\t");
        let malware = entry.malware.map(|name| format!(" {name}")).unwrap_or_default();
        let until = entry.valid_until.map(|until| format!(" until {until}")).unwrap_or_default();
        cell(out, &format!("{}{malware} tlp:{} pap:{} confidence {}{until}", entry.category, entry.tlp, entry.pap, entry.confidence));
        out.push('\n');
    }
}

/// Keeps tabs, line ends and what the reader would unescape out of a cell; one that begins a comment is escaped.
fn cell(out: &mut String, text: &str) {
    for (place, character) in text.char_indices() {
        match character {
            '\\' => out.push_str("\\x5c"),
            '#' if place == 0 => out.push_str("\\x23"),
            '\t' | '\n' | '\r' => out.push(' '),
            other => out.push(other),
        }
    }
}
