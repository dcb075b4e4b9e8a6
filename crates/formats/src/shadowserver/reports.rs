//! What each kind of report says: a category of the taxonomy, the part of the address in it, and which column it is about.
//!
//! Invariant: the longest prefix that fits decides; a kind that is not here is an open service where its name begins with `scan`, else `other`.
//! What is reported about a member's own address is a victim's value; only what attacks others is an attacker's.
//! Source: the public list of report types at shadowserver.org.

use model::{Category, Role};

/// Which column a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The near side: `ip` or `src_ip`.
    Source,
    /// The far side: `dst_ip`.
    Destination,
    /// A URL.
    Url,
}

/// What a kind of report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Its category.
    pub category: Category,
    /// The part of the value it is about.
    pub role: Role,
    /// Which value that is.
    pub subject: Subject,
}

const fn about(category: Category, role: Role, subject: Subject) -> Report {
    Report { category, role, subject }
}

/// A system of a victim's, seen by its own address.
const fn victim(category: Category) -> Report {
    about(category, Role::Victim, Subject::Source)
}

const fn attacker(category: Category) -> Report {
    about(category, Role::Attacker, Subject::Source)
}

const OPEN: Report = victim(Category::PotentiallyUnwantedAccessible);
const AMPLIFIER: Report = victim(Category::DdosAmplifier);
const VULNERABLE: Report = victim(Category::VulnerableSystem);
const INFECTED: Report = victim(Category::InfectedSystem);
const COMPROMISED: Report = victim(Category::SystemCompromise);
const WEAK: Report = victim(Category::WeakCrypto);
/// A kind that nothing is known of.
const UNKNOWN: Report = victim(Category::Other);

/// Kinds by the beginning of their names. IPv6 kinds (`scan6_`, `event6_`) have the names of the others.
const RULES: &[(&str, Report)] = &[
    // Services that are open to everyone.
    ("scan", OPEN),
    ("scan_cisco_smart_install", VULNERABLE),
    ("scan_ddos_middlebox", AMPLIFIER),
    ("scan_exchange", VULNERABLE),
    ("scan_http_vulnerable", VULNERABLE),
    ("scan_isakmp", VULNERABLE),
    ("scan_loop_dos", AMPLIFIER),
    ("scan_netis_router", VULNERABLE),
    ("scan_post_exploitation_framework", attacker(Category::C2Server)),
    ("scan_smb", OPEN),
    ("scan_smtp_vulnerable", VULNERABLE),
    ("scan_ssh", OPEN),
    ("scan_ssl_freak", WEAK),
    ("scan_ssl_poodle", WEAK),
    ("scan_synfulknock", COMPROMISED),
    // Services that answer with more than they were asked.
    ("scan_ard", AMPLIFIER),
    ("scan_chargen", AMPLIFIER),
    ("scan_coap", AMPLIFIER),
    ("scan_dns", AMPLIFIER),
    ("scan_dvr_dhcpdiscover", AMPLIFIER),
    ("scan_ldap_udp", AMPLIFIER),
    ("scan_mdns", AMPLIFIER),
    ("scan_memcached", AMPLIFIER),
    ("scan_mssql", AMPLIFIER),
    ("scan_netbios", AMPLIFIER),
    ("scan_ntp", AMPLIFIER),
    ("scan_ntpmonitor", AMPLIFIER),
    ("scan_portmapper", AMPLIFIER),
    ("scan_qotd", AMPLIFIER),
    ("scan_rdpeudp", AMPLIFIER),
    ("scan_sip", OPEN),
    ("scan_slp", AMPLIFIER),
    ("scan_snmp", AMPLIFIER),
    ("scan_ssdp", AMPLIFIER),
    ("scan_stun", AMPLIFIER),
    ("scan_tftp", AMPLIFIER),
    ("scan_ubiquiti", AMPLIFIER),
    ("scan_ws_discovery", AMPLIFIER),
    ("scan_xdmcp", AMPLIFIER),
    // What was broken into.
    ("compromised", COMPROMISED),
    ("compromised_account", victim(Category::UnprivilegedAccountCompromise)),
    ("vulnerable", VULNERABLE),
    ("ransomware", victim(Category::SystemCompromise)),
    // What a sinkhole, a honeypot or a darknet saw.
    ("event4_sinkhole", INFECTED),
    ("event4_microsoft_sinkhole", INFECTED),
    ("event4_infected", INFECTED),
    ("event4_ddos_participant", attacker(Category::Ddos)),
    ("event4_honeypot", attacker(Category::Scanner)),
    ("event4_honeypot_brute_force", attacker(Category::BruteForce)),
    ("event4_honeypot_darknet", attacker(Category::Scanner)),
    ("event4_honeypot_ddos", attacker(Category::Ddos)),
    ("event4_honeypot_ddos_amp", victim(Category::Ddos)),
    ("event4_honeypot_ddos_target", about(Category::Ddos, Role::Victim, Subject::Destination)),
    ("event4_honeypot_http_scan", attacker(Category::Scanner)),
    ("event4_honeypot_ics_scan", attacker(Category::Scanner)),
    ("event4_honeypot_exploit", attacker(Category::Exploit)),
    ("event4_ip_spoofer", victim(Category::Misconfiguration)),
    // Where malware and mails lead to.
    ("malware_url", about(Category::MalwareDistribution, Role::Attacker, Subject::Url)),
    ("phish_url", about(Category::Phishing, Role::Attacker, Subject::Url)),
    ("sandbox_url", about(Category::MalwareDistribution, Role::Attacker, Subject::Url)),
    ("sandbox_conn", attacker(Category::MalwareDistribution)),
    ("spam_url", about(Category::Spam, Role::Attacker, Subject::Url)),
    ("blocklist", attacker(Category::Other)),
    ("blacklist", attacker(Category::Other)),
    // What there is, good or bad.
    ("device_id", victim(Category::Other)),
    ("population", about(Category::Other, Role::Bystander, Subject::Source)),
    // Names of earlier years.
    ("botnet_drone", INFECTED),
    ("drone", INFECTED),
    ("drone_brute_force", attacker(Category::BruteForce)),
    ("sinkhole", INFECTED),
    ("microsoft_sinkhole", INFECTED),
    ("cc_ip", attacker(Category::C2Server)),
    ("darknet", attacker(Category::Scanner)),
    ("ddos_amp", victim(Category::Ddos)),
    ("caida_ip_spoofer", victim(Category::Misconfiguration)),
    ("cisco_smart_install", VULNERABLE),
    ("cwsandbox_url", about(Category::MalwareDistribution, Role::Attacker, Subject::Url)),
    ("dns_openresolver", AMPLIFIER),
    ("hp_http_scan", attacker(Category::Scanner)),
    ("hp_ics_scan", attacker(Category::Scanner)),
    ("outdated_dnssec_key", WEAK),
    ("netis_router", VULNERABLE),
];

/// What a kind of report says.
pub fn report(kind: &str) -> &'static Report {
    let kind = kind.to_ascii_lowercase();
    let kind =
        ["scan", "event"].iter().find_map(|word| kind.strip_prefix(word)?.strip_prefix('6').map(|rest| (word, rest))).map_or(kind.clone(), |(word, rest)| {
            let four = if *word == "event" { "4" } else { "" };
            format!("{word}{four}{rest}")
        });
    let fits = RULES.iter().filter(|(prefix, _)| kind == *prefix || kind.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_')));
    fits.max_by_key(|(prefix, _)| prefix.len()).map_or(&UNKNOWN, |(_, report)| report)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn kinds_are_told_by_the_longest_beginning() {
        for (kind, category, role) in [
            ("scan_ssl", Category::PotentiallyUnwantedAccessible, Role::Victim),
            ("scan6_ssl_poodle", Category::WeakCrypto, Role::Victim),
            ("scan_ntpmonitor", Category::DdosAmplifier, Role::Victim),
            ("scan_ntp_monitor", Category::DdosAmplifier, Role::Victim),
            ("scanner_of_its_own", Category::Other, Role::Victim),
            ("scan_something_new", Category::PotentiallyUnwantedAccessible, Role::Victim),
            ("event4_sinkhole_http_referer", Category::InfectedSystem, Role::Victim),
            ("event6_sinkhole_http", Category::InfectedSystem, Role::Victim),
            ("event4_honeypot_brute_force", Category::BruteForce, Role::Attacker),
            ("event4_honeypot_ddos_amp", Category::Ddos, Role::Victim),
            ("event4_honeypot_rdp_scan", Category::Scanner, Role::Attacker),
            ("nobody_knows", Category::Other, Role::Victim),
            ("", Category::Other, Role::Victim),
        ] {
            let found = report(kind);
            assert_eq!((found.category, found.role), (category, role), "{kind}");
        }
    }

    #[test]
    fn no_rule_stands_twice_and_there_are_enough() {
        let names: BTreeSet<&str> = RULES.iter().map(|(prefix, _)| *prefix).collect();
        assert_eq!(names.len(), RULES.len());
        assert!(RULES.len() >= 40);
    }
}
