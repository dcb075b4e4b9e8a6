//! A feed on this machine that answers whatever a test gives it, as well or as badly as it says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is answered.
#[derive(Clone, Default)]
struct Given {
    head: String,
    body: Vec<u8>,
    etag: Option<String>,
    /// Bytes that are stated but never come.
    missing: usize,
}

/// A server on a port of its own; it ends with the test's process.
pub struct Feed {
    /// Its port.
    pub port: u16,
    given: Arc<Mutex<Given>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Feed {
    /// A feed that has nothing yet.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let given = Arc::new(Mutex::new(Given { head: "404 Not Found".to_owned(), ..Given::default() }));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answers, requests) = (given.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer: Given = answers.lock().unwrap().clone();
                let mut stream = stream;
                if let Some(request) = head_of(&mut stream) {
                    requests.lock().unwrap().push(request.clone());
                    serve(stream, &request, &answer);
                }
            }
        });
        Self { port, given, asked }
    }

    /// An address of the feed.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers with a body from now on.
    pub fn give(&self, body: &str) {
        *self.given.lock().unwrap() = Given { head: "200 OK".to_owned(), body: body.as_bytes().to_vec(), ..Given::default() };
    }

    /// The same with a tag: who has it already is told so.
    pub fn give_tagged(&self, body: &str, etag: &str) {
        *self.given.lock().unwrap() = Given { head: "200 OK".to_owned(), body: body.as_bytes().to_vec(), etag: Some(etag.to_owned()), missing: 0 };
    }

    /// Answers with a status line and headers from now on.
    pub fn answer(&self, head: &str) {
        *self.given.lock().unwrap() = Given { head: head.to_owned(), ..Given::default() };
    }

    /// Answers with a body that breaks off.
    pub fn break_off(&self, body: &str) {
        *self.given.lock().unwrap() = Given { head: "200 OK".to_owned(), body: body.as_bytes().to_vec(), etag: None, missing: 1_000 };
    }

    /// The heads of all requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The head of a request; `None` where there is none.
fn head_of(stream: &mut TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let (mut request, mut piece) = (Vec::new(), [0; 4_096]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&piece[..count]);
    }
    Some(String::from_utf8_lossy(&request).to_lowercase())
}

/// Answers one request.
fn serve(mut stream: TcpStream, request: &str, given: &Given) {
    let has_it = given.etag.as_ref().is_some_and(|etag| request.contains(&format!("if-none-match: {}", etag.to_lowercase())));
    let tag = given.etag.as_ref().map_or_else(String::new, |etag| format!("ETag: {etag}\r\n"));
    let (head, body): (&str, &[u8]) = if has_it { ("304 Not Modified", b"") } else { (&given.head, &given.body) };
    let length = if has_it { String::new() } else { format!("Content-Length: {}\r\n", body.len() + given.missing) };
    let answer = format!("HTTP/1.1 {head}\r\n{tag}{length}Connection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.write_all(body);
}
