//! The feed under `/feeds/misp/`: the indicators of each collection as MISP events, one for each day on which values first came into it.
//!
//! Flow: the log of indicators is followed ([`Feed::catch_up`]) into parts: collection, day, and a number where a day has more than [`log::MAX_PART`]
//! → [`Hub::misp_feed_kept`] gives a file that is ready, [`Hub::misp_feed_made`] makes it and keeps it until its part, what is spared, or the time
//! changes it.
//! Invariant: an indicator stays in the event of the day on which its first version was added, under the same id, whatever becomes of it; what
//! may leave is decided by `policy::may_leave`. A value that is spared is in no file, not even as deleted.
//! Not here: contributed events: they are in no feed but by what of them is among the hub's own events.

mod files;
mod log;

use crate::Hub;
use bytes::Bytes;
use hashbrown::HashMap;
use log::Log;
use model::{Timestamp, Tlp};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Instant;
use store::views::indicators::Collection;
use uuid::Uuid;

/// Versions of the log read at once.
const PAGE: usize = 4_096;
/// Bytes of files that are kept at the most; the last one made is kept all the same.
const MAX_KEPT: usize = 128 * 1024 * 1024;

/// A file of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedName {
    /// Every event with what tells whether it has changed.
    Manifest,
    /// The hashes of values with the events they are in.
    Hashes,
    /// An event.
    Event(Uuid),
}

impl FeedName {
    /// The file of a name; `None` for any other name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "manifest.json" => Some(Self::Manifest),
            "hashes.csv" => Some(Self::Hashes),
            _ => name.strip_suffix(".json").filter(|uuid| uuid.len() == 36).and_then(|uuid| Uuid::try_parse(uuid).ok()).map(Self::Event),
        }
    }
}

/// A file, ready to be sent.
#[derive(Debug, Clone)]
pub struct FeedFile {
    /// Its media type.
    pub media: &'static str,
    /// The strictest marking in it.
    pub tlp: Tlp,
    /// Its bytes.
    pub plain: Bytes,
    /// The same, compressed with gzip.
    pub gzip: Bytes,
    /// What its content is told by.
    pub tag: String,
    /// How many events or attributes it has.
    pub entries: usize,
    /// When what it is made of changed last.
    pub modified: Timestamp,
    /// Lines of the list of hashes, for events.
    hashes: Vec<u8>,
}

/// What a file was made of: the last change in the log, what is spared, the time.
type Stamp = (Timestamp, u32, i64);

/// A file that was made.
#[derive(Debug)]
struct Kept {
    file: Arc<FeedFile>,
    stamp: Stamp,
    used: Instant,
}

/// The feed of one realm.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    log: Mutex<Log>,
    kept: Mutex<HashMap<(Collection, FeedName), Kept>>,
}

impl Feed {
    /// Takes in what the log has more.
    pub(crate) fn catch_up(&self, hub: &Hub) -> std::io::Result<()> {
        let mut days = hub.make_days();
        for collection in Collection::ALL {
            loop {
                // Page by page, so that whoever asks for a UUID does not wait for all of a long log.
                let mut log = self.log.lock();
                let page = hub.store().indicators.page(collection, log.position(collection), PAGE)?;
                let end = page.len() < PAGE;
                for version in &page {
                    let day = days.day(version.created);
                    log.take(version, day, |name| hub.feed_uuid(name));
                }
                if end {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether an event of this UUID is one of the feed's.
    pub(super) fn is_ours(&self, uuid: &str) -> bool {
        Uuid::try_parse(uuid).is_ok_and(|uuid| self.log.lock().by_uuid.contains_key(&uuid))
    }

    /// Drops the files that are kept: what is in them was erased.
    pub(super) fn forget(&self) {
        self.kept.lock().clear();
    }

    fn kept(&self, key: (Collection, FeedName), stamp: Stamp) -> Option<Arc<FeedFile>> {
        let mut kept = self.kept.lock();
        let found = kept.get_mut(&key).filter(|kept| kept.stamp == stamp)?;
        found.used = Instant::now();
        Some(Arc::clone(&found.file))
    }

    /// When an event of a collection changed last.
    fn changed(&self, collection: Collection) -> Timestamp {
        let log = self.log.lock();
        let parts = log.parts.iter().filter(|part| part.collection == collection);
        parts.map(|part| part.changed).max().unwrap_or_default()
    }

    /// Keeps a file; those that were not asked for the longest make room for it.
    fn keep(&self, key: (Collection, FeedName), stamp: Stamp, file: &Arc<FeedFile>) {
        let mut kept = self.kept.lock();
        kept.insert(key, Kept { file: Arc::clone(file), stamp, used: Instant::now() });
        let size = |file: &FeedFile| file.plain.len() + file.gzip.len() + file.hashes.len();
        let mut bytes: usize = kept.values().map(|kept| size(&kept.file)).sum();
        while bytes > MAX_KEPT {
            let others = kept.iter().filter(|(other, _)| **other != key);
            let Some(least) = others.min_by_key(|(_, kept)| kept.used).map(|(other, _)| *other) else { return };
            if let Some(gone) = kept.remove(&least) {
                bytes -= size(&gone.file);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_of_three_names() {
        assert_eq!(FeedName::parse("manifest.json"), Some(FeedName::Manifest));
        assert_eq!(FeedName::parse("hashes.csv"), Some(FeedName::Hashes));
        assert_eq!(FeedName::parse(&format!("{}.json", Uuid::nil())), Some(FeedName::Event(Uuid::nil())));
        assert_eq!(FeedName::parse("../manifest.json"), None);
    }
}
