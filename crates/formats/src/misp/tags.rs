//! MISP tags and galaxies: category, marking, malware and techniques.
//!
//! Flow: `Tag`, `EventTag` and `Galaxy` of an event or attribute → [`Tags`].
//! Invariant: of several markings the strictest holds; of several categories the one from the most explicit taxonomy, then the first.
//! Not here: which of attribute and event wins ([`super::attribute`]).
//!
//! Source: MISP taxonomies `tlp`, `PAP`, `rsit`, `ecsirt`, `circl`, `europol-event`, `kill-chain`, `malware_classification`; MISP galaxies.

use crate::stix;
use crate::stix::lenient::{self, Fields};
use model::{Category, Pap, Role, Text, Tlp};
use serde_json::Value;

/// Tags read of one event or attribute.
const MAX_TAGS: usize = 256;
/// Longest tag read, in bytes.
const MAX_TAG: usize = 512;
/// ATT&CK techniques kept.
pub(super) const MAX_TECHNIQUES: usize = 32;

/// What the tags of an event or attribute say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tags {
    /// Category with the role that its name carries.
    pub category: Option<(Category, Option<Role>)>,
    /// The strictest TLP level.
    pub tlp: Option<Tlp>,
    /// Whether a TLP tag names no level.
    pub unclear: bool,
    /// The strictest PAP level.
    pub pap: Option<Pap>,
    /// The first malware named.
    pub malware: Option<Text>,
    /// ATT&CK ids, upper-case.
    pub technique: Vec<Text>,
}

impl Tags {
    /// Reads the tags beside an event's or attribute's other fields.
    pub(super) fn read(fields: &Fields) -> Self {
        let plain = lenient::texts_of(fields, "Tag").into_iter();
        let named = lenient::objects_of(fields, "Tag").into_iter().filter_map(|tag| tag.get("name").and_then(Value::as_str));
        let joined =
            ["EventTag", "AttributeTag"].into_iter().flat_map(|key| lenient::objects_of(fields, key)).filter_map(|tag| tag.get("Tag")?.get("name")?.as_str());
        let clusters = lenient::objects_of(fields, "Galaxy").into_iter().flat_map(|galaxy| lenient::objects_of(galaxy, "GalaxyCluster"));
        let galaxies = clusters.filter_map(|cluster| cluster.get("tag_name").and_then(Value::as_str));
        let mut tags = Self::default();
        let mut rank = u8::MAX;
        for name in plain.chain(named).chain(joined).chain(galaxies).filter(|name| name.len() <= MAX_TAG).take(MAX_TAGS) {
            tags.add(name.trim(), &mut rank);
        }
        tags
    }

    /// Adds one tag; `rank` is that of the category so far.
    fn add(&mut self, tag: &str, rank: &mut u8) {
        let lower = tag.to_ascii_lowercase();
        let machine = Machine::split(&lower);
        match machine.namespace {
            "tlp" => match stix::tlp_word(tag) {
                Some(tlp) => self.tlp = self.tlp.max(Some(tlp)),
                None => self.unclear = true,
            },
            "pap" => self.pap = self.pap.max(Pap::parse(&lower)),
            "misp-galaxy" => self.add_galaxy(machine.predicate, Machine::split(tag).value),
            _ => {
                if let Some((found, category)) = category(machine)
                    && found < *rank
                {
                    *rank = found;
                    self.category = Some(category);
                }
            }
        }
    }

    fn add_galaxy(&mut self, galaxy: &str, value: &str) {
        let (name, id) = value.rsplit_once(" - ").unwrap_or((value, ""));
        if galaxy.contains("attack-pattern") {
            if let Some(technique) = stix::technique(id)
                && self.technique.len() < MAX_TECHNIQUES
                && !self.technique.contains(&technique)
            {
                self.technique.push(technique);
            }
        } else if is_malware_galaxy(galaxy) && self.malware.is_none() {
            // ATT&CK appends its own number to a name.
            let numbered = id.len() == 5 && id.starts_with('S');
            self.malware = lenient::name(if numbered { name } else { value });
        }
    }
}

fn is_malware_galaxy(galaxy: &str) -> bool {
    const NAMING: [&str; 13] =
        ["malpedia", "malware", "ransomware", "rat", "banker", "stealer", "tool", "botnet", "backdoor", "android", "cryptominers", "exploit-kit", "mitre-tool"];
    NAMING.contains(&galaxy) || galaxy.ends_with("-malware") || galaxy.ends_with("-attack-tool")
}

/// A machine tag in its parts: `namespace:predicate="value"`. A plain tag is a predicate alone.
#[derive(Clone, Copy)]
struct Machine<'a> {
    namespace: &'a str,
    predicate: &'a str,
    value: &'a str,
}

impl<'a> Machine<'a> {
    fn split(tag: &'a str) -> Self {
        let (namespace, rest) = tag.split_once(':').unwrap_or(("", tag));
        let (predicate, value) = rest.split_once('=').unwrap_or((rest, ""));
        Self { namespace: namespace.trim(), predicate: predicate.trim(), value: value.trim().trim_matches('"') }
    }
}

type Named = (Category, Option<Role>);

/// The category that a lower-case tag names, with a rank: lower is more explicit.
fn category(tag: Machine<'_>) -> Option<(u8, Named)> {
    let named = |rank: u8, category: Option<Category>| category.map(|category| (rank, (category, None)));
    match tag.namespace {
        "rsit" | "ecsirt" if tag.value == "test" => named(0, Some(Category::Test)),
        "rsit" | "ecsirt" => stix::from_word(tag.value).map(|category| (0, category)),
        "circl" if tag.predicate == "incident-classification" => match circl(tag.value) {
            None => stix::from_word(tag.value).map(|category| (1, category)),
            category => named(1, category),
        },
        "europol-event" => named(1, europol(tag.predicate)),
        "malware_classification" => named(2, Some(Category::MalwareDistribution)),
        "phishing" => named(2, Some(Category::Phishing)),
        "kill-chain" => named(2, stix::from_phase(tag.predicate)),
        "" => stix::from_word(tag.predicate).map(|category| (3, category)),
        _ => None,
    }
}

fn circl(value: &str) -> Option<Category> {
    match value {
        "denial-of-service" => Some(Category::Dos),
        "copyright-issue" => Some(Category::Copyright),
        "privacy-violation" | "information-leak" | "gdpr-violation" => Some(Category::DataLeak),
        "vulnerability" => Some(Category::VulnerableSystem),
        "xss" | "sql-injection" => Some(Category::Exploit),
        "locker" | "screenlocker" => Some(Category::MalwareDistribution),
        "sextortion" => Some(Category::Masquerade),
        _ => None,
    }
}

fn europol(predicate: &str) -> Option<Category> {
    match predicate {
        "infected-by-known-malware" | "connection-malware-port" | "connection-malware-system" => Some(Category::InfectedSystem),
        "dissemination-malware-email" | "hosting-malware-webpage" | "worm-spreading" => Some(Category::MalwareDistribution),
        "c&c-server-hosting" => Some(Category::C2Server),
        "flood" | "packet-flood" | "exploit-tool-exhausting-resources" | "exploit-framework-exhausting-resources" => Some(Category::Dos),
        "vandalism" | "disruption-data-transmission" => Some(Category::Sabotage),
        "system-probe" | "network-scanning" | "dns-zone-transfer" => Some(Category::Scanner),
        "wiretapping" => Some(Category::Sniffing),
        "dissemination-phishing-emails" | "hosting-phishing-sites" | "aggregation-information-phishing-schemes" => Some(Category::Phishing),
        "exploit-attempt" | "sql-injection-attempt" | "xss-attempt" | "file-inclusion-attempt" => Some(Category::Exploit),
        "brute-force-attempt" | "password-cracking-attempt" | "dictionary-attack-attempt" => Some(Category::BruteForce),
        "exploit" | "sql-injection" | "xss" | "file-inclusion" | "control-system-bypass" => Some(Category::ApplicationCompromise),
        "theft-access-credentials" => Some(Category::UnprivilegedAccountCompromise),
        "unauthorized-access-system" => Some(Category::SystemCompromise),
        "unauthorized-access-information" => Some(Category::UnauthorisedInformationAccess),
        "data-exfiltration" => Some(Category::DataLeak),
        "modification-information" | "deletion-information" => Some(Category::UnauthorisedInformationModification),
        "illegitimate-use-resources" => Some(Category::UnauthorisedUseOfResources),
        "illegitimate-use-name" => Some(Category::Masquerade),
        "email-flooding" | "spam" => Some(Category::Spam),
        "copyrighted-content" => Some(Category::Copyright),
        "content-forbidden-by-law" => Some(Category::Violence),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn read(names: &[&str]) -> Tags {
        let tags: Vec<Value> = names.iter().map(|name| serde_json::json!({ "name": name })).collect();
        let mut fields = Fields::new();
        fields.insert("Tag".to_owned(), Value::Array(tags));
        Tags::read(&fields)
    }

    #[test]
    fn the_strictest_of_conflicting_markings_holds() {
        for (names, tlp, unclear) in [
            (&["tlp:white", "TLP:GREEN"][..], Some(Tlp::Green), false),
            (&["tlp:clear"], Some(Tlp::Clear), false),
            (&["tlp:amber+strict", "tlp:white"], Some(Tlp::AmberStrict), false),
            (&["tlp:ex:chr"], Some(Tlp::Red), false),
            (&["tlp:unclear"], None, true),
            (&[], None, false),
        ] {
            let tags = read(names);
            assert_eq!((tags.tlp, tags.unclear), (tlp, unclear), "{names:?}");
        }
        assert_eq!(read(&["PAP:GREEN", "PAP:RED"]).pap, Some(Pap::Red));
    }

    #[test]
    fn the_most_explicit_category_wins_over_the_first() {
        for (names, category) in [
            (&["phishing", r#"rsit:malicious-code="c2-server""#][..], Some(Category::C2Server)),
            (&["C2", "malware"], Some(Category::C2Server)),
            (&["malware", r#"circl:incident-classification="phishing""#], Some(Category::Phishing)),
            (&["europol-event:c&c-server-hosting"], Some(Category::C2Server)),
            (&["kill-chain:Delivery"], Some(Category::MalwareDistribution)),
            (&[r#"rsit:test="test""#], Some(Category::Test)),
            (&["test", "osint", r#"osint:source-type="blog-post""#], None),
        ] {
            assert_eq!(read(names).category.map(|(category, _)| category), category, "{names:?}");
        }
    }

    #[test]
    fn galaxies_name_malware_and_techniques() {
        let tags = read(&[
            r#"misp-galaxy:threat-actor="Sofacy""#,
            r#"misp-galaxy:mitre-malware="XTunnel - S0117""#,
            r#"misp-galaxy:tool="X-Agent""#,
            r#"misp-galaxy:mitre-attack-pattern="Spearphishing Attachment - T1566.001""#,
            r#"misp-galaxy:mitre-attack-pattern="Pass the Hash""#,
        ]);
        assert_eq!(tags.malware.as_deref(), Some("XTunnel"));
        assert_eq!(tags.technique, ["T1566.001"]);
    }
}
