//! Products as files: fetched from the hub under `/feeds/`, as firewalls and sensors fetch them.
//!
//! Flow: format → name under `/feeds/` and parameters → bytes as they come, into a new file that takes the old one's place when it is whole.
//! Invariant: the bytes are the hub's; so is the decision what is in them.
//! Not here: a MISP feed, which is a folder of files (`super::misp_feed`).

use super::deliver;
use crate::cli::{ExportArguments, ExportFormat};
use crate::client::{Answer, Api};
use crate::output::ToHub;
use crate::{Exit, output};
use anyhow::{Context, bail};
use formats::products::Product;
use model::ObservableType;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// How long the hub may take to have a product ready, as after a start.
const PATIENCE: Duration = Duration::from_secs(300);
/// Wait until it is asked again, where it does not say.
const PAUSE: Duration = Duration::from_secs(2);
/// The same, whatever it says.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Fetches a product.
pub fn run(api: &Api, arguments: &ExportArguments, format: ExportFormat) -> anyhow::Result<Exit> {
    let (name, parameters) = asked(arguments, format)?;
    let path = format!("/feeds/{name}");
    deliver(&arguments.out, file_name(format, &name), "bytes", |out| {
        let body = wait(|| api.open(&path, &parameters, &[]))?;
        copy(body, out)
    })
}

/// Asks until the hub is ready; anything else that it refuses is an error.
pub(super) fn wait<T>(ask: impl Fn() -> anyhow::Result<Result<T, Answer>>) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        match ask()? {
            Ok(answer) => return Ok(answer),
            Err(answer) if answer.status == 503 && began.elapsed() < PATIENCE => {
                let pause = answer.retry_after.map_or(PAUSE, Duration::from_secs);
                output::note(&format!("the hub is not ready to give this yet; asked again in {} s", pause.min(LONGEST_PAUSE).as_secs()));
                std::thread::sleep(pause.min(LONGEST_PAUSE));
            }
            Err(answer) => return Err(answer.problem()),
        }
    }
}

/// Copies a body; what breaks off is an error of the connection and not of the file.
fn copy(mut body: Box<dyn Read>, out: &mut dyn Write) -> anyhow::Result<u64> {
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = 0;
    loop {
        let read = body.read(&mut buffer).context(ToHub)?;
        if read == 0 {
            return Ok(bytes);
        }
        out.write_all(buffer.get(..read).unwrap_or_default())?;
        bytes += read as u64;
    }
}

/// The product's name and parameters.
fn asked(arguments: &ExportArguments, format: ExportFormat) -> anyhow::Result<(String, Vec<(&'static str, String)>)> {
    let filter = &arguments.filter;
    let of_events = [
        ("--since", filter.since.is_some()),
        ("--until", filter.until.is_some()),
        ("--category", !filter.category.is_empty()),
        ("--within", filter.within.is_some()),
        ("--domain", filter.domain.is_some()),
        ("--malware", filter.malware.is_some()),
    ];
    if let Some((flag, _)) = of_events.iter().find(|(_, given)| *given) {
        bail!(
            "{flag} chooses events, and a product is made of indicators: choose by --type, --sector, --min-confidence, --max-age-days and --tlp, or take events with --format ndjson"
        );
    }
    let one = match filter.kind.as_slice() {
        [kind] => ObservableType::parse(kind),
        _ => None,
    };
    // The list of one type holds what does not tell its type by itself, too.
    let only = one.filter(|_| matches!(format, ExportFormat::List | ExportFormat::SuricataDataset));
    let name = match (format, only) {
        (ExportFormat::SuricataDataset, kind) => dataset(kind)?,
        (_, Some(kind)) => format!("{kind}.txt"),
        (_, None) => product(format).to_owned(),
    };
    let joined = |words: &[String]| (!words.is_empty()).then(|| words.join(","));
    let parameters = [
        ("tlp", arguments.tlp.map(|tlp| tlp.as_str().to_owned())),
        ("type", joined(&filter.kind).filter(|_| only.is_none())),
        ("sector", joined(&filter.sector)),
        ("min_confidence", arguments.min_confidence.map(|least| least.to_string())),
        ("max_age_days", arguments.max_age_days.map(|most| most.to_string())),
    ];
    Ok((name, parameters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()))
}

/// The name of the data set of a type.
fn dataset(kind: Option<ObservableType>) -> anyhow::Result<String> {
    let all = Product::all().into_iter().filter_map(|product| if let Product::Dataset(kind) = product { Some(kind) } else { None });
    let all: Vec<ObservableType> = all.collect();
    match kind.filter(|kind| all.contains(kind)) {
        Some(kind) => Ok(Product::Dataset(kind).name()),
        None => {
            let words: Vec<&str> = all.iter().map(|kind| kind.as_str()).collect();
            bail!("a data set is of one type: give --type with one of {}", words.join(", "))
        }
    }
}

/// The name under `/feeds/`.
fn product(format: ExportFormat) -> &'static str {
    match format {
        ExportFormat::List => "list.txt",
        ExportFormat::Csv => "csv",
        ExportFormat::Stix => "stix",
        ExportFormat::Suricata => "suricata.rules",
        ExportFormat::Rpz => "rpz.zone",
        ExportFormat::Hosts => "hosts",
        ExportFormat::Zeek => "zeek.intel",
        ExportFormat::Snort => "snort.rules",
        ExportFormat::Squid => "squid.acl",
        ExportFormat::SquidIp => "squid-ip.acl",
        ExportFormat::Pf => "pf.table",
        ExportFormat::Nft => "nft",
        // None of them comes here: a data set is named by its type.
        ExportFormat::Ndjson | ExportFormat::MispFeed | ExportFormat::SuricataDataset => "",
    }
}

/// What the file of a product is called in a folder.
fn file_name(format: ExportFormat, product_name: &str) -> &str {
    match format {
        ExportFormat::Csv => "indicators.csv",
        ExportFormat::Stix => "bundle.json",
        ExportFormat::SuricataDataset => product_name,
        other => product(other),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::{Parser, ValueEnum};

    fn asked_by(line: &str) -> anyhow::Result<(String, Vec<(&'static str, String)>)> {
        let Command::Export(arguments) = Cli::try_parse_from(["bongsu", "export"].into_iter().chain(line.split_whitespace()))?.command else {
            panic!("no export: {line}")
        };
        asked(&arguments, arguments.format.unwrap_or(ExportFormat::List))
    }

    #[test]
    fn a_format_is_a_product_with_the_filters_as_its_parameters() {
        for (line, name, parameters) in [
            ("", "list.txt", vec![]),
            ("--format hosts", "hosts", vec![]),
            ("--format snort", "snort.rules", vec![]),
            ("--format squid --sector energy", "squid.acl", vec![("sector", "energy")]),
            ("--format squid-ip", "squid-ip.acl", vec![]),
            ("--format pf --type ipv4", "pf.table", vec![("type", "ipv4")]),
            ("--format nft", "nft", vec![]),
            ("--format suricata-dataset --type sha256", "suricata-sha256.lst", vec![]),
            ("--format list --type fqdn", "domain.txt", vec![]),
            ("--format list --type ipv4,cidr", "list.txt", vec![("type", "ipv4,cidr")]),
            (
                "--format csv --type ipv4 --sector energy,water --min-confidence 60 --max-age-days 7 --tlp green",
                "csv",
                vec![("tlp", "green"), ("type", "ipv4"), ("sector", "energy,water"), ("min_confidence", "60"), ("max_age_days", "7")],
            ),
        ] {
            let expected: Vec<(&str, String)> = parameters.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
            assert_eq!(asked_by(line).unwrap(), (name.to_owned(), expected), "{line}");
        }
    }

    #[test]
    fn every_product_under_feeds_can_be_exported() {
        let mut missing: Vec<String> = Product::all().into_iter().map(Product::name).collect();
        for format in ExportFormat::value_variants() {
            missing.retain(|name| name != product(*format));
        }
        for kind in ObservableType::ALL {
            for line in [format!("--type {kind}"), format!("--format suricata-dataset --type {kind}")] {
                if let Ok((name, _)) = asked_by(&line) {
                    missing.retain(|missing| *missing != name);
                }
            }
        }
        assert!(missing.is_empty(), "{missing:?}");
        for line in ["--format suricata-dataset", "--format suricata-dataset --type email", "--format suricata-dataset --type ipv4,ipv6"] {
            assert!(asked_by(line).unwrap_err().to_string().contains("user-agent"), "{line}");
        }
    }

    #[test]
    fn a_condition_on_events_is_refused_with_its_name_and_a_wrong_number_at_once() {
        for (line, named) in [("--since 7d", "--since"), ("--format stix --malware X", "--malware"), ("--format rpz --within 10.0.0.0/8", "--within")] {
            let error = asked_by(line).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("ndjson"), "{error}");
        }
        for line in ["--min-confidence 101", "--max-age-days 0", "--tlp purple"] {
            assert!(asked_by(line).is_err(), "{line}");
        }
    }
}
