//! A registration in words: how it is, what is left to do, whom it overlaps.

use crate::client::lookup::plain;
use crate::output;
use serde_json::{Value, json};

/// A registration in one line.
pub(super) fn in_short(network: &Value) -> String {
    let field = |name: &str| plain(network.get(name));
    let proof = match (has_ended(network), field("proof").as_str()) {
        (true, _) => "",
        (false, "proven") => " and proven",
        (false, _) => ", not proven yet",
    };
    format!("{} ({} {}) is {}{proof}", field("id"), field("kind"), named(network), field("state"))
}

/// Whether it is rejected or withdrawn.
pub(super) fn has_ended(network: &Value) -> bool {
    matches!(network.get("state").and_then(Value::as_str), Some("rejected" | "withdrawn"))
}

/// Whether its owner is told of what comes in.
pub(super) fn in_force(network: &Value) -> bool {
    network.get("state").and_then(Value::as_str) == Some("approved") && network.get("proof").and_then(Value::as_str) == Some("proven")
}

/// What is registered, for people: an AS number with the letters before it.
pub(super) fn named(network: &Value) -> String {
    let value = plain(network.get("value"));
    if network.get("kind").and_then(Value::as_str) == Some("asn") { format!("AS{value}") } else { value }
}

/// How the hub has read a value, where that is not as it was given.
pub(super) fn taken_as(given: &str, network: &Value) -> Option<String> {
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

/// What the hub's last look at a record found.
pub(super) fn found(network: &Value) -> String {
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

/// The registrations of others that it overlaps; the hub names them to those who decide alone.
pub(super) fn overlaps(network: &Value) -> Vec<String> {
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

/// What is left to do until a registration is in force, line by line; what follows where it is.
///
/// `of_caller`: whether it is the organisation's own key that asks.
pub(super) fn to_do(network: &Value, of_caller: bool) -> Vec<String> {
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
