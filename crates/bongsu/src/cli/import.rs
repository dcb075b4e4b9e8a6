//! Flags of `import`.
//!
//! Flow: clap fills these → `client::import` reads the other system and writes into the hub.
//! Not here: what is taken (`client::import`), the shapes that are read (`docs/moving-in.md`).

use super::Connection;
use super::words::{constituency, org_kind};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Systems that are moved in from.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Bring organisations, users and sharing groups of a MISP.
    Misp {
        /// The MISP's address, or files (or a folder of files) that hold its answers to /organisations, /admin/users and /sharing_groups.
        #[arg(required = true, value_name = "URL|FILE")]
        from: Vec<String>,
        /// File that holds a site administrator's key of the MISP (else: environment variable `MISP_KEY`).
        #[arg(long, value_name = "FILE")]
        misp_key_file: Option<PathBuf>,
        /// PEM file of the authority that signed the MISP's certificate, where it is not a public one.
        #[arg(long, value_name = "FILE")]
        misp_ca: Option<PathBuf>,
        /// Send the key over plain http to another machine all the same.
        #[arg(long)]
        insecure: bool,
        /// What becomes of organisations that the MISP knows only by what they published.
        #[arg(long, value_enum, default_value_t = External::Skip)]
        external: External,
        /// Register the domains that restrict the mail addresses of accounts; the key's holder answers for them.
        #[arg(long)]
        domains: bool,
        /// How it is done.
        #[command(flatten)]
        options: ImportOptions,
    },
    /// Bring organisations, networks, contacts, users and groups of an n6.
    N6 {
        /// A JSON file of its administrative data.
        file: PathBuf,
        /// How it is done.
        #[command(flatten)]
        options: ImportOptions,
    },
    /// Bring the directory of another hub, as `bongsu export directory` wrote it.
    Directory {
        /// The file.
        file: PathBuf,
        /// How it is done.
        #[command(flatten)]
        options: ImportOptions,
    },
}

/// What becomes of organisations without accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum External {
    /// They are named in the report and left out.
    Skip,
    /// They become partners.
    Partner,
}

/// Flags of every import.
#[derive(Debug, Args)]
pub struct ImportOptions {
    /// What organisations are where the other system does not say: company, agency, authority, cert, vendor, partner.
    #[arg(long, value_parser = org_kind, default_value = "company")]
    pub kind: model::OrgKind,
    /// Their line: private, public, defence.
    #[arg(long, value_parser = constituency, default_value = "private")]
    pub constituency: model::Constituency,
    /// Make a key for each user that has none and append it to this file, mode 0600.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Why; kept in the history, and needed for networks that another organisation holds or that are very wide.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Write what was done and what not to this file, as JSON; where it is there from an earlier run, organisations are found by it.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// How the hub is reached.
    #[command(flatten)]
    pub connection: Connection,
}
