//! Incident categories: the 39 types of the Reference Security Incident Taxonomy in 11 classes.
//!
//! Source: Reference Security Incident Classification Taxonomy (RSIT), version 1003; category names of n6 (CERT Polska)
//! and IntelMQ (`classification.type`).
//! Invariant: an unknown name is `other`; the caller keeps the name under `extra.category`.

use crate::event::word_enum;
use crate::{Role, Text};

word_enum! {
    /// Classes of the taxonomy.
    Class: u8, "class" {
        /// Abusive content.
        AbusiveContent = 0 => "abusive-content",
        /// Malicious code.
        MaliciousCode = 1 => "malicious-code",
        /// Information gathering.
        InformationGathering = 2 => "information-gathering",
        /// Intrusion attempts.
        IntrusionAttempts = 3 => "intrusion-attempts",
        /// Intrusions.
        Intrusions = 4 => "intrusions",
        /// Availability.
        Availability = 5 => "availability",
        /// Information content security.
        InformationContentSecurity = 6 => "information-content-security",
        /// Fraud.
        Fraud = 7 => "fraud",
        /// Vulnerable.
        Vulnerable = 8 => "vulnerable",
        /// Other.
        Other = 9 => "other",
        /// Test.
        Test = 10 => "test",
    }
}

word_enum! {
    /// Types of the taxonomy.
    Category: u8, "category" {
        /// Unsolicited bulk mail and its infrastructure.
        Spam = 0 => "spam",
        /// Harmful speech.
        HarmfulSpeech = 1 => "harmful-speech",
        /// Child sexual exploitation, violent content.
        Violence = 2 => "violence",
        /// System infected with malware.
        InfectedSystem = 3 => "infected-system",
        /// Command and control server.
        C2Server = 4 => "c2-server",
        /// Malware distribution.
        MalwareDistribution = 5 => "malware-distribution",
        /// Malware configuration.
        MalwareConfiguration = 6 => "malware-configuration",
        /// Scanning.
        Scanner = 7 => "scanner",
        /// Sniffing.
        Sniffing = 8 => "sniffing",
        /// Social engineering.
        SocialEngineering = 9 => "social-engineering",
        /// Exploitation of known vulnerabilities seen by an intrusion detection system.
        IdsAlert = 10 => "ids-alert",
        /// Login attempts.
        BruteForce = 11 => "brute-force",
        /// Exploit attempts.
        Exploit = 12 => "exploit",
        /// Privileged account compromise.
        PrivilegedAccountCompromise = 13 => "privileged-account-compromise",
        /// Unprivileged account compromise.
        UnprivilegedAccountCompromise = 14 => "unprivileged-account-compromise",
        /// Application compromise.
        ApplicationCompromise = 15 => "application-compromise",
        /// System compromise.
        SystemCompromise = 16 => "system-compromise",
        /// Burglary.
        Burglary = 17 => "burglary",
        /// Denial of service.
        Dos = 18 => "dos",
        /// Distributed denial of service.
        Ddos = 19 => "ddos",
        /// Misconfiguration.
        Misconfiguration = 20 => "misconfiguration",
        /// Sabotage.
        Sabotage = 21 => "sabotage",
        /// Outage.
        Outage = 22 => "outage",
        /// Unauthorised access to information.
        UnauthorisedInformationAccess = 23 => "unauthorised-information-access",
        /// Unauthorised modification of information.
        UnauthorisedInformationModification = 24 => "unauthorised-information-modification",
        /// Data loss.
        DataLoss = 25 => "data-loss",
        /// Data leak.
        DataLeak = 26 => "data-leak",
        /// Unauthorised use of resources.
        UnauthorisedUseOfResources = 27 => "unauthorised-use-of-resources",
        /// Copyright.
        Copyright = 28 => "copyright",
        /// Masquerade.
        Masquerade = 29 => "masquerade",
        /// Phishing.
        Phishing = 30 => "phishing",
        /// Weak cryptography.
        WeakCrypto = 31 => "weak-crypto",
        /// Amplifier.
        DdosAmplifier = 32 => "ddos-amplifier",
        /// Potentially unwanted accessible service.
        PotentiallyUnwantedAccessible = 33 => "potentially-unwanted-accessible",
        /// Information disclosure.
        InformationDisclosure = 34 => "information-disclosure",
        /// Vulnerable system.
        VulnerableSystem = 35 => "vulnerable-system",
        /// Anything else.
        Other = 36 => "other",
        /// Undetermined.
        Undetermined = 37 => "undetermined",
        /// For tests; seen by its sender alone.
        Test = 38 => "test",
    }
}

impl Category {
    /// The class a type belongs to.
    pub const fn class(self) -> Class {
        match self {
            Self::Spam | Self::HarmfulSpeech | Self::Violence => Class::AbusiveContent,
            Self::InfectedSystem | Self::C2Server | Self::MalwareDistribution | Self::MalwareConfiguration => Class::MaliciousCode,
            Self::Scanner | Self::Sniffing | Self::SocialEngineering => Class::InformationGathering,
            Self::IdsAlert | Self::BruteForce | Self::Exploit => Class::IntrusionAttempts,
            Self::PrivilegedAccountCompromise | Self::UnprivilegedAccountCompromise | Self::ApplicationCompromise | Self::SystemCompromise | Self::Burglary => {
                Class::Intrusions
            }
            Self::Dos | Self::Ddos | Self::Misconfiguration | Self::Sabotage | Self::Outage => Class::Availability,
            Self::UnauthorisedInformationAccess | Self::UnauthorisedInformationModification | Self::DataLoss | Self::DataLeak => {
                Class::InformationContentSecurity
            }
            Self::UnauthorisedUseOfResources | Self::Copyright | Self::Masquerade | Self::Phishing => Class::Fraud,
            Self::WeakCrypto | Self::DdosAmplifier | Self::PotentiallyUnwantedAccessible | Self::InformationDisclosure | Self::VulnerableSystem => {
                Class::Vulnerable
            }
            Self::Other | Self::Undetermined => Class::Other,
            Self::Test => Class::Test,
        }
    }
}

/// The longest name looked at.
const MAX_NAME_BYTES: usize = 64;

/// Names of other systems in lower case without `-`, `_` and blanks, with the role that the name itself tells.
///
/// Source: n6's `CATEGORY_ENUMS`; IntelMQ's `classification.type` as of version 3 and the older names that version 3 renamed.
/// Where their own mapping to the taxonomy and the taxonomy's definition part, the definition wins; `docs/formats.md` has the reasons.
const FOREIGN_NAMES: &[(&str, Category, Option<Role>)] = &[
    // n6
    ("amplifier", Category::DdosAmplifier, None),
    ("bots", Category::InfectedSystem, None),
    ("backdoor", Category::SystemCompromise, None),
    ("cnc", Category::C2Server, None),
    ("deface", Category::UnauthorisedInformationModification, None),
    ("dnsquery", Category::Other, None),
    ("dosattacker", Category::Dos, Some(Role::Attacker)),
    ("dosvictim", Category::Dos, Some(Role::Victim)),
    ("flow", Category::Other, None),
    ("flowanomaly", Category::Other, None),
    ("fraud", Category::Masquerade, None),
    ("leak", Category::DataLeak, None),
    ("malurl", Category::MalwareDistribution, None),
    ("malwareaction", Category::MalwareConfiguration, None),
    ("phish", Category::Phishing, None),
    ("proxy", Category::Other, None),
    ("sandboxurl", Category::MalwareDistribution, None),
    ("scam", Category::Masquerade, None),
    ("scanning", Category::Scanner, None),
    ("serverexploit", Category::Exploit, None),
    ("spamurl", Category::Spam, None),
    ("tor", Category::Other, None),
    ("vulnerable", Category::VulnerableSystem, None),
    ("webinject", Category::MalwareConfiguration, None),
    // IntelMQ, version 3
    ("blacklist", Category::Other, None),
    ("dgadomain", Category::C2Server, None),
    ("malware", Category::MalwareDistribution, None),
    ("unauthorizedinformationaccess", Category::UnauthorisedInformationAccess, None),
    ("unauthorizedinformationmodification", Category::UnauthorisedInformationModification, None),
    ("unauthorizeduseofresources", Category::UnauthorisedUseOfResources, None),
    // IntelMQ, older
    ("accountnumbers", Category::DataLeak, None),
    ("botnetdrone", Category::InfectedSystem, None),
    ("c&c", Category::C2Server, None),
    ("c2", Category::C2Server, None),
    ("compromised", Category::SystemCompromise, None),
    ("defacement", Category::UnauthorisedInformationModification, None),
    ("dropzone", Category::MalwareConfiguration, None),
    ("ransomware", Category::InfectedSystem, None),
    ("unauthorizedaccess", Category::UnauthorisedInformationAccess, None),
    ("unauthorizedcommand", Category::SystemCompromise, None),
    ("unauthorizedlogin", Category::UnprivilegedAccountCompromise, None),
    ("unknown", Category::Undetermined, None),
    ("vulnerableclient", Category::VulnerableSystem, None),
    ("vulnerableservice", Category::VulnerableSystem, None),
];

impl Category {
    /// The category that a name of ours, of n6 or of IntelMQ stands for, ignoring case, `-`, `_` and blanks; with the role where the name tells it.
    ///
    /// `None` for an unknown name: the caller takes [`Category::Other`] and keeps the name.
    pub fn from_name(name: &str) -> Option<(Self, Option<Role>)> {
        let name = name.trim();
        if let Some(category) = Self::parse(name) {
            return Some((category, None));
        }
        if name.len() > MAX_NAME_BYTES {
            return None;
        }
        let bare: Text = name.chars().filter(|character| !matches!(character, '-' | '_' | ' ')).map(|character| character.to_ascii_lowercase()).collect();
        let own = Self::ALL.iter().copied().find(|category| category.as_str().bytes().filter(|&byte| byte != b'-').eq(bare.bytes()));
        own.map(|category| (category, None))
            .or_else(|| FOREIGN_NAMES.iter().find(|(foreign, _, _)| *foreign == bare.as_str()).map(|&(_, category, role)| (category, role)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn our_own_names_are_taken_however_they_are_written() {
        for &category in Category::ALL {
            let slug = category.as_str();
            for name in [slug.to_owned(), slug.to_uppercase(), slug.replace('-', "_"), slug.replace('-', " "), slug.replace('-', ""), format!(" {slug} ")] {
                assert_eq!(Category::from_name(&name), Some((category, None)), "{name:?}");
            }
        }
    }

    #[test]
    fn names_of_n6_and_intelmq_are_mapped() {
        for (name, category, role) in [
            ("cnc", Category::C2Server, None),
            ("bots", Category::InfectedSystem, None),
            ("phish", Category::Phishing, None),
            ("dos-victim", Category::Dos, Some(Role::Victim)),
            ("DOS_ATTACKER", Category::Dos, Some(Role::Attacker)),
            ("server-exploit", Category::Exploit, None),
            ("spam-url", Category::Spam, None),
            ("c&c", Category::C2Server, None),
            ("botnet drone", Category::InfectedSystem, None),
            ("vulnerable service", Category::VulnerableSystem, None),
            ("dga domain", Category::C2Server, None),
            ("unauthorized-use-of-resources", Category::UnauthorisedUseOfResources, None),
            ("tor", Category::Other, None),
        ] {
            assert_eq!(Category::from_name(name), Some((category, role)), "{name:?}");
        }
        for name in ["", "apt", "phishingx", "-"] {
            assert_eq!(Category::from_name(name), None, "{name:?}");
        }
    }

    #[test]
    fn every_name_of_n6_is_known() {
        for name in [
            "amplifier",
            "bots",
            "backdoor",
            "cnc",
            "deface",
            "dns-query",
            "dos-attacker",
            "dos-victim",
            "flow",
            "flow-anomaly",
            "fraud",
            "leak",
            "malurl",
            "malware-action",
            "other",
            "phish",
            "proxy",
            "sandbox-url",
            "scam",
            "scanning",
            "server-exploit",
            "spam",
            "spam-url",
            "tor",
            "vulnerable",
            "webinject",
        ] {
            assert!(Category::from_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn no_foreign_name_hides_one_of_ours_and_none_comes_twice() {
        for (index, (name, _, _)) in FOREIGN_NAMES.iter().enumerate() {
            assert!(FOREIGN_NAMES.iter().skip(index + 1).all(|(other, _, _)| other != name), "{name} twice");
            assert!(!name.contains(['-', '_', ' ']), "{name} is written as it is compared");
            assert!(Category::ALL.iter().all(|category| category.as_str().replace('-', "") != *name), "{name} is ours");
        }
    }

    proptest! {
        #[test]
        fn no_name_makes_it_panic(name in "\\PC{0,80}") {
            let _ = Category::from_name(&name);
        }
    }
}
