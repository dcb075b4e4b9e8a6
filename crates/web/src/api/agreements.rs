//! What is agreed with a partner.

use crate::AppState;
use crate::auth::Caller;
use crate::fields::Fields;
use crate::limits;
use crate::params::{At, id};
use crate::payload::Payload;
use crate::problem::Problem;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use model::agreement::{Agreement, Sends};
use model::{Category, OrgId, Text, Tlp};

/// `GET /api/v1/organisations/{id}/agreement`
pub async fn show(State(state): State<AppState>, Caller(actor): Caller, At(partner): At<String>) -> Reply {
    let partner = id::<OrgId>(&partner)?;
    reply::ok(&state.hub.members().agreement(&actor, partner)?)
}

/// `PUT /api/v1/organisations/{id}/agreement`
pub async fn set(State(state): State<AppState>, Caller(actor): Caller, At(partner): At<String>, payload: Payload) -> Reply {
    let partner = id::<OrgId>(&partner)?;
    let mut body = Fields::new(payload.value()?)?;
    let version = version(&mut body)?.ok_or_else(|| body.missing("version"))?;
    let reason = body.text_or_none("reason", limits::REASON)?.unwrap_or_default();
    let agreement = read(&mut body)?;
    body.finish()?;
    reply::ok(&act(async move { state.hub.set_agreement(&actor, partner, version, agreement, &reason).await }).await?)
}

/// `DELETE /api/v1/organisations/{id}/agreement`
pub async fn end(State(state): State<AppState>, Caller(actor): Caller, At(partner): At<String>, payload: Payload) -> Reply {
    let partner = id::<OrgId>(&partner)?;
    let mut body = Fields::new(payload.value_or_empty()?)?;
    // Whether it is there is asked after the caller's rights.
    let version = version(&mut body)?;
    let reason = body.text_or_none("reason", limits::REASON)?.unwrap_or_default();
    body.finish()?;
    reply::ok(&act(async move { state.hub.end_agreement(&actor, partner, version, &reason).await }).await?)
}

fn version(body: &mut Fields) -> Result<Option<u64>, Problem> {
    body.number_or_none("version", u64::from(u32::MAX))
}

/// The fields of an agreement.
pub fn read(body: &mut Fields) -> Result<Agreement, Problem> {
    let max_tlp = body.word("max_tlp", Tlp::WHAT, Tlp::parse)?;
    let agreement = Agreement::up_to(max_tlp);
    Ok(Agreement {
        max_tlp,
        strict: body.flag_or_none("strict")?.unwrap_or(agreement.strict),
        categories: categories(body, "categories")?,
        sectors: body.texts("sectors", limits::LIST, limits::NAME)?.into_iter().map(Text::from).collect(),
        names: body.flag("names")?,
        expires: body.time_or_none("expires")?,
        sends: sends(body)?,
    })
}

fn sends(body: &mut Fields) -> Result<Sends, Problem> {
    let Some(mut inner) = body.object("sends")? else { return Ok(Sends::default()) };
    let sends = Sends { max_tlp: inner.word_or_none("max_tlp", Tlp::WHAT, Tlp::parse)?, categories: categories(&mut inner, "categories")? };
    inner.finish()?;
    Ok(sends)
}

fn categories(body: &mut Fields, name: &str) -> Result<Vec<Category>, Problem> {
    let words = body.texts(name, limits::LIST, limits::NAME)?;
    words.iter().map(|word| Category::parse(word.trim()).ok_or_else(|| body.wrong(name, &format!("unknown {}: {word}", Category::WHAT)))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn agreement(body: Value) -> Result<Agreement, Problem> {
        let mut body = Fields::new(body).unwrap();
        let agreement = read(&mut body)?;
        body.finish().map(|()| agreement)
    }

    #[test]
    fn an_agreement_says_its_marking_and_of_the_rest_what_it_wants() {
        assert_eq!(agreement(json!({ "max_tlp": "amber" })).unwrap(), Agreement::up_to(Tlp::Amber));
        assert!(agreement(json!({ "max_tlp": "amber+strict" })).unwrap().strict);
        let whole = json!({
            "max_tlp": "amber", "strict": true, "categories": ["phishing", "c2-server"], "sectors": ["energy"], "names": true, "expires": "2027-01-01",
            "sends": { "max_tlp": "green", "categories": ["scanner"] },
        });
        let whole = agreement(whole).unwrap();
        assert!(whole.strict && whole.names && whole.expires.is_some());
        assert_eq!(whole.categories, [Category::Phishing, Category::C2Server]);
        assert_eq!(whole.sends, Sends { max_tlp: Some(Tlp::Green), categories: vec![Category::Scanner] });
    }

    #[test]
    fn what_is_unknown_or_misspelt_is_refused() {
        for wrong in [
            json!({}),
            json!({ "max_tlp": "purple" }),
            json!({ "max_tlp": "amber", "categories": ["phising"] }),
            json!({ "max_tlp": "amber", "sends": { "tlp": "green" } }),
            json!({ "max_tlp": "amber", "sector": ["energy"] }),
        ] {
            assert!(agreement(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
