//! `subscribers`: the live stream with 1,000 subscribers, each with a filter of its own, at 5,000 events a second: from the acknowledgement of an event to
//! its receipt by each whom it is for, and whether anything was lost.
//!
//! Flow: [`Wants`] says which events a subscriber asks for, and as which filter → one sender, two threads that read all the sockets without
//! waiting for any → every event that came is held against what was asked for.
//! Invariant: an event is a function of its number, which it carries as its `count`; one sender alone, so that numbers only go up. A subscriber that got
//! as many events as it wants, each of them one it wants and each after the one before, got each exactly once.
//! Not here: 100 subscribers without a filter at 10,000 events a second (`stream`).

use super::feed::Latencies;
use super::process::Hub;
use super::{Arguments, Goal, row};
use crate::load::{Connection, mix};
use anyhow::{Context, bail};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SUBSCRIBERS: u64 = 1_000;
/// Organisations that they belong to: one may have 128 streams.
const ORGANISATIONS: u64 = 10;
const RATE: u64 = 5_000;
const BATCH: u64 = 100;
/// Threads that read.
const READERS: usize = 2;
/// How long a reader rests after it has looked at every socket.
const REST: Duration = Duration::from_millis(2);
/// How long until every subscriber is there.
const OPENING: Duration = Duration::from_secs(60);
/// How long after the last acknowledgement it is waited for what is missing.
const LATEST: Duration = Duration::from_secs(15);

const CATEGORIES: [&str; 8] = ["scanner", "brute-force", "phishing", "c2-server", "malware-distribution", "spam", "exploit", "ids-alert"];
const SECTORS: [&str; 11] =
    ["electronics", "transport", "finance", "water", "energy", "health", "telecom", "government", "nuclear", "broadcasting", "logistics"];
const KINDS: [&str; 3] = ["ipv4", "domain", "url"];
/// Names and ranges that values lie in.
const PLACES: u64 = 250;
const FAMILIES: u64 = 50;

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let hub = Hub::start(&arguments.memory, usize::try_from(ORGANISATIONS + 1)?)?;
    let events = RATE * arguments.seconds / BATCH * BATCH;
    let mut subscribers = Vec::new();
    for number in 0..SUBSCRIBERS {
        // Member 0 sends; to the sender its events would look otherwise.
        let connection = hub.connect(usize::try_from(1 + number % ORGANISATIONS)?)?;
        subscribers.push(Subscriber::new(connection, Wants::of(number))?);
    }
    let (open, over, received) = (AtomicU64::new(0), AtomicBool::new(false), AtomicU64::new(0));
    let mut halves: Vec<Vec<Subscriber>> = (0..READERS).map(|_| Vec::new()).collect();
    for (place, subscriber) in subscribers.into_iter().enumerate() {
        if let Some(half) = halves.get_mut(place % READERS) {
            half.push(subscriber);
        }
    }
    let expected: Vec<u64> = (0..SUBSCRIBERS).map(Wants::of).map(|wants| (0..events).filter(|&n| wants.want(&Facts::of(n))).count() as u64).collect();
    let all: u64 = expected.iter().sum();
    let began = Instant::now();
    let (acknowledged, mut subscribers) = std::thread::scope(|scope| {
        let (open, over, received) = (&open, &over, &received);
        let readers: Vec<_> = halves.into_iter().map(|half| scope.spawn(move || read_all(half, began, open, over, received))).collect();
        let sent = wait_until(OPENING, || open.load(Ordering::Relaxed) == SUBSCRIBERS)
            .context("not every subscriber has a stream; is there a limit on open files (ulimit -n)?")
            .and_then(|()| send(&hub, events, began));
        if sent.is_ok() {
            // What is still missing then is counted below.
            let _ = wait_until(LATEST, || received.load(Ordering::Relaxed) >= all);
        }
        over.store(true, Ordering::Relaxed);
        let mut subscribers = Vec::new();
        for reader in readers {
            let Ok(half) = reader.join() else { bail!("a reader broke") };
            subscribers.append(&mut half?);
        }
        Ok((sent?, subscribers))
    })?;
    let mut latencies = Latencies::default();
    let (mut lost, mut wrong, mut count) = (0, 0, 0);
    for subscriber in &mut subscribers {
        let wanted = expected.get(usize::try_from(subscriber.wants.number)?).copied().unwrap_or(0);
        lost += wanted.saturating_sub(subscriber.samples.len() as u64);
        wrong += subscriber.wrong;
        count += subscriber.samples.len();
        for (n, at) in &subscriber.samples {
            let acknowledged = acknowledged.get(usize::try_from(u64::from(*n) / BATCH)?).copied().unwrap_or_default();
            // Before the acknowledgement counts as at once.
            latencies.push(Duration::from_micros(u64::from(at.saturating_sub(acknowledged))));
        }
    }
    let name = format!("{SUBSCRIBERS} subscribers with different filters, {RATE} events a second, acknowledgement to receipt p50");
    row("subscribers", &name, latencies.percentile(50), "ms", Goal::None);
    row("subscribers", "p99", latencies.percentile(99), "ms", Goal::AtMost(250.0));
    row("subscribers", "worst", latencies.percentile(100), "ms", Goal::None);
    row("subscribers", "events handed out a second", count as f64 / (arguments.seconds.max(1)) as f64, "", Goal::None);
    let last = acknowledged.last().copied().unwrap_or_default();
    row(
        "subscribers",
        "events acknowledged a second",
        events as f64 * 1e6 / f64::from(last.saturating_sub(acknowledged.first().copied().unwrap_or(0)).max(1)),
        "",
        Goal::None,
    );
    row("subscribers", "lost", lost as f64, &format!("of {all}"), Goal::None);
    row("subscribers", "twice, out of order or not asked for", wrong as f64, "", Goal::None);
    row("subscribers", "the hub's anonymous memory", hub.memory("RssAnon")? as f64 / f64::from(1 << 20), "MiB", Goal::None);
    if lost + wrong > 0 {
        bail!("the stream is not lossless");
    }
    Ok(())
}

/// Waits until something holds; an error where it does not in time.
fn wait_until(within: Duration, holds: impl Fn() -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > within {
            bail!("not within {} s", within.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Sends all events evenly; gives when each batch was acknowledged, in microseconds since `began`.
fn send(hub: &Hub, events: u64, began: Instant) -> anyhow::Result<Vec<u32>> {
    let mut connection = hub.connect(0)?;
    let mut acknowledged = Vec::new();
    let first = Instant::now();
    let mut body = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "the load is made for now")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    for from in (0..events).step_by(usize::try_from(BATCH)?) {
        body.clear();
        for n in from..from + BATCH {
            Facts::of(n).write(&mut body, n, now)?;
        }
        let due = Duration::from_micros(from * 1_000_000 / RATE);
        std::thread::sleep(due.saturating_sub(first.elapsed()));
        let answer = connection.post("/api/v1/events", "application/x-ndjson", &body)?;
        if answer.status != 200 || answer.number("accepted") != Some(BATCH) {
            bail!("the hub answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        acknowledged.push(micros(began));
    }
    Ok(acknowledged)
}

fn micros(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX)
}

/// What an event is of, by its number.
#[derive(Debug, Clone, Copy)]
struct Facts {
    category: u64,
    sector: u64,
    kind: u64,
    place: u64,
    family: u64,
}

impl Facts {
    fn of(n: u64) -> Self {
        let dice = mix(n);
        Self {
            category: dice % CATEGORIES.len() as u64,
            sector: (dice >> 8) % SECTORS.len() as u64,
            kind: (dice >> 16) % KINDS.len() as u64,
            place: (dice >> 24) % PLACES,
            family: (dice >> 40) % FAMILIES,
        }
    }

    fn write(self, out: &mut Vec<u8>, n: u64, now: u64) -> anyhow::Result<()> {
        let Self { place, family, .. } = self;
        let value = match self.kind {
            0 => format!("61.{place}.{}.{}", n >> 8 & 0xff, n & 0xff),
            1 => format!("n{n}.d{place}.net"),
            _ => format!("http://n{n}.d{place}.net/x"),
        };
        let word = |words: &[&'static str], place: u64| words.get(place as usize).copied().unwrap_or_default();
        let (kind, category, sector) = (word(&KINDS, self.kind), word(&CATEGORIES, self.category), word(&SECTORS, self.sector));
        writeln!(
            out,
            "{{\"time\":{now},\"category\":\"{category}\",\"observables\":[{{\"type\":\"{kind}\",\"value\":\"{value}\",\"role\":\"attacker\"}}],\"sector\":\"{sector}\",\
             \"malware\":\"family{family}\",\"tlp\":\"green\",\"confidence\":70,\"dst_port\":443,\"protocol\":\"tcp\",\"count\":{}}}",
            n + 1
        )?;
        Ok(())
    }
}

/// What a subscriber asks for. All that is there must hold.
#[derive(Debug, Clone, Default)]
struct Wants {
    number: u64,
    categories: Vec<u64>,
    sector: Option<u64>,
    kind: Option<u64>,
    domain: Option<u64>,
    within: Option<u64>,
    family: Option<u64>,
}

impl Wants {
    /// Of subscriber `number`: one in fifty wants two whole categories, all others little, each something else.
    fn of(number: u64) -> Self {
        let own = Self { number, ..Self::default() };
        let place = number / 4;
        let pair = |place: u64| vec![place % 8, (place + 1 + place / 8 % 7) % 8];
        match number % 4 {
            _ if number.is_multiple_of(50) => Self { categories: pair(number / 50), ..own },
            0 => Self { categories: vec![place % 8], sector: Some(place / 8 % 11), kind: Some(place / 88 % 3), ..own },
            1 => Self { domain: Some(place % PLACES), ..own },
            2 => Self { within: Some(place % PLACES), ..own },
            _ => Self { family: Some(place % FAMILIES), categories: pair(place / FAMILIES), ..own },
        }
    }

    fn want(&self, facts: &Facts) -> bool {
        (self.categories.is_empty() || self.categories.contains(&facts.category))
            && self.sector.is_none_or(|sector| sector == facts.sector)
            && self.kind.is_none_or(|kind| kind == facts.kind)
            && self.domain.is_none_or(|place| facts.kind > 0 && place == facts.place)
            && self.within.is_none_or(|place| facts.kind == 0 && place == facts.place)
            && self.family.is_none_or(|family| family == facts.family)
    }

    fn query(&self) -> String {
        let word = |words: &[&'static str], place: u64| words.get(place as usize).copied().unwrap_or_default();
        let categories: Vec<&str> = self.categories.iter().map(|place| word(&CATEGORIES, *place)).collect();
        let conditions = [
            (!categories.is_empty()).then(|| format!("category={}", categories.join(","))),
            self.sector.map(|place| format!("sector={}", word(&SECTORS, place))),
            self.kind.map(|place| format!("type={}", word(&KINDS, place))),
            self.domain.map(|place| format!("domain=d{place}.net")),
            self.within.map(|place| format!("within=61.{place}.0.0/16")),
            self.family.map(|family| format!("malware=family{family}")),
        ];
        conditions.into_iter().flatten().collect::<Vec<_>>().join("&")
    }
}

/// One of the thousand.
struct Subscriber {
    stream: TcpStream,
    wants: Wants,
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
    open: bool,
    /// The least number that may come next.
    next: u64,
    wrong: u64,
    /// Number of each event, and when it came, in microseconds.
    samples: Vec<(u32, u32)>,
}

impl Subscriber {
    fn new(mut connection: Connection, wants: Wants) -> anyhow::Result<Self> {
        connection.ask(&format!("/api/v1/stream?{}", wants.query()))?;
        let stream = connection.into_stream();
        stream.set_nonblocking(true)?;
        Ok(Self { stream, wants, rest: Vec::new(), open: false, next: 0, wrong: 0, samples: Vec::new() })
    }

    /// Takes what has come, where there is something; gives how many events.
    fn take(&mut self, buffer: &mut [u8], began: Instant) -> anyhow::Result<u64> {
        let mut events = 0;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => bail!("the hub closed the stream of subscriber {}", self.wants.number),
                Ok(read) => {
                    let at = micros(began);
                    let bytes = buffer.get(..read).unwrap_or_default();
                    events += self.lines(bytes, at)?;
                    if read < buffer.len() {
                        return Ok(events);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(events),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn lines(&mut self, bytes: &[u8], at: u32) -> anyhow::Result<u64> {
        let mut events = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if line.last() != Some(&b'\n') {
                self.rest.extend_from_slice(line);
            } else if self.rest.is_empty() {
                events += self.line(line, at)?;
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                events += self.line(&whole, at)?;
                whole.clear();
                self.rest = whole;
            }
        }
        Ok(events)
    }

    /// Heads, lengths of chunks, heartbeats and ids are passed over: only the opening and events count.
    fn line(&mut self, line: &[u8], at: u32) -> anyhow::Result<u64> {
        if line.starts_with(b"HTTP/1.1 ") && !line.starts_with(b"HTTP/1.1 200") {
            bail!("the hub answered {}", String::from_utf8_lossy(line).trim_end());
        }
        if line.starts_with(b": open") {
            self.open = true;
        }
        if line.starts_with(b"event: dropped") {
            bail!("the hub dropped subscriber {}", self.wants.number);
        }
        if !line.starts_with(b"data: ") {
            return Ok(0);
        }
        let n = number_of(line).with_context(|| format!("no count: {}", String::from_utf8_lossy(line)))?;
        self.wrong += u64::from(n < self.next || !self.wants.want(&Facts::of(n)));
        self.next = n + 1;
        self.samples.push((u32::try_from(n)?, at));
        Ok(1)
    }
}

/// The number that an event carries as its `count`.
fn number_of(line: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"count\":";
    let place = line.windows(NAME.len()).rposition(|part| part == NAME)?;
    let digits = line.get(place + NAME.len()..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse::<u64>().ok()?.checked_sub(1)
}

/// Reads all of them, none of which is waited for, until it is over.
fn read_all(mut subscribers: Vec<Subscriber>, began: Instant, open: &AtomicU64, over: &AtomicBool, received: &AtomicU64) -> anyhow::Result<Vec<Subscriber>> {
    let mut buffer = vec![0; 64 << 10];
    while !over.load(Ordering::Relaxed) {
        let mut events = 0;
        for subscriber in &mut subscribers {
            let was_open = subscriber.open;
            events += subscriber.take(&mut buffer, began)?;
            if subscriber.open && !was_open {
                open.fetch_add(1, Ordering::Relaxed);
            }
        }
        received.fetch_add(events, Ordering::Relaxed);
        std::thread::sleep(REST);
    }
    Ok(subscribers)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_subscriber_asks_for_something_else_and_each_gets_something() {
        let queries: HashSet<String> = (0..SUBSCRIBERS).map(|number| Wants::of(number).query()).collect();
        assert_eq!(queries.len() as u64, SUBSCRIBERS);
        let facts: Vec<Facts> = (0..75_000).map(Facts::of).collect();
        for number in 0..SUBSCRIBERS {
            let wants = Wants::of(number);
            let count = facts.iter().filter(|facts| wants.want(facts)).count();
            assert!((20..40_000).contains(&count), "{}: {count}", wants.query());
        }
    }

    #[test]
    fn an_event_is_json_that_carries_its_number() {
        for n in [0, 1, 74_999] {
            let mut line = Vec::new();
            Facts::of(n).write(&mut line, n, 1_800_000_000).unwrap();
            let event: serde_json::Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(event["count"], n + 1);
            assert_eq!(number_of(&line), Some(n));
        }
        assert_eq!(number_of(b"data: {\"count\":12,\"own\":true}\n"), Some(11));
        assert_eq!(number_of(b"data: {}\n"), None);
    }
}
