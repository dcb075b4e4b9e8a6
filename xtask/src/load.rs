//! Load: events of realistic messiness, as fast as a hub can be fed, and a bare HTTP client that times each answer.
//!
//! Flow: [`Generator::write_event`] for event number n, the same for the same n → batches → [`Connection::post`].
//! Invariant: an event is a function of its number alone (and the generator's start); about a quarter of the values are new, half of the
//! repeats are of recent ones and half of any earlier one.
//! Not here: what is measured (`bench`).

use anyhow::{Context, bail};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// One new value in so many events.
const EVENTS_PER_VALUE: u64 = 4;
/// How many values back a recent repeat reaches.
const RECENT: u64 = 10_000;
/// Malware names.
const FAMILIES: u64 = 200;
/// How long the hub may take to answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// Headers of an answer, in bytes, at the most.
const LONGEST_HEAD: usize = 64 << 10;

const SECTORS: [&[u8]; 11] =
    [b"electronics", b"transport", b"finance", b"water", b"energy", b"health", b"telecom", b"government", b"nuclear", b"broadcasting", b"logistics"];
/// Categories of values that attack.
const ATTACKS: [&[u8]; 8] = [b"scanner", b"brute-force", b"phishing", b"c2-server", b"malware-distribution", b"spam", b"exploit", b"ids-alert"];
/// Categories of values that suffer.
const HARMS: [&[u8]; 4] = [b"infected-system", b"vulnerable-system", b"system-compromise", b"ddos"];
const ENDINGS: [&[u8]; 4] = [b".com", b".net", b".kr", b".xyz"];
const SYLLABLES: [&[u8]; 16] = [b"ba", b"do", b"fi", b"gu", b"ka", b"lo", b"mi", b"nu", b"pa", b"ro", b"si", b"tu", b"ve", b"xo", b"zi", b"ha"];

/// Makes events.
#[derive(Debug, Clone, Copy)]
pub struct Generator {
    /// Time of event 0, in milliseconds since 1970.
    pub start_millis: u64,
    /// From one event to the next, in microseconds.
    pub step_micros: u64,
}

impl Generator {
    /// A generator whose events, so many, fill the days before now evenly.
    pub fn ending_now(events: u64, days: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the load is made for now")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let span = days * 86_400_000;
        let start_millis = u64::try_from(now.as_millis()).unwrap_or(0).saturating_sub(span);
        Self { start_millis, step_micros: (span * 1_000 / events.max(1)).max(1) }
    }

    /// Appends event `n` as one NDJSON line.
    pub fn write_event(&self, out: &mut Vec<u8>, n: u64) {
        let dice = mix(n);
        let place = value_place(n, dice);
        let kind = Kind::of(place);
        let suffers = kind.can_suffer() && mix(place ^ 0x51) % 5 < 2;
        let messy = dice >> 8 & 0xff < 5;

        out.extend_from_slice(b"{\"time\":\"");
        // Senders are late by different times.
        let jitter = mix(n ^ 0x77) % 60_000;
        self.write_time(out, (n * self.step_micros / 1_000).saturating_sub(jitter));
        out.extend_from_slice(b"\",\"category\":\"");
        out.extend_from_slice(if suffers { choose(&HARMS, place) } else { choose(&ATTACKS, place ^ dice >> 60) });
        out.extend_from_slice(b"\",\"observables\":[");
        kind.write(out, place, messy);
        if dice >> 16 & 0xff < 26 {
            // One in ten names a second value.
            out.push(b',');
            Kind::Sha256.write(out, place ^ 0xabcd, false);
        }
        out.extend_from_slice(b"],\"origin\":\"");
        out.extend_from_slice(choose(&[b"sensor", b"sensor", b"ids", b"waf", b"sinkhole", b"sensor", b"av", b"manual"], dice >> 24));
        out.extend_from_slice(b"\",\"sector\":\"");
        out.extend_from_slice(choose(&SECTORS, dice >> 28));
        out.push(b'"');
        if dice >> 32 & 0xff < 77 {
            out.extend_from_slice(b",\"malware\":\"");
            write_word(out, mix(0x1_0000 + (dice >> 33) % FAMILIES), 3);
            out.push(b'"');
        }
        if dice >> 40 & 1 == 0 {
            out.extend_from_slice(b",\"dst_port\":");
            let port = [443, 22, 80, 3389, 25, 445, 8080, 23].get((dice >> 41) as usize & 7).copied().unwrap_or(443);
            if messy {
                out.push(b'"');
                write_number(out, port);
                out.push(b'"');
            } else {
                write_number(out, port);
            }
        }
        out.extend_from_slice(b",\"confidence\":");
        write_number(out, 30 + (dice >> 44) % 70);
        out.extend_from_slice(b",\"count\":");
        write_number(out, 1 + (dice >> 50) % 40);
        if dice >> 52 & 0xff < 26 {
            out.extend_from_slice(b",\"id\":\"s-");
            write_hex(out, n, 12);
            out.push(b'"');
        }
        if messy {
            out.extend_from_slice(b",\"feed_name\":\"unknown field\"");
        }
        out.extend_from_slice(b",\"tlp\":\"");
        out.extend_from_slice(choose(&[b"green", b"amber", b"green", b"clear"], dice >> 56));
        out.extend_from_slice(b"\",\"protocol\":\"tcp\"}\n");
    }

    /// Appends events `from..to`.
    pub fn write_batch(&self, out: &mut Vec<u8>, from: u64, to: u64) {
        for n in from..to {
            self.write_event(out, n);
        }
    }

    /// The value that event `n` is about, as a lookup would ask for it.
    pub fn value(&self, n: u64) -> String {
        let place = value_place(n, mix(n));
        let mut text = Vec::new();
        Kind::of(place).write_value(&mut text, place, false);
        String::from_utf8_lossy(&text).into_owned()
    }

    fn write_time(&self, out: &mut Vec<u8>, millis: u64) {
        let millis = self.start_millis + millis;
        let (days, of_day) = (millis / 86_400_000, millis % 86_400_000);
        let (year, month, day) = civil(days);
        write_padded(out, year, 4);
        out.push(b'-');
        write_padded(out, month, 2);
        out.push(b'-');
        write_padded(out, day, 2);
        out.push(b'T');
        write_padded(out, of_day / 3_600_000, 2);
        out.push(b':');
        write_padded(out, of_day / 60_000 % 60, 2);
        out.push(b':');
        write_padded(out, of_day / 1_000 % 60, 2);
        out.push(b'.');
        write_padded(out, of_day % 1_000, 3);
        out.push(b'Z');
    }
}

/// Which value event `n` is about: a new one, a recent one, or any earlier one.
pub fn value_place(n: u64, dice: u64) -> u64 {
    let known = n / EVENTS_PER_VALUE + 1;
    match dice & 7 {
        0 | 1 => known,
        2..=4 => known - (mix(n ^ 0x33) % RECENT.min(known)),
        _ => mix(n ^ 0x44) % known,
    }
}

/// What kind of value stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ipv4,
    Domain,
    Url,
    Sha256,
    Email,
}

impl Kind {
    fn of(place: u64) -> Self {
        match mix(place ^ 0x22) % 100 {
            0..60 => Self::Ipv4,
            60..75 => Self::Domain,
            75..90 => Self::Url,
            90..98 => Self::Sha256,
            _ => Self::Email,
        }
    }

    const fn can_suffer(self) -> bool {
        matches!(self, Self::Ipv4 | Self::Domain | Self::Email)
    }

    const fn word(self) -> &'static [u8] {
        match self {
            Self::Ipv4 => b"ipv4",
            Self::Domain => b"domain",
            Self::Url => b"url",
            Self::Sha256 => b"sha256",
            Self::Email => b"email",
        }
    }

    fn write(self, out: &mut Vec<u8>, place: u64, messy: bool) {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(self.word());
        out.extend_from_slice(b"\",\"value\":\"");
        self.write_value(out, place, messy);
        out.extend_from_slice(b"\"}");
    }

    fn write_value(self, out: &mut Vec<u8>, place: u64, messy: bool) {
        let value = mix(place);
        match self {
            Self::Ipv4 => {
                // From 11.0.0.0 to 98.255.255.255 nothing is reserved.
                write_number(out, 11 + (value & 0xff) % 88);
                for shift in [8, 16, 24] {
                    out.extend_from_slice(if messy && shift == 24 { b"[.]" } else { b"." });
                    write_number(out, value >> shift & 0xff);
                }
            }
            Self::Domain => write_domain(out, value),
            Self::Url => {
                out.extend_from_slice(if messy { b"hxxp://" } else { b"http://" });
                write_domain(out, value % 0xff_ffff);
                out.push(b'/');
                write_word(out, value >> 24, 2);
                out.push(b'/');
                write_hex(out, value >> 32, 8);
            }
            Self::Sha256 => {
                for part in 0..4 {
                    write_hex(out, mix(value ^ part), 16);
                }
            }
            Self::Email => {
                write_word(out, value, 3);
                out.push(b'@');
                write_domain(out, value % 0xffff);
            }
        }
    }
}

fn write_domain(out: &mut Vec<u8>, value: u64) {
    write_word(out, value, 4);
    write_hex(out, value >> 16, 6);
    out.extend_from_slice(choose(&ENDINGS, value >> 40));
}

fn write_word(out: &mut Vec<u8>, mut value: u64, syllables: u32) {
    for _ in 0..syllables {
        out.extend_from_slice(choose(&SYLLABLES, value));
        value >>= 4;
    }
}

fn choose<'a>(items: &[&'a [u8]], number: u64) -> &'a [u8] {
    items.get((number % items.len().max(1) as u64) as usize).copied().unwrap_or(b"x")
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut rest = number;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
}

fn write_padded(out: &mut Vec<u8>, number: u64, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (number / 10_u64.pow(place) % 10) as u8);
    }
}

fn write_hex(out: &mut Vec<u8>, number: u64, width: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for place in (0..width).rev() {
        out.push(DIGITS.get((number >> (4 * place) & 15) as usize).copied().unwrap_or(b'0'));
    }
}

/// Scatters a number over all 64 bits (splitmix64's last step).
pub const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Year, month and day of a number of days since 1970-01-01.
///
/// Source: Howard Hinnant, "chrono-compatible low-level date algorithms".
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// An answer of the hub.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Seconds after which to try again, where the hub says so.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
    head: String,
}

impl Answer {
    /// The first header of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// A number of the JSON body, looked for by its name alone.
    pub fn number(&self, field: &str) -> Option<u64> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        body.get(field)?.as_u64()
    }
}

/// One connection that is kept open.
pub struct Connection {
    address: SocketAddr,
    key: String,
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr, key: &str) -> anyhow::Result<Self> {
        Ok(Self { address, key: key.to_owned(), stream: connect(address)?, read: Vec::new() })
    }

    /// Connects anew after an error.
    pub fn reopen(&mut self) -> anyhow::Result<()> {
        self.read.clear();
        self.stream = connect(self.address)?;
        Ok(())
    }

    /// Sends a body and waits for the answer.
    pub fn post(&mut self, path: &str, media_type: &str, body: &[u8]) -> anyhow::Result<Answer> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            self.key,
            body.len()
        );
        if body.len() < 64 << 10 {
            // One write, one packet train.
            self.stream.write_all(&[head.as_bytes(), body].concat())?;
        } else {
            self.stream.write_all(head.as_bytes())?;
            self.stream.write_all(body)?;
        }
        self.answer()
    }

    /// Asks for a resource and waits for the answer.
    pub fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.ask(path)?;
        self.answer()
    }

    /// Asks for a resource with further header lines, each with its end; gives the time until the first byte came, and the answer.
    pub fn get_timed(&mut self, path: &str, headers: &str) -> anyhow::Result<(Duration, Answer)> {
        let began = Instant::now();
        self.ask_with(path, headers)?;
        self.more()?;
        let first = began.elapsed();
        Ok((first, self.answer()?))
    }

    /// Asks for a stream; its bytes come from [`Self::into_stream`].
    pub fn ask(&mut self, path: &str) -> anyhow::Result<()> {
        self.ask_with(path, "")
    }

    fn ask_with(&mut self, path: &str, headers: &str) -> anyhow::Result<()> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n{headers}\r\n", self.address, self.key);
        Ok(self.stream.write_all(head.as_bytes())?)
    }

    /// The bare connection.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn answer(&mut self) -> anyhow::Result<Answer> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            if self.read.len() > LONGEST_HEAD {
                bail!("the answer's head is too long");
            }
            self.more()?;
        };
        let head = String::from_utf8_lossy(self.read.get(..end).unwrap_or_default()).into_owned();
        self.read.drain(..end);
        let status: u16 = head.split(' ').nth(1).and_then(|word| word.parse().ok()).context("no status")?;
        let retry_after = field(&head, "retry-after").and_then(|value| value.parse().ok());
        let body = if status == 304 {
            // It has none, whatever length its head names.
            Vec::new()
        } else if let Some(length) = field(&head, "content-length") {
            self.take(length.parse().context("content-length")?)?
        } else if field(&head, "transfer-encoding").is_some() {
            self.chunks()?
        } else {
            Vec::new()
        };
        if field(&head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.reopen()?;
        }
        Ok(Answer { status, retry_after, body, head })
    }

    fn chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = self.read.windows(2).position(|bytes| bytes == b"\r\n") {
                    break end;
                }
                self.more()?;
            };
            let line = self.take(end + 2)?;
            let size = std::str::from_utf8(&line).ok().and_then(|line| usize::from_str_radix(line.trim(), 16).ok()).context("size of a chunk")?;
            let part = self.take(size + 2)?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(part.get(..size).unwrap_or_default());
        }
    }

    fn take(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        while self.read.len() < length {
            self.more()?;
        }
        let rest = self.read.split_off(length);
        Ok(std::mem::replace(&mut self.read, rest))
    }

    fn more(&mut self) -> anyhow::Result<()> {
        let mut bytes = [0; 16 << 10];
        let read = self.stream.read(&mut bytes)?;
        if read == 0 {
            bail!("the hub closed the connection");
        }
        self.read.extend_from_slice(bytes.get(..read).unwrap_or_default());
        Ok(())
    }
}

/// The first header of a name in an answer's head.
fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()))
}

fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const GENERATOR: Generator = Generator { start_millis: 1_790_000_000_000, step_micros: 4_000 };

    #[test]
    fn an_event_is_json_of_about_the_usual_length() {
        let mut out = Vec::new();
        GENERATOR.write_batch(&mut out, 0, 10_000);
        let average = out.len() / 10_000;
        assert!((200..320).contains(&average), "{average}");
        for line in out.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let event: serde_json::Value = serde_json::from_slice(line).unwrap();
            assert!(event["observables"][0]["value"].is_string() && event["time"].as_str().unwrap().starts_with("2026-"));
        }
    }

    #[test]
    fn about_a_quarter_of_the_values_are_new() {
        let values: HashSet<String> = (0..40_000).map(|n| GENERATOR.value(n)).collect();
        assert!((8_000..13_000).contains(&values.len()), "{}", values.len());
    }

    #[test]
    fn the_same_number_gives_the_same_event() {
        let event = |n| {
            let mut out = Vec::new();
            GENERATOR.write_event(&mut out, n);
            out
        };
        assert_eq!(event(12_345), event(12_345));
        assert_ne!(event(12_345), event(12_346));
    }

    #[test]
    fn numbers_and_dates_are_written_as_people_write_them() {
        let mut out = Vec::new();
        write_number(&mut out, 0);
        out.push(b' ');
        write_number(&mut out, 40_960);
        out.push(b' ');
        write_hex(&mut out, 0xab, 4);
        assert_eq!(out, b"0 40960 00ab");
        assert_eq!(civil(20_778), (2026, 11, 21));
    }
}
