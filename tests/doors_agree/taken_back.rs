//! A withdrawal and an upheld false positive reach every door, and those who have it are told.

use crate::nation::BENIGN;
use crate::support::{Behaviour, MailServer, Receiver, Told, Visit, ago, becomes, eventually, hub_with_every_door, items, same};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn what_is_taken_back_leaves_every_door_and_those_who_have_it_are_told() {
    const PRODUCTS: [&str; 4] = ["list.txt", "csv", "stix", "suricata.rules"];
    let (mail, receiver) = (MailServer::start(), Receiver::start(Behaviour::Takes, 1));
    let hub = hub_with_every_door(&mail, BENIGN);
    let sender = hub.member("Sender", "analyst");
    let organisation = hub.organisation("Reader", "company", "private", "energy");
    let reader = hub.client(&hub.key(&organisation, "analyst"));
    let partner = hub.organisation("Partner", "partner", "", "");
    hub.change_organisation(&partner, &json!({ "agreement": { "max_tlp": "amber" } }));
    let partners_key = hub.client(&hub.key(&partner, "reader"));
    let told = Told::subscribe(&hub, &organisation, reader.clone(), "events", &receiver);
    let partners_own = format!("agreement-{partner}");
    let collections = [("events-green", &reader), ("events-amber", &reader), (partners_own.as_str(), &partners_key)];

    let event = |mark: &str| json!({ "time": ago(60), "category": "c2-server", "value": format!("{mark}.net"), "tlp": "green", "malware": "Sinmul" });
    let one = sender.events(&[event("zqone"), event("zqstays")])["first_seq"].as_u64().unwrap();
    let batch = sender.events(&[event("zqtwo"), event("zqthree")]);
    let wrong = sender.events(&[event("zqwrong")])["first_seq"].as_u64().unwrap();
    let two = batch["first_seq"].as_u64().unwrap();
    let set = |marks: &[&str]| marks.iter().map(|mark| (*mark).to_owned()).collect::<BTreeSet<String>>();
    let all = set(&["zqone", "zqtwo", "zqthree", "zqwrong", "zqstays"]);
    let gone = set(&["zqone", "zqtwo", "zqthree", "zqwrong"]);
    let ours = |found: BTreeSet<String>| found.intersection(&all).cloned().collect::<BTreeSet<String>>();
    let values: Vec<String> = all.iter().map(|mark| format!("{mark}.net")).collect();

    // They are everywhere.
    for (title, client) in collections {
        becomes(title, &all, || ours(Visit::new(client).collection(title).unwrap().stands));
    }
    for product in PRODUCTS {
        becomes(product, &all, || ours(Visit::new(&reader).product(product, "amber").unwrap()));
    }
    let seqs = |messages: &[Value], list: &str| -> BTreeSet<u64> {
        messages.iter().flat_map(|message| message[list].as_array().unwrap().iter().filter_map(|item| item["seq"].as_u64())).collect()
    };
    for way in 0..3 {
        becomes("deliveries", &BTreeSet::from([one, one + 1, two, two + 1, wrong]), || seqs(&told.so_far(&receiver, &mail)[way].1, "events"));
    }
    let in_feed = |visit: &mut Visit<'_>| visit.misp().map(|misp| ours(misp.feed.unwrap()));
    if in_feed(&mut Visit::new(&reader)).is_some() {
        becomes("MISP's feed", &all, || in_feed(&mut Visit::new(&reader)).unwrap());
    }

    // One is taken back by its place, two by their receipt, and of one it is upheld that it is harmless.
    for what in [json!({ "seq": one, "reason": "mistaken" }), json!({ "receipt": batch["receipt"], "reason": "mistaken" })] {
        let answer = sender.post("/api/v1/events/withdraw", &what);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let claim = reader.post("/api/v1/observables/domain/zqwrong.net/sightings", &json!({ "kind": "false-positive", "note": "our own" }));
    assert_eq!(claim.status, 201, "{}", claim.text());
    let steps = format!("/api/v1/claims/{}/steps", claim.json()["id"].as_str().unwrap());
    let upheld = hub.coordinator().post(&steps, &json!({ "step": "uphold", "reason": "indeed" }));
    assert_eq!(upheld.status, 200, "{}", upheld.text());

    // Where answers are made when they are asked for it is so at once.
    let states: BTreeMap<String, String> = reader
        .lookup(&values.iter().map(String::as_str).collect::<Vec<_>>())
        .iter()
        .map(|answer| (answer["value"].as_str().unwrap().to_owned(), answer["state"].as_str().unwrap().to_owned()))
        .collect();
    for (value, state) in [("zqone", "withdrawn"), ("zqtwo", "withdrawn"), ("zqthree", "withdrawn"), ("zqwrong", "disputed"), ("zqstays", "active")] {
        assert_eq!(states[&format!("{value}.net")], state, "{value}");
    }
    let last = sender.events(&[event("zqlast")])["first_seq"].as_u64().unwrap();
    let left = BTreeSet::from([one + 1, wrong, last]);
    let mut visit = Visit::new(&reader);
    for (door, events) in [("search", visit.search().unwrap()), ("stream", visit.stream(last).unwrap())] {
        same(door, &events.iter().map(|event| event["seq"].as_u64().unwrap()).collect(), &left);
    }
    for seq in [one, two, two + 1] {
        assert_eq!(reader.get(&format!("/api/v1/events/{seq}")).status, 404);
    }

    // What follows behind is told within bounded time.
    for (title, client) in collections {
        eventually(title, || {
            let found = Visit::new(client).collection(title).unwrap();
            (ours(found.stands) == set(&["zqstays"]) && ours(found.revoked) == gone).then_some(())
        });
    }
    for product in PRODUCTS {
        eventually(product, || (ours(Visit::new(&reader).product(product, "amber").unwrap()) == set(&["zqstays"])).then_some(()));
    }
    if in_feed(&mut Visit::new(&reader)).is_some() {
        eventually("MISP's feed", || (in_feed(&mut Visit::new(&reader)).unwrap() == set(&["zqstays"])).then_some(()));
    }
    let recalls: BTreeSet<(String, String)> = items(&reader.get("/feeds/recalls").json())
        .iter()
        .map(|recall| (recall["value"].as_str().unwrap().to_owned(), recall["reason"].as_str().unwrap().to_owned()))
        .collect();
    let recalled = |value: &str, reason: &str| (value.to_owned(), reason.to_owned());
    let expected = [("zqone.net", "withdrawn"), ("zqtwo.net", "withdrawn"), ("zqthree.net", "withdrawn"), ("zqwrong.net", "false-positive")];
    same("recalls", &recalls, &expected.map(|(value, reason)| recalled(value, reason)).into());
    // A disputed event still stands, and so no delivery of it is taken back.
    for way in 0..3 {
        becomes("withdrawals", &BTreeSet::from([one, two, two + 1]), || seqs(&told.so_far(&receiver, &mail)[way].1, "withdrawn"));
    }
}
