//! A caller of the API: requests, answers, pages and the live stream.
//!
//! Not here: the hub's process and its command line (`super`).

use super::REQUEST_WITHIN;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};

/// The largest answer a test reads.
const MAX_ANSWER: u64 = 1 << 30;

/// A caller of the API.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    key: Option<String>,
}

impl Client {
    /// A caller of the hub at `base`. Certificates are not checked: the tests sign their own.
    pub fn new(base: &str, key: Option<&str>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(REQUEST_WITHIN))
            .tls_config(ureq::tls::TlsConfig::builder().disable_verification(true).build())
            .build();
        Self { agent: config.into(), base: base.to_owned(), key: key.map(str::to_owned) }
    }

    /// One request; a broken connection is an error, any status is an answer.
    pub fn try_request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Result<Answer, ureq::Error> {
        let mut response = self.open(method, path, headers, body)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok(Answer { status, headers, body })
    }

    /// The status alone; the body, which may never end, is left unread.
    pub fn status(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> u16 {
        self.open(method, path, headers, body).unwrap().status().as_u16()
    }

    /// Begins a request and gives the response with its body unread.
    pub fn open(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match body {
            Some(body) => self.agent.run(request.body(body)?),
            None => self.agent.run(request.body(())?),
        }
    }

    /// One request that must be answered.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
        self.try_request(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Reads.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], None)
    }

    /// Sends JSON.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, &[("content-type", "application/json")], Some(&serde_json::to_vec(body).unwrap()))
    }

    /// Changes a record.
    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.request("PATCH", path, &[("content-type", "application/json")], Some(&serde_json::to_vec(body).unwrap()))
    }

    /// Submits a body in the format that `content_type` names.
    pub fn submit(&self, content_type: &str, body: &[u8]) -> Answer {
        self.request("POST", "/api/v1/events", &[("content-type", content_type)], Some(body))
    }

    /// Submits events as NDJSON; all must be taken. Gives the answer.
    pub fn events(&self, events: &[Value]) -> Value {
        let answer = self.submit("application/x-ndjson", &ndjson(events));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        assert_eq!(body["refused"], 0, "{body}");
        body
    }

    /// Every event that a search gives, page after page.
    pub fn search(&self, query: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let after = cursor.as_ref().map_or_else(String::new, |cursor| format!("&cursor={}", escape(cursor)));
            let answer = self.get(&format!("/api/v1/events?limit=500&{query}{after}"));
            assert_eq!(answer.status, 200, "{}", answer.text());
            let page = answer.json();
            found.extend(items(&page).iter().cloned());
            match page["cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return found,
            }
        }
    }

    /// What the hub knows of each value.
    pub fn lookup(&self, values: &[&str]) -> Vec<Value> {
        let answer = self.post("/api/v1/observables/lookup", &json!({ "values": values }));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["results"].as_array().unwrap().clone()
    }

    /// What the hub knows of one value.
    pub fn observable(&self, kind: &str, value: &str) -> Answer {
        self.get(&format!("/api/v1/observables/{kind}/{}", escape(value)))
    }

    /// Opens the live stream.
    pub fn stream(&self, query: &str, headers: &[(&str, &str)]) -> Stream {
        let response = self.open("GET", &format!("/api/v1/stream?{query}"), headers, None).unwrap();
        assert_eq!(response.status().as_u16(), 200);
        Stream { lines: BufReader::new(Box::new(response.into_body().into_reader())) }
    }
}

/// An answer, whole.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: ureq::http::HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value; empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A live stream of server-sent events.
pub struct Stream {
    lines: BufReader<Box<dyn std::io::Read>>,
}

impl Stream {
    /// The next event: its sequence number and content. `None` where the connection ends.
    pub fn next_event(&mut self) -> Option<(u64, Value)> {
        let (mut id, mut data) = (None, String::new());
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            let line = line.trim_end_matches(['\r', '\n']);
            if let Some(text) = line.strip_prefix("id:") {
                id = text.trim().parse::<u64>().ok();
            } else if let Some(text) = line.strip_prefix("data:") {
                data.push_str(text.strip_prefix(' ').unwrap_or(text));
            } else if line.is_empty() {
                // An empty line ends one message; heartbeats carry no id.
                if let (Some(id), false) = (id.take(), data.is_empty()) {
                    return Some((id, serde_json::from_str(&data).unwrap()));
                }
                data.clear();
            }
        }
    }
}

/// The entries of a page, under whichever name the list has.
pub fn items(page: &Value) -> &[Value] {
    let list = page.as_object().and_then(|fields| fields.values().find_map(Value::as_array));
    list.unwrap_or_else(|| panic!("no list in {page}"))
}

/// Events, one per line.
pub fn ndjson(events: &[Value]) -> Vec<u8> {
    events.iter().flat_map(|event| format!("{event}\n").into_bytes()).collect()
}

/// A path segment or parameter, percent-encoded.
pub fn escape(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
