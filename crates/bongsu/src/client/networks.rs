//! `network`: what belongs to an organisation, registered so that it is told of what is wrong there.
//!
//! Flow: `add` → the hub's authority or coordinator approves, and the organisation shows that it is its own (`check`, or `prove` by the coordinator) →
//! it is in force. After each step it is said what is left to do, in words for people who have never seen a DNS record.
//! Invariant: of `add` the id alone goes to standard output; what is left to do goes to standard error.
//! Not here: who may do it, what may be registered (the hub decides).

use super::lookup::plain;
use super::members::{list, organisation, organisations_named, own, pages, resolve};
use super::{Answer, Api, parse, query};
use crate::cli::{NetworkArguments, NetworkCommand, NetworkKind};
use crate::{Exit, output};
use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::io::Write;
use std::net::IpAddr;
use ureq::http::Method;

/// What is shown of one registration: field and title.
const FIELDS: [(&str, &str); 13] = [
    ("id", "id"),
    ("organisation", "organisation"),
    ("kind", "kind"),
    ("value", "value"),
    ("state", "state"),
    ("proof", "proof"),
    ("proof_method", "proven by"),
    ("proven", "proven at"),
    ("protected", "protected"),
    ("conflict", "conflict"),
    ("reason", "reason"),
    ("created", "registered"),
    ("updated", "changed"),
];

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
                to_do(&added).iter().for_each(|line| output::note(line));
            }
        }
        NetworkCommand::List { org, all, state, json, connection } => {
            let api = Api::new(connection)?;
            if *all {
                every(&api, state, *json)?;
            } else {
                let rows = networks(&api, &whose(&api, org.as_deref())?)?;
                let rows = shown(rows, state)?;
                table(&rows, None, *json)?;
            }
        }
        NetworkCommand::Show(network) => {
            let api = Api::new(&network.connection)?;
            let (_, found) = find(&api, network)?;
            if network.json {
                output::line(found.get())?;
            } else {
                let found = parse(&found)?;
                tell(&found)?;
                output::line("")?;
                for line in to_do(&found) {
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
            done(&answer, network.json)?;
        }
    }
    Ok(Exit::Done)
}

/// The word that a value of ours has on the wire, which is the one of the command line.
fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|word| word.get_name().to_owned()).unwrap_or_default()
}

/// What a value looks like; the hub says where it is not that.
fn kind_of(value: &str) -> NetworkKind {
    let value = value.trim();
    let number = value.get(..2).filter(|start| start.eq_ignore_ascii_case("as")).and_then(|_| value.get(2..)).unwrap_or(value);
    let address = value.split('/').next().unwrap_or(value);
    if value.contains("://") {
        NetworkKind::Url
    } else if address.parse::<IpAddr>().is_ok() {
        NetworkKind::Cidr
    } else if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        NetworkKind::Asn
    } else {
        NetworkKind::Domain
    }
}

/// The organisation that is named, or the key's own.
fn whose(api: &Api, named: Option<&str>) -> anyhow::Result<String> {
    named.map_or_else(|| own(api), |named| resolve(api, named))
}

fn networks(api: &Api, whose: &str) -> anyhow::Result<Vec<Box<RawValue>>> {
    pages(api, &format!("{}/networks", organisation(whose)), "networks")
}

/// A registration, with whose it is.
fn find(api: &Api, wanted: &NetworkArguments) -> anyhow::Result<(String, Box<RawValue>)> {
    let among = |whose: String| -> anyhow::Result<Option<(String, Box<RawValue>)>> {
        for row in networks(api, &whose)? {
            if parse(&row)?.get("id").and_then(Value::as_str) == Some(wanted.id.as_str()) {
                return Ok(Some((whose, row)));
            }
        }
        Ok(None)
    };
    let first = whose(api, wanted.org.as_deref())?;
    if let Some(found) = among(first.clone())? {
        return Ok(found);
    }
    if wanted.org.is_none() {
        for (id, _) in organisations_named(api)? {
            if id != first
                && let Some(found) = among(id)?
            {
                return Ok(found);
            }
        }
    }
    bail!("{}: no registration that is pending or approved and that you may know; `bongsu network list` has them", wanted.id)
}

/// The path of a registration. Where its organisation is named nothing is looked up.
fn place(api: &Api, network: &NetworkArguments) -> anyhow::Result<String> {
    let whose = match &network.org {
        Some(named) => resolve(api, named)?,
        None => find(api, network)?.0,
    };
    let mut path = format!("{}/networks/", organisation(&whose));
    query::encode(&network.id, &mut path);
    Ok(path)
}

fn step(network: &NetworkArguments, step: &str, reason: Option<&str>) -> anyhow::Result<()> {
    let api = Api::new(&network.connection)?;
    let body = json!({ "step": step, "reason": reason });
    let answer = api.send_json(Method::POST, &format!("{}/steps", place(&api, network)?), &body)?;
    done(&answer, network.json)
}

/// Says how a registration is now, and what is left to do.
fn done(answer: &Answer, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(output::line(answer.raw()?.get())?);
    }
    let network = answer.json()?;
    output::line(&in_short(&network))?;
    to_do(&network).iter().for_each(|line| output::note(line));
    Ok(())
}

/// Has the hub look into DNS, and says what it found.
fn check(network: &NetworkArguments) -> anyhow::Result<Exit> {
    let api = Api::new(&network.connection)?;
    let answer = api.send(Method::POST, &format!("{}/proof/check", place(&api, network)?), &[], &[], &[])?;
    let checked = answer.json()?;
    let proven = checked.get("proof").and_then(Value::as_str) == Some("proven");
    if network.json {
        output::line(answer.raw()?.get())?;
    } else {
        output::line(&in_short(&checked))?;
        if !proven {
            output::note(&found(&checked));
        }
        to_do(&checked).iter().for_each(|line| output::note(line));
    }
    Ok(if proven { Exit::Done } else { Exit::Failed })
}

/// What the hub's last look at a record found.
fn found(network: &Value) -> String {
    let at = |pointer: &str| plain(network.pointer(pointer));
    let record = at("/challenge/record");
    match at("/challenge/found").as_str() {
        "absent" => format!("there is no TXT record at {record} yet; where it was just added, DNS may take up to a day to show it everywhere"),
        "other" => format!("there is a TXT record at {record}, but with another text; compare it with the one below, letter by letter"),
        "unreachable" => format!("the hub could not ask DNS for {record}; try again in a few minutes, and tell the coordination centre where it stays so"),
        "found" => format!("the record at {record} is there"),
        _ => "the hub has not looked yet".to_owned(),
    }
}

/// A registration in one line.
fn in_short(network: &Value) -> String {
    let field = |name: &str| plain(network.get(name));
    format!("{} ({} {}) is {} and {}", field("id"), field("kind"), field("value"), field("state"), field("proof"))
}

/// Whether its owner is told of what comes in.
fn in_force(network: &Value) -> bool {
    network.get("state").and_then(Value::as_str) == Some("approved") && network.get("proof").and_then(Value::as_str) == Some("proven")
}

/// What is left to do until a registration is in force, line by line; what follows where it is.
fn to_do(network: &Value) -> Vec<String> {
    let field = |name: &str| plain(network.get(name));
    let (id, value, reason) = (field("id"), field("value"), field("reason"));
    match field("state").as_str() {
        "rejected" => {
            return vec![
                format!("{value} was rejected: {reason}"),
                "It counts for nothing. Once the reason is cleared up it can be registered anew.".to_owned(),
            ];
        }
        "withdrawn" => return vec![format!("{value} is no longer registered; nothing that comes from now on is told of it.")],
        _ if in_force(network) => {
            return vec![
                format!("{value} is in force: what is reported about it from now on is told to its organisation. To see it:"),
                "  bongsu findings".to_owned(),
                "To be told by mail:".to_owned(),
                "  bongsu subscribe add own --about findings --mail ADDRESS".to_owned(),
            ];
        }
        _ => {}
    }
    let mut lines = vec![format!("{value} is registered but not in force yet; until then nothing is told of it. What is left:")];
    if field("state") == "pending" {
        lines.push("- Approval: the organisation's authority or the coordination centre looks at it. The organisation has nothing to do for that.".to_owned());
    }
    if field("proof") == "claimed" {
        lines.extend(proof(network, &id, &value));
    }
    lines
}

/// How to show that it is the organisation's own.
fn proof(network: &Value, id: &str, value: &str) -> Vec<String> {
    let Some(token) = network.pointer("/challenge/token").and_then(Value::as_str) else {
        return vec!["- Proof that it is the organisation's own: its administrator sees how.".to_owned()];
    };
    let Some(record) = network.pointer("/challenge/record").and_then(Value::as_str) else {
        return vec![
            "- Proof that it is the organisation's own. Numbers have no name in DNS, so a mail shows it: the coordination centre writes to the".to_owned(),
            "  abuse address under which the registry (whois) has it, and a reply from there quotes this text:".to_owned(),
            format!("    {token}"),
            format!("  Where {value} came from an internet provider, that address is the provider's: send the provider the text and ask it to reply, or"),
            "  ask the coordination centre, which can also confirm it by other papers.".to_owned(),
        ];
    };
    vec![
        "- Proof that it is the organisation's own. Ask whoever looks after the domain (the web hoster, the shop where the name was bought, or".to_owned(),
        "  who set up the mail) to add one record to its DNS. Sites and mail go on as before:".to_owned(),
        format!("    name   {record}"),
        "    type   TXT".to_owned(),
        format!("    value  {token}"),
        "  Many control panels put the domain behind the name by themselves: leave it off there. Minutes to a day later, have the hub look:".to_owned(),
        format!("    bongsu network check {id}"),
    ]
}

fn tell(network: &Value) -> anyhow::Result<()> {
    for (field, title) in FIELDS {
        let value = plain(network.get(field));
        if !value.is_empty() {
            output::line(&format!("{title:<14} {}", output::shorten(&value, usize::MAX)))?;
        }
    }
    output::line(&format!("{:<14} {}", "in force", in_force(network)))?;
    if let Some(checked) = network.pointer("/challenge/checked").filter(|checked| !checked.is_null()) {
        output::line(&format!("{:<14} {}: {}", "last look", plain(Some(checked)), found(network)))?;
    }
    Ok(())
}

/// Those of the wanted states.
fn shown(rows: Vec<Box<RawValue>>, states: &[String]) -> anyhow::Result<Vec<Box<RawValue>>> {
    if states.is_empty() {
        return Ok(rows);
    }
    let mut kept = Vec::new();
    for row in rows {
        let state = plain(parse(&row)?.get("state"));
        if states.contains(&state) {
            kept.push(row);
        }
    }
    Ok(kept)
}

/// The registrations of every organisation that the key may know.
fn every(api: &Api, states: &[String], json: bool) -> anyhow::Result<()> {
    let (mut rows, mut owners) = (Vec::new(), Vec::new());
    for (id, name) in organisations_named(api)? {
        let own = shown(networks(api, &id)?, states)?;
        owners.extend(own.iter().map(|_| name.clone()));
        rows.extend(own);
    }
    table(&rows, Some(&owners), json)
}

fn table(rows: &[Box<RawValue>], owners: Option<&[String]>, json: bool) -> anyhow::Result<()> {
    if json || rows.is_empty() {
        return list(rows, &[], "registered networks", json);
    }
    let mut cells = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        let row = parse(row)?;
        let field = |name: &str| plain(row.get(name));
        let mut line = vec![field("id"), field("kind"), field("value"), field("state"), field("proof"), in_force(&row).to_string(), field("conflict")];
        line.extend(owners.and_then(|owners| owners.get(place)).cloned());
        cells.push(line);
    }
    let mut titles = vec!["id", "kind", "value", "state", "proof", "in force", "conflict"];
    if owners.is_some() {
        titles.push("organisation");
    }
    let mut out = output::standard();
    output::table(&mut out, &titles, &cells)?;
    Ok(out.flush()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn network(state: &str, proof: &str, record: Option<&str>) -> Value {
        json!({ "id": "net_1", "kind": "domain", "value": "bank.example", "state": state, "proof": proof, "reason": "not yours",
            "challenge": { "token": "bongsu-proof=5d41", "record": record, "checked": null, "found": null } })
    }

    fn said(network: &Value) -> String {
        to_do(network).join("\n")
    }

    #[test]
    fn a_value_tells_what_it_is() {
        for (value, kind) in [
            ("192.0.2.0/24", NetworkKind::Cidr),
            ("2001:db8::1", NetworkKind::Cidr),
            ("AS4766", NetworkKind::Asn),
            ("as4766", NetworkKind::Asn),
            ("4766", NetworkKind::Asn),
            ("https://bank.example/shop", NetworkKind::Url),
            ("bank.example", NetworkKind::Domain),
            ("as.example", NetworkKind::Domain),
            ("은행.kr", NetworkKind::Domain),
            ("as", NetworkKind::Domain),
        ] {
            assert_eq!(kind_of(value), kind, "{value}");
        }
        assert_eq!(word(&NetworkKind::Cidr), "cidr");
    }

    #[test]
    fn a_company_is_told_what_to_put_where_and_what_to_run_then() {
        let words = said(&network("pending", "claimed", Some("_bongsu-proof.bank.example")));
        for part in ["name   _bongsu-proof.bank.example", "type   TXT", "value  bongsu-proof=5d41", "bongsu network check net_1", "Approval"] {
            assert!(words.contains(part), "{part}: {words}");
        }
        let words = said(&network("approved", "claimed", None));
        assert!(words.contains("bongsu-proof=5d41") && words.contains("abuse") && !words.contains("TXT") && !words.contains("Approval"), "{words}");
        let mut hidden = network("pending", "claimed", None);
        hidden.as_object_mut().unwrap().remove("challenge");
        assert!(said(&hidden).contains("administrator"));
    }

    #[test]
    fn what_is_in_force_or_over_asks_for_nothing_more() {
        assert!(said(&network("approved", "proven", None)).contains("bongsu findings"));
        assert!(said(&network("pending", "proven", None)).contains("Approval") && !said(&network("pending", "proven", None)).contains("Proof"));
        assert!(said(&network("rejected", "claimed", None)).contains("not yours"));
        assert!(!said(&network("withdrawn", "proven", None)).contains("findings"));
    }

    #[test]
    fn what_a_look_found_is_said_in_words() {
        let mut looked = network("approved", "claimed", Some("_bongsu-proof.bank.example"));
        for (found_there, words) in [("absent", "no TXT record at _bongsu-proof.bank.example"), ("other", "another text"), ("unreachable", "could not ask")] {
            looked["challenge"]["found"] = json!(found_there);
            assert!(found(&looked).contains(words), "{found_there}");
        }
    }
}
