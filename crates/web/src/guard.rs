//! Refuses query parameters that the called route does not document.
//!
//! Invariant: what a route takes is what [`crate::openapi::ROUTES`] says it takes; the document cannot fall behind.

use crate::feeds;
use crate::misp::under_misp;
use crate::openapi::{ROUTES, Route};
use crate::problem::Problem;
use crate::router::mount;
use crate::taxii::under_taxii;
use axum::extract::{MatchedPath, Query, Request};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Unknown parameters that are named.
const NAMED: usize = 20;

/// Lets only documented query parameters pass.
pub async fn strict_query(request: Request, next: Next) -> Response {
    // TAXII and MISP have their own rules for their queries: what is unknown there is ignored.
    let path = request.uri().path();
    if !under_taxii(path) && !under_misp(path) && request.uri().query().is_some_and(|query| !query.is_empty()) {
        let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        if let Some(problem) = path.and_then(|path| route(request.method(), path)).and_then(|route| unknown(route, request.uri())) {
            return problem.into_response();
        }
    }
    next.run(request).await
}

/// The documented route that a method and a mounted path lead to.
fn route(method: &Method, mounted: &str) -> Option<&'static Route> {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    ROUTES.iter().find(|route| route.method == method && (mount(route.path) == mounted || feeds::without_slash(route.path) == Some(mounted)))
}

fn unknown(route: &Route, uri: &Uri) -> Option<Problem> {
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return Some(Problem::parameter("?", "the query cannot be read"));
    };
    let unknown: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).filter(|name| !route.query.contains(name)).take(NAMED).collect();
    if unknown.is_empty() {
        return None;
    }
    let problem = Problem::new(StatusCode::BAD_REQUEST, "the query has parameters that are not known here");
    Some(unknown.into_iter().fold(problem, |problem, name| problem.error(name, "unknown parameter")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_the_document_does_not_name_is_refused() {
        let search = route(&Method::GET, "/api/v1/events").unwrap();
        let refusal = unknown(search, &"/api/v1/events?limit=1&sinse=2026-01-01".parse().unwrap()).unwrap();
        assert!(format!("{refusal:?}").contains("sinse"));
        assert!(unknown(search, &"/api/v1/events?limit=1".parse().unwrap()).is_none());
    }

    #[test]
    fn each_method_of_a_shared_path_has_its_own_parameters() {
        let submit = route(&Method::POST, "/api/v1/events").unwrap();
        assert!(unknown(submit, &"/api/v1/events?dry_run=1".parse().unwrap()).is_none());
        assert!(unknown(submit, &"/api/v1/events?limit=1".parse().unwrap()).is_some());
    }

    #[test]
    fn the_index_of_products_is_as_strict_without_its_slash() {
        for path in ["/feeds/", "/feeds"] {
            let index = route(&Method::GET, path).unwrap();
            assert!(unknown(index, &format!("{path}?lang=ko").parse().unwrap()).is_none());
            assert!(unknown(index, &format!("{path}?tpl=green").parse().unwrap()).is_some());
        }
    }
}
