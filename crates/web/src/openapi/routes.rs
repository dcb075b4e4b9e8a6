//! The table of routes.

use super::{Access, Body, Route};
use crate::{feeds, reply, stream, taxii};

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const NOBODY: Access = Access { coordinator: false, authority: false, member_admin: false, analyst: false, reporter: false, reader: false, auditor: false };

/// Roles that read events.
const READS: Access = Access { reporter: false, auditor: false, ..Access::ALL };
/// Roles that send events and take them back.
const SENDS: Access = Access { reader: false, auditor: false, ..Access::ALL };
/// Roles that may ask what became of a batch.
const RECEIVES: Access = Access { auditor: false, ..Access::ALL };
/// Roles that both read events and say something about them.
const JUDGES: Access = Access { reader: false, ..READS };
const COORDINATOR: Access = Access { coordinator: true, ..NOBODY };
/// The coordinator, and administrators for their own organisation.
const ADMINISTERS: Access = Access { member_admin: true, ..COORDINATOR };
const COORDINATOR_AND_AUTHORITY: Access = Access { authority: true, ..COORDINATOR };

const GET: Route = Route {
    method: "GET",
    path: "",
    id: "",
    group: "",
    summary: "",
    public: false,
    access: Access::ALL,
    query: &[],
    headers: &[],
    body: Body::None,
    status: 200,
    media: reply::JSON,
    schema: "",
    problems: &[],
};
const POST: Route = Route { method: "POST", problems: &[507], ..GET };
const PUBLIC: Route = Route { group: "public", public: true, ..GET };
const EVENTS: Route = Route { group: "events", ..GET };
const SUBMIT: Route = Route { group: "events", ..POST };
const OBSERVABLES: Route = Route { group: "observables", ..GET };
const SAY: Route = Route { group: "observables", ..POST };
/// 406 where a caller accepts nothing of what is answered.
const TAXII: Route = Route { group: "taxii", media: taxii::MEDIA_TYPE, problems: &[406], ..GET };
/// Roles that may know of a collection.
const COLLECTS: Access = Access { auditor: false, ..Access::ALL };
const OBJECT: &[&str] = &["added_after", "limit", "next", "match[version]", "match[spec_version]"];
const OBJECTS: &[&str] = &["added_after", "limit", "next", "match[id]", "match[type]", "match[version]", "match[spec_version]"];
const MEMBERS: Route = Route { group: "members", ..GET };
const CHANGE: Route = Route { group: "members", ..POST };
const HUB: Route = Route { group: "hub", ..GET };
const FINDINGS: Route = Route { group: "findings", ..GET };

/// Every route, with what it takes and gives.
pub const ROUTES: &[Route] = &[
    // Public.
    Route { path: "/", id: "home", summary: "What this is", media: HTML, query: &["lang"], ..PUBLIC },
    Route { path: "/assets/bongsu.css", id: "styleSheet", summary: "How the pages look", media: "text/css; charset=utf-8", ..PUBLIC },
    Route { path: "/healthz", id: "alive", summary: "Whether the process answers", media: TEXT, ..PUBLIC },
    Route { path: "/readyz", id: "ready", summary: "Whether the views have reached the ledger's end", media: TEXT, problems: &[503], ..PUBLIC },
    Route {
        path: "/metrics",
        id: "metrics",
        summary: "Counters for Prometheus: without a key from the hub's own machine, else for the coordinator and auditors",
        media: "text/plain; version=0.0.4; charset=utf-8",
        problems: &[401, 403],
        ..PUBLIC
    },
    // Products.
    Route {
        path: "/feeds/recalls",
        id: "listRecalls",
        summary: "What was taken out of products that the caller's organisation has fetched, newest first; take it out wherever it was loaded",
        group: "products",
        access: READS,
        query: &["since", "limit"],
        schema: "RecallList",
        ..GET
    },
    Route {
        path: "/feeds/{product}",
        id: "fetchProduct",
        summary: "A list, rule set or zone of active indicators: clear ones without a key, with one as far as the caller's membership goes",
        group: "products",
        query: &["tlp", "type", "sector", "min_confidence", "max_age_days", "since"],
        headers: &["If-None-Match", "If-Modified-Since"],
        media: feeds::ANY,
        problems: &[401, 403, 410, 503],
        ..PUBLIC
    },
    // The interface's own description.
    Route { path: "/api/openapi.json", id: "openapi", summary: "This description", schema: "Document", ..HUB },
    Route { path: "/api/docs", id: "docs", summary: "This description as a page", media: HTML, ..HUB },
    // Events.
    Route {
        path: "/api/v1/events",
        id: "searchEvents",
        summary: "Search events, newest first",
        access: READS,
        query: &["since", "until", "category", "type", "sector", "within", "domain", "malware", "mine", "limit", "cursor"],
        schema: "EventPage",
        ..EVENTS
    },
    Route {
        path: "/api/v1/events",
        id: "submitEvents",
        summary: "Submit events; answered when they are durable and every later read sees them",
        access: SENDS,
        query: &["dry_run", "tlp", "category", "origin", "role", "on_behalf_of"],
        headers: &["Idempotency-Key"],
        body: Body::Events,
        schema: "Outcome",
        problems: &[404, 409, 429, 507],
        ..SUBMIT
    },
    Route {
        path: "/api/v1/events/withdraw",
        id: "withdrawEvents",
        summary: "Take back an event, a batch, or everything of one's own that meets a filter",
        access: SENDS,
        body: Body::Json("Withdrawal"),
        schema: "WithdrawAnswer",
        problems: &[404, 409, 507],
        ..SUBMIT
    },
    Route {
        path: "/api/v1/events/{seq}",
        id: "showEvent",
        summary: "One event; 410 to its sender and who sees it whole where a corrected one has taken its place",
        access: READS,
        schema: "Event",
        problems: &[410],
        ..EVENTS
    },
    Route {
        path: "/api/v1/events/{seq}/amend",
        id: "amendEvent",
        summary: "Replace an event by a corrected one; the history stays",
        access: SENDS,
        body: Body::Json("NewEvent"),
        schema: "Outcome",
        problems: &[409, 429, 507],
        ..SUBMIT
    },
    Route {
        path: "/api/v1/events/{seq}/history",
        id: "showEventHistory",
        summary: "The versions of an event, newest first; for its sender, the sender's authority and the coordinator",
        access: READS,
        schema: "EventHistory",
        ..EVENTS
    },
    Route { path: "/api/v1/receipts/{receipt}", id: "showReceipt", summary: "What became of a batch", access: RECEIVES, schema: "Receipt", ..EVENTS },
    Route {
        path: "/api/v1/stream",
        id: "followEvents",
        summary: "Events as they come, as server-sent events; `id` is the sequence number, which the opening and heartbeats carry too, and a reader that comes back resumes without loss",
        access: READS,
        query: &["since", "until", "category", "type", "sector", "within", "domain", "malware", "from"],
        headers: &["Last-Event-ID"],
        media: stream::MEDIA_TYPE,
        ..EVENTS
    },
    // Observables.
    Route {
        path: "/api/v1/observables/lookup",
        id: "lookupObservables",
        summary: "What the hub knows of up to 10,000 values, in the same order",
        access: READS,
        body: Body::Json("Lookup"),
        schema: "LookupAnswer",
        problems: &[],
        ..SAY
    },
    Route {
        path: "/api/v1/observables/{type}/{value}",
        id: "showObservable",
        summary: "What the hub knows of a value",
        access: READS,
        schema: "Observable",
        problems: &[405],
        ..OBSERVABLES
    },
    Route {
        path: "/api/v1/observables/{type}/{value}/sightings",
        id: "addSighting",
        summary: "Say that a value was seen, is a false positive, or has expired",
        access: JUDGES,
        body: Body::Json("NewSighting"),
        status: 201,
        schema: "SightingAnswer",
        problems: &[405, 409, 429, 507],
        ..SAY
    },
    Route {
        path: "/api/v1/claims",
        id: "listClaims",
        summary: "Claims of false positives that the caller has a part in, newest first",
        access: READS,
        query: &["limit", "cursor"],
        schema: "ClaimPage",
        ..OBSERVABLES
    },
    Route {
        path: "/api/v1/claims/{claim}/steps",
        id: "decideClaim",
        summary: "Uphold or reject a claim",
        access: COORDINATOR_AND_AUTHORITY,
        body: Body::Json("ClaimStep"),
        schema: "Claim",
        problems: &[409, 507],
        ..SAY
    },
    Route {
        path: "/api/v1/erasures",
        id: "listErasures",
        summary: "Erasures, newest first",
        access: COORDINATOR_AND_AUTHORITY,
        query: &["limit", "cursor"],
        schema: "ErasurePage",
        ..OBSERVABLES
    },
    Route {
        path: "/api/v1/erasures",
        id: "requestErasure",
        summary: "Ask for the destruction of a value, on a legal basis; another person confirms",
        access: COORDINATOR_AND_AUTHORITY,
        body: Body::Json("NewErasure"),
        status: 201,
        schema: "Erasure",
        ..SAY
    },
    Route {
        path: "/api/v1/erasures/{erasure}",
        id: "showErasure",
        summary: "One erasure, with its value while it is open",
        access: COORDINATOR_AND_AUTHORITY,
        schema: "Erasure",
        ..OBSERVABLES
    },
    Route {
        path: "/api/v1/erasures/{erasure}/steps",
        id: "stepErasure",
        summary: "Confirm an erasure that another person asked for, and carry it out; or reject it",
        access: COORDINATOR_AND_AUTHORITY,
        body: Body::Json("ErasureStep"),
        schema: "Erasure",
        problems: &[409, 507],
        ..SAY
    },
    // Members.
    Route {
        path: "/api/v1/organisations",
        id: "listOrganisations",
        summary: "Organisations that the caller may know, newest first",
        query: &["limit", "cursor"],
        schema: "OrganisationPage",
        ..MEMBERS
    },
    Route {
        path: "/api/v1/organisations",
        id: "addOrganisation",
        summary: "Add an organisation: accredited, in full standing",
        access: COORDINATOR,
        body: Body::Json("NewOrganisation"),
        status: 201,
        schema: "Organisation",
        ..CHANGE
    },
    Route { path: "/api/v1/organisations/{id}", id: "showOrganisation", summary: "One organisation", schema: "Organisation", ..MEMBERS },
    Route {
        method: "PATCH",
        path: "/api/v1/organisations/{id}",
        id: "changeOrganisation",
        summary: "Change an organisation; `null` clears a field; administrators set named, default_tlp and default_pap of their own",
        access: ADMINISTERS,
        body: Body::Json("OrganisationPatch"),
        schema: "Organisation",
        problems: &[409, 507],
        ..CHANGE
    },
    Route {
        path: "/api/v1/organisations/{id}/history",
        id: "showOrganisationHistory",
        summary: "Every change of an organisation, newest first",
        access: Access { analyst: false, reporter: false, reader: false, ..Access::ALL },
        schema: "History",
        ..MEMBERS
    },
    Route {
        path: "/api/v1/organisations/{id}/standing",
        id: "setStanding",
        summary: "Set an organisation's standing, with a reason",
        access: COORDINATOR,
        body: Body::Json("NewStanding"),
        schema: "Organisation",
        problems: &[409, 507],
        ..CHANGE
    },
    Route {
        path: "/api/v1/organisations/{id}/contribution",
        id: "showContribution",
        summary: "The contribution ledger of an organisation",
        schema: "Contribution",
        ..MEMBERS
    },
    Route {
        path: "/api/v1/organisations/{id}/keys",
        id: "listKeys",
        summary: "Keys of an organisation, newest first; never their secrets",
        access: Access { auditor: true, ..ADMINISTERS },
        schema: "KeyList",
        ..MEMBERS
    },
    Route {
        path: "/api/v1/organisations/{id}/keys",
        id: "addKey",
        summary: "Add a key; its secret is in this answer and nowhere else",
        access: ADMINISTERS,
        body: Body::Json("NewKey"),
        status: 201,
        schema: "KeySecret",
        ..CHANGE
    },
    Route {
        path: "/api/v1/organisations/{id}/keys/{key}/rotate",
        id: "rotateKey",
        summary: "Replace a key; the old one holds for the overlap",
        access: ADMINISTERS,
        body: Body::JsonOrNothing("KeyRotation"),
        status: 201,
        schema: "KeySecret",
        problems: &[409, 507],
        ..CHANGE
    },
    Route {
        path: "/api/v1/organisations/{id}/keys/{key}/revoke",
        id: "revokeKey",
        summary: "Revoke a key at once",
        access: ADMINISTERS,
        body: Body::JsonOrNothing("Reason"),
        status: 204,
        problems: &[409, 507],
        ..CHANGE
    },
    Route {
        path: "/api/v1/organisations/{id}/networks",
        id: "listNetworks",
        summary: "Registrations of an organisation, newest first",
        schema: "NetworkList",
        ..MEMBERS
    },
    Route {
        path: "/api/v1/organisations/{id}/networks",
        id: "addNetwork",
        summary: "Register an address range, domain, AS number or place on the web; approved at once where the caller may approve it",
        access: Access { authority: true, ..ADMINISTERS },
        body: Body::Json("NewNetwork"),
        status: 201,
        schema: "Network",
        ..CHANGE
    },
    Route {
        path: "/api/v1/organisations/{id}/networks/{net}/steps",
        id: "stepNetwork",
        summary: "Approve, reject or withdraw a registration",
        access: Access { authority: true, ..ADMINISTERS },
        body: Body::Json("NetworkStep"),
        schema: "Network",
        problems: &[409, 507],
        ..CHANGE
    },
    Route {
        path: "/api/v1/organisations/{id}/networks/{net}/proof",
        id: "proveNetwork",
        summary: "Confirm that a registration was shown to be the organisation's; it counts once it is approved, too",
        access: COORDINATOR,
        body: Body::Json("NetworkProof"),
        schema: "Network",
        problems: &[409, 507],
        ..CHANGE
    },
    Route {
        path: "/api/v1/organisations/{id}/contact",
        id: "showContact",
        summary: "Where an organisation is told of abuse",
        access: Access { auditor: false, ..Access::ALL },
        schema: "Contact",
        ..MEMBERS
    },
    Route {
        path: "/api/v1/organisations/{id}/contact",
        id: "setContact",
        summary: "Set where an organisation is told of abuse; another address is verified anew",
        access: ADMINISTERS,
        body: Body::Json("NewContact"),
        schema: "Contact",
        problems: &[409, 507],
        ..CHANGE
    },
    Route {
        path: "/api/v1/organisations/{id}/contact/verify",
        id: "verifyContact",
        summary: "Note that a reply came from the address: with the token that was sent there, or as the coordinator; holds for half a year",
        access: ADMINISTERS,
        body: Body::JsonOrNothing("ContactVerification"),
        schema: "Contact",
        problems: &[409, 507],
        ..CHANGE
    },
    // Findings.
    Route {
        path: "/api/v1/findings",
        id: "listFindings",
        summary: "What is wrong in the networks of the caller, or of its line, newest first; and what waits for the caller to release it",
        access: READS,
        query: &["state", "category", "since", "owner", "limit", "cursor"],
        schema: "FindingPage",
        ..FINDINGS
    },
    Route {
        path: "/api/v1/findings.csv",
        id: "exportFindings",
        summary: "The same as a table, up to 10,000 rows",
        access: READS,
        query: &["state", "category", "since", "owner"],
        media: crate::api::findings::CSV,
        ..FINDINGS
    },
    Route {
        path: "/api/v1/findings/summary",
        id: "countFindings",
        summary: "Findings by state and category, and the time that owners take by sector",
        access: READS,
        schema: "FindingSummary",
        ..FINDINGS
    },
    Route { path: "/api/v1/findings/{finding}", id: "showFinding", summary: "One finding", access: READS, schema: "Finding", ..FINDINGS },
    Route {
        path: "/api/v1/findings/{finding}/steps",
        id: "stepFinding",
        summary: "Acknowledge, fix, verify, reopen, contest or accept a finding; or release what waits",
        access: JUDGES,
        body: Body::Json("FindingStep"),
        schema: "Finding",
        problems: &[409, 507],
        ..Route { group: "findings", ..POST }
    },
    Route {
        path: "/api/v1/findings/{finding}/history",
        id: "showFindingHistory",
        summary: "The steps taken on a finding, newest first",
        access: READS,
        schema: "FindingHistory",
        ..FINDINGS
    },
    // Groups.
    Route { path: "/api/v1/groups", id: "listGroups", summary: "Information-sharing groups that the caller may know", schema: "GroupList", ..MEMBERS },
    Route {
        path: "/api/v1/groups",
        id: "addGroup",
        summary: "Add a group; `named` lets its members see who reported what was sent to it alone, earlier events too",
        access: COORDINATOR,
        body: Body::Json("NewGroup"),
        status: 201,
        schema: "Group",
        ..CHANGE
    },
    Route { path: "/api/v1/groups/{group}", id: "showGroup", summary: "One group, with the members that the caller may know", schema: "Group", ..MEMBERS },
    Route {
        method: "PATCH",
        path: "/api/v1/groups/{group}",
        id: "changeGroup",
        summary: "Change a group's title, or whether reporters are named inside it",
        access: COORDINATOR,
        body: Body::Json("GroupPatch"),
        schema: "Group",
        problems: &[409, 507],
        ..CHANGE
    },
    Route {
        path: "/api/v1/groups/{group}/history",
        id: "showGroupHistory",
        summary: "Every change of a group, newest first",
        access: Access { auditor: true, ..COORDINATOR },
        schema: "History",
        ..MEMBERS
    },
    // TAXII.
    Route { path: "/taxii2/", id: "discoverTaxii", summary: "The realm's API root", schema: "TaxiiDiscovery", ..TAXII },
    Route { path: "/taxii2/{root}/", id: "showTaxiiRoot", summary: "What the API root takes", schema: "TaxiiRoot", ..TAXII },
    Route {
        path: "/taxii2/{root}/collections/",
        id: "listCollections",
        summary: "The collections that the caller may read or add to",
        schema: "TaxiiCollections",
        ..TAXII
    },
    Route {
        path: "/taxii2/{root}/collections/{collection}/",
        id: "showCollection",
        summary: "One collection",
        access: COLLECTS,
        schema: "TaxiiCollection",
        ..TAXII
    },
    Route {
        path: "/taxii2/{root}/collections/{collection}/manifest/",
        id: "showManifest",
        summary: "Ids, versions and dates of the objects of a collection",
        access: READS,
        query: OBJECTS,
        schema: "TaxiiManifest",
        ..TAXII
    },
    Route {
        path: "/taxii2/{root}/collections/{collection}/objects/",
        id: "listObjects",
        summary: "The objects of a collection, in the order in which they were added",
        access: READS,
        query: OBJECTS,
        schema: "TaxiiEnvelope",
        ..TAXII
    },
    Route {
        method: "POST",
        path: "/taxii2/{root}/collections/{collection}/objects/",
        id: "addObjects",
        summary: "Add objects; answered when they are durable. Indicators, observations and sightings are taken in as events, too",
        access: SENDS,
        body: Body::Envelope,
        status: 202,
        schema: "TaxiiStatus",
        problems: &[406, 507],
        ..TAXII
    },
    Route {
        path: "/taxii2/{root}/collections/{collection}/objects/{object}/",
        id: "showObject",
        summary: "One object",
        access: READS,
        query: OBJECT,
        schema: "TaxiiEnvelope",
        ..TAXII
    },
    Route {
        method: "DELETE",
        path: "/taxii2/{root}/collections/{collection}/objects/{object}/",
        id: "deleteObject",
        summary: "Take an object out: all its versions, or those named; for its contributor and the coordinator",
        access: JUDGES,
        query: &["match[version]", "match[spec_version]"],
        schema: "TaxiiDeleted",
        problems: &[406, 507],
        ..TAXII
    },
    Route {
        path: "/taxii2/{root}/collections/{collection}/objects/{object}/versions/",
        id: "listVersions",
        summary: "The versions of an object",
        access: READS,
        query: &["added_after", "limit", "next", "match[spec_version]"],
        schema: "TaxiiVersions",
        ..TAXII
    },
    Route {
        path: "/taxii2/{root}/status/{status}/",
        id: "showTaxiiStatus",
        summary: "What became of a request that added objects; kept for a day",
        access: SENDS,
        schema: "TaxiiStatus",
        ..TAXII
    },
    // The hub and the caller.
    Route {
        path: "/api/v1/status",
        id: "showStatus",
        summary: "The hub's state and how far its views are; totals for coordinator, authority and auditor",
        schema: "Status",
        ..HUB
    },
    Route { path: "/api/v1/me", id: "showMe", summary: "The caller's organisation, key and role", schema: "Me", ..HUB },
];
