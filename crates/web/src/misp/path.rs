//! Paths as MISP's clients write them, in the one form in which the routes stand.
//!
//! MISP's framework takes parameters as segments of the path (`/metadata:1`), names of parts with and without underscores, and an ending for the
//! format. A client whose base URL lacks the slash at its end leaves `misp` out and asks for `/events/index`. All of it becomes a plain path and a
//! query, before anything looks at either.
//! Invariant: a path outside of this door is not touched; no other door has a path that begins like one of its parts.

use super::under_misp;
use axum::extract::Request;
use axum::http::Uri;
use axum::middleware::Next;
use axum::response::Response;

/// The parts of MISP that are served, which a path without `misp` begins with.
const PARTS: [&str; 12] = [
    "attributes",
    "event_reports",
    "events",
    "objects",
    "organisations",
    "servers",
    "shadow_attributes",
    "sharing_groups",
    "sightings",
    "tags",
    "users",
    "warninglists",
];

/// Brings the request's address into its one form.
pub async fn rewrite(mut request: Request, next: Next) -> Response {
    if let Some(uri) = rewritten(request.uri()) {
        *request.uri_mut() = uri;
    }
    next.run(request).await
}

/// A path of this door without the door's own name.
fn inside(path: &str) -> Option<&str> {
    if under_misp(path) {
        return path.strip_prefix("/misp");
    }
    let part = path.strip_prefix('/')?.split('/').next()?;
    PARTS.contains(&with_underscores(part).as_str()).then_some(path)
}

/// The address in its one form; `None` where it is in it, is another door's, or no address comes of it.
fn rewritten(uri: &Uri) -> Option<Uri> {
    let inside = inside(uri.path())?;
    let mut path = String::from("/misp");
    let mut query: Vec<String> = uri.query().filter(|query| !query.is_empty()).map(str::to_owned).into_iter().collect();
    let segments: Vec<&str> = inside.split('/').filter(|segment| !segment.is_empty()).collect();
    for (place, segment) in segments.iter().enumerate() {
        if let Some((name, value)) = parameter(segment).filter(|_| place > 1) {
            query.push(format!("{name}={value}"));
            continue;
        }
        path.push('/');
        if place == 0 { path.push_str(&with_underscores(segment)) } else { path.push_str(segment.strip_suffix(".json").unwrap_or(segment)) }
    }
    let whole = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
    if uri.path_and_query().is_some_and(|there| there.as_str() == whole) {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(whole.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// A segment that is a parameter: a word, a colon, and a value, in which what parts a query is encoded.
fn parameter(segment: &str) -> Option<(&str, String)> {
    let (name, value) = segment.split_once(':')?;
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'[' | b']'));
    plain.then(|| (name, value.replace('&', "%26").replace('=', "%3D")))
}

/// `sharingGroups` as `sharing_groups`.
fn with_underscores(word: &str) -> String {
    let mut out = String::with_capacity(word.len() + 2);
    for character in word.chars() {
        if character.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_write_a_path_becomes_the_one_form() {
        for (given, expected) in [
            ("/misp/events/add/metadata:1", "/misp/events/add?metadata=1"),
            ("/misp/sharingGroups/index.json", "/misp/sharing_groups/index"),
            ("/misp//events/view/7.json", "/misp/events/view/7"),
            ("/misp/organisations/index/scope:local/searchall:a+b", "/misp/organisations/index?scope=local&searchall=a+b"),
            ("/misp/events/view/7/deleted[]:0/deleted[]:1", "/misp/events/view/7?deleted[]=0&deleted[]=1"),
            ("/misp/events/restSearch/value:a=b?limit=2", "/misp/events/restSearch?limit=2&value=a%3Db"),
            ("/misp/attributes/describeTypes.json", "/misp/attributes/describeTypes"),
            ("/misp/events/index/", "/misp/events/index"),
            ("/events/add/metadata:1", "/misp/events/add?metadata=1"),
            ("/servers/getVersion", "/misp/servers/getVersion"),
            ("/eventReports/index/event_id:7", "/misp/event_reports/index?event_id=7"),
            ("/shadowAttributes/index/7", "/misp/shadow_attributes/index/7"),
        ] {
            assert_eq!(rewritten(&given.parse().unwrap()).map(|uri| uri.to_string()).as_deref(), Some(expected), "{given}");
        }
        for other in ["/misp/events/view/7", "/misp", "/", "/api/v1/events", "/feeds/misp/manifest.json", "/eventsx/add", "/mispell/x"] {
            assert_eq!(rewritten(&other.parse().unwrap()), None, "{other}");
        }
    }
}
