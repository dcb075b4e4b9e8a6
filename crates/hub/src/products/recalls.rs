//! Recalls: what was taken out of products after an organisation had fetched them.
//!
//! Flow: every fetch with a key is noted ([`Fetches::note`]) → a value is revoked in the log → [`list`] names it to those whose product held it.
//! Invariant: nobody learns of a value that was in no product it fetched, or that its membership no longer covers.
//! Shape: `DIR/fetches.json`, replaced by rename every minute at the most; a crash loses the last minute's fetches.
//! Not here: fetches without a key, for nobody can be told.

use super::table::Table;
use super::want::{ProductFilter, Want};
use formats::products::Product;
use hashbrown::HashMap;
use model::{ObservableType, OrgId, Text, Timestamp, Tlp};
use parking_lot::Mutex;
use policy::{Reader, may_fetch};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use store::views::indicators::Collection;

/// Notes kept at the most; those not renewed for longest go first.
const MAX_FETCHES: usize = 20_000;
/// Different products, with their filters, noted of one organisation at the most.
const MAX_FETCHES_OF_ONE: usize = 200;
/// How often notes are written.
const SAVE_EVERY: Duration = Duration::from_secs(60);
const FILE: &str = "fetches.json";

/// A value that is to be taken out again wherever it was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recall {
    /// Type of the value.
    #[serde(rename = "type")]
    pub kind: ObservableType,
    /// The value.
    pub value: Text,
    /// `false-positive` or `withdrawn`.
    pub reason: &'static str,
    /// When it was taken out.
    pub recalled: Timestamp,
    /// The strictest marking of the products it was in.
    pub tlp: Tlp,
    /// The products, as they were asked for.
    pub products: Vec<String>,
    /// Whether each of them was fetched again since, and so is without it.
    pub replaced: bool,
}

/// What an organisation fetched, and from where to where of the log.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fetched {
    want: Want,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    at: Timestamp,
}

/// A note as it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    organisation: OrgId,
    product: String,
    tlp: Tlp,
    #[serde(default)]
    filter: ProductFilter,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    at: Timestamp,
}

/// Who fetched what.
#[derive(Debug)]
pub(super) struct Fetches {
    path: PathBuf,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    of: HashMap<(OrgId, Want), Fetched>,
    changed: bool,
    saved: Option<Instant>,
}

impl Fetches {
    /// The notes of before; none where the file is not there or cannot be read, which is said.
    pub(super) fn load(data: &Path) -> Self {
        let path = data.join(FILE);
        let written: Vec<Written> = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::error!(%error, "what was fetched before is not known; recalls begin anew");
                Vec::new()
            }),
            Err(_) => Vec::new(),
        };
        let of = written.into_iter().filter_map(read).collect();
        Self { path, notes: Mutex::new(Notes { of, changed: false, saved: None }) }
    }

    /// Notes that an organisation has a product as of `position`.
    pub(super) fn note(&self, organisation: OrgId, want: &Want, position: Option<Timestamp>, now: Timestamp) {
        let mut notes = self.notes.lock();
        let Notes { of, changed, .. } = &mut *notes;
        let key = (organisation, want.clone());
        *changed = true;
        if let Some(known) = of.get_mut(&key) {
            (known.last, known.at) = (position, now);
            return;
        }
        let gone = if of_one(of, organisation).count() >= MAX_FETCHES_OF_ONE {
            oldest(of_one(of, organisation))
        } else if of.len() >= MAX_FETCHES {
            oldest(of.iter())
        } else {
            None
        };
        if let Some(gone) = gone {
            of.remove(&gone);
        }
        of.insert(key, Fetched { want: want.clone(), first: position, last: position, at: now });
    }

    /// What an organisation has fetched.
    pub(super) fn of(&self, organisation: OrgId) -> Vec<Fetched> {
        of_one(&self.notes.lock().of, organisation).map(|(_, fetched)| fetched.clone()).collect()
    }

    /// Writes the notes where they have changed and it is time.
    pub(super) fn save_now_and_then(&self) {
        let due = self.notes.lock().saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY);
        if due {
            self.save();
        }
    }

    /// Writes the notes where they have changed.
    pub(super) fn save(&self) {
        let written: Vec<Written> = {
            let mut notes = self.notes.lock();
            notes.saved = Some(Instant::now());
            if !std::mem::take(&mut notes.changed) {
                return;
            }
            notes.of.iter().map(|((organisation, _), fetched)| write(*organisation, fetched)).collect()
        };
        let saved = serde_json::to_vec(&written).map_err(std::io::Error::from).and_then(|bytes| replace(&self.path, &bytes));
        if let Err(error) = saved {
            tracing::warn!(%error, "what was fetched was not written; the next time tries again");
            self.notes.lock().changed = true;
        }
    }
}

/// The notes of an organisation.
fn of_one(of: &HashMap<(OrgId, Want), Fetched>, organisation: OrgId) -> impl Iterator<Item = (&(OrgId, Want), &Fetched)> {
    of.iter().filter(move |((other, _), _)| *other == organisation)
}

/// The note that was not renewed for longest.
fn oldest<'a>(notes: impl Iterator<Item = (&'a (OrgId, Want), &'a Fetched)>) -> Option<(OrgId, Want)> {
    notes.min_by_key(|(_, fetched)| fetched.at).map(|(key, _)| key.clone())
}

fn write(organisation: OrgId, fetched: &Fetched) -> Written {
    let Fetched { want, first, last, at } = fetched.clone();
    Written { organisation, product: want.product.name(), tlp: want.tlp(), filter: want.filter, first, last, at }
}

fn read(written: Written) -> Option<((OrgId, Want), Fetched)> {
    let product = Product::parse(&written.product)?;
    let collection = Collection::ALL.into_iter().find(|collection| collection.tlp() == written.tlp)?;
    let want = Want::new(product, collection, written.filter);
    Some(((written.organisation, want.clone()), Fetched { want, first: written.first, last: written.last, at: written.at }))
}

/// Replaces a file that only its owner can read.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let unfinished = path.with_extension("unfinished");
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

/// The recalls of an organisation, newest first. One for each value: a value that was taken out of several collections is one.
pub(super) fn list(
    table: &Table,
    fetched: &[Fetched],
    reader: &Reader,
    since: Option<Timestamp>,
    limit: usize,
    is_disputed: impl Fn(u128) -> bool,
) -> Vec<Recall> {
    let fetched: Vec<&Fetched> = fetched.iter().filter(|fetched| may_fetch(Some(reader), fetched.want.tlp())).collect();
    let mut recalls: Vec<Recall> = Vec::new();
    let mut places: HashMap<u128, usize> = HashMap::new();
    let newest_first = table.recalled().rev();
    for recalled in newest_first.filter(|recalled| since.is_none_or(|since| recalled.at >= since)) {
        let held = fetched.iter().filter(|fetched| {
            let had = fetched.want.collection == recalled.collection
                && fetched.first < Some(recalled.at)
                && fetched.last >= Some(recalled.created)
                // What it holds still, by what came after, was not taken out.
                && table.get(recalled.key).is_none_or(|entry| entry.state(recalled.collection).is_none());
            let at = fetched.at.min(recalled.at);
            had && table.admits(&fetched.want, (recalled.kind, &recalled.value), &recalled.state, recalled.spared, at, 0).is_some()
        });
        for fetched in held {
            let replaced = fetched.last >= Some(recalled.at);
            let product = fetched.want.title();
            if let Some(known) = places.get(&recalled.key).and_then(|&place| recalls.get_mut(place)) {
                known.replaced &= replaced;
                known.tlp = known.tlp.max(fetched.want.tlp());
                if !known.products.contains(&product) {
                    known.products.push(product);
                }
                continue;
            }
            if recalls.len() >= limit {
                continue;
            }
            places.insert(recalled.key, recalls.len());
            let reason = if is_disputed(recalled.key) { "false-positive" } else { "withdrawn" };
            recalls.push(Recall {
                kind: recalled.kind,
                value: recalled.value.clone(),
                reason,
                recalled: recalled.at,
                tlp: fetched.want.tlp(),
                products: vec![product],
                replaced,
            });
        }
    }
    recalls.iter_mut().for_each(|recall| recall.products.sort_unstable());
    recalls
}
