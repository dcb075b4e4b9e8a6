//! How far the log of indicators is: one small file, replaced by rename after all that it names is durable.
//!
//! Invariant: what lies before the position is in the logs, and what lies before the lengths was synced. Without the file, or with one of
//! another ledger, everything is looked at once more, which writes nothing twice. Places in a log are bytes of its file of rows at which a row begins.
//! Versions 1 and 2 belong to logs that held whole versions, which are made anew.

use super::growing::START;
use super::register::Register;
use super::{Collection, Settled};
use crate::views::checkpoint::write_durably;
use model::Seq;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The file's name.
pub(super) const FILE: &str = "POSITION";
/// Version of the file's shape; one that is not known counts as none.
const VERSION: u32 = 3;

/// What `POSITION` says of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Bytes of its rows that were synced.
    pub(super) length: u64,
    /// What lies before is in the runs.
    pub(super) covered: u64,
    /// What lies before was looked at again when it was a day old.
    pub(super) looked_at: u64,
    /// Where the look at what may say too much goes on; `None`: there is none under way.
    #[serde(default)]
    pub(super) again: Option<u64>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { length: 0, covered: START, looked_at: START, again: None }
    }
}

/// What `POSITION` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Version of the file's shape.
    pub(super) version: u32,
    /// Everything before it in the ledger was looked at.
    pub(super) position: Seq,
    /// Chain value of the last frame before the position, hexadecimal.
    pub(super) chain: String,
    /// Bytes of the bodies that were synced.
    pub(super) bodies: u64,
    /// By collection.
    pub(super) logs: BTreeMap<Collection, Kept>,
    /// Runs of the newest versions, newest first.
    pub(super) runs: Vec<String>,
    /// What the ledger told of agreements and reporters.
    #[serde(default)]
    pub(super) register: Register,
    /// Where the look at everything goes on that collections may admit since; `None`: there is none under way.
    #[serde(default)]
    pub(super) walk: Option<Seq>,
    /// When the logs of agreements had settled.
    #[serde(default)]
    pub(super) settled: BTreeMap<Collection, Vec<Settled>>,
}

impl Default for State {
    fn default() -> Self {
        let (chain, logs, runs, settled) = (String::new(), BTreeMap::new(), Vec::new(), BTreeMap::new());
        Self { version: VERSION, position: Seq(0), chain, bodies: 0, logs, runs, register: Register::default(), walk: None, settled }
    }
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

impl State {
    /// Reads the file; `None` where there is none that can be used.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let bytes = std::fs::read(folder.join(FILE)).ok()?;
        let head: Head = serde_json::from_slice(&bytes).ok()?;
        if head.version == VERSION { serde_json::from_slice(&bytes).ok() } else { None }
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// An I/O error; the one before stays.
    pub(super) fn write(&self, folder: &Path) -> std::io::Result<()> {
        write_durably(&folder.join(FILE), &serde_json::to_vec_pretty(self)?)
    }

    /// What it says of a log.
    pub(super) fn kept(&self, collection: Collection) -> Kept {
        self.logs.get(&collection).copied().unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::ledger::Control;
    use model::{Agreement, OrgNo, Redistribution, Text, Timestamp, Tlp};

    #[test]
    fn a_position_comes_back_from_its_file_with_agreements_and_reporters() {
        let folder = tempfile::tempdir().unwrap();
        let mut register = Register::default();
        let at = Timestamp::from_seconds(1_800_000_000);
        register.hear(Control::Reporter { organisation: OrgNo(7), version: 3, partner: true, licence: Some(Redistribution::Members), at });
        let agreement = Agreement { names: true, expires: Some(at), ..Agreement::up_to(Tlp::AmberStrict) };
        register.hear(Control::Agreement { organisation: OrgNo(7), version: 3, agreement: Some(agreement), audience: vec![Text::from("org_7")], at });
        let kept = Kept { length: 900, covered: 100, looked_at: 50, again: Some(8) };
        let logs = BTreeMap::from([(Collection::Clear, Kept::default()), (Collection::Agreement(OrgNo(7)), kept)]);
        let runs = vec!["latest-00000001.run".to_owned()];
        let settled = BTreeMap::from([(Collection::Agreement(OrgNo(7)), vec![Settled { version: 3, at: Timestamp::from_micros(1_800_000_000_000_017) }])]);
        let state = State { position: Seq(70_000), chain: "ab".to_owned(), bodies: 700, logs, runs, register, settled, ..State::default() };
        let state = State { walk: Some(Seq(65_536)), ..state };
        state.write(folder.path()).unwrap();
        assert_eq!(State::read(folder.path()), Some(state.clone()));
        assert_eq!(state.kept(Collection::Agreement(OrgNo(7))), kept);
        assert_eq!(state.kept(Collection::Agreement(OrgNo(8))), Kept::default());
    }

    #[test]
    fn a_position_of_another_version_or_without_what_it_must_say_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"version":3,"position":70000,"chain":"ab","bodies":90,"logs":{"events-amber":{"length":60,"covered":8,"looked_at":8}},"runs":[]}"#;
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let state = State::read(folder.path()).unwrap();
        assert_eq!((state.position, state.bodies, state.walk), (Seq(70_000), 90, None));
        assert_eq!(state.kept(Collection::Amber), Kept { length: 60, covered: START, looked_at: START, again: None });
        let others = [1, 2, 4].map(|version| text.replace("\"version\":3", &format!("\"version\":{version}")));
        for text in others.into_iter().chain([text.replace("\"chain\":\"ab\",", ""), text.replace("\"bodies\":90,", ""), String::new()]) {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            assert_eq!(State::read(folder.path()), None);
        }
    }
}
