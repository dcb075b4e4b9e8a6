//! What versions say: one file of blocks that only grows, for all collections that say the same.
//!
//! Flow: `pending` fills blocks, [`Bodies::write`] makes them durable, the rows of each collection that name them follow, [`Bodies::publish`] lets
//! readers see them before those rows.
//! Shape: 8 bytes of name and version, then blocks. A body's *place* is the byte of its block times 128, plus its number in it: places only go up.
//! Invariant: readers are given what a row names alone, and a row names a block by its checksum, so that it never names another one. What no row names is
//! cut on opening.
//! Not here: the shape of a block (`block`), which collection has which bodies (`rows`).

use super::block::{Block, block_of, whole_length};
use super::growing::{self, Found, START, append, cut, damaged};
use super::rows::Row;
use super::{Collection, Indicator};
use crate::views::Keys;
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// The file's name.
pub(super) const FILE: &str = "bodies.log";
/// First bytes of the file: name and format version.
const MAGIC: [u8; 8] = *b"BGBOD\0\x01\0";
/// Bytes read at first where one block is wanted; most are shorter.
const GUESS: u64 = 8 * 1024;
/// Bytes read at once of blocks that adjoin.
const READ_BYTES: u64 = 1 << 20;
/// Blocks kept that were asked for by themselves: who asks for one version often asks for its neighbours.
const KEPT: usize = 32;

/// A version and where the one before it lies.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) indicator: Indicator,
    /// `None` for the value's first version.
    pub(super) previous: Option<u64>,
}

/// The file of bodies.
#[derive(Debug)]
pub(super) struct Bodies {
    keys: Keys,
    shared: RwLock<Shared>,
    /// Newest last.
    kept: Mutex<VecDeque<(u64, Arc<Block>)>>,
}

#[derive(Debug)]
struct Shared {
    /// `None` where nothing is kept.
    file: Option<Arc<File>>,
    end: u64,
}

impl Bodies {
    fn new(keys: Keys, file: Option<File>, end: u64) -> Self {
        Self { keys, shared: RwLock::new(Shared { file: file.map(Arc::new), end }), kept: Mutex::default() }
    }

    /// Bodies without a file, of which there are none.
    pub(super) fn empty() -> Self {
        Self::new(Keys::new([0; 32]), None, START)
    }

    /// Opens the file, making it where it is not there; `None` where what lies before `synced` is damaged. [`Bodies::settle`] must follow.
    ///
    /// # Errors
    /// An I/O error; `Unsupported` for a file of another release.
    pub(super) fn open(folder: &Path, keys: Keys, synced: u64) -> std::io::Result<Option<Self>> {
        Ok(growing::open(&folder.join(FILE), MAGIC, synced)?.map(|(file, length)| Self::new(keys, Some(file), length)))
    }

    /// Opens the file for checks alone, which ask for no key and change nothing; `None` where it is not there or is no such file.
    ///
    /// # Errors
    /// An I/O error; `Unsupported` for a file of another release.
    pub(super) fn open_to_check(folder: &Path) -> std::io::Result<Option<Self>> {
        Ok(match growing::open_to_check(&folder.join(FILE), MAGIC)? {
            Found::Whole(file, length) => Some(Self::new(Keys::new([0; 32]), Some(file), length)),
            Found::Nothing | Found::Another => None,
        })
    }

    /// Cuts what lies past `named`, where the last block ends that a row names.
    ///
    /// # Errors
    /// An I/O error.
    pub(super) fn settle(&self, named: u64) -> std::io::Result<()> {
        self.kept.lock().clear();
        self.shared.write().end = named;
        self.cut()
    }

    /// Cuts what a write that failed left past the end.
    ///
    /// # Errors
    /// An I/O error.
    pub(super) fn cut(&self) -> std::io::Result<()> {
        self.file_and_end().map_or(Ok(()), |(file, end)| cut(&file, end))
    }

    /// The byte after the last block that readers may ask for.
    pub(super) fn end(&self) -> u64 {
        self.shared.read().end
    }

    /// What makes keys of values.
    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The version at a place, as one of a collection.
    ///
    /// # Errors
    /// An I/O error; `InvalidData` where there is none or its block is damaged.
    pub(super) fn entry(&self, place: u64, collection: Collection) -> std::io::Result<Entry> {
        let (offset, number) = block_of(place);
        let block = self.block(offset, GUESS)?;
        let indicator = block.indicator(number, collection, &self.keys).ok_or_else(damaged)?;
        Ok(Entry { indicator, previous: block.previous(number) })
    }

    /// The block that a row names.
    ///
    /// # Errors
    /// An I/O error; `InvalidData` where it is damaged or another one.
    pub(super) fn named(&self, row: &Row) -> std::io::Result<Arc<Block>> {
        let block = self.block(row.block, u64::from(row.length))?;
        if row.names(&block) { Ok(block) } else { Err(damaged()) }
    }

    /// Gives the blocks that rows name, in order, until `each` wants no more. Blocks that adjoin are read at once.
    ///
    /// # Errors
    /// Those of `each`; an I/O error; `InvalidData` where a block is damaged or another one.
    pub(super) fn read(&self, rows: &[Row], mut each: impl FnMut(&Row, &Block) -> std::io::Result<bool>) -> std::io::Result<()> {
        let (file, end) = self.file_and_end().ok_or_else(damaged)?;
        let mut bytes = Vec::new();
        let mut rest = rows;
        while let Some((group, others)) = adjoining(rest) {
            rest = others;
            if let [row] = group {
                // Who reads on at the end of the log reads its last block again and again.
                let block = self.named(row)?;
                if !each(row, &block)? {
                    return Ok(());
                }
                continue;
            }
            let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
            let length = last.end().filter(|&last| last <= end).and_then(|last| last.checked_sub(first.block)).ok_or_else(damaged)?;
            bytes.resize(length as usize, 0);
            file.read_exact_at(&mut bytes, first.block)?;
            for row in group {
                let at = row.block.saturating_sub(first.block) as usize;
                let whole = bytes.get(at..).and_then(|rest| rest.get(..row.length as usize));
                let block = whole.and_then(|whole| Block::open(whole, row.block)).filter(|block| row.names(block)).ok_or_else(damaged)?;
                if !each(row, &block)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The block at a byte, of which `guess` bytes are read at first.
    fn block(&self, offset: u64, guess: u64) -> std::io::Result<Arc<Block>> {
        if let Some((_, block)) = self.kept.lock().iter().rev().find(|(kept, _)| *kept == offset) {
            return Ok(block.clone());
        }
        let (file, end) = self.file_and_end().ok_or_else(damaged)?;
        let mut bytes = vec![0; guess.min(end.saturating_sub(offset)) as usize];
        file.read_exact_at(&mut bytes, offset)?;
        let length = whole_length(&bytes).filter(|&length| offset.saturating_add(length as u64) <= end).ok_or_else(damaged)?;
        let read = bytes.len();
        bytes.resize(length, 0);
        if let Some(missing) = bytes.get_mut(read..) {
            file.read_exact_at(missing, offset + read as u64)?;
        }
        let block = Arc::new(Block::open(&bytes, offset).ok_or_else(damaged)?);
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((offset, block.clone()));
        Ok(block)
    }

    fn file_and_end(&self) -> Option<(Arc<File>, u64)> {
        let shared = self.shared.read();
        shared.file.as_ref().map(|file| (file.clone(), shared.end))
    }

    /// Makes blocks durable after the last one; nobody sees them yet.
    ///
    /// # Errors
    /// An I/O error; what it leaves is to be cut before the next try.
    pub(super) fn write(&self, blocks: &[u8]) -> std::io::Result<()> {
        let Some((file, end)) = self.file_and_end() else { return Ok(()) };
        append(&file, end, blocks)
    }

    /// Lets readers ask for what was written.
    pub(super) fn publish(&self, end: u64) {
        self.shared.write().end = end;
    }
}

/// The first rows whose blocks lie one after another, as far as they are read at once, and the rest; `None` where there are none.
fn adjoining(rows: &[Row]) -> Option<(&[Row], &[Row])> {
    let first = rows.first()?;
    let follows = |two: &[Row]| match two {
        [one, next] => one.end() == Some(next.block) && next.end().is_some_and(|end| end - first.block <= READ_BYTES),
        _ => false,
    };
    Some(rows.split_at(1 + rows.windows(2).take_while(|two| follows(two)).count()))
}
