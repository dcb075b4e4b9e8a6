//! One TXT record asked of a resolver: the little of DNS that a proof of ownership needs.
//!
//! Flow: [`Resolver::txt`] → the servers in turn, over UDP, and over TCP where the answer was cut → the texts of the answer.
//! Invariant: an answer counts only where it comes from the server asked, with the number and the question it was asked with; number and port
//! are random. Everything in it is bounded and read by position, never trusted.
//! Not here: who may ask (`members::proofs`); resolving itself and DNSSEC, which are the resolver's: configure one that validates, near by.
//! Source: RFC 1035 (messages), RFC 6891 (size of answers), RFC 7766 (TCP), RFC 5452 (what an answer must match).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Servers that are asked at the most.
const MAX_SERVERS: usize = 3;
/// How often a server is asked over UDP.
const TRIES: usize = 2;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long everything may take.
const IN_ALL: Duration = Duration::from_secs(12);
/// Bytes of an answer over UDP that are asked for: what passes every network unbroken.
const UDP_SIZE: u16 = 1_232;
/// Bytes of an answer over TCP that are read.
const TCP_SIZE: usize = 16 * 1024;
/// Records of an answer that are looked at.
const MAX_RECORDS: usize = 100;
/// Names inside a message may point elsewhere; so often.
const MAX_LABELS: usize = 128;
/// Bytes of the system's list of servers that are read.
const MAX_SYSTEM_FILE: usize = 64 * 1024;
/// The system's list of servers.
const SYSTEM_FILE: &str = "/etc/resolv.conf";

const PORT: u16 = 53;
const TXT: u16 = 16;
const OPT: u16 = 41;
const INTERNET: u16 = 1;
const HEADER: usize = 12;

/// Where texts in DNS are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsOptions {
    /// Resolvers, the first one first; empty: the system's.
    pub servers: Vec<SocketAddr>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// No server is configured, and the system names none.
    #[error("no resolver is configured")]
    NoServer,
    /// The name cannot be asked for.
    #[error("the name cannot be asked for")]
    Name,
    /// No server gave an answer that counts.
    #[error("no resolver gave an answer")]
    NoAnswer,
}

/// Asks resolvers.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
}

/// What one server said.
enum Said {
    /// The texts of the name; empty where it has none or does not exist.
    Texts(Vec<String>),
    /// More than fits.
    Cut,
    /// It cannot say.
    Failed,
}

impl Resolver {
    pub(crate) fn new(options: &DnsOptions) -> Self {
        Self { servers: options.servers.clone() }
    }

    /// The texts (TXT) of a name; empty where there are none.
    ///
    /// # Errors
    /// [`DnsError`] where nobody could say.
    pub(crate) async fn txt(&self, name: &str) -> Result<Vec<String>, DnsError> {
        let servers = if self.servers.is_empty() { system_servers() } else { self.servers.clone() };
        if servers.is_empty() {
            return Err(DnsError::NoServer);
        }
        let question = question(name).ok_or(DnsError::Name)?;
        let asking = async {
            for server in servers.into_iter().take(MAX_SERVERS) {
                if let Some(texts) = ask(server, &question).await {
                    return Ok(texts);
                }
            }
            Err(DnsError::NoAnswer)
        };
        timeout(IN_ALL, asking).await.unwrap_or(Err(DnsError::NoAnswer))
    }
}

async fn ask(server: SocketAddr, question: &[u8]) -> Option<Vec<String>> {
    for _ in 0..TRIES {
        match timeout(PATIENCE, over_udp(server, question)).await {
            Ok(Ok(Said::Texts(texts))) => return Some(texts),
            Ok(Ok(Said::Cut)) => {
                let whole = timeout(PATIENCE, over_tcp(server, question)).await;
                return if let Ok(Ok(Said::Texts(texts))) = whole { Some(texts) } else { None };
            }
            Ok(Ok(Said::Failed)) => return None,
            Ok(Err(_)) | Err(_) => {}
        }
    }
    None
}

async fn over_udp(server: SocketAddr, question: &[u8]) -> std::io::Result<Said> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    // A port of the system's choosing each time; connected, so that only the server's datagrams come.
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let number = random_number();
    socket.send(&message(number, question)).await?;
    let mut answer = vec![0; usize::from(UDP_SIZE)];
    loop {
        let length = socket.recv(&mut answer).await?;
        // What is not the answer to this question is somebody else's, so the wait goes on.
        if let Some(said) = answer.get(..length).and_then(|answer| read(answer, number, question)) {
            return Ok(said);
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Said> {
    let mut stream = TcpStream::connect(server).await?;
    let number = random_number();
    let message = message(number, question);
    let mut framed = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    framed.extend_from_slice(&message);
    stream.write_all(&framed).await?;
    let length = usize::from(stream.read_u16().await?);
    if length > TCP_SIZE {
        return Ok(Said::Failed);
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    // An answer that is cut here, too, is none.
    Ok(read(&answer, number, question).filter(|said| !matches!(said, Said::Cut)).unwrap_or(Said::Failed))
}

fn random_number() -> u16 {
    let [one, two, ..] = *uuid::Uuid::new_v4().as_bytes();
    u16::from_be_bytes([one, two])
}

/// The question for the texts of a name; `None` where it is no name of DNS.
fn question(name: &str) -> Option<Vec<u8>> {
    let name = name.trim_end_matches('.');
    if name.is_empty() || name.len() > 253 {
        return None;
    }
    let mut out = Vec::with_capacity(name.len() + 6);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        if !label.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        out.push(length);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&TXT.to_be_bytes());
    out.extend_from_slice(&INTERNET.to_be_bytes());
    Some(out)
}

/// A message with one question: recursion is wanted, and answers up to [`UDP_SIZE`] are taken.
fn message(number: u16, question: &[u8]) -> Vec<u8> {
    let mut out = number.to_be_bytes().to_vec();
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    out.extend_from_slice(question);
    out.push(0);
    out.extend_from_slice(&OPT.to_be_bytes());
    out.extend_from_slice(&UDP_SIZE.to_be_bytes());
    out.extend_from_slice(&[0; 6]);
    out
}

/// Reads an answer; `None` where it is not the answer to this question.
fn read(answer: &[u8], number: u16, question: &[u8]) -> Option<Said> {
    let flags = short(answer, 2)?;
    let same = answer.get(HEADER..HEADER + question.len())?.eq_ignore_ascii_case(question);
    let ours = short(answer, 0)? == number && flags & 0x8000 != 0 && flags & 0x7800 == 0 && short(answer, 4)? == 1 && same;
    if !ours {
        return None;
    }
    if flags & 0x0200 != 0 {
        return Some(Said::Cut);
    }
    Some(match flags & 0x000F {
        // A name that does not exist has no texts.
        3 => Said::Texts(Vec::new()),
        0 => texts(answer, HEADER + question.len()).map_or(Said::Failed, Said::Texts),
        _ => Said::Failed,
    })
}

/// The texts of the answer's records. Those of another name count, too: a name may stand for another, and who holds it says so.
fn texts(answer: &[u8], mut at: usize) -> Option<Vec<String>> {
    let records = usize::from(short(answer, 6)?).min(MAX_RECORDS);
    let mut texts = Vec::new();
    for _ in 0..records {
        at = after_name(answer, at)?;
        let (kind, class, length) = (short(answer, at)?, short(answer, at + 2)?, usize::from(short(answer, at + 8)?));
        let data = answer.get(at + 10..at + 10 + length)?;
        at += 10 + length;
        if kind == TXT && class == INTERNET {
            texts.push(text(data)?);
        }
    }
    Some(texts)
}

/// One record's text: its parts, each behind its length, in one.
fn text(mut data: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(data.len());
    while let Some((length, rest)) = data.split_first() {
        let (part, rest) = rest.split_at_checked(usize::from(*length))?;
        bytes.extend_from_slice(part);
        data = rest;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Where a name ends that begins at `at`; a pointer to elsewhere ends it.
fn after_name(answer: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..MAX_LABELS {
        match *answer.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xC0 == 0xC0 => return Some(at + 2),
            length if length & 0xC0 == 0 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
    None
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

/// The resolvers that the system names.
fn system_servers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(SYSTEM_FILE).unwrap_or_default();
    if text.len() > MAX_SYSTEM_FILE { Vec::new() } else { servers_in(&text) }
}

fn servers_in(text: &str) -> Vec<SocketAddr> {
    let address = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let server = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        server.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, PORT))
    };
    text.lines().filter_map(address).take(MAX_SERVERS).collect()
}

impl DnsOptions {
    /// A server as it is configured: an address, with a port where it is not 53.
    pub fn server(text: &str) -> Option<SocketAddr> {
        let text = text.trim();
        text.parse::<SocketAddr>().ok().or_else(|| text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, PORT)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    const NAME: &str = "_bongsu-proof.bank.example";

    /// An answer to `asked` with these texts, each cut into parts of so many bytes.
    fn answer(asked: &[u8], flags: u16, texts: &[&str], part: usize) -> Vec<u8> {
        let question = question(NAME).unwrap();
        let mut out = asked[..2].to_vec();
        out.extend_from_slice(&flags.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, texts.len() as u8, 0, 0, 0, 0]);
        out.extend_from_slice(&question);
        for text in texts {
            let data: Vec<u8> = text.as_bytes().chunks(part).flat_map(|part| std::iter::once(part.len() as u8).chain(part.iter().copied())).collect();
            out.extend_from_slice(&[0xC0, 12, 0, 16, 0, 1, 0, 0, 0, 60]);
            out.extend_from_slice(&(data.len() as u16).to_be_bytes());
            out.extend_from_slice(&data);
        }
        out
    }

    fn said(said: Option<Said>) -> Option<Vec<String>> {
        match said? {
            Said::Texts(texts) => Some(texts),
            Said::Cut => Some(vec!["cut".to_owned()]),
            Said::Failed => Some(vec!["failed".to_owned()]),
        }
    }

    #[test]
    fn an_answer_counts_only_for_its_own_question() {
        let question = question(NAME).unwrap();
        let asked = message(7, &question);
        let good = answer(&asked, 0x8180, &["token", "a longer text in parts"], 5);
        assert_eq!(said(read(&good, 7, &question)), Some(vec!["token".to_owned(), "a longer text in parts".to_owned()]));
        assert_eq!(said(read(&good, 8, &question)), None, "another number");
        assert_eq!(said(read(&good, 7, &super::question("_bongsu-proof.other.example").unwrap())), None, "another name");
        assert_eq!(said(read(&asked, 7, &question)), None, "a question is no answer");
        assert_eq!(said(read(&answer(&asked, 0x8183, &[], 1), 7, &question)), Some(Vec::new()), "no such name");
        assert_eq!(said(read(&answer(&asked, 0x8182, &[], 1), 7, &question)), Some(vec!["failed".to_owned()]));
        assert_eq!(said(read(&answer(&asked, 0x8380, &[], 1), 7, &question)), Some(vec!["cut".to_owned()]));
    }

    #[test]
    fn broken_answers_are_told_and_break_nothing() {
        let question = question(NAME).unwrap();
        let good = answer(&message(7, &question), 0x8180, &["token"], 5);
        for end in 0..good.len() {
            let read = said(read(&good[..end], 7, &question));
            assert!(read.is_none() || read == Some(vec!["failed".to_owned()]), "{end}: {read:?}");
        }
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0xFF;
            let _ = read(&bytes, 7, &question);
        }
        let mut endless = good.clone();
        endless.truncate(HEADER + question.len());
        endless.extend(std::iter::repeat_n([1, b'a'], 4_000).flatten());
        assert_eq!(said(read(&endless, 7, &question)), Some(vec!["failed".to_owned()]));
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        for name in ["", ".", "a..b", "a b.example", &"a".repeat(64), &["a"; 200].join(".")] {
            assert!(question(name).is_none(), "{name}");
        }
        assert!(question("_bongsu-proof.xn--299aw8b.kr.").is_some());
    }

    #[test]
    fn servers_are_read_from_the_system_and_the_configuration() {
        let text = "# comment\nsearch example\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\n nameserver 2001:db8::53 \n";
        assert_eq!(servers_in(text), ["192.0.2.53:53", "[2001:db8::53]:53"].map(|server| server.parse().unwrap()));
        assert_eq!(DnsOptions::server("192.0.2.1"), Some("192.0.2.1:53".parse().unwrap()));
        assert_eq!(DnsOptions::server("[::1]:5353"), Some("[::1]:5353".parse().unwrap()));
        assert_eq!(DnsOptions::server("resolver.example"), None);
    }

    #[tokio::test]
    async fn a_cut_answer_is_asked_for_again_over_tcp() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let Ok(socket) = UdpSocket::bind(address).await else { return };
        let long = "x".repeat(3_000);
        let texts = vec![long.clone(), "token".to_owned()];
        tokio::spawn(async move {
            let mut asked = vec![0; 512];
            let (length, from) = socket.recv_from(&mut asked).await.unwrap();
            // Somebody else's answer first, which is passed over.
            socket.send_to(&[0; 40], from).await.unwrap();
            socket.send_to(&answer(&asked[..length], 0x8380, &[], 1), from).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut asked = vec![0; usize::from(length)];
            stream.read_exact(&mut asked).await.unwrap();
            let answer = answer(&asked, 0x8180, &[&long, "token"], 200);
            stream.write_u16(answer.len() as u16).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        });
        let resolver = Resolver::new(&DnsOptions { servers: vec![address] });
        assert_eq!(resolver.txt(NAME).await, Ok(texts));
        assert_eq!(resolver.txt("not a name").await, Err(DnsError::Name));
    }
}
