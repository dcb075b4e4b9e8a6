//! A bag of numbered columns in one byte string, each compressed by itself, so that a reader pays only for what it asks for.
//!
//! Shape: per column `id` (1 byte), `packed` (1 byte: 0 plain, 1 zstd), raw length (4 bytes), kept length (4 bytes), bytes.
//! An empty or all-default column is left out.
//! Invariant: a broken container gives `None`, never a panic or an allocation beyond [`MAX_COLUMN`].

use std::borrow::Cow;
use std::cell::RefCell;

/// A column's bytes at the most, raw.
const MAX_COLUMN: usize = 512 * 1024 * 1024;
/// Below this many bytes compression does not pay.
const MIN_PACKED: usize = 96;
/// The fastest standard level; measured 270 ns an event for a whole block.
const LEVEL: i32 = 1;

thread_local! {
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends one column; nothing where `raw` is empty.
pub fn push(out: &mut Vec<u8>, id: u8, raw: &[u8], try_packing: bool) {
    if raw.is_empty() {
        return;
    }
    let packed = if try_packing && raw.len() >= MIN_PACKED { compress(raw).filter(|packed| packed.len() < raw.len()) } else { None };
    let kept = packed.as_deref().unwrap_or(raw);
    out.push(id);
    out.push(u8::from(packed.is_some()));
    out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    out.extend_from_slice(&(kept.len() as u32).to_le_bytes());
    out.extend_from_slice(kept);
}

/// Compresses bytes by themselves; `None` where that fails.
pub(crate) fn compress(raw: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = zstd::bulk::Compressor::new(LEVEL).ok();
        }
        slot.as_mut()?.compress(raw).ok()
    })
}

/// What was compressed; `None` where it is broken or more than `raw_length` bytes.
pub(crate) fn decompress(packed: &[u8], raw_length: usize) -> Option<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = zstd::bulk::Decompressor::new().ok();
        }
        slot.as_mut()?.decompress(packed, raw_length).ok()
    })
}

/// A container opened for reading; columns are unpacked when asked for.
#[derive(Debug, Clone)]
pub struct Container<'a> {
    columns: Vec<(u8, bool, usize, &'a [u8])>,
}

impl<'a> Container<'a> {
    /// Opens a container; `None` where its shape is broken.
    pub fn open(mut bytes: &'a [u8]) -> Option<Self> {
        let mut columns = Vec::new();
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at_checked(10)?;
            let [id, packed, r0, r1, r2, r3, k0, k1, k2, k3] = *head else { return None };
            let raw_length = u32::from_le_bytes([r0, r1, r2, r3]) as usize;
            let (kept, rest) = rest.split_at_checked(u32::from_le_bytes([k0, k1, k2, k3]) as usize)?;
            if raw_length > MAX_COLUMN || packed > 1 || (packed == 0 && raw_length != kept.len()) {
                return None;
            }
            columns.push((id, packed == 1, raw_length, kept));
            bytes = rest;
        }
        Some(Self { columns })
    }

    /// One column's raw bytes; empty where the column was left out, `None` where it is broken.
    pub fn column(&self, id: u8) -> Option<Cow<'a, [u8]>> {
        match self.columns.iter().find(|column| column.0 == id) {
            None => Some(Cow::Borrowed(&[])),
            Some(&(_, false, _, kept)) => Some(Cow::Borrowed(kept)),
            Some(&(_, true, raw_length, kept)) => decompress(kept, raw_length).map(Cow::Owned),
        }
    }
}
