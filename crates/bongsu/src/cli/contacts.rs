//! Commands on contacts, with their flags.
//!
//! Flow: clap fills these → `client::contacts` sends them.
//! Not here: who may do it (the hub decides).

use super::Connection;
use clap::Subcommand;
use std::path::PathBuf;

/// Commands on contacts.
#[derive(Debug, Subcommand)]
pub enum ContactsCommand {
    /// Import a table of abuse contacts of those who are no members.
    Import {
        /// Table of two columns, an address, range, AS number or domain and a mail address; `-`: standard input. A row without a mail address
        /// takes its contact away. Further columns, a first line of titles and lines that begin with # are passed over.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Where the table is from; shown beside each contact. Default: the file's name.
        #[arg(long, value_name = "TEXT")]
        source: Option<String>,
        /// Print what became of it as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// List abuse contacts of those who are no members.
    List {
        /// Only those that match this address, range, AS number or domain, the innermost first.
        #[arg(value_name = "VALUE")]
        value: Option<String>,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// List members' contacts that somebody has to look after.
    Queue {
        /// In one of these states: bouncing, missing, unverified, due, verified. Default: all but verified.
        #[arg(long, value_delimiter = ',')]
        state: Vec<String>,
        /// Contacts at the most, the most urgent first: 1 to 1000.
        #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
        limit: u64,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
}
