//! Decompression as bytes come, bounded: a few bytes that unpack to gigabytes are refused.

use crate::HubError;
use std::borrow::Cow;
use std::io::Write;

/// Input is fed in such pieces, so that what one piece unpacks to stays small.
const PIECE: usize = 1024;

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

    /// The plain bytes that `bytes` complete; at most a little more than `limit`.
    pub(super) fn push<'b>(&mut self, bytes: &'b [u8], limit: u64) -> Result<Cow<'b, [u8]>, HubError> {
        let mut plain = Vec::new();
        if matches!(self, Self::Identity) {
            return Ok(Cow::Borrowed(bytes));
        }
        for piece in bytes.chunks(PIECE) {
            let out = match self {
                Self::Identity => return Ok(Cow::Borrowed(bytes)),
                Self::Gzip(decoder) => decoder.write_all(piece).map(|()| decoder.get_mut()),
                Self::Zstd(decoder) => decoder.write_all(piece).map(|()| decoder.get_mut()),
            };
            let out = out.map_err(|_| HubError::BadBody("the body is not what its Content-Encoding says".to_owned()))?;
            plain.append(out);
            if plain.len() as u64 > limit {
                break;
            }
        }
        Ok(Cow::Owned(plain))
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
