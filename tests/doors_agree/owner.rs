//! Owners: without approval and proof nothing anywhere, with both exactly the own finding.

use crate::nation::BENIGN;
use crate::support::{
    Behaviour, MailServer, Receiver, Told, Visit, ago, becomes, hub_with_every_door, marks, same, until_findings_follow, until_registration_counts,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn an_owner_without_approval_or_proof_gets_nothing_anywhere_and_with_both_exactly_its_finding() {
    let (mail, receiver) = (MailServer::start(), Receiver::start(Behaviour::Takes, 1));
    let hub = hub_with_every_door(&mail, BENIGN);
    let owner = hub.organisation("Owner", "company", "private", "finance");
    let administrator = hub.client(&hub.key(&owner, "member-admin"));
    let told: Vec<Told> = ["events", "findings"].map(|about| Told::subscribe(&hub, &owner, administrator.clone(), about, &receiver)).into();
    let path = format!("/api/v1/organisations/{owner}/networks");
    let claim = |value: &str, then: &[(&str, Value)]| {
        let asked = administrator.post(&path, &json!({ "kind": "domain", "value": value }));
        assert_eq!((asked.status, &asked.json()["state"], &asked.json()["proof"]), (201, &json!("pending"), &json!("claimed")), "{}", asked.text());
        for (what, body) in then {
            let done = hub.coordinator().post(&format!("{path}/{}/{what}", asked.json()["id"].as_str().unwrap()), body);
            assert_eq!(done.status, 200, "{}", done.text());
        }
    };
    let approve = || ("steps", json!({ "step": "approve" }));
    let prove = || ("proof", json!({ "method": "abuse-mail", "reason": "the reply quotes it" }));
    claim("asked-for.kr", &[]);
    claim("approved-alone.kr", &[approve()]);
    claim("proven-alone.kr", &[prove()]);
    claim("turned-down.kr", &[prove(), ("steps", json!({ "step": "reject", "reason": "not yours" }))]);
    claim("given-up.kr", &[approve(), prove(), ("steps", json!({ "step": "withdraw", "reason": "sold" }))]);
    claim("all-right.kr", &[approve(), prove()]);

    let organisation = hub.organisation("zqsender", "company", "private", "energy");
    let sender = hub.client(&hub.key(&organisation, "analyst"));
    let event = |mark: &str, place: &str, role: &str| {
        let (own, beside) = (format!("{mark}.{place}"), format!("{mark}beside.net"));
        json!({
            "time": ago(60), "category": "infected-system", "tlp": "amber+strict", "audience": ["grp-nobody"], "dst_ip": "46.60.1.9",
            "id": format!("{mark}id"), "internal": format!("{mark}extra"), "note": format!("{mark}note"),
            "observables": [{ "type": "domain", "value": own, "role": role }, { "type": "domain", "value": beside, "role": "attacker" }],
        })
    };
    // Of what was sent before the proof counts nothing is told; the one that it counts for ends the wait.
    let probes = until_registration_counts(&hub, |number| drop(sender.events(&[event(&format!("zqprobe{number}"), "all-right.kr", "victim")])));
    let places = ["asked-for.kr", "approved-alone.kr", "proven-alone.kr", "turned-down.kr", "given-up.kr", "never-claimed.kr", "all-right.kr"];
    let in_place = |(number, place): (usize, &&str)| event(&format!("zq{number}owned"), place, ["victim", "attacker"][number % 2]);
    sender.events(&places.iter().enumerate().map(in_place).collect::<Vec<Value>>());
    until_findings_follow(&hub);

    let due = BTreeSet::from([format!("zqprobe{}", probes - 1), "zq6owned".to_owned()]);
    let values = |findings: &[Value]| -> BTreeSet<String> { findings.iter().flat_map(|finding| marks(finding["value"].as_str().unwrap())).collect() };
    let mut said: Vec<(String, String)> = Vec::new();
    for role in ["member-admin", "reader"] {
        let client = hub.client(&hub.key_with(&owner, &json!({ "role": role, "red": true })).1);
        let mut visit = Visit::new(&client);
        same(role, &values(&visit.findings().unwrap()), &due);
        assert!(visit.search().unwrap().is_empty());
        let of_event = |(number, place): (usize, &&str)| [format!("zq{number}owned.{place}"), format!("zq{number}ownedbeside.net")];
        let asked: Vec<String> = places.iter().enumerate().flat_map(of_event).collect();
        // What was asked for is in no answer: nothing is known of any.
        assert!(visit.lookup(&asked).unwrap().iter().all(Value::is_null));
        for title in ["events-clear", "events-green", "events-amber"] {
            visit.collection(title);
        }
        for product in ["list.txt", "csv", "stix"] {
            visit.product(product, "amber");
        }
        visit.misp();
        visit.get("/api/v1/findings/summary");
        said.append(&mut visit.said);
    }
    for way in 0..3 {
        let findings = |told: &Told| -> Vec<Value> {
            let messages = &told.so_far(&receiver, &mail)[way].1;
            messages.iter().flat_map(|message| message["findings"].as_array().unwrap().iter().cloned()).collect()
        };
        becomes("findings told", &due, || values(&findings(&told[1])));
        for told in &told {
            let (way, messages, text) = &told.so_far(&receiver, &mail)[way];
            assert!(messages.iter().all(|message| message["events"].as_array().unwrap().is_empty()), "{way}: an owner is told of findings alone");
            said.push(((*way).to_owned(), text.clone()));
        }
    }
    let may_have: BTreeSet<String> = due.iter().cloned().chain([owner.clone()]).collect();
    for (door, text) in &said {
        // What is encoded in a mail may begin like a mark by chance.
        let ours =
            |mark: &str| mark.strip_prefix("zq").is_some_and(|rest| rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).starts_with(['o', 'p']));
        let is_mark = |mark: &String| ours(mark) && (mark.contains("owned") || mark.contains("probe")) || *mark == organisation || *mark == "46.60.1.9";
        let more: Vec<String> = marks(text).into_iter().filter(is_mark).collect();
        assert!(more.iter().all(|mark| may_have.contains(mark)), "{door}: holds {more:?}: {text}");
    }
}
