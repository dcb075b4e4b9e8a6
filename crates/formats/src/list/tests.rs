#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use model::{ObservableType as Kind, Pap, Tlp};
use proptest::prelude::*;

fn defaults() -> Defaults {
    Defaults { now: Timestamp::from_seconds(1_770_000_000), tlp: Tlp::Green, pap: Pap::Amber, named: true, category: None, origin: None, role: None }
}

fn read(text: impl AsRef<[u8]>) -> Parsed {
    let mut parsed = Parsed::default();
    parse(&read_header(text.as_ref()), text.as_ref(), 1, &defaults(), &mut parsed);
    parsed
}

/// Line, type, value of everything taken.
fn taken(parsed: &Parsed) -> Vec<(u64, Kind, String)> {
    assert_eq!(parsed.events.len(), parsed.lines.len());
    parsed.lines.iter().zip(&parsed.events).map(|(line, event)| (*line, event.observables[0].kind, event.observables[0].value.to_string())).collect()
}

fn values(text: &str) -> Vec<String> {
    taken(&read(text)).into_iter().map(|(_, _, value)| value).collect()
}

fn refused_lines(text: &str) -> Vec<u64> {
    read(text).refusals.iter().map(|refusal| refusal.line).collect()
}

#[test]
fn an_entry_without_a_time_is_relayed_timeless_and_as_the_defaults_say() {
    let parsed = read("evil.com\n");
    let event = &parsed.events[0];
    assert_eq!((event.time, event.timeless, event.origin), (defaults().now, true, Origin::Relayed));
    assert_eq!((event.category, event.tlp, event.pap, event.named), (Category::Other, Tlp::Green, Pap::Amber, true));
    assert_eq!(event.details, None, "the line says no more than the value");
    let mut parsed = Parsed::default();
    let stated = Defaults { category: Some(Category::InfectedSystem), origin: Some(Origin::Sinkhole), ..defaults() };
    parse(&Header::default(), b"192.0.2.1", 7, &stated, &mut parsed);
    let event = &parsed.events[0];
    assert_eq!((event.category, event.origin, parsed.lines[0]), (Category::InfectedSystem, Origin::Sinkhole, 7));
    assert_eq!((event.observables[0].role, event.observables[0].reserved), (Role::Victim, true));
}

#[test]
fn what_stands_in_for_what_a_list_cannot_say_is_counted() {
    let assumed = read("evil.com\n# x\nbad line\n1.2.3.4\n").notes.assumed;
    assert_eq!((assumed.other, assumed.relayed, assumed.tlp), (2, 2, 2));
    let mut parsed = Parsed::default();
    let stated = Defaults { category: Some(Category::Phishing), origin: Some(Origin::Manual), ..defaults() };
    parse(&Header::default(), b"evil.com\n", 1, &stated, &mut parsed);
    let assumed = parsed.notes.assumed;
    assert_eq!((assumed.other, assumed.relayed, assumed.tlp), (0, 0, 1));
}

#[test]
fn one_value_per_line_with_comments_and_any_line_ends() {
    let text =
        "\u{feff}# Title\r\n\r\nevil.com\r1.2.3.4\n; comment\n// comment\n! Comment\n------\nEVIL[.]net # seen twice\r\n\u{a0}hxxp://evil[.]org/a\u{200b}\n";
    assert_eq!(
        taken(&read(text)),
        [
            (3, Kind::Domain, "evil.com".to_owned()),
            (4, Kind::Ipv4, "1.2.3.4".to_owned()),
            (9, Kind::Domain, "evil.net".to_owned()),
            (10, Kind::Url, "http://evil.org/a".to_owned()),
        ]
    );
    assert_eq!(refused_lines(text), [] as [u64; 0]);
    let original = read(text).events[2].details.as_ref().and_then(|details| details.original.clone());
    assert_eq!(original.as_deref(), Some("EVIL[.]net # seen twice"));
}

#[test]
fn an_empty_list_is_empty() {
    for text in ["", "\n", "\u{feff}", "# nothing\n"] {
        let parsed = read(text);
        assert!(parsed.events.is_empty() && parsed.refusals.is_empty(), "{text:?}");
    }
}

#[test]
fn utf_16_and_broken_utf_8_are_read_as_far_as_they_go() {
    let wide: Vec<u8> = "\u{feff}evil.com\r\n1.2.3.4\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(taken(&read(&wide)), [(1, Kind::Domain, "evil.com".to_owned()), (2, Kind::Ipv4, "1.2.3.4".to_owned())]);
    let parsed = read(b"evil.com # caf\xe9\nhttp://evil.com/caf\xe9\nev\xe9il.com\n");
    assert_eq!(taken(&parsed), [(1, Kind::Domain, "evil.com".to_owned())]);
    assert_eq!(parsed.refusals.iter().map(|refusal| refusal.line).collect::<Vec<_>>(), [2, 3]);
    assert!(parsed.refusals[0].reason.starts_with("value is not valid UTF-8"), "{}", parsed.refusals[0].reason);
}

#[test]
fn nuls_do_not_glue_texts_outside_utf_16() {
    let parsed = read(b"evil.com\0good.com\n1.2.3.4\n5.6.7\x00.8\n");
    assert_eq!(taken(&parsed), [(2, Kind::Ipv4, "1.2.3.4".to_owned())]);
    assert_eq!(parsed.refusals.iter().map(|refusal| refusal.line).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(parsed.refusals[0].reason, "line contains NUL bytes: evil.com good.com");
    // In UTF-16 lines of a later chunk are read by what the first one said.
    let wide: Vec<u8> = "\u{feff}evil.com\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let later: Vec<u8> = "1.2.3.4\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let mut parsed = Parsed::default();
    parse(&read_header(&wide), &later, 2, &defaults(), &mut parsed);
    assert_eq!(taken(&parsed), [(2, Kind::Ipv4, "1.2.3.4".to_owned())]);
}

#[test]
fn a_line_with_a_value_first_is_taken() {
    for (line, value) in [
        ("f211694aaf443b12b2eca9f5e7f25407;Emotet", "f211694aaf443b12b2eca9f5e7f25407"),
        ("f211694aaf443b12b2eca9f5e7f25407  0-Introduction.chm", "f211694aaf443b12b2eca9f5e7f25407"),
        ("- f211694aaf443b12b2eca9f5e7f25407  direct 07.20.doc", "f211694aaf443b12b2eca9f5e7f25407"),
        ("f211694aaf443b12b2eca9f5e7f25407 - Счёт.rar", "f211694aaf443b12b2eca9f5e7f25407"),
        ("WarHawk_v1: f211694aaf443b12b2eca9f5e7f25407", "f211694aaf443b12b2eca9f5e7f25407"),
        ("Domain: evil[.]com", "evil.com"),
        ("- wild2486[.]com - 93.189.42[.]107", "wild2486.com"),
        ("* `evil[.]com`", "evil.com"),
        ("| evil.com | C2 |", "evil.com"),
        ("2. hxxp://evil[.]com/x", "http://evil.com/x"),
        ("\"http://evil.com/x\",", "http://evil.com/x"),
        ("xeyocsu7fu2vjhxs.onion# Copyright (c)", "xeyocsu7fu2vjhxs.onion"),
        ("xn--birlikteliimizbizletr-i4c.com    # was: something", "xn--birlikteliimizbizletr-i4c.com"),
        ("23.163.0.179     AS8100   | US | ASN-QUADRANET-GLOBAL", "23.163.0.179"),
        ("evil.com // comment", "evil.com"),
        ("0x0.st/8ics.py", "http://0x0.st/8ics.py"),
        ("evil.com.", "evil.com"),
        ("<Content type=\"md5\">f211694aaf443b12b2eca9f5e7f25407</Content>", "f211694aaf443b12b2eca9f5e7f25407"),
    ] {
        assert_eq!(values(line), [value], "{line:?}");
    }
}

#[test]
fn a_line_without_a_value_is_named_with_a_reason() {
    for (line, reason) in [
        ("/2.php", "a path without a host"),
        ("http://evil.com/lo\u{2026}", "value is cut off"),
        ("C:\\Users\\DucTai\\App4.pdb", "a place on a machine"),
        ("HKEY_CURRENT_USER\\Software\\Zeppelin", "a place on a machine"),
        ("http://evil.co.xn--kr/", "host of the URL is not valid"),
        ("CHAIN OF EVENTS:", "no value of a known type"),
        ("- GET /jadykf/btnryr.php?l=sojy5.cab", "no value of a known type"),
        ("see https://example.com/report for more", "no value of a known type"),
        ("Reference: https://example.com/report", "no value of a known type"),
        ("kernel32.dll is loaded", "no value of a known type"),
        ("<IndicatorItem id=\"1\">", "markup without a value"),
        ("<Content type=\"string\">svchost.exe</Content>", "markup without a value"),
        ("\"_key\": \"a348efab270df7f76fe081be56ed4f574281b081\"", "JSON, not a list"),
        ("{", "JSON, not a list"),
        ("@@||good.com^", "an exception"),
        ("good.com CNAME rpz-passthru.", "a passthru rule"),
        ("127.0.0.1 localhost", "no domain but the machine's own names"),
    ] {
        let parsed = read(line);
        assert!(parsed.events.is_empty(), "{line:?}");
        assert_eq!(parsed.refusals.len(), 1, "{line:?}");
        assert!(parsed.refusals[0].reason.starts_with(reason), "{line:?}: {}", parsed.refusals[0].reason);
        assert!(parsed.refusals[0].reason.chars().count() <= 80 + reason.len() + 60);
    }
}

#[test]
fn ports_go_to_the_event() {
    let parsed = read("185.181.9.115:2012\nevil.com:4444\n[2001:db8::1]:443\n");
    assert_eq!(parsed.events.iter().map(|event| event.port).collect::<Vec<_>>(), [Some(2012), Some(4444), Some(443)]);
}

#[test]
fn filter_lists_are_understood() {
    let text = "! Title: Blocklist\nevil.com\n||evil.net^\n||0x0.st/8ics.py^$all\n||1.2.3.4:8080/x^$all\n||*.evil.org^$third-party\n||evil.io/a$b^\n||evil.dev$important\n\
                @@||good.com^\ngood.com##.ad\n||evil.*^\n|http://evil.kr/x|\n";
    assert_eq!(read_header(text.as_bytes()).list, Shape::AdBlock);
    assert_eq!(
        values(text),
        ["evil.com", "evil.net", "http://0x0.st/8ics.py", "http://1.2.3.4:8080/x", "evil.org", "http://evil.io/a$b", "evil.dev", "http://evil.kr/x"]
    );
    assert_eq!(refused_lines(text), [9, 10, 11]);
}

#[test]
fn response_policy_zones_are_understood() {
    let text = "; Title\n$TTL 30\n@ IN SOA localhost. root.localhost. 1752927088 86400 3600 604800 30\n NS localhost.\n\n0022a601.pphost.net CNAME .\n*.evil.com CNAME .\n\
                evil.net 300 IN CNAME *.\nevil.org IN CNAME rpz-drop. ; why\nevil.kr A 127.0.0.1\n24.0.2.0.192.rpz-ip CNAME .\n32.4.3.2.1.rpz-ip CNAME .\n32.zz.db8.2001.rpz-ip CNAME .\n\
                good.com CNAME rpz-passthru.\n";
    assert_eq!(read_header(text.as_bytes()).list, Shape::Rpz);
    assert_eq!(values(text), ["0022a601.pphost.net", "evil.com", "evil.net", "evil.org", "evil.kr", "192.0.2.0/24", "1.2.3.4", "2001:db8::/32"]);
    assert_eq!(refused_lines(text), [14]);
}

#[test]
fn hosts_files_are_understood() {
    let text = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n0.0.0.0 evil.com\n127.0.0.1\tevil.net evil.org # two\n0.0.0.0 0.0.0.0\n";
    assert_eq!(read_header(text.as_bytes()).list, Shape::Hosts);
    assert_eq!(
        taken(&read(text)).into_iter().map(|(line, _, value)| (line, value)).collect::<Vec<_>>(),
        [(3, "evil.com".to_owned()), (4, "evil.net".to_owned()), (4, "evil.org".to_owned())]
    );
    assert_eq!(refused_lines(text), [1, 2, 5]);
}

#[test]
fn zeek_logs_are_read_by_their_fields() {
    let text = "#separator \\x09\n#fields\tindicator\tindicator_type\tmeta.source\n1.2.3.4\tIntel::ADDR\tx\nevil.com/a\tIntel::URL\tx\nevil.com\tIntel::DOMAIN\tx\n\
                f211694aaf443b12b2eca9f5e7f25407\tIntel::FILE_HASH\tx\n-\tIntel::ADDR\tx\n#close\n";
    assert_eq!(read_header(text.as_bytes()).list, Shape::Zeek { indicator: 0, kind: 1, time: 255 });
    assert_eq!(values(text), ["1.2.3.4", "http://evil.com/a", "evil.com", "f211694aaf443b12b2eca9f5e7f25407"]);
    assert_eq!(refused_lines(text), [7]);
    let log = "#fields\tts\tuid\tid.orig_h\n1617123123.5\tCx\t1.2.3.4\n";
    let parsed = read(log);
    assert_eq!((parsed.events[0].time, parsed.events[0].timeless), (Timestamp::from_micros(1_617_123_123_500_000), false));
}

#[test]
fn addresses_with_a_score_are_addresses() {
    let text = "# IPsum\n#\n77.90.185.20\t10\n77.239.124.102\t9\n";
    assert_eq!(read_header(text.as_bytes()).delimiter, b'\t');
    assert_eq!(values(text), ["77.90.185.20", "77.239.124.102"]);
}

#[test]
fn rows_of_tweets_give_the_value_beside_its_type_and_their_time() {
    let text = "2024-03-13 02:07:20,ScumBots,domain,zoonm.ddns.net,#Remcos,https://twitter.com/ScumBots/status/1\r\n\
                2024-03-13 02:07:20,ScumBots,url,http://zoonm.ddns.net:35890,#Remcos,https://twitter.com/ScumBots/status/1\r\n\
                2022-09-05 00:15:21,RdpSnitch,ip,142.93.8.59,,https://twitter.com/RdpSnitch/status/2\r\n\
                2021-10-13 00:00:00,,,,,\r\n,,,,,\r\n";
    let parsed = read(text);
    assert_eq!(
        taken(&parsed),
        [(1, Kind::Domain, "zoonm.ddns.net".to_owned()), (2, Kind::Url, "http://zoonm.ddns.net:35890/".to_owned()), (3, Kind::Ipv4, "142.93.8.59".to_owned())]
    );
    assert_eq!(parsed.events[0].time, Timestamp::parse("2024-03-13T02:07:20Z").unwrap());
    assert!(!parsed.events[0].timeless);
    assert_eq!(refused_lines(text), [4], "a row of empty cells is a blank line");
}

#[test]
fn rows_without_a_header_give_their_first_telling_cell() {
    for (line, value) in [
        ("statsrvv.com,keitaro,2024-09-01,ViriBack", "statsrvv.com"),
        ("2018-03-25 04:11:00,136.243.88.145", "136.243.88.145"),
        ("hxxp://0x00.shop/xf/,2017-06-07 11:45:14,cc7b9fa24c99933abce25356c8ec96c906c50304c19cec9e8d71624f5f155fe2", "http://0x00.shop/xf/"),
        (
            "8391c571bffb3ce538ace4d8a3388b28eb486cca5bdab08ab7b568b4e8fc0ec8,Gon.sys,Gon,,,,",
            "8391c571bffb3ce538ace4d8a3388b28eb486cca5bdab08ab7b568b4e8fc0ec8",
        ),
        ("Gon.sys;8391c571bffb3ce538ace4d8a3388b28eb486cca5bdab08ab7b568b4e8fc0ec8", "8391c571bffb3ce538ace4d8a3388b28eb486cca5bdab08ab7b568b4e8fc0ec8"),
        ("Domain,alsalam.ddns[.]net,", "alsalam.ddns.net"),
        ("IP,91[.]134[.]203[.]59,", "91.134.203.59"),
        ("Filename,my tool.exe,", "my tool.exe"),
        ("156.146.34.46,ipaddress,IP observed on example.com", "156.146.34.46"),
        ("hxxp://efax.pfdweek.com/eFax/message0236.ZIP,url,\"\"", "http://efax.pfdweek.com/eFax/message0236.ZIP"),
        ("\"evil.com\",\"a, b\",\"https://report.example/\"", "evil.com"),
        ("evil actor,evil.com,https://report.example/", "evil.com"),
        ("46.20.33.87,Malware", "46.20.33.87"),
    ] {
        assert_eq!(values(line), [value], "{line:?}");
    }
    assert_eq!(values("APT1,some text,https://report.example/"), [] as [&str; 0], "a reference is no observable");
    assert_eq!(values("http://evil.com/a,b"), ["http://evil.com/a,b"], "a comma in a URL is no delimiter");
    assert_eq!(values("1.2.3.4, 1.2.3.5, 1.2.3.6"), ["1.2.3.4", "1.2.3.5", "1.2.3.6"]);
}

#[test]
fn hashes_of_one_file_are_one_event() {
    let parsed = read(
        "2018-01-27 17:06:56,e036669e7be299c75811e1fe41b2fd1fa44bc6ee2d3e808e29e510afa1cddb4c,8c5b25017a6cceab7a9116584c1161ce482f3745,74a7b828be469557b5167dcdd57163b5\n",
    );
    assert_eq!(parsed.events[0].observables.iter().map(|observable| observable.kind).collect::<Vec<_>>(), [Kind::Sha256, Kind::Sha1, Kind::Md5]);
    let parsed = read("\"8c5b25017a6cceab7a9116584c1161ce482f3745,74a7b828be469557b5167dcdd57163b5\",file,XESKim sample\n");
    assert_eq!(parsed.events[0].observables.len(), 2);
}

#[test]
fn headings_are_no_entries() {
    let text = "Domain,Malware,Date added,Source\nstatsrvv.com,keitaro,2024-09-01,ViriBack\n";
    let parsed = read(text);
    assert_eq!((parsed.events.len(), parsed.refusals.len()), (1, 0));
}

#[test]
fn a_time_too_far_ahead_is_refused() {
    let parsed = read("2999-01-01,evil.com\n");
    assert!(parsed.events.is_empty());
    assert!(parsed.refusals[0].reason.starts_with("time is more than 24 hours ahead"));
}

#[test]
fn very_long_lines_are_refused_and_long_originals_are_cut() {
    let parsed = read(format!("{}\nevil.com # {}\n", "a".repeat(MAX_LINE_BYTES + 1), "é".repeat(4_000)));
    assert_eq!(parsed.refusals.len(), 1);
    let original = parsed.events[0].details.as_ref().unwrap().original.clone().unwrap();
    assert!(original.len() <= MAX_ORIGINAL_BYTES && original.len() > MAX_ORIGINAL_BYTES - 4);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_every_line_is_accounted_for(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let parsed = read(&bytes);
        prop_assert_eq!(parsed.events.len(), parsed.lines.len());
        let lines = Lines::new(&bytes).count() as u64;
        prop_assert!(parsed.lines.iter().chain(parsed.refusals.iter().map(|refusal| &refusal.line)).all(|line| (1..=lines).contains(line)));
    }

    #[test]
    fn no_text_makes_it_panic(lines in proptest::collection::vec("[-#!|@$<>{}\\[\\]\"',;:/\\\\a-z0-9. \t]{0,40}", 0..12), shape in 0_usize..6) {
        let text = lines.join("\n");
        let list = [Shape::Plain, Shape::Hosts, Shape::AdBlock, Shape::Rpz, Shape::Zeek { indicator: 0, kind: 1, time: 2 }, Shape::Delimited][shape];
        let mut parsed = Parsed::default();
        parse(&Header { delimiter: b',', list, ..Header::default() }, text.as_bytes(), 1, &defaults(), &mut parsed);
        let _ = read(&text);
    }

    #[test]
    fn chunks_read_apart_give_what_the_whole_gives(first in "([a-z]{1,5}\\.com|1\\.2\\.3\\.4:80|bad line)(\n([a-z]{1,5}\\.net|#x)){0,5}\n", second in "([a-z]{1,5}\\.org\n){0,5}") {
        let whole = format!("{first}{second}");
        let header = read_header(whole.as_bytes());
        let mut together = Parsed::default();
        parse(&header, whole.as_bytes(), 1, &defaults(), &mut together);
        let mut apart = Parsed::default();
        parse(&header, first.as_bytes(), 1, &defaults(), &mut apart);
        parse(&header, second.as_bytes(), 1 + first.lines().count() as u64, &defaults(), &mut apart);
        prop_assert_eq!(together.events, apart.events);
        prop_assert_eq!(together.lines, apart.lines);
        prop_assert_eq!(together.refusals, apart.refusals);
    }
}
