//! Facts of members, keys, registrations and claims, through a records store on disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use model::agreement::{Agreement, Sends};
use model::{Category, Constituency, KeyId, ObservableType, OrgKind, Redistribution, Standing, Timestamp, Tlp};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use store::records::{ClaimState, DecidedBy, NetworkKind, NetworkState, ProofMethod};

const START: i64 = 1_800_000_000;

struct Nation {
    folder: tempfile::TempDir,
    members: Members,
    directory: Arc<Directory>,
    records: Arc<Records>,
    seconds: Arc<AtomicI64>,
    first_secret: String,
}

fn home() -> IpAddr {
    "192.0.2.10".parse().unwrap()
}

impl Nation {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let records = Arc::new(Records::open(&folder.path().join("records.sqlite")).await.unwrap());
        let directory = Arc::new(Directory::load(&records).await.unwrap());
        let seconds = Arc::new(AtomicI64::new(START));
        let clock = {
            let seconds = Arc::clone(&seconds);
            Clock::from_fn(move || Timestamp::from_seconds(seconds.load(Ordering::Relaxed)))
        };
        let members = Members::new(Arc::clone(&records), Arc::clone(&directory), clock);
        let first_secret = members.bootstrap().await.unwrap().unwrap();
        Self { folder, members, directory, records, seconds, first_secret }
    }

    fn pass(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    fn enter(&self, secret: &str, peer: IpAddr) -> Result<Actor, HubError> {
        self.directory.authenticate(secret, peer, self.members.clock.now())
    }

    fn coordinator(&self) -> Actor {
        self.enter(&self.first_secret, home()).unwrap()
    }

    async fn organisation(&self, name: &str, kind: OrgKind, constituency: Option<Constituency>) -> OrgId {
        let new = NewOrganisation { name: name.to_owned(), kind, constituency, sector: None, country: None };
        self.members.add(&self.coordinator(), new).await.unwrap().id
    }

    async fn key(&self, organisation: OrgId, role: KeyRole) -> (KeyId, String) {
        self.members.add_key(&self.coordinator(), organisation, plain(role)).await.unwrap()
    }

    async fn actor(&self, organisation: OrgId, role: KeyRole) -> Actor {
        let (_, secret) = self.key(organisation, role).await;
        self.enter(&secret, home()).unwrap()
    }
}

fn plain(role: KeyRole) -> NewKey {
    NewKey { role, expires: None, allow: Vec::new(), red: false, holder: None }
}

fn verdict<T>(result: &Result<T, HubError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(HubError::Forbidden(_)) => "forbidden",
        Err(HubError::NotFound) => "not found",
        Err(HubError::Invalid { .. }) => "invalid",
        Err(HubError::Conflict { .. }) => "conflict",
        Err(HubError::IllegalStep { .. }) => "illegal",
        Err(HubError::Unauthenticated) => "unauthenticated",
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn the_first_start_makes_one_coordinator_and_the_next_none() {
    let nation = Nation::new().await;
    let coordinator = nation.coordinator();
    assert!(coordinator.is_coordinator());
    assert_eq!(coordinator.organisation.number, OrgNo::HUB);
    assert_eq!(nation.members.bootstrap().await.unwrap(), None);
    assert_eq!(nation.records.outbox_pending(10).await.unwrap().len(), 1);
    for entry in std::fs::read_dir(nation.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(nation.first_secret.len()).any(|window| window == nation.first_secret.as_bytes()));
    }
}

#[tokio::test]
async fn who_may_do_what_to_whom() {
    let nation = Nation::new().await;
    let own = nation.organisation("Own", OrgKind::Company, Some(Constituency::Private)).await;
    let authority = nation.organisation("Authority", OrgKind::Authority, Some(Constituency::Private)).await;
    let stranger = nation.organisation("Stranger", OrgKind::Agency, Some(Constituency::Public)).await;
    let everyone = [
        nation.coordinator(),
        nation.actor(authority, KeyRole::Authority).await,
        nation.actor(own, KeyRole::MemberAdmin).await,
        nation.actor(own, KeyRole::Analyst).await,
        nation.actor(own, KeyRole::Reporter).await,
        nation.actor(own, KeyRole::Reader).await,
        nation.actor(own, KeyRole::Auditor).await,
    ];
    // Each row: what is done to which organisation, and the verdict for coordinator, authority, administrator, analyst, reporter, reader, auditor.
    let table: [(&str, OrgId, [&str; 7]); 9] = [
        ("show", own, ["ok"; 7]),
        ("show", stranger, ["ok", "not found", "not found", "not found", "not found", "not found", "ok"]),
        ("list keys", own, ["ok", "forbidden", "ok", "forbidden", "forbidden", "forbidden", "ok"]),
        ("list keys", stranger, ["ok", "not found", "not found", "not found", "not found", "not found", "ok"]),
        ("add reader", own, ["ok", "forbidden", "ok", "forbidden", "forbidden", "forbidden", "forbidden"]),
        ("add reader", stranger, ["ok", "not found", "not found", "not found", "not found", "not found", "forbidden"]),
        ("add auditor", own, ["ok", "forbidden", "forbidden", "forbidden", "forbidden", "forbidden", "forbidden"]),
        ("add red", own, ["ok", "forbidden", "forbidden", "forbidden", "forbidden", "forbidden", "forbidden"]),
        ("history", own, ["ok", "ok", "ok", "forbidden", "forbidden", "forbidden", "ok"]),
    ];
    for (what, organisation, expected) in table {
        for (actor, expected) in everyone.iter().zip(expected) {
            let members = &nation.members;
            let got = match what {
                "show" => verdict(&members.show(actor, organisation)),
                "list keys" => verdict(&members.list_keys(actor, organisation)),
                "add reader" => verdict(&members.add_key(actor, organisation, plain(KeyRole::Reader)).await),
                "add auditor" => verdict(&members.add_key(actor, organisation, plain(KeyRole::Auditor)).await),
                "add red" => verdict(&members.add_key(actor, organisation, NewKey { red: true, ..plain(KeyRole::Reader) }).await),
                "history" => verdict(&members.history(actor, organisation).await),
                other => panic!("{other}"),
            };
            assert_eq!(got, expected, "{what} by {}", actor.role);
        }
    }
    for actor in &everyone[1..] {
        let new = NewOrganisation { name: "New".to_owned(), kind: OrgKind::Vendor, constituency: None, sector: None, country: None };
        assert_eq!(verdict(&nation.members.add(actor, new).await), "forbidden");
    }
}

#[tokio::test]
async fn powerful_roles_fit_their_kinds_only() {
    let nation = Nation::new().await;
    let company = nation.organisation("Company", OrgKind::Company, Some(Constituency::Private)).await;
    let cert = nation.organisation("Cert", OrgKind::Cert, Some(Constituency::Private)).await;
    let coordinator = nation.coordinator();
    for (organisation, role, expected) in [
        (company, KeyRole::Coordinator, "invalid"),
        (company, KeyRole::Authority, "invalid"),
        (cert, KeyRole::Coordinator, "ok"),
        (cert, KeyRole::Authority, "invalid"),
        (coordinator.organisation.id, KeyRole::Coordinator, "ok"),
    ] {
        assert_eq!(verdict(&nation.members.add_key(&coordinator, organisation, plain(role)).await), expected, "{role}");
    }
    let to_company = OrganisationPatch { kind: Some(OrgKind::Company), ..OrganisationPatch::default() };
    assert_eq!(verdict(&nation.members.change(&coordinator, cert, 1, to_company, "").await), "invalid");
}

#[tokio::test]
async fn fields_are_checked_and_a_partner_has_no_line() {
    let nation = Nation::new().await;
    let coordinator = nation.coordinator();
    let base = NewOrganisation {
        name: " Han River Power ".to_owned(),
        kind: OrgKind::Company,
        constituency: Some(Constituency::Private),
        sector: Some(Text::from("Energy")),
        country: Some(Text::from("kr")),
    };
    let added = nation.members.add(&coordinator, base.clone()).await.unwrap();
    assert_eq!((added.name.as_str(), added.number), ("Han River Power", OrgNo(1)));
    assert_eq!((added.sector.as_deref(), added.country.as_deref()), (Some("energy"), Some("KR")));
    let refused = [
        base.clone(),
        NewOrganisation { name: "HAN RIVER POWER".to_owned(), ..base.clone() },
        NewOrganisation { name: String::new(), ..base.clone() },
        NewOrganisation { name: "x".repeat(201), ..base.clone() },
        NewOrganisation { name: "A".to_owned(), constituency: None, ..base.clone() },
        NewOrganisation { name: "A".to_owned(), sector: Some(Text::from("poetry")), ..base.clone() },
        NewOrganisation { name: "A".to_owned(), country: Some(Text::from("KOR")), ..base.clone() },
    ];
    for new in refused {
        assert_eq!(verdict(&nation.members.add(&coordinator, new).await), "invalid");
    }
    let partner = NewOrganisation { name: "Partner".to_owned(), kind: OrgKind::Partner, sector: Some(Text::from("poetry")), ..base };
    let partner = nation.members.add(&coordinator, partner).await.unwrap();
    assert_eq!((partner.constituency, partner.sector, partner.number), (None, None, OrgNo(2)));
    let agreement = Agreement::up_to(Tlp::Amber);
    let patch = OrganisationPatch { agreement: Patch::Set(agreement.clone()), ..OrganisationPatch::default() };
    let changed = nation.members.change(&coordinator, partner.id, 1, patch, "signed").await.unwrap();
    assert_eq!((changed.organisation.agreement, changed.organisation.version), (Some(agreement), 2));
}

/// What the outbox holds of this kind.
async fn told(nation: &Nation, kind: &str) -> Vec<serde_json::Value> {
    let rows = nation.records.outbox_pending(100).await.unwrap();
    let all: Vec<serde_json::Value> = rows.iter().map(|row| serde_json::from_str(&row.payload).unwrap()).collect();
    all.into_iter().filter(|entry| entry["control"] == kind).collect()
}

#[tokio::test]
async fn an_agreement_is_set_and_ended_by_the_coordinator_with_version_and_history_and_told_to_the_ledger() {
    let nation = Nation::new().await;
    let partner = nation.organisation("Partner", OrgKind::Partner, None).await;
    let company = nation.organisation("Company", OrgKind::Company, Some(Constituency::Private)).await;
    let coordinator = nation.coordinator();
    let (own, stranger) = (nation.actor(partner, KeyRole::MemberAdmin).await, nation.actor(company, KeyRole::MemberAdmin).await);
    let members = &nation.members;
    assert_eq!(told(&nation, "reporter").await.len(), 1, "only of the partner is there something to tell");

    let none = members.agreement(&own, partner).unwrap();
    assert_eq!((none.agreement, none.holds, none.version), (None, false, 1));
    assert_eq!(verdict(&members.agreement(&coordinator, company)), "not found");
    assert_eq!(verdict(&members.agreement(&stranger, partner)), "not found");

    let sends = Sends { max_tlp: Some(Tlp::Green), categories: vec![Category::Scanner, Category::Phishing, Category::Phishing] };
    let wanted = Agreement { sectors: vec![Text::from(" Energy ")], sends, ..Agreement::up_to(Tlp::AmberStrict) };
    assert_eq!(verdict(&members.set_agreement(&own, partner, 9, wanted.clone(), "").await), "conflict");
    assert_eq!(verdict(&members.set_agreement(&own, partner, 1, wanted.clone(), "").await), "forbidden");
    assert_eq!(verdict(&members.set_agreement(&stranger, partner, 1, wanted.clone(), "").await), "not found");
    assert_eq!(verdict(&members.set_agreement(&coordinator, company, 1, wanted.clone(), "").await), "not found");
    let at = |seconds: i64| Some(Timestamp::from_seconds(START + seconds));
    for refused in [
        Agreement::up_to(Tlp::Red),
        Agreement { expires: at(-1), ..wanted.clone() },
        Agreement { expires: at(99), ..Agreement::up_to(Tlp::Clear) },
        Agreement { sectors: vec![Text::from("poetry")], ..wanted.clone() },
    ] {
        assert_eq!(verdict(&members.set_agreement(&coordinator, partner, 1, refused, "").await), "invalid");
    }
    assert_eq!(verdict(&members.end_agreement(&coordinator, partner, Some(1), "").await), "not found");
    let set = members.set_agreement(&coordinator, partner, 1, Agreement { expires: at(1_000), ..wanted }, "signed in Tokyo").await.unwrap();
    let agreed = set.agreement.unwrap();
    assert_eq!((set.holds, set.version, agreed.strict, agreed.sectors), (true, 2, true, vec![Text::from("energy")]));
    assert_eq!(agreed.sends.categories.len(), 2);
    nation.pass(1_000);
    assert!(!members.agreement(&own, partner).unwrap().holds);

    assert_eq!(verdict(&members.end_agreement(&own, partner, None, "").await), "forbidden");
    assert_eq!(verdict(&members.end_agreement(&coordinator, partner, None, "").await), "invalid");
    let ended = members.end_agreement(&coordinator, partner, Some(2), "not renewed").await.unwrap();
    assert_eq!((ended.agreement, ended.version), (None, 3));
    let history = members.history(&own, partner).await.unwrap();
    let actions: Vec<_> = history.iter().map(|row| (row.action.as_str(), row.reason.as_str(), row.version)).collect();
    assert_eq!(actions, [("end agreement", "not renewed", 3), ("agree", "signed in Tokyo", 2), ("add", "", 1)]);
    let terms = told(&nation, "agreement").await;
    assert_eq!(terms.iter().map(|entry| entry["version"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 3]);
    assert!(terms[0]["agreement"]["strict"] == true && terms[1]["agreement"].is_null());
    assert_eq!(terms[0]["audience"][0], partner.to_string());
    assert_eq!(nation.records.verify_history().await.unwrap(), None);
}

#[test]
fn an_agreement_written_by_an_earlier_release_is_read_as_it_was_meant() {
    for (text, expected) in [
        (r#"{"max_tlp":"amber","expires":null}"#, Agreement::up_to(Tlp::Amber)),
        (r#"{"max_tlp":"amber+strict"}"#, Agreement { strict: true, ..Agreement::up_to(Tlp::AmberStrict) }),
        (r#"{"max_tlp":"amber+strict","strict":false}"#, Agreement { strict: false, ..Agreement::up_to(Tlp::AmberStrict) }),
    ] {
        assert_eq!(serde_json::from_str::<Agreement>(text).unwrap(), expected);
    }
}

#[tokio::test]
async fn a_source_is_made_by_the_hub_has_no_keys_and_is_known_to_coordinator_and_authorities() {
    let nation = Nation::new().await;
    let coordinator = nation.coordinator();
    let new = NewOrganisation { name: "Feed".to_owned(), kind: OrgKind::Source, constituency: None, sector: None, country: None };
    assert_eq!(verdict(&nation.members.add(&coordinator, new).await), "invalid");
    let source = nation.members.ensure_source("Feed of lists", Redistribution::Members).await.unwrap();
    assert_eq!((source.kind, source.licence, source.constituency), (OrgKind::Source, Some(Redistribution::Members), None));
    assert_eq!(nation.members.ensure_source(" feed OF lists", Redistribution::Members).await.unwrap().version, 1);
    assert_eq!(nation.members.ensure_source("Feed of lists", Redistribution::None).await.unwrap().version, 2);
    assert_eq!(verdict(&nation.members.ensure_source("Coordination centre", Redistribution::None).await), "invalid");
    let licences: Vec<_> = told(&nation, "reporter").await.into_iter().map(|entry| entry["licence"].clone()).collect();
    assert_eq!(licences, ["members", "none"]);
    assert_eq!(verdict(&nation.members.add_key(&coordinator, source.id, plain(KeyRole::Analyst)).await), "invalid");
    let patch = OrganisationPatch { kind: Some(OrgKind::Vendor), ..OrganisationPatch::default() };
    assert_eq!(verdict(&nation.members.change(&coordinator, source.id, 2, patch, "").await), "invalid");

    let line = nation.organisation("Line", OrgKind::Authority, Some(Constituency::Public)).await;
    let company = nation.organisation("Company", OrgKind::Company, Some(Constituency::Private)).await;
    let (authority, member) = (nation.actor(line, KeyRole::Authority).await, nation.actor(company, KeyRole::MemberAdmin).await);
    assert!(nation.members.show(&authority, source.id).is_ok());
    assert_eq!(verdict(&nation.members.show(&member, source.id)), "not found");
}

#[tokio::test]
async fn a_stale_version_is_told_before_rights_but_not_to_strangers() {
    let nation = Nation::new().await;
    let own = nation.organisation("Own", OrgKind::Company, Some(Constituency::Private)).await;
    let other = nation.organisation("Other", OrgKind::Company, Some(Constituency::Private)).await;
    let administrator = nation.actor(own, KeyRole::MemberAdmin).await;
    let reader = nation.actor(own, KeyRole::Reader).await;
    let named: OrganisationPatch = serde_json::from_str(r#"{"named": true, "default_tlp": "green"}"#).unwrap();
    let changed = nation.members.change(&administrator, own, 1, named.clone(), "we stand by it").await.unwrap();
    assert!(changed.organisation.named);
    assert_eq!(nation.directory.by_id(own).unwrap().default_tlp, Tlp::Green);
    for actor in [&administrator, &reader] {
        let refused = nation.members.change(actor, own, 1, named.clone(), "").await;
        assert!(matches!(refused, Err(HubError::Conflict { given: 1, current: 2 })));
    }
    assert_eq!(verdict(&nation.members.change(&reader, own, 2, named.clone(), "").await), "forbidden");
    assert_eq!(verdict(&nation.members.change(&administrator, other, 9, named, "").await), "not found");
    let sector: OrganisationPatch = serde_json::from_str(r#"{"sector": null}"#).unwrap();
    assert_eq!(sector.sector, Patch::Clear);
    assert_eq!(verdict(&nation.members.change(&administrator, own, 2, sector, "").await), "forbidden");
    let history = nation.members.history(&administrator, own).await.unwrap();
    assert_eq!(
        history.iter().map(|row| (row.version, row.action.as_str(), row.reason.as_str())).collect::<Vec<_>>(),
        [(2, "change", "we stand by it"), (1, "add", ""),]
    );
    assert_eq!(nation.records.verify_history().await.unwrap(), None);
}

#[tokio::test]
async fn lists_name_only_whom_the_actor_may_know_and_page_newest_first() {
    let nation = Nation::new().await;
    let mut private = Vec::new();
    for number in 0..5 {
        private.push(nation.organisation(&format!("Private {number}"), OrgKind::Company, Some(Constituency::Private)).await);
    }
    let authority = nation.organisation("Authority", OrgKind::Authority, Some(Constituency::Private)).await;
    let public = nation.organisation("Public", OrgKind::Agency, Some(Constituency::Public)).await;
    let ids = |views: Vec<OrganisationView>| views.into_iter().map(|view| view.organisation.id).collect::<Vec<_>>();

    let authority_actor = nation.actor(authority, KeyRole::Authority).await;
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let (page, next) = nation.members.list(&authority_actor, 2, cursor.as_deref()).unwrap();
        seen.extend(ids(page));
        if next.is_none() {
            break;
        }
        cursor = next;
    }
    let mut expected = private.clone();
    expected.push(authority);
    expected.reverse();
    assert_eq!(seen, expected);
    let analyst = nation.actor(public, KeyRole::Analyst).await;
    assert_eq!(ids(nation.members.list(&analyst, 100, None).unwrap().0), [public]);
    assert_eq!(nation.members.list(&nation.coordinator(), 100, None).unwrap().0.len(), 8);
    assert_eq!(verdict(&nation.members.list(&analyst, 1, Some("no cursor"))), "invalid");
}

#[tokio::test]
async fn a_rotated_key_holds_until_the_overlap_ends() {
    let nation = Nation::new().await;
    let own = nation.organisation("Own", OrgKind::Company, Some(Constituency::Private)).await;
    let administrator = nation.actor(own, KeyRole::MemberAdmin).await;
    let (old, old_secret) = nation.key(own, KeyRole::Analyst).await;
    let (_, new_secret) = nation.members.rotate_key(&administrator, own, old, Duration::from_secs(60)).await.unwrap();
    nation.pass(59);
    assert!(nation.enter(&old_secret, home()).is_ok());
    assert_eq!(verdict(&nation.members.rotate_key(&administrator, own, old, Duration::ZERO).await), "illegal");
    nation.pass(1);
    assert_eq!(verdict(&nation.enter(&old_secret, home())), "unauthenticated");
    assert_eq!(nation.enter(&new_secret, home()).unwrap().role, KeyRole::Analyst);
    assert_eq!(verdict(&nation.members.rotate_key(&administrator, own, old, MAX_OVERLAP + Duration::from_secs(1)).await), "invalid");
}

#[tokio::test]
async fn a_key_opens_nothing_from_elsewhere_after_expiry_or_when_revoked() {
    let nation = Nation::new().await;
    let own = nation.organisation("Own", OrgKind::Company, Some(Constituency::Private)).await;
    let new = NewKey {
        role: KeyRole::Analyst,
        expires: Some(Timestamp::from_seconds(START + 100)),
        allow: vec!["192.0.2.10".to_owned(), "2001:db8::/32".to_owned()],
        red: false,
        holder: Some("  Kim\tMinjun ".to_owned()),
    };
    let (id, secret) = nation.members.add_key(&nation.coordinator(), own, new.clone()).await.unwrap();
    for (peer, expected) in
        [("192.0.2.10", "ok"), ("::ffff:192.0.2.10", "ok"), ("2001:db8::7", "ok"), ("192.0.2.11", "unauthenticated"), ("::1", "unauthenticated")]
    {
        assert_eq!(verdict(&nation.enter(&secret, peer.parse().unwrap())), expected, "{peer}");
    }
    for wrong in ["", "bgs_", &secret[..20], &secret.to_uppercase(), &format!("{secret}0")] {
        assert_eq!(verdict(&nation.enter(wrong, home())), "unauthenticated");
    }
    let actor = nation.enter(&secret, home()).unwrap();
    nation.pass(100);
    assert_eq!(verdict(&nation.enter(&secret, home())), "unauthenticated");
    assert_eq!(verdict(&nation.directory.again(&actor, nation.members.clock.now())), "unauthenticated");
    assert_eq!(verdict(&nation.members.add_key(&nation.coordinator(), own, new).await), "invalid");

    for bad in [
        NewKey { allow: vec!["nowhere".to_owned()], ..plain(KeyRole::Reader) },
        NewKey { holder: Some("\u{ae40}".repeat(70)), ..plain(KeyRole::Reader) },
        NewKey { holder: Some("Kim\u{0}".to_owned()), ..plain(KeyRole::Reader) },
    ] {
        assert_eq!(verdict(&nation.members.add_key(&nation.coordinator(), own, bad).await), "invalid");
    }
    let (second, second_secret) = nation.key(own, KeyRole::Reader).await;
    nation.members.revoke_key(&nation.coordinator(), own, second, "left").await.unwrap();
    assert_eq!(verdict(&nation.enter(&second_secret, home())), "unauthenticated");
    assert_eq!(verdict(&nation.members.revoke_key(&nation.coordinator(), own, second, "").await), "illegal");
    let keys = nation.members.list_keys(&nation.coordinator(), own).unwrap();
    let states: Vec<_> = keys.iter().map(|key| (key.id, key.state)).collect();
    assert_eq!(states, [(second, crate::directory::KeyState::Revoked), (id, crate::directory::KeyState::Expired)]);
    assert_eq!(keys.iter().map(|key| key.holder.as_deref()).collect::<Vec<_>>(), [None, Some("Kim Minjun")]);
}

#[tokio::test]
async fn the_last_coordinator_cannot_be_revoked_and_a_revoked_member_is_out() {
    let nation = Nation::new().await;
    let coordinator = nation.coordinator();
    let hub = coordinator.organisation.id;
    assert_eq!(verdict(&nation.members.revoke_key(&coordinator, hub, coordinator.key, "").await), "forbidden");
    assert_eq!(verdict(&nation.members.set_standing(&coordinator, hub, Standing::Revoked, "oops", None).await), "forbidden");
    let (second, _) = nation.key(hub, KeyRole::Coordinator).await;
    assert_ne!(second, coordinator.key);
    nation.members.revoke_key(&coordinator, hub, coordinator.key, "handed over").await.unwrap();
    assert_eq!(verdict(&nation.enter(&nation.first_secret, home())), "unauthenticated");

    let own = nation
        .members
        .add(&coordinator, NewOrganisation { name: "Own".to_owned(), kind: OrgKind::Vendor, constituency: None, sector: None, country: None })
        .await
        .unwrap()
        .id;
    let (_, secret) = nation.members.add_key(&coordinator, own, plain(KeyRole::Analyst)).await.unwrap();
    assert_eq!(verdict(&nation.members.set_standing(&coordinator, own, Standing::Revoked, " ", None).await), "invalid");
    nation.members.set_standing(&coordinator, own, Standing::Revoked, "left the treaty", None).await.unwrap();
    assert_eq!(verdict(&nation.enter(&secret, home())), "unauthenticated");
}

#[tokio::test]
async fn an_operators_decision_has_a_reason_and_a_date_and_the_rules_own_names_the_hub() {
    let nation = Nation::new().await;
    let coordinator = nation.coordinator();
    let own = nation.organisation("Own", OrgKind::Company, Some(Constituency::Private)).await;
    let members = &nation.members;
    let now = members.clock.now();
    for until in [now, now.plus(standing::MAX_HOLD).plus(Duration::from_secs(1))] {
        assert_eq!(verdict(&members.set_standing(&coordinator, own, Standing::Warned, "late", Some(until)).await), "invalid");
    }
    let until = now.plus(Duration::from_secs(86_400));
    let view = members.set_standing(&coordinator, own, Standing::Warned, "late", Some(until)).await.unwrap().organisation;
    assert_eq!((view.standing, view.standing_by, view.standing_since), (Standing::Warned, model::StandingBy::Operator, Some(now)));
    assert_eq!((view.standing_review, view.standing_reason.as_deref()), (Some(until), Some("late")));

    let patch: OrganisationPatch = serde_json::from_str(r#"{"standing": "full"}"#).unwrap();
    assert_eq!(verdict(&members.change(&coordinator, own, view.version, patch.clone(), " ").await), "invalid");
    let view = members.change(&coordinator, own, view.version, patch, "heard").await.unwrap().organisation;
    assert_eq!((view.standing, view.standing_review), (Standing::Full, Some(now.plus(standing::OPERATOR_HOLDS))));

    let decision = || standing::Decision::Set { standing: Standing::Warned, review: Some(until), reason: "nothing of use".to_owned() };
    assert!(!members.settle_standing(own, view.version - 1, decision()).await.unwrap(), "it has changed since");
    assert!(members.settle_standing(own, view.version, decision()).await.unwrap());
    assert!(!members.settle_standing(own, view.version + 1, standing::Decision::Keep).await.unwrap());
    let newest = members.history(&coordinator, own).await.unwrap().remove(0);
    assert_eq!((newest.action.as_str(), newest.reason.as_str(), newest.key, newest.organisation), ("standing", "nothing of use", None, None));
    assert_eq!(nation.directory.by_id(own).unwrap().standing_by, model::StandingBy::Rule);
    assert_eq!(nation.records.verify_history().await.unwrap(), None);
}

#[tokio::test]
async fn who_acts_for_whom_is_the_coordinators_to_say_and_told_to_both() {
    let nation = Nation::new().await;
    let coordinator = nation.coordinator();
    let provider = nation.organisation("Provider", OrgKind::Company, Some(Constituency::Private)).await;
    let client = nation.organisation("Client", OrgKind::Agency, Some(Constituency::Public)).await;
    let stranger = nation.organisation("Stranger", OrgKind::Agency, Some(Constituency::Public)).await;
    let authority = nation.organisation("Authority", OrgKind::Authority, Some(Constituency::Private)).await;
    let administrator = nation.actor(provider, KeyRole::MemberAdmin).await;
    let patch = OrganisationPatch { acts_for: Some(vec![client]), ..OrganisationPatch::default() };
    assert_eq!(verdict(&nation.members.change(&administrator, provider, 1, patch.clone(), "").await), "forbidden");
    nation.members.change(&coordinator, provider, 1, patch, "contract 7").await.unwrap();

    let seen = |actor: &Actor, id| nation.members.show(actor, id).map(|view| (view.organisation.acts_for, view.acted_for_by)).unwrap();
    let administrator = nation.directory.again(&administrator, nation.members.clock.now()).unwrap();
    assert_eq!(seen(&administrator, provider), (vec![client], vec![]));
    assert_eq!(seen(&nation.actor(client, KeyRole::Reader).await, client), (vec![], vec![provider]));
    assert_eq!(seen(&coordinator, client), (vec![], vec![provider]));
    // The authority of one line is not told of organisations of another.
    assert_eq!(seen(&nation.actor(authority, KeyRole::Authority).await, provider), (vec![], vec![]));

    let reporter = |actor: &Actor, id| nation.members.reporter_for(actor, id).map(|organisation| organisation.id);
    assert_eq!(reporter(&administrator, None).unwrap(), provider);
    assert_eq!(reporter(&administrator, Some(provider)).unwrap(), provider);
    assert_eq!(reporter(&administrator, Some(client)).unwrap(), client);
    assert_eq!(verdict(&reporter(&administrator, Some(stranger))), "not found");
    assert_eq!(verdict(&reporter(&administrator, Some(OrgId(uuid::Uuid::nil())))), "not found");
    assert_eq!(verdict(&reporter(&coordinator, Some(client))), "forbidden");
    nation.members.set_standing(&coordinator, client, Standing::Revoked, "left", None).await.unwrap();
    assert_eq!(verdict(&reporter(&administrator, Some(client))), "forbidden");
}

#[tokio::test]
async fn last_use_survives_a_restart_once_written() {
    let nation = Nation::new().await;
    let coordinator = nation.coordinator();
    nation.pass(5);
    nation.coordinator();
    nation.directory.write_last_uses(&nation.records).await.unwrap();
    let again = Directory::load(&nation.records).await.unwrap();
    let snapshot = again.snapshot();
    let facts = snapshot.keys_of(coordinator.organisation.id);
    assert_eq!(facts[0].last_used(), Some(Timestamp::from_seconds(START + 5)));
}

#[tokio::test]
async fn a_registration_counts_once_another_than_its_owner_approved_it() {
    let nation = Nation::new().await;
    let own = nation.organisation("Own", OrgKind::Company, Some(Constituency::Private)).await;
    let authority = nation.organisation("Authority", OrgKind::Authority, Some(Constituency::Private)).await;
    let elsewhere = nation.organisation("Elsewhere", OrgKind::Authority, Some(Constituency::Public)).await;
    let administrator = nation.actor(own, KeyRole::MemberAdmin).await;
    let approver = nation.actor(authority, KeyRole::Authority).await;
    let foreign = nation.actor(elsewhere, KeyRole::Authority).await;
    let new = |value: &str| NewNetwork { kind: NetworkKind::Cidr, value: value.to_owned(), protected: true, reason: String::new() };

    let pending = nation.members.add_network(&administrator, own, new("198.51.100.7/24")).await.unwrap();
    assert_eq!((pending.state, pending.value.as_str()), (NetworkState::Pending, "198.51.100.0/24"));
    assert_eq!(verdict(&nation.members.add_network(&administrator, own, new("198.51.100.0/24")).await), "invalid");
    assert_eq!(verdict(&nation.members.add_network(&administrator, own, new("0.0.0.0/0")).await), "invalid");
    assert_eq!(verdict(&nation.members.approve_network(&administrator, own, pending.id, "").await), "forbidden");
    assert_eq!(verdict(&nation.members.approve_network(&foreign, own, pending.id, "").await), "not found");
    let approved = nation.members.approve_network(&approver, own, pending.id, "proven by DNS").await.unwrap();
    assert_eq!(approved.state, NetworkState::Approved);
    assert_eq!(verdict(&nation.members.approve_network(&approver, own, pending.id, "").await), "illegal");
    let auditor = nation.actor(own, KeyRole::Auditor).await;
    assert_eq!(nation.members.list_networks(&auditor, own, &[]).await.unwrap()[0].protected, None);
    assert_eq!(nation.members.list_networks(&administrator, own, &[]).await.unwrap()[0].protected, Some(true));
    nation.members.withdraw_network(&administrator, own, pending.id, "sold").await.unwrap();
    assert!(nation.members.list_networks(&administrator, own, &[]).await.unwrap().is_empty());
    assert_eq!(nation.members.add_network(&approver, own, new("198.51.100.0/24")).await.unwrap().state, NetworkState::Approved);
    let ended = nation.members.list_networks(&administrator, own, &[NetworkState::Rejected, NetworkState::Withdrawn]).await.unwrap();
    assert_eq!(ended.iter().map(|network| (network.id, network.reason.as_deref())).collect::<Vec<_>>(), [(pending.id, Some("sold"))]);
    assert_eq!((ended[0].decided_by, ended[0].decided), (Some(DecidedBy::Organisation), Some(ended[0].updated)));
    assert_eq!(nation.members.show_network(&administrator, own, pending.id).await.unwrap().state, NetworkState::Withdrawn);
    assert_eq!(verdict(&nation.members.show_network(&foreign, own, pending.id).await), "not found");
    let twice = nation.members.add_network(&administrator, own, new("198.51.100.9/24")).await.unwrap_err().to_string();
    assert!(twice.contains("198.51.100.0/24 is registered") && twice.contains("net_"), "{twice}");

    let control: Vec<serde_json::Value> =
        nation.records.outbox_pending(100).await.unwrap().iter().map(|row| serde_json::from_str(&row.payload).unwrap()).collect();
    let states: Vec<_> = control.iter().filter(|entry| entry["control"] == "network").map(|entry| entry["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["pending", "approved", "withdrawn", "approved"]);
}

#[tokio::test]
async fn a_registration_counts_once_it_is_approved_and_proven_and_another_holder_is_a_conflict() {
    let nation = Nation::new().await;
    let first = nation.organisation("First", OrgKind::Company, Some(Constituency::Private)).await;
    let second = nation.organisation("Second", OrgKind::Company, Some(Constituency::Private)).await;
    let authority = nation.organisation("Authority", OrgKind::Authority, Some(Constituency::Private)).await;
    let (coordinator, approver) = (nation.coordinator(), nation.actor(authority, KeyRole::Authority).await);
    let (one, other) = (nation.actor(first, KeyRole::MemberAdmin).await, nation.actor(second, KeyRole::MemberAdmin).await);
    let new = |kind, value: &str, reason: &str| NewNetwork { kind, value: value.to_owned(), protected: false, reason: reason.to_owned() };

    let asked = nation.members.add_network(&one, first, new(NetworkKind::Domain, "Bank.Example", "")).await.unwrap();
    assert_eq!((asked.proof, asked.challenge.as_ref().unwrap().record.as_deref()), ("claimed", Some("_bongsu-proof.bank.example")));
    nation.members.approve_network(&approver, first, asked.id, "").await.unwrap();
    assert_eq!(verdict(&nation.members.prove_network(&approver, first, asked.id, ProofMethod::DnsTxt, "seen").await), "forbidden");
    assert_eq!(verdict(&nation.members.prove_network(&one, first, asked.id, ProofMethod::DnsTxt, "mine").await), "forbidden");
    assert_eq!(verdict(&nation.members.prove_network(&coordinator, first, asked.id, ProofMethod::DnsTxt, "").await), "invalid");
    let proven = nation.members.prove_network(&coordinator, first, asked.id, ProofMethod::DnsTxt, "the record is there").await.unwrap();
    assert_eq!((proven.proof, proven.proof_method, proven.challenge.is_none()), ("proven", Some("dns-txt"), true));

    assert_eq!(verdict(&nation.members.add_network(&other, second, new(NetworkKind::Domain, "pay.bank.example", "")).await), "invalid");
    let held = nation.members.add_network(&other, second, new(NetworkKind::Domain, "pay.bank.example", "we run it for them")).await.unwrap();
    assert!(held.conflict && held.conflicts.is_empty(), "a member does not learn who holds it");
    let decided = &nation.members.list_networks(&coordinator, second, &[]).await.unwrap()[0];
    assert_eq!(decided.conflicts, [asked.id]);
    assert_eq!((decided.overlaps[0].organisation, decided.overlaps[0].name.as_deref()), (Some(first), Some("First")));
    assert!(held.overlaps.is_empty(), "nor whose it is");
    assert_eq!(nation.members.reject_network(&approver, second, held.id, "no contract").await.unwrap().state, NetworkState::Rejected);
    assert!(nation.members.list_networks(&other, second, &[]).await.unwrap().is_empty());
    let rejected = nation.members.show_network(&other, second, held.id).await.unwrap();
    assert_eq!((rejected.state, rejected.reason.as_deref(), rejected.decided_by), (NetworkState::Rejected, Some("no contract"), Some(DecidedBy::Authority)));
    // Two that wait at once: who approves the second is told of the first.
    let late = nation.members.add_network(&one, first, new(NetworkKind::Cidr, "203.0.113.0/24", "")).await.unwrap();
    let later = nation.members.add_network(&other, second, new(NetworkKind::Cidr, "203.0.113.128/25", "")).await.unwrap();
    nation.members.approve_network(&approver, first, late.id, "").await.unwrap();
    let told = nation.members.approve_network(&approver, second, later.id, "").await.unwrap();
    assert_eq!((told.conflicts.as_slice(), told.overlaps[0].value.as_str()), (&[late.id][..], "203.0.113.0/24"));

    for (kind, value) in [
        (NetworkKind::Domain, "co.kr"),
        (NetworkKind::Domain, "kr"),
        (NetworkKind::Cidr, "10.0.0.0/7"),
        (NetworkKind::Cidr, "2001::/18"),
        (NetworkKind::Cidr, "0.0.0.0/0"),
        (NetworkKind::Url, "https://bank2.example/?q=1"),
        (NetworkKind::Url, "https://github.io/a"),
    ] {
        assert_eq!(verdict(&nation.members.add_network(&one, first, new(kind, value, "ours")).await), "invalid", "{value}");
    }
    let wide = nation.members.add_network(&coordinator, first, new(NetworkKind::Cidr, "10.0.0.0/7", "the national backbone")).await.unwrap();
    assert_eq!((wide.state, wide.proof), (NetworkState::Approved, "proven"), "what the operator registers needs no other proof");

    let control: Vec<serde_json::Value> =
        nation.records.outbox_pending(100).await.unwrap().iter().map(|row| serde_json::from_str(&row.payload).unwrap()).collect();
    let counts: Vec<_> = control.iter().filter(|entry| entry["control"] == "network").map(|entry| entry["counts"].as_bool().unwrap()).collect();
    assert_eq!(counts, [false, false, true, false, false, false, false, false, false, true]);
}

#[tokio::test]
async fn a_contact_is_verified_by_its_token_and_again_after_half_a_year() {
    let nation = Nation::new().await;
    let own = nation.organisation("Own", OrgKind::Company, Some(Constituency::Private)).await;
    let (coordinator, administrator) = (nation.coordinator(), nation.actor(own, KeyRole::MemberAdmin).await);
    assert_eq!(verdict(&nation.members.contact(&administrator, own).await), "not found");
    let set = nation.members.set_contact(&administrator, own, "Abuse@Bank.Example").await.unwrap();
    assert_eq!((set.address.as_deref(), set.state, set.token), (Some("Abuse@bank.example"), ContactState::Unverified, None));
    assert_eq!(verdict(&nation.members.verify_contact(&administrator, own, None).await), "forbidden");
    assert_eq!(verdict(&nation.members.verify_contact(&administrator, own, Some("guess")).await), "invalid");
    let token = nation.members.contact(&coordinator, own).await.unwrap().token.unwrap();
    assert_eq!(nation.members.verify_contact(&administrator, own, Some(&token)).await.unwrap().state, ContactState::Verified);
    assert_eq!(verdict(&nation.members.verify_contact(&administrator, own, Some(&token)).await), "invalid", "each token is good for one reply");
    nation.pass(183 * 86_400);
    assert_eq!(nation.members.contact(&administrator, own).await.unwrap().state, ContactState::Due);
    assert_eq!(nation.members.contacts_to_ask().await.unwrap().len(), 1);
    assert_eq!(nation.members.verify_contact(&coordinator, own, None).await.unwrap().state, ContactState::Verified);
    assert_eq!(nation.members.set_contact(&administrator, own, "other@bank.example").await.unwrap().state, ContactState::Unverified);
    assert_eq!(nation.records.verify_history().await.unwrap(), None);
}

#[tokio::test]
async fn mail_that_comes_back_waits_in_the_queue_until_the_contact_is_verified_anew_or_another() {
    let nation = Nation::new().await;
    let own = nation.organisation("Own", OrgKind::Company, Some(Constituency::Private)).await;
    let silent = nation.organisation("Silent", OrgKind::Agency, Some(Constituency::Public)).await;
    nation.organisation("Partner", OrgKind::Partner, None).await;
    let line = nation.organisation("Line", OrgKind::Authority, Some(Constituency::Private)).await;
    let (coordinator, administrator) = (nation.coordinator(), nation.actor(own, KeyRole::MemberAdmin).await);
    let authority = nation.actor(line, KeyRole::Authority).await;
    nation.members.set_contact(&administrator, own, "abuse@bank.example").await.unwrap();
    nation.members.verify_contact(&coordinator, own, None).await.unwrap();
    let queue = async |actor: &Actor| {
        let (queue, total) = nation.members.contact_queue(actor, &[], 10).await.unwrap();
        assert_eq!(queue.len() as u64, total);
        queue.into_iter().map(|view| (view.organisation, view.state)).collect::<Vec<_>>()
    };
    assert_eq!(queue(&authority).await, [(line, ContactState::Missing)], "its own line, and a verified one needs nobody");
    assert_eq!(verdict(&nation.members.note_bounce(&administrator, own, "back").await), "forbidden");
    assert_eq!(verdict(&nation.members.note_bounce(&coordinator, silent, "back").await), "not found");
    assert!(!nation.members.contact_bounced(silent, "550").await.unwrap());
    nation.members.note_bounce(&coordinator, own, "mailbox full").await.unwrap();
    assert!(nation.members.contact_bounced(own, "550 5.1.1\r\nno such user").await.unwrap());
    let shown = nation.members.contact(&administrator, own).await.unwrap();
    assert_eq!((shown.state, shown.bounces, shown.verified.is_some()), (ContactState::Bouncing, 2, true));
    assert_eq!(queue(&coordinator).await, [(own, ContactState::Bouncing), (silent, ContactState::Missing), (line, ContactState::Missing)]);
    assert_eq!(verdict(&nation.members.contact_queue(&administrator, &[], 10).await), "forbidden");
    let (found, total) = nation.members.contact_queue(&coordinator, &[ContactState::Missing], 1).await.unwrap();
    assert_eq!((found.len(), total), (1, 2));
    assert!(nation.members.contacts_to_ask().await.unwrap().is_empty(), "who bounces is not asked");
    assert_eq!(nation.members.set_contact(&administrator, own, "abuse@bank.example").await.unwrap().state, ContactState::Bouncing, "the same one again");
    assert_eq!(nation.members.verify_contact(&coordinator, own, None).await.unwrap().state, ContactState::Verified);
    nation.members.note_bounce(&coordinator, own, "again").await.unwrap();
    assert_eq!(nation.members.set_contact(&administrator, own, "soc@bank.example").await.unwrap().state, ContactState::Unverified);
}

#[tokio::test]
async fn a_contact_is_asked_a_few_times_a_week_apart_and_its_link_is_good_once() {
    let nation = Nation::new().await;
    let own = nation.organisation("Own", OrgKind::Company, Some(Constituency::Private)).await;
    let (coordinator, administrator) = (nation.coordinator(), nation.actor(own, KeyRole::MemberAdmin).await);
    nation.members.set_contact(&administrator, own, "abuse@bank.example").await.unwrap();
    for asks in 0..super::MAX_ASKS {
        let found = nation.members.contacts_to_ask().await.unwrap();
        assert_eq!(found.iter().map(|contact| contact.asks).collect::<Vec<_>>(), [asks]);
        // Noted twice, as after a crash, it counts once.
        nation.members.contact_asked(&found[0]).await.unwrap();
        nation.members.contact_asked(&found[0]).await.unwrap();
        assert!(nation.members.contacts_to_ask().await.unwrap().is_empty(), "a reminder comes after a week");
        nation.pass(8 * 86_400);
    }
    assert!(nation.members.contacts_to_ask().await.unwrap().is_empty(), "then somebody has to look after it");
    let (queue, _) = nation.members.contact_queue(&coordinator, &[ContactState::Unverified], 10).await.unwrap();
    assert_eq!((queue[0].organisation, queue[0].asks, queue[0].asked.is_some()), (own, super::MAX_ASKS, true));
    let token = queue[0].token.clone().unwrap();
    let code = super::link_code(own, &token);
    for wrong in ["", "-", token.as_str(), &code[1..], &code.replace('-', "_"), &super::link_code(own, &format!("bongsu-contact-{:032x}", 7))] {
        assert_eq!(verdict(&nation.members.contact_behind(wrong).await), "not found", "{wrong}");
        assert_eq!(verdict(&nation.members.confirm_contact(wrong).await), "not found", "{wrong}");
    }
    assert_eq!(nation.members.contact_behind(&code).await.unwrap().organisation, "Own");
    nation.members.confirm_contact(&code).await.unwrap();
    let shown = nation.members.contact(&administrator, own).await.unwrap();
    assert_eq!((shown.state, shown.asks, shown.asked), (ContactState::Verified, 0, None));
    assert_eq!(verdict(&nation.members.confirm_contact(&code).await), "not found", "each link is good once");
    nation.pass(183 * 86_400);
    let found = nation.members.contacts_to_ask().await.unwrap();
    assert_eq!(found.iter().map(|contact| (contact.state, contact.asks)).collect::<Vec<_>>(), [(ContactState::Due, 0)]);
    assert_eq!(nation.records.verify_history().await.unwrap(), None);
}

#[tokio::test]
async fn whatever_addresses_an_organisation_sets_in_turn_few_mails_ask_them() {
    let nation = Nation::new().await;
    let own = nation.organisation("Own", OrgKind::Company, Some(Constituency::Private)).await;
    let (coordinator, administrator) = (nation.coordinator(), nation.actor(own, KeyRole::MemberAdmin).await);
    let mut mails = 0;
    for day in 1..=30 {
        for address in ["a@bank.example", "b@bank.example"].repeat(3) {
            nation.members.set_contact(&administrator, own, address).await.unwrap();
            for contact in nation.members.contacts_to_ask().await.unwrap() {
                nation.members.contact_asked(&contact).await.unwrap();
                mails += 1;
            }
            // Nor does it help that the coordinator has a reply.
            nation.members.verify_contact(&coordinator, own, None).await.unwrap();
        }
        assert_eq!(mails, (day * 3).min(super::contacts::MAX_MAILS));
        nation.pass(86_400);
    }
    // After half a year it may be asked as before. A mail that is on its way while another address is set is one all the same.
    nation.pass(183 * 86_400);
    nation.members.set_contact(&administrator, own, "a@bank.example").await.unwrap();
    let found = nation.members.contacts_to_ask().await.unwrap();
    nation.members.set_contact(&administrator, own, "c@bank.example").await.unwrap();
    nation.members.contact_asked(&found[0]).await.unwrap();
    let shown = nation.members.contact(&administrator, own).await.unwrap();
    assert_eq!((shown.asks, shown.asked), (0, None));
    let kept: store::records::Contact = nation.records.get(&store::records::Contact::id_of(own).to_string()).await.unwrap().unwrap();
    assert_eq!(kept.mails.len(), 1, "older ones are forgotten");
    // The same address set again while its mail is on its way has had that mail.
    let found = nation.members.contacts_to_ask().await.unwrap();
    nation.members.set_contact(&administrator, own, "c@bank.example").await.unwrap();
    nation.members.contact_asked(&found[0]).await.unwrap();
    assert_eq!(nation.members.contact(&administrator, own).await.unwrap().asks, 1);
    assert_eq!(nation.records.verify_history().await.unwrap(), None);
}

#[tokio::test]
async fn a_claim_is_anonymous_both_ways_and_decided_once_by_one_without_a_part_in_it() {
    let nation = Nation::new().await;
    let claimant = nation.organisation("Claimant", OrgKind::Company, Some(Constituency::Private)).await;
    let sender = nation.organisation("Sender", OrgKind::Agency, Some(Constituency::Public)).await;
    let bystander = nation.organisation("Bystander", OrgKind::Agency, Some(Constituency::Public)).await;
    let authority = nation.organisation("Authority", OrgKind::Authority, Some(Constituency::Public)).await;
    let number = nation.directory.by_id(sender).unwrap().number;
    let claimant_actor = nation.actor(claimant, KeyRole::Analyst).await;
    let sender_actor = nation.actor(sender, KeyRole::Analyst).await;
    let authority_actor = nation.actor(authority, KeyRole::Authority).await;
    let bystander_actor = nation.actor(bystander, KeyRole::Analyst).await;

    let due = nation.members.clock.now().plus(CLAIM_CLOCK);
    let about = About { senders: vec![number], red: false };
    let open =
        nation.members.open_claim_about(&claimant_actor, ObservableType::Domain, "Benign.Example.", Some("our own site"), due, about.clone()).await.unwrap();
    assert_eq!((open.part, open.value.as_deref(), open.overdue), (ClaimPart::Claimant, Some("benign.example"), false));
    let same = nation.members.open_claim_about(&claimant_actor, ObservableType::Domain, "benign.example", None, due, about).await.unwrap();
    assert_eq!(same.id, open.id);

    let seen = async |actor: &Actor| nation.members.claims(actor, 10, None).await.unwrap().0;
    for (actor, part, note) in
        [(&claimant_actor, ClaimPart::Claimant, true), (&sender_actor, ClaimPart::Sender, false), (&authority_actor, ClaimPart::Queue, true)]
    {
        let views = seen(actor).await;
        assert_eq!((views.len(), views[0].part, views[0].note.is_some()), (1, part, note));
        let text = serde_json::to_string(&views).unwrap();
        assert!(!text.contains(&claimant.to_string()) && !text.contains(&sender.to_string()));
    }
    assert!(seen(&bystander_actor).await.is_empty());

    assert_eq!(verdict(&nation.members.decide_claim(&bystander_actor, open.id, true, "x").await), "not found");
    assert_eq!(verdict(&nation.members.decide_claim(&sender_actor, open.id, false, "x").await), "forbidden");
    assert_eq!(verdict(&nation.members.decide_claim(&authority_actor, open.id, true, "").await), "invalid");
    nation.pass(73 * 3_600);
    assert!(seen(&authority_actor).await[0].overdue);
    let decided = nation.members.decide_claim(&authority_actor, open.id, true, "a shop").await.unwrap();
    assert_eq!((decided.state, decided.overdue), (ClaimState::Upheld, false));
    assert_eq!(verdict(&nation.members.decide_claim(&authority_actor, open.id, false, "no").await), "illegal");
    let last = nation.records.outbox_pending(100).await.unwrap().pop().unwrap();
    assert!(last.payload.contains("\"dispute\"") && last.payload.contains("benign.example"));
    let reader = nation.actor(claimant, KeyRole::Reader).await;
    assert_eq!(verdict(&nation.members.open_claim(&reader, ObservableType::Domain, "a.example", None, due).await), "forbidden");
}

#[tokio::test]
async fn pages_of_claims_start_where_the_last_ended() {
    let nation = Nation::new().await;
    let own = nation.organisation("Own", OrgKind::Company, Some(Constituency::Private)).await;
    let actor = nation.actor(own, KeyRole::Analyst).await;
    let due = nation.members.clock.now().plus(CLAIM_CLOCK);
    for number in 0..5 {
        nation.members.open_claim(&actor, ObservableType::Domain, &format!("d{number}.example"), None, due).await.unwrap();
    }
    let (first, cursor) = nation.members.claims(&actor, 3, None).await.unwrap();
    let (second, end) = nation.members.claims(&actor, 3, cursor.as_deref()).await.unwrap();
    let values: Vec<_> = first.iter().chain(&second).map(|view| view.value.as_deref().unwrap()).collect();
    assert_eq!(values, ["d4.example", "d3.example", "d2.example", "d1.example", "d0.example"]);
    assert_eq!(end, None);
}
