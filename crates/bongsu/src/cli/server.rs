//! Flags of the commands that run a hub or work on its data folder: `demo`, `serve`, `backup`, `restore`, `verify`, `rebuild`.
//!
//! Flow: clap fills these structures → `demo`, `serve` and `ops` take them.
//! Invariant: a flag of `serve` that is not given leaves the configuration as it is.
//! Not here: the configuration's own keys and defaults (`crate::config`).

use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a hub listens unless told otherwise.
const DEFAULT_LISTEN: &str = "127.0.0.1:8470";

/// Flags of `demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Data folder; must not hold a hub yet. Default: a fresh temporary folder, removed at the end.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, default_value = DEFAULT_LISTEN, value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Events a second that keep flowing in.
    #[arg(long, default_value_t = 50, value_name = "EVENTS_PER_S", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub rate: u32,
    /// Same seed, same nation.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Allow listening beyond loopback without TLS.
    #[arg(long)]
    pub plain_http: bool,
}

/// Flags of `serve`; each wins over the configuration.
#[derive(Debug, Default, Args)]
pub struct ServeArguments {
    /// Data folder [default: ./bongsu-data].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8470].
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Configuration file (TOML); every key also as `BONGSU_…`.
    #[arg(long, env = "BONGSU_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Allow listening beyond loopback without TLS.
    #[arg(long)]
    pub plain_http: bool,
}

/// Flags of `backup`.
#[derive(Debug, Args)]
pub struct BackupArguments {
    /// New folder to write the backup to.
    #[arg(value_name = "DIR")]
    pub to: PathBuf,
    /// Data folder.
    #[command(flatten)]
    pub data: DataArguments,
}

/// Flags of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// Folder that holds the backup.
    #[arg(value_name = "DIR")]
    pub from: PathBuf,
    /// Data folder.
    #[command(flatten)]
    pub data: DataArguments,
}

/// The data folder an operation works on.
#[derive(Debug, Args)]
pub struct DataArguments {
    /// Data folder.
    #[arg(long, env = "BONGSU_DATA", default_value = "./bongsu-data", value_name = "DIR")]
    pub data: PathBuf,
}
