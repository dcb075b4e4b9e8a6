//! A file of the log, which only grows: eight bytes of name and version, then what was appended.
//!
//! Flow: [`open`] begins it where it is new → [`append`] makes bytes durable → [`cut`] takes away what a write that failed, or a crash, left.
//! Invariant: what was synced is never cut; a file that is not this one, or of another release, is not written to.
//! Not here: what the bytes say (`bodies`, `rows`), how far readers may see.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Byte at which what comes after name and version begins.
pub(super) const START: u64 = 8;

/// What a check finds.
pub(super) enum Found {
    /// No file, or one that was not begun yet.
    Nothing,
    /// Another file.
    Another,
    /// The file and its length.
    Whole(File, u64),
}

/// Opens a file, making it where it is not there; gives it with its length. `None` where what lies before `synced` is damaged.
///
/// # Errors
/// An I/O error; `Unsupported` for a file of another release.
pub(super) fn open(path: &Path, magic: [u8; 8], synced: u64) -> std::io::Result<Option<(File, u64)>> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut length = file.metadata()?.len();
    if length < synced {
        return Ok(None);
    }
    if length < START {
        begin(&file, magic)?;
        length = START;
    }
    Ok(begins_with(&file, magic)?.then_some((file, length)))
}

/// Opens a file for checks alone, which change nothing.
///
/// # Errors
/// An I/O error; `Unsupported` for a file of another release.
pub(super) fn open_to_check(path: &Path, magic: [u8; 8]) -> std::io::Result<Found> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    if length < START {
        return Ok(Found::Nothing);
    }
    Ok(if begins_with(&file, magic)? { Found::Whole(file, length) } else { Found::Another })
}

/// Makes bytes durable behind `end`.
///
/// # Errors
/// An I/O error; what it leaves is to be cut before the next try.
pub(super) fn append(file: &File, end: u64, bytes: &[u8]) -> std::io::Result<()> {
    file.write_all_at(bytes, end)?;
    file.sync_data()
}

/// Cuts what a file has past `end`.
///
/// # Errors
/// An I/O error.
pub(super) fn cut(file: &File, end: u64) -> std::io::Result<()> {
    if file.metadata()?.len() <= end {
        return Ok(());
    }
    file.set_len(end)?;
    file.sync_all()
}

/// The error of a log that cannot be read.
pub(super) fn damaged() -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, "the log of indicators is damaged")
}

/// Empties a file but for its first bytes.
fn begin(file: &File, magic: [u8; 8]) -> std::io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(&magic, 0)?;
    file.sync_all()
}

/// Whether a file begins with this name and version; an error for this name with another version.
fn begins_with(file: &File, own: [u8; 8]) -> std::io::Result<bool> {
    let mut magic = [0; 8];
    file.read_exact_at(&mut magic, 0)?;
    let ([name @ .., _, _], [own_name @ .., _, _]) = (magic, own);
    if name == own_name && magic != own {
        return Err(std::io::Error::new(ErrorKind::Unsupported, "the log of indicators is of another release"));
    }
    Ok(magic == own)
}
