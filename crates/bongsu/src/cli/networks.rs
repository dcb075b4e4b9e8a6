//! Commands on registrations of networks, with their flags.
//!
//! Flow: clap fills these → `client::networks` sends them.
//! Invariant: what a script needs of a registration, its id, is printed alone on standard output unless `--json` is given.
//! Not here: who may do it, what counts (the hub decides).

use super::Connection;
use clap::{Args, Subcommand, ValueEnum};

/// What can be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NetworkKind {
    /// An address or a range of addresses.
    Cidr,
    /// A domain with everything below it.
    Domain,
    /// An AS number.
    Asn,
    /// A place on the web with everything below it.
    Url,
}

/// How the coordinator was shown that a registration is its organisation's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProofMethod {
    /// The text stood in DNS.
    DnsTxt,
    /// A reply from the registered abuse address quoted the text.
    AbuseMail,
    /// By other means, which the reason names.
    Operator,
}

/// Flags of what is done with one registration.
#[derive(Debug, Args)]
pub struct NetworkArguments {
    /// Its id, or what it registers: the range, domain, AS number or URL.
    #[arg(value_name = "NETWORK")]
    pub id: String,
    /// Whose it is. Default: the key's own organisation, else it is looked for among all that the key may know.
    #[arg(long, value_name = "ORG|NAME")]
    pub org: Option<String>,
    /// The answer as JSON.
    #[arg(long)]
    pub json: bool,
    /// How the hub is reached.
    #[command(flatten)]
    pub connection: Connection,
}

/// Commands on registrations of networks: what belongs to an organisation, so that it is told of what is wrong there.
#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Register addresses, a domain, an AS number or a place on the web; prints its id alone, and beside it what is left to do.
    Add {
        /// An address, a range such as 192.0.2.0/24, a domain, an AS number such as AS64500, or the beginning of a URL.
        value: String,
        /// What it is [default: told from the value].
        #[arg(long, value_enum)]
        kind: Option<NetworkKind>,
        /// Whose it is [default: the key's own organisation].
        #[arg(long, value_name = "ORG|NAME")]
        org: Option<String>,
        /// Its systems may not be blocked by anybody's rules: it is kept out of every product.
        #[arg(long)]
        protected: bool,
        /// Why; needed where another organisation holds it, or a part of it, already.
        #[arg(long)]
        reason: Option<String>,
        /// Print the whole answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// List registrations: whether they are approved, proven and in force.
    List {
        /// Whose [default: the key's own organisation].
        #[arg(long, value_name = "ORG|NAME", conflicts_with = "all")]
        org: Option<String>,
        /// Of every organisation that the key may know; for who decides on them.
        #[arg(long)]
        all: bool,
        /// In this state: pending (waits for approval), approved, rejected, withdrawn [default: pending,approved].
        #[arg(long, value_delimiter = ',', value_parser = ["pending", "approved", "rejected", "withdrawn"])]
        state: Vec<String>,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// Show one registration, and what is left to do until it is in force.
    Show(NetworkArguments),
    /// Have the hub look whether the proof stands in DNS; exit 1 where it does not.
    Check(NetworkArguments),
    /// End a registration.
    Withdraw {
        /// Which one.
        #[command(flatten)]
        network: NetworkArguments,
        /// Why; kept in the history.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Approve a pending registration: for the coordinator and the organisation's authority.
    Approve {
        /// Which one.
        #[command(flatten)]
        network: NetworkArguments,
        /// Why; kept in the history.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Reject a pending registration: for the coordinator and the organisation's authority.
    Reject {
        /// Which one.
        #[command(flatten)]
        network: NetworkArguments,
        /// Why; the organisation reads it.
        #[arg(long)]
        reason: String,
    },
    /// Confirm that a registration was shown to be its organisation's: for the coordinator.
    Prove {
        /// Which one.
        #[command(flatten)]
        network: NetworkArguments,
        /// How it was shown.
        #[arg(long, value_enum)]
        method: ProofMethod,
        /// What was seen; kept in the history.
        #[arg(long)]
        reason: String,
    },
}
