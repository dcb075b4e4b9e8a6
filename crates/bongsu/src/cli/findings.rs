//! Flags of `findings`.
//!
//! Not here: who sees which finding (the hub decides).

use super::Connection;
use super::words::moment;
use clap::Args;

/// Flags of `findings`.
#[derive(Debug, Args)]
pub struct FindingsArguments {
    /// In one of these states: open, acknowledged, fixed, verified, reopened, not_mine, false_positive, accepted_risk, closed.
    #[arg(long, value_delimiter = ',')]
    pub state: Vec<String>,
    /// One of these categories, separated by commas, such as phishing or infected-system; docs/formats.md lists all.
    #[arg(long, value_delimiter = ',')]
    pub category: Vec<String>,
    /// Seen at or after: a time, a date, or an age such as `24h` or `7d`.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<model::Timestamp>,
    /// Of this organisation's networks.
    #[arg(long, value_name = "ORG")]
    pub owner: Option<model::OrgId>,
    /// Findings at the most.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: u64,
    /// One JSON finding per line.
    #[arg(long)]
    pub json: bool,
    /// How the hub is reached.
    #[command(flatten)]
    pub connection: Connection,
}
