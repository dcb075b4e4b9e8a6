//! `products`: a list of a million addresses as a resolver or firewall fetches it: first byte where it is prepared, 304 where nothing changed, gzip, and
//! what only changed.
//!
//! Flow: a million distinct addresses go in as plain lists, as feeds bring them → the list is waited for → each way of fetching it is timed.
//! Invariant: what is timed as prepared was fetched before, so that nothing is made meanwhile; the list has every address once.
//! Not here: what a product holds and in which form (`tests/products.rs`).

use super::feed::Latencies;
use super::process::Hub;
use super::{Arguments, Goal, row};
use crate::load::{Answer, Connection};
use anyhow::{Context, bail};
use std::io::Write;
use std::time::{Duration, Instant};

/// Addresses in the product.
const ENTRIES: u64 = 1_000_000;
/// Lines of a request, as a large feed has.
const BATCH: u64 = 50_000;
const FETCHES: u32 = 50;
/// Addresses that come later, for the difference.
const LATER: u64 = 1_000;
/// How long the log of indicators may take until the list is whole.
const PATIENCE: Duration = Duration::from_secs(900);
/// Between two looks; each makes the list anew.
const LOOK: Duration = Duration::from_secs(3);
const LIST: &str = "/feeds/ipv4.txt";
const GZIP: &str = "Accept-Encoding: gzip\r\n";

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let hub = Hub::start(&arguments.memory, 2)?;
    let (mut sender, mut reader) = (hub.connect(0)?, hub.connect(1)?);
    let began = Instant::now();
    for from in (0..ENTRIES).step_by(usize::try_from(BATCH)?) {
        send(&mut sender, from, from + BATCH)?;
    }
    let sent = began.elapsed();
    row("products", "a plain list of 1,000,000 addresses in 20 requests: values a second", ENTRIES as f64 / sent.as_secs_f64(), "", Goal::None);
    let whole = until_whole(&mut reader, ENTRIES)?;
    let after = began.elapsed().saturating_sub(sent).as_secs_f64();
    row("products", "all of them in the list, after the last acknowledgement (looked at every 3 s)", after, "s", Goal::None);
    hub.settle()?;

    let (first, prepared) = reader.get_timed("/feeds/suricata-ipv4.lst", "")?;
    expect(&prepared, 200)?;
    row("products", "first byte of a product that nobody has asked for before", millis(first), "ms", Goal::None);
    let mut timed = |headers: &str, status: u16| -> anyhow::Result<(Latencies, Latencies, Answer)> {
        // The first one is not timed: a step of five minutes may have come meanwhile.
        let (_, mut last) = reader.get_timed(LIST, headers)?;
        let (mut firsts, mut wholes) = (Latencies::default(), Latencies::default());
        for _ in 0..FETCHES {
            let began = Instant::now();
            let (first, answer) = reader.get_timed(LIST, headers)?;
            wholes.push(began.elapsed());
            firsts.push(first);
            expect(&answer, status)?;
            last = answer;
        }
        Ok((firsts, wholes, last))
    };
    let (mut firsts, mut wholes, plain) = timed("", 200)?;
    row("products", "prepared, 1,000,000 entries: first byte p50", firsts.percentile(50), "ms", Goal::None);
    row("products", "first byte p99", firsts.percentile(99), "ms", Goal::AtMost(50.0));
    row("products", &format!("all {} bytes p50", plain.body.len()), wholes.percentile(50), "ms", Goal::None);
    let (mut firsts, mut wholes, packed) = timed(GZIP, 200)?;
    if packed.header("content-encoding") != Some("gzip") || packed.body.len() >= plain.body.len() {
        bail!("the list was not compressed");
    }
    row("products", "gzip: first byte p99", firsts.percentile(99), "ms", Goal::AtMost(50.0));
    row("products", &format!("gzip: all {} bytes p50", packed.body.len()), wholes.percentile(50), "ms", Goal::None);
    let tag = whole.header("etag").context("no entity tag")?.to_owned();
    let (mut firsts, _, same) = timed(&format!("If-None-Match: {tag}\r\n"), 304)?;
    if !same.body.is_empty() {
        bail!("a 304 has a body");
    }
    row("products", "unchanged: 304 p99", firsts.percentile(99), "ms", Goal::AtMost(50.0));

    changes(&mut sender, &mut reader, &plain)?;
    row("products", "the hub's anonymous memory", hub.memory("RssAnon")? as f64 / f64::from(1 << 20), "MiB", Goal::None);
    Ok(())
}

/// Times what a reader notices of a thousand further addresses: the list while it is made again, and the difference.
fn changes(sender: &mut Connection, reader: &mut Connection, before: &Answer) -> anyhow::Result<()> {
    send(sender, ENTRIES, ENTRIES + LATER)?;
    let began = Instant::now();
    let mut firsts = Latencies::default();
    loop {
        let (first, answer) = reader.get_timed(LIST, "")?;
        expect(&answer, 200)?;
        firsts.push(first);
        if entries(&answer) == Some(ENTRIES + LATER) {
            break;
        }
        if began.elapsed() > PATIENCE {
            bail!("1,000 further addresses are not in the list after {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    row("products", "1,000 more: in the list, after the acknowledgement", began.elapsed().as_secs_f64(), "s", Goal::None);
    row("products", "first byte meanwhile, worst", firsts.percentile(100), "ms", Goal::None);
    let since = before.header("x-version").context("no version")?;
    let (first, difference) = reader.get_timed(&format!("{LIST}?since={since}"), "")?;
    expect(&difference, 200)?;
    if entries(&difference) != Some(LATER) {
        bail!("the difference has {:?} changes", entries(&difference));
    }
    row("products", "the difference of 1,000 among 1,000,000: first byte", millis(first), "ms", Goal::None);
    Ok(())
}

/// Sends addresses `from..to` as a plain list.
fn send(sender: &mut Connection, from: u64, to: u64) -> anyhow::Result<()> {
    let mut body = Vec::new();
    for n in from..to {
        let [a, b, c] = low_bytes(n);
        // From 11.0.0.0 to 98.255.255.255 nothing is reserved.
        writeln!(body, "{}.{a}.{b}.{c}", 11 + n % 88)?;
    }
    loop {
        let answer = sender.post("/api/v1/events?category=c2-server&origin=sensor&tlp=clear", "text/plain", &body)?;
        match (answer.status, answer.retry_after) {
            (200, _) if answer.number("accepted") == Some(to - from) => return Ok(()),
            (429 | 503, Some(seconds)) => std::thread::sleep(Duration::from_secs(seconds)),
            (status, _) => bail!("the hub answered {status}: {}", String::from_utf8_lossy(answer.body.get(..300).unwrap_or(&answer.body))),
        }
    }
}

/// Three bytes that differ for any two numbers below 2^24, and look like nothing in order.
const fn low_bytes(n: u64) -> [u8; 3] {
    // An odd factor takes no two numbers to one.
    let [a, b, c, ..] = (n.wrapping_mul(0x9e_37_79) & 0xff_ff_ff).to_le_bytes();
    [a, b, c]
}

/// The list, once it has so many entries.
fn until_whole(reader: &mut Connection, wanted: u64) -> anyhow::Result<Answer> {
    let began = Instant::now();
    loop {
        let answer = reader.get(LIST)?;
        if answer.status == 200 && entries(&answer) == Some(wanted) {
            return Ok(answer);
        }
        if began.elapsed() > PATIENCE {
            bail!("the list has {:?} entries after {} s", entries(&answer), PATIENCE.as_secs());
        }
        std::thread::sleep(LOOK);
    }
}

fn entries(answer: &Answer) -> Option<u64> {
    answer.header("x-entries")?.parse().ok()
}

fn expect(answer: &Answer, status: u16) -> anyhow::Result<()> {
    if answer.status != status {
        bail!("the hub answered {} for {status}: {}", answer.status, String::from_utf8_lossy(answer.body.get(..300).unwrap_or(&answer.body)));
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_addresses_are_the_same() {
        let addresses: HashSet<(u64, [u8; 3])> = (0..ENTRIES + LATER).map(|n| (n % 88, low_bytes(n))).collect();
        assert_eq!(addresses.len() as u64, ENTRIES + LATER);
    }
}
