//! Flags of `pull` and `sources`.
//!
//! Not here: what is collected and how (the hub's configuration).

use super::Connection;
use clap::Args;

/// Flags of `pull`.
#[derive(Debug, Args)]
pub struct PullArguments {
    /// Sources to collect; without one all that are enabled.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Read and judge, and change nothing; shows the first entries and the refused ones.
    #[arg(long)]
    pub dry_run: bool,
    /// Accept what was held back of these sources: about as many entries as were held back are believed.
    #[arg(long, conflicts_with = "dry_run", requires = "names")]
    pub accept: bool,
    /// One JSON run per line.
    #[arg(long)]
    pub json: bool,
    /// How the hub is reached.
    #[command(flatten)]
    pub connection: Connection,
}

/// Flags of `sources`.
#[derive(Debug, Args)]
pub struct SourcesArguments {
    /// One source, with its last runs.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// JSON, as the hub gives it.
    #[arg(long)]
    pub json: bool,
    /// How the hub is reached.
    #[command(flatten)]
    pub connection: Connection,
}
