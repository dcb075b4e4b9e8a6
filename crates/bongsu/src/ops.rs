//! Operations on a data folder: backup, restore, verify, rebuild; and the OpenAPI document.
//!
//! Invariant: `verify` ends with [`Exit::Failed`] exactly when it names a problem.
//! Not here: how any of it is done (`hub::ops`).

use crate::cli::{BackupArguments, DataArguments, RestoreArguments};
use crate::{Exit, output};
use anyhow::{Context, bail};
use std::path::Path;

/// Problems named on standard error at the most; the count is always given.
const MOST_PROBLEMS: usize = 1_000;

/// Runs `backup`.
pub fn backup(arguments: &BackupArguments) -> anyhow::Result<Exit> {
    let data = holding_a_hub(&arguments.data.data)?;
    let report = hub::ops::backup(data, &arguments.to).with_context(|| format!("backup of {} to {}", data.display(), arguments.to.display()))?;
    output::line(&format!("backed up {} files, {} bytes to {}", report.files, report.bytes, arguments.to.display()))?;
    Ok(Exit::Done)
}

/// Runs `restore`.
pub fn restore(arguments: &RestoreArguments) -> anyhow::Result<Exit> {
    let from = existing(&arguments.from)?;
    let data = &arguments.data.data;
    hub::ops::restore(data, from).with_context(|| format!("restore of {} to {}", from.display(), data.display()))?;
    output::line(&format!("restored {} to {}", from.display(), data.display()))?;
    Ok(Exit::Done)
}

/// Runs `verify`.
pub fn verify(arguments: &DataArguments) -> anyhow::Result<Exit> {
    let data = holding_a_hub(&arguments.data)?;
    let report = hub::ops::verify(data).with_context(|| format!("verify of {}", data.display()))?;
    for note in &report.notes {
        output::note(note);
    }
    for problem in report.problems.iter().take(MOST_PROBLEMS) {
        output::note(problem);
    }
    output::line(&format!("verified {} blocks, {} events: {} problems", report.blocks, report.events, report.problems.len()))?;
    Ok(if report.problems.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Runs `rebuild`.
pub fn rebuild(arguments: &DataArguments) -> anyhow::Result<Exit> {
    let data = holding_a_hub(&arguments.data)?;
    let report = hub::ops::rebuild(data).with_context(|| format!("rebuild of {}", data.display()))?;
    output::line(&format!("rebuilt the views of {} events in {:.1} s", report.events, report.seconds))?;
    Ok(Exit::Done)
}

/// Runs `openapi`.
pub fn openapi() -> anyhow::Result<Exit> {
    let document = serde_json::to_string_pretty(&web::openapi::document()).context("writing the OpenAPI document")?;
    output::line(&document)?;
    Ok(Exit::Done)
}

/// A folder that must exist.
fn existing(folder: &Path) -> anyhow::Result<&Path> {
    if !folder.is_dir() {
        bail!("{} is not a folder", folder.display());
    }
    Ok(folder)
}

/// A folder that must hold a hub's ledger: a mistyped name must neither be taken for an empty hub nor become one.
fn holding_a_hub(folder: &Path) -> anyhow::Result<&Path> {
    if !folder.is_dir() {
        bail!("{} is not a folder; give --data or set BONGSU_DATA", folder.display());
    }
    if !folder.join("ledger").is_dir() {
        bail!("{} holds no hub", folder.display());
    }
    Ok(folder)
}
