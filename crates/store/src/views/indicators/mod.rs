//! The log of indicators: for each collection, one row per version of each value that its events make an indicator of.
//!
//! Flow: `follow` reads the ledger's frames in order → the aggregate rows of each value they name → `register` (which of them a collection
//! admits) → `fold` (what they say together, and whether a version is due) → `pending` (`bodies` and `rows`: append, sync) → [`Indicators::page`].
//! Shape: `DIR/indicators/bodies.log`: what versions say, in blocks of up to 128, once for all collections that say the same. `events-clear.log`, `-green`,
//! `-amber`, `agreement-N.log` (N: the partner's number): for each block that holds versions of the collection a row that says which; and `POSITION`. What
//! else is there is told from these where it is missing: the newest version of each value in each collection (`latest-N.run`).
//! Invariant: a version given out is never changed and never lost but by damage; dates of addition only go up within a collection.
//! Invariant: bodies are durable before a row names them, and a row names its block by its checksum: no crash, failed write or copy of a running hub's files
//! shows a collection's readers a body that is not the collection's.
//! Not a function of the ledger alone: a version is dated by the clock and made of the aggregates at the time of looking, which may be past
//! the frame that led there. Which versions there are may therefore differ where the log is made anew. What the newest one says of type,
//! confidence band and validity does not, once it is a day old: every version is looked at again then. So the log is in every backup, and
//! `rebuild` leaves it alone unless it is damaged.
//! A log of an agreement stands still while the agreement does not hold, and is kept: when there is one again, what it said is looked at anew.
//! Not here: which values a door leaves out or marks (`policy`), how an indicator is written (`formats`).

mod block;
mod bodies;
mod draft;
mod evaluate;
mod fold;
mod follow;
mod frames;
mod growing;
mod latest;
mod look;
mod open;
mod pending;
mod register;
mod rows;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use follow::{Following, Sources};
pub use open::{check, files, make_anew};
pub use register::{Register, Reporter, Terms};

use bodies::Bodies;
use latest::Newest;
use model::{Category, ObservableType, OrgNo, Pap, Seq, Text, Timestamp, Tlp};
use parking_lot::RwLock;
use rows::Rows;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Folder of the log in the realm's folder.
pub const FOLDER: &str = "indicators";
/// Versions of one page at the most.
pub const MAX_PAGE: usize = 10_000;
/// Versions of one value that are given at the most.
pub const MAX_VERSIONS: usize = 64;
/// Versions of one value that are looked back at at the most.
pub const MAX_LOOKED_BACK: usize = 4_096;
/// Times that are remembered of one collection at which it had settled.
const MAX_SETTLED: usize = 64;
/// Techniques, and vulnerabilities, of one version at the most.
pub const MAX_THREATS: usize = 8;
/// Most of [`Indicator::room`]: for the objects and the relationships of malware and of as many techniques and vulnerabilities as there may be, and for
/// as many relationships that end.
pub const MAX_ROOM: Duration = Duration::from_micros(1 + 2 * (1 + 2 * MAX_THREATS as u64) + 2 * MAX_THREATS as u64);
/// Least of [`Indicator::room`].
const MIN_ROOM: u64 = 3;

/// A collection made from events. Ordered: those for many first, then those of agreements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Collection {
    /// What anyone may have.
    Clear,
    /// What the community may have.
    Green,
    /// What members may have.
    Amber,
    /// What the agreement with this partner covers.
    Agreement(OrgNo),
}

/// Before the number of a partner in the name of its collection.
const AGREEMENT: &str = "agreement-";

impl Collection {
    /// The collections for many, the least strict first.
    pub const ALL: [Self; 3] = [Self::Clear, Self::Green, Self::Amber];

    /// Its name.
    pub fn title(self) -> Cow<'static, str> {
        match self {
            Self::Clear => Cow::Borrowed("events-clear"),
            Self::Green => Cow::Borrowed("events-green"),
            Self::Amber => Cow::Borrowed("events-amber"),
            Self::Agreement(partner) => Cow::Owned(format!("{AGREEMENT}{partner}")),
        }
    }

    /// The collection of a name.
    pub fn from_title(title: &str) -> Option<Self> {
        if let Some(number) = title.strip_prefix(AGREEMENT) {
            let partner = Self::Agreement(OrgNo(number.parse().ok()?));
            // One form of a number alone names it.
            return (partner.title() == title).then_some(partner);
        }
        Self::ALL.into_iter().find(|collection| collection.title() == title)
    }

    /// The number kept on disk.
    pub const fn number(self) -> u64 {
        match self {
            Self::Clear => 0,
            Self::Green => 1,
            Self::Amber => 2,
            Self::Agreement(partner) => 3 + partner.0 as u64,
        }
    }

    /// The collection with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Clear),
            1 => Some(Self::Green),
            2 => Some(Self::Amber),
            other => u32::try_from(other - 3).ok().map(|partner| Self::Agreement(OrgNo(partner))),
        }
    }

    /// Its place among the collections for many; `None` for that of an agreement.
    pub const fn place(self) -> Option<usize> {
        match self {
            Self::Clear => Some(0),
            Self::Green => Some(1),
            Self::Amber => Some(2),
            Self::Agreement(_) => None,
        }
    }

    /// The strictest marking of what it may hold.
    pub const fn tlp(self) -> Tlp {
        match self {
            Self::Clear => Tlp::Clear,
            Self::Green => Tlp::Green,
            Self::Amber => Tlp::Amber,
            Self::Agreement(_) => Tlp::AmberStrict,
        }
    }
}

impl Serialize for Collection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.title())
    }
}

impl<'de> Deserialize<'de> for Collection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let title = String::deserialize(deserializer)?;
        Self::from_title(&title).ok_or_else(|| serde::de::Error::custom("not a collection made from events"))
    }
}

/// One version of one indicator, built only from events that every reader of the collection may see.
#[derive(Debug, Clone, PartialEq)]
pub struct Indicator {
    /// Whose log it is in.
    pub collection: Collection,
    /// When it was added; the order of the log, each at least its [`Indicator::room`] after the one before.
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
    /// Techniques of ATT&CK named, sorted; at most [`MAX_THREATS`].
    pub techniques: Vec<Text>,
    /// Vulnerabilities named by their CVE ids, sorted; at most [`MAX_THREATS`].
    pub cves: Vec<Text>,
    /// The most techniques and vulnerabilities together that a version of the value before it named: as many relationships may end with it, whichever of
    /// the versions before a reader was given.
    pub threats_before: u8,
}

impl Indicator {
    /// The most techniques and vulnerabilities together that it or a version before it named.
    fn threats_yet(&self) -> u8 {
        self.threats_before.max((self.techniques.len() + self.cves.len()) as u8)
    }

    /// How long after the version before it in the log it was added at the least, so that what stands beside it has dates of its own: an object and a
    /// relationship for everything that it names, and the relationships that end with it.
    pub fn room(&self) -> Duration {
        let (mut named, mut ended) = (0, u64::from(self.threats_before));
        if !self.revoked {
            named = (usize::from(self.malware.is_some()) + self.techniques.len() + self.cves.len()) as u64;
        }
        // Malware that is named takes the place of other malware.
        if self.revoked || self.malware.is_none() {
            ended += 1;
        }
        Duration::from_micros((1 + 2 * named + ended).max(MIN_ROOM))
    }
}

/// When the log of an agreement had settled: everything in it that stood was looked at, and what was no longer covered taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Version of the partner's record under whose agreement it was.
    pub version: u64,
    /// Date of the last version in the log then. What was added later was written by that agreement or by a later one.
    pub at: Timestamp,
}

/// The log of indicators, open for reading by many.
#[derive(Debug)]
pub struct Indicators {
    logs: RwLock<BTreeMap<Collection, Arc<Rows>>>,
    bodies: Bodies,
    newest: Newest,
    position: watch::Sender<Seq>,
    /// What the ledger told of agreements and reporters, and up to where.
    told: RwLock<(Seq, Arc<Register>)>,
    /// When the logs of agreements had settled, oldest first.
    settled: RwLock<BTreeMap<Collection, Vec<Settled>>>,
}

impl Indicators {
    /// A log that holds nothing and takes nothing, for views that are made for comparison alone.
    pub(crate) fn idle() -> Arc<Self> {
        let logs = RwLock::new(Collection::ALL.into_iter().map(|collection| (collection, Arc::new(Rows::empty(collection)))).collect());
        let (newest, position, told) = (Newest::default(), watch::Sender::new(Seq(0)), RwLock::default());
        Arc::new(Self { logs, bodies: Bodies::empty(), newest, position, told, settled: RwLock::default() })
    }

    fn log(&self, collection: Collection) -> Option<Arc<Rows>> {
        self.logs.read().get(&collection).cloned()
    }

    /// Versions after `after`, exclusive, oldest first; at most `limit`, and at most [`MAX_PAGE`]. Costs the same wherever the page is.
    ///
    /// # Errors
    /// An I/O error; `InvalidData` where the log is damaged.
    pub fn page(&self, collection: Collection, after: Option<Timestamp>, limit: usize) -> std::io::Result<Vec<Indicator>> {
        match self.log(collection) {
            Some(log) => log.page(&self.bodies, after, limit.min(MAX_PAGE)),
            None => Ok(Vec::new()),
        }
    }

    /// The versions of one value, newest first; at most [`MAX_VERSIONS`].
    ///
    /// # Errors
    /// As for [`Indicators::page`].
    pub fn versions(&self, collection: Collection, key: u128) -> std::io::Result<Vec<Indicator>> {
        let mut versions = Vec::new();
        self.look_back(collection, key, |version| {
            versions.push(version);
            versions.len() < MAX_VERSIONS
        })?;
        Ok(versions)
    }

    /// Gives the versions of one value, newest first, until `each` wants no more; at most [`MAX_LOOKED_BACK`].
    ///
    /// # Errors
    /// As for [`Indicators::page`].
    pub fn look_back(&self, collection: Collection, key: u128, mut each: impl FnMut(Indicator) -> bool) -> std::io::Result<()> {
        let mut next = self.newest.get(key)?.of(collection).map(|version| version.place);
        for _ in 0..MAX_LOOKED_BACK {
            let Some(place) = next else { break };
            let entry = self.bodies.entry(place, collection)?;
            // An older version lies before: a broken link must not lead in a circle.
            next = entry.previous.filter(|&previous| previous < place);
            if !each(entry.indicator) {
                break;
            }
        }
        Ok(())
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
        self.log(collection).map_or(0, |log| log.stand().count)
    }

    /// When the log of an agreement had settled under what was agreed, oldest first, as far as it is remembered: the last 64 times.
    pub fn settled(&self, collection: Collection) -> Vec<Settled> {
        self.settled.read().get(&collection).cloned().unwrap_or_default()
    }

    /// What the ledger told of agreements and reporters, and the sequence number up to which, exclusive, it was asked.
    pub fn told(&self) -> (Seq, Arc<Register>) {
        let told = self.told.read();
        (told.0, told.1.clone())
    }
}
