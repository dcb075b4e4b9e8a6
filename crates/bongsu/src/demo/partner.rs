//! The partner CERT of the demo with which there is an agreement, and events that are shared with it alone.
//!
//! Flow: [`agree`] before the first event, so that the partner's collection grows with the events → [`share`] after the history.
//! Invariant: what is agreed and shared goes through the same use cases as anyone's.
//! Not here: what an agreement lets a partner see (`policy`).

use super::nation::Nation;
use super::{Members, here, submit};
use anyhow::{Context, ensure};
use hub::Hub;
use model::{Agreement, Category, OrgId, OrgKind, Timestamp, Tlp};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// What the agreement covers above green.
const CATEGORIES: [Category; 4] = [Category::Phishing, Category::C2Server, Category::MalwareDistribution, Category::InfectedSystem];
/// Days for which it holds.
const TERM: i64 = 365;
/// Events that are shared with the partner alone, at the most.
const SHARED: usize = 3;
/// From one of them to the next.
const APART: Duration = Duration::from_secs(1_200);

/// The first organisation of a kind, with its place.
fn first(nation: &Nation, members: &Members, kind: OrgKind) -> anyhow::Result<(usize, OrgId)> {
    let place = nation.members.iter().position(|member| member.kind == kind).context("the nation lacks a kind of organisation")?;
    let (id, _) = members.senders.get(place).context("an unknown member")?;
    Ok((place, *id))
}

/// Agrees with the first partner on amber of some categories, for a year.
pub async fn agree(hub: &Arc<Hub>, nation: &Nation, members: &Members, start: Timestamp) -> anyhow::Result<()> {
    let actor = hub.authenticate(&members.coordinator, here()).context("the coordinator's key")?;
    let (_, partner) = first(nation, members, OrgKind::Partner)?;
    let version = hub.members().agreement(&actor, partner).context("the partner")?.version;
    let expires = Timestamp::from_seconds((start.seconds().div_euclid(86_400) + TERM) * 86_400);
    let agreement = Agreement { categories: CATEGORIES.to_vec(), names: true, expires: Some(expires), ..Agreement::up_to(Tlp::Amber) };
    hub.set_agreement(&actor, partner, version, agreement, "signed for the demo").await.context("the agreement with the partner")?;
    Ok(())
}

/// Has the first authority share some pages of the strongest campaign with the partner alone.
pub async fn share(hub: &Arc<Hub>, nation: &Nation, members: &Members, start: Timestamp) -> anyhow::Result<()> {
    let (_, partner) = first(nation, members, OrgKind::Partner)?;
    let (authority, _) = first(nation, members, OrgKind::Authority)?;
    let lines = lines(nation, partner, start);
    let expected = lines.lines().count() as u64;
    let taken = submit(hub, members, authority, lines).await.context("events for the partner")?;
    ensure!(taken == expected, "{taken} of {expected} events for the partner were taken");
    Ok(())
}

/// The events as lines.
fn lines(nation: &Nation, partner: OrgId, start: Timestamp) -> String {
    let mut lines = String::new();
    let Some(campaign) = nation.strongest(0.0) else { return lines };
    let mut time = start;
    for page in campaign.pages.iter().take(SHARED) {
        time = time.minus(APART);
        let event = json!({
            "time": time,
            "category": "phishing",
            "value": page,
            "malware": campaign.malware,
            "tlp": "amber",
            "audience": [partner],
            "named": true,
            "origin": "manual",
            "note": "for your takedown: hosted in your country",
        });
        lines.push_str(&event.to_string());
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::config::Config;
    use model::KeyRole;
    use serde_json::Value;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_partner_has_an_agreement_and_events_that_others_do_not_see() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let config = Config { data: data.clone(), memory: super::super::MEMORY, zone: "UTC".to_owned(), ..Config::default() };
        let hub = crate::serve::open(&config).await.unwrap();
        let mut nation = Nation::generate(7);
        // A few of each kind are enough here.
        let mut of_kind = std::collections::BTreeMap::new();
        nation.members.retain(|member| {
            let count: &mut u32 = of_kind.entry(member.kind.as_str()).or_default();
            *count += 1;
            *count <= 2
        });
        let members = super::super::settle(&hub, &nation, &data).await.unwrap();
        let start = hub.clock().now();
        agree(&hub, &nation, &members, start).await.unwrap();
        share(&hub, &nation, &members, start).await.unwrap();

        let coordinator = hub.authenticate(&members.coordinator, here()).unwrap();
        let reader = async |kind: OrgKind, nth: usize| {
            let places: Vec<usize> = (0..nation.members.len()).filter(|place| nation.members[*place].kind == kind).collect();
            let id = members.senders[places[nth]].0;
            let secret = super::super::add_key(&hub, &coordinator, id, KeyRole::Analyst).await.unwrap();
            (id, hub.authenticate(&secret, here()).unwrap())
        };
        let (id, partner) = reader(OrgKind::Partner, 0).await;
        let agreed = hub.members().agreement(&partner, id).unwrap();
        assert!(agreed.holds && agreed.agreement.unwrap().categories.contains(&Category::Phishing));
        let seen = |actor: &hub::Actor| hub.search(actor, &model::Filter::default(), false, 100, None).unwrap().events;
        let for_partner = seen(&partner);
        assert_eq!(for_partner.len(), SHARED);
        let event: Value = serde_json::from_slice(&for_partner[0]).unwrap();
        assert_eq!((&event["tlp"], &event["category"]), (&json!("amber"), &json!("phishing")));
        assert!(seen(&reader(OrgKind::Partner, 1).await.1).is_empty(), "another partner");
        assert!(seen(&reader(OrgKind::Company, 0).await.1).is_empty(), "a member");
        hub.close().await;
    }
}
