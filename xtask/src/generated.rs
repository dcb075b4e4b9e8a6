//! Files that are generated and kept: written by one task, compared by another.
//!
//! Invariant: what is kept is what the program says now.

use anyhow::{Context, bail};
use std::path::PathBuf;
use std::process::Command;

/// The OpenAPI document, beside the root.
const OPENAPI: &str = "docs/openapi.json";

/// Writes every generated file.
pub fn write() -> anyhow::Result<()> {
    let path = root()?.join(OPENAPI);
    std::fs::write(&path, openapi()?).with_context(|| path.display().to_string())?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Compares every generated file with what would be written.
pub fn check() -> anyhow::Result<()> {
    let path = root()?.join(OPENAPI);
    let kept = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    if kept != openapi()? {
        bail!("{OPENAPI} is not current; run: cargo xtask openapi");
    }
    println!("{OPENAPI} is current");
    Ok(())
}

/// The folder of the workspace, as of this run: checkouts that share a target folder share this program too.
pub fn root() -> anyhow::Result<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map(std::path::Path::to_path_buf).context("the workspace has a folder")
}

/// Cargo as it was called.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn openapi() -> anyhow::Result<String> {
    let output = cargo().args(["run", "--quiet", "--package", "bongsu", "--", "openapi"]).current_dir(root()?).output().context("running the program")?;
    if !output.status.success() {
        bail!("the program failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).context("the document is no UTF-8")
}
