//! `network`: what belongs to an organisation, registered so that it is told of what is wrong there.
//!
//! Flow: `add` → the hub's authority or coordinator approves, and the organisation shows that it is its own (`check`, or `prove` by the coordinator) →
//! it is in force. After each step it is said what is left to do, in words for people who have never seen a DNS record.
//! Invariant: of `add` the id alone goes to standard output; what is left to do goes to standard error.
//! Not here: which registration is meant (`which`), the words (`words`), lists (`tables`); who may do it, what may be registered (the hub decides).

mod tables;
mod which;
mod words;

use super::lookup::plain;
use super::members::{organisation, own};
use super::{Answer, Api, parse};
use crate::cli::{NetworkArguments, NetworkCommand};
use crate::{Exit, output};
use anyhow::{Context, anyhow};
use serde_json::{Value, json};
use ureq::http::Method;
use which::{find, kind_of, networks, place, whose, word};
use words::{found, in_force, in_short, overlaps, taken_as, to_do};

/// Runs `network`.
pub fn run(command: &NetworkCommand) -> anyhow::Result<Exit> {
    match command {
        NetworkCommand::Add { value, kind, org, protected, reason, json, connection } => {
            let api = Api::new(connection)?;
            let whose = whose(&api, org.as_deref())?;
            let kind = kind.unwrap_or_else(|| kind_of(value));
            let body = json!({ "kind": word(&kind), "value": value, "protected": protected, "reason": reason });
            let answer = api.send_json(Method::POST, &format!("{}/networks", organisation(&whose)), &body)?;
            let added = answer.json()?;
            if *json {
                output::line(answer.raw()?.get())?;
            } else {
                output::line(added.get("id").and_then(Value::as_str).context("the hub's answer holds no id")?)?;
                taken_as(value, &added).iter().for_each(|line| output::note(line));
                left(&api, &added).iter().for_each(|line| output::note(line));
            }
        }
        NetworkCommand::List { org, all, state, json, connection } => {
            let api = Api::new(connection)?;
            if *all {
                tables::every(&api, state, *json)?;
            } else {
                let whose = whose(&api, org.as_deref())?;
                let rows = networks(&api, &whose, state)?;
                tables::table(&rows, None, *json)?;
                if state.is_empty() && !json {
                    tables::rejected(&api, &whose, &rows)?;
                }
            }
        }
        NetworkCommand::Show(network) => {
            let api = Api::new(&network.connection)?;
            let (_, found) = find(&api, network)?;
            if network.json {
                output::line(found.get())?;
            } else {
                let found = parse(&found)?;
                tables::tell(&found)?;
                output::line("")?;
                for line in left(&api, &found) {
                    output::line(&line)?;
                }
            }
        }
        NetworkCommand::Check(network) => return check(network),
        NetworkCommand::Withdraw { network, reason } => step(network, "withdraw", reason.as_deref())?,
        NetworkCommand::Approve { network, reason } => step(network, "approve", reason.as_deref())?,
        NetworkCommand::Reject { network, reason } => step(network, "reject", Some(reason))?,
        NetworkCommand::Prove { network, method, reason } => {
            let api = Api::new(&network.connection)?;
            let answer = api.send_json(Method::POST, &format!("{}/proof", place(&api, network)?), &json!({ "method": word(method), "reason": reason }))?;
            done(&api, &answer, network.json)?;
        }
    }
    Ok(Exit::Done)
}

fn step(network: &NetworkArguments, step: &str, reason: Option<&str>) -> anyhow::Result<()> {
    let api = Api::new(&network.connection)?;
    let body = json!({ "step": step, "reason": reason });
    let place = place(&api, network)?;
    let answer = api.send_json(Method::POST, &format!("{place}/steps"), &body)?;
    if answer.status == 409 {
        return Err(stands(&api, &place, &answer));
    }
    done(&api, &answer, network.json)
}

/// Has the hub look into DNS, and says what it found.
fn check(network: &NetworkArguments) -> anyhow::Result<Exit> {
    let api = Api::new(&network.connection)?;
    let place = place(&api, network)?;
    let answer = api.send(Method::POST, &format!("{place}/proof/check"), &[], &[], &[])?;
    if answer.status == 409 {
        return Err(stands(&api, &place, &answer));
    }
    let checked = answer.json()?;
    let proven = checked.get("proof").and_then(Value::as_str) == Some("proven");
    if network.json {
        output::line(answer.raw()?.get())?;
    } else {
        output::line(&in_short(&checked))?;
        if !proven {
            output::note(&found(&checked));
        }
        left(&api, &checked).iter().for_each(|line| output::note(line));
    }
    Ok(if proven { Exit::Done } else { Exit::Failed })
}

/// Says how a registration is now, and what is left to do.
fn done(api: &Api, answer: &Answer, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(output::line(answer.raw()?.get())?);
    }
    let network = answer.json()?;
    output::line(&in_short(&network))?;
    left(api, &network).iter().for_each(|line| output::note(line));
    Ok(())
}

/// Where a step is not legal: how the registration is, and what is left to do, instead of the names of steps.
fn stands(api: &Api, place: &str, refusal: &Answer) -> anyhow::Error {
    let Ok(network) = api.get(place, &[]).and_then(|answer| answer.json()) else { return refusal.problem() };
    left(api, &network).iter().for_each(|line| output::note(line));
    anyhow!("nothing was changed: {}", in_short(&network))
}

/// What is said below a registration: whom it overlaps, for those who decide, and what is left to do.
fn left(api: &Api, network: &Value) -> Vec<String> {
    let of_caller = in_force(network) && own(api).is_ok_and(|own| own == plain(network.get("organisation")));
    let mut lines = overlaps(network);
    lines.extend(to_do(network, of_caller));
    lines
}
