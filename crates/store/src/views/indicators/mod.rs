//! The log of indicators: for each collection, one row per version of each value that its events make an indicator of.
//!
//! Flow: `follow` reads the ledger's frames in order → the aggregate rows of each value they name → `fold` (what a collection's readers may
//! all see of it, and whether a version is due) → `log` (append, sync) → [`Indicators::page`].
//! Shape: `DIR/indicators/events-clear.log`, `-green`, `-amber`: 8 bytes of name and version, then entries (length, CRC-32, content); and
//! `POSITION`. What else is there is told from the logs where it is missing: beside each log a sparse index (`.idx`), and of all three the
//! newest version of each value (`latest-N.run`).
//! Invariant: a version given out is never changed and never lost but by damage; dates of addition only go up within a collection.
//! Not a function of the ledger alone: a version is dated by the clock and made of the aggregates at the time of looking, which may be past
//! the frame that led there. Which versions there are may therefore differ where the log is made anew. What the newest one says of type,
//! confidence band and validity does not, once it is a day old: every version is looked at again then. So the log is in every backup, and
//! `rebuild` leaves it alone unless it is damaged.
//! Not here: which values a door leaves out or marks (`policy`), how an indicator is written (`formats`).

mod entry;
mod fold;
mod follow;
mod frames;
mod latest;
mod log;
mod open;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use follow::{Following, Sources};
pub use open::{check, files, make_anew};

use latest::Newest;
use log::Log;
use model::{Category, ObservableType, Pap, Seq, Text, Timestamp, Tlp};
use std::sync::Arc;
use tokio::sync::watch;

/// Folder of the log in the realm's folder.
pub const FOLDER: &str = "indicators";
/// Versions of one page at the most.
pub const MAX_PAGE: usize = 10_000;
/// Versions of one value that are given at the most.
pub const MAX_VERSIONS: usize = 64;

/// The three collections made from events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Collection {
    /// What anyone may have.
    Clear = 0,
    /// What the community may have.
    Green = 1,
    /// What members may have.
    Amber = 2,
}

impl Collection {
    /// Every collection, the least strict first.
    pub const ALL: [Self; 3] = [Self::Clear, Self::Green, Self::Amber];

    /// Its name.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Clear => "events-clear",
            Self::Green => "events-green",
            Self::Amber => "events-amber",
        }
    }

    /// The collection of a name.
    pub fn from_title(title: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|collection| collection.title() == title)
    }

    /// The number kept on disk.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The collection with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Clear),
            1 => Some(Self::Green),
            2 => Some(Self::Amber),
            _ => None,
        }
    }

    /// The strictest marking of what it holds.
    pub const fn tlp(self) -> Tlp {
        match self {
            Self::Clear => Tlp::Clear,
            Self::Green => Tlp::Green,
            Self::Amber => Tlp::Amber,
        }
    }

    /// What is kept of it among what is kept of all.
    fn of<T>(self, all: &[T; 3]) -> &T {
        let [clear, green, amber] = all;
        match self {
            Self::Clear => clear,
            Self::Green => green,
            Self::Amber => amber,
        }
    }

    fn of_mut<T>(self, all: &mut [T; 3]) -> &mut T {
        let [clear, green, amber] = all;
        match self {
            Self::Clear => clear,
            Self::Green => green,
            Self::Amber => amber,
        }
    }
}

/// One version of one indicator, built only from events that every reader of the collection may see.
#[derive(Debug, Clone, PartialEq)]
pub struct Indicator {
    /// Whose log it is in.
    pub collection: Collection,
    /// When it was added; the order of the log, each at least a microsecond after the one before.
    pub added: Timestamp,
    /// Keyed hash of the observable.
    pub key: u128,
    /// Type of the value.
    pub kind: ObservableType,
    /// The value in canonical form.
    pub value: Text,
    /// When the value's first version was added.
    pub created: Timestamp,
    /// Whether nothing is left of it.
    pub revoked: bool,
    /// What the newest event is.
    pub category: Category,
    /// Malware of the newest event that names one.
    pub malware: Option<Text>,
    /// Strictest permissible actions of the events.
    pub pap: Pap,
    /// Strictest marking of the events.
    pub tlp: Tlp,
    /// Highest confidence given, 0 to 100.
    pub confidence: Option<u8>,
    /// Different organisations that saw it themselves. Never shown as such.
    pub reporters: u32,
    /// Earliest time.
    pub first_seen: Timestamp,
    /// Latest time.
    pub last_seen: Timestamp,
    /// Until when it counts as active; `None`: it does not decay.
    pub valid_until: Option<Timestamp>,
    /// Sectors named, sorted.
    pub sectors: Vec<Text>,
}

/// The log of indicators, open for reading by many.
#[derive(Debug)]
pub struct Indicators {
    logs: [Log; 3],
    newest: Newest,
    position: watch::Sender<Seq>,
}

impl Indicators {
    /// A log that holds nothing and takes nothing, for views that are made for comparison alone.
    pub(crate) fn idle() -> Arc<Self> {
        Arc::new(Self { logs: Collection::ALL.map(Log::empty), newest: Newest::default(), position: watch::Sender::new(Seq(0)) })
    }

    /// Versions after `after`, exclusive, oldest first; at most `limit`, and at most [`MAX_PAGE`]. Costs the same wherever the page is.
    ///
    /// # Errors
    /// An I/O error; `InvalidData` where the log is damaged.
    pub fn page(&self, collection: Collection, after: Option<Timestamp>, limit: usize) -> std::io::Result<Vec<Indicator>> {
        collection.of(&self.logs).page(after, limit.min(MAX_PAGE))
    }

    /// The versions of one value, newest first; at most [`MAX_VERSIONS`].
    ///
    /// # Errors
    /// As for [`Indicators::page`].
    pub fn versions(&self, collection: Collection, key: u128) -> std::io::Result<Vec<Indicator>> {
        let mut next = collection.of(&self.newest.get(key)?).map(|version| version.offset);
        let mut versions = Vec::new();
        while let Some(offset) = next.filter(|_| versions.len() < MAX_VERSIONS) {
            let entry = collection.of(&self.logs).entry_at(offset)?;
            // An older version lies before: a broken link must not lead in a circle.
            next = entry.previous.filter(|&previous| previous < offset);
            versions.push(entry.indicator);
        }
        Ok(versions)
    }

    /// The sequence number up to which, exclusive, the log has taken in what the ledger holds. It stands still while values are being made
    /// anew after a withdrawal.
    pub fn position(&self) -> Seq {
        *self.position.borrow()
    }

    /// Tells of every move of [`Indicators::position`].
    pub fn watch(&self) -> watch::Receiver<Seq> {
        self.position.subscribe()
    }

    /// Entries of a collection: all versions of all values.
    pub fn count(&self, collection: Collection) -> u64 {
        collection.of(&self.logs).count()
    }
}
