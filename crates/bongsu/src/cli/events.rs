//! Flags of the client commands on events and values: `submit`, `withdraw`, `lookup`, `search`, `stream`, `export`, and `status` beside them.
//!
//! Flow: clap fills these structures → a module of `client` each takes one.
//! Invariant: every command that filters flattens [`FilterArguments`], so that a filter is spelled alike everywhere.
//! Not here: what the filter means (`model::filter`), how it is sent (`client::query`).

use super::Connection;
use super::words::{moment, origin, role, tlp};
use clap::{Args, ValueEnum};
use formats::products::Product;
use std::path::PathBuf;

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
    /// Category of entries that state none, such as phishing or c2-server; docs/formats.md lists all.
    #[arg(long)]
    pub category: Option<String>,
    /// What saw them: sensor, sinkhole, honeypot, darknet, av, ids, waf, manual, relayed.
    #[arg(long, value_parser = origin)]
    pub origin: Option<model::Origin>,
    /// The values' part: attacker, victim, bystander.
    #[arg(long, value_parser = role)]
    pub role: Option<model::Role>,
    /// Send as this organisation, for which the key's own one acts.
    #[arg(long, value_name = "ORG")]
    pub on_behalf_of: Option<model::OrgId>,
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

/// Flags of `withdraw`.
#[derive(Debug, Args)]
pub struct WithdrawArguments {
    /// An event's sequence number, or the receipt of a batch.
    #[arg(value_name = "SEQ|RECEIPT")]
    pub what: String,
    /// Why; kept with the withdrawal.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Say how many it would be; nothing is changed.
    #[arg(long)]
    pub dry_run: bool,
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
    /// One of these categories, separated by commas, such as phishing or c2-server; docs/formats.md lists all.
    #[arg(long, value_delimiter = ',')]
    pub category: Vec<String>,
    /// Has a value of one of these types, separated by commas, such as ipv4, domain, url or sha256; docs/formats.md lists all.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub kind: Vec<String>,
    /// One of these sectors, separated by commas, such as finance or energy; docs/configuration.md lists the usual ones.
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
    /// Has this value, of whatever type; in canonical form or not.
    #[arg(long)]
    pub value: Option<String>,
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
    /// Active values worth blocking, one per line.
    List,
    /// One row per indicator; with --mine: one row per value of an event.
    Csv,
    /// Events as they are answered, one per line.
    Ndjson,
    /// A STIX 2.1 bundle.
    Stix,
    /// A MISP feed, into a folder.
    MispFeed,
    /// Suricata rules.
    Suricata,
    /// A data set for Suricata, of the one type that --type names.
    SuricataDataset,
    /// Snort 3 rules.
    Snort,
    /// A response policy zone.
    Rpz,
    /// A hosts file.
    Hosts,
    /// A Zeek intelligence file.
    Zeek,
    /// Names for Squid's dstdomain.
    Squid,
    /// Addresses and ranges for Squid's dst.
    SquidIp,
    /// A table file for pf.
    Pf,
    /// Sets for nftables.
    Nft,
}

/// What `export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportWhat {
    /// The product that the format names; or events, where the format or `--mine` asks for them.
    Products,
    /// The same, by a word that promises events.
    Events,
    /// Who is who: organisations, networks, contacts, groups and who has a key, without secrets; `import directory` reads it.
    Directory,
}

/// Parses what `export` writes. Who gives a product's name here is told which flags choose it.
fn export_what(text: &str) -> Result<ExportWhat, String> {
    match text {
        "products" => Ok(ExportWhat::Products),
        "events" => Ok(ExportWhat::Events),
        "directory" => Ok(ExportWhat::Directory),
        other => Err(match flags_of(other) {
            Some(flags) => format!("a product is chosen by its format: bongsu export {flags}"),
            None => "expected products, events or directory; a product is chosen by its format, such as --format list".to_owned(),
        }),
    }
}

/// The flags that choose the product of this name; names are those of `/feeds/`, of formats and of types.
fn flags_of(name: &str) -> Option<String> {
    if let Ok(format) = ExportFormat::from_str(name, true) {
        return format.to_possible_value().map(|word| format!("--format {}", word.get_name()));
    }
    let product = Product::parse(name).or_else(|| model::ObservableType::parse(name).map(|kind| Product::List(Some(kind))))?;
    Some(match product {
        Product::List(None) => "--format list".to_owned(),
        Product::List(Some(kind)) => format!("--format list --type {kind}"),
        Product::Dataset(kind) => format!("--format suricata-dataset --type {kind}"),
        Product::Csv => "--format csv".to_owned(),
        Product::Stix => "--format stix".to_owned(),
        Product::SuricataRules => "--format suricata".to_owned(),
        Product::SnortRules => "--format snort".to_owned(),
        Product::ZeekIntel => "--format zeek".to_owned(),
        Product::RpzZone => "--format rpz".to_owned(),
        Product::Hosts => "--format hosts".to_owned(),
        Product::SquidDomains => "--format squid".to_owned(),
        Product::SquidAddresses => "--format squid-ip".to_owned(),
        Product::PfTable => "--format pf".to_owned(),
        Product::NftSets => "--format nft".to_owned(),
    })
}

/// Flags of `export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// `products`: the product that --format names, made of what all report; events themselves with --format ndjson or --mine (`events` is another
    /// word for all of this). `directory`: who is who, without secrets, as `import directory` reads it.
    #[arg(value_parser = export_what, default_value = "products")]
    pub what: ExportWhat,
    /// The format, which names the product [default: list, values worth blocking; with --mine: ndjson].
    #[arg(long, value_enum)]
    pub format: Option<ExportFormat>,
    /// File, or an existing folder to put it in; `-`: standard output.
    #[arg(long, value_name = "FILE_OR_DIR", default_value = "-")]
    pub out: PathBuf,
    /// Own events only, whole; formats: list, csv, ndjson.
    #[arg(long)]
    pub mine: bool,
    /// Of a product: nothing stricter than this marking, clear, green or amber [default: as strict as the key may have].
    #[arg(long, value_parser = tlp)]
    pub tlp: Option<model::Tlp>,
    /// Of a product: confidence at the least, 0 to 100.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub min_confidence: Option<u8>,
    /// Of a product: seen in so many days at the most.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3_650))]
    pub max_age_days: Option<u16>,
    /// The filter; products know --type and --sector of it, events all.
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_products_name_in_the_place_of_what_is_written_is_answered_with_its_flags() {
        assert_eq!(export_what("products"), Ok(ExportWhat::Products));
        assert_eq!(export_what("events"), Ok(ExportWhat::Events));
        assert_eq!(export_what("directory"), Ok(ExportWhat::Directory));
        for (name, flags) in [
            ("list", "--format list"),
            ("list.txt", "--format list"),
            ("domain.txt", "--format list --type domain"),
            ("domain", "--format list --type domain"),
            ("suricata-sha256.lst", "--format suricata-dataset --type sha256"),
            ("misp-feed", "--format misp-feed"),
            ("pf.table", "--format pf"),
        ] {
            assert!(export_what(name).unwrap_err().ends_with(&format!("bongsu export {flags}")), "{name}");
        }
        assert!(export_what("everything").unwrap_err().starts_with("expected products"));
        for product in Product::all() {
            assert!(flags_of(&product.name()).is_some(), "{}", product.name());
        }
    }
}
