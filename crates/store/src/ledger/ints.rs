//! A column of integers: the smallest is kept once, the rest as differences of a fixed width, so that any row is read by position.
//!
//! Shape: `base` (8 bytes), `width` (1 byte: 0, 1, 2, 3, 4, 6 or 8), then `rows × width` bytes, little-endian.
//! Invariant: reading past the end gives `base`, never a panic; the checksum of the frame guards the content.

use std::borrow::Cow;

/// Appends the column's shape to `out`.
pub fn write(values: &[u64], out: &mut Vec<u8>) {
    let base = values.iter().copied().min().unwrap_or(0);
    let span = values.iter().copied().max().unwrap_or(0) - base;
    let width = width_for(span);
    out.extend_from_slice(&base.to_le_bytes());
    out.push(width as u8);
    out.reserve(values.len() * width);
    match width {
        0 => {}
        1 => out.extend(values.iter().map(|value| (value - base) as u8)),
        2 => values.iter().for_each(|value| out.extend_from_slice(&((value - base) as u16).to_le_bytes())),
        4 => values.iter().for_each(|value| out.extend_from_slice(&((value - base) as u32).to_le_bytes())),
        _ => values.iter().for_each(|value| out.extend_from_slice((value - base).to_le_bytes().get(..width).unwrap_or(&[]))),
    }
}

const fn width_for(span: u64) -> usize {
    match span {
        0 => 0,
        1..=0xFF => 1,
        0x100..=0xFFFF => 2,
        0x1_0000..=0xFF_FFFF => 3,
        0x100_0000..=0xFFFF_FFFF => 4,
        0x1_0000_0000..=0xFFFF_FFFF_FFFF => 6,
        _ => 8,
    }
}

/// A column opened for reading.
#[derive(Debug, Clone)]
pub struct Ints<'a> {
    base: u64,
    width: usize,
    data: Cow<'a, [u8]>,
}

impl<'a> Ints<'a> {
    /// A column in which every row is `value`.
    pub fn constant(value: u64) -> Self {
        Self { base: value, width: 0, data: Cow::Borrowed(&[]) }
    }

    /// Opens a column; `None` where its shape is broken.
    pub fn read(bytes: Cow<'a, [u8]>) -> Option<Self> {
        let base = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
        let width = usize::from(*bytes.get(8)?);
        if width > 8 {
            return None;
        }
        let data = match bytes {
            Cow::Borrowed(slice) => Cow::Borrowed(slice.get(9..)?),
            Cow::Owned(mut owned) => {
                owned.drain(..9);
                Cow::Owned(owned)
            }
        };
        Some(Self { base, width, data })
    }

    /// The value of one row.
    #[inline]
    pub fn get(&self, row: usize) -> u64 {
        let start = row * self.width;
        let Some(bytes) = self.data.get(start..start + self.width) else { return self.base };
        let offset = match *bytes {
            [] => 0,
            [a] => u64::from(a),
            [a, b] => u64::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
            _ => bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
        };
        self.base.wrapping_add(offset)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_comes_back(values in prop::collection::vec(prop_oneof![0_u64..4, 0_u64..70_000, any::<u64>()], 0..200)) {
            let mut out = Vec::new();
            write(&values, &mut out);
            let column = Ints::read(Cow::Owned(out)).unwrap();
            for (row, value) in values.iter().enumerate() {
                prop_assert_eq!(column.get(row), *value);
            }
        }

        #[test]
        fn broken_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), row in 0_usize..100) {
            if let Some(column) = Ints::read(Cow::Owned(bytes)) {
                column.get(row);
            }
        }
    }
}
