//! TAXII 2.1 from outside: each numbered line of the reference on what servers commonly get wrong, then what of a collection its readers see.
//!
//! Not here: clients from PyPI (`tests/python/taxii.py`), who may call what (`authorisation`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use support::{Answer, Client, Hub, ago, base64, escape};

const MEDIA: &str = "application/taxii+json;version=2.1";
const ROOT: &str = "/taxii2/main";
/// How long what was submitted may take to come into a collection.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(20);
const GREEN: &str = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb";
const RED: &str = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1";

/// A hub, an analyst, and the id of the collection that members share.
struct Shared {
    hub: Hub,
    member: Client,
    path: String,
}

impl Shared {
    fn start() -> Self {
        let hub = Hub::start();
        let member = hub.member("Contributor", "analyst");
        let path = path(&member, "intelligence");
        Self { hub, member, path }
    }

    fn objects(&self, query: &str) -> Answer {
        self.member.get(&format!("{}objects/?{query}", self.path))
    }
}

/// The path of a collection that the caller has.
fn path(client: &Client, title: &str) -> String {
    let all = client.get(&format!("{ROOT}/collections/")).json();
    let found = all["collections"].as_array().unwrap().iter().find(|collection| collection["title"] == title);
    let found = found.unwrap_or_else(|| panic!("no {title} in {all}"));
    format!("{ROOT}/collections/{}/", found["id"].as_str().unwrap())
}

fn tool_id(number: u32) -> String {
    format!("tool--0190a5b8-a1b2-4000-8000-{number:012x}")
}

/// A tool of a version in a year.
fn tool(number: u32, year: u32) -> Value {
    json!({ "type": "tool", "spec_version": "2.1", "id": tool_id(number), "created": "2010-01-01T00:00:00.000Z",
        "modified": format!("{year}-01-01T00:00:00.000Z"), "name": format!("tool {number}") })
}

fn with(mut object: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

fn post(client: &Client, path: &str, body: &[u8]) -> Answer {
    client.request("POST", &format!("{path}objects/"), &[("content-type", MEDIA)], Some(body))
}

/// Adds objects; all must be taken.
fn add(client: &Client, path: &str, objects: &[Value]) -> Value {
    let answer = post(client, path, &serde_json::to_vec(&json!({ "objects": objects })).unwrap());
    assert_eq!(answer.status, 202, "{}", answer.text());
    let status = answer.json();
    assert_eq!(status["failure_count"], 0, "{status}");
    status
}

fn ids(envelope: &Value) -> Vec<String> {
    envelope["objects"].as_array().map(|objects| objects.iter().map(|object| object["id"].as_str().unwrap().to_owned()).collect()).unwrap_or_default()
}

fn tools(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(|number| tool_id(*number)).collect()
}

fn is_timestamp(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.len() == 27
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            10 => *byte == b'T',
            13 | 16 => *byte == b':',
            19 => *byte == b'.',
            26 => *byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}

#[test]
fn line_1_the_media_type_is_on_every_response_and_is_negotiated() {
    let shared = Shared::start();
    add(&shared.member, &shared.path, &[tool(1, 2020)]);
    let object = format!("{}objects/{}/", shared.path, tool_id(1));
    for (path, status) in [
        ("/taxii2/".to_owned(), 200),
        ("/taxii2".to_owned(), 200),
        (format!("{ROOT}/"), 200),
        (ROOT.to_owned(), 200),
        ("/taxii2/other/".to_owned(), 404),
        (format!("{ROOT}/collections/"), 200),
        (shared.path.clone(), 200),
        (format!("{}manifest/", shared.path), 200),
        (format!("{}objects/", shared.path), 200),
        (format!("{}objects", shared.path), 200),
        (format!("{}objects/?limit=0", shared.path), 400),
        (object.clone(), 200),
        (format!("{object}versions/"), 200),
        (format!("{}nothing/", shared.path), 404),
        (format!("{ROOT}/collections/none/objects/"), 404),
        (format!("{ROOT}/status/0190a5b8-a1b2-4000-8000-000000000000/"), 404),
    ] {
        let answer = shared.member.get(&path);
        assert_eq!((answer.status, answer.header("content-type")), (status, MEDIA), "{path}: {}", answer.text());
        let refused = shared.hub.stranger().get(&path);
        assert_eq!((refused.status, refused.header("content-type")), (401, MEDIA), "{path}");
    }
    let wrong_method = shared.member.request("PUT", &format!("{}objects/", shared.path), &[], Some(b"{}"));
    assert_eq!((wrong_method.status, wrong_method.header("content-type")), (405, MEDIA));
    for (accept, status) in [
        (MEDIA, 200),
        ("application/taxii+json", 200),
        ("text/html, application/taxii+json;version=2.1;q=0.1", 200),
        ("application/*;q=0.5", 200),
        ("*/*", 200),
        ("application/json", 406),
        ("application/taxii+json;version=2.0", 406),
        ("application/taxii+json;version=2.1;q=0", 406),
    ] {
        let answer = shared.member.request("GET", &format!("{}objects/", shared.path), &[("accept", accept)], None);
        assert_eq!((answer.status, answer.header("content-type")), (status, MEDIA), "{accept}");
    }
    let body = serde_json::to_vec(&json!({ "type": "bundle", "id": "bundle--0190a5b8-a1b2-4000-8000-000000000000", "objects": [tool(2, 2020)] })).unwrap();
    for (content_type, status) in [
        (MEDIA, 202),
        ("application/taxii+json", 202),
        ("application/stix+json", 202),
        ("application/stix+json;version=2.1", 202),
        ("application/json", 415),
        ("application/taxii+json;version=2.0", 415),
    ] {
        let answer = shared.member.request("POST", &format!("{}objects/", shared.path), &[("content-type", content_type)], Some(&body));
        assert_eq!((answer.status, answer.header("content-type")), (status, MEDIA), "{content_type}: {}", answer.text());
    }
}

#[test]
fn line_2_timestamps_have_six_digits_and_a_z() {
    let shared = Shared::start();
    let status = add(&shared.member, &shared.path, &[tool(1, 2020)]);
    let manifest = shared.member.get(&format!("{}manifest/", shared.path));
    let record = &manifest.json()["objects"][0];
    let versions = shared.member.get(&format!("{}objects/{}/versions/", shared.path, tool_id(1))).json();
    for value in [
        status["request_timestamp"].as_str().unwrap(),
        status["successes"][0]["version"].as_str().unwrap(),
        record["date_added"].as_str().unwrap(),
        record["version"].as_str().unwrap(),
        versions["versions"][0].as_str().unwrap(),
        manifest.header("x-taxii-date-added-first"),
        manifest.header("x-taxii-date-added-last"),
    ] {
        assert!(is_timestamp(value), "{value}");
    }
    assert_eq!(record["version"], "2020-01-01T00:00:00.000000Z");
    assert_eq!(record["media_type"], "application/stix+json;version=2.1");
}

#[test]
fn line_3_added_after_is_of_the_servers_time_exclusive_and_well_formed() {
    let shared = Shared::start();
    add(&shared.member, &shared.path, &[tool(1, 2030)]);
    let first = shared.objects("").header("x-taxii-date-added-last").to_owned();
    // Modified long before the first, but added after it.
    add(&shared.member, &shared.path, &[tool(2, 2011)]);
    assert_eq!(ids(&shared.objects(&format!("added_after={first}")).json()), tools(&[2]));
    assert_eq!(ids(&shared.objects("added_after=2025-01-01T00:00:00Z").json()), tools(&[1, 2]));
    let last = shared.objects("").header("x-taxii-date-added-last").to_owned();
    assert_eq!(shared.objects(&format!("added_after={last}")).json(), json!({}));
    for query in ["added_after=yesterday", "added_after=1700000000", "added_after=2026-01-01", "added_after=2026-13-01T00:00:00Z", "added_after="] {
        assert_eq!(shared.objects(query).status, 400, "{query}");
    }
    assert_eq!(shared.objects(&format!("added_after={first}&added_after={first}")).status, 400);
}

#[test]
fn line_4_dates_of_addition_are_in_the_headers_of_what_holds_something() {
    let shared = Shared::start();
    add(&shared.member, &shared.path, &[tool(1, 2020), tool(2, 2020)]);
    let (first, last) = ("x-taxii-date-added-first", "x-taxii-date-added-last");
    let object = format!("{}objects/{}/", shared.path, tool_id(1));
    let records = shared.member.get(&format!("{}manifest/", shared.path)).json()["objects"].clone();
    for path in [format!("{}manifest/", shared.path), format!("{}objects/", shared.path)] {
        let answer = shared.member.get(&path);
        assert_eq!((answer.header(first), answer.header(last)), (records[0]["date_added"].as_str().unwrap(), records[1]["date_added"].as_str().unwrap()));
    }
    for path in [object.clone(), format!("{object}versions/")] {
        let answer = shared.member.get(&path);
        assert_eq!((answer.header(first), answer.header(last)), (records[0]["date_added"].as_str().unwrap(), records[0]["date_added"].as_str().unwrap()));
    }
    let nothing = "added_after=2999-01-01T00:00:00Z";
    for path in [format!("{}manifest/?{nothing}", shared.path), format!("{}objects/?{nothing}", shared.path), format!("{object}?{nothing}")] {
        let answer = shared.member.get(&path);
        assert_eq!((answer.status, answer.header(first), answer.header(last)), (200, "", ""), "{path}");
    }
}

#[test]
fn line_5_order_is_by_date_added_and_no_two_dates_are_the_same() {
    let shared = Shared::start();
    let many: Vec<Value> = (0..500).map(|number| tool(number, 2020)).collect();
    add(&shared.member, &shared.path, &many);
    let records = shared.member.get(&format!("{}manifest/", shared.path)).json();
    let dates: Vec<&str> = records["objects"].as_array().unwrap().iter().map(|record| record["date_added"].as_str().unwrap()).collect();
    assert_eq!(dates.len(), 500);
    assert!(dates.windows(2).all(|pair| pair[0] < pair[1]));
    // Paging by the header alone loses nothing.
    let (mut found, mut after) = (Vec::new(), String::from("2000-01-01T00:00:00Z"));
    loop {
        let page = shared.objects(&format!("limit=7&added_after={after}"));
        if page.json() == json!({}) {
            break;
        }
        found.extend(ids(&page.json()));
        page.header("x-taxii-date-added-last").clone_into(&mut after);
    }
    assert_eq!(found, tools(&(0..500).collect::<Vec<_>>()));
}

#[test]
fn line_6_more_and_next_lead_through_everything_that_was_asked_for() {
    let shared = Shared::start();
    add(&shared.member, &shared.path, &(1..=5).map(|number| tool(number, 2020)).collect::<Vec<_>>());
    add(&shared.member, &shared.path, &(2021..=2025).map(|year| tool(1, year)).collect::<Vec<_>>());
    let object = format!("objects/{}/", tool_id(1));
    let versions = format!("{object}versions/");
    for (listing, query, field, total) in [
        ("objects/", "match[type]=tool", "objects", 5),
        ("manifest/", "match[version]=all", "objects", 10),
        (versions.as_str(), "", "versions", 6),
        (object.as_str(), "match[version]=all", "objects", 6),
    ] {
        let (mut count, mut next) = (0, String::new());
        loop {
            // An empty cursor counts as none.
            let answer = shared.member.get(&format!("{}{listing}?{query}&limit=2&next={next}", shared.path));
            assert_eq!(answer.status, 200, "{}", answer.text());
            let page = answer.json();
            let held = page[field].as_array().unwrap().len();
            assert!(held <= 2);
            count += held;
            assert_eq!(page["more"] == true, page["next"].is_string(), "{page}");
            match page["next"].as_str() {
                Some(cursor) => cursor.clone_into(&mut next),
                None => break,
            }
        }
        assert_eq!(count, total, "{listing}");
    }
    let next = shared.objects("limit=2").json()["next"].as_str().unwrap().to_owned();
    assert_eq!(shared.objects(&format!("limit=3&next={next}")).status, 200, "the limit is no filter");
    for query in [format!("match[type]=tool&next={next}"), format!("added_after=2020-01-01T00:00:00Z&next={next}"), "next=nonsense".to_owned()] {
        assert_eq!(shared.objects(&query).status, 400, "{query}");
    }
    assert_eq!(shared.member.get(&format!("{}manifest/?next={next}", shared.path)).status, 400, "another listing");
    assert!(shared.objects("limit=5").json().get("next").is_none(), "nothing is left out of a page that holds all");
}

#[test]
fn line_7_a_limit_is_more_than_nothing_and_never_exceeded() {
    let shared = Shared::start();
    add(&shared.member, &shared.path, &(0..1_500).map(|number| tool(number, 2020)).collect::<Vec<_>>());
    for (limit, held) in [("1", 1), ("999", 999), ("1000", 1_000), ("5000", 1_000), ("99999999999999999999999999", 1_000)] {
        assert_eq!(ids(&shared.objects(&format!("limit={limit}")).json()).len(), held, "{limit}");
    }
    for limit in ["0", "-1", "two", "1.5", ""] {
        assert_eq!(shared.objects(&format!("limit={limit}")).status, 400, "{limit}");
    }
}

#[test]
fn line_8_match_fields_are_or_within_and_and_between() {
    let shared = Shared::start();
    let note = json!({ "type": "x-our-own", "spec_version": "2.1", "id": "x-our-own--0190a5b8-a1b2-4000-8000-000000000001",
        "created": "2020-01-01T00:00:00.000Z", "modified": "2020-01-01T00:00:00.000Z" });
    let undated = json!({ "type": "ipv4-addr", "id": "ipv4-addr--826fe3cb-56b0-5620-9d30-4c17ed7b24e3", "value": "203.0.113.5" });
    let made = json!({ "type": "marking-definition", "spec_version": "2.1", "id": "marking-definition--0190a5b8-a1b2-4000-8000-000000000009",
        "created": "2019-01-01T00:00:00.000Z", "definition_type": "statement", "definition": { "statement": "ours" } });
    add(&shared.member, &shared.path, &[tool(1, 2020), tool(1, 2021), tool(1, 2022), tool(2, 2020), note, undated, made]);
    let versions = |query: &str| -> Vec<String> {
        let page = shared.objects(&format!("match[id]={}&{query}", tool_id(1))).json();
        page["objects"].as_array().unwrap_or(&Vec::new()).iter().map(|object| object["modified"].as_str().unwrap()[..4].to_owned()).collect()
    };
    assert_eq!(versions(""), ["2022"], "the newest by default");
    assert_eq!(versions("match[version]=last"), ["2022"]);
    assert_eq!(versions("match[version]=first"), ["2020"]);
    assert_eq!(versions("match[version]=all"), ["2020", "2021", "2022"]);
    assert_eq!(versions("match[version]=first,last"), ["2020", "2022"]);
    assert_eq!(versions("match[version]=2021-01-01T00:00:00.000Z,last"), ["2021", "2022"]);
    let found = |query: &str| ids(&shared.objects(query).json()).len();
    assert_eq!(found(&format!("match[id]={},{}", tool_id(1), tool_id(2))), 2);
    assert_eq!(found("match[type]=tool,x-our-own"), 3);
    assert_eq!(found("match[type]=never-heard-of"), 0);
    assert_eq!(found(&format!("match[type]=x-our-own&match[id]={}", tool_id(1))), 0);
    assert_eq!(found("match[spec_version]=2.1"), 5);
    assert_eq!(found("match[spec_version]=2.0"), 0);
    assert_eq!(found("match[colour]=red&match[colour]=blue"), 5, "unknown fields are ignored");
    for query in ["match[version]=all,last", "match[version]=newest", "match[type]=tool&match[type]=note", "match[id]=a&match[id]=b"] {
        assert_eq!(shared.objects(query).status, 400, "{query}");
    }
    let manifest = shared.member.get(&format!("{}manifest/", shared.path)).json();
    let version = |id: &str| manifest["objects"].as_array().unwrap().iter().find(|record| record["id"] == id).unwrap()["version"].clone();
    assert_eq!(version("marking-definition--0190a5b8-a1b2-4000-8000-000000000009"), "2019-01-01T00:00:00.000000Z");
    assert!(is_timestamp(version("ipv4-addr--826fe3cb-56b0-5620-9d30-4c17ed7b24e3").as_str().unwrap()));
}

#[test]
fn line_9_an_endpoint_filters_by_its_own_fields() {
    let shared = Shared::start();
    add(&shared.member, &shared.path, &[tool(1, 2020), tool(1, 2021)]);
    let object = format!("{}objects/{}/", shared.path, tool_id(1));
    let years = |answer: Answer| ids(&answer.json()).len();
    assert_eq!(years(shared.member.get(&format!("{object}?match[version]=all"))), 2);
    assert_eq!(years(shared.member.get(&format!("{object}?match[spec_version]=2.0"))), 0);
    assert_eq!(years(shared.member.get(&format!("{object}?match[type]=malware"))), 1, "an object has its type");
    let versions = |query: &str| shared.member.get(&format!("{object}versions/?{query}")).json()["versions"].as_array().map_or(0, Vec::len);
    assert_eq!((versions(""), versions("match[version]=first"), versions("match[spec_version]=2.0")), (2, 2, 0));
    let deleted = shared.member.request("DELETE", &format!("{object}?match[version]=first"), &[], None);
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert_eq!(versions(""), 1);
    let none = shared.member.request("DELETE", &format!("{object}?match[spec_version]=2.0"), &[], None);
    assert_eq!((none.status, versions("")), (404, 1));
}

#[test]
fn line_10_an_empty_result_is_an_empty_object() {
    let shared = Shared::start();
    for path in ["objects/", "manifest/"] {
        assert_eq!(shared.member.get(&format!("{}{path}", shared.path)).text(), "{}", "{path}");
    }
    let auditor = shared.hub.member("Audited", "auditor");
    assert_eq!(auditor.get(&format!("{ROOT}/collections/")).text(), "{}");
}

#[test]
fn line_11_adding_is_answered_with_a_status() {
    let shared = Shared::start();
    let body = serde_json::to_vec(&json!({ "objects": [tool(1, 2020), { "type": "tool", "id": "tool--1" }, { "id": 7 }] })).unwrap();
    let answer = post(&shared.member, &shared.path, &body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let status = answer.json();
    let counts = ["total_count", "success_count", "failure_count", "pending_count"].map(|name| status[name].as_u64().unwrap());
    assert_eq!((counts, &status["status"]), ([3, 1, 2, 0], &json!("complete")));
    assert!(status["failures"].as_array().unwrap().iter().all(|failure| failure["message"].is_string() && failure["id"].is_string()), "{status}");
    let kept = format!("{ROOT}/status/{}/", status["id"].as_str().unwrap());
    assert_eq!(shared.member.get(&kept).json(), status);
    assert_eq!(shared.hub.member("Other", "analyst").get(&kept).status, 404);
    let again = add(&shared.member, &shared.path, &[tool(1, 2020)]);
    assert_eq!(again["success_count"], 1, "an exact duplicate is no error");
    assert_eq!(ids(&shared.objects("match[version]=all").json()), tools(&[1]));
    for body in [&b"{"[..], b"[]", b"{}", b"{\"objects\":7}", b"nonsense", b""] {
        let answer = post(&shared.member, &shared.path, body);
        assert_eq!(answer.status, 422, "{}: {}", String::from_utf8_lossy(body), answer.text());
    }
    let limit = shared.member.get(&format!("{ROOT}/")).json()["max_content_length"].as_u64().unwrap();
    assert_eq!(too_long(&shared, limit + 1), 413);
}

/// Says that it will send so much, and reads the answer.
fn too_long(shared: &Shared, length: u64) -> u16 {
    let key = shared.hub.coordinator_key();
    let address = shared.hub.url.trim_start_matches("http://");
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "POST {}objects/ HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-type: {MEDIA}\r\ncontent-length: {length}\r\n\r\n",
        shared.path
    );
    connection.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 12];
    connection.read_exact(&mut first).unwrap();
    String::from_utf8_lossy(&first[9..12]).parse().unwrap()
}

#[test]
fn line_12_deleting_needs_the_right_to_read_and_to_write() {
    let shared = Shared::start();
    add(&shared.member, &shared.path, &[tool(1, 2020), tool(1, 2021), tool(2, 2020)]);
    let object = format!("{}objects/{}/", shared.path, tool_id(1));
    let delete = |client: &Client| client.request("DELETE", &object, &[], None).status;
    for (role, status) in [("auditor", 404), ("reader", 403), ("reporter", 403), ("analyst", 403)] {
        assert_eq!(delete(&shared.hub.member(&format!("Company of a {role}"), role)), status, "{role}");
    }
    assert_eq!(delete(&shared.member), 200);
    assert_eq!((shared.member.get(&object).status, shared.member.get(&format!("{object}versions/")).status, delete(&shared.member)), (404, 404, 404));
    assert_eq!(ids(&shared.member.get(&format!("{}manifest/", shared.path)).json()), tools(&[2]));
    let other = format!("{}objects/{}/", shared.path, tool_id(2));
    assert_eq!(shared.hub.coordinator().request("DELETE", &other, &[], None).status, 200, "the coordinator takes out anything");
    let events = path(&shared.member, "events-green");
    assert_eq!(shared.member.request("DELETE", &format!("{events}objects/{}/", tool_id(1)), &[], None).status, 403);
}

#[test]
fn line_13_errors_are_messages_of_the_standard() {
    let shared = Shared::start();
    let refused = shared.hub.stranger().get("/taxii2/");
    let challenges: Vec<&str> = refused.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(challenges.iter().any(|value| value.starts_with("Bearer")) && challenges.iter().any(|value| value.starts_with("Basic")), "{challenges:?}");
    let reporter = shared.hub.member("Sender", "reporter");
    let outsider = shared.hub.client(&shared.hub.key(&shared.hub.organisation("Plant", "company", "private", "energy"), "analyst"));
    let sector = path(&outsider, "sector-energy");
    for (answer, status) in [
        (refused, 401),
        (reporter.get(&format!("{}objects/", shared.path)), 403),
        (shared.member.get(&format!("{sector}objects/")), 404),
        (shared.member.get(&format!("{}objects/{}/", shared.path, tool_id(7))), 404),
        (shared.objects("limit=x"), 400),
    ] {
        let message = answer.json();
        assert_eq!((answer.status, message["http_status"].as_str()), (status, Some(status.to_string().as_str())), "{message}");
        assert!(message["title"].as_str().is_some_and(|title| !title.is_empty()), "{message}");
    }
}

#[test]
fn line_14_discovery_leads_to_collections_in_a_stable_order() {
    let shared = Shared::start();
    let discovery = shared.member.get("/taxii2/").json();
    assert_eq!((&discovery["default"], &discovery["api_roots"]), (&json!("/taxii2/main/"), &json!(["/taxii2/main/"])));
    assert!(discovery["title"].is_string());
    let root = shared.member.get("/taxii2/main/").json();
    assert_eq!((&root["versions"], root["max_content_length"].is_u64(), root["title"].is_string()), (&json!([MEDIA]), true, true));
    let listed = || shared.member.get(&format!("{ROOT}/collections/")).json()["collections"].as_array().unwrap().clone();
    let collections = listed();
    assert_eq!(collections, listed());
    let titles: Vec<&str> = collections.iter().map(|collection| collection["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["events-clear", "events-green", "events-amber", "intelligence", "sector-finance", "private"]);
    for collection in &collections {
        let by_alias = shared.member.get(&format!("{ROOT}/collections/{}/", collection["alias"].as_str().unwrap()));
        assert_eq!(&by_alias.json(), collection);
    }
    let basic = [("authorization", format!("Basic {}", base64(&format!("anyone:{}", shared.hub.coordinator_key()))))];
    let answer = shared.hub.stranger().request("GET", "/taxii2/", &[(basic[0].0, &basic[0].1)], None);
    assert_eq!(answer.status, 200, "a key is taken as the password, too");
    assert_eq!(shared.hub.stranger().request("GET", "/api/v1/status", &[(basic[0].0, &basic[0].1)], None).status, 401);
}

#[test]
fn a_contributed_object_comes_back_as_it_was_but_for_who_contributed_it() {
    let shared = Shared::start();
    let creator = "identity--0190a5b8-a1b2-4000-8000-0000000000aa";
    let identity = json!({ "type": "identity", "spec_version": "2.1", "id": creator, "created": "2020-01-01T00:00:00.000Z",
        "modified": "2020-01-01T00:00:00.000Z", "name": "Contributor Ltd", "identity_class": "organization" });
    let kept = with(
        tool(1, 2020),
        &json!({ "created_by_ref": creator, "x_ours": { "z": 1.50, "a": [1, null] }, "description": "secret", "labels": ["shown", "hidden"],
            "object_marking_refs": [GREEN], "granular_markings": [{ "marking_ref": RED, "selectors": ["description", "labels.[1]"] }] }),
    );
    add(&shared.member, &shared.path, &[identity, kept.clone()]);
    let own = shared.objects(&format!("match[id]={}", tool_id(1))).json()["objects"][0].clone();
    assert_eq!(own, kept);
    let reader = shared.hub.member("Reader", "reader");
    let seen = reader.get(&format!("{}objects/", shared.path));
    assert_eq!(ids(&seen.json()), tools(&[1]), "the identity is not shown to others");
    assert!(!seen.text().contains(creator) && !seen.text().contains("secret") && !seen.text().contains("hidden"), "{}", seen.text());
    let seen = seen.json()["objects"][0].clone();
    assert_eq!((&seen["x_ours"]["z"], &seen["labels"]), (&json!(1.5), &json!(["shown"])));
    let hub_identity = reader.get(&format!("{}objects/?match[type]=identity", path(&reader, "events-clear"))).json();
    assert!(ids(&hub_identity).contains(&seen["created_by_ref"].as_str().unwrap().to_owned()));
    assert_eq!(reader.get(&format!("{}objects/{creator}/", shared.path)).status, 404);
    assert!(shared.hub.coordinator().get(&format!("{}objects/", shared.path)).text().contains(creator));
}

#[test]
fn red_is_not_shared_and_nobody_versions_anothers_object() {
    let shared = Shared::start();
    let red = with(tool(1, 2020), &json!({ "object_marking_refs": [RED] }));
    let body = serde_json::to_vec(&json!({ "objects": [red, tool(2, 2020)] })).unwrap();
    let status = post(&shared.member, &shared.path, &body).json();
    assert_eq!((&status["failure_count"], &status["failures"][0]["id"]), (&json!(1), &json!(tool_id(1))));
    let private = path(&shared.member, "private");
    add(&shared.member, &private, &[red]);
    let other = shared.hub.member("Other", "analyst");
    let status = post(&other, &shared.path, &serde_json::to_vec(&json!({ "objects": [tool(2, 2020), tool(2, 2025)] })).unwrap()).json();
    assert_eq!((&status["success_count"], &status["failure_count"]), (&json!(1), &json!(1)), "{status}");
    assert_ne!(path(&other, "private"), private);
    assert_eq!(other.get(&format!("{private}objects/")).status, 404);
}

fn indicator(number: u32, pattern: &str) -> Value {
    json!({ "type": "indicator", "spec_version": "2.1", "id": format!("indicator--0190a5b8-a1b2-4000-8000-{number:012x}"),
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "pattern": pattern, "pattern_type": "stix",
        "valid_from": "2026-01-01T00:00:00Z", "labels": ["phishing"], "object_marking_refs": [GREEN] })
}

#[test]
fn contributed_indicators_are_searchable_by_those_who_read_the_collection() {
    let shared = Shared::start();
    add(&shared.member, &shared.path, &[indicator(1, "[domain-name:value = 'shared.example.net']")]);
    add(&shared.member, &path(&shared.member, "private"), &[indicator(2, "[domain-name:value = 'private.example.net']")]);
    add(&shared.member, &path(&shared.member, "sector-finance"), &[indicator(3, "[domain-name:value = 'sector.example.net']")]);
    let colleague = shared.hub.member("Bank", "analyst");
    let plant = shared.hub.client(&shared.hub.key(&shared.hub.organisation("Plant", "company", "private", "energy"), "analyst"));
    for (client, value, status) in [
        (&colleague, "shared.example.net", 200),
        (&plant, "shared.example.net", 200),
        (&colleague, "sector.example.net", 200),
        (&plant, "sector.example.net", 404),
        (&colleague, "private.example.net", 404),
    ] {
        assert_eq!(client.observable("domain", value).status, status, "{value}");
    }
    add(&shared.member, &shared.path, &[indicator(1, "[domain-name:value = 'shared.example.net']")]);
    assert_eq!(shared.member.search("domain=shared.example.net").len(), 1, "sent again it is the same event");
}

/// The indicators of a collection, once it holds as many versions.
fn followed(client: &Client, path: &str, versions: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let page = client.get(&format!("{path}objects/?match[type]=indicator&match[version]=all")).json();
        let found = page["objects"].as_array().cloned().unwrap_or_default();
        if found.len() >= versions || began.elapsed() > FOLLOWS_WITHIN {
            assert_eq!(found.len(), versions, "{page}");
            return found;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn indicators_made_of_events_are_in_the_collections_of_their_marking_until_they_are_withdrawn() {
    let shared = Shared::start();
    let event = json!({ "time": ago(60), "category": "phishing", "value": "bad.follows.net", "tlp": "green", "confidence": 80, "malware": "Emotet" });
    let sent = shared.member.events(&[event, json!({ "time": ago(60), "category": "phishing", "value": "worse.follows.net", "tlp": "amber" })]);
    let reader = shared.hub.member("Reader", "reader");
    let (green, amber) = (path(&reader, "events-green"), path(&reader, "events-amber"));
    assert_eq!(followed(&reader, &amber, 2).len(), 2);
    let found = followed(&reader, &green, 1);
    assert_eq!(found[0]["pattern"], "[domain-name:value = 'bad.follows.net']");
    assert_eq!((&found[0]["labels"], &found[0]["confidence"]), (&json!(["phishing"]), &json!(80)));
    let id = found[0]["id"].as_str().unwrap();
    assert_ne!(followed(&reader, &amber, 2)[0]["id"].as_str(), Some(id), "another id in each collection");
    let fixed = ids(&reader.get(&format!("{green}objects/?match[type]=identity,marking-definition,extension-definition")).json());
    let referred = [&found[0]["created_by_ref"], &found[0]["object_marking_refs"][0]].map(|id| id.as_str().unwrap().to_owned());
    assert!(referred.iter().all(|id| fixed.contains(id)), "{referred:?} {fixed:?}");
    let object = reader.get(&format!("{green}objects/{id}/"));
    assert_eq!((object.status, &object.json()["objects"][0]), (200, &found[0]), "{}", object.text());
    assert_eq!(reader.get(&format!("{amber}objects/{id}/")).status, 404);
    assert_eq!(path(&shared.hub.member("Another", "reader"), "events-green"), green);

    let all = reader.get(&format!("{green}objects/")).json();
    let (mut paged, mut next) = (Vec::new(), String::new());
    loop {
        let page = reader.get(&format!("{green}objects/?limit=1&next={next}")).json();
        paged.extend(ids(&page));
        match page["next"].as_str() {
            Some(cursor) => cursor.clone_into(&mut next),
            None => break,
        }
    }
    assert_eq!(paged, ids(&all));

    let withdrawn = shared.member.post("/api/v1/events/withdraw", &json!({ "receipt": sent["receipt"], "reason": "a mistake" }));
    assert_eq!(withdrawn.status, 200, "{}", withdrawn.text());
    let versions = followed(&reader, &green, 2);
    assert_eq!((&versions[1]["id"], &versions[1]["revoked"]), (&json!(id), &json!(true)));
    let newest = reader.get(&format!("{green}objects/?match[id]={}", escape(id))).json();
    assert_eq!((ids(&newest).len(), &newest["objects"][0]["revoked"]), (1, &json!(true)));
    assert_eq!(reader.get(&format!("{green}objects/{id}/versions/")).json()["versions"].as_array().unwrap().len(), 2);
}

/// All versions of the objects of some types, in the order in which they were added.
fn made(client: &Client, path: &str, types: &str) -> Vec<Value> {
    client.get(&format!("{path}objects/?match[type]={types}&match[version]=all")).json()["objects"].as_array().cloned().unwrap_or_default()
}

#[test]
fn malware_and_the_relationship_to_it_stand_right_before_the_indicator_that_names_it_first() {
    let shared = Shared::start();
    let reader = shared.hub.member("Reader", "reader");
    let green = path(&reader, "events-green");
    let event = |value: &str, malware: &str| json!({ "time": ago(60), "category": "c2-server", "value": value, "tlp": "green", "malware": malware });
    shared.member.events(&[json!({ "time": ago(60), "category": "c2-server", "value": "plain.follows.net", "tlp": "green" })]);
    followed(&reader, &green, 1);
    let first = shared.member.events(&[event("one.follows.net", "Emotet")]);
    followed(&reader, &green, 2);
    shared.member.events(&[event("two.follows.net", "Emotet")]);
    followed(&reader, &green, 3);

    let all = made(&reader, &green, "malware,relationship,indicator");
    let kinds: Vec<&str> = all.iter().map(|object| object["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["indicator", "malware", "relationship", "indicator", "relationship", "indicator"]);
    let (malware, one, two) = (&all[1], &all[2], &all[4]);
    assert_eq!((&malware["name"], &malware["is_family"]), (&json!("Emotet"), &json!(true)));
    for (relationship, indicator) in [(one, &all[3]), (two, &all[5])] {
        assert_eq!((&relationship["relationship_type"], &relationship["source_ref"]), (&json!("indicates"), &indicator["id"]));
        assert_eq!((&relationship["target_ref"], &relationship["object_marking_refs"]), (&malware["id"], &json!([GREEN])));
    }
    let records = reader.get(&format!("{green}manifest/")).json();
    let dates: Vec<&str> = records["objects"].as_array().unwrap().iter().map(|record| record["date_added"].as_str().unwrap()).collect();
    assert!(dates.windows(2).all(|pair| pair[0] < pair[1]), "{dates:?}");

    // Each is found by its id, in pages of any size, and as the newest.
    for object in &all {
        let id = object["id"].as_str().unwrap();
        let alone = reader.get(&format!("{green}objects/{id}/"));
        assert_eq!((alone.status, &alone.json()["objects"][0]), (200, object), "{}", alone.text());
        assert_eq!(reader.get(&format!("{green}objects/{id}/versions/")).json()["versions"].as_array().unwrap().len(), 1);
    }
    assert_eq!(reader.get(&format!("{green}objects/?match[type]=malware,relationship,indicator")).json()["objects"], json!(all));
    for limit in [1, 2, 3, 5] {
        let (mut found, mut next, mut after) = (Vec::new(), String::new(), String::from("2000-01-01T00:00:00Z"));
        loop {
            let page = reader.get(&format!("{green}objects/?match[type]=malware,relationship,indicator&limit={limit}&next={next}")).json();
            assert!(ids(&page).len() <= limit);
            found.extend(ids(&page));
            match page["next"].as_str() {
                Some(cursor) => cursor.clone_into(&mut next),
                None => break,
            }
        }
        assert_eq!(found, ids(&json!({ "objects": all })), "{limit}");
        let mut by_date = Vec::new();
        loop {
            let page = reader.get(&format!("{green}objects/?match[type]=malware,relationship,indicator&limit={limit}&added_after={after}"));
            if page.json() == json!({}) {
                break;
            }
            by_date.extend(ids(&page.json()));
            page.header("x-taxii-date-added-last").clone_into(&mut after);
        }
        assert_eq!(by_date, found, "{limit}");
    }

    let withdrawn = shared.member.post("/api/v1/events/withdraw", &json!({ "receipt": first["receipt"], "reason": "a mistake" }));
    assert_eq!(withdrawn.status, 200, "{}", withdrawn.text());
    followed(&reader, &green, 4);
    let after = made(&reader, &green, "malware,relationship");
    assert_eq!(after.len(), 4, "{after:?}");
    assert_eq!((&after[3]["id"], &after[3]["revoked"], &after[3]["created"]), (&one["id"], &json!(true), &one["created"]));
    let newest = reader.get(&format!("{green}objects/?match[type]=relationship")).json();
    assert_eq!(ids(&newest), [two["id"].as_str().unwrap(), one["id"].as_str().unwrap()], "the newest version of each");
}

#[test]
fn techniques_and_vulnerabilities_stand_beside_the_indicator_that_names_them_and_their_relationships_end_with_it() {
    const ALL: &str = "malware,attack-pattern,vulnerability,relationship,indicator";
    let shared = Shared::start();
    let reader = shared.hub.member("Reader", "reader");
    let (clear, green) = (path(&reader, "events-clear"), path(&reader, "events-green"));
    let event = |value: &str| {
        json!({ "time": ago(60), "category": "phishing", "value": value, "tlp": "green", "malware": "Emotet", "technique": ["T1566.001"],
            "cve": ["CVE-2024-3400"] })
    };
    let first = shared.member.events(&[event("one.follows.net")]);
    followed(&reader, &green, 1);
    shared.member.events(&[event("two.follows.net")]);
    followed(&reader, &green, 2);
    let all = made(&reader, &green, ALL);
    let of = |kind: &str| all.iter().filter(|object| object["type"] == kind).collect::<Vec<_>>();
    let (malware, techniques, vulnerabilities, indicators) = (of("malware"), of("attack-pattern"), of("vulnerability"), of("indicator"));
    assert_eq!([malware.len(), techniques.len(), vulnerabilities.len(), indicators.len(), all.len()], [1, 1, 1, 2, 11], "{all:?}");
    assert_eq!((&techniques[0]["name"], &vulnerabilities[0]["name"]), (&json!("T1566.001"), &json!("CVE-2024-3400")));
    for indicator in &indicators {
        let led: Vec<(&str, &Value)> = of("relationship")
            .into_iter()
            .filter(|object| object["source_ref"] == indicator["id"])
            .map(|object| (object["relationship_type"].as_str().unwrap(), &object["target_ref"]))
            .collect();
        // The nearest is that to malware.
        let expected = [("related-to", &vulnerabilities[0]["id"]), ("indicates", &techniques[0]["id"]), ("indicates", &malware[0]["id"])];
        assert_eq!(led, expected);
    }
    // What is named stands before what refers to it.
    let place = |id: &Value| all.iter().position(|object| object["id"] == *id).unwrap();
    for relationship in of("relationship") {
        assert!(place(&relationship["target_ref"]) < place(&relationship["id"]) && place(&relationship["id"]) < place(&relationship["source_ref"]));
    }
    for object in &all {
        let id = object["id"].as_str().unwrap();
        let alone = reader.get(&format!("{green}objects/{id}/"));
        assert_eq!((alone.status, &alone.json()["objects"][0]), (200, object), "{}", alone.text());
        assert_eq!(reader.get(&format!("{green}objects/{id}/versions/")).json()["versions"].as_array().unwrap().len(), 1, "{id}");
        // Who reads less has nothing of it.
        assert_eq!(reader.get(&format!("{clear}objects/{id}/")).status, 404, "{id}");
    }
    assert_eq!(made(&reader, &clear, ALL), Vec::<Value>::new());
    let asked: Vec<&str> = all.iter().rev().map(|object| object["id"].as_str().unwrap()).collect();
    assert_eq!(reader.get(&format!("{green}objects/?match[id]={}", asked.join(","))).json()["objects"], json!(all), "all at once, each once");
    let records = reader.get(&format!("{green}manifest/?match[type]={ALL}")).json();
    let dates: Vec<&str> = records["objects"].as_array().unwrap().iter().map(|record| record["date_added"].as_str().unwrap()).collect();
    assert!(dates.len() == all.len() && dates.windows(2).all(|pair| pair[0] < pair[1]), "{dates:?}");
    for limit in [1, 2, 4, 7] {
        let (mut found, mut next) = (Vec::new(), String::new());
        loop {
            let page = reader.get(&format!("{green}objects/?match[type]={ALL}&limit={limit}&next={next}")).json();
            found.extend(ids(&page));
            match page["next"].as_str() {
                Some(cursor) => cursor.clone_into(&mut next),
                None => break,
            }
        }
        assert_eq!(found, ids(&json!({ "objects": all })), "{limit}");
    }

    let withdrawn = shared.member.post("/api/v1/events/withdraw", &json!({ "receipt": first["receipt"], "reason": "a mistake" }));
    assert_eq!(withdrawn.status, 200, "{}", withdrawn.text());
    let versions = followed(&reader, &green, 3);
    let after = made(&reader, &green, ALL);
    let ended: Vec<&Value> = after.iter().filter(|object| object["type"] == "relationship" && object["revoked"] == true).collect();
    assert_eq!((after.len(), ended.len()), (15, 3), "{after:?}");
    assert!(ended.iter().all(|object| object["source_ref"] == versions[2]["id"]));
    for object in ended {
        let id = object["id"].as_str().unwrap();
        assert_eq!(reader.get(&format!("{green}objects/{id}/")).json()["objects"], json!([object]));
        assert_eq!(reader.get(&format!("{green}objects/{id}/versions/")).json()["versions"].as_array().unwrap().len(), 2, "{id}");
    }
}

/// Waits until nothing is left of a domain but that it was withdrawn.
fn until_withdrawn(reader: &Client, name: &str) {
    let began = Instant::now();
    while reader.observable("domain", name).json()["state"] != "withdrawn" {
        assert!(began.elapsed() < Duration::from_secs(20), "{name}: {}", reader.observable("domain", name).text());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_events_of_an_object_go_with_it_when_it_is_deleted_or_revoked() {
    let shared = Shared::start();
    let reader = shared.hub.member("Reader", "analyst");
    let pattern = |name: &str| format!("[domain-name:value = '{name}.example.net']");
    let sector = path(&shared.member, "sector-finance");
    add(&shared.member, &shared.path, &[indicator(1, &pattern("deleted")), indicator(2, &pattern("revoked")), indicator(3, &pattern("stays")), tool(1, 2020)]);
    add(&shared.member, &sector, &[indicator(4, &pattern("sector"))]);
    // A sighting tells of an event by an indicator that came with it.
    let sighting = json!({ "type": "sighting", "spec_version": "2.1", "id": "sighting--0190a5b8-a1b2-4000-8000-000000000005",
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "sighting_of_ref": indicator(3, "")["id"], "object_marking_refs": [GREEN] });
    add(&shared.member, &shared.path, &[indicator(3, &pattern("stays")), sighting.clone()]);
    let sent = json!({ "time": ago(60), "category": "phishing", "value": "deleted.example.net", "tlp": "green" });
    let other = shared.hub.member("Other", "analyst");
    assert_eq!(reader.observable("domain", "stays.example.net").json()["events"], 2);
    for name in ["deleted", "revoked", "sector"] {
        assert_eq!(reader.observable("domain", &format!("{name}.example.net")).status, 200, "{name}");
    }
    let delete =
        |client: &Client, path: &str, object: &Value| client.request("DELETE", &format!("{path}objects/{}/", object["id"].as_str().unwrap()), &[], None).status;
    assert_eq!(delete(&other, &shared.path, &indicator(1, "")), 403);
    assert_eq!(reader.observable("domain", "deleted.example.net").status, 200, "who may not delete withdraws nothing");
    other.events(&[sent]);
    assert_eq!(delete(&shared.member, &shared.path, &indicator(1, "")), 200);
    let left = reader.observable("domain", "deleted.example.net").json();
    assert_eq!((&left["events"], &left["state"]), (&json!(1), &json!("active")), "what others said of it stays: {left}");
    assert_eq!(delete(&shared.member, &sector, &indicator(4, "")), 200);
    until_withdrawn(&reader, "sector.example.net");
    assert_eq!(delete(&shared.member, &shared.path, &sighting), 200);
    assert_eq!(reader.observable("domain", "stays.example.net").json()["events"], 1);

    let revoked = with(indicator(2, &pattern("revoked")), &json!({ "modified": "2026-01-02T00:00:00.000Z", "revoked": true }));
    let foreign = post(&other, &shared.path, &serde_json::to_vec(&json!({ "objects": [revoked] })).unwrap()).json();
    assert_eq!((&foreign["failure_count"], reader.observable("domain", "revoked.example.net").status), (&json!(1), 200), "nobody revokes another's");
    add(&shared.member, &shared.path, std::slice::from_ref(&revoked));
    until_withdrawn(&reader, "revoked.example.net");
    assert_eq!(reader.get(&format!("{}objects/{}/", shared.path, revoked["id"].as_str().unwrap())).json()["objects"][0]["revoked"], true);
    assert_eq!(reader.observable("domain", "stays.example.net").status, 200);
    // The coordinator takes out anyone's.
    assert_eq!(delete(&shared.hub.coordinator(), &shared.path, &indicator(3, "")), 200);
    until_withdrawn(&reader, "stays.example.net");
}

#[test]
fn an_authority_has_the_sectors_of_its_own_line_alone() {
    let shared = Shared::start();
    for (name, constituency, sector) in [("Plant", "private", "energy"), ("Grid", "public", "energy"), ("Waterworks", "public", "water")] {
        shared.hub.organisation(name, if constituency == "public" { "agency" } else { "company" }, constituency, sector);
    }
    let sectors = |constituency: &str| {
        let authority = shared.hub.organisation(&format!("Authority {constituency}"), "authority", constituency, "government");
        let client = shared.hub.client(&shared.hub.key(&authority, "authority"));
        let all = client.get(&format!("{ROOT}/collections/")).json();
        let titles = all["collections"].as_array().unwrap().iter().map(|collection| collection["title"].as_str().unwrap().to_owned());
        titles.filter(|title| title.starts_with("sector-")).collect::<Vec<_>>()
    };
    assert_eq!(sectors("private"), ["sector-finance", "sector-energy", "sector-government"]);
    assert_eq!(sectors("public"), ["sector-water", "sector-energy", "sector-government"]);
}

#[test]
fn an_erased_value_takes_the_objects_that_name_it_along() {
    let mut shared = Shared::start();
    let naming = with(tool(1, 2020), &json!({ "description": "sent by LEE[@]household.kr" }));
    let address = json!({ "type": "email-addr", "spec_version": "2.1", "id": "email-addr--0190a5b8-a1b2-4000-8000-0000000000ee", "value": "lee@household.kr" });
    add(&shared.member, &shared.path, &[naming.clone(), with(tool(1, 2021), &json!({})), tool(2, 2020), address]);
    let own = shared.hub.own_organisation();
    let [first, second] = ["Kim", "Park"].map(|holder| shared.hub.client(&shared.hub.key_with(&own, &json!({ "role": "coordinator", "holder": holder })).1));
    let asked = first.post("/api/v1/erasures", &json!({ "type": "email", "value": "lee@household.kr", "basis": "PIPA article 36" }));
    assert_eq!(asked.status, 201, "{}", asked.text());
    let done = second.post(&format!("/api/v1/erasures/{}/steps", asked.json()["id"].as_str().unwrap()), &json!({ "step": "confirm" }));
    assert_eq!((done.status, &done.json()["state"]), (200, &json!("done")), "{}", done.text());
    let left = shared.objects("match[version]=all").json();
    assert_eq!(ids(&left), [tool_id(1), tool_id(2)], "the version that names it is gone, the other stays: {left}");
    // Sent again, it is no error and does not come back.
    add(&shared.member, &shared.path, &[naming]);
    assert_eq!(ids(&shared.objects("match[version]=all").json()).len(), 2);
    shared.hub.kill();
    for entry in shared.hub.data.read_dir().unwrap().flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("objects.sqlite")) {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"household"), "{}", entry.path().display());
    }
}

#[test]
fn what_was_contributed_survives_a_kill() {
    let mut shared = Shared::start();
    add(&shared.member, &shared.path, &[tool(1, 2020)]);
    shared.hub.kill();
    shared.hub.restart();
    assert_eq!(ids(&shared.objects("").json()), tools(&[1]));
}
