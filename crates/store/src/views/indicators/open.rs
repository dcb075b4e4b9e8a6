//! Opening: the logs as they were synced, the newest versions from their runs and from what the logs hold past them.
//!
//! Invariant: what can be told from the logs is told from them where it is missing, old or broken. Damaged logs are removed with all that was
//! made of them, as a broken checkpoint is: the log is made anew and given out once more, with later dates. So are logs that held whole versions, which
//! no release wrote.

use super::bodies::{self, Bodies};
use super::growing::START;
use super::latest::{Latest, Newest, Version};
use super::register::Register;
use super::rows::{self, Rows};
use super::state::{self, State};
use super::{Collection, Indicators};
use crate::views::Keys;
use crate::views::run::{Run, all_read};
use model::Seq;
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::watch;

/// Newest versions in memory before they are written as a run.
pub(super) const FREEZE_AT: usize = 750_000;

/// Opens the log in `folder`, making it where it is not there. `keys` are those of the views; `ours` tells whether a position is one of this ledger.
///
/// # Errors
/// An I/O error; `Unsupported` for a log of a later release.
pub(super) fn open(folder: &Path, keys: &Keys, ours: impl Fn(&State) -> bool) -> std::io::Result<(Arc<Indicators>, State)> {
    std::fs::create_dir_all(folder)?;
    if is_of_first_shape(folder)? {
        tracing::warn!("the log of indicators has the shape of an earlier release; it is made anew, and all of it is given out once more");
        remove(folder, |_| true)?;
    }
    let mut state = State::read(folder).unwrap_or_default();
    if !state.chain.is_empty() && !ours(&state) {
        tracing::warn!("the log of indicators was made of another ledger; every value is looked at once more");
        // What it told of agreements is told anew by this one.
        state = State { position: Seq(0), chain: String::new(), register: Register::default(), walk: None, settled: BTreeMap::new(), ..state };
        state.logs.values_mut().for_each(|kept| *kept = state::Kept { length: kept.length, covered: kept.covered, ..state::Kept::default() });
    }
    let mut derived_anew = State { runs: Vec::new(), ..state.clone() };
    derived_anew.logs.values_mut().for_each(|kept| kept.covered = START);
    for state in [state, derived_anew] {
        if let Some(opened) = open_as(folder, keys, state)? {
            return Ok(opened);
        }
    }
    tracing::error!("the log of indicators is damaged; it is made anew, and all of it is given out once more");
    remove(folder, |_| true)?;
    open_as(folder, keys, State::default())?.ok_or_else(|| std::io::Error::new(ErrorKind::InvalidData, "the log of indicators cannot be made anew"))
}

/// Opens what `state` says; `None` where a log or a run is damaged.
fn open_as(folder: &Path, keys: &Keys, mut state: State) -> std::io::Result<Option<(Arc<Indicators>, State)>> {
    let Some(bodies) = Bodies::open(folder, keys.clone(), state.bodies)? else { return Ok(None) };
    let mut logs: BTreeMap<Collection, Arc<Rows>> = BTreeMap::new();
    let named: Vec<Collection> = state.logs.keys().copied().collect();
    for collection in there(folder)?.into_iter().chain(named) {
        if let std::collections::btree_map::Entry::Vacant(e) = logs.entry(collection) {
            let Some(log) = Rows::open(folder, collection, state.kept(collection).length, &bodies)? else { return Ok(None) };
            e.insert(Arc::new(log));
        }
    }
    if logs.iter().any(|(collection, log)| !log.has_row_at(state.kept(*collection).covered)) {
        return Ok(None);
    }
    for (collection, kept) in &mut state.logs {
        let there = |byte: u64| logs.get(collection).is_some_and(|log| log.has_row_at(byte));
        kept.looked_at = if there(kept.looked_at) { kept.looked_at } else { START };
        kept.again = kept.again.map(|again| if there(again) { again } else { START });
    }
    // Blocks that no row names are of a write that was cut short.
    bodies.settle(logs.values().map(|log| log.stand().named).max().unwrap_or(START).max(state.bodies))?;
    let opened = open_newest(folder, &logs, &bodies, &mut state);
    if opened.as_ref().is_err_and(|error| matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::NotFound | ErrorKind::UnexpectedEof)) {
        return Ok(None);
    }
    let newest = opened?;
    File::open(folder)?.sync_all()?;
    let position = watch::Sender::new(state.position);
    let told = RwLock::new((state.position, Arc::new(state.register.clone())));
    let settled = RwLock::new(state.settled.clone());
    Ok(Some((Arc::new(Indicators { logs: RwLock::new(logs), bodies, newest, position, told, settled }), state)))
}

/// The collections whose logs are in the folder, and those for many, which always are.
fn there(folder: &Path) -> std::io::Result<BTreeSet<Collection>> {
    let mut there = BTreeSet::from(Collection::ALL);
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let title = name.to_str().and_then(|name| name.strip_suffix(rows::ENDING));
        there.extend(title.and_then(Collection::from_title));
    }
    Ok(there)
}

/// The newest versions from the runs that `state` names and from what the logs hold past them.
fn open_newest(folder: &Path, logs: &BTreeMap<Collection, Arc<Rows>>, bodies: &Bodies, state: &mut State) -> std::io::Result<Newest> {
    let runs = state.runs.iter().map(|name| Run::open::<Latest>(&folder.join(name)).map(Arc::new)).collect::<std::io::Result<Vec<_>>>()?;
    remove(folder, |name| is_derived_run(name) && !state.runs.iter().any(|run| run == name))?;
    let newest = Newest::new(runs);
    let mut number = next_run(state);
    for (&collection, log) in logs {
        let mut kept = state.kept(collection);
        log.walk(bodies, kept.covered, |walked| {
            for version in walked.versions() {
                let (place, indicator) = version?;
                let mut versions = newest.get(indicator.key)?;
                versions.set(collection, Version::of(&indicator, place));
                newest.put([(indicator.key, versions)]);
            }
            if newest.held() >= FREEZE_AT {
                newest.freeze(&run_path(folder, number))?;
                number += 1;
                kept.covered = walked.next;
            }
            Ok(true)
        })?;
        state.logs.insert(collection, kept);
        // What lies before in other collections may be in the runs too. Taken twice it does no harm: the newest comes last.
    }
    state.runs = names(&newest.runs());
    Ok(newest)
}

/// Whether the logs in a folder, which is there, hold whole versions, each its own.
fn is_of_first_shape(folder: &Path) -> std::io::Result<bool> {
    for collection in there(folder)? {
        let mut magic = Vec::new();
        match File::open(folder.join(rows::file_name(collection))) {
            Ok(file) => file.take(START).read_to_end(&mut magic)?,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if magic == rows::FIRST_MAGIC {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Readies the log in `folder`, which nobody may have open, for being used after a rebuild: what was made of the logs goes, and the logs
/// themselves where they are damaged. They are made anew when the store is opened next.
///
/// # Errors
/// An I/O error.
pub fn make_anew(folder: &Path) -> std::io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let is_lost = is_of_first_shape(folder)? || !logs_damaged(folder)?.is_empty();
    remove(folder, |name| is_lost || is_derived_run(name))
}

/// Checks every version of the log in `folder`, which nobody may have open, and what was made of it. Gives what is damaged, in words.
///
/// # Errors
/// An I/O error.
pub fn check(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut problems = logs_damaged(folder)?;
    for name in State::read(folder).unwrap_or_default().runs {
        let path = folder.join(&name);
        // A backup has no runs; they are made anew.
        if !path.exists() {
            continue;
        }
        let read = Arc::new(AtomicU64::new(0));
        let checked = Run::open::<Latest>(&path).and_then(|run| {
            let counted = run.scan::<Latest>()?.counting(&read).count();
            tracing::debug!(%name, records = counted, "a run of newest versions was read");
            all_read(&read, run.records())
        });
        if let Err(error) = checked {
            problems.push(format!("the newest versions of indicators in {name}: {error}; rebuild makes them anew"));
        }
    }
    Ok(problems)
}

fn logs_damaged(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut problems = Vec::new();
    // What is made anew at the next start is no damage.
    if folder.exists() && is_of_first_shape(folder)? {
        return Ok(problems);
    }
    let state = State::read(folder).unwrap_or_default();
    let mut all = if folder.exists() { there(folder)? } else { BTreeSet::from(Collection::ALL) };
    all.extend(state.logs.keys());
    let bodies = Bodies::open_to_check(folder)?.unwrap_or_else(Bodies::empty);
    if bodies.end() < state.bodies {
        problems.push(format!("the log of indicators is cut: {} ends at byte {} of {}", bodies::FILE, bodies.end(), state.bodies));
    }
    for collection in all {
        if let Some(byte) = rows::first_damage(folder, collection, state.kept(collection).length, &bodies)? {
            let title = collection.title();
            problems.push(format!("the log of indicators {title} is damaged at byte {byte}, or what it names in {}", bodies::FILE));
        }
    }
    Ok(problems)
}

/// Files of the log in `folder` that a backup holds, in the order in which they must be copied while a hub runs, and before the ledger: what the
/// position says is in the rows then, what rows name is in the bodies, and what is in the log is in the ledger.
///
/// # Errors
/// An I/O error.
pub fn files(folder: &Path) -> std::io::Result<Vec<String>> {
    // A folder from before there was such a log has none.
    let collections = if folder.exists() { there(folder)? } else { BTreeSet::new() };
    let names = std::iter::once(state::FILE.to_owned()).chain(collections.into_iter().map(rows::file_name)).chain([bodies::FILE.to_owned()]);
    Ok(names.filter(|name| folder.join(name).exists()).collect())
}

/// Name of the run with this number.
pub(super) fn run_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("latest-{number:08}.run"))
}

/// The first number that no run of `state` has or had.
pub(super) fn next_run(state: &State) -> u64 {
    let number = |name: &String| name.strip_prefix("latest-")?.strip_suffix(".run")?.parse::<u64>().ok();
    state.runs.iter().filter_map(number).max().unwrap_or(0) + 1
}

/// Names of runs, in their order.
pub(super) fn names(runs: &[Arc<Run>]) -> Vec<String> {
    runs.iter().filter_map(|run| run.path().file_name()?.to_str().map(str::to_owned)).collect()
}

/// Whether a file is a run of newest versions, or one that was not finished.
fn is_derived_run(name: &str) -> bool {
    name.starts_with("latest-")
}

/// Removes the files whose names are chosen.
fn remove(folder: &Path, chosen: impl Fn(&str) -> bool) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && path.file_name().and_then(|name| name.to_str()).is_some_and(&chosen) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}
