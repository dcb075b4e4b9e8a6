//! The plain kinds: one file by HTTP or from a path, and folders into which files are put.
//!
//! Flow: [`collect`] asks only for what has changed (`ETag`, `Last-Modified`; size and time of a file) → unpacks it, bounded → one body that is the
//! source's whole state. [`folder`] takes each file once.
//! Invariant: the file on the other side is never trusted to be what it was: a page for people in its place is an error, not an empty list.
//! Not here: reading entries (`read`), the other kinds.

use super::{Body, Collected, Context, MAX_BODIES, MAX_BYTES, SourceError, SourceOptions};
use crate::HubError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Bytes of a password's or key's file at the most.
const MAX_SECRET: u64 = 4_096;
/// Files of a folder that are remembered.
const MAX_FILES: usize = 20_000;
/// Endings of files that are still being written.
const UNFINISHED: [&str; 5] = [".tmp", ".part", ".partial", ".crdownload", "~"];

/// What is remembered of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Place {
    /// Hash of the configuration under which it was taken: under another it may mean something else.
    configuration: String,
    etag: Option<String>,
    modified: Option<String>,
    /// Size and time of a file.
    file: Option<(u64, u64)>,
}

/// What is remembered of a folder: size and time of each file taken.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Taken {
    files: BTreeMap<String, (u64, u64)>,
}

/// A hash of what the configuration says of a source.
pub(super) fn configuration_of(source: &SourceOptions) -> String {
    // The files of secrets are named in it, the secrets are not.
    let hash = blake3::hash(format!("{source:?}").as_bytes());
    hash.to_hex().chars().take(16).collect()
}

/// The headers that the source's configuration asks for, with its secrets.
///
/// # Errors
/// [`SourceError::File`] where a secret cannot be read.
pub(super) fn own_headers(source: &SourceOptions) -> Result<Vec<(String, String)>, SourceError> {
    let mut headers: Vec<(String, String)> = source.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    if let (Some(user), Some(file)) = (&source.user, &source.password_file) {
        let password = secret(file)?;
        headers.push(("Authorization".to_owned(), format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))));
    }
    if let Some(file) = &source.key_file {
        headers.push((source.key_header.clone(), secret(file)?));
    }
    Ok(headers)
}

/// A secret of a file, without its line end.
pub(super) fn secret(path: &Path) -> Result<String, SourceError> {
    let failed = |error| SourceError::File { what: path.display().to_string(), error };
    let mut text = String::new();
    std::fs::File::open(path).map_err(failed)?.take(MAX_SECRET).read_to_string(&mut text).map_err(failed)?;
    Ok(text.trim().to_owned())
}

/// Gets one file.
///
/// # Errors
/// [`SourceError`].
pub(super) async fn collect(context: &Context<'_>) -> Result<Collected, SourceError> {
    let configuration = configuration_of(context.source);
    let known: Place = serde_json::from_value(context.state.clone()).unwrap_or_default();
    let known = if known.configuration == configuration { known } else { Place::default() };
    match &context.source.path {
        Some(path) => from_path(path.clone(), known, configuration).await,
        None => by_http(context, known, configuration).await,
    }
}

async fn by_http(context: &Context<'_>, known: Place, configuration: String) -> Result<Collected, SourceError> {
    let url = context.url()?;
    let name = url.path_segments().and_then(|mut steps| steps.next_back()).filter(|step| !step.is_empty()).unwrap_or("body").to_owned();
    let mut headers = vec![("Accept", "*/*")];
    if let Some(etag) = &known.etag {
        headers.push(("If-None-Match", etag.as_str()));
    }
    if let Some(modified) = &known.modified {
        headers.push(("If-Modified-Since", modified.as_str()));
    }
    let answer = context.get(url, &headers).await?;
    if answer.status == 304 {
        // Only what was asked for on a condition can be the same.
        if known == Place::default() {
            return Err(SourceError::Status { status: 304, retry_after: None });
        }
        return Ok(Collected { unchanged: true, whole: true, state: value_of(&known), ..Collected::default() });
    }
    let header = |name: &str| answer.header(name).filter(|value| value.len() <= 1_024).map(ToOwned::to_owned);
    let place = Place { configuration, etag: header("etag"), modified: header("last-modified"), file: None };
    let bytes = unpacked(Bytes::from(answer.body)).await?;
    refuse_page(&bytes)?;
    Ok(Collected { bodies: vec![Body::new(name, None, bytes)], whole: true, state: value_of(&place), ..Collected::default() })
}

async fn from_path(path: PathBuf, known: Place, configuration: String) -> Result<Collected, SourceError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (stamp, bytes) = on_thread(move || {
        let stamp = stamp_of(&path)?;
        let bytes = if known.file == Some(stamp) { None } else { Some(read_file(&path)?) };
        Ok((stamp, bytes))
    })
    .await?;
    let place = Place { configuration, file: Some(stamp), ..Place::default() };
    let Some(bytes) = bytes else { return Ok(Collected { unchanged: true, whole: true, state: value_of(&place), ..Collected::default() }) };
    let bytes = unpacked(Bytes::from(bytes)).await?;
    Ok(Collected { bodies: vec![Body::new(name, None, bytes)], whole: true, state: value_of(&place), ..Collected::default() })
}

/// Takes the files of a folder that were not taken before, in the order of their names.
///
/// # Errors
/// [`SourceError`].
pub(super) async fn folder(context: &Context<'_>) -> Result<Collected, SourceError> {
    let path = context.source.path.clone().ok_or_else(|| SourceError::Content("path: expected a folder".to_owned()))?;
    let known: Taken = serde_json::from_value(context.state.clone()).unwrap_or_default();
    let (files, taken, more) = on_thread(move || new_files(&path, &known)).await?;
    let bodies: Vec<Body> = files.into_iter().map(|(name, bytes)| Body::new(name, None, bytes)).collect();
    Ok(Collected { unchanged: bodies.is_empty(), bodies, state: value_of(&taken), more, ..Collected::default() })
}

/// Name and unpacked bytes of each new file, what is taken with them, and whether there are more.
type NewFiles = (Vec<(String, Bytes)>, Taken, bool);

fn new_files(folder: &Path, known: &Taken) -> Result<NewFiles, SourceError> {
    let failed = |error| SourceError::File { what: folder.display().to_string(), error };
    let mut present = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_file || name.starts_with('.') || UNFINISHED.iter().any(|ending| name.ends_with(ending)) {
            continue;
        }
        present.insert(name, entry.path());
        if present.len() > MAX_FILES {
            return Err(SourceError::Content(format!("more than {MAX_FILES} files in the folder; move those away that were taken")));
        }
    }
    let mut taken = Taken::default();
    let mut files = Vec::new();
    let (mut bytes, mut more) = (0, false);
    for (name, path) in present {
        let stamp = stamp_of(&path)?;
        if known.files.get(&name) == Some(&stamp) {
            taken.files.insert(name, stamp);
            continue;
        }
        let size = usize::try_from(stamp.0).unwrap_or(usize::MAX);
        if more || !files.is_empty() && (size > MAX_BYTES.saturating_sub(bytes) || files.len() >= MAX_BODIES) {
            more = true;
            continue;
        }
        // What counts is what it holds unpacked: many small archives may hold more than there is memory.
        let plain = unpack(Bytes::from(read_file(&path)?), MAX_BYTES)?;
        if !files.is_empty() && plain.len() > MAX_BYTES.saturating_sub(bytes) {
            more = true;
            continue;
        }
        bytes += plain.len();
        files.push((name.clone(), plain));
        taken.files.insert(name, stamp);
    }
    Ok((files, taken, more))
}

/// Size and time of change of a file.
fn stamp_of(path: &Path) -> Result<(u64, u64), SourceError> {
    let failed = |error| SourceError::File { what: path.display().to_string(), error };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    let changed = metadata.modified().map_err(failed)?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((metadata.len(), changed.as_micros() as u64))
}

fn read_file(path: &Path) -> Result<Vec<u8>, SourceError> {
    let failed = |error| SourceError::File { what: path.display().to_string(), error };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MAX_BYTES { Err(larger_than(MAX_BYTES)) } else { Ok(bytes) }
}

fn larger_than(limit: usize) -> SourceError {
    SourceError::Content(format!("larger than {limit} bytes"))
}

/// Unpacks gzip and Zstandard, whatever the name says, up to the bound of a run.
///
/// # Errors
/// [`SourceError::Content`] for what is packed otherwise, broken or too large.
pub(super) async fn unpacked(bytes: Bytes) -> Result<Bytes, SourceError> {
    match packing_of(&bytes)? {
        None => Ok(bytes),
        Some(_) => on_thread(move || unpack(bytes, MAX_BYTES)).await,
    }
}

/// As [`unpacked`], up to `limit` bytes, on the thread that calls.
///
/// # Errors
/// As [`unpacked`].
pub(super) fn unpack(bytes: Bytes, limit: usize) -> Result<Bytes, SourceError> {
    let Some(packing) = packing_of(&bytes)? else {
        return if bytes.len() > limit { Err(larger_than(limit)) } else { Ok(bytes) };
    };
    let broken = |error: std::io::Error| SourceError::Content(format!("cannot be unpacked: {error}"));
    let bound = limit as u64 + 1;
    let mut plain = Vec::new();
    match packing {
        Packing::Gzip => flate2::read::MultiGzDecoder::new(bytes.as_ref()).take(bound).read_to_end(&mut plain).map_err(broken)?,
        Packing::Zstd => zstd::stream::read::Decoder::new(bytes.as_ref()).map_err(broken)?.take(bound).read_to_end(&mut plain).map_err(broken)?,
    };
    if plain.len() > limit { Err(larger_than(limit)) } else { Ok(Bytes::from(plain)) }
}

/// How a body is packed.
#[derive(Debug, Clone, Copy)]
enum Packing {
    Gzip,
    Zstd,
}

fn packing_of(bytes: &[u8]) -> Result<Option<Packing>, SourceError> {
    match bytes.get(..4) {
        Some([0x1f, 0x8b, ..]) => Ok(Some(Packing::Gzip)),
        Some([0x28, 0xb5, 0x2f, 0xfd]) => Ok(Some(Packing::Zstd)),
        Some([b'P', b'K', 3, 4]) => Err(SourceError::Content("a zip archive; give the address of the file itself, plain or gzip".to_owned())),
        Some(_) | None => Ok(None),
    }
}

/// Refuses a page for people where a feed is expected, as servers give for a sign-in or an outage.
fn refuse_page(bytes: &[u8]) -> Result<(), SourceError> {
    let beginning = bytes.get(..256).unwrap_or(bytes);
    let beginning = String::from_utf8_lossy(beginning).trim_start_matches(|first: char| first.is_whitespace() || first == '\u{feff}').to_ascii_lowercase();
    if beginning.starts_with("<!doctype html") || beginning.starts_with("<html") {
        return Err(SourceError::Content("a web page came instead of a feed".to_owned()));
    }
    Ok(())
}

fn value_of<T: Serialize>(place: &T) -> serde_json::Value {
    serde_json::to_value(place).unwrap_or_default()
}

/// Runs what blocks away from the threads that serve connections.
pub(super) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, SourceError> + Send + 'static) -> Result<T, SourceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(broken) => Err(SourceError::Hub(Box::new(HubError::Internal(Box::new(broken))))),
    }
}

/// Does what waits and reckons by turns on a thread of its own, away from those that serve connections; it ends when nobody waits for it any more.
///
/// # Errors
/// [`HubError::Internal`] where it broke.
pub(super) async fn on_own_thread<F: Future>(work: impl FnOnce() -> F + Send + 'static) -> Result<F::Output, HubError>
where
    F::Output: Send + 'static,
{
    let runtime = tokio::runtime::Handle::current();
    let (_waiting, gone) = tokio::sync::oneshot::channel::<()>();
    let done = tokio::task::spawn_blocking(move || {
        runtime.block_on(async move {
            tokio::select! {
                done = work() => Some(done),
                _ = gone => None,
            }
        })
    });
    match done.await {
        Ok(Some(done)) => Ok(done),
        // Only where there is nobody to be told.
        Ok(None) => Err(HubError::Overloaded { retry_after: 10 }),
        Err(broken) => Err(HubError::Internal(Box::new(broken))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_each_file_once_and_a_changed_one_again() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("b.csv", "2");
        write("a.txt", "1");
        write(".hidden", "no");
        write("c.csv.part", "no");
        let (files, taken, more) = new_files(folder.path(), &Taken::default()).unwrap();
        assert_eq!(files, [("a.txt".to_owned(), Bytes::from_static(b"1")), ("b.csv".to_owned(), Bytes::from_static(b"2"))]);
        assert!(!more);
        assert!(new_files(folder.path(), &taken).unwrap().0.is_empty());
        write("a.txt", "1 and more");
        std::fs::remove_file(folder.path().join("b.csv")).unwrap();
        let (files, taken, _) = new_files(folder.path(), &taken).unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(taken.files.len(), 1, "what is gone is forgotten");
    }

    #[tokio::test]
    async fn work_on_a_thread_of_its_own_holds_nobody_up_and_ends_when_nobody_waits() {
        // This runtime has one thread: were the work on it, the clock beside it would stand still.
        let work = on_own_thread(|| async {
            std::thread::sleep(std::time::Duration::from_millis(300));
            tokio::task::yield_now().await;
            std::thread::current().id()
        });
        let beside = async {
            let began = std::time::Instant::now();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            began.elapsed()
        };
        let (there, waited) = tokio::join!(work, beside);
        assert_ne!(there.unwrap(), std::thread::current().id());
        assert!(waited < std::time::Duration::from_millis(250), "{waited:?}");

        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        let endless = on_own_thread(move || async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        assert!(tokio::time::timeout(std::time::Duration::from_millis(50), endless).await.is_err());
        assert!(tokio::time::timeout(std::time::Duration::from_secs(20), dropped).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn packed_files_are_unpacked_and_archives_refused() {
        let zstd = zstd::encode_all(b"plain".as_slice(), 1).unwrap();
        assert_eq!(unpacked(Bytes::from(zstd)).await.unwrap(), "plain");
        assert_eq!(unpacked(Bytes::from_static(b"plain")).await.unwrap(), "plain");
        assert!(unpacked(Bytes::from_static(b"PK\x03\x04....")).await.is_err());
        assert!(unpacked(Bytes::from_static(b"\x1f\x8b\x08\x00broken")).await.is_err());
    }

    #[test]
    fn what_is_packed_is_unpacked_up_to_a_limit_and_no_further() {
        let packed = Bytes::from(zstd::encode_all([b'x'; 1_000].as_slice(), 1).unwrap());
        assert_eq!(unpack(packed.clone(), 1_000).unwrap().len(), 1_000);
        assert!(unpack(packed, 999).is_err());
        assert!(unpack(Bytes::from_static(b"plain"), 4).is_err());
    }

    #[test]
    fn a_page_for_people_is_no_feed() {
        assert!(refuse_page(b"\xef\xbb\xbf\n<!DOCTYPE HTML>\n<title>Sign in</title>").is_err());
        assert!(refuse_page(b"1.2.3.4\n").is_ok() && refuse_page(b"").is_ok());
    }
}
