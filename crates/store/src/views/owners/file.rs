//! The state of the owners' view on disk: one file, so that a start reads the ledger from there on.
//!
//! Shape: magic and version, position, chain value there, register as JSON, what held of the nation as JSON, findings, CRC-32 of all before.
//! Invariant: replaced by rename once it is durable. One that is missing, broken, of another version or of another ledger is not used, and
//! the view is made anew from the ledger.

use super::State;
use super::finding::Finding;
use crate::codec::{Reader, put_u32, put_u64};
use model::Seq;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// First bytes: name and version, of the format and of the rule by which events become findings: one of another rule is made anew.
const MAGIC: [u8; 8] = *b"BGOWN\0\x03\0";
/// Bytes gathered before they are written.
const CHUNK: usize = 1 << 20;

/// Where the file is.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// Writes the state durably.
pub(super) fn write(folder: &Path, state: &State, position: Seq, chain: &[u8; 32]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let temporary = folder.join("state.tmp");
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let mut file = BufWriter::new(file);
    let mut crc = crc32fast::Hasher::new();
    let mut chunk = Vec::with_capacity(CHUNK + 4096);
    chunk.extend_from_slice(&MAGIC);
    put_u64(&mut chunk, position.0);
    chunk.extend_from_slice(chain);
    for text in [serde_json::to_vec(&state.register)?, serde_json::to_vec(&state.nations)?] {
        put_u64(&mut chunk, text.len() as u64);
        chunk.extend_from_slice(&text);
    }
    put_u64(&mut chunk, state.dropped);
    put_u64(&mut chunk, state.rows.len() as u64);
    for finding in state.rows.values() {
        finding.write(&mut chunk);
        if chunk.len() >= CHUNK {
            crc.update(&chunk);
            file.write_all(&chunk)?;
            chunk.clear();
        }
    }
    crc.update(&chunk);
    put_u32(&mut chunk, crc.finalize());
    file.write_all(&chunk)?;
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&temporary, path(folder))?;
    File::open(folder)?.sync_all()
}

/// Reads the state with its position; `fits` tells whether the ledger has this chain value there.
pub(super) fn read(folder: &Path, fits: impl FnOnce(Seq, &[u8; 32]) -> bool) -> Option<(State, Seq, [u8; 32])> {
    let bytes = std::fs::read(path(folder)).ok()?;
    let (content, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    if crc32fast::hash(content) != u32::from_le_bytes(crc.try_into().ok()?) {
        return None;
    }
    let mut reader = Reader::new(content);
    if reader.array::<8>()? != MAGIC {
        return None;
    }
    let position = Seq(reader.u64()?);
    let chain = reader.array::<32>()?;
    if !fits(position, &chain) {
        return None;
    }
    let length = reader.u64()? as usize;
    let register = serde_json::from_slice(reader.bytes(length)?).ok()?;
    let length = reader.u64()? as usize;
    let nations = serde_json::from_slice(reader.bytes(length)?).ok()?;
    let mut state = State { register, nations, dropped: reader.u64()?, ..State::default() };
    for _ in 0..reader.u64()? {
        let finding = Finding::read(&mut reader)?;
        let id = finding.id();
        state.index(id, &finding);
        state.rows.insert(id, finding);
    }
    reader.is_empty().then_some((state, position, chain))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::super::finding::Hit;
    use super::super::finding::tests::hit;
    use super::*;

    #[test]
    fn a_state_comes_back_and_a_broken_or_foreign_one_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::default();
        for seq in 1..100 {
            state.add(&Hit { key: u128::from(seq), red: seq % 7 == 0, fallback: seq % 5 == 0, ..hit(seq, 2) });
        }
        write(folder.path(), &state, Seq(100), &[3; 32]).unwrap();
        let (again, position, chain) = read(folder.path(), |position, chain| position == Seq(100) && chain == &[3; 32]).unwrap();
        assert_eq!((again.rows, again.by_owner, again.waiting, position, chain), (state.rows, state.by_owner, state.waiting, Seq(100), [3; 32]));
        assert!(read(folder.path(), |_, _| false).is_none());
        let mut bytes = std::fs::read(path(folder.path())).unwrap();
        bytes[40] ^= 1;
        std::fs::write(path(folder.path()), bytes).unwrap();
        assert!(read(folder.path(), |_, _| true).is_none());
        assert!(read(&folder.path().join("nowhere"), |_, _| true).is_none());
    }
}
