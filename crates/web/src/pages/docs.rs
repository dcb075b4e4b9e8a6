//! The description of the interface: as OpenAPI, and as a page that is made from it.

use super::browser::Lang;
use super::shape::{Page, escape};
use crate::openapi::{self, Body, ROUTES, Route};
use crate::reply;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use std::sync::OnceLock;

/// `GET /api/openapi.json`
pub async fn document() -> Response {
    static TEXT: OnceLock<Vec<u8>> = OnceLock::new();
    let text = TEXT.get_or_init(|| openapi::document().to_string().into_bytes());
    reply::json(StatusCode::OK, text.clone())
}

/// `GET /api/docs`
pub async fn page() -> Response {
    static PAGE: OnceLock<Page> = OnceLock::new();
    PAGE.get_or_init(render).answer(StatusCode::OK, "accept")
}

const GROUPS: [(&str, &str); 11] = [
    ("events", "Events"),
    ("observables", "Observables, claims and erasures"),
    ("products", "Products for firewalls, resolvers and sensors"),
    ("findings", "Findings for owners of networks"),
    ("members", "Members"),
    ("delivery", "Subscriptions and the inbox"),
    ("sources", "Sources"),
    ("taxii", "TAXII 2.1"),
    ("misp", "MISP"),
    ("hub", "The hub and the caller"),
    ("public", "Without a key"),
];

/// Problem types of our own, at the fragments that their `type` names.
const PROBLEMS: [(&str, &str); 5] = [
    ("stale-version", "The record was changed since the version you read. <code>current</code> is the version there is; read it again, then decide."),
    ("illegal-step", "The step is not legal in the record's state. <code>legal</code> names the steps that are."),
    ("nothing-usable", "No entry of the body could be taken. <code>errors</code> says for each, by line, why; up to 1,000 are named."),
    (
        "too-large",
        "The body, or what it holds, is larger than <code>limit</code>, counted in <code>unit</code>. Where a part of a submission was kept all the same, \
         <code>receipt</code>, <code>first_seq</code>, <code>last_seq</code> and the counts say which; so do the refusals 429 and 507.",
    ),
    ("replaced", "A corrected event has taken the place of this one: <code>seq</code>. Only who may read both learns of it."),
];

fn render() -> Page {
    let document = openapi::document();
    let mut page = Page::titled(Lang::En, "Bongsu: the interface");
    let description = document.pointer("/info/description").and_then(Value::as_str).unwrap_or_default();
    page.paragraph(description);
    page.html(format_args!("<p><a href=\"/api/openapi.json\">The same as OpenAPI 3.1</a></p>\n"));
    for (group, title) in GROUPS {
        page.heading(title);
        for route in ROUTES.iter().filter(|route| route.group == group) {
            operation(&mut page, route, &document);
        }
    }
    page.heading("Problems");
    for (name, words) in PROBLEMS {
        page.html(format_args!("<h3 id=\"{name}\">{name}</h3>\n<p>{words}</p>\n"));
    }
    page.heading("Schemas");
    if let Some(schemas) = document.pointer("/components/schemas").and_then(Value::as_object) {
        for (name, schema) in schemas {
            let text = serde_json::to_string_pretty(schema).unwrap_or_default();
            page.html(format_args!("<h3 id=\"schema-{name}\">{name}</h3>\n<pre><code>{}</code></pre>\n", escape(&text)));
        }
    }
    page
}

fn operation(page: &mut Page, route: &Route, document: &Value) {
    page.html(format_args!("<h3 id=\"{}\"><code>{} {}</code></h3>\n", route.id, route.method, escape(route.path)));
    page.paragraph(route.summary);
    let place = document.get("paths").and_then(|paths| paths.get(route.path)).and_then(|path| path.get(route.method.to_ascii_lowercase()));
    if let Some(roles) = place.and_then(|operation| operation.get("x-roles")).and_then(Value::as_array) {
        let roles: Vec<&str> = roles.iter().filter_map(Value::as_str).collect();
        page.html(format_args!("<p class=\"quiet\">Roles: {}</p>\n", roles.join(", ")));
    }
    if let Some(parameters) = place.and_then(|operation| operation.get("parameters")).and_then(Value::as_array) {
        page.table(&["Parameter", "In", "Meaning"], |rows| {
            for parameter in parameters {
                let field = |name: &str| escape(parameter.get(name).and_then(Value::as_str).unwrap_or_default());
                rows.html(format_args!("<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>\n", field("name"), field("in"), field("description")));
            }
        });
    }
    match route.body {
        Body::None => {}
        Body::Json(schema) | Body::JsonOrNothing(schema) => page.html(format_args!("<p>Body: <a href=\"#schema-{schema}\">{schema}</a></p>\n")),
        Body::Envelope => page.html(format_args!("<p>Body: <a href=\"#schema-TaxiiEnvelope\">TaxiiEnvelope</a></p>\n")),
        Body::Events => {
            page.html(format_args!("<p>Body: events in one of the formats; as JSON, an array of <a href=\"#schema-NewEvent\">NewEvent</a></p>\n"));
        }
    }
    let problems: Vec<String> = route.problem_statuses().iter().map(u16::to_string).collect();
    let schema = if route.schema.is_empty() { String::new() } else { format!(" <a href=\"#schema-{0}\">{0}</a>", route.schema) };
    page.html(format_args!("<p>Answer: {}{schema}; problems: {}</p>\n", route.status, problems.join(", ")));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_every_route_and_runs_no_script() {
        let page = render().document();
        for route in ROUTES {
            assert!(page.contains(&format!("id=\"{}\"", route.id)), "{}", route.id);
        }
        assert!(!page.contains("<script"));
    }
}
