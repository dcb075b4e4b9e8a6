//! What is measured of a tier, and the table that sets the tiers beside each other.
//!
//! Flow: [`run`] starts this program once for each tier → [`measure`] loads the tier there and asks it → figures come back as one line of JSON.
//! Invariant: every lookup's answer is checked, so that a tier cannot be fast by being wrong.

use super::rows::{absent, fill, present};
use super::tiers::{Settled, open};
use super::{Tier, command_line};
use crate::bench::process::{memory, target};
use crate::bench::{Arguments, Goal, header, row};
use anyhow::{Context, bail};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use store::views::recent::Recent;

/// Rows of a freeze.
const FREEZE: usize = 4_000_000;
/// Reading, merging and writing again is slow: it gets one row in so many.
const MODIFY_SHARE: u64 = 4;
/// Lookups of each kind that are timed; as many go before them untimed.
const LOOKUPS: u64 = 20_000;
const MEBIBYTE: f64 = 1_048_576.0;
/// Figures below this are noise: a ratio takes them for this.
const LEAST: f64 = 0.01;

/// Which figure is the better one; neither where it only says how much there was.
#[derive(Debug, Clone, Copy)]
enum Better {
    More,
    Less,
    Neither,
}

/// Name and unit of each figure, in the order in which [`measure`] gives them.
const FIGURES: [(&str, &str, Better); 10] = [
    ("rows settled", "rows", Better::Neither),
    ("settling", "rows/s", Better::More),
    ("disk", "MiB", Better::Neither),
    ("disk", "bytes/row settled", Better::Less),
    ("anonymous memory grown by settling", "MiB", Better::Less),
    ("anonymous memory grown, after the lookups", "MiB", Better::Less),
    ("lookup of a present key, p50", "µs", Better::Less),
    ("lookup of a present key, p99", "µs", Better::Less),
    ("lookup of an absent key, p50", "µs", Better::Less),
    ("lookup of an absent key, p99", "µs", Better::Less),
];

/// Measures every tier, or the one that was named.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(tier) = arguments.tier {
        println!("{}", serde_json::to_string(&measure(tier, arguments.events)?)?);
        return Ok(());
    }
    header();
    let runs = apart(Tier::Runs, arguments.events)?;
    print("runs", &runs);
    for (tier, name, rows) in
        [(Tier::Append, "fjall append", arguments.events), (Tier::Modify, "fjall read-modify-write, a quarter of the rows", arguments.events / MODIFY_SHARE)]
    {
        let other = apart(tier, rows)?;
        print(name, &other);
        for (((figure, unit, better), ours), theirs) in FIGURES.iter().zip(&runs).zip(&other) {
            let (ours, theirs) = (ours.max(LEAST), theirs.max(LEAST));
            let ratio = match better {
                Better::More => ours / theirs,
                Better::Less => theirs / ours,
                Better::Neither => continue,
            };
            row("settled", &format!("runs to {name}: {figure}, {unit}"), ratio, "times as good", Goal::None);
        }
    }
    println!("\nThe runs write and merge in one thread and sync; fjall compacts in threads of its own, and its journal is never synced.");
    println!("With a quarter of the rows read-modify-write has the smaller tree: its figures flatter it.");
    Ok(())
}

/// Measures a tier in a process of its own.
fn apart(tier: Tier, rows: u64) -> anyhow::Result<Vec<f64>> {
    let output =
        Command::new(std::env::current_exe()?).args(command_line(rows, Some(tier))).stderr(Stdio::inherit()).output().context("running this program")?;
    if !output.status.success() {
        bail!("{tier:?} could not be measured");
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn print(name: &str, figures: &[f64]) {
    for ((figure, unit, _), measured) in FIGURES.iter().zip(figures) {
        row("settled", &format!("{name}: {figure}"), *measured, unit, Goal::None);
    }
}

/// The figures of a tier, as [`FIGURES`] names them.
fn measure(tier: Tier, rows: u64) -> anyhow::Result<Vec<f64>> {
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(target()?).context("making a folder under target")?;
    let before = memory("self", "RssAnon")? as f64;
    let mut settled = open(tier, folder.path())?;
    let loaded = load(settled.as_mut(), rows, FREEZE)?;
    let disk = settled.disk()? as f64;
    let after_settling = memory("self", "RssAnon")? as f64;
    // The first lookups fill caches and are not timed.
    ask(settled.as_ref(), |draw| present(draw + LOOKUPS, loaded.events), true)?;
    let mut found = ask(settled.as_ref(), |draw| present(draw, loaded.events), true)?;
    ask(settled.as_ref(), |draw| absent(draw + LOOKUPS), false)?;
    let mut missed = ask(settled.as_ref(), absent, false)?;
    let after_lookups = memory("self", "RssAnon")? as f64;
    let settled_rows = loaded.rows as f64;
    Ok(vec![
        settled_rows,
        settled_rows / loaded.time.as_secs_f64().max(f64::MIN_POSITIVE),
        disk / MEBIBYTE,
        disk / settled_rows.max(1.0),
        (after_settling - before) / MEBIBYTE,
        (after_lookups - before) / MEBIBYTE,
        percentile(&mut found, 50),
        percentile(&mut found, 99),
        percentile(&mut missed, 50),
        percentile(&mut missed, 99),
    ])
}

/// What went into a tier.
struct Loaded {
    /// Events whose rows are in it.
    events: u64,
    /// Rows of all freezes.
    rows: u64,
    /// Time of settling; filling the recent part does not count.
    time: Duration,
}

/// Fills a recent part and settles it until at least so many rows are settled.
fn load(settled: &mut dyn Settled, rows: u64, freeze: usize) -> anyhow::Result<Loaded> {
    let mut recent = Recent::with_capacity(freeze);
    let mut loaded = Loaded { events: 0, rows: 0, time: Duration::ZERO };
    while loaded.rows < rows {
        let missing = usize::try_from(rows - loaded.rows).unwrap_or(usize::MAX);
        loaded.events = fill(&recent, loaded.events, missing.min(freeze));
        loaded.rows += recent.rows() as u64;
        loaded.time += settled.settle(&recent)?;
        recent.clear();
    }
    loaded.time += settled.finish()?;
    Ok(loaded)
}

/// Times of lookups, in nanoseconds.
fn ask(settled: &dyn Settled, key: impl Fn(u64) -> u128, there: bool) -> anyhow::Result<Vec<u64>> {
    let mut times = Vec::with_capacity(LOOKUPS as usize);
    for draw in 0..LOOKUPS {
        let key = key(draw);
        let began = Instant::now();
        let rows = settled.get(key)?;
        times.push(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
        if rows.is_empty() == there {
            bail!("a lookup found {} rows where there are {}", rows.len(), if there { "some" } else { "none" });
        }
    }
    Ok(times)
}

/// In microseconds, the time that so many of a hundred stay under.
fn percentile(times: &mut [u64], percent: usize) -> f64 {
    times.sort_unstable();
    let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(place).copied().unwrap_or(0) as f64 / 1_000.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use store::views::Row;

    #[test]
    fn every_tier_answers_as_a_table_in_memory_would() {
        for tier in [Tier::Runs, Tier::Append, Tier::Modify] {
            let folder = tempfile::tempdir().unwrap();
            let mut settled = open(tier, folder.path()).unwrap();
            // Enough freezes that runs are merged.
            let loaded = load(settled.as_mut(), 40_000, 2_500).unwrap();
            let mut expected: HashMap<u128, HashMap<u32, Row>> = HashMap::new();
            for n in 0..loaded.events {
                let row = super::super::rows::row(n);
                expected.entry(row.key).or_default().entry(row.class).and_modify(|mine| mine.merge(&row)).or_insert(row);
            }
            for draw in 0..500 {
                let key = present(draw, loaded.events);
                let mut found = settled.get(key).unwrap();
                found.sort_unstable_by_key(|row| row.class);
                let mut rows: Vec<Row> = expected[&key].values().copied().collect();
                rows.sort_unstable_by_key(|row| row.class);
                assert_eq!(found, rows, "{tier:?}");
                assert!(settled.get(absent(draw)).unwrap().is_empty(), "{tier:?}");
            }
            assert!(settled.disk().unwrap() > 0, "{tier:?}");
        }
    }

    #[test]
    fn a_percentile_is_in_microseconds() {
        let mut times: Vec<u64> = (1..=100).rev().map(|number| number * 1_000).collect();
        assert!((percentile(&mut times, 50) - 51.0).abs() < f64::EPSILON);
        assert!((percentile(&mut times, 99) - 100.0).abs() < f64::EPSILON);
        assert!(percentile(&mut [], 50).abs() < f64::EPSILON);
    }
}
