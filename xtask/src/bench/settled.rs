//! `settled`: the settled tier of the observables beside another engine, on the same rows and the same machine.
//!
//! Flow: without the feature `settled` this program only builds itself anew with it and hands over → one process for each tier, so that none
//! inherits the memory of another → rows of figures and the ratios of our runs to the other engine.
//! Invariant: every tier gets the same rows in the same freezes, and the time of a freeze ends when the tier has come to rest.
//! Not here: what the runs are (`store::views::run`), which of the two the hub uses and why (`docs/adr/0001-settled-tier.md`).

#[cfg(feature = "settled")]
mod measure;
#[cfg(feature = "settled")]
mod rows;
#[cfg(feature = "settled")]
mod tiers;

#[cfg(feature = "settled")]
pub use measure::run;

use clap::ValueEnum;

/// What takes the rows of a freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tier {
    /// Our sorted runs.
    Runs,
    /// fjall, a row for each freeze, folded when asked.
    Append,
    /// fjall, one row for a key and class, read, merged and written again.
    Modify,
}

/// The words that make this program run the bench, or one tier of it.
pub fn command_line(rows: u64, tier: Option<Tier>) -> Vec<String> {
    let mut words = vec!["bench".to_owned(), "settled".to_owned(), "--events".to_owned(), rows.to_string()];
    if let Some(tier) = tier {
        let word = match tier {
            Tier::Runs => "runs",
            Tier::Append => "append",
            Tier::Modify => "modify",
        };
        words.extend(["--tier".to_owned(), word.to_owned()]);
    }
    words
}

/// Builds this program with the other engine in it and lets that one run the bench.
#[cfg(not(feature = "settled"))]
pub fn run(arguments: &super::Arguments) -> anyhow::Result<()> {
    use crate::generated::{cargo, root};
    use anyhow::{Context, bail};

    let mut command = cargo();
    command.args(["run", "--release", "--package", "xtask", "--features", "settled", "--"]).args(command_line(arguments.events, arguments.tier));
    let status = command.current_dir(root()?).status().context("running cargo")?;
    if !status.success() {
        bail!("the bench with the other engine failed");
    }
    Ok(())
}
