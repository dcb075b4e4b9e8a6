//! Benchmarks: a hub of its own for each, fed over HTTP from this process, on the same machine.
//!
//! Flow: [`run`] builds the release → each bench starts a hub on a fresh folder → rows of figures, goals and their ratios.
//! Invariant: the load is the same for the same arguments (`load`); acknowledged means durable and applied, so that is what is timed.
//! Not here: events and the HTTP client (`load`), starting and killing hubs (`process`), the benches without a hub (`settled`, `owners`).

mod bulk;
mod bulk_lookup;
mod feed;
mod lookup;
mod owners;
mod process;
mod products;
mod rebuild;
mod restart;
mod search;
mod settled;
mod size;
mod small;
mod stream;
mod subscribers;
mod taxii;

use clap::{Args, ValueEnum};

/// Which to run, and how much.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// One benchmark; default: all.
    #[arg(value_enum)]
    name: Option<Name>,
    /// Events to fill a hub with; of `settled`: rows to settle, 24,000,000 where nothing is said.
    #[arg(long, default_value_t = 4_000_000, default_value_if("name", "settled", "24000000"))]
    events: u64,
    /// Of `taxii`: STIX objects posted.
    #[arg(long, default_value_t = 1_000_000)]
    objects: u64,
    /// Events a request.
    #[arg(long, default_value_t = 20_000)]
    batch: u64,
    /// Connections that send.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Memory for the hub's views.
    #[arg(long, default_value = "2 GiB")]
    memory: String,
    /// Seconds of a paced run.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Of `settled`: one tier alone, in this process, its figures as JSON.
    #[arg(long, value_enum)]
    tier: Option<settled::Tier>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Events a second in large requests.
    Bulk,
    /// 64 senders of 100 events a request.
    Small,
    /// One value, idle and under load.
    Lookup,
    /// 10,000 values at once.
    BulkLookup,
    /// Every filter over the last week.
    Search,
    /// 100 subscribers at 10,000 events a second.
    Stream,
    /// 1,000 subscribers with different filters at 5,000 events a second.
    Subscribers,
    /// A list of a million addresses.
    Products,
    /// A million STIX objects posted, pages of them, and pages of indicators made from events.
    Taxii,
    /// From kill -9 under load to ready.
    Restart,
    /// All views anew from the ledger.
    Rebuild,
    /// Disk and memory.
    Size,
    /// The owners of an event among a million prefixes; not with the others, for the hub's table has to be compiled into this program first.
    Owners,
    /// The settled tier beside another engine; never run with the others, for that engine has to be compiled first.
    Settled,
}

/// Runs one benchmark or all that measure a hub.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.name == Some(Name::Settled) {
        return settled::run(arguments);
    }
    if arguments.name == Some(Name::Owners) {
        return owners::run(arguments);
    }
    process::build()?;
    header();
    let names = arguments.name.map_or_else(|| Name::value_variants().to_vec(), |name| vec![name]);
    for name in names {
        match name {
            Name::Bulk => bulk::run(arguments)?,
            Name::Small => small::run(arguments)?,
            Name::Lookup => lookup::run(arguments)?,
            Name::BulkLookup => bulk_lookup::run(arguments)?,
            Name::Search => search::run(arguments)?,
            Name::Stream => stream::run(arguments)?,
            Name::Subscribers => subscribers::run(arguments)?,
            Name::Products => products::run(arguments)?,
            Name::Taxii => taxii::run(arguments)?,
            Name::Restart => restart::run(arguments)?,
            Name::Rebuild => rebuild::run(arguments)?,
            Name::Size => size::run(arguments)?,
            // These measure no hub: see above.
            Name::Settled | Name::Owners => {}
        }
    }
    Ok(())
}

/// What a figure is held against. The ratio is above 1 where the goal is met.
#[derive(Debug, Clone, Copy)]
enum Goal {
    AtLeast(f64),
    AtMost(f64),
    None,
}

/// Prints what stands above the rows.
fn header() {
    println!("| bench | figure | measured | goal | ratio |");
    println!("|---|---|---|---|---|");
}

/// Prints one row.
fn row(bench: &str, figure: &str, measured: f64, unit: &str, goal: Goal) {
    let (words, ratio) = match goal {
        Goal::AtLeast(least) => (format!("≥ {} {unit}", grouped(least)), format!("{:.2}", measured / least)),
        Goal::AtMost(most) => (format!("≤ {} {unit}", grouped(most)), format!("{:.2}", most / measured.max(f64::MIN_POSITIVE))),
        Goal::None => (String::new(), String::new()),
    };
    println!("| {bench} | {figure} | {} {unit} | {words} | {ratio} |", grouped(measured));
}

/// A number with commas, whole from 100 on.
fn grouped(number: f64) -> String {
    if number < 100.0 {
        return format!("{number:.2}").trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        assert_eq!(grouped(1_234_567.4), "1,234,567");
        assert_eq!(grouped(100.0), "100");
        assert_eq!(grouped(0.5), "0.5");
        assert_eq!(grouped(30.0), "30");
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(line: &[&str]) -> Arguments {
        <Line as clap::Parser>::try_parse_from([&["bench"][..], line].concat()).unwrap().arguments
    }

    #[test]
    fn the_settled_bench_has_a_size_of_its_own_where_none_is_said() {
        assert_eq!(parsed(&[]).events, 4_000_000);
        assert_eq!(parsed(&["bulk"]).events, 4_000_000);
        assert_eq!(parsed(&["settled"]).events, 24_000_000);
        assert_eq!(parsed(&["settled", "--events", "7"]).events, 7);
    }

    #[test]
    fn the_owners_bench_understands_the_command_line_it_makes() {
        let line = owners::command_line(9);
        let words: Vec<&str> = line.iter().map(String::as_str).skip(1).collect();
        let arguments = parsed(&words);
        assert_eq!((arguments.name, arguments.events), (Some(Name::Owners), 9));
    }

    #[test]
    fn the_settled_bench_understands_the_command_line_it_makes() {
        for tier in [None, Some(settled::Tier::Runs), Some(settled::Tier::Append), Some(settled::Tier::Modify)] {
            let line = settled::command_line(9, tier);
            let words: Vec<&str> = line.iter().map(String::as_str).skip(1).collect();
            let arguments = parsed(&words);
            assert_eq!((arguments.name, arguments.events, arguments.tier), (Some(Name::Settled), 9, tier));
        }
    }
}
