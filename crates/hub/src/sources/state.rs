//! What the hub remembers of a source between its runs, and what it tells of them.
//!
//! Flow: read when the hub opens → changed by each run → written with the run's end (`store::sources`).
//! Invariant: every field has a default, so that what an older program wrote is read; nothing in here is secret or of a payload but the samples
//! of a dry run, which are never written.
//! Not here: the decisions (`alarm`, `schedule`).

use model::{OrgId, Pap, Redistribution, Seq, Timestamp, Tlp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Why someone should look at a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// It has brought nothing new for longer than is expected.
    Silent,
    /// It cannot be asked, several times in a row.
    Failing,
    /// It has nothing where it always gives all.
    Empty,
    /// It has fewer entries than its bound.
    TooFew,
    /// It has many times more or fewer entries than before.
    Jump,
    /// The snapshot has less than half of what was listed.
    Shrunk,
    /// What came broke off.
    Truncated,
    /// Too many of its entries are refused.
    Refused,
}

impl AlarmKind {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Silent, Self::Failing, Self::Empty, Self::TooFew, Self::Jump, Self::Shrunk, Self::Truncated, Self::Refused];

    /// The name in answers and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Failing => "failing",
            Self::Empty => "empty",
            Self::TooFew => "too-few",
            Self::Jump => "jump",
            Self::Shrunk => "shrunk",
            Self::Truncated => "truncated",
            Self::Refused => "refused",
        }
    }
}

/// An alarm that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Since when.
    pub since: Timestamp,
    /// What is the matter, in words.
    pub text: String,
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunResult {
    /// Its entries were taken in.
    Taken,
    /// The source had nothing other than before.
    Unchanged,
    /// Its entries were held back until someone accepts them or the next run says the same.
    Held,
    /// It broke.
    Failed,
    /// It was only tried.
    DryRun,
}

impl RunResult {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Taken, Self::Unchanged, Self::Held, Self::Failed, Self::DryRun];

    /// The name in answers and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Unchanged => "unchanged",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::DryRun => "dry-run",
        }
    }
}

/// An entry that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedLine {
    /// The file or document.
    pub file: String,
    /// The line, or number of the object, in it.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// One run, as it is told and kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// What became of it.
    pub result: RunResult,
    /// Bytes that came.
    #[serde(default)]
    pub bytes: u64,
    /// Entries in them.
    #[serde(default)]
    pub entries: u64,
    /// Entries taken as new events.
    #[serde(default)]
    pub taken: u64,
    /// Entries that had come before.
    #[serde(default)]
    pub merged: u64,
    /// Entries that could not be read.
    #[serde(default)]
    pub refused: u64,
    /// Entries withdrawn because they vanished from the snapshot.
    #[serde(default)]
    pub delisted: u64,
    /// The first refused entries.
    #[serde(default)]
    pub refusals: Vec<RefusedLine>,
    /// The alarms that this run raised.
    #[serde(default)]
    pub alarms: BTreeMap<AlarmKind, String>,
    /// Why it broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Receipt of what was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// Of a dry run, the first entries as they would be taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Value>,
}

impl RunView {
    /// A run that has just begun.
    pub(super) fn begun(at: Timestamp) -> Self {
        Self {
            started: at,
            ended: at,
            result: RunResult::Failed,
            bytes: 0,
            entries: 0,
            taken: 0,
            merged: 0,
            refused: 0,
            delisted: 0,
            refusals: Vec::new(),
            alarms: BTreeMap::new(),
            error: None,
            receipt: None,
            samples: Vec::new(),
        }
    }
}

/// What is remembered of a source.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Saved {
    /// The collector's place.
    pub collector: Value,
    /// Hash of the configuration and the bodies taken last.
    pub content: Option<String>,
    /// Whether the bodies taken last ended with a line's end.
    pub ended_whole: bool,
    /// Runs that took something, ever; it tells one listing of an entry from the next.
    pub takings: u64,
    /// Where the ledger ended when the taking began that has not ended yet.
    pub taking: Option<Seq>,
    /// When the last run began.
    pub last_run: Option<Timestamp>,
    /// When the last run ended that did not break.
    pub last_success: Option<Timestamp>,
    /// When something new came last; at first, when the source was first run.
    pub last_new: Option<Timestamp>,
    /// Runs that broke since.
    pub failures: u32,
    /// When the next one is due.
    pub next: Option<Timestamp>,
    /// Entries of the last runs that were taken whole, newest first.
    pub past: Vec<u64>,
    /// Entries of a run that was not believed.
    pub held: Option<u64>,
    /// Alarms that stand.
    pub alarms: BTreeMap<AlarmKind, Alarm>,
}

/// A source as it is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceView {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Where it is, without the query, which may hold a key.
    pub place: String,
    /// Whether it runs by itself.
    pub enabled: bool,
    /// Seconds between two runs.
    pub every: u64,
    /// The organisation whose events its entries are; none where the partner is not there.
    pub organisation: Option<OrgId>,
    /// Whether that is a partner's.
    pub partner: bool,
    /// Marking of entries that have none.
    pub tlp: Tlp,
    /// Permissible actions of entries that have none.
    pub pap: Pap,
    /// To whom it may be given on; of a partner's the agreement says.
    pub redistribute: Option<Redistribution>,
    /// Whether what vanishes from it is delisted.
    pub snapshot: bool,
    /// Entries that the snapshot lists.
    pub listed: u64,
    /// Whether a run waits to be accepted.
    pub held: bool,
    /// Its entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_entries: Option<u64>,
    /// Whether it is being collected right now.
    pub running: bool,
    /// When the last run began.
    pub last_run: Option<Timestamp>,
    /// When the last run ended that did not break.
    pub last_success: Option<Timestamp>,
    /// When something new came last.
    pub last_new: Option<Timestamp>,
    /// When it runs next.
    pub next_run: Option<Timestamp>,
    /// Runs that broke in a row.
    pub failures: u32,
    /// Alarms that stand.
    pub alarms: BTreeMap<AlarmKind, Alarm>,
    /// The last runs, newest first; of one source alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<Vec<RunView>>,
    /// The last dry run since the hub was started; of one source alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried: Option<RunView>,
}
