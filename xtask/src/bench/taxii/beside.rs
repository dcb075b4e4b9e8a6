//! Other TAXII servers on the same machine: medallion, started here, and any that runs already.
//!
//! `BONGSU_BENCH_PYTHON` names an interpreter that has medallion 3.0.0 from PyPI: it is started with its memory backend and [`OBJECTS`] objects, more than which
//! it hardly survives. `BONGSU_BENCH_TAXII` is the URL of a collection of a running server, OpenTAXII's for example, with the credentials in it:
//! `http://user:password@127.0.0.1:9000/taxii2/root/collections/ID/`.
//! Not here: what they answer; `tests/python/medallion.py` compares that.

use super::{MEDIA, objects};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Objects in medallion.
const OBJECTS: u64 = 3_000;
/// Objects of a page asked of others.
const PAGE: usize = 1_000;
/// How long another server is asked for pages, over and over.
const ASKED_FOR: Duration = Duration::from_secs(10);
/// How long one may take to start.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
const COLLECTION: &str = "91a7b528-80eb-42ed-a74d-c6fbd5a26116";

/// Objects served a second by each server that there is, with its name.
pub fn measure() -> anyhow::Result<Vec<(String, f64)>> {
    let mut measured = Vec::new();
    if let Some(python) = std::env::var_os("BONGSU_BENCH_PYTHON") {
        let medallion = Medallion::start(Path::new(&python))?;
        let url = format!("http://127.0.0.1:{}/main/collections/{COLLECTION}/", medallion.port);
        measured.push((format!("medallion 3.0.0 with {OBJECTS} objects"), served(&url, "Basic YW55b25lOnNlY3JldA==")?));
    } else {
        println!("medallion is not measured: BONGSU_BENCH_PYTHON names no interpreter that has it");
    }
    if let Ok(url) = std::env::var("BONGSU_BENCH_TAXII") {
        let (credentials, bare) = parted(&url).context("BONGSU_BENCH_TAXII is http://user:password@host/…/collections/ID/")?;
        measured.push(("the other server".to_owned(), served(&bare, &format!("Basic {}", base64(credentials.as_bytes())))?));
    }
    Ok(measured)
}

/// Credentials of a URL, and the URL without them.
fn parted(url: &str) -> Option<(&str, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let (credentials, place) = rest.split_once('@')?;
    Some((credentials, format!("{scheme}://{}/", place.trim_end_matches('/'))))
}

/// Goes through a collection again and again; gives objects a second.
fn served(collection: &str, authorization: &str) -> anyhow::Result<f64> {
    let began = Instant::now();
    let (mut objects, mut next) = (0, String::new());
    while began.elapsed() < ASKED_FOR {
        let mut url = format!("{collection}objects/?limit={PAGE}");
        if !next.is_empty() {
            url = format!("{url}&next={next}");
        }
        let mut answer = ureq::get(&url).header("accept", MEDIA).header("authorization", authorization).call().with_context(|| url.clone())?;
        let envelope: Value = serde_json::from_slice(&answer.body_mut().read_to_vec()?).context("an envelope")?;
        let page = envelope.get("objects").and_then(Value::as_array).map_or(0, Vec::len);
        if page == 0 {
            bail!("{collection} holds nothing");
        }
        objects += page;
        let more = envelope.get("more").and_then(Value::as_bool).unwrap_or(false);
        envelope.get("next").and_then(Value::as_str).filter(|_| more).unwrap_or_default().clone_into(&mut next);
    }
    Ok(objects as f64 / began.elapsed().as_secs_f64())
}

/// medallion, ended with this value.
struct Medallion {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Medallion {
    fn start(python: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a folder for medallion")?;
        // Free now; medallion takes it at once.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).context("a port for medallion")?.port();
        let (data, settings) = (folder.path().join("data.json"), folder.path().join("settings.json"));
        std::fs::write(&data, content()?.to_string())?;
        let backend = json!({ "module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": data.to_string_lossy() });
        std::fs::write(&settings, json!({ "backend": backend, "users": { "anyone": "secret" }, "taxii": { "max_page_size": PAGE } }).to_string())?;
        let mut command = Command::new(python);
        command.args(["-m", "medallion.scripts.run", "--port", &port.to_string()]).arg(&settings).current_dir(folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("starting medallion")?;
        let mut medallion = Self { child, port, _folder: folder };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if medallion.child.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                bail!("medallion does not start; is it there? {} -m medallion.scripts.run", python.display());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(medallion)
    }
}

impl Drop for Medallion {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What medallion begins with: it takes minutes to be given as much.
fn content() -> anyhow::Result<Value> {
    let mut body = Vec::new();
    objects::write_bundle(&mut body, 0, OBJECTS);
    let envelope: Value = serde_json::from_slice(&body)?;
    let objects = envelope.get("objects").and_then(Value::as_array).context("objects")?;
    let field = |object: &Value, name: &str| object.get(name).cloned().unwrap_or(Value::Null);
    let record = |(place, object): (usize, &Value)| {
        // Each added at a moment of its own.
        let added = format!("2026-01-01T00:{:02}:{:02}.{:06}Z", place / 60 % 60, place % 60, place);
        json!({ "id": field(object, "id"), "date_added": added, "version": field(object, "modified"), "media_type": "application/stix+json;version=2.1" })
    };
    let manifest: Vec<Value> = objects.iter().enumerate().map(record).collect();
    let root = json!({ "title": "root", "versions": [MEDIA], "max_content_length": 104_857_600 });
    let collection = json!({
        "id": COLLECTION, "title": "bench", "can_read": true, "can_write": true, "media_types": ["application/stix+json;version=2.1"],
        "objects": objects, "manifest": manifest
    });
    Ok(json!({
        "/discovery": { "title": "medallion", "default": "/main/", "api_roots": ["/main/"] },
        "main": { "information": root, "status": [], "collections": [collection] }
    }))
}

/// Source: RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4_usize {
            let letter = ALPHABET.get((bits >> (18 - 6 * place) & 63) as usize).copied().unwrap_or(b'=');
            out.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_a_url() {
        let parts = parted("http://user:pass@127.0.0.1:9000/taxii2/root/collections/a");
        assert_eq!(parts, Some(("user:pass", "http://127.0.0.1:9000/taxii2/root/collections/a/".to_owned())));
        assert_eq!(base64(b"anyone:secret"), "YW55b25lOnNlY3JldA==");
        assert_eq!(parted("http://127.0.0.1/"), None);
    }
}
