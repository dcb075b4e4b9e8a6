//! The command line: every command, its flags and their words.
//!
//! Invariant: names and defaults follow the contract; a flag wins over its environment variable.
//! Not here: what a command does (a module each).

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a hub listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8470";

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
    /// Ask what the hub knows of each value.
    Lookup(LookupArguments),
    /// Search events.
    Search(SearchArguments),
    /// Follow the live stream as NDJSON.
    Stream(StreamArguments),
    /// Write products and whole copies of one's own data.
    Export(ExportArguments),
    /// Manage organisations.
    #[command(subcommand)]
    Org(OrgCommand),
    /// Manage an organisation's keys.
    #[command(subcommand)]
    Key(KeyCommand),
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

/// Formats that `submit` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// Guess from the content and the file's name.
    Auto,
    /// One JSON object per line, or one JSON array.
    Ndjson,
    /// Columns with a header row.
    Csv,
    /// One value per line.
    List,
    /// A STIX bundle.
    Stix,
    /// MISP events.
    Misp,
}

/// Flags of `submit`.
#[derive(Debug, Args)]
pub struct SubmitArguments {
    /// Files; `-` or none: standard input. .gz, .zst and tar archives are read through.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The format.
    #[arg(long, value_enum, default_value_t = InputFormat::Auto)]
    pub format: InputFormat,
    /// Marking of events that state none: clear, green, amber, amber+strict, red.
    #[arg(long, value_parser = tlp)]
    pub tlp: Option<model::Tlp>,
    /// Category of entries that state none.
    #[arg(long)]
    pub category: Option<String>,
    /// What saw them: sensor, sinkhole, honeypot, darknet, av, ids, waf, manual, relayed.
    #[arg(long, value_parser = origin)]
    pub origin: Option<model::Origin>,
    /// The values' part: attacker, victim, bystander.
    #[arg(long, value_parser = role)]
    pub role: Option<model::Role>,
    /// Check only; nothing is kept.
    #[arg(long)]
    pub dry_run: bool,
    /// Write each refused line here as `file:line: reason`.
    #[arg(long, value_name = "FILE")]
    pub refused: Option<PathBuf>,
    /// How the hub is reached.
    #[command(flatten)]
    pub connection: Connection,
}

/// Conditions on events; all must hold.
#[derive(Debug, Clone, Default, Args)]
pub struct FilterArguments {
    /// Seen at or after: a time, a date, or an age such as `24h` or `7d`.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<model::Timestamp>,
    /// Seen before.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<model::Timestamp>,
    /// One of these categories.
    #[arg(long, value_delimiter = ',')]
    pub category: Vec<String>,
    /// Has a value of one of these types.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub kind: Vec<String>,
    /// One of these sectors.
    #[arg(long, value_delimiter = ',')]
    pub sector: Vec<String>,
    /// Has an address inside this range.
    #[arg(long, value_name = "CIDR")]
    pub within: Option<String>,
    /// Has this domain or one below it.
    #[arg(long, value_name = "SUFFIX")]
    pub domain: Option<String>,
    /// Malware name.
    #[arg(long, value_name = "NAME")]
    pub malware: Option<String>,
}

/// Flags of `lookup`.
#[derive(Debug, Args)]
pub struct LookupArguments {
    /// Values of any type; `-` or none: one per line from standard input.
    #[arg(value_name = "VALUE")]
    pub values: Vec<String>,
    /// One JSON answer (or `null`) per line, in the order asked.
    #[arg(long)]
    pub json: bool,
    /// How the hub is reached.
    #[command(flatten)]
    pub connection: Connection,
}

/// Flags of `search`.
#[derive(Debug, Args)]
pub struct SearchArguments {
    /// The filter.
    #[command(flatten)]
    pub filter: FilterArguments,
    /// Own events only.
    #[arg(long)]
    pub mine: bool,
    /// Events at the most.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: u64,
    /// One JSON event per line.
    #[arg(long)]
    pub json: bool,
    /// How the hub is reached.
    #[command(flatten)]
    pub connection: Connection,
}

/// Flags of `stream`.
#[derive(Debug, Args)]
pub struct StreamArguments {
    /// First sequence number wanted (inclusive); default: what comes from now on.
    #[arg(long, value_name = "SEQ")]
    pub from: Option<u64>,
    /// Stop after so many events.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// The filter.
    #[command(flatten)]
    pub filter: FilterArguments,
    /// How the hub is reached.
    #[command(flatten)]
    pub connection: Connection,
}

/// Formats that `export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Distinct active values worth detecting, one per line.
    List,
    /// One row per value of an event.
    Csv,
    /// Events as they are answered, one per line.
    Ndjson,
    /// A STIX bundle; not in this release.
    Stix,
    /// A MISP feed; not in this release.
    MispFeed,
    /// Suricata rules; not in this release.
    Suricata,
    /// A response policy zone; not in this release.
    Rpz,
    /// A hosts file; not in this release.
    Hosts,
    /// A Zeek intelligence file; not in this release.
    Zeek,
}

/// Flags of `export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The format [default: list; with --mine: ndjson].
    #[arg(long, value_enum)]
    pub format: Option<ExportFormat>,
    /// File, or an existing folder to put it in; `-`: standard output.
    #[arg(long, value_name = "FILE_OR_DIR", default_value = "-")]
    pub out: PathBuf,
    /// Own events only, whole.
    #[arg(long)]
    pub mine: bool,
    /// The filter.
    #[command(flatten)]
    pub filter: FilterArguments,
    /// How the hub is reached.
    #[command(flatten)]
    pub connection: Connection,
}

/// Flags of `status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// The answer as JSON.
    #[arg(long)]
    pub json: bool,
    /// How the hub is reached.
    #[command(flatten)]
    pub connection: Connection,
}

/// Commands on organisations.
#[derive(Debug, Subcommand)]
pub enum OrgCommand {
    /// Add an organisation; prints its id alone.
    Add {
        /// Its name.
        name: String,
        /// What it is: company, agency, authority, cert, vendor, partner.
        #[arg(long, value_parser = org_kind)]
        kind: model::OrgKind,
        /// Its line: private, public, defence. Ignored for a partner.
        #[arg(long, value_parser = constituency)]
        constituency: Option<model::Constituency>,
        /// Its sector.
        #[arg(long)]
        sector: Option<String>,
        /// Two-letter country code.
        #[arg(long, value_name = "CC")]
        country: Option<String>,
        /// Print the whole answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// List organisations.
    List {
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// Show one organisation.
    Show {
        /// Its id.
        id: String,
        /// The answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// Change fields of an organisation.
    Set {
        /// Its id.
        id: String,
        /// Changes, for example `named=true` or `sector=finance`; values are JSON, or plain text.
        #[arg(required = true, value_name = "FIELD=VALUE")]
        changes: Vec<String>,
        /// Why; kept in the history.
        #[arg(long, default_value = "changed from the command line")]
        reason: String,
        /// The answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
}

/// Commands on keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key; prints it alone, once.
    Add {
        /// The organisation's id.
        org: String,
        /// What it may do: coordinator, authority, member-admin, analyst, reporter, reader, auditor.
        #[arg(long, value_parser = key_role)]
        role: model::KeyRole,
        /// Until when it is valid: a date, a time, or a length such as `90d` from now.
        #[arg(long, value_name = "DATE", value_parser = deadline)]
        expires: Option<model::Timestamp>,
        /// Ranges it may be used from.
        #[arg(long, value_name = "CIDR", value_delimiter = ',')]
        allow: Vec<String>,
        /// It is a person's, cleared for red.
        #[arg(long)]
        red: bool,
        /// Print the whole answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// List an organisation's keys.
    List {
        /// The organisation's id.
        org: String,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// Replace a key; the old one stays valid for the overlap. Prints the new key alone, once.
    Rotate {
        /// The organisation's id.
        org: String,
        /// The key's id.
        key: String,
        /// How long the old key stays valid, for example `24h`; the hub's default where not given.
        #[arg(long, value_parser = seconds)]
        overlap: Option<u64>,
        /// Print the whole answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// End a key at once.
    Revoke {
        /// The organisation's id.
        org: String,
        /// The key's id.
        key: String,
        /// Why; kept in the history.
        #[arg(long, default_value = "revoked from the command line")]
        reason: String,
        /// The answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
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

/// Defines a parser of a wire word that names the legal ones when it fails.
macro_rules! word_parser {
    ($($name:ident => $type:ty),+ $(,)?) => {
        $(fn $name(text: &str) -> Result<$type, String> {
            <$type>::parse(text).ok_or_else(|| {
                let legal: Vec<&str> = <$type>::ALL.iter().map(|word| word.as_str()).collect();
                format!("unknown {}; one of {}", <$type>::WHAT, legal.join(", "))
            })
        })+
    };
}

word_parser! {
    tlp => model::Tlp,
    origin => model::Origin,
    role => model::Role,
    org_kind => model::OrgKind,
    constituency => model::Constituency,
    key_role => model::KeyRole,
}

/// Parses a time, a date, or an age before now.
fn moment(text: &str) -> Result<model::Timestamp, String> {
    if let Some(age) = length(text) {
        return Ok(hub::clock::Clock::system().now().minus(age));
    }
    model::Timestamp::parse(text).map_err(|error| format!("{error}; expected 2026-11-21, 2026-11-21T19:26:00Z or an age such as 24h, 7d"))
}

/// Parses a time, a date, or a length of time from now.
fn deadline(text: &str) -> Result<model::Timestamp, String> {
    if let Some(length) = length(text) {
        return Ok(hub::clock::Clock::system().now().plus(length));
    }
    model::Timestamp::parse(text).map_err(|error| format!("{error}; expected 2027-11-21, 2027-11-21T19:26:00Z or a length such as 24h, 90d"))
}

/// A length of time with its unit; without one the text is a time.
fn length(text: &str) -> Option<std::time::Duration> {
    text.ends_with(|last: char| last.is_ascii_alphabetic()).then(|| seconds(text).ok()).flatten().map(std::time::Duration::from_secs)
}

/// Parses a length of time: a number of seconds, or a number with s, m, h, d or w.
fn seconds(text: &str) -> Result<u64, String> {
    let expected = || "expected a number followed by s, m, h, d or w".to_owned();
    let (digits, unit) = match text.char_indices().next_back() {
        Some((place, 's')) => (text.get(..place), 1),
        Some((place, 'm')) => (text.get(..place), 60),
        Some((place, 'h')) => (text.get(..place), 3600),
        Some((place, 'd')) => (text.get(..place), 86_400),
        Some((place, 'w')) => (text.get(..place), 604_800),
        _ => (Some(text), 1),
    };
    let number: u64 = digits.ok_or_else(expected)?.parse().map_err(|_| expected())?;
    number.checked_mul(unit).ok_or_else(expected)
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
            "bongsu lookup 1.2.3.4 --json",
            "bongsu search --since 7d --until 2026-11-21 --category phishing,c2-server --type ipv4 --sector finance --within 10.0.0.0/8 --domain a.kr --malware X --limit 5 --json",
            "bongsu stream --from 65536 --malware X",
            "bongsu export --format misp-feed --out feed",
            "bongsu org add Name --kind company --constituency private --sector finance --country KR",
            "bongsu org set org_1 named=true",
            "bongsu key add org_1 --role member-admin --expires 2027-01-01",
            "bongsu key rotate org_1 key_1 --overlap 24h",
            "bongsu backup to --data d",
            "bongsu verify --data d",
        ] {
            if let Err(error) = Cli::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn an_unknown_word_names_the_legal_ones() {
        assert!(tlp("purple").unwrap_err().contains("amber+strict"));
    }

    #[test]
    fn a_length_lies_behind_in_a_filter_and_ahead_in_a_deadline() {
        let now = hub::clock::Clock::system().now();
        assert!(moment("1d").unwrap() < now && deadline("1d").unwrap() > now);
        assert_eq!(moment("2026-11-21"), deadline("2026-11-21"));
    }

    #[test]
    fn lengths_of_time_have_units() {
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("2h"), Ok(7200));
        assert_eq!(seconds("1w"), Ok(604_800));
        assert!(seconds("h").is_err());
        assert!(seconds("5y").is_err());
        assert!(seconds("").is_err());
    }
}
