//! A small server with the habits of others, and what is read from it.

use super::super::SourceOptions;
use super::*;
use crate::outbound::{Outbound, OutboundOptions};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const COLLECTION: &str = "/api1/collections/91a7b528-80eb-42ed-a74d-c6fbd5a26116/";

/// Habits of a server.
#[derive(Debug, Clone)]
struct Habits {
    /// Whether a cut page carries a cursor.
    next: bool,
    /// Objects of a page at the most, whatever is asked for.
    cap: usize,
    /// Whether the headers with dates are there.
    dates: bool,
    /// What `more` says: nothing false, or always no.
    lies: bool,
    /// Media types that are taken.
    accept: &'static str,
    /// A page without objects comes before each real one.
    empty: bool,
    /// The largest limit that is no error.
    limit: usize,
    /// Dates without a fraction.
    whole_seconds: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            next: true,
            cap: 7,
            dates: true,
            lies: false,
            accept: "application/taxii+json;version=2.1",
            empty: false,
            limit: 1_000_000,
            whole_seconds: false,
        }
    }
}

fn indicator(number: u32, modified: &str, further: Value) -> Value {
    let mut object = json!({
        "type": "indicator", "spec_version": "2.1", "id": format!("indicator--00000000-0000-4000-8000-{number:012}"), "created": "2026-11-01T00:00:00.000Z",
        "modified": modified, "valid_from": "2026-11-01T00:00:00.000Z", "pattern_type": "stix", "indicator_types": ["malicious-activity"],
        "pattern": format!("[ipv4-addr:value = '198.51.{}.{}']", number / 250, number % 250 + 1),
    });
    object.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    object
}

/// Answers a request for objects: those added after a date, from a cursor on.
fn objects(habits: &Habits, all: &[(i64, Value)], query: &[(String, String)]) -> (u16, Vec<(String, String)>, Value) {
    let of = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let limit: usize = of("limit").map_or(100, |text| text.parse().unwrap());
    if limit > habits.limit {
        return (400, Vec::new(), json!({}));
    }
    let after = of("added_after").map_or(i64::MIN, |text| Timestamp::parse(&text).unwrap().micros());
    let start: usize = of("next").map_or(0, |text| text.trim_start_matches('e').parse().unwrap());
    let found: Vec<&(i64, Value)> = all.iter().filter(|(added, _)| *added > after).collect();
    let is_empty = habits.empty && !of("next").is_some_and(|text| text.starts_with('e'));
    let size = if is_empty { 0 } else { limit.min(habits.cap) };
    let page: Vec<&(i64, Value)> = found.iter().skip(start).take(size).copied().collect();
    let more = start + page.len() < found.len();
    let mut body = json!({});
    if !page.is_empty() {
        body["objects"] = page.iter().map(|(_, object)| object.clone()).collect();
    }
    if more && !habits.lies {
        body["more"] = json!(true);
        if habits.next {
            body["next"] = json!(format!("{}{}", if is_empty { "e" } else { "" }, start + page.len()));
        }
    }
    let mut headers = vec![("date".to_owned(), "Sun, 22 Nov 2026 10:00:00 GMT".to_owned())];
    if let (true, Some((last, _))) = (habits.dates, page.last()) {
        let text = Timestamp::from_micros(*last).to_micro_string();
        headers.push(("x-taxii-date-added-last".to_owned(), if habits.whole_seconds { format!("{}Z", &text[..19]) } else { text }));
    }
    (200, headers, body)
}

type Objects = Arc<parking_lot::Mutex<Vec<(i64, Value)>>>;

/// Starts a server; gives its address.
async fn serve(habits: Habits, all: Objects) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let (habits, all) = (habits.clone(), all.clone());
            tokio::spawn(async move {
                let mut request = Vec::new();
                let mut piece = [0; 4_096];
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    let Ok(read) = stream.read(&mut piece).await else { return };
                    if read == 0 {
                        return;
                    }
                    request.extend_from_slice(&piece[..read]);
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let (status, headers, body) = answer(&habits, &all, &request);
                let body = body.to_string();
                let media = if habits.accept.contains("2.0") { "application/vnd.oasis.taxii+json; version=2.0" } else { "application/taxii+json;version=2.1" };
                let mut head = format!("HTTP/1.1 {status} OK\r\ncontent-type: {media}\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes()).await;
            });
        }
    });
    format!("http://{address}")
}

fn answer(habits: &Habits, all: &Objects, request: &str) -> (u16, Vec<(String, String)>, Value) {
    let target = request.split(' ').nth(1).unwrap_or_default();
    let url = url::Url::parse(&format!("http://x{target}")).unwrap();
    let accept = request.lines().find_map(|line| line.to_lowercase().strip_prefix("accept: ").map(str::to_owned)).unwrap_or_default();
    if !habits.accept.contains("2.0") && accept != habits.accept {
        return (406, Vec::new(), json!({}));
    }
    let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    match url.path() {
        "/taxii2/" => (200, Vec::new(), json!({ "title": "test", "default": "/api1/", "api_roots": ["https://elsewhere.example/api2/", "/api1/"] })),
        "/api1/" => (200, Vec::new(), json!({ "title": "root", "versions": ["application/taxii+json;version=2.1"], "max_content_length": 1_000 })),
        "/api1/collections/" => {
            let id = COLLECTION.trim_end_matches('/').rsplit('/').next().unwrap();
            (
                200,
                Vec::new(),
                json!({ "collections": [{ "id": id, "title": "one", "can_read": true, "can_write": false }, { "id": "closed", "can_read": false }] }),
            )
        }
        COLLECTION => (200, Vec::new(), json!({ "id": "91a7b528-80eb-42ed-a74d-c6fbd5a26116", "title": "one", "can_read": true })),
        path if path == format!("{COLLECTION}objects/") => objects(habits, &all.lock(), &query),
        "/away/" => (301, vec![("location".to_owned(), "https://elsewhere.example/taxii2/".to_owned())], json!({})),
        _ => (404, Vec::new(), json!({})),
    }
}

fn some(count: u32, same_date: u32) -> Objects {
    let start = Timestamp::parse("2026-11-20T00:00:00Z").unwrap().micros();
    let all = (0..count).map(|number| (start + i64::from(number / same_date) * 1_000_000, indicator(number, "2026-11-02T00:00:00.000Z", json!({}))));
    Arc::new(parking_lot::Mutex::new(all.collect()))
}

fn source(url: &str) -> SourceOptions {
    serde_json::from_value(json!({ "name": "partner", "kind": "taxii", "url": url })).unwrap()
}

async fn run(source: &SourceOptions, state: &Value) -> Result<Collected, SourceError> {
    let outbound = Outbound::new(&OutboundOptions { allow: vec!["127.0.0.0/8".parse().unwrap()], ..OutboundOptions::default() }).unwrap();
    collect(&Context { source, outbound: &outbound, state, now: Timestamp::parse("2026-11-22T10:00:00Z").unwrap() }).await
}

/// The lines of all bodies.
fn lines(collected: &Collected) -> Vec<Value> {
    let texts = collected.bodies.iter().map(|body| String::from_utf8_lossy(&body.bytes).into_owned());
    texts.flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()).collect()
}

/// Runs until there is no more; gives the ids in order and the last state.
async fn everything(source: &SourceOptions, mut state: Value) -> (Vec<String>, Value) {
    let mut ids = Vec::new();
    for _ in 0..50 {
        let collected = run(source, &state).await.unwrap();
        ids.extend(lines(&collected).iter().map(|line| line["id"].as_str().unwrap().to_owned()));
        let more = collected.more;
        state = collected.state;
        if !more {
            return (ids, state);
        }
    }
    panic!("there is always more");
}

#[tokio::test]
async fn nothing_is_missing_and_nothing_comes_twice_whatever_the_servers_habits() {
    for (name, habits, same_date) in [
        ("as the standard says", Habits::default(), 1),
        ("without cursors", Habits { next: false, ..Habits::default() }, 1),
        ("without cursors, dates at a border", Habits { next: false, ..Habits::default() }, 3),
        ("an older form of the media type", Habits { accept: "application/taxii+json", ..Habits::default() }, 1),
        ("any media type", Habits { accept: "*/*", ..Habits::default() }, 1),
        ("empty pages between", Habits { empty: true, ..Habits::default() }, 1),
        ("small limits", Habits { limit: 500, ..Habits::default() }, 1),
        ("no wide limits at all", Habits { limit: 100, ..Habits::default() }, 1),
        ("dates without a fraction", Habits { whole_seconds: true, ..Habits::default() }, 1),
        ("no dates", Habits { dates: false, ..Habits::default() }, 1),
    ] {
        let all = some(50, same_date);
        let base = serve(habits, all.clone()).await;
        let source = source(&base);
        let (ids, state) = everything(&source, Value::Null).await;
        assert_eq!(ids.len(), 50, "{name}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 50, "{name}");
        // Later, and nothing new but one.
        let (again, state) = everything(&source, state).await;
        assert!(again.is_empty() || name == "no dates", "{name}: {again:?}");
        let last = all.lock().last().unwrap().0;
        all.lock()
            .push((last.max(Timestamp::parse("2026-11-22T09:59:00Z").unwrap().micros()) + 1_000_000, indicator(900, "2026-11-03T00:00:00.000Z", json!({}))));
        let (fresh, _) = everything(&source, state).await;
        assert!(fresh.iter().any(|id| id.contains("000000000900")), "{name}: {fresh:?}");
    }
}

#[tokio::test]
async fn a_full_page_is_no_end_though_the_server_says_so() {
    let base = serve(Habits { lies: true, cap: 1_000, limit: 100, ..Habits::default() }, some(250, 1)).await;
    let (ids, _) = everything(&source(&base), Value::Null).await;
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 250);
}

#[tokio::test]
async fn every_kind_of_address_leads_to_the_collection() {
    let base = serve(Habits::default(), some(5, 1)).await;
    for path in ["", "/taxii2/", "/taxii2", "/api1/", "/api1", "/api1/collections/", COLLECTION, &format!("{COLLECTION}objects/")] {
        let (ids, _) = everything(&source(&format!("{base}{path}")), Value::Null).await;
        assert_eq!(ids.len(), 5, "{path}");
    }
    let mut named = source(&base);
    named.collection = Some("one".to_owned());
    assert_eq!(everything(&named, Value::Null).await.0.len(), 5);
    named.collection = Some("closed".to_owned());
    assert!(run(&named, &Value::Null).await.is_err());
}

#[tokio::test]
async fn another_host_is_never_asked_and_the_version_before_is_refused() {
    let base = serve(Habits::default(), some(1, 1)).await;
    let told = run(&source(&format!("{base}/away/")), &Value::Null).await.unwrap_err().to_string();
    assert!(told.contains("elsewhere.example"), "{told}");
    let old = serve(Habits { accept: "2.0", ..Habits::default() }, some(1, 1)).await;
    let told = run(&source(&old), &Value::Null).await.unwrap_err().to_string();
    assert!(told.contains("TAXII 2.0"), "{told}");
}

#[tokio::test]
async fn a_cursor_that_the_server_has_forgotten_is_no_end() {
    let all = some(20, 1);
    let base = serve(Habits::default(), all).await;
    let source = source(&base);
    let first = run(&source, &Value::Null).await.unwrap();
    let mut state: State = serde_json::from_value(first.state).unwrap();
    for place in state.places.values_mut() {
        place.next = Some(Cursor { token: "404".to_owned(), from: None });
        place.after = Some(Timestamp::parse("2026-11-20T00:00:05Z").unwrap());
        place.border.clear();
    }
    // The server reads the cursor as a number far behind its end: nothing more, and the place stays.
    let (_, state) = everything(&source, serde_json::to_value(&state).unwrap()).await;
    let state: State = serde_json::from_value(state).unwrap();
    assert!(state.places.values().all(|place| place.next.is_none()));
}

#[tokio::test]
async fn what_an_object_says_is_kept_and_where_it_came_from_stands_beside() {
    let marking = "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421";
    let identity = json!({ "type": "identity", "spec_version": "2.1", "id": "identity--00000000-0000-4000-8000-000000000001", "created": "2026-01-01T00:00:00Z",
        "modified": "2026-01-01T00:00:00Z", "name": "CERT Example", "identity_class": "organization" });
    let own = json!({ "extension_type": "property-extension", "malware": "Emotet", "pap": "amber", "last_seen": "2026-11-05T00:00:00.000Z" });
    let further = json!({ "confidence": 80, "valid_until": "2027-01-01T00:00:00Z", "object_marking_refs": [marking], "labels": ["c2-server"],
        "created_by_ref": identity["id"], "extensions": { (formats::stix::write::EXTENSION): own } });
    let all: Objects = Arc::new(parking_lot::Mutex::new(vec![(1_000_000, identity), (2_000_000, indicator(1, "2026-11-02T00:00:00.000Z", further))]));
    let base = serve(Habits { cap: 1, ..Habits::default() }, all.clone()).await;
    let source = source(&base);
    let first = run(&source, &Value::Null).await.unwrap();
    let lines = lines(&first);
    let line = &lines[0];
    assert_eq!((&line["tlp"], &line["confidence"], &line["category"], &line["malware"]), (&json!("amber"), &json!(80), &json!("c2-server"), &json!("Emotet")));
    assert_eq!((&line["pap"], &line["origin"], line.get("named")), (&json!("amber"), &json!("relayed"), None));
    assert!(line["valid_until"].as_str().unwrap().starts_with("2027-01-01") && line["last_time"].as_str().unwrap().starts_with("2026-11-05"));
    let from = &line["extra"]["taxii"];
    assert_eq!((&from["created_by"], &from["collection"], &from["server"]), (&json!("CERT Example"), &json!("one"), &json!(base)));

    // A newer version replaces it, and then it is revoked.
    all.lock().push((3_000_000, indicator(1, "2026-11-03T00:00:00.000Z", json!({}))));
    let second = run(&source, &first.state).await.unwrap();
    let [object] = second.superseded.as_slice() else { panic!("{:?}", second.superseded) };
    assert_eq!(object.keep.iter().collect::<Vec<_>>(), [&format!("{}|2026-11-03T00:00:00.000Z", object.object)]);
    all.lock().push((4_000_000, indicator(1, "2026-11-04T00:00:00.000Z", json!({ "revoked": true }))));
    let third = run(&source, &second.state).await.unwrap();
    assert!(third.bodies.is_empty() && third.superseded[0].keep.is_empty());
}

#[tokio::test]
async fn what_a_hub_puts_beside_its_indicators_belongs_to_their_events_on_later_pages_too() {
    let uuid = |number: u32| format!("00000000-0000-4000-8000-{number:012}");
    let hub = format!("identity--{}", uuid(1));
    let beside = |kind: &str, number: u32, further: Value| {
        let mut object = json!({ "type": kind, "spec_version": "2.1", "id": format!("{kind}--{}", uuid(number)), "created": "2026-11-01T00:00:00.000Z",
            "modified": "2026-11-01T00:00:00.000Z", "created_by_ref": hub });
        object.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        object
    };
    let own = json!({ "created_by_ref": hub, "extensions": { (formats::stix::write::EXTENSION): { "extension_type": "property-extension", "pap": "green" } } });
    let technique = json!({ "name": "T1566.001", "external_references": [{ "source_name": "mitre-attack", "external_id": "T1566.001" }] });
    let cve = |id: &str| json!({ "name": id, "external_references": [{ "source_name": "cve", "external_id": id }] });
    let to = |number: u32, kind: &str, target: u32| {
        let word = if kind == "vulnerability" { "related-to" } else { "indicates" };
        let source = format!("indicator--{}", uuid(number));
        let ends = json!({ "relationship_type": word, "source_ref": source, "target_ref": format!("{kind}--{}", uuid(target)) });
        beside("relationship", 100 * number + target, ends)
    };
    let page = vec![
        beside("attack-pattern", 11, technique),
        beside("vulnerability", 12, cve("CVE-2024-3400")),
        to(1, "attack-pattern", 11),
        to(1, "vulnerability", 12),
        indicator(1, "2026-11-02T00:00:00.000Z", own.clone()),
        beside("vulnerability", 13, json!({ "created_by_ref": format!("identity--{}", uuid(2)), "name": "CVE-2021-44228" })),
    ];
    let start = Timestamp::parse("2026-11-20T00:00:00Z").unwrap().micros();
    let all: Objects = Arc::new(parking_lot::Mutex::new((start..).step_by(1_000_000).zip(page).collect()));
    let base = serve(Habits { cap: 1_000, ..Habits::default() }, all.clone()).await;
    let source = source(&base);
    let first = run(&source, &Value::Null).await.unwrap();
    let said = |collected: &Collected| lines(collected).iter().map(|line| (line["technique"].clone(), line["cve"].clone())).collect::<Vec<_>>();
    // The vulnerability that is somebody else's is an event of its own.
    assert_eq!(said(&first), [(json!(["T1566.001"]), json!(["CVE-2024-3400"])), (Value::Null, Value::Null)]);
    assert!(lines(&first)[1]["id"].as_str().unwrap().starts_with("vulnerability--") && first.refused.is_empty(), "{:?}", first.refused);
    let later = [to(2, "attack-pattern", 11), to(2, "vulnerability", 12), indicator(2, "2026-11-02T00:00:00.000Z", own)];
    all.lock().extend((start + 60_000_000..).step_by(1_000_000).zip(later));
    let second = run(&source, &first.state).await.unwrap();
    let fresh: Vec<_> = lines(&second).into_iter().filter(|line| line["id"].as_str().unwrap().contains("000000000002")).collect();
    assert_eq!(fresh.len(), 1, "{fresh:?}");
    assert_eq!((&fresh[0]["technique"], &fresh[0]["cve"]), (&json!(["T1566.001"]), &json!(["CVE-2024-3400"])));
    assert!(second.superseded.iter().all(|superseded| !superseded.object.ends_with("000000000012")));
}

#[test]
fn a_server_that_gives_the_same_page_for_ever_is_left() {
    let raw = serde_json::value::RawValue::from_string("{}".to_owned()).unwrap();
    let page = Page { objects: vec![raw], more: true, next: None, last: Some(Timestamp::from_seconds(5)), answered: None };
    let mut place = Place { after: Some(Timestamp::from_seconds(5)), ..Place::default() };
    let mut walk = Walk { seen: HashSet::new(), overlap: true, limit: PAGE };
    let steps = (0..20).map(|_| walk.step(&mut place, &page, None, None)).take_while(Result::is_ok).count();
    assert!(steps < 10, "{steps}");
}
