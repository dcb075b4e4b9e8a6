//! `owners`: what it costs to find the owners of an event among a million prefixes and a hundred thousand domains.
//!
//! Flow: without the feature `owners` this program only builds itself anew with it and hands over → the hub's own table, asked event by event on one
//! thread as the bulk path asks it → rows of figures.
//! Invariant: what is timed is what `store::views::owners` does of an event that is read already: its values, and every registration of each.
//! Not here: reading events and folding findings, which every event costs whatever is registered.

#[cfg(feature = "owners")]
mod measure;

#[cfg(feature = "owners")]
pub use measure::run;

/// The words that make this program run the bench.
#[cfg(any(test, not(feature = "owners")))]
pub fn command_line(events: u64) -> Vec<String> {
    ["bench", "owners", "--events"].map(str::to_owned).into_iter().chain([events.to_string()]).collect()
}

/// Builds this program with the hub's table in it and lets that one run the bench.
#[cfg(not(feature = "owners"))]
pub fn run(arguments: &super::Arguments) -> anyhow::Result<()> {
    use crate::generated::{cargo, root};
    use anyhow::{Context, bail};

    let mut command = cargo();
    command.args(["run", "--release", "--package", "xtask", "--features", "owners", "--"]).args(command_line(arguments.events));
    let status = command.current_dir(root()?).status().context("running cargo")?;
    if !status.success() {
        bail!("the bench with the hub's table failed");
    }
    Ok(())
}
