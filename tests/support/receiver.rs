//! Receivers of deliveries on this machine: a webhook that fails when a test says so, and a mail server that keeps what it gets.

use super::Random;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a connection may stand still.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request to a webhook.
#[derive(Debug, Clone)]
pub struct Posted {
    /// The path it came to.
    pub path: String,
    /// `webhook-id`.
    pub id: String,
    /// `webhook-signature`.
    pub signature: String,
    /// The body, as it came.
    pub body: Vec<u8>,
    /// Whether the receiver took it; where it did, the answer may have been lost all the same.
    pub taken: bool,
}

impl Posted {
    /// The message in it.
    pub fn message(&self) -> Value {
        serde_json::from_slice::<Value>(&self.body).unwrap()["data"].clone()
    }
}

/// How a webhook behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// It takes everything.
    Takes,
    /// It fails at random, at most so many times a path: an error before it takes anything, or a connection that breaks after.
    FailsAtRandom(u32),
    /// It is gone for good.
    Gone,
}

/// A webhook on a port of its own; it ends with the test's process.
pub struct Receiver {
    port: u16,
    posted: Arc<Mutex<Vec<Posted>>>,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Receiver {
    /// A receiver that behaves so.
    pub fn start(behaviour: Behaviour, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let receiver = Self { port, posted: Arc::default(), behaviour: Arc::new(Mutex::new(behaviour)) };
        let (posted, behaviour) = (receiver.posted.clone(), receiver.behaviour.clone());
        let random = Arc::new(Mutex::new(Random::new(seed)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (posted, behaviour, random) = (posted.clone(), behaviour.clone(), random.clone());
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    answer(stream, &posted, *behaviour.lock().unwrap(), &random);
                });
            }
        });
        receiver
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Behaves otherwise from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// Everything that came to a path, in order.
    pub fn at(&self, path: &str) -> Vec<Posted> {
        self.posted.lock().unwrap().iter().filter(|posted| posted.path == path).cloned().collect()
    }
}

/// Answers one request; the connection is closed after it.
fn answer(stream: TcpStream, posted: &Mutex<Vec<Posted>>, behaviour: Behaviour, random: &Mutex<Random>) {
    let mut reader = BufReader::new(stream);
    let Some(mut request) = read(&mut reader) else { return };
    let mut stream = reader.into_inner();
    let mut all = posted.lock().unwrap();
    let failed = all.iter().filter(|other| other.path == request.path && other.signature.is_empty()).count() as u32;
    let fails = matches!(behaviour, Behaviour::FailsAtRandom(most) if failed < most && random.lock().unwrap().percent(60));
    let breaks = fails && random.lock().unwrap().percent(50);
    request.taken = behaviour != Behaviour::Gone && (!fails || breaks);
    all.push(request.clone());
    if fails {
        // Counts the failure.
        all.push(Posted { signature: String::new(), taken: false, ..request });
    }
    drop(all);
    if breaks {
        return;
    }
    let status = match (behaviour, fails) {
        (Behaviour::Gone, _) => "410 Gone",
        (_, true) => "503 Service Unavailable",
        (_, false) => "204 No Content",
    };
    let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}

/// Reads a request; `None` where the connection breaks before its end.
fn read(reader: &mut BufReader<TcpStream>) -> Option<Posted> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut id, mut signature, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "webhook-id" => value.trim().clone_into(&mut id),
            "webhook-signature" => value.trim().clone_into(&mut signature),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Posted { path, id, signature, body, taken: false })
}

/// A mail server on a port of its own that takes everything; it ends with the test's process.
pub struct MailServer {
    /// Its port.
    pub port: u16,
    mails: Arc<Mutex<Vec<(String, String)>>>,
}

impl MailServer {
    /// A server that has nothing yet.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self { port, mails: Arc::default() };
        let mails = server.mails.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mails = mails.clone();
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let _ = talk(stream, &mails);
                });
            }
        });
        server
    }

    /// Mails to an address, as they came.
    pub fn to(&self, address: &str) -> Vec<String> {
        self.mails.lock().unwrap().iter().filter(|(to, _)| to == address).map(|(_, mail)| mail.clone()).collect()
    }
}

/// One conversation.
///
/// Source: RFC 5321, section 4.1.
fn talk(stream: TcpStream, mails: &Mutex<Vec<(String, String)>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    write!(stream, "220 test\r\n")?;
    let mut to = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" | "HELO" => write!(stream, "250-test\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")?,
            "RCPT" => {
                line.split(['<', '>']).nth(1).unwrap_or_default().clone_into(&mut to);
                write!(stream, "250 ok\r\n")?;
            }
            "DATA" => {
                write!(stream, "354 go on\r\n")?;
                let mut mail = String::new();
                loop {
                    let mut line = Vec::new();
                    lines.read_until(b'\n', &mut line)?;
                    if line.is_empty() || line == b".\r\n" {
                        break;
                    }
                    mail.push_str(&String::from_utf8_lossy(&line));
                }
                mails.lock().unwrap().push((to.clone(), mail));
                write!(stream, "250 kept\r\n")?;
            }
            "QUIT" => {
                write!(stream, "221 bye\r\n")?;
                return Ok(());
            }
            _ => write!(stream, "250 ok\r\n")?,
        }
    }
}
