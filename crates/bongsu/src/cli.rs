//! The command line: every command on one page; their flags are in the files beside.
//!
//! Flow: [`Cli`] is parsed → `main` hands the [`Command`] with its arguments to the module that does it.
//! Invariant: names and defaults follow the contract; a flag wins over its environment variable.
//! Not here: what a command does (a module each).

mod contacts;
mod events;
mod findings;
mod import;
mod members;
mod networks;
mod server;
mod sources;
mod subscribe;
mod words;

pub use contacts::ContactsCommand;
pub use events::{
    ExportArguments, ExportFormat, ExportWhat, FilterArguments, InputFormat, LookupArguments, SearchArguments, StatusArguments, StreamArguments,
    SubmitArguments, WithdrawArguments,
};
pub use findings::FindingsArguments;
pub use import::{External, ImportCommand, ImportOptions};
pub use members::{KeyCommand, OrgCommand};
pub use networks::{NetworkArguments, NetworkCommand, NetworkKind};
pub use server::{BackupArguments, DataArguments, DemoArguments, RestoreArguments, ServeArguments};
pub use sources::{PullArguments, SourcesArguments};
pub use subscribe::{AddArguments, InboxArguments, MessageLanguage, OneArguments, Subject, SubscribeCommand};

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A national hub for sharing cyber threats and responding to them.
#[derive(Debug, Parser)]
#[command(name = "bongsu", version, about, max_term_width = 110, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a hub on generated data: a nation of members, events flowing in.
    Demo(DemoArguments),
    /// Run a hub.
    Serve(ServeArguments),
    /// Send events from files or standard input.
    Submit(SubmitArguments),
    /// Take back an event or a whole batch of one's own.
    Withdraw(WithdrawArguments),
    /// Ask what the hub knows of each value.
    Lookup(LookupArguments),
    /// Search events.
    Search(SearchArguments),
    /// Follow the live stream as NDJSON.
    Stream(StreamArguments),
    /// List what is wrong in one's own networks.
    Findings(FindingsArguments),
    /// Ask to be told of events or findings by inbox, mail or webhook.
    #[command(subcommand)]
    Subscribe(SubscribeCommand),
    /// Read what came to the organisation's inbox.
    Inbox(InboxArguments),
    /// Write products, events, and whole copies of one's own data.
    Export(ExportArguments),
    /// Move in: bring organisations, users, networks, groups and contacts of another system.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Whom to tell of abuse: import a table for those who are no members, list it, see which members' contacts need a look.
    #[command(subcommand)]
    Contacts(ContactsCommand),
    /// Manage organisations.
    #[command(subcommand)]
    Org(OrgCommand),
    /// Manage an organisation's keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Register what belongs to an organisation, so that it is told of what is wrong there: ask, prove, list, decide.
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Have the hub collect its sources now.
    Pull(PullArguments),
    /// Show the hub's sources and how they are doing.
    Sources(SourcesArguments),
    /// Show the hub's state.
    Status(StatusArguments),
    /// Copy a hub's data into a new folder; the hub may be running.
    Backup(BackupArguments),
    /// Put a backup in place of an empty data folder.
    Restore(RestoreArguments),
    /// Check every ledger block and that the views agree with the ledger; exit 1 on damage.
    Verify(DataArguments),
    /// Make the views anew from the ledger.
    Rebuild(DataArguments),
    /// Print the OpenAPI document.
    Openapi,
}

/// How a client command reaches its hub. The key is taken from `--key-file`, else from `BONGSU_KEY`.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// The hub's address.
    #[arg(long, env = "BONGSU_URL", default_value = "http://127.0.0.1:8470", value_name = "URL")]
    pub url: String,
    /// File that holds the key (else: environment variable BONGSU_KEY).
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// PEM file of the authority that signed the hub's certificate, where it is not a public one.
    #[arg(long, env = "BONGSU_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_contracts_command_lines_parse() {
        for line in [
            "bongsu demo --seed 7 --rate 10",
            "bongsu serve --data d --listen 127.0.0.1:0 --plain-http",
            "bongsu submit a.csv.gz - --format csv --tlp amber+strict --category phishing --origin relayed --role victim --dry-run --refused r.txt",
            "bongsu withdraw 65536 --reason mistake --dry-run",
            "bongsu lookup 1.2.3.4 --json",
            "bongsu search --since 7d --until 2026-11-21 --category phishing,c2-server --type ipv4 --sector finance --within 10.0.0.0/8 --domain a.kr --malware X --limit 5 --json",
            "bongsu stream --from 65536 --malware X",
            "bongsu findings --state open,reopened --category infected-system --since 7d --limit 5 --json",
            "bongsu subscribe add night --mail soc@bank.kr --openpgp key.asc --at 09:00,17:00 --business-days --language en --domain bank.kr",
            "bongsu subscribe list --json",
            "bongsu subscribe confirm sub_1 0123-4567-89AB",
            "bongsu subscribe rotate-secret sub_1",
            "bongsu inbox --unread --limit 5",
            "bongsu export --format misp-feed --out feed",
            "bongsu export --format suricata --type ipv4,domain --sector energy --min-confidence 60 --max-age-days 7 --tlp green --out rules",
            "bongsu contacts import abuse.csv --source RIPE --json",
            "bongsu contacts list 203.0.113.7",
            "bongsu contacts queue --state bouncing,due --limit 5",
            "bongsu export directory --out directory.json",
            "bongsu import misp https://misp.example --external partner --domains --keys keys.tsv --dry-run",
            "bongsu import n6 n6.json --kind agency --constituency public --report report.json",
            "bongsu import directory directory.json",
            "bongsu org add Name --kind company --constituency private --sector finance --country KR",
            "bongsu org set org_1 named=true",
            "bongsu key add org_1 --role member-admin --expires 2027-01-01",
            "bongsu key rotate org_1 key_1 --overlap 24h",
            "bongsu org show",
            "bongsu key list",
            "bongsu export events --format ndjson",
            "bongsu org agreement",
            "bongsu org agreement org_1 --max-tlp amber --categories phishing",
            "bongsu network add bank.example",
            "bongsu network add 192.0.2.0/24 --kind cidr --org Bank --protected --reason ours",
            "bongsu network list --all --state pending --json",
            "bongsu network list --state rejected,withdrawn",
            "bongsu network show net_1",
            "bongsu network show AS64500",
            "bongsu network check net_1 --org org_1",
            "bongsu network withdraw net_1 --reason sold",
            "bongsu network approve net_1",
            "bongsu network reject net_1 --reason no",
            "bongsu network prove net_1 --method abuse-mail --reason letter",
            "bongsu export --format suricata-dataset --type sha256",
            "bongsu export --format squid-ip --out squid",
            "bongsu pull --dry-run",
            "bongsu pull urlhaus feodo --accept",
            "bongsu sources urlhaus --json",
            "bongsu backup to --data d",
            "bongsu verify --data d",
        ] {
            if let Err(error) = Cli::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
    }
}
