//! What a column of a table means, by its name: ours, n6's, IntelMQ's, and those of common threat lists.
//!
//! Invariant: a name not listed here is kept under `extra`.
//! Source: n6 REST API (CERT Polska), IntelMQ data harmonization, and the headers of the public lists we were tried on.

use crate::ndjson::scalar::Wanted;
use model::ObservableType;

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// When it was seen, as the contract, n6 and IntelMQ name it.
    Time,
    /// When someone heard of it (IntelMQ): the time where no better one is given.
    Observed,
    /// A date of a threat list, in whatever form; kept under `extra` where it cannot be read.
    ListTime,
    /// When it was seen last.
    LastTime,
    /// As [`Self::LastTime`], of a threat list.
    ListLastTime,
    /// Until when it holds.
    ValidUntil,
    /// The category.
    Category,
    /// A wider category (IntelMQ's taxonomy), used where the category is empty and the word is known.
    Taxonomy,
    /// What a threat list says it is; a category where the word is known.
    Threat,
    /// Several observables.
    Observables,
    /// An observable whose type stands in [`Self::Kind`] or is detected.
    Value,
    /// The type of [`Self::Value`].
    Kind,
    /// An observable of a type.
    Typed(Wanted),
    /// A host, with [`Self::Path`] a URL.
    Host,
    /// The path of a URL on [`Self::Host`].
    Path,
    /// The far side: an observable where there is no other, else `dst_ip` or `extra`.
    Destination(Wanted),
    /// Says something of the observable; is one only where there is no other.
    Beside(Wanted),
    /// The role of the row's observables.
    Role,
    /// Whether they are worth detecting.
    Detect,
    /// Origin, with n6's words.
    Origin,
    /// Marking.
    Tlp,
    /// Permissible actions.
    Pap,
    /// Audience, separated by spaces, commas or semicolons.
    Audience,
    /// Whether the reporter may be shown.
    Named,
    /// When owners are told.
    NotifyOwner,
    /// The sender's own id.
    Id,
    /// 0 to 100.
    Confidence,
    /// How bad it is.
    Severity,
    /// Sector.
    Sector,
    /// Malware name.
    Malware,
    /// Malware name in n6's tables, anything in others'.
    Name,
    /// ATT&CK ids.
    Technique,
    /// CVE ids.
    Cve,
    /// Port.
    Port,
    /// Far-side address.
    DstIp,
    /// Far-side port.
    DstPort,
    /// Transport protocol.
    Protocol,
    /// How often.
    Count,
    /// The target as text (n6: a brand).
    Target,
    /// The target's address.
    TargetIp,
    /// The target's AS number.
    TargetAsn,
    /// The target's sector.
    TargetSector,
    /// AS number of the source.
    SourceAsn,
    /// Free text.
    Note,
    /// The original text.
    Original,
    /// More fields as JSON.
    Extra,
    /// What an answer carries beside the event.
    Head,
}

/// First words of IntelMQ's dotted names: such a cell is a name, though it looks like a domain.
const INTELMQ_GROUPS: [&str; 9] = ["classification", "destination", "event_description", "extra", "feed", "malware", "protocol", "source", "time"];

/// Whether a cell is the name of a column that tables of events have, known or kept.
pub(super) fn is_name(name: &str) -> bool {
    column(name).is_some() || name.split_once('.').is_some_and(|(group, _)| INTELMQ_GROUPS.contains(&group))
}

/// Whether the cells of a column can be observables.
pub(super) fn holds_observables(name: &str) -> bool {
    matches!(
        column(name),
        Some(Column::Observables | Column::Value | Column::Typed(_) | Column::Host | Column::Destination(_) | Column::Beside(_) | Column::Cve)
    )
}

/// What a column's name, lower-case and trimmed, means; `None`: kept under `extra`.
pub(super) fn column(name: &str) -> Option<Column> {
    let folded = name.replace([' ', '-'], "_");
    named(&folded).or_else(|| {
        // `Associated URL`, `Campaign IOCs`: what the last word says, where it is one of a few that cannot mislead.
        let (_, last) = folded.rsplit_once('_')?;
        match last {
            "indicator" | "indicators" | "ioc" | "iocs" => Some(Column::Value),
            "url" | "urls" | "domain" | "domains" | "md5" | "sha1" | "sha256" | "sha512" => Wanted::parse(last).map(Column::Typed),
            _ => None,
        }
    })
}

fn named(name: &str) -> Option<Column> {
    Some(match name {
        "time" | "time.source" => Column::Time,
        "time.observation" => Column::Observed,
        "created" | "date" | "date_added" | "dateadded" | "detected" | "first_seen" | "first_seen_utc" | "firstseen" | "seen" | "timestamp" | "updated" => {
            Column::ListTime
        }
        "last_time" | "until" => Column::LastTime,
        "last_online" | "last_seen" | "last_seen_utc" | "lastseen" => Column::ListLastTime,
        "valid_until" => Column::ValidUntil,
        "category" | "classification.type" => Column::Category,
        "classification.taxonomy" => Column::Taxonomy,
        "threat" | "threat_type" => Column::Threat,
        "observables" => Column::Observables,
        "data" | "indicator" | "indicators" | "ioc" | "ioc_value" | "iocs" | "observable" | "value" => Column::Value,
        "entity_type" | "indicator_type" | "ioc_type" | "observable_type" | "type" => Column::Kind,
        "c&c" | "c2" | "c2_server" | "cnc" => Column::Typed(Wanted::Any),
        "host" => Column::Host,
        "path" => Column::Path,
        "source.ip" => Column::Typed(Wanted::Address),
        "source.fqdn" | "domain_name" => Column::Typed(Wanted::Exact(ObservableType::Domain)),
        "source.url" => Column::Typed(Wanted::Exact(ObservableType::Url)),
        "malware.hash" => Column::Typed(Wanted::Hash),
        "malware.hash.md5" => Column::Typed(Wanted::Exact(ObservableType::Md5)),
        "malware.hash.sha1" => Column::Typed(Wanted::Exact(ObservableType::Sha1)),
        "malware.hash.sha256" => Column::Typed(Wanted::Exact(ObservableType::Sha256)),
        "source.reverse_dns" => Column::Beside(Wanted::Exact(ObservableType::Domain)),
        "source.network" => Column::Beside(Wanted::Exact(ObservableType::Cidr)),
        "source.account" => Column::Beside(Wanted::Exact(ObservableType::Email)),
        "destination.ip" => Column::Destination(Wanted::Address),
        "destination.fqdn" => Column::Destination(Wanted::Exact(ObservableType::Domain)),
        "destination.url" => Column::Destination(Wanted::Exact(ObservableType::Url)),
        "role" => Column::Role,
        "detect" | "to_ids" => Column::Detect,
        "origin" => Column::Origin,
        "tlp" => Column::Tlp,
        "pap" => Column::Pap,
        "audience" => Column::Audience,
        "named" => Column::Named,
        "notify_owner" => Column::NotifyOwner,
        "id" => Column::Id,
        "confidence" => Column::Confidence,
        "severity" => Column::Severity,
        "sector" => Column::Sector,
        "malware" | "malware.name" | "malware_family" | "malware_printable" => Column::Malware,
        "name" => Column::Name,
        "technique" => Column::Technique,
        "cve" => Column::Cve,
        "port" | "source.port" | "sport" => Column::Port,
        "dip" | "dst_ip" => Column::DstIp,
        "destination.port" | "dport" | "dst_port" => Column::DstPort,
        "proto" | "protocol" | "protocol.transport" => Column::Protocol,
        "count" => Column::Count,
        "target" => Column::Target,
        "target.ip" | "target_ip" => Column::TargetIp,
        "target.asn" | "target_asn" => Column::TargetAsn,
        "target.sector" | "target_sector" => Column::TargetSector,
        "asn" | "source.asn" | "source_asn" => Column::SourceAsn,
        "comment" | "comments" | "context" | "description" | "event_description.text" | "message" | "note" | "notes" | "other_context" => Column::Note,
        "original" => Column::Original,
        "extra" => Column::Extra,
        "own" | "received" | "reporter" | "seq" => Column::Head,
        _ => Column::Typed(Wanted::parse(name)?),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_of_known_tables_are_understood() {
        for (name, expected) in [
            ("time", Some(Column::Time)),
            ("date added", Some(Column::ListTime)),
            ("first seen", Some(Column::ListTime)),
            ("indicator type", Some(Column::Kind)),
            ("ip_address", Some(Column::Typed(Wanted::Address))),
            ("domain_name", Some(Column::Typed(Wanted::Exact(ObservableType::Domain)))),
            ("fqdn", Some(Column::Typed(Wanted::Exact(ObservableType::Domain)))),
            ("sha256", Some(Column::Typed(Wanted::Exact(ObservableType::Sha256)))),
            ("associated url", Some(Column::Typed(Wanted::Exact(ObservableType::Url)))),
            ("ransomware incident iocs", Some(Column::Value)),
            ("source.ip", Some(Column::Typed(Wanted::Address))),
            ("dip", Some(Column::DstIp)),
            ("reference", None),
            ("file size", None),
            ("", None),
        ] {
            assert_eq!(column(name), expected, "{name}");
        }
        assert!(is_name("source.geolocation.cc"));
        assert!(!is_name("evil.example.cc"));
    }
}
