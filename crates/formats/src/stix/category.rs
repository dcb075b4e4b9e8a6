//! Categories of STIX objects, from their labels and kill chain phases; words that MISP tags share.
//!
//! Invariant: a word that tells nothing (`malicious-activity`) gives no category; `test` is never read out of a free word, for it would hide
//! the event from everyone.
//! Not here: the names of RSIT, n6 and IntelMQ (`model::category`).
//!
//! Source: OASIS STIX 2.1 section 10.9 (indicator types); Lockheed Martin cyber kill chain; MITRE ATT&CK tactics.

use super::lenient::{self, Fields};
use crate::Defaults;
use model::{Category, Role};
use serde_json::Value;

/// What an object's labels and phases say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Classified {
    /// Category.
    pub category: Category,
    /// The role that the category's name or the batch states.
    pub role: Option<Role>,
    /// Whether its values are worth detecting, where stated.
    pub detect: Option<bool>,
}

/// Reads `indicator_types`, `labels` and `kill_chain_phases`.
pub(super) fn classify(fields: &Fields, defaults: &Defaults) -> Classified {
    let labels: Vec<&str> = ["indicator_types", "labels"].into_iter().flat_map(|key| lenient::texts_of(fields, key)).collect();
    let detect = labels.iter().any(|label| label.eq_ignore_ascii_case("benign")).then_some(false);
    let by_label: Vec<(Category, Option<Role>)> = labels.into_iter().filter_map(from_word).collect();
    let telling = by_label.iter().copied().find(|(category, _)| *category != Category::Other);
    let found = telling.or_else(|| by_phase(fields).map(|category| (category, None))).or_else(|| by_label.first().copied());
    let (category, role) = found.unwrap_or((defaults.category.unwrap_or(Category::Other), None));
    Classified { category, role: role.or(defaults.role), detect }
}

fn by_phase(fields: &Fields) -> Option<Category> {
    lenient::objects_of(fields, "kill_chain_phases").into_iter().filter_map(|phase| phase.get("phase_name").and_then(Value::as_str)).find_map(from_phase)
}

/// The category that a label or tag names, with the role that the name carries; `None` where it tells nothing.
pub(crate) fn from_word(word: &str) -> Option<(Category, Option<Role>)> {
    let word = plain(word);
    let category = match word.as_str() {
        "malicious-activity" | "anomalous-activity" | "attribution" | "benign" | "unknown" | "undetermined" | "other" => return None,
        "c2" | "cc" | "cnc" | "c&c" | "c2-server" | "c&c-server" | "command-and-control" | "command-&-control" => Category::C2Server,
        "malware"
        | "virus"
        | "worm"
        | "trojan"
        | "spyware"
        | "dialer"
        | "rootkit"
        | "ransomware"
        | "stealer"
        | "rat"
        | "banker"
        | "backdoor"
        | "dropper"
        | "loader"
        | "wiper"
        | "malware-artifacts"
        | "malware-distribution"
        | "exploit-kit" => Category::MalwareDistribution,
        "phishing" | "spear-phishing" | "spearphishing" | "smishing" | "whaling" | "vishing" => Category::Phishing,
        "scam" => Category::Masquerade,
        "scan" | "scanner" | "scanning" => Category::Scanner,
        "compromised" => Category::SystemCompromise,
        "botnet-drone" => Category::InfectedSystem,
        "cryptojacking" => Category::UnauthorisedUseOfResources,
        "anonymization" | "anonymisation" => Category::Other,
        name => return Category::from_name(name).filter(|(category, _)| !matches!(category, Category::Test | Category::Undetermined)),
    };
    Some((category, None))
}

/// The category that a phase of a kill chain suggests for what is seen in it.
pub(crate) fn from_phase(phase: &str) -> Option<Category> {
    match plain(phase).as_str() {
        "reconnaissance" => Some(Category::Scanner),
        "weaponization" | "weaponisation" | "delivery" | "installation" | "initial-access" | "establish-foothold" => Some(Category::MalwareDistribution),
        "exploitation" | "exploit" => Some(Category::Exploit),
        "command-and-control" | "command-&-control" | "control" | "c2" => Some(Category::C2Server),
        _ => None,
    }
}

fn plain(word: &str) -> String {
    /// Longer words name no category.
    const MAX_WORD: usize = 64;
    word.trim().chars().take(MAX_WORD).map(|c| if matches!(c, ' ' | '_') { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn words_that_tell_nothing_give_no_category() {
        for word in ["malicious-activity", "benign", "unknown", "test", "CobaltStrike"] {
            assert_eq!(from_word(word), None, "{word}");
        }
    }

    #[test]
    fn words_and_phases_are_known_in_any_writing() {
        for (word, category) in [
            ("C2", Category::C2Server),
            ("Command and Control", Category::C2Server),
            ("Phishing", Category::Phishing),
            ("malware_distribution", Category::MalwareDistribution),
        ] {
            assert_eq!(from_word(word).map(|(category, _)| category), Some(category), "{word}");
        }
        assert_eq!(from_phase("Command and Control"), Some(Category::C2Server));
        assert_eq!(from_phase("impact"), None);
    }
}
