//! `subscribe`: what to be told of.
//!
//! Not here: who may do it and what is delivered (the hub decides), what came (`super::inbox`).

use super::lookup::plain;
use super::members::{list, pages};
use super::{Answer, Api, parse, query};
use crate::cli::{AddArguments, Connection, FilterArguments, MessageLanguage, OneArguments, Subject, SubscribeCommand};
use crate::{Exit, output};
use anyhow::{Context, anyhow};
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
        SubscribeCommand::Show(one) => tell(&Api::new(&one.connection)?.get(&path(&one.id, ""), &[])?, one.json)?,
        SubscribeCommand::Pause(one) => tell(&post(one, "/pause")?, one.json)?,
        SubscribeCommand::Resume(one) => tell(&post(one, "/resume")?, one.json)?,
        SubscribeCommand::Remove(one) => {
            let answer = Api::new(&one.connection)?.delete(&path(&one.id, ""))?;
            if !(200..300).contains(&answer.status) {
                return Err(answer.problem());
            }
            output::note(&format!("{} is removed", one.id));
        }
        SubscribeCommand::Test(one) => {
            let answer = post(one, "/test")?;
            alone(&answer, "message", one.json)?;
        }
        SubscribeCommand::RotateSecret(one) => alone(&post(one, "/rotate-secret")?, "secret", one.json)?,
        SubscribeCommand::Confirm { id, code, json, connection } => {
            let body = code.as_ref().map_or_else(|| json!({}), |code| json!({ "code": code }));
            let answer = Api::new(connection)?.send_json(Method::POST, &path(id, "/confirm"), &body)?;
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
    let answer = api.send_json(Method::POST, SUBSCRIPTIONS, &body(arguments)?)?;
    if arguments.json {
        output::line(answer.raw()?.get())?;
        return Ok(());
    }
    let given = answer.json()?;
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

fn path(id: &str, rest: &str) -> String {
    let mut path = format!("{SUBSCRIPTIONS}/");
    query::encode(id, &mut path);
    path + rest
}

fn post(one: &OneArguments, rest: &str) -> anyhow::Result<Answer> {
    let connection: &Connection = &one.connection;
    Api::new(connection)?.send_json(Method::POST, &path(&one.id, rest), &json!({}))
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
    fn there_is_one_channel() {
        assert!(asked("bongsu subscribe add x").is_err());
        assert!(asked("bongsu subscribe add x --inbox --mail a@b.kr").is_err());
        assert!(asked("bongsu subscribe add x --inbox --openpgp key.asc").is_err());
    }
}
