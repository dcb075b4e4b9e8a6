//! Decompression as bytes come, bounded: a few bytes that unpack to gigabytes are refused.

use crate::HubError;
use std::io::Write;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Not at all.
    #[default]
    Identity,
    /// gzip, also several members one after another.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// Unpacks what is pushed.
pub(super) enum Decoder {
    Identity,
    Gzip(Box<flate2::write::MultiGzDecoder<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Vec<u8>>>),
}

impl Decoder {
    pub(super) fn new(encoding: Encoding) -> Result<Self, HubError> {
        Ok(match encoding {
            Encoding::Identity => Self::Identity,
            Encoding::Gzip => Self::Gzip(Box::new(flate2::write::MultiGzDecoder::new(Vec::new()))),
            Encoding::Zstd => {
                let mut decoder = zstd::stream::write::Decoder::new(Vec::new()).map_err(|error| HubError::Internal(Box::new(error)))?;
                // A window of 128 MiB is what the standard tool takes without being asked.
                decoder.window_log_max(27).map_err(|error| HubError::Internal(Box::new(error)))?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }

    /// Whether bytes are taken as they are.
    pub(super) const fn is_identity(&self) -> bool {
        matches!(self, Self::Identity)
    }

    /// Takes some of `bytes`, which are not empty: how many, and the plain bytes that are ready. A step unpacks to a few times the decoders'
    /// buffers of 32 KiB at the most, whatever the bytes say.
    pub(super) fn unpack(&mut self, bytes: &[u8]) -> Result<(usize, Vec<u8>), HubError> {
        let (taken, plain) = match self {
            Self::Identity => return Ok((bytes.len(), bytes.to_vec())),
            Self::Gzip(decoder) => (decoder.write(bytes), decoder.get_mut()),
            Self::Zstd(decoder) => (decoder.write(bytes), decoder.get_mut()),
        };
        match taken {
            Ok(taken) if taken > 0 => Ok((taken, std::mem::take(plain))),
            Ok(_) | Err(_) => Err(HubError::BadBody("the body is not what its Content-Encoding says".to_owned())),
        }
    }

    /// What is left at the end.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>, HubError> {
        let cut_off = |_| HubError::BadBody("the compressed body is cut off".to_owned());
        match self {
            Self::Identity => Ok(Vec::new()),
            Self::Gzip(decoder) => {
                decoder.try_finish().map_err(cut_off)?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Self::Zstd(decoder) => {
                decoder.flush().map_err(cut_off)?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    /// A step at the most: a block of zstd and a few buffers.
    const STEP: usize = 256 * 1024;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(encoding: Encoding, packed: &[u8], piece: usize) -> Vec<u8> {
        let mut decoder = Decoder::new(encoding).unwrap();
        let mut all = Vec::new();
        for mut rest in packed.chunks(piece) {
            while !rest.is_empty() {
                let (taken, plain) = decoder.unpack(rest).unwrap();
                assert!(plain.len() <= STEP, "{}", plain.len());
                rest = &rest[taken..];
                all.extend_from_slice(&plain);
            }
        }
        all.extend_from_slice(&decoder.finish().unwrap());
        all
    }

    #[test]
    fn what_unpacks_to_much_comes_in_small_steps() {
        let plain = vec![0; 32 << 20];
        assert_eq!(unpacked(Encoding::Zstd, &zstd::encode_all(plain.as_slice(), 3).unwrap(), usize::MAX).len(), plain.len());
        assert_eq!(unpacked(Encoding::Gzip, &gzip(&plain), usize::MAX).len(), plain.len());
    }

    #[test]
    fn what_was_packed_comes_back_however_it_is_cut_and_several_members_are_one_body() {
        let plain: Vec<u8> = (0..200_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let (first, second) = plain.split_at(300_001);
        let gzip = [gzip(first), gzip(second)].concat();
        let zstd = [zstd::encode_all(first, 1).unwrap(), zstd::encode_all(second, 1).unwrap()].concat();
        for piece in [7, 1_000, 65_536] {
            assert!(unpacked(Encoding::Gzip, &gzip, piece) == plain, "{piece}");
            assert!(unpacked(Encoding::Zstd, &zstd, piece) == plain, "{piece}");
        }
    }

    #[test]
    fn what_is_not_packed_is_refused() {
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            assert!(matches!(Decoder::new(encoding).unwrap().unpack(b"{\"time\":1700000000}\n"), Err(HubError::BadBody(_))));
        }
    }
}
