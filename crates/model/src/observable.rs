//! An observable: a value in canonical form, with its type and the role it plays in one event.
//!
//! Not here: how a text becomes canonical ([`crate::canonical`]), which type a bare text has ([`crate::detect`]).

use crate::event::word_enum;
use crate::{Category, Text};

word_enum! {
    /// Types of observables.
    ObservableType: u8, "observable type" {
        /// IPv4 address.
        Ipv4 = 0 => "ipv4" | "ipv4-addr" | "ip-v4",
        /// IPv6 address.
        Ipv6 = 1 => "ipv6" | "ipv6-addr" | "ip-v6",
        /// Address range.
        Cidr = 2 => "cidr" | "network",
        /// Domain name.
        Domain = 3 => "domain" | "domain-name" | "fqdn" | "hostname",
        /// URL.
        Url = 4 => "url" | "uri",
        /// Mail address.
        Email = 5 => "email" | "email-addr" | "mail",
        /// MD5 hash.
        Md5 = 6 => "md5",
        /// SHA-1 hash.
        Sha1 = 7 => "sha1" | "sha-1",
        /// SHA-256 hash.
        Sha256 = 8 => "sha256" | "sha-256",
        /// SHA-512 hash.
        Sha512 = 9 => "sha512" | "sha-512",
        /// Fuzzy hash.
        Ssdeep = 10 => "ssdeep",
        /// Autonomous system number.
        Asn = 11 => "asn" | "as" | "autonomous-system",
        /// File name.
        Filename = 12 => "filename" | "file-name",
        /// MAC address.
        Mac = 13 => "mac" | "mac-addr" | "mac-address",
        /// CVE id.
        Cve = 14 => "cve" | "vulnerability",
        /// HTTP user agent.
        UserAgent = 15 => "user-agent",
        /// JA3 fingerprint.
        Ja3 = 16 => "ja3" | "ja3-fingerprint-md5",
        /// SHA-1 fingerprint of a certificate.
        X509Sha1 = 17 => "x509-sha1" | "x509-fingerprint-sha1",
        /// SHA-256 fingerprint of a certificate.
        X509Sha256 = 18 => "x509-sha256" | "x509-fingerprint-sha256",
        /// Bitcoin address.
        Bitcoin = 19 => "bitcoin" | "btc",
        /// Phone number.
        Phone = 20 => "phone" | "phone-number",
    }
}

impl ObservableType {
    /// Whether a value of this type can be a person's: addresses, domains, mail addresses, phones.
    pub const fn can_be_victim_by_class(self) -> bool {
        matches!(self, Self::Ipv4 | Self::Ipv6 | Self::Cidr | Self::Domain | Self::Email | Self::Phone)
    }

    /// Whether it is an IP address or range.
    pub const fn is_address(self) -> bool {
        matches!(self, Self::Ipv4 | Self::Ipv6 | Self::Cidr)
    }

    /// Whether it is worth detecting by default (MISP's `to_ids` default for the type).
    ///
    /// Source: MISP describeTypes.json, `sane_defaults.to_ids`.
    pub const fn detect_by_default(self) -> bool {
        !matches!(self, Self::Asn | Self::Cve | Self::Phone | Self::Mac)
    }

    /// How what its values name ages.
    pub const fn ages(self) -> Ages {
        match self {
            Self::Md5
            | Self::Sha1
            | Self::Sha256
            | Self::Sha512
            | Self::Ssdeep
            | Self::Cve
            | Self::X509Sha1
            | Self::X509Sha256
            | Self::Filename
            | Self::UserAgent
            | Self::Ja3
            | Self::Bitcoin => Ages::Never,
            Self::Ipv4 | Self::Ipv6 | Self::Cidr | Self::Mac => Ages::LikeAddresses,
            Self::Url => Ages::LikeUrls,
            Self::Domain => Ages::LikeDomains,
            Self::Email | Self::Phone => Ages::LikeAccounts,
            Self::Asn => Ages::LikeNetworks,
        }
    }
}

/// How what a value names ages. How long each lasts is said in [`crate::lifetime`] and [`crate::confidence`], the quickest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ages {
    /// Content is what it is.
    Never,
    /// Addresses and machines change hands within days.
    LikeAddresses,
    /// What lies at a place on the web is cleaned up within weeks.
    LikeUrls,
    /// Names are given up within months.
    LikeDomains,
    /// Accounts of persons, within months.
    LikeAccounts,
    /// Operators of networks, within a year.
    LikeNetworks,
}

word_enum! {
    /// What part the value plays in the event.
    Role: u8, "role" {
        /// Part of the attack; shown to everyone the marking admits.
        Attacker = 0 => "attacker",
        /// Suffers from it; personal data, kept in the vault.
        Victim = 1 => "victim",
        /// Neither, for example a sinkhole's far side.
        Bystander = 2 => "bystander",
    }
}

impl Role {
    /// The role by category and type where the sender states none.
    pub const fn default_for(category: Category, observable_type: ObservableType) -> Self {
        use crate::category::Class;
        let victim = match category.class() {
            Class::Vulnerable | Class::Intrusions | Class::InformationContentSecurity => observable_type.can_be_victim_by_class(),
            Class::AbusiveContent
            | Class::MaliciousCode
            | Class::InformationGathering
            | Class::IntrusionAttempts
            | Class::Availability
            | Class::Fraud
            | Class::Other
            | Class::Test => matches!(category, Category::InfectedSystem | Category::Dos | Category::Ddos) && observable_type.is_address(),
        };
        if victim { Self::Victim } else { Self::Attacker }
    }
}

/// One value in one event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Observable {
    /// What kind of value.
    pub kind: ObservableType,
    /// The part it plays.
    pub role: Role,
    /// Worth detecting.
    pub detect: bool,
    /// Private, documentation or example range: kept out of the products, nowhere else.
    pub reserved: bool,
    /// The canonical form.
    pub value: Text,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::confidence::half_life;
    use crate::lifetime::lifetime;

    #[test]
    fn what_does_not_age_neither_expires_nor_loses_confidence() {
        for &kind in ObservableType::ALL {
            let ages = kind.ages() != Ages::Never;
            assert_eq!((half_life(kind).is_some(), lifetime(kind, Category::Other).is_some()), (ages, ages), "{kind}");
        }
    }
}
