//! Every route, on one page.
//!
//! Flow: a request passes, from the outside in, [`misp::path`] → [`observe`] → [`headers`] → compression → [`pages::refusal`], [`misp::translate`],
//! [`taxii::translate`] → [`auth::gate`] → [`guard`] → one row of [`rows`].
//! Invariant: these rows and [`crate::openapi::ROUTES`] name the same routes; a test compares them.

use crate::api::sources;
use crate::api::{
    agreements, claims, contacts, erasures, events, findings, groups, inbox, keys, national, networks, observables, organisations, receipts, status, stream,
    submissions, subscriptions,
};
use crate::problem::Problem;
use crate::{AppState, auth, feeds, guard, headers, limits, metrics, misp, observe, pages, taxii};
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
        if let Some(path) = taxii::without_slash(row.path).or_else(|| feeds::without_slash(row.path)) {
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
        .layer(from_fn(misp::translate))
        .layer(from_fn(pages::refusal::translate))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(compressible))
        .layer(from_fn_with_state(state.clone(), headers::set))
        .layer(from_fn_with_state(state.clone(), observe::watch))
        .with_state(state);
    // Outside of the routes, for there the router itself adds what is to be taken away.
    Router::new().fallback_service(inner).layer(map_response(auth::hide_methods)).layer(from_fn(misp::path::rewrite))
}

fn rows() -> Vec<Row> {
    vec![
        // Public.
        get("/", pages::home::page),
        get("/assets/bongsu.css", pages::style::sheet),
        get("/contacts/confirm/{code}", pages::contact::show),
        post("/contacts/confirm/{code}", pages::contact::confirm),
        get("/healthz", status::alive),
        get("/readyz", status::ready),
        get("/metrics", metrics::page),
        // Products.
        get("/feeds/", feeds::index::list),
        get("/feeds/recalls", feeds::recalls),
        get("/feeds/{product}", feeds::product),
        get("/feeds/misp/{file}", feeds::misp::file),
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
        get("/api/v1/organisations/{id}/agreement", agreements::show),
        put("/api/v1/organisations/{id}/agreement", agreements::set),
        delete("/api/v1/organisations/{id}/agreement", agreements::end),
        get("/api/v1/organisations/{id}/keys", keys::list),
        post("/api/v1/organisations/{id}/keys", keys::add),
        post("/api/v1/organisations/{id}/keys/{key}/rotate", keys::rotate),
        post("/api/v1/organisations/{id}/keys/{key}/revoke", keys::revoke),
        get("/api/v1/organisations/{id}/networks", networks::list),
        post("/api/v1/organisations/{id}/networks", networks::add),
        get("/api/v1/organisations/{id}/networks/{net}", networks::show),
        post("/api/v1/organisations/{id}/networks/{net}/steps", networks::step),
        post("/api/v1/organisations/{id}/networks/{net}/proof", networks::prove),
        post("/api/v1/organisations/{id}/networks/{net}/proof/check", networks::check),
        get("/api/v1/organisations/{id}/contact", contacts::show),
        post("/api/v1/organisations/{id}/contact", contacts::set),
        post("/api/v1/organisations/{id}/contact/verify", contacts::verify),
        post("/api/v1/organisations/{id}/contact/bounce", contacts::bounce),
        get("/api/v1/contacts", contacts::list),
        post("/api/v1/contacts", contacts::import),
        get("/api/v1/contacts/queue", contacts::queue),
        get("/api/v1/national", national::show),
        // Findings.
        get("/api/v1/findings", findings::list),
        get("/api/v1/findings.csv", findings::table),
        get("/api/v1/findings/summary", findings::summary),
        get("/api/v1/findings/{finding}", findings::show),
        post("/api/v1/findings/{finding}/steps", findings::step),
        get("/api/v1/findings/{finding}/history", findings::history),
        // Subscriptions and the inbox.
        get("/api/v1/subscriptions", subscriptions::list),
        post("/api/v1/subscriptions", subscriptions::add),
        get("/api/v1/subscriptions/{subscription}", subscriptions::show),
        patch("/api/v1/subscriptions/{subscription}", subscriptions::change),
        delete("/api/v1/subscriptions/{subscription}", subscriptions::remove),
        post("/api/v1/subscriptions/{subscription}/pause", subscriptions::pause),
        post("/api/v1/subscriptions/{subscription}/resume", subscriptions::resume),
        post("/api/v1/subscriptions/{subscription}/rotate-secret", subscriptions::rotate_secret),
        post("/api/v1/subscriptions/{subscription}/test", subscriptions::test),
        post("/api/v1/subscriptions/{subscription}/confirm", subscriptions::confirm),
        get("/api/v1/inbox", inbox::list),
        post("/api/v1/inbox/{message}/read", inbox::read),
        // Groups.
        get("/api/v1/groups", groups::list),
        post("/api/v1/groups", groups::add),
        get("/api/v1/groups/{group}", groups::show),
        patch("/api/v1/groups/{group}", groups::change),
        get("/api/v1/groups/{group}/history", groups::history),
        // Sources.
        get("/api/v1/sources", sources::list),
        get("/api/v1/sources/{name}", sources::show),
        post("/api/v1/sources/{name}/run", sources::run),
        post("/api/v1/sources/{name}/accept", sources::accept),
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
        // MISP.
        get("/misp/servers/getVersion", misp::version),
        get("/misp/servers/getPyMISPVersion", misp::pymisp_version),
        post("/misp/servers/postTest", misp::post_test),
        get("/misp/users/view/{user}", misp::user),
        get("/misp/organisations/index", misp::organisations),
        get("/misp/organisations/view/{organisation}", misp::organisation),
        get("/misp/sharing_groups/index", misp::groups),
        get("/misp/sharing_groups/view/{sharing_group}", misp::group),
        get("/misp/tags/index", misp::tags),
        get("/misp/tags/view/{tag}", misp::tag),
        post("/misp/tags/search", misp::search_tags),
        post("/misp/tags/add", misp::add_tag),
        post("/misp/tags/attachTagToObject", misp::attach_tag),
        post("/misp/tags/removeTagFromObject", misp::remove_tag),
        get("/misp/events/index", misp::index),
        post("/misp/events/index", misp::index),
        post("/misp/events/add", misp::add),
        get("/misp/events/view/{event}", misp::view),
        post("/misp/events/view/{event}", misp::view),
        post("/misp/events/edit/{event}", misp::edit),
        post("/misp/events/delete/{event}", misp::delete),
        post("/misp/events/publish/{event}", misp::publish),
        post("/misp/events/alert/{event}", misp::publish),
        post("/misp/events/unpublish/{event}", misp::unpublish),
        get("/misp/events/restSearch", misp::search_events),
        post("/misp/events/restSearch", misp::search_events),
        post("/misp/events/filterEventIdsForPush", misp::wanted),
        get("/misp/attributes/index", misp::attributes),
        get("/misp/attributes/view/{attribute}", misp::attribute),
        post("/misp/attributes/add/{event}", misp::add_attributes),
        post("/misp/attributes/edit/{attribute}", misp::edit_attribute),
        post("/misp/attributes/delete/{attribute}", misp::delete_attribute),
        post("/misp/attributes/restore/{attribute}", misp::restore_attribute),
        get("/misp/attributes/restSearch", misp::search_attributes),
        post("/misp/attributes/restSearch", misp::search_attributes),
        get("/misp/attributes/describeTypes", misp::describe_types),
        get("/misp/objects/view/{misp_object}", misp::object),
        post("/misp/objects/add/{event}", misp::add_object),
        post("/misp/objects/edit/{misp_object}", misp::edit_object),
        post("/misp/objects/delete/{misp_object}", misp::delete_object),
        post("/misp/objects/restSearch", misp::search_objects),
        get("/misp/event_reports/index", misp::list_reports),
        get("/misp/event_reports/view/{report}", misp::report),
        post("/misp/event_reports/add/{event}", misp::add_report),
        post("/misp/event_reports/edit/{report}", misp::edit_report),
        post("/misp/event_reports/delete/{report}", misp::delete_report),
        post("/misp/event_reports/restore/{report}", misp::restore_report),
        post("/misp/sightings/add", misp::add_sighting),
        post("/misp/sightings/add/{attribute}", misp::add_sighting_to),
        post("/misp/sightings/delete/{sighting}", misp::delete_sighting),
        post("/misp/sightings/index", misp::list_sightings),
        post("/misp/sightings/listSightings", misp::list_sightings),
        post("/misp/sightings/restSearch", misp::search_sightings),
        post("/misp/sightings/restSearch/{context}", misp::search_sightings_of),
        post("/misp/sightings/bulkSaveSightings/{event}", misp::take_sightings),
        post("/misp/sightings/filterSightingUuidsForPush/{event}", misp::wanted_sightings),
        post("/misp/warninglists/checkValue", misp::check_warning_lists),
        get("/misp/shadow_attributes/index", misp::list_proposals),
        post("/misp/shadow_attributes/index", misp::list_proposals),
        get("/misp/shadow_attributes/index/{event}", misp::list_proposals_of),
        get("/misp/shadow_attributes/view/{proposal}", misp::proposal),
        post("/misp/shadow_attributes/add/{event}", misp::propose),
        post("/misp/shadow_attributes/edit/{attribute}", misp::propose_change),
        post("/misp/shadow_attributes/delete/{attribute}", misp::propose_deletion),
        post("/misp/shadow_attributes/accept/{proposal}", misp::accept),
        post("/misp/shadow_attributes/discard/{proposal}", misp::discard),
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

fn put<H: Handler<T, AppState>, T: 'static>(path: &'static str, handler: H) -> Row {
    Row { method: "PUT", path, handler: routing::put(handler) }
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
