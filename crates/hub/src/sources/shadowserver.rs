//! Shadowserver's reports: a folder into which they are put, one by its address, or their own interface.
//!
//! Flow: [`collect`] → files, as the plain kinds bring them, or those that the interface lists and that were not taken → [`converted`] makes our
//! fields of each by the kind in its name (`formats::shadowserver`).
//! Invariant: a report is taken once; a file that is no report is named, and the others are taken.
//! Not here: what a kind of report says (`formats::shadowserver`), reports that come by mail ([`super::mail`], which asks [`converted`]).
//!
//! Source: the public description of Shadowserver's reports and of their interface, `api2`.

use super::mail::is_wanted;
use super::{Body, Collected, Context, MAX_BYTES, MAX_TIME, SourceError, fetch};
use crate::outbound::{Ask, Verb};
use bytes::Bytes;
use formats::shadowserver::{convert, report_of};
use formats::{Format, Refusal};
use hmac::{Hmac, KeyInit as _, Mac as _};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// How many days back the interface is asked for.
const DAYS: u64 = 7;
/// How long reports taken are remembered; longer than they are asked for.
const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);
/// Reports of a run by the interface.
const A_RUN: usize = 50;
/// Reports that a list of the interface holds.
const MAX_LISTED: usize = 10_000;
/// Bytes of a list.
const MAX_LIST: usize = 16 << 20;
/// From where Shadowserver gives reports out.
const DOWNLOADS: &str = "https://dl.shadowserver.org/";
/// What a report's id may have at the most.
const MAX_ID: usize = 128;

/// What is remembered of the interface.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// Reports taken, and when.
    taken: BTreeMap<String, Timestamp>,
}

/// A report that the interface lists.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    id: String,
    file: String,
}

/// Brings reports that were not taken before.
pub(super) async fn collect(context: &Context<'_>) -> Result<Collected, SourceError> {
    if context.source.path.is_some() {
        let mut collected = fetch::folder(context).await?;
        convert_all(context, &mut collected);
        return Ok(collected);
    }
    let url = context.url()?;
    if is_interface(&url) {
        return by_interface(context, url).await;
    }
    let mut collected = fetch::collect(context).await?;
    // One report is never the whole state.
    collected.whole = false;
    convert_all(context, &mut collected);
    Ok(collected)
}

/// A report in our fields, with the rows that cannot be taken; `None` where the name is none of a report's.
pub(super) fn converted(name: &str, bytes: &[u8]) -> Option<Result<(Body, Vec<Refusal>), String>> {
    let kind = report_of(name)?;
    let id = |row: &[u8]| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(kind.as_bytes()).update(b"\0").update(row);
        let hash = hasher.finalize().to_hex();
        format!("shadowserver-{}", hash.get(..32).unwrap_or_default())
    };
    Some(convert(&kind, bytes, id).map(|converted| (Body { is_ours: true, ..Body::new(name, Some(Format::Ndjson), converted.ndjson) }, converted.refused)))
}

/// Converts every body; what is no report is named.
fn convert_all(context: &Context<'_>, collected: &mut Collected) {
    for body in std::mem::take(&mut collected.bodies) {
        if is_wanted(&context.source.files, &body.name) {
            add(collected, &body.name, &body.bytes);
        }
    }
}

fn add(collected: &mut Collected, name: &str, bytes: &[u8]) {
    match converted(name, bytes) {
        Some(Ok((body, refused))) => {
            collected.refused.extend(refused.into_iter().map(|refusal| (name.to_owned(), refusal)));
            if !body.bytes.is_empty() {
                collected.bodies.push(body);
            }
        }
        Some(Err(reason)) => collected.refused.push((name.to_owned(), Refusal { line: 1, reason })),
        None => {
            let reason = "the name is none of a report, such as 2026-11-22-scan_ssl-country.csv".to_owned();
            collected.refused.push((name.to_owned(), Refusal { line: 1, reason }));
        }
    }
}

fn is_interface(url: &Url) -> bool {
    url.path_segments().is_some_and(|mut steps| steps.any(|step| step == "api2"))
}

/// Asks the interface: what it lists for the last days and was not taken.
async fn by_interface(context: &Context<'_>, url: Url) -> Result<Collected, SourceError> {
    let mut state: State = serde_json::from_value(context.state.clone()).unwrap_or_default();
    let listed = list(context, &url).await?;
    let news: Vec<&Listed> = listed.iter().filter(|report| !state.taken.contains_key(&report.id) && is_wanted(&context.source.files, &report.file)).collect();
    let mut collected = Collected { more: news.len() > A_RUN, unchanged: news.is_empty(), ..Collected::default() };
    let mut bytes = 0;
    for (place, report) in news.iter().take(A_RUN).enumerate() {
        if bytes > MAX_BYTES / 4 {
            collected.more = true;
            break;
        }
        let answer = match context.get(download(&url, &report.id)?, &[("accept", "text/csv, */*")]).await {
            Ok(answer) => answer,
            // What came before is taken; the next run meets the fault again.
            Err(error) if place > 0 => {
                tracing::warn!(source = %context.source.name, %error, "reports were read in part");
                break;
            }
            Err(error) => return Err(error),
        };
        match fetch::unpacked(Bytes::from(answer.body)).await {
            Ok(plain) => {
                bytes += plain.len();
                add(&mut collected, &report.file, &plain);
            }
            Err(error) => collected.refused.push((report.file.clone(), Refusal { line: 1, reason: error.to_string() })),
        }
        state.taken.insert(report.id.clone(), context.now);
    }
    state.taken.retain(|_, at| at.plus(REMEMBERED) > context.now);
    collected.state = serde_json::to_value(&state).map_err(|error| SourceError::Content(error.to_string()))?;
    Ok(collected)
}

async fn list(context: &Context<'_>, url: &Url) -> Result<Vec<Listed>, SourceError> {
    let (Some(key), Some(file)) = (&context.source.user, &context.source.password_file) else {
        return Err(SourceError::Content("user, password_file: expected the key of Shadowserver's interface and its secret".to_owned()));
    };
    let day = |at: Timestamp| at.to_micro_string().chars().take(10).collect::<String>();
    let from = context.now.minus(Duration::from_secs(DAYS * 86_400));
    let body = json!({ "apikey": key, "date": format!("{}:{}", day(from), day(context.now)) }).to_string();
    let signature = signature(fetch::secret(file)?.as_bytes(), body.as_bytes());
    let headers = vec![("content-type".to_owned(), "application/json".to_owned()), ("hmac2".to_owned(), signature)];
    let url = step(url, "reports/list");
    let ask = Ask { method: Verb::Post, url, headers, body: body.into_bytes(), max_answer: MAX_LIST, timeout: MAX_TIME, redirects: 0 };
    let answer = context.ask(ask).await?;
    read_list(&answer.body)
}

fn read_list(body: &[u8]) -> Result<Vec<Listed>, SourceError> {
    let list: Value = serde_json::from_slice(body).map_err(|_| SourceError::Content("the interface's list is no JSON".to_owned()))?;
    if let Some(error) = list.get("error").and_then(Value::as_str) {
        return Err(SourceError::Content(format!("the interface says: {}", error.chars().filter(|c| !c.is_control()).take(200).collect::<String>())));
    }
    let rows = list.as_array().ok_or_else(|| SourceError::Content("the interface's list is none".to_owned()))?;
    let is_id = |id: &&str| !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
    let listed = rows.iter().take(MAX_LISTED).filter_map(|row| {
        let id = row.get("id").and_then(Value::as_str).filter(is_id)?.to_owned();
        let named = || Some(format!("{}-{}.csv", text(row, "timestamp")?.chars().take(10).collect::<String>(), text(row, "type")?));
        let file = text(row, "file").or_else(named)?;
        Some(Listed { id, file })
    });
    Ok(listed.collect())
}

/// Where a report is. Shadowserver gives them out at an address of their own, which needs no key; any other server does below its own.
fn download(url: &Url, id: &str) -> Result<Url, SourceError> {
    let own = url.host_str().is_some_and(|host| host == "shadowserver.org" || host.ends_with(".shadowserver.org"));
    if own {
        return Url::parse(DOWNLOADS).and_then(|base| base.join(id)).map_err(|error| SourceError::Content(error.to_string()));
    }
    Ok(step(url, &format!("download/{id}")))
}

fn step(url: &Url, step: &str) -> Url {
    let mut url = url.clone();
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{path}/{step}"));
    url
}

/// HMAC-SHA-256 in hexadecimal.
fn signature(secret: &[u8], body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(body);
    let mut hex = String::with_capacity(64);
    for byte in mac.finalize().into_bytes() {
        hex.push_str(&format!("{byte:02x}"));
    }
    hex
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"timestamp,ip,port\n2026-11-21 03:00:01,192.0.2.1,443\n";

    #[test]
    fn a_report_is_converted_and_the_same_row_has_the_same_id() {
        let id = |name: &str, table: &[u8]| {
            let (body, refused) = converted(name, table).unwrap().unwrap();
            assert!(refused.is_empty() && body.is_ours);
            let line: Value = serde_json::from_slice(&body.bytes).unwrap();
            line["id"].as_str().unwrap().to_owned()
        };
        let first = id("2026-11-22-scan_ssl-kr.csv", TABLE);
        assert_eq!(first, id("2026-11-22-scan_ssl-all.csv", TABLE));
        assert_ne!(first, id("2026-11-22-scan_rdp-kr.csv", TABLE));
        assert!(converted("notes.txt", TABLE).is_none());
        assert!(converted("2026-11-22-scan_ssl-kr.csv", b"<html>").unwrap().is_err());
    }

    #[test]
    fn of_a_report_that_breaks_off_the_last_row_is_named() {
        let (body, refused) = converted("2026-11-22-scan_ssl-kr.csv", &TABLE[..TABLE.len() - 6]).unwrap().unwrap();
        assert!(body.bytes.is_empty() && refused.len() == 1);
    }

    #[test]
    fn the_interfaces_list_is_read_and_no_id_leaves_its_place() {
        let list = json!([
            {"id": "abc-1", "file": "2026-11-22-scan_ssl-kr.csv"},
            {"id": "../x", "file": "2026-11-22-scan_ssl-kr.csv"},
            {"id": "abc-2", "type": "scan_rdp", "timestamp": "2026-11-21"},
        ]);
        let listed = read_list(list.to_string().as_bytes()).unwrap();
        assert_eq!(listed.iter().map(|report| report.file.as_str()).collect::<Vec<_>>(), ["2026-11-22-scan_ssl-kr.csv", "2026-11-21-scan_rdp.csv"]);
        assert!(read_list(br#"{"error":"bad key"}"#).unwrap_err().to_string().contains("bad key"));
        let url = Url::parse("https://transform.shadowserver.org/api2/").unwrap();
        assert_eq!(download(&url, "abc-1").unwrap().as_str(), "https://dl.shadowserver.org/abc-1");
        assert_eq!(download(&Url::parse("https://mirror.example/api2").unwrap(), "a").unwrap().as_str(), "https://mirror.example/api2/download/a");
        assert!(is_interface(&url));
    }

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // RFC 4231, test case 2.
        assert_eq!(signature(b"Jefe", b"what do ya want for nothing?"), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
