//! How far the log of indicators is: one small file, replaced by rename after all that it names is durable.
//!
//! Invariant: what lies before the position is in the logs, and what lies before the lengths was synced. Without the file, or with one of
//! another ledger, everything is looked at once more, which writes nothing twice. Version 1, from before there were agreements, is read and
//! what it says is kept, but for the runs, which are made anew; an earlier release takes version 2 for none and looks at everything once more.

use super::Collection;
use super::log::START;
use super::register::Register;
use crate::views::checkpoint::write_durably;
use model::Seq;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The file's name.
pub(super) const FILE: &str = "POSITION";
/// Version of the file's shape; one that is not known counts as none.
const VERSION: u32 = 2;

/// What `POSITION` says of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Bytes of the log that were synced.
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
}

impl Default for State {
    fn default() -> Self {
        Self { version: VERSION, position: Seq(0), chain: String::new(), logs: BTreeMap::new(), runs: Vec::new(), register: Register::default(), walk: None }
    }
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

/// Version 1: lengths and places of the three collections for many.
#[derive(Deserialize)]
struct First {
    position: Seq,
    chain: String,
    lengths: [u64; 3],
    looked_at: [u64; 3],
}

impl From<First> for State {
    fn from(first: First) -> Self {
        let logs = Collection::ALL.into_iter().zip(first.lengths).zip(first.looked_at);
        let logs = logs.map(|((collection, length), looked_at)| (collection, Kept { length, looked_at: looked_at.max(START), ..Kept::default() }));
        Self { position: first.position, chain: first.chain, logs: logs.collect(), ..Self::default() }
    }
}

impl State {
    /// Reads the file; `None` where there is none that can be used.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let bytes = std::fs::read(folder.join(FILE)).ok()?;
        let head: Head = serde_json::from_slice(&bytes).ok()?;
        match head.version {
            1 => serde_json::from_slice::<First>(&bytes).ok().map(Self::from),
            VERSION => serde_json::from_slice(&bytes).ok(),
            _ => None,
        }
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
        let state = State { position: Seq(70_000), chain: "ab".to_owned(), logs, runs, register, walk: Some(Seq(65_536)), ..State::default() };
        state.write(folder.path()).unwrap();
        assert_eq!(State::read(folder.path()), Some(state.clone()));
        assert_eq!(state.kept(Collection::Agreement(OrgNo(7))), kept);
        assert_eq!(state.kept(Collection::Agreement(OrgNo(8))), Kept::default());
    }

    #[test]
    fn a_position_from_before_there_were_agreements_is_kept_but_for_its_runs() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"version":1,"position":70000,"chain":"ab","lengths":[9,10,11],"covered":[9,9,9],"looked_at":[0,8,10],"runs":["latest-00000001.run"]}"#;
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let state = State::read(folder.path()).unwrap();
        assert_eq!((state.position, state.chain.as_str(), state.runs.len(), state.walk), (Seq(70_000), "ab", 0, None));
        assert_eq!(state.kept(Collection::Amber), Kept { length: 11, covered: START, looked_at: 10, again: None });
        assert_eq!(state.kept(Collection::Clear).looked_at, START);
        assert_eq!(state.register, Register::default());
        for text in [text.replace("\"version\":1", "\"version\":3"), text.replace("\"chain\":\"ab\",", ""), String::new()] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            assert_eq!(State::read(folder.path()), None);
        }
    }
}
