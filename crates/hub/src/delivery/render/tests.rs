use super::*;
use proptest::prelude::*;
use serde_json::json;

fn message(language: Language) -> Message {
    Message {
        id: "0190f1d2-0000-7000-8000-000000000001".to_owned(),
        lane: Lane::Ordinary,
        realm: "main".to_owned(),
        subscription: "sub_0190".to_owned(),
        name: "night".to_owned(),
        organisation: "한국은행".to_owned(),
        language,
        made: Timestamp::from_seconds(1_795_289_160),
        events: Vec::new(),
        findings: Vec::new(),
        withdrawn: Vec::new(),
        left_out: 0,
        notice: None,
    }
}

fn event(seq: u64, tlp: &str, value: &str) -> Value {
    json!({
        "seq": seq, "time": "2026-11-21T10:26:00Z", "received": "2026-11-21T10:27:00Z", "category": "phishing", "tlp": tlp, "malware": "Emotet",
        "observables": [
            {"type": "ipv4", "value": "10.9.8.7", "role": "victim", "detect": false},
            {"type": "domain", "value": value, "role": "attacker", "detect": true},
        ],
    })
}

fn finding(value: &str) -> Value {
    json!({"id": "fnd_1", "state": "told", "category": "infected-system", "type": "ipv4", "value": value, "events": 3, "last_time": "2026-11-21T10:00:00Z"})
}

fn seoul() -> TimeZone {
    TimeZone::get("Asia/Seoul").unwrap()
}

#[test]
fn a_letter_in_korean_says_what_there_is_and_what_may_be_done_with_it() {
    let mut message = message(Language::Ko);
    message.events = vec![event(7, "amber", "evil.example"), event(8, "green", "worse.example")];
    message.findings = vec![finding("192.0.2.7")];
    message.withdrawn = vec![json!({"seq": 3, "at": "2026-11-20T00:00:00Z"})];
    message.left_out = 5;
    let letter = letter(&message, Some("https://hub.cert.example"), &seoul());
    assert_eq!(letter.tlp, Tlp::Amber);
    assert_eq!(letter.subject, "[TLP:AMBER] [봉수] 위협정보 2건, 자산 탐지 1건, 철회 1건 - night");
    for part in [
        "[TLP:AMBER]",
        "한국은행 담당자님께",
        "      2  피싱",
        "악성코드 감염 시스템",
        "2026-11-21 19:26 KST 피싱 (Emotet)",
        "worse[.]example (+1)",
        "192[.]0[.]2[.]7",
        "1건이 철회되었습니다",
        "이 밖에 5건",
        "https://hub.cert.example",
        "sub_0190",
    ] {
        assert!(letter.text.contains(part), "{part:?} is not in\n{}", letter.text);
    }
    assert!(letter.text.find("worse[.]example") < letter.text.find("evil[.]example"), "the newest comes first");
    assert!(!letter.text.contains("worse.example") && !letter.text.contains("10[.]9"), "{}", letter.text);
}

#[test]
fn an_abuse_contact_is_told_in_both_languages_what_was_found_what_to_do_and_how_to_get_no_more() {
    let mut message = message(Language::Ko);
    message.subscription = super::super::message::ABUSE_LIST.to_owned();
    message.findings = vec![finding("192.0.2.7"), finding("192.0.2.8")];
    for finding in &mut message.findings {
        finding["guidance"] = json!({ "en": "Clean it.", "ko": "치료하십시오." });
    }
    message.left_out = 3;
    let text = letter(&message, Some("https://hub.cert.example"), &seoul()).text;
    for part in ["자산 탐지 2건", "You are the abuse contact", "192[.]0[.]2[.]7", "- 치료하십시오.\n  Clean it.", "이 밖에 3건", "수신 거부", "answer STOP"]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(text.lines().count() <= MAX_LINES, "{text}");
    assert_eq!(text.matches("Clean it.").count(), 1);
    assert!(!text.contains("구독") && !text.contains("한국은행") && !text.contains("발신 전용"), "{text}");
}

#[test]
fn a_letter_in_english_says_the_same() {
    let mut message = message(Language::En);
    message.lane = Lane::Warning;
    message.realm = "drill-2026".to_owned();
    message.events = vec![event(7, "clear", "evil.example")];
    let letter = letter(&message, None, &TimeZone::UTC);
    assert_eq!(letter.subject, "[TLP:CLEAR] [Bongsu] [EXERCISE drill-2026] [WARNING] 1 event - night");
    for part in ["This is an exercise (drill-2026)", "Please look at this at once: 1 event", "phishing", "evil[.]example", "2026-11-21 10:26 UTC"] {
        assert!(letter.text.contains(part), "{part:?} is not in\n{}", letter.text);
    }
    assert_eq!(letter.neutral_subject, "[TLP:CLEAR] [Bongsu] [EXERCISE drill-2026] encrypted message");
}

#[test]
fn the_marking_is_the_strictest_and_doubt_is_strict() {
    let with = |tlps: &[&str], findings: usize| {
        let mut message = message(Language::En);
        message.events = tlps.iter().map(|tlp| event(1, tlp, "x.example")).collect();
        message.findings = vec![finding("192.0.2.1"); findings];
        strictest(&message)
    };
    assert_eq!(with(&["clear"], 0), Tlp::Clear);
    assert_eq!(with(&["clear", "amber+strict", "green"], 0), Tlp::AmberStrict);
    assert_eq!(with(&["clear"], 1), Tlp::Amber);
    assert_eq!(with(&["clear", "who knows"], 0), Tlp::Red);
    assert_eq!(with(&[], 0), Tlp::Amber);
}

#[test]
fn no_program_makes_a_link_of_a_value() {
    for (kind, value, told) in [
        ("url", "http://evil.example/a.php?u=https://x.example", "hxxp://evil[.]example/a[.]php?u=https[:]//x[.]example"),
        ("url", "HTTPS://Evil.example", "hxxps://Evil[.]example"),
        ("url", "ftp://evil.example", "fxp://evil[.]example"),
        ("domain", "evil.example", "evil[.]example"),
        ("ipv4", "192.0.2.1", "192[.]0[.]2[.]1"),
        ("email", "a@evil.example", "a[@]evil[.]example"),
        ("filename", "invoice.zip", "invoice[.]zip"),
        ("sha256", "ab.cd", "ab.cd"),
    ] {
        assert_eq!(defanged(Some(kind), value), told);
    }
}

#[test]
fn text_from_outside_stays_on_its_line() {
    assert_eq!(plain("a\r\nb\u{202E}c\u{200B}d\0", 64), "a  b c d ");
    assert_eq!(plain("abcdef", 3), "abc…");
    assert_eq!(plain("abc", 3), "abc");
}

#[test]
fn the_hubs_own_words_are_there_in_both_languages() {
    for language in [Language::Ko, Language::En] {
        for notice in [
            Notice::Confirm { code: "4711".to_owned(), until: Timestamp::from_seconds(1_795_289_160) },
            Notice::Test,
            Notice::Parked { error: "refused\r\nthere".to_owned() },
        ] {
            let mut words = message(language);
            words.notice = Some(notice);
            let letter = letter(&words, None, &seoul());
            assert!(letter.text.lines().count() < MAX_LINES && letter.text.contains("night"), "{}", letter.text);
        }
    }
}

#[test]
fn a_contact_reads_both_languages_what_to_open_and_what_to_answer_where_there_is_nothing_to_open() {
    for language in [Language::Ko, Language::En] {
        let mut words = message(language);
        let code = format!("{0}-{0}", "0123456789abcdef".repeat(2));
        let contact = |link: Option<&str>| Notice::Contact { link: link.map(str::to_owned), token: "bongsu-contact-0123".to_owned() };
        words.notice = Some(contact(Some(&format!("https://hub.cert.example/contacts/confirm/{code}"))));
        let with_link = letter(&words, Some("https://hub.cert.example"), &seoul());
        assert!(with_link.text.lines().count() < MAX_LINES && with_link.text.contains("침해사고 연락처") && with_link.text.contains("is told of security"));
        assert!(with_link.text.lines().any(|line| line.trim() == format!("https://hub.cert.example/contacts/confirm/{code}")), "{}", with_link.text);
        assert!(!with_link.text.contains("sub_0190") && !with_link.text.contains("not read"), "{}", with_link.text);
        words.notice = Some(contact(None));
        let without = letter(&words, None, &seoul());
        assert!(without.text.lines().any(|line| line.trim() == "bongsu-contact-0123"), "{}", without.text);
    }
}

#[test]
fn csv_has_a_row_for_each_observable_and_ndjson_a_line_for_each_thing() {
    let mut message = message(Language::En);
    let mut formula = event(7, "green", "evil.example");
    formula["malware"] = json!("=HYPERLINK(1)");
    formula["note"] = json!("one, \"two\"\nthree");
    message.events = vec![formula, json!({"seq": 9, "category": "other", "observables": []})];
    message.findings = vec![finding("192.0.2.7")];
    message.withdrawn = vec![json!({"finding": "fnd_2", "at": "2026-11-20T00:00:00Z"})];
    let csv = String::from_utf8(csv(&message)).unwrap();
    let rows: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(rows.len(), 7, "{csv}");
    assert!(rows[0].starts_with("record,seq,id,time,received,category,type,value,role,tlp"));
    assert!(rows[1].starts_with("event,7,,2026-11-21T10:26:00Z,2026-11-21T10:27:00Z,phishing,ipv4,10.9.8.7,victim,green"), "{csv}");
    assert!(
        rows[2].contains(",domain,evil.example,attacker,") && rows[2].contains("'=HYPERLINK(1)") && rows[2].contains("\"one, \"\"two\"\"\nthree\""),
        "{csv}"
    );
    assert!(rows[3].starts_with("event,9,,,,other,,,,"), "{csv}");
    assert!(rows[4].starts_with("finding,,fnd_1,2026-11-21T10:00:00Z,,infected-system,ipv4,192.0.2.7,"), "{csv}");
    assert!(rows[5].starts_with("withdrawn,,fnd_2,2026-11-20T00:00:00Z,"), "{csv}");
    let lines = String::from_utf8(ndjson(&message)).unwrap();
    let kinds: Vec<String> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap().as_object().unwrap().keys().next().unwrap().clone()).collect();
    assert_eq!(kinds, ["event", "event", "finding", "withdrawn"]);
}

proptest! {
    #[test]
    fn a_text_is_a_screenful_whatever_is_in_it(
        events in proptest::collection::vec(("\\PC{0,300}", 0_u64..1_000), 0..40), findings in 0_usize..40, withdrawn in 0_usize..3, name in "(?s).{0,200}", ko in any::<bool>(),
    ) {
        let mut message = message(if ko { Language::Ko } else { Language::En });
        message.name = name.clone();
        message.organisation = name.clone();
        message.realm = name;
        message.events = events.iter().map(|(value, seq)| event(*seq, "green", value)).collect();
        for (event, category) in message.events.iter_mut().zip(Category::ALL) {
            event["category"] = json!(category.as_str());
        }
        message.findings = (0..findings).map(|_| finding("192.0.2.9")).collect();
        message.withdrawn = vec![json!({"seq": 1}); withdrawn];
        message.left_out = 1;
        let letter = letter(&message, Some("https://hub.example"), &TimeZone::UTC);
        prop_assert!(letter.text.lines().count() <= MAX_LINES, "{}", letter.text);
        prop_assert!(letter.text.lines().all(|line| line.chars().count() <= 200));
        prop_assert!(!letter.subject.contains(['\r', '\n', '\0']) && letter.subject.chars().count() <= 250);
    }
}
