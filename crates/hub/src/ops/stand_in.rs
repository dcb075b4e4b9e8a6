//! A backup's stand-in: a folder that verification opens as a start would, while the backup stays as it is.
//!
//! Flow: a private folder among the temporary files → links to what is only read, copies of what opening may change: the last segment, whose
//! unfinished end is cut, and the databases → removed with its value.
//! Invariant: nothing in the backup's folder is written, made or removed; it may lie on a medium that cannot be written.
//! Not here: verification itself (`store::verify`).

use super::{COMPLETE, DATABASES, SMALL_FILES};
use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use store::views::indicators;

/// Whether a folder is a backup that no hub was ever opened on.
pub(super) fn is_backup(folder: &Path) -> bool {
    folder.join(COMPLETE).exists() && !folder.join("lock").exists()
}

/// The stand-in of one backup. Its folder goes with it.
#[derive(Debug)]
pub(super) struct StandIn {
    folder: PathBuf,
    backup: PathBuf,
}

impl StandIn {
    /// Makes the stand-in of the backup in a folder.
    ///
    /// # Errors
    /// An I/O error where the backup cannot be read or there is no room for temporary files.
    pub(super) fn of(backup: &Path) -> std::io::Result<Self> {
        let backup = backup.canonicalize()?;
        let folder = std::env::temp_dir().join(format!("bongsu-verify-{}", uuid::Uuid::new_v4().simple()));
        // It holds the realm's secret and victims' values; and one that is there already is not ours.
        DirBuilder::new().mode(0o700).create(&folder)?;
        let made = Self { folder, backup };
        made.fill()?;
        Ok(made)
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A text in which the stand-in's files are named as the backup's.
    pub(super) fn named_as_backup(&self, text: &str) -> String {
        text.replace(&self.folder.display().to_string(), &self.backup.display().to_string())
    }

    fn fill(&self) -> std::io::Result<()> {
        let (from, to) = (self.backup.join("ledger"), self.folder.join("ledger"));
        std::fs::create_dir(&to)?;
        let mut segments = segments(&from)?;
        let last = segments.pop();
        for name in segments {
            symlink(from.join(&name), to.join(&name))?;
        }
        if let Some(name) = last {
            copy(&from.join(&name), &to.join(&name))?;
        }
        // Only read; a backup from before there was such a log has none.
        symlink(self.backup.join(indicators::FOLDER), self.folder.join(indicators::FOLDER))?;
        for name in SMALL_FILES.into_iter().chain(DATABASES) {
            if self.backup.join(name).exists() {
                copy(&self.backup.join(name), &self.folder.join(name))?;
            }
        }
        Ok(())
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // Links are removed, not followed. What cannot be removed lies among the temporary files, for its owner alone.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// Names of the ledger's segments, in order.
fn segments(ledger: &Path) -> std::io::Result<Vec<OsString>> {
    let mut names: Vec<OsString> = Vec::new();
    for entry in ledger.read_dir()? {
        let name = entry?.file_name();
        if Path::new(&name).extension().is_some_and(|ending| ending == "seg") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Copies the content, not the permissions: a backup may be kept from being written.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut copied = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    std::io::copy(&mut File::open(from)?, &mut copied).map(drop)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_copies_what_opening_may_change_and_goes_without_a_trace() {
        let backup = tempfile::tempdir().unwrap();
        std::fs::create_dir(backup.path().join("ledger")).unwrap();
        for (name, content) in [("BACKUP", "complete\n"), ("zone", "UTC\n"), ("ledger/00000001.seg", "one"), ("ledger/00000002.seg", "two")] {
            std::fs::write(backup.path().join(name), content).unwrap();
        }
        assert!(is_backup(backup.path()));
        let made = StandIn::of(backup.path()).unwrap();
        let ledger = made.folder().join("ledger");
        assert!(ledger.join("00000001.seg").symlink_metadata().unwrap().is_symlink());
        assert!(ledger.join("00000002.seg").symlink_metadata().unwrap().is_file());
        std::fs::write(ledger.join("00000002.seg"), "cut").unwrap();
        let problem = format!("damaged in {}", ledger.join("00000002.seg").display());
        assert!(made.named_as_backup(&problem).ends_with("/ledger/00000002.seg") && !made.named_as_backup(&problem).contains("bongsu-verify"));
        let folder = made.folder().to_owned();
        drop(made);
        assert!(!folder.exists());
        assert_eq!(std::fs::read_to_string(backup.path().join("ledger/00000001.seg")).unwrap(), "one");
        assert_eq!(std::fs::read_to_string(backup.path().join("ledger/00000002.seg")).unwrap(), "two");
        std::fs::write(backup.path().join("lock"), "").unwrap();
        assert!(!is_backup(backup.path()), "a hub was opened on it");
    }
}
