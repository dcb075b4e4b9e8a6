//! The table of routes.

use super::{Access, Body, Route};
use crate::pages::shape::HTML;
use crate::{feeds, misp, reply, stream, taxii};

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
/// Roles that see how the hub is doing.
const OVERSEES: Access = Access { authority: true, auditor: true, ..COORDINATOR };
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
const MISP: Route = Route { group: "misp", schema: "MispAnswer", problems: &[413, 422], ..GET };
const MISP_POST: Route = Route { group: "misp", schema: "MispAnswer", body: Body::JsonOrNothing("MispRequest"), problems: &[404, 409, 429, 507], ..POST };
const MEMBERS: Route = Route { group: "members", ..GET };
const CHANGE: Route = Route { group: "members", ..POST };
const HUB: Route = Route { group: "hub", ..GET };
const SOURCES: Route = Route { group: "sources", ..GET };
const FINDINGS: Route = Route { group: "findings", ..GET };
const DELIVERY: Route = Route { group: "delivery", ..GET };
const SUBSCRIBE: Route = Route { group: "delivery", ..POST };

/// Every route, with what it takes and gives.
pub const ROUTES: &[Route] = &[
    // Public.
    Route { path: "/", id: "home", summary: "What this is", media: HTML, query: &["lang"], ..PUBLIC },
    Route { path: "/assets/bongsu.css", id: "styleSheet", summary: "How the pages look", media: "text/css; charset=utf-8", ..PUBLIC },
    Route {
        path: "/contacts/confirm/{code}",
        id: "showContactLink",
        summary: "The page behind the link that a contact was mailed: whose contact it is, and a button; to look changes nothing",
        media: HTML,
        ..PUBLIC
    },
    Route {
        method: "POST",
        path: "/contacts/confirm/{code}",
        id: "confirmContact",
        summary: "Verify the contact that a mailed link leads to; a link is good once",
        media: HTML,
        problems: &[409, 503, 507],
        ..PUBLIC
    },
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
        path: feeds::index::PATH,
        id: "listProducts",
        summary: "What the caller may fetch here: format, types and marking of each product; of what is kept ready entries and expiry; a page for a browser",
        group: "products",
        query: &["lang"],
        schema: "ProductIndex",
        problems: &[401],
        ..PUBLIC
    },
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
    Route {
        path: "/feeds/misp/{file}",
        id: "fetchMispFeed",
        summary: "A file of the feed for MISP: manifest.json, hashes.csv, or an event by its UUID; for the caller's strictest collection, or the one named",
        group: "products",
        query: &["tlp"],
        headers: &["If-None-Match"],
        media: feeds::misp::ANY,
        schema: "MispAnswer",
        problems: &[401, 403, 503],
        ..PUBLIC
    },
    // The interface's own description.
    Route { path: "/api/openapi.json", id: "openapi", summary: "This description", schema: "Document", ..HUB },
    Route {
        path: "/api/docs",
        id: "docs",
        summary: "This description as a page; a browser gives the key as the password of Basic authentication",
        media: HTML,
        ..HUB
    },
    // Events.
    Route {
        path: "/api/v1/events",
        id: "searchEvents",
        summary: "Search events, newest first",
        access: READS,
        query: &["since", "until", "category", "type", "sector", "within", "domain", "malware", "value", "mine", "limit", "cursor"],
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
        query: &["since", "until", "category", "type", "sector", "within", "domain", "malware", "value", "from"],
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
        path: "/api/v1/organisations/{id}/agreement",
        id: "showAgreement",
        summary: "What is agreed with a partner; 404 for what is no partner",
        schema: "AgreementAnswer",
        ..MEMBERS
    },
    Route {
        method: "PUT",
        path: "/api/v1/organisations/{id}/agreement",
        id: "setAgreement",
        summary: "Agree with a partner on what it sees and sends; takes the place of what was agreed before",
        access: COORDINATOR,
        body: Body::Json("NewAgreement"),
        schema: "AgreementAnswer",
        problems: &[409, 507],
        ..CHANGE
    },
    Route {
        method: "DELETE",
        path: "/api/v1/organisations/{id}/agreement",
        id: "endAgreement",
        summary: "End the agreement with a partner: clear and green are left to it",
        access: COORDINATOR,
        body: Body::Json("AgreementEnd"),
        schema: "AgreementAnswer",
        problems: &[409, 507],
        ..CHANGE
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
        summary: "Registrations of an organisation, newest first; those that ended where their state is asked for",
        query: &["state"],
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
        path: "/api/v1/organisations/{id}/networks/{net}",
        id: "showNetwork",
        summary: "A registration of an organisation, in whatever state",
        schema: "Network",
        ..MEMBERS
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
        path: "/api/v1/organisations/{id}/networks/{net}/proof/check",
        id: "checkNetwork",
        summary: "Look whether the challenge of a registration stands in DNS; where it does the registration is proven. Once in ten seconds",
        access: Access { authority: true, ..ADMINISTERS },
        schema: "Network",
        problems: &[409, 422, 429, 507],
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
    Route {
        path: "/api/v1/organisations/{id}/contact/bounce",
        id: "bounceContact",
        summary: "Note that mail to the address came back; it waits in the queue until it is verified anew or another is set",
        access: COORDINATOR,
        body: Body::Json("Bounce"),
        schema: "Contact",
        problems: &[409, 507],
        ..CHANGE
    },
    Route {
        path: "/api/v1/contacts",
        id: "listAbuseContacts",
        summary: "Whom to tell of what belongs to no member, in order of kind and place",
        access: COORDINATOR_AND_AUTHORITY,
        query: &["value", "limit", "cursor"],
        schema: "AbuseContactPage",
        ..MEMBERS
    },
    Route {
        path: "/api/v1/contacts",
        id: "importAbuseContacts",
        summary: "Take rows of a table of abuse contacts in; a row without an address takes its contact away",
        access: COORDINATOR,
        body: Body::Json("AbuseContactImport"),
        schema: "AbuseContactOutcome",
        problems: &[409, 507],
        ..CHANGE
    },
    Route {
        path: "/api/v1/contacts/queue",
        id: "listContactQueue",
        summary: "Members' contacts that somebody has to look after, the most urgent first",
        access: COORDINATOR_AND_AUTHORITY,
        query: &["state", "limit"],
        schema: "ContactQueue",
        ..MEMBERS
    },
    Route {
        path: "/api/v1/national",
        id: "showNational",
        summary: "The nation's address space as the hub knows it, and who is told of what nobody registered there",
        access: Access { authority: true, auditor: true, ..COORDINATOR },
        schema: "National",
        ..MEMBERS
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
    // Subscriptions and the inbox.
    Route {
        path: "/api/v1/subscriptions",
        id: "listSubscriptions",
        summary: "What the caller's organisation asked to be told of, newest first; of every organisation for the coordinator",
        access: READS,
        query: &["limit", "cursor"],
        schema: "SubscriptionPage",
        ..DELIVERY
    },
    Route {
        path: "/api/v1/subscriptions",
        id: "addSubscription",
        summary: "Ask to be told of events or of findings by inbox, mail or webhook; a webhook's secret is in this answer and nowhere else",
        access: JUDGES,
        body: Body::Json("NewSubscription"),
        status: 201,
        schema: "SubscriptionGiven",
        problems: &[429, 507],
        ..SUBSCRIBE
    },
    Route {
        path: "/api/v1/subscriptions/{subscription}",
        id: "showSubscription",
        summary: "One subscription, with how sending goes",
        access: READS,
        schema: "Subscription",
        ..DELIVERY
    },
    Route {
        method: "PATCH",
        path: "/api/v1/subscriptions/{subscription}",
        id: "changeSubscription",
        summary: "Change a subscription; filter, channel and categories are replaced whole. Another receiver is confirmed anew or gets another secret",
        access: JUDGES,
        body: Body::Json("SubscriptionPatch"),
        schema: "SubscriptionGiven",
        problems: &[409, 429, 507],
        ..SUBSCRIBE
    },
    Route {
        method: "DELETE",
        path: "/api/v1/subscriptions/{subscription}",
        id: "removeSubscription",
        summary: "End a subscription with all that waits for it; what is in the inbox stays",
        access: JUDGES,
        status: 204,
        problems: &[409, 507],
        ..DELIVERY
    },
    Route {
        path: "/api/v1/subscriptions/{subscription}/pause",
        id: "pauseSubscription",
        summary: "Let what matches wait",
        access: JUDGES,
        schema: "Subscription",
        problems: &[409, 507],
        ..SUBSCRIBE
    },
    Route {
        path: "/api/v1/subscriptions/{subscription}/resume",
        id: "resumeSubscription",
        summary: "Send again, after a pause or after the receiver was given up",
        access: JUDGES,
        schema: "Subscription",
        problems: &[409, 507],
        ..SUBSCRIBE
    },
    Route {
        path: "/api/v1/subscriptions/{subscription}/rotate-secret",
        id: "rotateSubscriptionSecret",
        summary: "Replace a webhook's secret at once; the new one is in this answer and nowhere else",
        access: JUDGES,
        schema: "SubscriptionGiven",
        problems: &[409, 507],
        ..SUBSCRIBE
    },
    Route {
        path: "/api/v1/subscriptions/{subscription}/test",
        id: "testSubscription",
        summary: "Send a message that says nothing but that it is a test",
        access: JUDGES,
        status: 202,
        schema: "SubscriptionTest",
        problems: &[409, 429, 507],
        ..SUBSCRIBE
    },
    Route {
        path: "/api/v1/subscriptions/{subscription}/confirm",
        id: "confirmSubscription",
        summary: "Give back the code that was sent to the mail address; without one, have another one sent",
        access: JUDGES,
        body: Body::JsonOrNothing("SubscriptionCode"),
        schema: "Subscription",
        problems: &[409, 429, 507],
        ..SUBSCRIBE
    },
    Route {
        path: "/api/v1/inbox",
        id: "listInbox",
        summary: "Messages to the caller's organisation, newest first",
        access: READS,
        query: &["unread", "limit", "cursor"],
        schema: "InboxPage",
        ..DELIVERY
    },
    Route {
        path: "/api/v1/inbox/{message}/read",
        id: "readInbox",
        summary: "Note that somebody read a message; it is in the answer",
        access: READS,
        schema: "InboxMessage",
        ..SUBSCRIBE
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
    // Sources.
    Route {
        path: "/api/v1/sources",
        id: "listSources",
        summary: "The feeds that the hub collects, with what is the matter with them",
        access: OVERSEES,
        schema: "SourceList",
        ..SOURCES
    },
    Route { path: "/api/v1/sources/{name}", id: "showSource", summary: "One feed with its last runs", access: OVERSEES, schema: "Source", ..SOURCES },
    Route {
        path: "/api/v1/sources/{name}/run",
        id: "runSource",
        summary: "Collect a feed now; after 45 s the answer comes without the end of the run, which goes on",
        access: COORDINATOR,
        body: Body::JsonOrNothing("RunSource"),
        schema: "SourceRunAnswer",
        ..Route { group: "sources", ..POST }
    },
    Route {
        path: "/api/v1/sources/{name}/accept",
        id: "acceptSource",
        summary: "Accept what was held back of a feed: it is collected again, and its number of entries believed",
        access: COORDINATOR,
        body: Body::JsonOrNothing("AcceptSource"),
        schema: "SourceRunAnswer",
        problems: &[409, 507],
        ..Route { group: "sources", ..POST }
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
        summary: "Add objects; answered when they are durable. What tells of events is taken in as events, too; a revoked version withdraws them",
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
        summary: "Take an object out: all its versions, or those named; for its contributor and the coordinator. The events that it brought are withdrawn",
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
    // MISP.
    Route { path: "/misp/servers/getVersion", id: "mispVersion", summary: "The version of MISP whose calls are answered, and what the caller may do", ..MISP },
    Route { path: "/misp/servers/getPyMISPVersion", id: "mispClientVersion", summary: "The version of PyMISP that goes with it", ..MISP },
    Route { path: "/misp/servers/postTest", id: "mispTest", summary: "What was sent, for an instance that would push", ..MISP_POST },
    Route { path: "/misp/users/view/{user}", id: "mispUser", summary: "The caller", ..MISP },
    Route { path: "/misp/organisations/index", id: "mispOrganisations", summary: "Organisations that the caller may know", ..MISP },
    Route { path: "/misp/organisations/view/{organisation}", id: "mispOrganisation", summary: "One organisation", ..MISP },
    Route { path: "/misp/sharing_groups/index", id: "mispGroups", summary: "The caller's groups and sector, as sharing groups", ..MISP },
    Route { path: "/misp/sharing_groups/view/{sharing_group}", id: "mispGroup", summary: "One of them", ..MISP },
    Route { path: "/misp/tags/index", id: "mispTags", summary: "Tags that the caller can see on something, and those of markings and categories", ..MISP },
    Route { path: "/misp/tags/view/{tag}", id: "mispTag", summary: "One tag", ..MISP },
    Route { path: "/misp/tags/search", id: "mispSearchTags", summary: "Tags by name", ..MISP_POST },
    Route { path: "/misp/tags/add", id: "mispAddTag", summary: "A tag as it will be; it is there by being used", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/tags/attachTagToObject", id: "mispAttachTag", summary: "Add a tag to an event or attribute", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/tags/removeTagFromObject", id: "mispRemoveTag", summary: "Take a tag off an event or attribute", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/events/index", id: "mispEvents", summary: "The list of events", access: READS, ..MISP },
    Route { path: "/misp/events/index", id: "mispListEvents", summary: "The list of events, filtered", access: READS, ..MISP_POST },
    Route {
        path: "/misp/events/add",
        id: "mispAddEvent",
        summary: "Add an event; what is published of it is among the hub's own events when this is answered",
        access: SENDS,
        ..MISP_POST
    },
    Route { path: "/misp/events/view/{event}", id: "mispEvent", summary: "One event", access: READS, ..MISP },
    Route {
        path: "/misp/events/view/{event}",
        id: "mispViewEvent",
        summary: "One event, with what is deleted where that is asked for",
        access: READS,
        ..MISP_POST
    },
    Route { path: "/misp/events/edit/{event}", id: "mispEditEvent", summary: "Change an event of one's own", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/events/delete/{event}", id: "mispDeleteEvent", summary: "Delete an event of one's own", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/events/publish/{event}", id: "mispPublish", summary: "Publish an event of one's own", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/events/alert/{event}", id: "mispAlert", summary: "The same", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/events/unpublish/{event}", id: "mispUnpublish", summary: "Take that back", access: JUDGES, ..MISP_POST },
    Route {
        path: "/misp/events/restSearch",
        id: "mispFindEvents",
        summary: "Search events, with filters in the path or query",
        access: READS,
        media: misp::SEVERAL,
        ..MISP
    },
    Route { path: "/misp/events/restSearch", id: "mispSearchEvents", summary: "Search events", access: READS, media: misp::SEVERAL, ..MISP_POST },
    Route {
        path: "/misp/events/filterEventIdsForPush",
        id: "mispWantedEvents",
        summary: "Of the events that an instance would push, those that are unknown here or older",
        access: JUDGES,
        ..MISP_POST
    },
    Route { path: "/misp/attributes/index", id: "mispAttributes", summary: "Attributes that the caller sees", access: READS, ..MISP },
    Route { path: "/misp/attributes/view/{attribute}", id: "mispAttribute", summary: "One attribute", access: READS, ..MISP },
    Route {
        path: "/misp/attributes/add/{event}",
        id: "mispAddAttributes",
        summary: "Add an attribute to an event of one's own, or several",
        access: JUDGES,
        ..MISP_POST
    },
    Route { path: "/misp/attributes/edit/{attribute}", id: "mispEditAttribute", summary: "Change an attribute", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/attributes/delete/{attribute}", id: "mispDeleteAttribute", summary: "Delete an attribute", access: JUDGES, ..MISP_POST },
    Route {
        path: "/misp/attributes/restore/{attribute}",
        id: "mispRestoreAttribute",
        summary: "Take the deletion of an attribute back",
        access: JUDGES,
        ..MISP_POST
    },
    Route {
        path: "/misp/attributes/restSearch",
        id: "mispFindAttributes",
        summary: "Search attributes, with filters in the path or query",
        access: READS,
        media: misp::SEVERAL,
        ..MISP
    },
    Route { path: "/misp/attributes/restSearch", id: "mispSearchAttributes", summary: "Search attributes", access: READS, media: misp::SEVERAL, ..MISP_POST },
    Route { path: "/misp/attributes/describeTypes", id: "mispTypes", summary: "Categories and types of attributes", ..MISP },
    Route { path: "/misp/objects/view/{misp_object}", id: "mispObject", summary: "One object", access: READS, ..MISP },
    Route { path: "/misp/objects/add/{event}", id: "mispAddObject", summary: "Add an object to an event of one's own", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/objects/edit/{misp_object}", id: "mispEditObject", summary: "Change an object", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/objects/delete/{misp_object}", id: "mispDeleteObject", summary: "Delete an object with its attributes", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/objects/restSearch", id: "mispSearchObjects", summary: "Search objects", access: READS, ..MISP_POST },
    Route {
        path: "/misp/event_reports/index",
        id: "mispReports",
        summary: "Reports of events, or of one with event_id in the path or query",
        access: READS,
        ..MISP
    },
    Route { path: "/misp/event_reports/view/{report}", id: "mispReport", summary: "One report of an event", access: READS, ..MISP },
    Route { path: "/misp/event_reports/add/{event}", id: "mispAddReport", summary: "Add a report to an event of one's own", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/event_reports/edit/{report}", id: "mispEditReport", summary: "Change a report", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/event_reports/delete/{report}", id: "mispDeleteReport", summary: "Delete a report", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/event_reports/restore/{report}", id: "mispRestoreReport", summary: "Take the deletion of a report back", access: JUDGES, ..MISP_POST },
    Route {
        path: "/misp/sightings/add",
        id: "mispAddSighting",
        summary: "Say that a value was seen, is a false positive, or has expired",
        access: JUDGES,
        ..MISP_POST
    },
    Route { path: "/misp/sightings/add/{attribute}", id: "mispSightAttribute", summary: "The same of one attribute", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/sightings/delete/{sighting}", id: "mispDeleteSighting", summary: "Take a sighting of one's own back", access: JUDGES, ..MISP_POST },
    Route { path: "/misp/sightings/index", id: "mispSightings", summary: "Sightings", access: READS, ..MISP_POST },
    Route { path: "/misp/sightings/listSightings", id: "mispListSightings", summary: "Sightings of an event or attribute", access: READS, ..MISP_POST },
    Route { path: "/misp/sightings/restSearch", id: "mispSearchSightings", summary: "Search sightings", access: READS, ..MISP_POST },
    Route {
        path: "/misp/sightings/restSearch/{context}",
        id: "mispSearchSightingsOf",
        summary: "Search sightings of an event or attribute",
        access: READS,
        ..MISP_POST
    },
    Route {
        path: "/misp/warninglists/checkValue",
        id: "mispCheckWarningLists",
        summary: "Which warning lists hold each of some values",
        access: READS,
        ..MISP_POST
    },
    Route {
        path: "/misp/sightings/bulkSaveSightings/{event}",
        id: "mispTakeSightings",
        summary: "Sightings of an event's attributes, from an instance that pushes them",
        access: JUDGES,
        ..MISP_POST
    },
    Route {
        path: "/misp/sightings/filterSightingUuidsForPush/{event}",
        id: "mispWantedSightings",
        summary: "Of the sightings that an instance would push, those that are unknown here",
        access: JUDGES,
        ..MISP_POST
    },
    Route {
        path: "/misp/shadow_attributes/index",
        id: "mispProposals",
        summary: "Proposals for events of one's own, and those of one's own",
        access: READS,
        ..MISP
    },
    Route { path: "/misp/shadow_attributes/index", id: "mispListProposals", summary: "The same", access: READS, ..MISP_POST },
    Route { path: "/misp/shadow_attributes/index/{event}", id: "mispProposalsOf", summary: "The same, for one event", access: READS, ..MISP },
    Route { path: "/misp/shadow_attributes/view/{proposal}", id: "mispProposal", summary: "One proposal", access: READS, ..MISP },
    Route { path: "/misp/shadow_attributes/add/{event}", id: "mispPropose", summary: "Propose an attribute for another's event", access: JUDGES, ..MISP_POST },
    Route {
        path: "/misp/shadow_attributes/edit/{attribute}",
        id: "mispProposeChange",
        summary: "Propose a change of an attribute",
        access: JUDGES,
        ..MISP_POST
    },
    Route {
        path: "/misp/shadow_attributes/delete/{attribute}",
        id: "mispProposeDeletion",
        summary: "Propose that an attribute be deleted",
        access: JUDGES,
        ..MISP_POST
    },
    Route {
        path: "/misp/shadow_attributes/accept/{proposal}",
        id: "mispAcceptProposal",
        summary: "Make the change that a proposal for one's own event asks for",
        access: JUDGES,
        ..MISP_POST
    },
    Route {
        path: "/misp/shadow_attributes/discard/{proposal}",
        id: "mispDiscardProposal",
        summary: "Discard a proposal for one's own event, or take one's own back",
        access: JUDGES,
        ..MISP_POST
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
