//! Every route, on one page.
//!
//! Flow: a request passes, from the outside in, [`observe`] → [`headers`] → compression → [`taxii::translate`] → [`auth::gate`] → [`guard`] →
//! one row of [`rows`].
//! Invariant: these rows and [`crate::openapi::ROUTES`] name the same routes; a test compares them.

use crate::api::{claims, contacts, erasures, events, findings, groups, keys, networks, observables, organisations, receipts, status, stream, submissions};
use crate::problem::Problem;
use crate::{AppState, auth, feeds, guard, headers, limits, metrics, observe, pages, taxii};
use axum::Router;
use axum::handler::Handler;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::routing::{self, MethodRouter};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

/// The server in front of a hub.
///
/// The listener passes the peer's address as [`axum::extract::ConnectInfo`] and bounds the time that a request's head may take.
pub fn router(state: AppState) -> Router {
    let mut router = Router::new();
    for row in rows() {
        if let Some(path) = taxii::without_slash(row.path) {
            router = router.route(path, row.handler.clone());
        }
        router = router.route(mount(row.path), row.handler);
    }
    let compressible = SizeAbove::new(limits::COMPRESS_FROM).and(NotForContentType::SSE);
    let inner: Router = router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(guard::strict_query))
        .layer(from_fn_with_state(state.clone(), auth::gate))
        .layer(from_fn(taxii::translate))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(compressible))
        .layer(from_fn_with_state(state.clone(), headers::set))
        .layer(from_fn_with_state(state.clone(), observe::watch))
        .with_state(state);
    // Outside of the routes, for there the router itself adds what is to be taken away.
    Router::new().fallback_service(inner).layer(map_response(auth::hide_methods))
}

fn rows() -> Vec<Row> {
    vec![
        // Public.
        get("/", pages::home::page),
        get("/assets/bongsu.css", pages::style::sheet),
        get("/healthz", status::alive),
        get("/readyz", status::ready),
        get("/metrics", metrics::page),
        // Products.
        get("/feeds/recalls", feeds::recalls),
        get("/feeds/{product}", feeds::product),
        // The interface's own description.
        get("/api/openapi.json", pages::docs::document),
        get("/api/docs", pages::docs::page),
        // Events.
        get("/api/v1/events", events::search),
        post("/api/v1/events", submissions::submit),
        post("/api/v1/events/withdraw", events::withdraw),
        get("/api/v1/events/{seq}", events::show),
        post("/api/v1/events/{seq}/amend", submissions::amend),
        get("/api/v1/events/{seq}/history", events::history),
        get("/api/v1/receipts/{receipt}", receipts::show),
        get("/api/v1/stream", stream::follow),
        // Observables.
        post("/api/v1/observables/lookup", observables::lookup),
        get("/api/v1/observables/{type}/{value}", observables::show),
        post("/api/v1/observables/{type}/{value}/sightings", observables::sight),
        get("/api/v1/claims", claims::list),
        post("/api/v1/claims/{claim}/steps", claims::step),
        get("/api/v1/erasures", erasures::list),
        post("/api/v1/erasures", erasures::request),
        get("/api/v1/erasures/{erasure}", erasures::show),
        post("/api/v1/erasures/{erasure}/steps", erasures::step),
        // Members.
        get("/api/v1/organisations", organisations::list),
        post("/api/v1/organisations", organisations::add),
        get("/api/v1/organisations/{id}", organisations::show),
        patch("/api/v1/organisations/{id}", organisations::change),
        get("/api/v1/organisations/{id}/history", organisations::history),
        post("/api/v1/organisations/{id}/standing", organisations::set_standing),
        get("/api/v1/organisations/{id}/contribution", organisations::contribution),
        get("/api/v1/organisations/{id}/keys", keys::list),
        post("/api/v1/organisations/{id}/keys", keys::add),
        post("/api/v1/organisations/{id}/keys/{key}/rotate", keys::rotate),
        post("/api/v1/organisations/{id}/keys/{key}/revoke", keys::revoke),
        get("/api/v1/organisations/{id}/networks", networks::list),
        post("/api/v1/organisations/{id}/networks", networks::add),
        post("/api/v1/organisations/{id}/networks/{net}/steps", networks::step),
        post("/api/v1/organisations/{id}/networks/{net}/proof", networks::prove),
        get("/api/v1/organisations/{id}/contact", contacts::show),
        post("/api/v1/organisations/{id}/contact", contacts::set),
        post("/api/v1/organisations/{id}/contact/verify", contacts::verify),
        // Findings.
        get("/api/v1/findings", findings::list),
        get("/api/v1/findings.csv", findings::table),
        get("/api/v1/findings/summary", findings::summary),
        get("/api/v1/findings/{finding}", findings::show),
        post("/api/v1/findings/{finding}/steps", findings::step),
        get("/api/v1/findings/{finding}/history", findings::history),
        // Groups.
        get("/api/v1/groups", groups::list),
        post("/api/v1/groups", groups::add),
        get("/api/v1/groups/{group}", groups::show),
        patch("/api/v1/groups/{group}", groups::change),
        get("/api/v1/groups/{group}/history", groups::history),
        // TAXII.
        get("/taxii2/", taxii::discovery),
        get("/taxii2/{root}/", taxii::root),
        get("/taxii2/{root}/collections/", taxii::collections),
        get("/taxii2/{root}/collections/{collection}/", taxii::collection),
        get("/taxii2/{root}/collections/{collection}/manifest/", taxii::manifest),
        get("/taxii2/{root}/collections/{collection}/objects/", taxii::list),
        post("/taxii2/{root}/collections/{collection}/objects/", taxii::add),
        get("/taxii2/{root}/collections/{collection}/objects/{object}/", taxii::show),
        delete("/taxii2/{root}/collections/{collection}/objects/{object}/", taxii::delete),
        get("/taxii2/{root}/collections/{collection}/objects/{object}/versions/", taxii::versions),
        get("/taxii2/{root}/status/{status}/", taxii::status),
        // The hub and the caller.
        get("/api/v1/status", status::status),
        get("/api/v1/me", status::me),
    ]
}

/// An observable's value may hold slashes, encoded or not, so its routes share one pattern that takes the rest of the path.
const OBSERVABLE: &str = "/api/v1/observables/{type}/{*value}";

/// The pattern under which a documented path is mounted.
pub fn mount(path: &'static str) -> &'static str {
    if path.starts_with("/api/v1/observables/{type}/{value}") { OBSERVABLE } else { path }
}

/// One route.
struct Row {
    #[cfg_attr(not(test), expect(dead_code, reason = "compared with the document in the tests; the handler knows its method"))]
    method: &'static str,
    path: &'static str,
    handler: MethodRouter<AppState>,
}

fn get<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> Row {
    Row { method: "GET", path, handler: routing::get(handler) }
}

fn post<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> Row {
    Row { method: "POST", path, handler: routing::post(handler) }
}

fn delete<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> Row {
    Row { method: "DELETE", path, handler: routing::delete(handler) }
}

fn patch<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> Row {
    Row { method: "PATCH", path, handler: routing::patch(handler) }
}

async fn not_found() -> Problem {
    Problem::not_found()
}

async fn method_not_allowed() -> Problem {
    // The router adds `Allow`.
    Problem::method_not_allowed(None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::openapi::ROUTES;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_and_the_router_name_the_same_routes() {
        let routed: BTreeSet<(&str, &str)> = rows().iter().map(|row| (row.method, row.path)).collect();
        let documented: BTreeSet<(&str, &str)> = ROUTES.iter().map(|route| (route.method, route.path)).collect();
        assert_eq!(routed, documented);
        assert_eq!(rows().len(), ROUTES.len(), "no route is named twice");
    }

    #[test]
    fn all_routes_can_be_mounted_together() {
        let mut router: Router<AppState> = Router::new();
        for row in rows() {
            router = router.route(mount(row.path), row.handler);
        }
        assert!(router.has_routes());
    }
}
