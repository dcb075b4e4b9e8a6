//! The client: one blocking connection to a hub, and the commands that use it.
//!
//! Flow: [`Api::new`] reads address and key → a command calls [`Api::get`] or [`Api::send`] → an [`Answer`] whatever its status.
//! Invariant: the key is sent to the hub's own address alone (redirects are not followed) and never printed.
//! Not here: retries, which only `submit` and `stream` may do without being asked.

pub mod archive;
pub mod chunks;
pub mod contacts;
pub mod export;
pub mod findings;
pub mod import;
pub mod inbox;
pub mod input;
pub mod lookup;
pub mod members;
pub mod networks;
pub mod pages;
pub mod query;
pub mod search;
pub mod sender;
pub mod sources;
pub mod status;
pub mod stream;
pub mod submit;
pub mod subscribe;
pub mod withdraw;

use crate::cli::Connection;
use crate::output::ToHub;
use anyhow::{Context, anyhow, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use std::io::Read;
use std::path::Path;
use std::time::Duration;
use ureq::http::{Method, Request};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

/// Answers are read up to this size.
const LARGEST_ANSWER: u64 = 256 << 20;
/// Reasons of a refusal that are shown.
const MOST_REASONS: usize = 10;
/// What the hub says over reasons that say it better.
const GENERAL: [&str; 2] = ["a field of the body is wrong", "a parameter is wrong"];
/// Key files are read up to this size.
const LARGEST_KEY_FILE: u64 = 4096;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the hub may stay silent, also inside a stream, whose heartbeats come every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// A hub as one key sees it.
pub struct Api {
    agent: ureq::Agent,
    url: String,
    authorization: String,
}

/// What the hub answered.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Seconds after which to try again, where the hub says so.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

impl Api {
    /// Prepares a client; nothing is sent yet.
    pub fn new(connection: &Connection) -> anyhow::Result<Self> {
        let url = connection.url.trim_end_matches('/');
        if !url.starts_with("http://") && !url.starts_with("https://") {
            bail!("--url {url}: expected http://… or https://…");
        }
        let key = match &connection.key_file {
            Some(path) => read_key(path)?,
            None => std::env::var("BONGSU_KEY").map_err(|_| anyhow!("no key: set BONGSU_KEY or give --key-file"))?,
        };
        let key = key.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!("the key is empty or holds characters that no key has");
        }
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("bongsu/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE));
        if let Some(path) = &connection.ca {
            config = config.tls_config(TlsConfig::builder().root_certs(roots(path)?).build());
        }
        Ok(Self { agent: config.build().new_agent(), url: url.to_owned(), authorization: format!("Bearer {key}") })
    }

    /// The hub's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks for a resource.
    pub fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Answer> {
        let request = self.request(Method::GET, path, query, &[]).body(()).context("making the request")?;
        finish(self.agent.run(request))
    }

    /// Takes a resource out.
    pub fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        let request = self.request(Method::DELETE, path, &[], &[]).body(()).context("making the request")?;
        finish(self.agent.run(request))
    }

    /// Asks for a stream; the answer's body is read as it comes. Anything but 200 is an answer to be read at once.
    pub fn open(&self, path: &str, query: &[(&str, String)], headers: &[(&str, &str)]) -> anyhow::Result<Result<Box<dyn Read>, Answer>> {
        let request = self.request(Method::GET, path, query, headers).body(()).context("making the request")?;
        let response = self.agent.run(request).context(ToHub)?;
        if response.status().as_u16() == 200 {
            return Ok(Ok(Box::new(response.into_body().into_with_config().limit(u64::MAX).reader())));
        }
        finish(Ok(response)).map(Err)
    }

    /// Sends a body.
    pub fn send(&self, method: Method, path: &str, query: &[(&str, String)], headers: &[(&str, &str)], body: &[u8]) -> anyhow::Result<Answer> {
        let request = self.request(method, path, query, headers).body(body).context("making the request")?;
        finish(self.agent.run(request))
    }

    /// Sends a JSON body.
    pub fn send_json(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let body = serde_json::to_vec(body)?;
        self.send(method, path, &[], &[("content-type", "application/json")], &body)
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, String)], headers: &[(&str, &str)]) -> ureq::http::request::Builder {
        let mut uri = format!("{}{path}", self.url);
        for (place, (name, value)) in query.iter().enumerate() {
            uri.push(if place == 0 { '?' } else { '&' });
            uri.push_str(name);
            uri.push('=');
            query::encode(value, &mut uri);
        }
        let mut request = Request::builder().method(method).uri(uri).header("authorization", &self.authorization);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    }
}

/// A part of an answer, taken apart.
pub fn parse(raw: &RawValue) -> anyhow::Result<Value> {
    serde_json::from_str(raw.get()).context("the hub's answer is no JSON")
}

fn finish(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> anyhow::Result<Answer> {
    let mut response = result.context(ToHub)?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).and_then(|value| value.trim().parse().ok());
    let body = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec().context(ToHub)?;
    Ok(Answer { status, retry_after, body })
}

impl Answer {
    /// The JSON of a success, or the hub's words as an error.
    pub fn json(&self) -> anyhow::Result<Value> {
        self.read()
    }

    /// The JSON of a success as the hub wrote it, its fields in the hub's order; or the hub's words as an error.
    pub fn raw(&self) -> anyhow::Result<Box<RawValue>> {
        self.read()
    }

    /// The JSON of a success read into a shape, or the hub's words as an error.
    pub fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        if !(200..300).contains(&self.status) {
            return Err(self.problem());
        }
        serde_json::from_slice(&self.body).context("the hub's answer is not what this command reads")
    }

    /// The hub's words for a refusal (a problem document, RFC 9457), as an error.
    pub fn problem(&self) -> anyhow::Error {
        let document: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (title, mut detail) = (text("title"), text("detail"));
        let reasons: Vec<String> = document.get("errors").and_then(Value::as_array).into_iter().flatten().take(MOST_REASONS).map(reason).collect();
        if !(400..500).contains(&self.status) || (detail.is_empty() && reasons.is_empty()) {
            let parts = [title, detail].into_iter().filter(|part| !part.is_empty()).map(|part| format!(": {part}"));
            let mut words = format!("the hub answered {}", self.status);
            words.extend(parts);
            words.extend(reasons.iter().map(|reason| format!("\n  {reason}")));
            return anyhow!(words);
        }
        if GENERAL.contains(&detail.as_str()) && !reasons.is_empty() {
            // The reasons say it better.
            detail.clear();
        }
        let said = [detail].into_iter().filter(|detail| !detail.is_empty()).chain(reasons);
        let mut words = said.collect::<Vec<_>>().join("\n  ");
        if self.status == 401 {
            words.push_str(" (is the key right, valid, and used from an allowed address?)");
        }
        let status = format!("{} {title}", self.status);
        words.push_str(&format!(" [{}]", status.trim_end()));
        anyhow!(words)
    }
}

/// One reason of a refusal with its place: a field as the command line would name it, or a line.
fn reason(error: &Value) -> String {
    let reason = error.get("reason").and_then(Value::as_str).unwrap_or_default();
    let field = error.get("pointer").and_then(Value::as_str).map(|pointer| pointer.trim_start_matches('/').replace('/', "."));
    let place = field.or_else(|| error.get("line").map(|line| format!("line {line}"))).unwrap_or_default();
    if place.is_empty() { reason.to_owned() } else { format!("{place}: {reason}") }
}

fn read_key(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path).and_then(|file| file.take(LARGEST_KEY_FILE).read_to_string(&mut text)).with_context(|| format!("key file {}", path.display()))?;
    Ok(text)
}

fn roots(path: &Path) -> anyhow::Result<RootCerts> {
    let pem = std::fs::read(path).with_context(|| format!("--ca {}", path.display()))?;
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.with_context(|| format!("--ca {}", path.display()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        bail!("--ca {}: expected at least one certificate in PEM", path.display());
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_hubs_words() {
        let answer = Answer {
            status: 400,
            retry_after: None,
            body: br#"{"title":"Bad request","detail":"a parameter is wrong","errors":[{"pointer":"within","reason":"not a range"}]}"#.to_vec(),
        };
        let words = answer.json().unwrap_err().to_string();
        assert_eq!(words, "within: not a range [400 Bad request]");
    }

    #[test]
    fn the_reason_comes_first_and_the_status_last() {
        let said = |status: u16, body: &str| Answer { status, retry_after: None, body: body.as_bytes().to_vec() }.problem().to_string();
        let body = r#"{"title":"Unprocessable Entity","detail":"a field of the body is wrong","errors":[{"pointer":"/value","reason":"no domain"}]}"#;
        assert_eq!(said(422, body), "value: no domain [422 Unprocessable Entity]");
        let body = r#"{"title":"Unprocessable Entity","detail":"nothing usable","errors":[{"line":2,"reason":"no time"},{"pointer":"","reason":"no object"}]}"#;
        assert_eq!(said(422, body), "nothing usable\n  line 2: no time\n  no object [422 Unprocessable Entity]");
        let body = r#"{"title":"Unprocessable Entity","detail":"a field of the body is wrong","errors":[{"pointer":"/rhythm/times","reason":"none"}]}"#;
        assert!(said(422, body).starts_with("rhythm.times: none ["));
        assert_eq!(said(404, r#"{"title":"Not Found","detail":"it does not exist"}"#), "it does not exist [404 Not Found]");
        assert!(said(401, r#"{"title":"Unauthorized","detail":"no key"}"#).ends_with("from an allowed address?) [401 Unauthorized]"));
        assert_eq!(said(503, r#"{"title":"Service Unavailable","detail":"busy"}"#), "the hub answered 503: Service Unavailable: busy");
    }

    #[test]
    fn a_refusal_without_a_document_still_has_its_status() {
        let answer = Answer { status: 502, retry_after: None, body: b"<html>".to_vec() };
        assert_eq!(answer.problem().to_string(), "the hub answered 502");
    }
}
