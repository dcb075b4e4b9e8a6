//! Operations on a data folder: backup, restore, verify, rebuild.
//!
//! Invariant: a backup can be taken while a hub runs on the folder; the others need it for themselves and say so. A backup is only ever read.
//! Not here: retention of backups. A backup holds personal data; it is destroyed by destroying its medium or its key.

mod stand_in;

use crate::days::ZoneDays;
use crate::hub::{lock, realm_secret, realm_zone, store_options};
use crate::{HubError, clock::Clock, misp};
use stand_in::{StandIn, is_backup};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use store::deliveries::Deliveries;
use store::misp::Events;
use store::objects::Objects;
use store::records::{Erasure, ErasureState, Records};
use store::views::owners::{self, national};
use store::views::{Days, Keys, indicators};
use store::{Options, Store};

/// Files of a realm beside ledger, views and records.
const SMALL_FILES: [&str; 3] = ["observable.key", "coordinator.key", "zone"];
/// What people decided, what members contributed, what is remembered of sources, and what is on its way to members.
const DATABASES: [&str; 5] = ["records.sqlite", "objects.sqlite", misp::FILE, "sources.sqlite", "deliveries.sqlite"];
/// The file that says that a folder is a whole backup.
const COMPLETE: &str = "BACKUP";

/// What a backup copied.
#[derive(Debug, Clone, Copy, Default)]
pub struct BackupReport {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What `rebuild` did.
#[derive(Debug, Clone, Copy)]
pub struct RebuildReport {
    /// Events that count.
    pub events: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
}

pub use store::Report as VerifyReport;

/// Copies ledger, log of indicators, tables of addresses, records, what members contributed and keys of the realm in `data` to the new folder `to`. Views are
/// not copied; they are made anew.
///
/// # Errors
/// [`HubError`] where a file cannot be read or written, or `to` is not empty.
pub fn backup(data: &Path, to: &Path) -> Result<BackupReport, HubError> {
    if to.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(invalid("backup folder", "must be empty or new"));
    }
    let mut report = BackupReport::default();
    // The log of indicators before the ledger, so that the copied ledger holds all that it was made of.
    let log = data.join(indicators::FOLDER);
    std::fs::create_dir_all(to.join(indicators::FOLDER)).map_err(internal)?;
    for name in indicators::files(&log).map_err(internal)? {
        copy(&log.join(&name), &to.join(indicators::FOLDER).join(&name), &mut report)?;
    }
    // So are deliveries, which name places of the ledger.
    block_on(async {
        let deliveries = Deliveries::open(&data.join("deliveries.sqlite")).await?;
        deliveries.backup_to(&to.join("deliveries.sqlite")).await?;
        deliveries.close().await;
        Ok::<_, HubError>(())
    })??;
    let ledger = data.join("ledger");
    std::fs::create_dir_all(to.join("ledger")).map_err(internal)?;
    // The ledger before the records: it only grows, and an unfinished frame at its end is cut when the copy is opened. What the records owe to the
    // ledger is then either in the copied outbox or said again on opening.
    let mut segments: Vec<_> = ledger.read_dir().map_err(internal)?.flatten().map(|entry| entry.path()).collect();
    segments.sort();
    for segment in segments.iter().filter(|path| path.extension().is_some_and(|ending| ending == "seg")) {
        copy(segment, &to.join("ledger").join(segment.file_name().unwrap_or_default()), &mut report)?;
    }
    // After the ledger, so that every table of addresses that an entry of the copied ledger names is there: one is written before it is named.
    copy_tables(data, to, &mut report)?;
    for name in SMALL_FILES {
        if data.join(name).exists() {
            copy(&data.join(name), &to.join(name), &mut report)?;
        }
    }
    block_on(async {
        let records = Records::open(&data.join("records.sqlite")).await?;
        records.backup_to(&to.join("records.sqlite")).await?;
        records.close().await;
        let objects = Objects::open(&data.join("objects.sqlite")).await?;
        objects.backup_to(&to.join("objects.sqlite")).await?;
        objects.close().await;
        // After the ledger: what it knows of places behind the copied ledger's end is forgotten when the copy is opened.
        let sources = store::sources::Sources::open(&data.join("sources.sqlite")).await?;
        sources.backup_to(&to.join("sources.sqlite")).await?;
        sources.close().await;
        let events = Events::open(&data.join(misp::FILE)).await?;
        events.backup_to(&to.join(misp::FILE)).await?;
        events.close().await;
        Ok::<_, HubError>(())
    })??;
    for name in DATABASES {
        report.files += 1;
        report.bytes += to.join(name).metadata().map_err(internal)?.len();
    }
    std::fs::write(to.join(COMPLETE), "complete\n").map_err(internal)?;
    Ok(report)
}

/// Copies the tables of the nation's addresses, which the ledger only names.
fn copy_tables(from: &Path, to: &Path, report: &mut BackupReport) -> Result<(), HubError> {
    let (from, to) = (from.join(owners::FOLDER), to.join(owners::FOLDER));
    std::fs::create_dir_all(&to).map_err(internal)?;
    for name in national::names(&from) {
        let table = national::path(&from, &name);
        // A running hub takes those away that nothing names any more.
        if table.exists() {
            copy(&table, &national::path(&to, &name), report)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, report: &mut BackupReport) -> Result<(), HubError> {
    report.bytes += std::fs::copy(from, to).map_err(internal)?;
    report.files += 1;
    std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(internal)
}

/// Puts the backup in `from` into the new folder `data` and makes the views anew.
///
/// # Errors
/// [`HubError`] where `from` is no whole backup or `data` is not empty.
pub fn restore(data: &Path, from: &Path) -> Result<(), HubError> {
    if !from.join(COMPLETE).exists() {
        return Err(invalid("backup folder", "holds no whole backup"));
    }
    if data.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(invalid("data folder", "must be empty or new"));
    }
    let mut report = BackupReport::default();
    std::fs::create_dir_all(data.join("ledger")).map_err(internal)?;
    for entry in from.join("ledger").read_dir().map_err(internal)?.flatten() {
        copy(&entry.path(), &data.join("ledger").join(entry.file_name()), &mut report)?;
    }
    let log = from.join(indicators::FOLDER);
    std::fs::create_dir_all(data.join(indicators::FOLDER)).map_err(internal)?;
    // A backup from before there was such a log has none; it is made anew.
    for name in indicators::files(&log).map_err(internal)? {
        copy(&log.join(&name), &data.join(indicators::FOLDER).join(&name), &mut report)?;
    }
    copy_tables(from, data, &mut report)?;
    for name in SMALL_FILES.into_iter().chain(DATABASES) {
        if from.join(name).exists() {
            copy(&from.join(name), &data.join(name), &mut report)?;
        }
    }
    rebuild(data).map(drop)
}

/// Checks every block, that the views agree with the ledger, the records' history and the contributed MISP events. In the folder of a backup nothing is
/// changed.
///
/// # Errors
/// [`HubError`] where a hub has the folder open or files cannot be read at all.
pub fn verify(data: &Path) -> Result<VerifyReport, HubError> {
    if !is_backup(data) {
        return verify_folder(data);
    }
    let stand_in = StandIn::of(data).map_err(internal)?;
    let mut report = verify_folder(stand_in.folder())?;
    for text in report.problems.iter_mut().chain(&mut report.notes) {
        *text = stand_in.named_as_backup(text);
    }
    Ok(report)
}

fn verify_folder(data: &Path) -> Result<VerifyReport, HubError> {
    let _lock = lock(data)?;
    let scratch = data.join("verify.tmp");
    drop(std::fs::remove_dir_all(&scratch));
    let options = options(data)?;
    let report = block_on(async {
        let records = Records::open(&data.join("records.sqlite")).await?;
        // What was confirmed and cut short is taken up at the next start, by the record that says so.
        let unfinished: Vec<u128> = records
            .all::<Erasure>()
            .await?
            .iter()
            .filter(|erasure| erasure.state == ErasureState::Confirmed)
            .filter_map(|erasure| Some(options.keys.observable(erasure.kind, erasure.value.as_deref()?)))
            .collect();
        let mut report = store::verify(&options, &scratch, &unfinished).await.map_err(HubError::from)?;
        if let Some(broken) = records.verify_history().await? {
            report.problems.push(format!("records: {broken}"));
        }
        records.close().await;
        let events = Events::open(&data.join(misp::FILE)).await?;
        report.problems.extend(events.check().await?.into_iter().map(|problem| format!("{}: {problem}", misp::FILE)));
        events.close().await;
        Ok::<_, HubError>(report)
    })?;
    drop(std::fs::remove_dir_all(&scratch));
    report
}

/// Makes every view anew from the ledger.
///
/// # Errors
/// [`HubError`] where a hub has the folder open or files cannot be read.
pub fn rebuild(data: &Path) -> Result<RebuildReport, HubError> {
    let _lock = lock(data)?;
    let views = data.join("views");
    if views.exists() {
        std::fs::remove_dir_all(&views).map_err(internal)?;
    }
    // What was given out stays as it was given out, but for damage.
    indicators::make_anew(&data.join(indicators::FOLDER)).map_err(internal)?;
    // The owners' view makes itself anew in the background, at the next start.
    if let Err(error) = std::fs::remove_file(data.join(owners::FOLDER).join("state"))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(internal(error));
    }
    let options = options(data)?;
    let started = Instant::now();
    block_on(async {
        let opened = tokio::task::spawn_blocking(move || Store::open(&options)).await.map_err(|error| HubError::Internal(Box::new(error)))?;
        let (store, _) = opened.map_err(HubError::from)?;
        let seconds = started.elapsed().as_secs_f64();
        let events = store.views.events.load(std::sync::atomic::Ordering::Relaxed);
        store.checkpoint().await;
        store.close().await;
        Ok(RebuildReport { events, seconds })
    })?
}

fn options(data: &Path) -> Result<Options, HubError> {
    let zone = realm_zone(data, "Asia/Seoul")?;
    let days: Arc<dyn Fn() -> Box<dyn Days + Send> + Send + Sync> = Arc::new(move || Box::new(ZoneDays::new(zone.clone())));
    let keys = Keys::new(realm_secret(data).map_err(internal)?);
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    Ok(store_options(data, DEFAULT_MEMORY, &keys, &days, Clock::system(), threads))
}

/// Bytes that the views may take in memory.
pub const DEFAULT_MEMORY: u64 = 2 << 30;

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, HubError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(internal)?;
    Ok(runtime.block_on(work))
}

fn internal(error: std::io::Error) -> HubError {
    HubError::Internal(Box::new(error))
}

fn invalid(pointer: &str, reason: &str) -> HubError {
    HubError::Invalid { pointer: pointer.to_owned(), reason: reason.to_owned() }
}
