//! What members asked to be told of: by inbox, mail or webhook.

use super::events::filter_fields;
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
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use hub::delivery::{About, Language, NewChannel, NewSubscription, SubscriptionPatch, SubscriptionView};
use model::ids::SubscriptionId;
use model::{Category, Filter};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `GET /api/v1/subscriptions`
pub async fn list(State(state): State<AppState>, Caller(actor): Caller, params: Params) -> Reply {
    let (limit, cursor) = (params.limit()?, params.cursor()?);
    let (subscriptions, cursor) = state.hub.subscriptions(&actor, limit, cursor.as_deref()).await?;
    reply::ok(&Page { subscriptions, cursor })
}

/// `POST /api/v1/subscriptions`
pub async fn add(State(state): State<AppState>, Caller(actor): Caller, payload: Payload) -> Reply {
    let new = new_subscription(Fields::new(payload.value()?)?)?;
    let (subscription, secret) = act(async move { state.hub.add_subscription(&actor, new).await }).await?;
    reply::created(&Given { subscription, secret })
}

/// `GET /api/v1/subscriptions/{subscription}`
pub async fn show(State(state): State<AppState>, Caller(actor): Caller, At(subscription): At<String>) -> Reply {
    let subscription = id::<SubscriptionId>(&subscription)?;
    reply::ok(&state.hub.subscription(&actor, subscription).await?)
}

/// `PATCH /api/v1/subscriptions/{subscription}`
pub async fn change(State(state): State<AppState>, Caller(actor): Caller, At(subscription): At<String>, payload: Payload) -> Reply {
    let subscription = id::<SubscriptionId>(&subscription)?;
    let mut body = Fields::new(payload.value()?)?;
    let version = body.number_or_none("version", u64::from(u32::MAX))?.ok_or_else(|| body.missing("version"))?;
    let patch = SubscriptionPatch {
        name: body.text_or_none("name", limits::NAME)?,
        filter: body.object("filter")?.map(filter_fields).transpose()?,
        channel: body.object("channel")?.map(channel).transpose()?,
        rhythm: body.take("rhythm"),
        categories: body.take("categories").map(|value| categories(&body, value)).transpose()?,
        language: body.word_or_none("language", "language", Language::parse)?,
    };
    body.finish()?;
    let (subscription, secret) = act(async move { state.hub.change_subscription(&actor, subscription, version, patch).await }).await?;
    reply::ok(&Given { subscription, secret })
}

/// `DELETE /api/v1/subscriptions/{subscription}`
pub async fn remove(State(state): State<AppState>, Caller(actor): Caller, At(subscription): At<String>) -> Reply {
    let subscription = id::<SubscriptionId>(&subscription)?;
    act(async move { state.hub.remove_subscription(&actor, subscription).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/v1/subscriptions/{subscription}/pause`
pub async fn pause(State(state): State<AppState>, Caller(actor): Caller, At(subscription): At<String>) -> Reply {
    let subscription = id::<SubscriptionId>(&subscription)?;
    reply::ok(&act(async move { state.hub.pause_subscription(&actor, subscription).await }).await?)
}

/// `POST /api/v1/subscriptions/{subscription}/resume`
pub async fn resume(State(state): State<AppState>, Caller(actor): Caller, At(subscription): At<String>) -> Reply {
    let subscription = id::<SubscriptionId>(&subscription)?;
    reply::ok(&act(async move { state.hub.resume_subscription(&actor, subscription).await }).await?)
}

/// `POST /api/v1/subscriptions/{subscription}/rotate-secret`
pub async fn rotate_secret(State(state): State<AppState>, Caller(actor): Caller, At(subscription): At<String>) -> Reply {
    let subscription = id::<SubscriptionId>(&subscription)?;
    let (subscription, secret) = act(async move { state.hub.rotate_subscription_secret(&actor, subscription).await }).await?;
    reply::ok(&Given { subscription, secret })
}

/// `POST /api/v1/subscriptions/{subscription}/test`
pub async fn test(State(state): State<AppState>, Caller(actor): Caller, At(subscription): At<String>) -> Reply {
    let subscription = id::<SubscriptionId>(&subscription)?;
    let message = act(async move { state.hub.test_subscription(&actor, subscription).await }).await?;
    Ok(reply::json(StatusCode::ACCEPTED, reply::encode(&json!({ "message": message }))?))
}

/// `POST /api/v1/subscriptions/{subscription}/confirm`
pub async fn confirm(State(state): State<AppState>, Caller(actor): Caller, At(subscription): At<String>, payload: Payload) -> Reply {
    let subscription = id::<SubscriptionId>(&subscription)?;
    let mut body = Fields::new(payload.value_or_empty()?)?;
    let code = body.text_or_none("code", limits::NAME)?;
    body.finish()?;
    reply::ok(&act(async move { state.hub.confirm_subscription(&actor, subscription, code.as_deref()).await }).await?)
}

#[derive(Serialize)]
struct Page {
    subscriptions: Vec<SubscriptionView>,
    cursor: Option<String>,
}

/// A subscription, with a webhook's secret where it is given.
#[derive(Serialize)]
struct Given {
    #[serde(flatten)]
    subscription: SubscriptionView,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

fn new_subscription(mut body: Fields) -> Result<NewSubscription, Problem> {
    let new = NewSubscription {
        name: body.text("name", limits::NAME)?,
        about: body.word("about", "subject: events or findings", About::parse)?,
        filter: body.object("filter")?.map_or_else(|| Ok(Filter::default()), filter_fields)?,
        channel: channel(body.object("channel")?.ok_or_else(|| body.missing("channel"))?)?,
        rhythm: body.take("rhythm"),
        categories: body.take("categories").map_or_else(|| Ok(BTreeMap::new()), |value| categories(&body, value))?,
        language: body.word_or_none("language", "language: ko or en", Language::parse)?.unwrap_or(Language::Ko),
    };
    body.finish()?;
    Ok(new)
}

/// Exactly one of inbox, mail and webhook.
fn channel(mut fields: Fields) -> Result<NewChannel, Problem> {
    let (inbox, mail, webhook) = (fields.object("inbox")?, fields.object("mail")?, fields.object("webhook")?);
    let channel = match (inbox, mail, webhook) {
        (Some(inbox), None, None) => {
            inbox.finish()?;
            NewChannel::Inbox
        }
        (None, Some(mut mail), None) => {
            let channel = NewChannel::Mail { address: mail.text("address", limits::NAME)?, openpgp: armoured(&mut mail)? };
            mail.finish()?;
            channel
        }
        (None, None, Some(mut webhook)) => {
            let channel = NewChannel::Webhook { url: webhook.text("url", limits::VALUE)? };
            webhook.finish()?;
            channel
        }
        (_, _, _) => return Err(Problem::field("/channel", "exactly one of inbox, mail and webhook is taken")),
    };
    fields.finish()?;
    Ok(channel)
}

/// A public key; its lines may end as they do on any system.
fn armoured(mail: &mut Fields) -> Result<Option<String>, Problem> {
    match mail.take("openpgp") {
        None => Ok(None),
        Some(Value::String(key)) if key.len() <= hub::delivery::openpgp::MAX_ARMOURED => Ok(Some(key)),
        Some(Value::String(_)) => Err(mail.wrong("openpgp", &format!("must be at most {} bytes long", hub::delivery::openpgp::MAX_ARMOURED))),
        Some(_) => Err(mail.wrong("openpgp", "must be an armoured public key")),
    }
}

/// Rhythms by category; what a rhythm is the hub says.
fn categories(body: &Fields, value: Value) -> Result<BTreeMap<Category, Value>, Problem> {
    let Value::Object(map) = value else { return Err(body.wrong("categories", "must be an object")) };
    let one = |(word, rhythm): (String, Value)| match Category::parse(&word) {
        Some(category) => Ok((category, rhythm)),
        None => Err(body.wrong("categories", "unknown category")),
    };
    map.into_iter().map(one).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn new(body: Value) -> Result<NewSubscription, Problem> {
        new_subscription(Fields::new(body).unwrap())
    }

    #[test]
    fn exactly_one_channel_is_taken() {
        let with = |channel: Value| new(json!({ "name": "a", "about": "events", "channel": channel }));
        assert_eq!(with(json!({ "inbox": {} })).unwrap().channel, NewChannel::Inbox);
        assert!(matches!(with(json!({ "webhook": { "url": "https://a.kr/" } })).unwrap().channel, NewChannel::Webhook { .. }));
        assert!(matches!(with(json!({ "mail": { "address": "a@b.kr" } })).unwrap().channel, NewChannel::Mail { openpgp: None, .. }));
        for wrong in [json!({}), json!({ "inbox": {}, "mail": { "address": "a@b.kr" } }), json!({ "inbox": { "x": 1 } }), json!({ "fax": {} }), json!(1)] {
            assert!(with(wrong).is_err());
        }
    }

    #[test]
    fn a_filter_is_the_one_of_a_search_and_may_be_empty() {
        let with = |filter: Value| new(json!({ "name": "a", "about": "events", "channel": { "inbox": {} }, "filter": filter }));
        assert_eq!(with(json!({ "category": "phishing" })).unwrap().filter.categories, [Category::Phishing]);
        assert!(with(json!({})).unwrap().filter.is_empty());
        assert!(with(json!({ "categroy": "phishing" })).is_err());
    }

    #[test]
    fn categories_are_known_words() {
        let with = |categories: Value| new(json!({ "name": "a", "about": "findings", "channel": { "inbox": {} }, "categories": categories }));
        assert_eq!(with(json!({ "infected-system": "at-once" })).unwrap().categories.len(), 1);
        assert!(with(json!({ "nothing": "at-once" })).is_err() && with(json!([])).is_err());
    }
}
