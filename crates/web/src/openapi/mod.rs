//! The interface's description (OpenAPI 3.1), made from one table.
//!
//! Flow: [`ROUTES`] names every route with what it takes and gives; [`document`] adds the schemas. The router, the check of query
//! parameters and the tests of authorisation are held against the same table.
//! Invariant: no route answers with a status or media type that is not written here.

mod parameters;
mod routes;
mod schemas;

pub use routes::ROUTES;

use crate::pages::refusal;
use crate::pages::shape::HTML;
use crate::{auth, feeds, misp, problem, reply, stream, taxii};
use serde_json::{Map, Value, json};

/// One route: what it takes, what it gives, and who may call it.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path with its parameters in braces.
    pub path: &'static str,
    /// Stable name of the operation.
    pub id: &'static str,
    /// Group in the readable page.
    pub group: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// Whether it is answered without a key.
    pub public: bool,
    /// Which roles it serves.
    pub access: Access,
    /// Query parameters; any other is refused.
    pub query: &'static [&'static str],
    /// Request headers it reads besides the key.
    pub headers: &'static [&'static str],
    /// The request's body.
    pub body: Body,
    /// Status of success.
    pub status: u16,
    /// Media type of success.
    pub media: &'static str,
    /// Schema of success, for JSON; empty: none.
    pub schema: &'static str,
    /// Statuses it may give besides those that every route of its kind may give.
    pub problems: &'static [u16],
}

/// Which roles a route serves.
///
/// True: a well-formed request about the caller's own organisation, or about what it may know of, is neither 401 nor 403.
/// False: the answer is 403, or 404 where the caller may not even know that it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The hub's own duty desk.
    pub coordinator: bool,
    /// The authority of a constituency.
    pub authority: bool,
    /// An organisation's administrator.
    pub member_admin: bool,
    /// Reads and submits.
    pub analyst: bool,
    /// Submits only.
    pub reporter: bool,
    /// Reads only.
    pub reader: bool,
    /// Reads status, histories and totals.
    pub auditor: bool,
}

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// JSON of this schema.
    Json(&'static str),
    /// The same, or nothing, which stands for an object without fields.
    JsonOrNothing(&'static str),
    /// A submission of events in one of the formats.
    Events,
    /// A TAXII envelope.
    Envelope,
}

impl Route {
    /// Every problem status it may give, in order.
    pub fn problem_statuses(&self) -> Vec<u16> {
        let mut all = vec![400, 500];
        if !self.public {
            all.extend([401, 503]);
        }
        if !self.public && self.access != Access::ALL {
            all.push(403);
        }
        if self.path.contains('{') {
            all.push(404);
        }
        match self.body {
            Body::None => {}
            Body::Json(_) | Body::JsonOrNothing(_) | Body::Events | Body::Envelope => all.extend([408, 413, 415, 422]),
        }
        all.extend_from_slice(self.problems);
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The description of the whole interface.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(operations) = path {
            operations.insert(route.method.to_ascii_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bongsu",
            "summary": "National hub for sharing cyber threats and responding to them",
            "description": DESCRIPTION,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "key": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer", "description": "A key of an organisation, with one role, in one realm" },
                "password": { "type": "http", "scheme": "basic", "description": "The same key as the password, with any name" },
            },
            "schemas": schemas::all(),
        },
    })
}

const DESCRIPTION: &str = "Every path under /api, /taxii2 and /misp needs a key: `Authorization: Bearer KEY`. \
Under /taxii2 and /feeds, and for this description, HTTP Basic with the key as the password is taken as well; elsewhere it is refused with 401, for a browser \
would send it for other sites' pages. Refusals are problem documents (RFC 9457), under /taxii2 those of TAXII 2.1. \
/misp/ is a door for clients and instances of MISP, who give the key alone (`Authorization: KEY`): its requests, answers and refusals are MISP's, with parameters \
in the path as MISP has them; docs/misp.md says what of it is served. \
Lists are newest first and page with `limit` and the opaque `cursor` of the page before. Times are RFC 3339 in UTC; requests may also give \
seconds or milliseconds since 1970. What a caller may not know of answers like what does not exist.";

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "tags": [route.group],
        "responses": responses(route),
    });
    if let Value::Object(fields) = &mut operation {
        let parameters = parameters::of(route);
        if !parameters.is_empty() {
            fields.insert("parameters".to_owned(), Value::Array(parameters));
        }
        if let Some(body) = request_body(route.body) {
            fields.insert("requestBody".to_owned(), body);
        }
        if route.public {
            fields.insert("security".to_owned(), json!([]));
        } else {
            if auth::takes_password(route.path) || route.path.starts_with(feeds::index::PATH) {
                fields.insert("security".to_owned(), json!([{ "key": [] }, { "password": [] }]));
            }
            fields.insert("x-roles".to_owned(), route.access.roles());
        }
    }
    operation
}

fn responses(route: &Route) -> Value {
    let mut responses = Map::new();
    responses.insert(route.status.to_string(), success(route));
    for status in route.problem_statuses() {
        responses.insert(status.to_string(), refusal(route, status));
    }
    if route.headers.contains(&"If-None-Match") {
        responses.insert("304".to_owned(), json!({ "description": "The caller has it already" }));
    }
    if route.path.contains('{') || !route.query.is_empty() {
        // The connection answers this before any of ours sees the request, without a body.
        responses.insert("414".to_owned(), json!({ "description": "The address of the request is longer than 64 KiB" }));
    }
    Value::Object(responses)
}

fn success(route: &Route) -> Value {
    if route.status == 204 {
        return json!({ "description": "Done; there is nothing to say" });
    }
    let schema = if route.schema.is_empty() { json!({ "type": "string" }) } else { reference(route.schema) };
    let description = if route.media == stream::MEDIA_TYPE { "An open stream of server-sent events" } else { "Done" };
    if route.media == crate::feeds::ANY {
        let content: Map<String, Value> = crate::feeds::MEDIA.iter().map(|media| ((*media).to_owned(), json!({ "schema": schema }))).collect();
        return json!({ "description": description, "content": content });
    }
    for (several, media) in [(misp::SEVERAL, &misp::FORMATS[..]), (feeds::misp::ANY, &feeds::misp::MEDIA[..])] {
        if route.media == several {
            let content: Map<String, Value> = media.iter().map(|media| ((*media).to_owned(), json!({ "schema": schema }))).collect();
            return json!({ "description": description, "content": content });
        }
    }
    let mut content = Map::from_iter([(route.media.to_owned(), json!({ "schema": schema }))]);
    if route.path == feeds::index::PATH {
        content.insert(HTML.to_owned(), json!({ "schema": { "type": "string", "description": "To a browser: the same as a page" } }));
    }
    json!({ "description": description, "content": content })
}

fn refusal(route: &Route, status: u16) -> Value {
    let description = match status {
        400 => "A parameter or the body cannot be read",
        401 => "The key is missing, not valid, or given in another way than is taken here",
        403 => "The key's role may not do this",
        404 => "It does not exist, or the caller may not know of it",
        405 => "The path does not take this method",
        406 => "None of the media types that are accepted is given",
        408 => "The body took too long",
        409 => "The version is stale, or the step is not legal now",
        410 => "A corrected event has taken its place, and `seq` names it; or there is no difference from this version any more",
        413 => "Larger than the limit; where a part was kept, `receipt` and the counts name it",
        415 => "A media type or compression that is not taken",
        422 => "A field is wrong, or nothing in the body could be used",
        429 => "The member's quota is used up; where a part was kept, `receipt` and the counts name it",
        503 => "More work than can be queued, or writes are refused for now",
        507 => "No space left to write; reads go on; where a part was kept, `receipt` and the counts name it",
        _ => "Something broke inside",
    };
    let (media, schema) = if taxii::under_taxii(route.path) {
        (taxii::MEDIA_TYPE, "TaxiiError")
    } else if misp::under_misp(route.path) {
        (reply::JSON, "MispError")
    } else {
        (problem::MEDIA_TYPE, "Problem")
    };
    let mut content = Map::from_iter([(media.to_owned(), json!({ "schema": reference(schema) }))]);
    if refusal::is_shown(route.path) {
        let told = if status == 401 && auth::is_description(route.path) { "To a browser: how to get in" } else { "To a browser: the same as a page" };
        content.insert(HTML.to_owned(), json!({ "schema": { "type": "string", "description": told } }));
    }
    let mut response = json!({ "description": description, "content": content });
    let header = match status {
        401 => Some(("WWW-Authenticate", json!({ "description": "The scheme that is wanted", "schema": { "type": "string" } }))),
        429 | 503 => Some(("Retry-After", json!({ "description": "Seconds", "schema": { "type": "integer", "minimum": 1 } }))),
        _ => None,
    };
    if let (Some((name, header)), Value::Object(fields)) = (header, &mut response) {
        fields.insert("headers".to_owned(), json!({ (name): header }));
    }
    response
}

fn request_body(body: Body) -> Option<Value> {
    let text = json!({ "schema": { "type": "string" } });
    match body {
        Body::None => None,
        Body::Json(schema) => Some(json!({ "required": true, "content": { (reply::JSON): { "schema": reference(schema) } } })),
        Body::JsonOrNothing(schema) => Some(json!({ "required": false, "content": { (reply::JSON): { "schema": reference(schema) } } })),
        Body::Envelope => Some(json!({
            "required": true,
            "description": "An envelope; a bundle is taken as well. Not compressed.",
            "content": {
                (taxii::MEDIA_TYPE): { "schema": reference("TaxiiEnvelope") },
                "application/stix+json;version=2.1": { "schema": reference("TaxiiEnvelope") },
            },
        })),
        Body::Events => Some(json!({
            "required": true,
            "description": "Streamed; may be compressed (`Content-Encoding: gzip` or `zstd`). Without a media type the format is guessed.",
            "content": {
                "application/json": { "schema": { "type": "array", "items": reference("NewEvent"), "maxItems": 1_000_000 } },
                "application/x-ndjson": text,
                "text/csv": text,
                "text/plain": text,
                "application/stix+json": text,
                "application/x-misp+json": text,
                "application/octet-stream": text,
            },
        })),
    }
}

/// A reference to a schema of the document.
fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

impl Access {
    /// Every role.
    pub const ALL: Self = Self { coordinator: true, authority: true, member_admin: true, analyst: true, reporter: true, reader: true, auditor: true };

    fn roles(self) -> Value {
        let table = [
            (self.coordinator, "coordinator"),
            (self.authority, "authority"),
            (self.member_admin, "member-admin"),
            (self.analyst, "analyst"),
            (self.reporter, "reporter"),
            (self.reader, "reader"),
            (self.auditor, "auditor"),
        ];
        table.into_iter().filter(|(served, _)| *served).map(|(_, role)| Value::from(role)).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, inner) in fields {
                    if let (true, Value::String(target)) = (name == "$ref", inner) {
                        found.insert(target.clone());
                    }
                    references(inner, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema_and_every_schema_is_used() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        let defined: BTreeSet<String> =
            document["components"]["schemas"].as_object().unwrap().keys().map(|name| format!("#/components/schemas/{name}")).collect();
        assert_eq!(found, defined);
    }

    #[test]
    fn every_parameter_of_a_path_and_of_a_route_is_described() {
        for route in ROUTES {
            let named = route.path.matches('{').count() + route.query.len() + route.headers.len();
            assert_eq!(parameters::of(route).len(), named, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let names: BTreeSet<&str> = ROUTES.iter().map(|route| route.id).collect();
        assert_eq!(names.len(), ROUTES.len());
    }

    #[test]
    fn what_is_under_api_needs_a_key_and_little_else_does() {
        // Who has fetched nothing with a key can be told of no recall.
        const KEYED_ELSEWHERE: &[&str] = &["/feeds/recalls"];
        for route in ROUTES {
            let keyed = crate::auth::under_api(route.path) || KEYED_ELSEWHERE.contains(&route.path);
            assert_eq!(route.public, !keyed, "{}", route.path);
        }
    }

    #[test]
    fn a_route_closed_to_a_role_says_so() {
        let add = ROUTES.iter().find(|route| route.id == "addOrganisation").unwrap();
        assert!(add.problem_statuses().contains(&403) && !add.access.analyst);
    }
}
