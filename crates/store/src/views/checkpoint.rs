//! Checkpoints: the views at one position of the ledger, on disk, so that opening replays little.
//!
//! Shape: `views/CHECKPOINT` (JSON: format version, position, names of runs), `views/state-N.bin` (everything small), `views/*.run`.
//! Invariant: `CHECKPOINT` is replaced by rename after all it names is durable; files that it does not name are removed on opening.
//! None of this is needed for correctness: without it, or with a broken one, the views are made anew from the ledger.

use super::observables::Observables;
use super::row::Row;
use super::run::Run;
use super::seen::{Mark, Seen};
use super::strings::{Classes, Strings};
use super::tallies::Tallies;
use super::{Keys, Views};
use crate::codec::{Reader, put_u32, put_u64};
use hashbrown::HashSet;
use model::Seq;
use parking_lot::RwLock;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Version of the checkpoint's shape; one of another shape is made anew from the ledger. 1 said nothing of expiry, 2 nothing of threats.
const VERSION: u32 = 3;

/// What `CHECKPOINT` says.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Manifest {
    version: u32,
    /// Everything before is in the runs and the state.
    pub position: Seq,
    /// Chain value of the last frame before the position, hexadecimal: a checkpoint of another ledger is not taken.
    pub chain: String,
    /// File of the small views.
    pub state: String,
    /// CRC-32 of that file.
    pub state_crc: u32,
    /// Runs of the observables, newest first.
    pub observables: Vec<String>,
    /// Runs of the marks, newest first.
    pub seen: Vec<String>,
}

/// The small views at one position. Taken by the apply thread between two frames, so it copies as little as can be: of what only grows
/// its length.
#[derive(Debug)]
pub struct Snapshot {
    position: Seq,
    chain: [u8; 32],
    strings: usize,
    classes: usize,
    tallies: Tallies,
    merged: RoaringTreemap,
    withdrawn: RoaringTreemap,
    disputed: HashSet<u128>,
    withheld: HashSet<u128>,
    events: u64,
    expired: Seq,
}

impl Snapshot {
    /// Takes it.
    pub fn take(views: &Views, position: Seq, chain: [u8; 32]) -> Self {
        Self {
            position,
            chain,
            strings: views.strings.len(),
            classes: views.classes.len(),
            tallies: views.tallies.read().clone(),
            merged: views.merged.read().clone(),
            withdrawn: views.withdrawn.read().clone(),
            disputed: views.disputed.read().clone(),
            withheld: views.observables.withheld(),
            events: views.events.load(Ordering::Relaxed),
            expired: views.expired_before(),
        }
    }

    /// Makes the small views durable.
    ///
    /// # Errors
    /// An I/O error; the checkpoint before stays.
    pub fn write(&self, views: &Views, folder: &Path) -> std::io::Result<Small> {
        let mut state = Vec::new();
        put_u32(&mut state, self.strings as u32);
        for range in steps(self.strings) {
            views.strings.write(range, &mut state);
        }
        put_u32(&mut state, self.classes as u32);
        for range in steps(self.classes) {
            views.classes.write(range, &mut state);
        }
        self.tallies.write(&mut state);
        for set in [&self.merged, &self.withdrawn] {
            put_u64(&mut state, set.serialized_size() as u64);
            set.serialize_into(&mut state)?;
        }
        for keys in [&self.disputed, &self.withheld] {
            put_u64(&mut state, keys.len() as u64);
            for key in keys {
                state.extend_from_slice(&key.to_le_bytes());
            }
        }
        put_u64(&mut state, self.events);
        put_u64(&mut state, self.expired.0);
        let name = format!("state-{}.bin", self.position);
        write_durably(&folder.join(&name), &state)?;
        Ok(Small { position: self.position, chain: hex(&self.chain), state_crc: crc32fast::hash(&state), state: name })
    }
}

/// Texts or classes that are copied under one lock.
const STEP: usize = 16_384;

fn steps(length: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..length).step_by(STEP).map(move |start| start..(start + STEP).min(length))
}

/// The small views of a checkpoint, durable.
#[derive(Debug, Clone)]
pub struct Small {
    position: Seq,
    chain: String,
    state: String,
    state_crc: u32,
}

impl Small {
    /// Makes the checkpoint durable with the runs that belong to it.
    ///
    /// # Errors
    /// An I/O error; the checkpoint before stays.
    pub fn name(&self, folder: &Path, observables: &[Arc<Run>], seen: &[Arc<Run>]) -> std::io::Result<Manifest> {
        let name = |run: &Arc<Run>| run.path().file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let manifest = Manifest {
            version: VERSION,
            position: self.position,
            chain: self.chain.clone(),
            state: self.state.clone(),
            state_crc: self.state_crc,
            observables: observables.iter().map(name).collect(),
            seen: seen.iter().map(name).collect(),
        };
        write_durably(&folder.join("CHECKPOINT"), &serde_json::to_vec_pretty(&manifest)?)?;
        remove_other_states(folder, &manifest)?;
        Ok(manifest)
    }
}

/// Hexadecimal text of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write as _;
        // Writing into memory cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes a file under a temporary name, syncs it and renames it.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Removes the small views of other checkpoints.
fn remove_other_states(folder: &Path, manifest: &Manifest) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "bin") && path.file_name().and_then(|name| name.to_str()) != Some(&manifest.state) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Removes files that no checkpoint names: unfinished runs and merged ones.
fn remove_unnamed(folder: &Path, manifest: &Manifest) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let named = name == "CHECKPOINT" || name == manifest.state || manifest.observables.iter().chain(&manifest.seen).any(|run| run == name);
        if !named && path.is_file() {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The position of the last checkpoint: what lies before it was durable and acknowledged. Zero where there is none.
pub fn position(folder: &Path) -> Seq {
    let manifest = std::fs::read(folder.join("CHECKPOINT")).ok().and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
    manifest.map_or(Seq(0), |manifest| manifest.position)
}

/// Opens the views of the last checkpoint; `None` where there is none that can be used.
pub fn open(folder: &Path, keys: &Keys, recent_rows: usize, chain_at: impl Fn(Seq) -> Option<[u8; 32]>) -> Option<(Views, Seen, Manifest)> {
    let manifest: Manifest = serde_json::from_slice(&std::fs::read(folder.join("CHECKPOINT")).ok()?).ok()?;
    if manifest.version != VERSION || chain_at(manifest.position).map(|chain| hex(&chain)) != Some(manifest.chain.clone()) {
        return None;
    }
    let state = std::fs::read(folder.join(&manifest.state)).ok()?;
    if crc32fast::hash(&state) != manifest.state_crc {
        return None;
    }
    let observables = manifest.observables.iter().map(|name| Run::open::<Row>(&folder.join(name)).map(Arc::new)).collect::<Result<Vec<_>, _>>().ok()?;
    let seen = manifest.seen.iter().map(|name| Run::open::<Mark>(&folder.join(name)).map(Arc::new)).collect::<Result<Vec<_>, _>>().ok()?;
    let views = read_state(&state, keys, Observables::new(recent_rows, observables), manifest.position)?;
    remove_unnamed(folder, &manifest).ok()?;
    Some((views, Seen::new(seen), manifest))
}

fn read_state(state: &[u8], keys: &Keys, observables: Observables, position: Seq) -> Option<Views> {
    let mut reader = Reader::new(state);
    let strings = Strings::read(&mut reader)?;
    let classes = Classes::read(&mut reader)?;
    let tallies = Tallies::read(&mut reader)?;
    let mut set = || {
        let length = reader.u64()? as usize;
        RoaringTreemap::deserialize_from(reader.bytes(length)?).ok()
    };
    let (merged, withdrawn) = (set()?, set()?);
    let mut read_keys = || (0..reader.u64()?).map(|_| reader.array().map(u128::from_le_bytes)).collect::<Option<hashbrown::HashSet<_>>>();
    let (disputed, withheld) = (read_keys()?, read_keys()?);
    observables.withhold(withheld);
    let events = reader.u64()?;
    let expired = reader.u64()?;
    Some(Views {
        keys: keys.clone(),
        observables,
        strings,
        classes,
        tallies: RwLock::new(tallies),
        merged: RwLock::new(merged),
        withdrawn: RwLock::new(withdrawn),
        disputed: RwLock::new(disputed),
        events: AtomicU64::new(events),
        applied: AtomicU64::new(position.0),
        expired: AtomicU64::new(expired),
    })
}
