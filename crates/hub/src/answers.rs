//! The shapes that use cases answer with; doors serialise them as they stand.

use model::{Category, ObservableType, OrgId, Pap, Seq, Text, Timestamp, Tlp};
use serde::Serialize;
use serde_json::value::RawValue;

/// What became of a batch.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// The receipt's id; absent for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// Sequence number of the first event taken or merged.
    pub first_seq: Option<Seq>,
    /// Sequence number of the last; others' events may lie between.
    pub last_seq: Option<Seq>,
    /// Events taken.
    pub accepted: u64,
    /// Events that had come before.
    pub merged: u64,
    /// Entries refused.
    pub refused: u64,
    /// Of the merged, those whose event was withdrawn since: it stays withdrawn.
    #[serde(skip_serializing_if = "is_zero")]
    pub merged_withdrawn: u64,
    /// The refused entries, up to 1,000.
    pub errors: Vec<LineError>,
    /// What looks like a mistake in entries that were read, up to [`formats::MAX_WARNINGS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<LineError>,
    /// All that looks so, named or not.
    #[serde(skip_serializing_if = "is_zero")]
    pub warned: u64,
    /// What stood in where the sender said nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub defaults: Vec<DefaultUsed>,
    /// Set for a dry run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What stood in where entries did not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefaultUsed {
    /// The field.
    pub field: &'static str,
    /// What it became.
    pub value: &'static str,
    /// In how many entries.
    pub entries: u64,
}

/// One entry of which something is to be said.
#[derive(Debug, Clone, Serialize)]
pub struct LineError {
    /// 1-based line, or number of the object in a document.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// State of an observable for one reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ObservableState {
    /// Seen within its lifetime.
    Active,
    /// Its lifetime is over.
    Expired,
    /// A false-positive claim was upheld.
    Disputed,
    /// Every event the reader could see was withdrawn.
    Withdrawn,
}

/// How many reporters: a number, or `"<3"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReporterCount {
    /// As many.
    Exactly(u64),
    /// Under three, and at least one of them is withheld from the reader.
    UnderThree,
}

impl Serialize for ReporterCount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Exactly(number) => serializer.serialize_u64(*number),
            Self::UnderThree => serializer.serialize_str("<3"),
        }
    }
}

/// What the hub knows of a value, as far as the reader may know.
#[derive(Debug, Clone, Serialize)]
pub struct ObservableAnswer {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ObservableType,
    /// Canonical form.
    pub value: Text,
    /// Whether it still counts.
    pub state: ObservableState,
    /// Earliest time of an event.
    pub first_seen: Timestamp,
    /// Latest time of an event.
    pub last_seen: Timestamp,
    /// Number of events.
    pub events: u64,
    /// Sum of their counts.
    pub count: u64,
    /// Number of reporters; relayed events have none.
    pub reporters: ReporterCount,
    /// Sectors of the events.
    pub sectors: Vec<Text>,
    /// Categories of the events.
    pub categories: Vec<Category>,
    /// Malware names of the events.
    pub malware: Vec<Text>,
    /// Highest confidence given.
    pub confidence: Option<u8>,
    /// Strictest marking of the events shown.
    pub tlp: Tlp,
    /// Strictest permissible actions of the events shown.
    pub pap: Pap,
    /// Names of the warning lists that hold it.
    pub warning_lists: Vec<Text>,
    /// Registered as protected; for owner, authority and coordinator only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
    /// In a private, documentation or example range.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reserved: bool,
    /// Values seen in the same events, up to 20; left out of bulk look-ups of more than 100 values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<Vec<Related>>,
    /// Set where the row limit was reached: counts are at least these.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

/// A value seen in the same event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ObservableType,
    /// Canonical form.
    pub value: Text,
}

/// One page of events, each already rendered as a JSON object.
#[derive(Debug, Default)]
pub struct Page {
    /// The events, newest first.
    pub events: Vec<Vec<u8>>,
    /// Where the next page starts; `None` at the end.
    pub cursor: Option<String>,
}

/// What became of a receipt's events, as far as policy allows.
#[derive(Debug, Clone, Serialize)]
pub struct ReceiptAnswer {
    /// Its id.
    pub receipt: String,
    /// When the hub received it.
    pub received: Timestamp,
    /// First event.
    pub first_seq: Seq,
    /// Last event.
    pub last_seq: Seq,
    /// Events taken.
    pub accepted: u64,
    /// Events that had come before.
    pub merged: u64,
    /// Events withdrawn since.
    pub withdrawn: u64,
    /// Events of which at least one value was also reported by another member that the caller may know of.
    pub confirmed: u64,
    /// Events of which a value is disputed.
    pub disputed: u64,
    /// Findings sent to owners of networks.
    pub owners_told: u64,
    /// Findings that owners report fixed.
    pub fixed: u64,
    /// Warnings that used them.
    pub warnings: u64,
    /// Counts are made of the first so many events of the batch.
    pub examined: u64,
}

/// What a withdrawal did, or would do.
#[derive(Debug, Clone, Serialize)]
pub struct WithdrawAnswer {
    /// Events withdrawn (dry run: that would be).
    pub withdrawn: u64,
    /// Set for a dry run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// What became of one version of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionState {
    /// It counts.
    Current,
    /// A corrected event stands in its place.
    Amended,
    /// It was taken back.
    Withdrawn,
}

/// The organisation that did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Acting {
    /// Its id.
    pub id: OrgId,
    /// Its name.
    pub name: String,
}

/// One version of an event.
#[derive(Debug, Clone, Serialize)]
pub struct EventVersion {
    /// Its place.
    pub seq: Seq,
    /// When the hub received it.
    pub received: Timestamp,
    /// What became of it.
    pub state: VersionState,
    /// Who replaced it or took it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Acting>,
    /// Why it was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The event; absent where an erasure has left nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<RawValue>>,
}

/// The versions of an event.
#[derive(Debug, Clone, Serialize)]
pub struct HistoryAnswer {
    /// Newest first.
    pub items: Vec<EventVersion>,
    /// Set where a limit was reached: there may be more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

/// One month of a member's contribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContributionMonth {
    /// `2026-11`: civil month of the events' own time in the realm's zone.
    pub month: String,
    /// Events accepted, relayed ones too.
    pub accepted: u64,
    /// Values the member reported before anyone else.
    pub first: u64,
    /// Of the member's values, those later reported by another.
    pub confirmed: u64,
    /// Claims upheld against its values.
    pub false_positives: u64,
    /// Median over the values of own observations: seconds from a value's earliest event to its first receipt, up to the next power of two.
    pub timeliness_seconds: Option<u64>,
}

/// The contribution ledger of a member.
#[derive(Debug, Clone, Serialize)]
pub struct ContributionAnswer {
    /// The organisation's id.
    pub organisation: String,
    /// Its standing.
    pub standing: model::Standing,
    /// Who decided it.
    pub standing_by: model::StandingBy,
    /// When it was decided; `None`: when the organisation was added.
    pub standing_since: Option<Timestamp>,
    /// Why, in words.
    pub standing_reason: Option<Text>,
    /// The date of the decision: a warned member is limited from then, an operator's decision holds until then.
    pub standing_review: Option<Timestamp>,
    /// The rule that gives it, in words.
    pub rule: String,
    /// Newest first, ten years at the most.
    pub months: Vec<ContributionMonth>,
}

/// The hub's state.
#[derive(Debug, Clone, Serialize)]
pub struct StatusAnswer {
    /// Of the program.
    pub version: &'static str,
    /// The realm: `main`, or an exercise's name.
    pub realm: String,
    /// The ledger's end.
    pub ledger: LedgerStatus,
    /// Views, each with the last sequence number that it holds: the ledger's own where it is not behind.
    pub views: std::collections::BTreeMap<&'static str, Seq>,
}

/// Where the ledger is, and its totals.
#[derive(Debug, Clone, Serialize)]
pub struct LedgerStatus {
    /// The last sequence number given.
    pub last_seq: Seq,
    /// Events that count: accepted and neither withdrawn nor expired; `None` for callers who may not see totals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
}
