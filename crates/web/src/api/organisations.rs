//! Organisations: added by the coordinator, changed with a reason, never lost.

use super::agreements;
use crate::AppState;
use crate::auth::Caller;
use crate::fields::Fields;
use crate::limits;
use crate::params::{At, Params, id};
use crate::payload::Payload;
use crate::problem::Problem;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use hub::members::{HistoryRow, NewOrganisation, OrganisationPatch, OrganisationView, Patch};
use model::{Agreement, Constituency, OrgId, OrgKind, Pap, Redistribution, Standing, Text, Tlp};
use serde::Serialize;

/// `GET /api/v1/organisations`
pub async fn list(State(state): State<AppState>, Caller(actor): Caller, params: Params) -> Reply {
    let (limit, cursor) = (params.limit()?, params.cursor()?);
    let (organisations, cursor) = state.hub.members().list(&actor, limit, cursor.as_deref())?;
    reply::ok(&Page { organisations, cursor })
}

/// `POST /api/v1/organisations`
pub async fn add(State(state): State<AppState>, Caller(actor): Caller, payload: Payload) -> Reply {
    let new = new_organisation(Fields::new(payload.value()?)?)?;
    let added = act(async move { state.hub.add_organisation(&actor, new).await }).await?;
    reply::created(&added)
}

/// `GET /api/v1/organisations/{id}`
pub async fn show(State(state): State<AppState>, Caller(actor): Caller, At(organisation): At<String>) -> Reply {
    let organisation = id::<OrgId>(&organisation)?;
    reply::ok(&state.hub.members().show(&actor, organisation)?)
}

/// `PATCH /api/v1/organisations/{id}`
pub async fn change(State(state): State<AppState>, Caller(actor): Caller, At(organisation): At<String>, payload: Payload) -> Reply {
    let organisation = id::<OrgId>(&organisation)?;
    let mut body = Fields::new(payload.value()?)?;
    let version = body.number_or_none("version", u64::from(u32::MAX))?.ok_or_else(|| body.missing("version"))?;
    let reason = body.text_or_none("reason", limits::REASON)?.unwrap_or_default();
    let patch = organisation_patch(body)?;
    let changed = act(async move { state.hub.change_organisation(&actor, organisation, version, patch, &reason).await }).await?;
    reply::ok(&changed)
}

/// `GET /api/v1/organisations/{id}/history`
pub async fn history(State(state): State<AppState>, Caller(actor): Caller, At(organisation): At<String>) -> Reply {
    let organisation = id::<OrgId>(&organisation)?;
    let history = state.hub.members().history(&actor, organisation).await?;
    reply::ok(&History { history })
}

/// `POST /api/v1/organisations/{id}/standing`
pub async fn set_standing(State(state): State<AppState>, Caller(actor): Caller, At(organisation): At<String>, payload: Payload) -> Reply {
    let organisation = id::<OrgId>(&organisation)?;
    let mut body = Fields::new(payload.value()?)?;
    let standing = body.word("standing", Standing::WHAT, Standing::parse)?;
    let reason = body.text("reason", limits::REASON)?;
    let until = body.time_or_none("until")?;
    body.finish()?;
    let changed = act(async move { state.hub.members().set_standing(&actor, organisation, standing, &reason, until).await }).await?;
    reply::ok(&changed)
}

/// `GET /api/v1/organisations/{id}/contribution`
pub async fn contribution(State(state): State<AppState>, Caller(actor): Caller, At(organisation): At<String>) -> Reply {
    let organisation = id::<OrgId>(&organisation)?;
    reply::ok(&state.read(move |hub| hub.contribution(&actor, organisation)).await?)
}

#[derive(Serialize)]
struct Page {
    organisations: Vec<OrganisationView>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct History {
    history: Vec<HistoryRow>,
}

fn new_organisation(mut body: Fields) -> Result<NewOrganisation, Problem> {
    let new = NewOrganisation {
        name: body.text("name", limits::NAME)?,
        kind: body.word("kind", OrgKind::WHAT, OrgKind::parse)?,
        constituency: body.word_or_none("constituency", Constituency::WHAT, Constituency::parse)?,
        sector: short_text(&mut body, "sector")?,
        country: short_text(&mut body, "country")?,
    };
    body.finish()?;
    Ok(new)
}

fn organisation_patch(mut body: Fields) -> Result<OrganisationPatch, Problem> {
    let patch = OrganisationPatch {
        name: body.text_or_none("name", limits::NAME)?,
        kind: body.word_or_none("kind", OrgKind::WHAT, OrgKind::parse)?,
        constituency: optional(&mut body, "constituency", |body, name| body.word_or_none(name, Constituency::WHAT, Constituency::parse))?,
        sector: optional(&mut body, "sector", short_text)?,
        country: optional(&mut body, "country", short_text)?,
        groups: given(&mut body, "groups", |body, name| Ok(body.texts(name, limits::LIST, limits::NAME)?.into_iter().map(Text::from).collect()))?,
        standing: body.word_or_none("standing", Standing::WHAT, Standing::parse)?,
        standing_rule: body.flag_or_none("standing_rule")?,
        acts_for: given(&mut body, "acts_for", organisation_ids)?,
        agreement: optional(&mut body, "agreement", agreement)?,
        licence: optional(&mut body, "licence", |body, name| body.word_or_none(name, Redistribution::WHAT, Redistribution::parse))?,
        default_tlp: body.word_or_none("default_tlp", Tlp::WHAT, Tlp::parse)?,
        default_pap: body.word_or_none("default_pap", Pap::WHAT, Pap::parse)?,
        named: body.flag_or_none("named")?,
        quota_per_day: optional(&mut body, "quota_per_day", |body, name| body.number_or_none(name, i64::MAX as u64))?,
    };
    body.finish()?;
    Ok(patch)
}

/// A field that `null` clears.
fn optional<T>(body: &mut Fields, name: &str, read: impl FnOnce(&mut Fields, &str) -> Result<Option<T>, Problem>) -> Result<Patch<T>, Problem> {
    if !body.has(name) {
        return Ok(Patch::Keep);
    }
    Ok(read(body, name)?.map_or(Patch::Clear, Patch::Set))
}

/// A list that is replaced where it is there.
fn given<T>(body: &mut Fields, name: &str, read: impl FnOnce(&mut Fields, &str) -> Result<T, Problem>) -> Result<Option<T>, Problem> {
    body.has(name).then(|| read(body, name)).transpose()
}

fn short_text(body: &mut Fields, name: &str) -> Result<Option<Text>, Problem> {
    Ok(body.text_or_none(name, limits::NAME)?.map(Text::from))
}

fn organisation_ids(body: &mut Fields, name: &str) -> Result<Vec<OrgId>, Problem> {
    let texts = body.texts(name, limits::LIST, limits::NAME)?;
    texts.iter().map(|text| text.parse::<OrgId>().map_err(|error| body.wrong(name, &error.to_string()))).collect()
}

fn agreement(body: &mut Fields, name: &str) -> Result<Option<Agreement>, Problem> {
    let Some(mut inner) = body.object(name)? else { return Ok(None) };
    let agreement = agreements::read(&mut inner)?;
    inner.finish()?;
    Ok(Some(agreement))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn patch(body: Value) -> Result<OrganisationPatch, Problem> {
        organisation_patch(Fields::new(body).unwrap())
    }

    #[test]
    fn an_absent_field_is_kept_and_null_clears_it() {
        let patch = patch(json!({ "sector": null, "quota_per_day": 5 })).unwrap();
        assert_eq!((patch.sector, patch.country, patch.quota_per_day), (Patch::Clear, Patch::Keep, Patch::Set(5)));
        assert_eq!(patch.groups, None);
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        assert!(patch(json!({ "sektor": "energy" })).is_err());
        assert!(new_organisation(Fields::new(json!({ "name": "A", "kind": "company", "country_code": "KR" })).unwrap()).is_err());
    }

    #[test]
    fn an_agreement_is_read_strictly() {
        let patch_with = patch(json!({ "agreement": { "max_tlp": "amber", "expires": "2027-01-01" } })).unwrap();
        assert!(matches!(patch_with.agreement, Patch::Set(agreement) if agreement.max_tlp == Tlp::Amber && agreement.expires.is_some()));
        assert!(patch(json!({ "agreement": {} })).is_err());
    }
}
