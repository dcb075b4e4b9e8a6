//! What is asked of a TAXII server, and what its answers are read as.
//!
//! Flow: [`Asking::collections`] from whatever address is configured → [`Asking::page`] of each.
//! Invariant: every address that a server names is looked at before it is asked: another scheme, host or port is never.
//! Not here: which page comes next ([`super`]).

use super::super::fetch::own_headers;
use super::super::{Context, MAX_BYTES, MAX_TIME, SourceError};
use crate::outbound::{Answer, Ask, Verb};
use model::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

/// Forms of the media type, the standard's first. Some servers know only a later one.
const ACCEPTS: [&str; 4] = ["application/taxii+json;version=2.1", "application/taxii+json", "application/json", "*/*"];
/// API roots that are looked at.
const MAX_ROOTS: usize = 20;
/// Collections that are read.
const MAX_COLLECTIONS: usize = 200;
/// Bytes of an id or title.
const MAX_WORD: usize = 256;
/// Redirects that are followed.
const MAX_REDIRECTS: usize = 3;
/// What a server of the version before is told by.
const OLD: &str = "this server speaks TAXII 2.0, which is not read; ask its operator for an address of TAXII 2.1";

/// A collection that may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Collection {
    /// Its address, with a slash at the end.
    pub url: Url,
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
}

/// One page of objects.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The objects as they came.
    pub objects: Vec<Box<RawValue>>,
    /// Whether the server says that there are more.
    pub more: bool,
    /// Where it was cut.
    pub next: Option<String>,
    /// When the last of them had been added.
    pub last: Option<Timestamp>,
    /// The server's clock.
    pub answered: Option<Timestamp>,
}

/// The server as it is asked.
pub(super) struct Asking<'a> {
    context: &'a Context<'a>,
    start: Url,
    accept: usize,
}

impl<'a> Asking<'a> {
    /// Prepares to ask; `accept` is what [`Asking::accept`] gave the last time.
    pub(super) fn new(context: &'a Context<'a>, accept: usize) -> Result<Self, SourceError> {
        let mut start = context.url()?;
        start.set_query(None);
        start.set_fragment(None);
        Ok(Self { context, start, accept: accept.min(ACCEPTS.len() - 1) })
    }

    /// Which form of the media type the server took.
    pub(super) const fn accept(&self) -> usize {
        self.accept
    }

    /// The collections that may be read: the one with this id, title or alias, or every one of the default API root.
    pub(super) async fn collections(&mut self, wanted: Option<&str>) -> Result<Vec<Collection>, SourceError> {
        let start = beginning(&self.start);
        let found = self.document(&start).await?;
        let mut all = Vec::new();
        if found.get("can_read").is_some() {
            let url = with_slash(&start);
            let id = word(&found, "id").unwrap_or_default();
            let title = word(&found, "title").unwrap_or_else(|| id.clone());
            if found.get("can_read") == Some(&Value::Bool(false)) {
                return Ok(all);
            }
            all.push(Collection { url, id, title });
            return Ok(all);
        }
        if let Some(list) = found.get("collections") {
            read_list(&start, list, wanted, &mut all);
            return Ok(all);
        }
        if found.get("api_roots").is_none() && found.get("default").is_none() {
            check_versions(&found)?;
            self.of_root(&with_slash(&start), wanted, &mut all).await?;
            return Ok(all);
        }
        let roots = self.roots(&start, &found, wanted.is_some())?;
        let several = roots.len() > 1;
        let mut problem = None;
        for root in roots {
            match self.of_root(&root, wanted, &mut all).await {
                Ok(()) => {}
                // One root of several may be closed to us.
                Err(error) if several => problem = Some(error),
                Err(error) => return Err(error),
            }
        }
        match problem {
            Some(error) if all.is_empty() => Err(error),
            _ => Ok(all),
        }
    }

    /// The API roots of a discovery document; of several the default alone, unless a collection is looked for.
    fn roots(&self, start: &Url, discovery: &Value, every: bool) -> Result<Vec<Url>, SourceError> {
        let default = word(discovery, "default");
        let listed = discovery.get("api_roots").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let names: Vec<String> = match default {
            Some(default) if !every => vec![default],
            default => default.into_iter().chain(listed).collect(),
        };
        let mut roots: Vec<Url> = Vec::new();
        let mut problem = None;
        for name in names.iter().take(MAX_ROOTS) {
            match start.join(name).map_err(|_| SourceError::Content("the server names an API root that is no address".to_owned())).and_then(|url| self.own(url))
            {
                Ok(url) if roots.contains(&with_slash(&url)) => {}
                Ok(url) => roots.push(with_slash(&url)),
                Err(error) => problem = Some(error),
            }
        }
        match problem {
            Some(error) if roots.is_empty() => Err(error),
            _ if roots.is_empty() => Err(SourceError::Content("the server names no API root".to_owned())),
            _ => Ok(roots),
        }
    }

    async fn of_root(&mut self, root: &Url, wanted: Option<&str>, all: &mut Vec<Collection>) -> Result<(), SourceError> {
        let url = join(root, "collections/")?;
        let document = self.document(&url).await?;
        // `{}` is an empty list.
        if let Some(list) = document.get("collections") {
            read_list(&url, list, wanted, all);
        }
        Ok(())
    }

    /// A page of a collection's objects.
    pub(super) async fn page(&mut self, collection: &Url, after: Option<Timestamp>, next: Option<&str>, limit: usize) -> Result<Page, SourceError> {
        let mut url = join(collection, "objects/")?;
        {
            let mut query = url.query_pairs_mut();
            if limit > 0 {
                query.append_pair("limit", &limit.to_string());
            }
            if let Some(after) = after {
                query.append_pair("added_after", &after.to_micro_string());
            }
            if let Some(next) = next {
                query.append_pair("next", next);
            }
        }
        if url.query() == Some("") {
            url.set_query(None);
        }
        let answer = self.get(&url).await?;
        let last = answer.header("x-taxii-date-added-last").and_then(|text| Timestamp::parse(text.trim()).ok());
        let answered = answer.header("date").and_then(http_date);
        let body = answer.body.trim_ascii();
        if body.is_empty() {
            return Ok(Page { answered, ..Page::default() });
        }
        let envelope: Envelope = serde_json::from_slice(body).map_err(|error| unreadable(&answer, &error))?;
        let more = match envelope.more {
            Some(Value::Bool(more)) => more,
            Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
            _ => false,
        };
        let next = match envelope.next {
            Some(Value::String(text)) => Some(text).filter(|text| !text.is_empty()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        Ok(Page { objects: envelope.objects.unwrap_or_default(), more, next, last, answered })
    }

    /// A document that is an object, with a slash at the address's end, else without.
    async fn document(&mut self, url: &Url) -> Result<Value, SourceError> {
        let answer = match self.get(&with_slash(url)).await {
            Err(SourceError::Status { status: 404, .. }) if !url.path().ends_with('/') => self.get(url).await?,
            other => other?,
        };
        let value: Value = serde_json::from_slice(&answer.body).map_err(|error| unreadable(&answer, &error))?;
        if value.is_object() { Ok(value) } else { Err(SourceError::Content("the server answered something that is no resource of TAXII".to_owned())) }
    }

    /// Asks, with each form of the media type until one is taken.
    async fn get(&mut self, url: &Url) -> Result<Answer, SourceError> {
        let mut last = None;
        for (place, accept) in ACCEPTS.iter().enumerate().skip(self.accept) {
            match self.follow(url.clone(), accept).await {
                Err(error @ SourceError::Status { status: 406 | 415, .. }) => last = Some(error),
                Err(error) => return Err(error),
                Ok(answer) => {
                    self.accept = place;
                    return Ok(answer);
                }
            }
        }
        // What was remembered may be refused today; the next run begins with the standard's form.
        self.accept = 0;
        Err(last.unwrap_or(SourceError::Status { status: 406, retry_after: None }))
    }

    /// Asks, and follows redirects inside the host.
    async fn follow(&self, url: Url, accept: &str) -> Result<Answer, SourceError> {
        let mut url = self.own(url)?;
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = own_headers(self.context.source)?;
            headers.push(("accept".to_owned(), accept.to_owned()));
            let ask = Ask { method: Verb::Get, url: url.clone(), headers, body: Vec::new(), max_answer: MAX_BYTES / 2, timeout: MAX_TIME, redirects: 0 };
            let answer = self.context.outbound.ask(ask).await?;
            match answer.status {
                301 | 302 | 307 | 308 => {
                    let to = answer.header("location").and_then(|location| url.join(location).ok());
                    url = self.own(to.ok_or_else(|| SourceError::Content("the server redirects to nowhere".to_owned()))?)?;
                }
                200..=299 => {
                    let media = answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
                    let is_old = media.contains("vnd.oasis.taxii") || media.contains("vnd.oasis.stix") || media.replace(' ', "").contains("version=2.0");
                    return if is_old { Err(SourceError::Content(OLD.to_owned())) } else { Ok(answer) };
                }
                status => {
                    let retry_after = answer.header("retry-after").and_then(|value| value.trim().parse().ok());
                    return Err(SourceError::Status { status, retry_after });
                }
            }
        }
        Err(SourceError::Content("the server redirects again and again".to_owned()))
    }

    /// The address, where it is of the configured scheme, host and port.
    fn own(&self, url: Url) -> Result<Url, SourceError> {
        if url.origin() == self.start.origin() {
            return Ok(url);
        }
        let host: String = url.host_str().unwrap_or("another place").chars().take(MAX_WORD).collect();
        Err(SourceError::Content(format!("the server leads to {}://{host}, which is not the configured one; keys go nowhere else", url.scheme())))
    }
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    more: Option<Value>,
    #[serde(default)]
    next: Option<Value>,
    #[serde(default)]
    objects: Option<Vec<Box<RawValue>>>,
}

/// Where to begin: a host alone has its discovery document at a fixed place; the objects of a collection lead to the collection.
fn beginning(start: &Url) -> Url {
    let mut url = start.clone();
    let path = url.path().trim_end_matches('/').to_owned();
    if path.is_empty() {
        url.set_path("/taxii2/");
        return url;
    }
    for end in ["/objects", "/manifest"] {
        if let Some(before) = path.strip_suffix(end).filter(|before| before.contains("/collections/")) {
            url.set_path(&format!("{before}/"));
        }
    }
    url
}

fn with_slash(url: &Url) -> Url {
    let mut url = url.clone();
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}

fn join(url: &Url, step: &str) -> Result<Url, SourceError> {
    with_slash(url).join(step).map_err(|error| SourceError::Content(format!("url: {error}")))
}

/// The readable collections of a list that are wanted.
fn read_list(url: &Url, list: &Value, wanted: Option<&str>, all: &mut Vec<Collection>) {
    for entry in list.as_array().into_iter().flatten() {
        let Some(id) = word(entry, "id").filter(|id| is_segment(id)) else { continue };
        let title = word(entry, "title").unwrap_or_else(|| id.clone());
        let named = |wanted: &str| {
            let alias = word(entry, "alias");
            id.eq_ignore_ascii_case(wanted) || title == wanted || alias.as_deref() == Some(wanted)
        };
        let readable = entry.get("can_read") != Some(&Value::Bool(false));
        let known = all.iter().any(|other: &Collection| other.id == id);
        if readable
            && !known
            && all.len() < MAX_COLLECTIONS
            && wanted.is_none_or(named)
            && let Ok(url) = join(url, &format!("{id}/"))
        {
            all.push(Collection { url, id, title });
        }
    }
}

/// Whether an id is one step of a path and nothing else.
fn is_segment(id: &str) -> bool {
    !id.starts_with('.') && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// An API root names the versions that it speaks.
fn check_versions(root: &Value) -> Result<(), SourceError> {
    let versions: Vec<&str> = root.get("versions").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let old = |version: &&str| version.contains("2.0");
    if !versions.is_empty() && versions.iter().all(old) { Err(SourceError::Content(OLD.to_owned())) } else { Ok(()) }
}

/// A short text of a field.
fn word(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty() && text.len() <= MAX_WORD).map(str::to_owned)
}

fn unreadable(answer: &Answer, error: &serde_json::Error) -> SourceError {
    let media: String = answer.header("content-type").unwrap_or("nothing said").chars().filter(|c| !c.is_control()).take(80).collect();
    SourceError::Content(format!("the answer ({media}) cannot be read as TAXII: line {}, column {}", error.line(), error.column()))
}

/// A date of HTTP: `Sun, 22 Nov 2026 10:00:00 GMT`.
///
/// Source: RFC 9110, section 5.6.7.
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split(',').nth(1)?.split_whitespace();
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Timestamp::parse(&format!("{year}-{month:02}-{day:0>2}T{time}Z")).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_address_of_a_server_leads_to_its_beginning() {
        for (given, expected) in [
            ("https://t.example", "https://t.example/taxii2/"),
            ("https://t.example/api1", "https://t.example/api1"),
            ("https://t.example/api1/collections/x/objects/", "https://t.example/api1/collections/x/"),
            ("https://t.example/objects/", "https://t.example/objects/"),
        ] {
            assert_eq!(beginning(&Url::parse(given).unwrap()).as_str(), expected);
        }
    }

    #[test]
    fn of_a_list_the_readable_and_wanted_are_taken_and_no_id_leaves_its_place() {
        let url = Url::parse("https://t.example/api1/collections/").unwrap();
        let list = json!([
            {"id": "a", "title": "One", "can_read": true},
            {"id": "b", "title": "Two", "can_read": false},
            {"id": "../../c", "title": "Three", "can_read": true},
            {"id": "d", "alias": "four", "can_read": true},
        ]);
        let read = |wanted| {
            let mut all = Vec::new();
            read_list(&url, &list, wanted, &mut all);
            all.iter().map(|collection| collection.url.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(read(None), ["https://t.example/api1/collections/a/", "https://t.example/api1/collections/d/"]);
        assert_eq!(read(Some("One")).len(), 1);
        assert_eq!(read(Some("four")).len(), 1);
        assert!(read(Some("Two")).is_empty());
    }

    #[test]
    fn a_root_of_the_version_before_is_refused() {
        assert!(check_versions(&json!({"versions": ["taxii-2.0"]})).is_err());
        assert!(check_versions(&json!({"versions": ["application/taxii+json;version=2.1", "taxii-2.0"]})).is_ok());
        assert!(check_versions(&json!({})).is_ok());
    }

    #[test]
    fn a_date_of_http_is_read() {
        assert_eq!(http_date("Sun, 22 Nov 2026 10:00:00 GMT"), Timestamp::parse("2026-11-22T10:00:00Z").ok());
        assert_eq!(http_date("yesterday"), None);
    }
}
