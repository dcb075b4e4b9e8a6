//! Organisations: adding, showing, changing, standing; and the hub's own at the first start.

use super::shapes::{HistoryRow, NewOrganisation, OrganisationPatch, OrganisationView, Patch};
use super::standing::{Decision, MAX_HOLD, OPERATOR_HOLDS};
use super::{MAX_PAGE, Members, coordinator_only, invalid, is_hub, keys, may_know, reason_text, taken};
use crate::directory::Snapshot;
use crate::{Actor, HubError};
use model::{KeyRole, OrgId, OrgKind, OrgNo, Organisation, Pap, Redistribution, Standing, StandingBy, Text, Timestamp, Tlp};
use serde_json::{Value, json};
use store::records::{Change, MAX_NAME};

/// Name of the hub's own organisation.
const HUB_NAME: &str = "Coordination centre";
/// Groups of an organisation, and organisations it acts for, at the most.
const MAX_LINKS: usize = 100;

/// Number of an organisation that has not been given one.
const UNNUMBERED: OrgNo = OrgNo(u32::MAX);
/// The refusal of whatever would lock the duty desk out.
const HUB_STAYS: HubError = HubError::Forbidden("the hub's own organisation stays a cert and a member");
/// The refusal of a source that somebody adds or makes of a member, or the other way round.
const SOURCE_IS_CONFIGURED: &str = "sources are made from the hub's configuration and stay sources";

impl Members {
    /// Creates the hub's own organisation and a coordinator's key at the first start; gives the key's secret.
    pub async fn bootstrap(&self) -> Result<Option<String>, HubError> {
        self.bootstrap_keeping(|_| Ok(())).await
    }

    /// As [`Members::bootstrap`], and calls `keep` with the secret before anything is committed, so that no crash can lose it.
    pub async fn bootstrap_keeping(&self, keep: impl FnOnce(&str) -> std::io::Result<()> + Send) -> Result<Option<String>, HubError> {
        if self.directory.organisation(OrgNo::HUB).is_some() {
            return Ok(None);
        }
        let now = self.clock.now();
        let hub = Organisation { kind: OrgKind::Cert, ..blank(OrgId(self.clock.uuid()), OrgNo::HUB, HUB_NAME.to_owned(), now) };
        let change = Change { actor_key: None, actor_org: None, at: now, action: "bootstrap", reason: "first start" };
        let mut writer = self.records.write().await?;
        if !writer.ensure_hub(&hub, &change, &[control(&hub)]).await? {
            drop(writer);
            self.directory.refresh(&self.records).await?;
            return Ok(None);
        }
        let (key, secret) = keys::fresh(model::KeyId(self.clock.uuid()), hub.id, KeyRole::Coordinator, now);
        writer.insert(&key, &change, &[]).await?;
        keep(&secret).map_err(|error| HubError::Internal(Box::new(error)))?;
        self.commit(writer).await?;
        Ok(Some(secret))
    }

    /// Adds an organisation: accredited, in full standing.
    pub async fn add(&self, actor: &Actor, new: NewOrganisation) -> Result<Organisation, HubError> {
        coordinator_only(actor)?;
        if new.kind == OrgKind::Source {
            return Err(invalid("/kind", SOURCE_IS_CONFIGURED));
        }
        let change = self.noted(actor, "add", "");
        let mut organisation = blank(OrgId(self.clock.uuid()), UNNUMBERED, new.name, change.at);
        organisation.kind = new.kind;
        organisation.constituency = new.constituency;
        organisation.sector = new.sector;
        organisation.country = new.country;
        self.tidy(&mut organisation)?;
        let mut writer = self.records.write().await?;
        organisation.number = OrgNo(writer.next_number::<Organisation>().await?);
        self.insert(writer, organisation, &change).await
    }

    /// The organisation that a feed of this name reports as, made where there is none yet and with the licence that the configuration gives it. The
    /// hub itself acts.
    ///
    /// # Errors
    /// [`HubError::Invalid`] where an organisation of another kind has the name.
    pub async fn ensure_source(&self, name: &str, licence: Redistribution) -> Result<Organisation, HubError> {
        let change = Change { actor_key: None, actor_org: None, at: self.clock.now(), action: "collect", reason: "configured" };
        let mut writer = self.records.write().await?;
        let all = writer.all::<Organisation>().await?;
        let Some(mut known) = all.into_iter().find(|organisation| organisation.name.to_lowercase() == name.trim().to_lowercase()) else {
            let mut organisation = blank(OrgId(self.clock.uuid()), UNNUMBERED, name.to_owned(), change.at);
            (organisation.kind, organisation.licence, organisation.standing_rule) = (OrgKind::Source, Some(licence), false);
            self.tidy(&mut organisation)?;
            organisation.number = OrgNo(writer.next_number::<Organisation>().await?);
            return self.insert(writer, organisation, &change).await;
        };
        if known.kind != OrgKind::Source {
            return Err(invalid("name", format!("{name} is the name of an organisation of kind {}", known.kind)));
        }
        if known.licence == Some(licence) {
            return Ok(known);
        }
        known.licence = Some(licence);
        let version = known.version;
        self.save(writer, known, version, &change).await
    }

    async fn insert(&self, mut writer: store::records::Writer, organisation: Organisation, change: &Change<'_>) -> Result<Organisation, HubError> {
        writer
            .insert(&organisation, change, &controls(None, &organisation))
            .await
            .map_err(|error| taken(error, "/name", "another organisation has this name"))?;
        self.commit(writer).await?;
        Ok(organisation)
    }

    /// The organisations the actor may know, newest first, and where the next page starts.
    pub fn list(&self, actor: &Actor, limit: usize, cursor: Option<&str>) -> Result<(Vec<OrganisationView>, Option<String>), HubError> {
        let before = match cursor {
            Some(cursor) => Some(u32::from_str_radix(cursor, 16).map_err(|_| invalid("cursor", "not a cursor of this list"))?),
            None => None,
        };
        let limit = limit.clamp(1, MAX_PAGE);
        let snapshot = self.directory.snapshot();
        let mut rest =
            snapshot.organisations().rev().filter(|organisation| before.is_none_or(|before| organisation.number.0 < before) && may_know(actor, organisation));
        let page: Vec<OrganisationView> = rest.by_ref().take(limit).map(|organisation| view(actor, organisation, &snapshot)).collect();
        let more = rest.next().is_some();
        let next = page.last().filter(|_| more).map(|last| format!("{:x}", last.organisation.number.0));
        Ok((page, next))
    }

    /// One organisation.
    pub fn show(&self, actor: &Actor, id: OrgId) -> Result<OrganisationView, HubError> {
        self.known(actor, id).map(|organisation| view(actor, &organisation, &self.directory.snapshot()))
    }

    /// Changes an organisation that the caller read at `version`.
    pub async fn change(&self, actor: &Actor, id: OrgId, version: u64, patch: OrganisationPatch, reason: &str) -> Result<OrganisationView, HubError> {
        self.known(actor, id)?;
        let mut writer = self.records.write().await?;
        let mut organisation: Organisation = writer.get(&id.to_string()).await?.ok_or(HubError::NotFound)?;
        if organisation.version != version {
            return Err(HubError::Conflict { given: version, current: organisation.version });
        }
        let own_administrator = actor.role == KeyRole::MemberAdmin && actor.organisation.id == id;
        if !(actor.is_coordinator() || own_administrator && patch.is_members_own()) {
            return Err(HubError::Forbidden("only the coordinator may change this; a member's administrator sets named, default_tlp and default_pap"));
        }
        let reason = reason_text("/reason", reason, patch.standing.is_some())?;
        let change = self.noted(actor, "change", reason);
        if let Some(standing) = patch.standing {
            decide(&mut organisation, standing, StandingBy::Operator, &change, Some(change.at.plus(OPERATOR_HOLDS)));
        }
        let (before, agrees) = (organisation.kind, matches!(patch.agreement, Patch::Set(_)));
        patch.apply(&mut organisation);
        if (organisation.kind == OrgKind::Source) != (before == OrgKind::Source) {
            return Err(invalid("/kind", SOURCE_IS_CONFIGURED));
        }
        if let Some(agreement) = organisation.agreement.take_if(|_| agrees) {
            organisation.agreement = Some(self.tidy_agreement("/agreement", agreement)?);
            self.check_room(id)?;
        }
        self.tidy(&mut organisation)?;
        self.check_kind(&organisation)?;
        let saved = self.save(writer, organisation, version, &change).await?;
        Ok(view(actor, &saved, &self.directory.snapshot()))
    }

    /// Sets the standing by an operator, as one who hears an appeal: the rule leaves it alone until a date, half a year from now where none is named.
    pub async fn set_standing(
        &self,
        actor: &Actor,
        id: OrgId,
        standing: Standing,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<OrganisationView, HubError> {
        self.known(actor, id)?;
        coordinator_only(actor)?;
        let reason = reason_text("/reason", reason, true)?;
        let now = self.clock.now();
        if until.is_some_and(|until| until <= now || until > now.plus(MAX_HOLD)) {
            return Err(invalid("/until", "must lie ahead, five years at the most"));
        }
        let mut writer = self.records.write().await?;
        let mut organisation: Organisation = writer.get(&id.to_string()).await?.ok_or(HubError::NotFound)?;
        if is_hub(&organisation) && standing == Standing::Revoked {
            return Err(HUB_STAYS);
        }
        let version = organisation.version;
        let change = self.noted(actor, "standing", reason);
        decide(&mut organisation, standing, StandingBy::Operator, &change, Some(until.unwrap_or_else(|| now.plus(OPERATOR_HOLDS))));
        let saved = self.save(writer, organisation, version, &change).await?;
        Ok(view(actor, &saved, &self.directory.snapshot()))
    }

    /// Writes what the rule decided about an organisation as it was at `version`; the hub itself acts. Gives false where there is nothing to write,
    /// or where the organisation has changed since: the next round judges it as it is then.
    pub(crate) async fn settle_standing(&self, id: OrgId, version: u64, decision: Decision) -> Result<bool, HubError> {
        let Decision::Set { standing, review, reason } = decision else { return Ok(false) };
        let mut writer = self.records.write().await?;
        let found: Option<Organisation> = writer.get(&id.to_string()).await?;
        let Some(mut organisation) = found.filter(|organisation| organisation.version == version) else { return Ok(false) };
        let change = Change { actor_key: None, actor_org: None, at: self.clock.now(), action: "standing", reason: &reason };
        decide(&mut organisation, standing, StandingBy::Rule, &change, review);
        self.save(writer, organisation, version, &change).await?;
        Ok(true)
    }

    /// Every change of an organisation, newest first.
    pub async fn history(&self, actor: &Actor, id: OrgId) -> Result<Vec<HistoryRow>, HubError> {
        self.known(actor, id)?;
        match actor.role {
            KeyRole::Coordinator | KeyRole::Authority | KeyRole::Auditor | KeyRole::MemberAdmin => {}
            KeyRole::Analyst | KeyRole::Reporter | KeyRole::Reader => {
                return Err(HubError::Forbidden("the history is for administrators, authorities and auditors"));
            }
        }
        self.rows_of(&id.to_string()).await
    }

    /// The history of a record, newest first.
    pub(crate) async fn rows_of(&self, id: &str) -> Result<Vec<HistoryRow>, HubError> {
        let rows = self.records.history(id).await?;
        rows.into_iter()
            .map(|row| {
                let content = serde_json::from_str(&row.content).map_err(|error| HubError::Internal(Box::new(error)))?;
                Ok(HistoryRow {
                    version: row.version,
                    at: row.at,
                    key: row.actor_key,
                    organisation: row.actor_org,
                    action: row.action,
                    reason: row.reason,
                    content,
                    hash: row.hash,
                })
            })
            .collect()
    }

    pub(super) async fn save(
        &self,
        mut writer: store::records::Writer,
        mut organisation: Organisation,
        version: u64,
        change: &Change<'_>,
    ) -> Result<Organisation, HubError> {
        organisation.version = version + 1;
        organisation.updated = change.at;
        let before: Option<Organisation> = writer.get(&organisation.id.to_string()).await?;
        writer
            .update(&organisation, version, change, &controls(before.as_ref(), &organisation))
            .await
            .map_err(|error| taken(error, "/name", "another organisation has this name"))?;
        self.commit(writer).await?;
        Ok(organisation)
    }

    /// Checks every field and brings it into its one form.
    fn tidy(&self, organisation: &mut Organisation) -> Result<(), HubError> {
        let name = organisation.name.trim();
        let length = name.chars().count();
        if length == 0 || length > MAX_NAME || name.chars().any(char::is_control) {
            return Err(invalid("/name", format!("a name has 1 to {MAX_NAME} characters and no control characters")));
        }
        organisation.name = name.to_owned();
        if matches!(organisation.kind, OrgKind::Partner | OrgKind::Source) {
            organisation.constituency = None;
            organisation.sector = None;
        }
        if organisation.kind != OrgKind::Partner && organisation.agreement.is_some() {
            return Err(invalid("/agreement", "only a partner has an agreement"));
        }
        let without_line = matches!(organisation.kind, OrgKind::Partner | OrgKind::Source | OrgKind::Vendor) || is_hub(organisation);
        if organisation.constituency.is_none() && !without_line {
            return Err(invalid("/constituency", "needed for a company, agency, authority or cert"));
        }
        if let Some(sector) = &mut organisation.sector {
            *sector = Text::from(sector.trim().to_lowercase());
            if !self.sectors.contains(sector) {
                return Err(invalid("/sector", format!("not a sector; known: {}", self.sectors.join(" "))));
            }
        }
        if let Some(country) = &mut organisation.country {
            *country = Text::from(country.trim().to_ascii_uppercase());
            if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
                return Err(invalid("/country", "a country has two letters"));
            }
        }
        for group in &mut organisation.groups {
            *group = self.group_id("/groups", group)?;
        }
        organisation.groups.sort_unstable();
        organisation.groups.dedup();
        organisation.acts_for.sort_unstable();
        organisation.acts_for.dedup();
        if organisation.groups.len() > MAX_LINKS || organisation.acts_for.len() > MAX_LINKS {
            return Err(HubError::TooLarge { limit: MAX_LINKS as u64, unit: "groups or organisations acted for" });
        }
        let own_id = organisation.id;
        if organisation.acts_for.iter().any(|id| *id == own_id || self.directory.by_id(*id).is_none()) {
            return Err(invalid("/acts_for", "names an organisation that does not exist"));
        }
        if is_hub(organisation) && (organisation.kind != OrgKind::Cert || organisation.standing == Standing::Revoked) {
            return Err(HUB_STAYS);
        }
        Ok(())
    }

    /// Refuses a kind that does not fit the roles of keys given out.
    fn check_kind(&self, organisation: &Organisation) -> Result<(), HubError> {
        let now = self.clock.now();
        let misfit = self
            .directory
            .snapshot()
            .keys_of(organisation.id)
            .iter()
            .any(|facts| crate::directory::key_state(&facts.key, now).holds() && !keys::role_fits(facts.key.role, organisation));
        if misfit { Err(invalid("/kind", "does not fit the role of a key given out; revoke the key first")) } else { Ok(()) }
    }
}

fn blank(id: OrgId, number: OrgNo, name: String, now: Timestamp) -> Organisation {
    Organisation {
        id,
        number,
        name,
        kind: OrgKind::Company,
        constituency: None,
        sector: None,
        country: None,
        groups: Vec::new(),
        standing: Standing::Full,
        standing_since: Some(now),
        standing_reason: None,
        standing_review: None,
        standing_by: StandingBy::Rule,
        standing_rule: true,
        acts_for: Vec::new(),
        agreement: None,
        licence: None,
        default_tlp: Tlp::Amber,
        default_pap: Pap::Green,
        named: false,
        quota_per_day: None,
        version: 1,
        created: now,
        updated: now,
    }
}

/// The only place that writes a standing. A revoked organisation has no date: only an operator takes it back.
fn decide(organisation: &mut Organisation, standing: Standing, by: StandingBy, change: &Change<'_>, review: Option<Timestamp>) {
    organisation.standing = standing;
    organisation.standing_by = by;
    organisation.standing_since = Some(change.at);
    organisation.standing_reason = Some(Text::from(change.reason));
    organisation.standing_review = review.filter(|_| standing != Standing::Revoked);
}

/// An organisation as the actor may see it: who acts for whom is told to both of them, and else to those who may know the other one.
fn view(actor: &Actor, organisation: &Organisation, snapshot: &Snapshot) -> OrganisationView {
    let own = actor.organisation.id == organisation.id;
    let told = |other: &Organisation| own || may_know(actor, other);
    let acted_for_by = snapshot.organisations().filter(|other| other.acts_for.contains(&organisation.id) && told(other)).map(|other| other.id).collect();
    let mut organisation = organisation.clone();
    organisation.acts_for.retain(|id| snapshot.by_id(*id).is_some_and(|other| told(other)));
    OrganisationView { organisation, acted_for_by }
}

/// Everything that the ledger is told of a change: that there was one, and what of it the collections depend on.
fn controls(before: Option<&Organisation>, after: &Organisation) -> Vec<Value> {
    let reporter = |organisation: &Organisation| (organisation.kind == OrgKind::Partner, organisation.licence);
    let terms = |organisation: &Organisation| organisation.agreement.clone().map(|agreement| (agreement, policy::audience_ids(organisation)));
    let mut controls = vec![control(after)];
    if reporter(after) != before.map_or((false, None), reporter) {
        controls.push(reporter_control(after));
    }
    if terms(after) != before.and_then(terms) {
        controls.push(agreement_control(after));
    }
    controls
}

/// What the ledger is told of an organisation as a reporter.
fn reporter_control(organisation: &Organisation) -> Value {
    json!({
        "control": "reporter",
        "organisation": organisation.number,
        "version": organisation.version,
        "partner": organisation.kind == OrgKind::Partner,
        "licence": organisation.licence,
    })
}

/// What the ledger is told of the agreement with an organisation.
fn agreement_control(organisation: &Organisation) -> Value {
    json!({
        "control": "agreement",
        "organisation": organisation.number,
        "version": organisation.version,
        "agreement": organisation.agreement,
        "audience": policy::audience_ids(organisation),
    })
}

/// What the ledger is told of an organisation.
fn control(organisation: &Organisation) -> Value {
    json!({
        "control": "organisation",
        "id": organisation.id,
        "number": organisation.number,
        "kind": organisation.kind,
        "constituency": organisation.constituency,
        "sector": organisation.sector,
        "country": organisation.country,
        "groups": organisation.groups,
        "standing": organisation.standing,
        "agreement": organisation.agreement,
        "version": organisation.version,
    })
}
