//! `network`: what belongs to an organisation, registered so that it is told of what is wrong there.
//!
//! Flow: `add` → the hub's authority or coordinator approves, and the organisation shows that it is its own (`check`, or `prove` by the coordinator) →
//! it is in force. After each step it is said what is left to do, in words for people who have never seen a DNS record.
//! Invariant: of `add` the id alone goes to standard output; what is left to do goes to standard error.
//! Not here: who may do it, what may be registered (the hub decides).

use super::lookup::plain;
use super::members::{list, organisation, organisations_named, own, resolve};
use super::pages::Pages;
use super::{Answer, Api, parse, query};
use crate::cli::{NetworkArguments, NetworkCommand, NetworkKind};
use crate::{Exit, output};
use anyhow::{Context, anyhow, bail};
use clap::ValueEnum;
use model::ObservableType;
use model::canonical::canonical;
use model::ids::NetworkId;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::io::Write;
use std::net::IpAddr;
use ureq::http::Method;

/// What is shown of one registration: field and title.
const FIELDS: [(&str, &str); 15] = [
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
    ("decided", "decided at"),
    ("decided_by", "decided by"),
    ("created", "registered"),
    ("updated", "changed"),
];

/// Every state, for who looks for one registration.
const STATES: [&str; 4] = ["pending", "approved", "rejected", "withdrawn"];

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
                every(&api, state, *json)?;
            } else {
                let whose = whose(&api, org.as_deref())?;
                let rows = networks(&api, &whose, state)?;
                table(&rows, None, *json)?;
                if state.is_empty() && !json {
                    rejected(&api, &whose, &rows)?;
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
                tell(&found)?;
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

/// The registrations of an organisation in these states; where none is named, those that did not end.
fn networks(api: &Api, whose: &str, states: &[String]) -> anyhow::Result<Vec<Box<RawValue>>> {
    let parameters = if states.is_empty() { Vec::new() } else { vec![("state", states.join(","))] };
    Pages::new(api, &format!("{}/networks", organisation(whose)), "networks", parameters).all()
}

/// The path of a registration.
fn registration(whose: &str, id: &str) -> String {
    let mut path = format!("{}/networks/", organisation(whose));
    query::encode(id, &mut path);
    path
}

fn is_id(text: &str) -> bool {
    text.parse::<NetworkId>().is_ok()
}

/// A registration with whose it is, by its id or by what it registers.
fn find(api: &Api, wanted: &NetworkArguments) -> anyhow::Result<(String, Box<RawValue>)> {
    let first = whose(api, wanted.org.as_deref())?;
    if let Some(found) = among(api, &first, &wanted.id)? {
        return Ok((first, found));
    }
    let mut found: Vec<(String, String, Box<RawValue>)> = Vec::new();
    if wanted.org.is_none() {
        for (id, name) in organisations_named(api)? {
            if id != first
                && let Some(row) = among(api, &id, &wanted.id)?
            {
                found.push((id, name, row));
                // An id is one registration's; a value may be several organisations'.
                if is_id(&wanted.id) {
                    break;
                }
            }
        }
    }
    if found.len() > 1 {
        let mut lines = String::new();
        for (_, name, row) in &found {
            lines.push_str(&format!("\n  {}  {name}", in_short(&parse(row)?)));
        }
        bail!("{}: several organisations have registered it; give an id or --org:{lines}", wanted.id);
    }
    let found = found.pop().map(|(id, _, row)| (id, row));
    found.ok_or_else(|| anyhow!("{}: no registration that you may know has this id or value; `bongsu network list` has all", wanted.id))
}

/// The registration of an organisation with this id or value; of several with the value the one that did not end, else the newest.
fn among(api: &Api, whose: &str, wanted: &str) -> anyhow::Result<Option<Box<RawValue>>> {
    if is_id(wanted) {
        let answer = api.get(&registration(whose, wanted), &[])?;
        return if answer.status == 404 { Ok(None) } else { answer.raw().map(Some) };
    }
    let wanted = wanted.trim();
    let observable = match kind_of(wanted) {
        NetworkKind::Cidr => ObservableType::Cidr,
        NetworkKind::Domain => ObservableType::Domain,
        NetworkKind::Asn => ObservableType::Asn,
        NetworkKind::Url => ObservableType::Url,
    };
    let value = canonical(observable, wanted).map_or_else(|_| wanted.to_owned(), |value| value.to_string());
    let mut ended = None;
    for row in networks(api, whose, &STATES.map(str::to_owned))? {
        let network = parse(&row)?;
        if plain(network.get("value")) != value {
            continue;
        }
        if !has_ended(&network) {
            return Ok(Some(row));
        }
        if ended.is_none() {
            ended = Some(row);
        }
    }
    Ok(ended)
}

/// The path of the registration that is meant. Where its organisation and its id are given nothing is looked up.
fn place(api: &Api, network: &NetworkArguments) -> anyhow::Result<String> {
    if let Some(named) = network.org.as_deref().filter(|_| is_id(&network.id)) {
        return Ok(registration(&resolve(api, named)?, &network.id));
    }
    let (whose, found) = find(api, network)?;
    Ok(registration(&whose, &plain(parse(&found)?.get("id"))))
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

/// Where a step is not legal: how the registration is, and what is left to do, instead of the names of steps.
fn stands(api: &Api, place: &str, refusal: &Answer) -> anyhow::Error {
    let Ok(network) = api.get(place, &[]).and_then(|answer| answer.json()) else { return refusal.problem() };
    left(api, &network).iter().for_each(|line| output::note(line));
    anyhow!("nothing was changed: {}", in_short(&network))
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
    let proof = match (has_ended(network), field("proof").as_str()) {
        (true, _) => "",
        (false, "proven") => " and proven",
        (false, _) => ", not proven yet",
    };
    format!("{} ({} {}) is {}{proof}", field("id"), field("kind"), named(network), field("state"))
}

/// Whether it is rejected or withdrawn.
fn has_ended(network: &Value) -> bool {
    matches!(network.get("state").and_then(Value::as_str), Some("rejected" | "withdrawn"))
}

/// What is registered, for people: an AS number with the letters before it.
fn named(network: &Value) -> String {
    let value = plain(network.get("value"));
    if network.get("kind").and_then(Value::as_str) == Some("asn") { format!("AS{value}") } else { value }
}

/// How the hub has read a value, where that is not as it was given.
fn taken_as(given: &str, network: &Value) -> Option<String> {
    let (given, value) = (given.trim(), plain(network.get("value")));
    let same = |form: &str| form.eq_ignore_ascii_case(given);
    let alone = value.strip_suffix("/32").or_else(|| value.strip_suffix("/128"));
    if same(&value) || same(&named(network)) || alone.is_some_and(same) {
        return None;
    }
    let given = output::shorten(given, usize::MAX);
    let range = network.get("kind").and_then(Value::as_str) == Some("cidr");
    let more = if range { "; see that it is the range that is meant" } else { "" };
    Some(format!("{given} was taken as {}{more}", named(network)))
}

/// What is said below a registration: whom it overlaps, for those who decide, and what is left to do.
fn left(api: &Api, network: &Value) -> Vec<String> {
    let of_caller = in_force(network) && own(api).is_ok_and(|own| own == plain(network.get("organisation")));
    let mut lines = overlaps(network);
    lines.extend(to_do(network, of_caller));
    lines
}

/// The registrations of others that it overlaps; the hub names them to those who decide alone.
fn overlaps(network: &Value) -> Vec<String> {
    let Some(others) = network.get("overlaps").and_then(Value::as_array).filter(|others| !others.is_empty()) else { return Vec::new() };
    let mut lines = vec![format!("{} overlaps what others have registered; both are told of what both hold:", named(network))];
    for other in others {
        let field = |name: &str| plain(other.get(name));
        let kind = network.get("kind").cloned().unwrap_or_default();
        let whose = match (field("name"), field("organisation")) {
            (name, id) if !id.is_empty() => format!("{name} ({id})"),
            _ => "an organisation of another authority".to_owned(),
        };
        lines.push(format!("  {}  {}  {whose}", field("id"), named(&json!({ "kind": kind, "value": field("value") }))));
    }
    lines
}

/// Whether its owner is told of what comes in.
fn in_force(network: &Value) -> bool {
    network.get("state").and_then(Value::as_str) == Some("approved") && network.get("proof").and_then(Value::as_str) == Some("proven")
}

/// What is left to do until a registration is in force, line by line; what follows where it is.
///
/// `of_caller`: whether it is the organisation's own key that asks.
fn to_do(network: &Value, of_caller: bool) -> Vec<String> {
    let field = |name: &str| plain(network.get(name));
    let (id, value, reason) = (field("id"), named(network), field("reason"));
    match field("state").as_str() {
        "rejected" => {
            let why = if reason.is_empty() { "no reason was given".to_owned() } else { reason };
            return vec![format!("{value} was rejected: {why}"), "It counts for nothing. Once the reason is cleared up it can be registered anew.".to_owned()];
        }
        "withdrawn" => return vec![format!("{value} is no longer registered; nothing that comes from now on is told of it.")],
        _ if in_force(network) => {
            let mut lines = vec![format!("{value} is in force: what is reported about it from now on is told to its organisation.")];
            if of_caller {
                lines.extend([
                    "To see it:".to_owned(),
                    "  bongsu findings".to_owned(),
                    "To be told of it in the inbox, or by mail where the hub sends mail:".to_owned(),
                    "  bongsu subscribe add own --about findings --inbox".to_owned(),
                    "  bongsu subscribe add own --about findings --mail ADDRESS".to_owned(),
                ]);
            }
            return lines;
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
        let value = match field {
            "value" => named(network),
            "proof" if has_ended(network) => String::new(),
            _ => plain(network.get(field)),
        };
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

/// Says that there are rejected ones beside those that a list shows, so that nobody waits for what was decided.
fn rejected(api: &Api, whose: &str, rows: &[Box<RawValue>]) -> anyhow::Result<()> {
    let form = |network: &Value| (plain(network.get("kind")), plain(network.get("value")));
    let mut there = Vec::with_capacity(rows.len());
    for row in rows {
        there.push(form(&parse(row)?));
    }
    let mut count = 0_usize;
    for row in networks(api, whose, &["rejected".to_owned()])? {
        // What was asked for anew is answered anew.
        count += usize::from(!there.contains(&form(&parse(&row)?)));
    }
    if count > 0 {
        output::note(&format!("rejected and not listed: {count}; with --state rejected they are, with the reason"));
    }
    Ok(())
}

/// The registrations of every organisation that the key may know.
fn every(api: &Api, states: &[String], json: bool) -> anyhow::Result<()> {
    let (mut rows, mut owners) = (Vec::new(), Vec::new());
    for (id, name) in organisations_named(api)? {
        let own = networks(api, &id, states)?;
        owners.extend(own.iter().map(|_| name.clone()));
        rows.extend(own);
    }
    table(&rows, Some(&owners), json)
}

fn table(rows: &[Box<RawValue>], owners: Option<&[String]>, json: bool) -> anyhow::Result<()> {
    if json || rows.is_empty() {
        return list(rows, &[], "registered networks", json);
    }
    let networks = rows.iter().map(|row| parse(row)).collect::<anyhow::Result<Vec<Value>>>()?;
    let ended = networks.iter().any(has_ended);
    let mut cells = Vec::with_capacity(rows.len());
    for (place, row) in networks.iter().enumerate() {
        let field = |name: &str| plain(row.get(name));
        let proof = if has_ended(row) { String::new() } else { field("proof") };
        let mut line = vec![field("id"), field("kind"), named(row), field("state"), proof, in_force(row).to_string(), field("conflict")];
        if ended {
            line.extend([field("decided"), field("reason")]);
        }
        line.extend(owners.and_then(|owners| owners.get(place)).cloned());
        cells.push(line);
    }
    let mut titles = vec!["id", "kind", "value", "state", "proof", "in force", "conflict"];
    if ended {
        titles.extend(["decided", "reason"]);
    }
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
        to_do(network, true).join("\n")
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
    fn only_the_organisations_own_key_is_told_how_to_subscribe() {
        let of_another = to_do(&network("approved", "proven", None), false).join("\n");
        assert!(of_another.contains("in force") && !of_another.contains("subscribe"), "{of_another}");
        let own = said(&network("approved", "proven", None));
        assert!(own.contains("--inbox") && own.contains("--mail"), "{own}");
    }

    #[test]
    fn state_and_proof_are_said_apart_and_numbers_with_their_letters() {
        assert_eq!(in_short(&network("rejected", "claimed", None)), "net_1 (domain bank.example) is rejected");
        assert_eq!(in_short(&network("approved", "claimed", None)), "net_1 (domain bank.example) is approved, not proven yet");
        let number = json!({ "id": "net_2", "kind": "asn", "value": "64500", "state": "pending", "proof": "proven" });
        assert_eq!(in_short(&number), "net_2 (asn AS64500) is pending and proven");
        assert_eq!(taken_as("as64500", &number), None);
    }

    #[test]
    fn what_was_read_as_something_else_is_said() {
        let range = |value: &str| json!({ "kind": "cidr", "value": value });
        let words = taken_as("198.51.100.7/24", &range("198.51.100.0/24")).unwrap();
        assert!(words.starts_with("198.51.100.7/24 was taken as 198.51.100.0/24"), "{words}");
        assert_eq!(taken_as(" 198.51.100.7", &range("198.51.100.7/32")), None);
        assert_eq!(taken_as("198.51.100.0/24", &range("198.51.100.0/24")), None);
        assert_eq!(taken_as("Bank.Example", &network("pending", "claimed", None)), None);
    }

    #[test]
    fn who_decides_is_told_whom_a_registration_overlaps() {
        let mut one = json!({ "kind": "asn", "value": "64500", "overlaps": [{ "id": "net_2", "value": "64500", "organisation": "org_2", "name": "Other" }] });
        assert_eq!(overlaps(&one)[1], "  net_2  AS64500  Other (org_2)");
        one["overlaps"] = json!([{ "id": "net_2", "value": "64500" }]);
        assert!(overlaps(&one)[1].contains("another authority"));
        one.as_object_mut().unwrap().remove("overlaps");
        assert!(overlaps(&one).is_empty());
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
