//! `subscribe`: what to be told of.
//!
//! Not here: who may do it and what is delivered (the hub decides), what came (`super::inbox`).

use super::lookup::plain;
use super::members::{list, pages};
use super::{Answer, Api, parse, query};
use crate::cli::{AddArguments, Connection, FilterArguments, MessageLanguage, OneArguments, Subject, SubscribeCommand};
use crate::{Exit, output};
use anyhow::{Context, anyhow, bail};
use hub::delivery::rhythm::ClockTime;
use model::ids::SubscriptionId;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::io::Write;
use ureq::http::Method;

const SUBSCRIPTIONS: &str = "/api/v1/subscriptions";

/// Runs `subscribe`.
pub fn run(command: &SubscribeCommand) -> anyhow::Result<Exit> {
    match command {
        SubscribeCommand::Add(arguments) => add(arguments)?,
        SubscribeCommand::List { json, connection } => {
            let rows = pages(&Api::new(connection)?, SUBSCRIPTIONS, "subscriptions")?;
            if *json || rows.is_empty() {
                list(&rows, &[], "subscriptions", *json)?;
            } else {
                table(&rows)?;
            }
        }
        SubscribeCommand::Show(one) => {
            let api = Api::new(&one.connection)?;
            tell(&api.get(&path(&resolve(&api, &one.id)?, ""), &[])?, one.json)?;
        }
        SubscribeCommand::Pause(one) => step(&post(one, "/pause")?, one.json)?,
        SubscribeCommand::Resume(one) => step(&post(one, "/resume")?, one.json)?,
        SubscribeCommand::Remove(one) => {
            let api = Api::new(&one.connection)?;
            let answer = api.delete(&path(&resolve(&api, &one.id)?, ""))?;
            if !(200..300).contains(&answer.status) {
                return Err(answer.problem());
            }
            output::note(&format!("{} is removed", one.id));
        }
        SubscribeCommand::Test(one) => {
            let answer = post(one, "/test")?;
            alone(&answer, "message", one.json)?;
            output::note(&format!("a test message is on its way by {0}; `bongsu subscribe show {0}` tells how sending goes", one.id));
        }
        SubscribeCommand::RotateSecret(one) => alone(&post(one, "/rotate-secret")?, "secret", one.json)?,
        SubscribeCommand::Confirm { id, code, json, connection } => {
            let body = code.as_ref().map_or_else(|| json!({}), |code| json!({ "code": code }));
            let api = Api::new(connection)?;
            let answer = api.send_json(Method::POST, &path(&resolve(&api, id)?, "/confirm"), &body)?;
            if code.is_none() && (200..300).contains(&answer.status) {
                output::note("another code is on its way");
            }
            tell(&answer, *json)?;
        }
    }
    Ok(Exit::Done)
}

fn add(arguments: &AddArguments) -> anyhow::Result<()> {
    let api = Api::new(&arguments.connection)?;
    let body = body(arguments)?;
    // What cannot be listed is not compared: the addition does not hang on it.
    let before = listed(&api).unwrap_or_default();
    let answer = api.send_json(Method::POST, SUBSCRIPTIONS, &body)?;
    let given = answer.json()?;
    if let Some(text) = twins(&before, &arguments.name, &plain(given.get("organisation"))) {
        output::note(&text);
    }
    if arguments.json {
        output::line(answer.raw()?.get())?;
        return Ok(());
    }
    let text = |field: &str| given.get(field).and_then(Value::as_str);
    output::line(text("id").context("the hub's answer holds no id")?)?;
    if let Some(secret) = text("secret") {
        output::note(&format!("the receiver's secret, shown once: {secret}"));
    }
    if text("state") == Some("unconfirmed") {
        output::note("a code was sent to the address; give it back with: bongsu subscribe confirm ID CODE");
    }
    Ok(())
}

fn body(arguments: &AddArguments) -> anyhow::Result<Value> {
    let mut categories = Map::new();
    for pair in &arguments.category_at {
        let (category, when) = pair.split_once('=').ok_or_else(|| anyhow!("--category-at {pair}: expected CATEGORY=at-once or CATEGORY=HH:MM,…"))?;
        let times: Vec<&str> = when.split(',').collect();
        if let Some(wrong) = times.iter().find(|time| when != "at-once" && time.parse::<ClockTime>().is_err()) {
            bail!("--category-at {pair}: {wrong} is no time of day; expected HH:MM, such as 09:00, from 00:00 to 23:59, or at-once");
        }
        categories.insert(
            category.to_owned(),
            if when == "at-once" { json!("at-once") } else { json!({ "times": times, "business_days": arguments.business_days }) },
        );
    }
    let rhythm = if arguments.at.is_empty() { json!("at-once") } else { json!({ "times": arguments.at, "business_days": arguments.business_days }) };
    Ok(json!({
        "name": arguments.name,
        "about": match arguments.about {
            Subject::Events => "events",
            Subject::Findings => "findings",
        },
        "channel": channel(arguments)?,
        "filter": filter(&arguments.filter),
        "rhythm": rhythm,
        "categories": if categories.is_empty() { Value::Null } else { Value::Object(categories) },
        "language": match arguments.language {
            MessageLanguage::Ko => "ko",
            MessageLanguage::En => "en",
        },
    }))
}

fn channel(arguments: &AddArguments) -> anyhow::Result<Value> {
    if let Some(address) = &arguments.to.mail {
        let key = match &arguments.openpgp {
            Some(path) => Some(std::fs::read_to_string(path).with_context(|| format!("--openpgp {}", path.display()))?),
            None => None,
        };
        return Ok(json!({ "mail": { "address": address, "openpgp": key } }));
    }
    Ok(match &arguments.to.webhook {
        Some(url) => json!({ "webhook": { "url": url } }),
        None => json!({ "inbox": {} }),
    })
}

/// The filter as a body has it.
fn filter(filter: &FilterArguments) -> Value {
    let list = |words: &[String]| if words.is_empty() { Value::Null } else { json!(words) };
    json!({
        "since": filter.since,
        "until": filter.until,
        "category": list(&filter.category),
        "type": list(&filter.kind),
        "sector": list(&filter.sector),
        "within": filter.within,
        "domain": filter.domain,
        "malware": filter.malware,
    })
}

/// One subscription of a list, as far as its name is looked for.
#[derive(Debug)]
struct Named {
    id: String,
    name: String,
    organisation: String,
}

/// Every subscription that the key may see.
fn listed(api: &Api) -> anyhow::Result<Vec<Named>> {
    let mut all = Vec::new();
    for row in pages(api, SUBSCRIPTIONS, "subscriptions")? {
        let row = parse(&row)?;
        let field = |name: &str| plain(row.get(name));
        all.push(Named { id: field("id"), name: field("name"), organisation: field("organisation") });
    }
    Ok(all)
}

/// What is said where the organisation has a subscription of this name already.
fn twins(all: &[Named], name: &str, organisation: &str) -> Option<String> {
    let same: Vec<&str> = all.iter().filter(|one| one.name == name.trim() && one.organisation == organisation).map(|one| one.id.as_str()).collect();
    (!same.is_empty()).then(|| format!("there was a subscription of the name {name} already: {}; each is served on its own", same.join(", ")))
}

/// The id of a subscription that is given by its id or, where one alone has it, by its name.
fn resolve(api: &Api, given: &str) -> anyhow::Result<String> {
    if given.parse::<SubscriptionId>().is_ok() {
        return Ok(given.to_owned());
    }
    by_name(&listed(api)?, given)
}

/// The id of the only subscription of a name; else an error that names those that have it.
fn by_name(all: &[Named], given: &str) -> anyhow::Result<String> {
    let named: Vec<&str> = all.iter().filter(|one| one.name == given.trim()).map(|one| one.id.as_str()).collect();
    match named.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => bail!("{given} is neither a subscription's id nor the name of one; `bongsu subscribe list` has all"),
        several => bail!("{} subscriptions are named {given}; give one's id: {}", several.len(), several.join(", ")),
    }
}

fn path(id: &str, rest: &str) -> String {
    let mut path = format!("{SUBSCRIPTIONS}/");
    query::encode(id, &mut path);
    path + rest
}

fn post(one: &OneArguments, rest: &str) -> anyhow::Result<Answer> {
    let connection: &Connection = &one.connection;
    let api = Api::new(connection)?;
    api.send_json(Method::POST, &path(&resolve(&api, &one.id)?, rest), &json!({}))
}

/// Says what became of a subscription, or prints everything.
fn step(answer: &Answer, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(output::line(answer.raw()?.get())?);
    }
    output::note(&stepped(&answer.json()?));
    Ok(())
}

/// A subscription's state in a sentence.
fn stepped(subscription: &Value) -> String {
    let field = |name: &str| plain(subscription.get(name));
    let state = field("state");
    let then = match state.as_str() {
        "paused" => "; what matches waits until `bongsu subscribe resume`",
        "active" => "; what waits goes out in its turn",
        "unconfirmed" => "; nothing is sent before the address is confirmed",
        _ => "",
    };
    format!("{} ({}) is {state}{then}", field("name"), field("id"))
}

/// Prints how a subscription is, or everything.
fn tell(answer: &Answer, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(output::line(answer.raw()?.get())?);
    }
    let subscription = answer.json()?;
    for (field, value) in subscription.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) => {
                for (name, value) in inner {
                    output::line(&format!("{:<24} {}", format!("{field}.{name}"), plain(Some(value))))?;
                }
            }
            other => output::line(&format!("{field:<24} {}", plain(Some(other))))?,
        }
    }
    Ok(())
}

/// Prints one field alone, or everything.
fn alone(answer: &Answer, field: &str, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(output::line(answer.raw()?.get())?);
    }
    let given = answer.json()?;
    let value = given.get(field).and_then(Value::as_str).with_context(|| format!("the hub's answer holds no {field}"))?;
    Ok(output::line(value)?)
}

fn table(rows: &[Box<RawValue>]) -> anyhow::Result<()> {
    let mut cells: Vec<Vec<String>> = Vec::with_capacity(rows.len());
    for row in rows {
        let row = parse(row)?;
        let at = |pointer: &str| plain(row.pointer(pointer));
        let (kind, to) =
            row.get("channel").and_then(Value::as_object).and_then(|channel| channel.iter().next()).map_or((String::new(), String::new()), |found| {
                let to = found.1.get("address").or_else(|| found.1.get("url"));
                (found.0.clone(), plain(to))
            });
        cells.push(vec![
            at("/id"),
            at("/about"),
            kind,
            to,
            at("/state"),
            at("/delivery/waiting"),
            at("/delivery/sent"),
            at("/delivery/last_error"),
            at("/name"),
        ]);
    }
    let mut out = output::standard();
    output::table(&mut out, &["id", "about", "channel", "to", "state", "waiting", "sent", "last error", "name"], &cells)?;
    Ok(out.flush()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn asked(line: &str) -> anyhow::Result<Value> {
        match Cli::try_parse_from(line.split(' '))?.command {
            Command::Subscribe(SubscribeCommand::Add(arguments)) => body(&arguments),
            _ => anyhow::bail!("not an addition"),
        }
    }

    #[test]
    fn an_addition_is_sent_as_the_door_takes_it() {
        let body =
            asked("bongsu subscribe add night --webhook https://soc.example/hook --category phishing,c2-server --at 09:00,17:00 --business-days").unwrap();
        assert_eq!(body["channel"], json!({ "webhook": { "url": "https://soc.example/hook" } }));
        assert_eq!(body["rhythm"], json!({ "times": ["09:00", "17:00"], "business_days": true }));
        assert_eq!((&body["filter"]["category"], &body["about"], &body["language"]), (&json!(["phishing", "c2-server"]), &json!("events"), &json!("ko")));
        assert_eq!(asked("bongsu subscribe add all --inbox").unwrap()["rhythm"], "at-once");
        let findings = asked("bongsu subscribe add own --about findings --inbox --category-at infected-system=at-once --category-at spam=08:00").unwrap();
        assert_eq!(findings["categories"], json!({ "infected-system": "at-once", "spam": { "times": ["08:00"], "business_days": false } }));
    }

    #[test]
    fn a_time_that_is_none_is_refused_before_it_is_sent() {
        let error = asked("bongsu subscribe add x --inbox --at 25:00").unwrap_err().to_string();
        assert!(error.contains("--at takes HH:MM"), "{error}");
        let error = asked("bongsu subscribe add x --about findings --inbox --category-at spam=8:00").unwrap_err().to_string();
        assert!(error.contains("8:00 is no time of day"), "{error}");
    }

    #[test]
    fn a_name_that_one_subscription_alone_has_stands_for_its_id() {
        let all = [("sub_1", "night", "org_1"), ("sub_2", "day", "org_1"), ("sub_3", "day", "org_2")];
        let all = all.map(|(id, name, organisation)| Named { id: id.to_owned(), name: name.to_owned(), organisation: organisation.to_owned() });
        assert_eq!(by_name(&all, "night").unwrap(), "sub_1");
        let error = |given: &str| by_name(&all, given).unwrap_err().to_string();
        assert!(error("day").starts_with("2 subscriptions") && error("day").contains("sub_2, sub_3"), "{}", error("day"));
        assert!(error("noon").contains("subscribe list"));
        assert!(twins(&all, "day", "org_2").unwrap().contains(": sub_3;"));
        assert_eq!((twins(&all, "night", "org_2"), twins(&all, "noon", "org_1")), (None, None));
    }

    #[test]
    fn a_step_is_told_in_a_sentence() {
        let said = |state: &str| stepped(&json!({ "id": "sub_1", "name": "night", "state": state }));
        assert_eq!(said("paused"), "night (sub_1) is paused; what matches waits until `bongsu subscribe resume`");
        assert_eq!(said("active"), "night (sub_1) is active; what waits goes out in its turn");
        assert_eq!(said("erased"), "night (sub_1) is erased");
    }

    #[test]
    fn there_is_one_channel() {
        assert!(asked("bongsu subscribe add x").is_err());
        assert!(asked("bongsu subscribe add x --inbox --mail a@b.kr").is_err());
        assert!(asked("bongsu subscribe add x --inbox --openpgp key.asc").is_err());
    }
}
