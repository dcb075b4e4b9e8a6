//! Each product's bytes, written down by hand from its format's own documentation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use model::ObservableType::{Cidr, Domain, Email, Ipv4, Ipv6, Ja3, Md5, Sha256, Url, X509Sha1};
use model::canonical::canonical;
use proptest::prelude::*;

/// An indicator of a type and value, the rest as most have it.
pub(super) fn entry(kind: ObservableType, value: &str) -> Entry<'_> {
    Entry {
        kind,
        value,
        category: Category::C2Server,
        malware: Some("Emotet"),
        tlp: Tlp::Green,
        pap: Pap::Green,
        confidence: 50,
        first_seen: Timestamp::from_seconds(1_767_225_600),
        last_seen: Timestamp::from_seconds(1_767_312_000),
        valid_until: Some(Timestamp::from_seconds(1_769_904_000)),
        sectors: &[],
    }
}

fn made(product: Product, entries: &[(ObservableType, &str)]) -> String {
    let entries = entries.iter().filter(|(kind, value)| product.takes(*kind, value)).map(|(kind, value)| entry(*kind, value));
    String::from_utf8(body(product, entries)).unwrap()
}

const MIXED: &[(ObservableType, &str)] = &[
    (Ipv4, "185.60.1.9"),
    (Ipv6, "2001:67c::1"),
    (Cidr, "185.61.0.0/16"),
    (Cidr, "2a00:1450::/32"),
    (Domain, "evil.kr"),
    (Url, "http://bad.kr:8080/x?y=1;z"),
    (Email, "a@bad.kr"),
    (Md5, "d41d8cd98f00b204e9800998ecf8427e"),
];

#[test]
fn every_product_is_found_by_its_name() {
    for product in Product::all() {
        assert_eq!(Product::parse(&product.name()), Some(product), "{}", product.name());
    }
    for name in ["", "txt", ".txt", "ip.txt", "suricata-asn.lst", "recalls", "misp", "IPV4.txt", "csv/"] {
        assert_eq!(Product::parse(name), None, "{name}");
    }
}

#[test]
fn a_list_of_a_type_holds_that_type_alone() {
    assert_eq!(made(Product::List(Some(Ipv4)), MIXED), "185.60.1.9\n");
    assert_eq!(made(Product::List(Some(Domain)), MIXED), "evil.kr\n", "a URL yields no domain");
    assert_eq!(made(Product::List(None), MIXED).lines().count(), MIXED.len());
}

#[test]
fn the_list_of_every_type_holds_no_value_that_reads_as_another_type() {
    use model::ObservableType::{Filename, UserAgent};
    for (kind, value) in [(Filename, "8.8.8.8"), (Filename, "invoice.exe"), (UserAgent, "naver.com"), (Ja3, "e7d705a3286e19ea42f587b344ee6865")] {
        assert!(!Product::List(None).takes(kind, value), "{kind} {value}");
        assert!(Product::List(Some(kind)).takes(kind, value), "{kind} {value}");
    }
    assert!(MIXED.iter().all(|(kind, value)| Product::List(None).takes(*kind, value)));
}

#[test]
fn no_name_is_a_command_to_the_resolver() {
    for (name, expected) in [("32.7.0.45.211.rpz-client-ip", false), ("rpz-passthru.kr", false), ("a.rpz-x.kr", false), ("arpz-ip.kr", true)] {
        assert_eq!(Product::RpzZone.takes(Domain, name), expected, "{name}");
    }
}

#[test]
fn a_csv_has_a_row_per_indicator_with_its_marking_and_expiry() {
    let sectors = [Text::from("energy"), Text::from("finance")];
    let entry = Entry { sectors: &sectors, malware: Some("=cmd, \"x\""), ..entry(Domain, "evil.kr") };
    let expected = "type,value,category,malware,tlp,pap,confidence,first_seen,last_seen,valid_until,sectors\n\
        domain,evil.kr,c2-server,\"'=cmd, \"\"x\"\"\",green,green,50,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,2026-02-01T00:00:00Z,energy finance\n";
    assert_eq!(String::from_utf8(body(Product::Csv, std::iter::once(entry))).unwrap(), expected);
    let ageless = Entry { valid_until: None, malware: None, ..entry };
    assert!(String::from_utf8(body(Product::Csv, std::iter::once(ageless))).unwrap().ends_with("2026-01-02T00:00:00Z,,energy finance\n"));
}

#[test]
fn a_hosts_file_holds_domains_and_no_url_or_mail_address() {
    assert_eq!(made(Product::Hosts, MIXED), "0.0.0.0 evil.kr\n");
    assert_eq!(made(Product::SquidDomains, MIXED), "evil.kr\n");
}

#[test]
fn a_policy_zone_names_domains_and_addresses_backwards() {
    let expected = "9.1.60.185.rpz-ip";
    let zone = made(Product::RpzZone, MIXED);
    let lines: Vec<&str> = zone.lines().collect();
    assert_eq!(
        lines,
        [
            &format!("32.{expected} IN CNAME .") as &str,
            "128.1.zz.67c.2001.rpz-ip IN CNAME .",
            "16.0.0.61.185.rpz-ip IN CNAME .",
            "32.zz.1450.2a00.rpz-ip IN CNAME .",
            "evil.kr IN CNAME .",
            "*.evil.kr IN CNAME .",
        ]
    );
    for (value, name) in [
        ("2a00::1:0:0:2", "128.2.0.0.1.zz.2a00.rpz-ip"),
        ("2a00:0:0:1::2", "128.2.zz.1.0.0.2a00.rpz-ip"),
        ("2a00:0:0:1:1:0:0:2", "128.2.0.0.1.1.zz.2a00.rpz-ip"),
        ("2a00:1:2:3:4:5:0:7", "128.7.0.5.4.3.2.1.2a00.rpz-ip"),
    ] {
        assert_eq!(made(Product::RpzZone, &[(Ipv6, value)]), format!("{name} IN CNAME .\n"), "{value}");
    }
    let long = format!("{}kr", "abcdefghi.".repeat(22));
    assert_eq!(made(Product::RpzZone, &[(Domain, long.as_str())]), "", "with the zone's name behind it, it would be none");
}

#[test]
fn nftables_sets_are_replaced_at_once() {
    let file = made(Product::NftSets, MIXED);
    assert!(file.starts_with("add table inet bongsu\nadd set inet bongsu ipv4 { type ipv4_addr; flags interval; auto-merge; }\n"));
    assert!(file.contains("flush set inet bongsu ipv4\n"));
    assert!(file.ends_with("add element inet bongsu ipv4 { 185.60.1.9, 185.61.0.0/16 }\nadd element inet bongsu ipv6 { 2001:67c::1, 2a00:1450::/32 }\n"));
    assert!(!made(Product::NftSets, &[]).contains("add element"), "an empty list of elements cannot be read");
    assert_eq!(made(Product::PfTable, MIXED), "185.60.1.9\n2001:67c::1\n185.61.0.0/16\n2a00:1450::/32\n");
}

#[test]
fn suricata_alerts_on_names_and_everything_below_on_urls_exactly() {
    let rules = made(Product::SuricataRules, MIXED);
    let lines: Vec<&str> = rules.lines().collect();
    assert_eq!(lines.len(), 7, "{rules}");
    assert!(lines.iter().all(|line| line.starts_with("alert ") && line.ends_with("metadata:tlp green, pap green, until 2026-02-01;)")), "{rules}");
    assert!(lines[0].starts_with("alert ip any any <> 185.60.1.9 any (msg:\"BONGSU c2-server ipv4 Emotet\"; threshold:"), "{}", lines[0]);
    assert!(lines[4].contains("dns.query; dotprefix; content:\".evil.kr\"; nocase; endswith; sid:1"), "{}", lines[4]);
    assert!(lines[5].contains("tls.sni; dotprefix; content:\".evil.kr\"; nocase; endswith; sid:1"), "{}", lines[5]);
    assert!(lines[6].contains("http.host; content:\"bad.kr\"; bsize:6; http.uri.raw; content:\"/x?y=1|3B|z\"; bsize:8;"), "{}", lines[6]);
    let others = made(Product::SuricataRules, &[(Ja3, "e7eca2baf4458d095b7f45da28c16c34"), (X509Sha1, "4aa3f5d4c8d8a1b2c3d4e5f60718293a4b5c6d7e")]);
    assert!(others.contains("ja3.hash; content:\"e7eca2baf4458d095b7f45da28c16c34\";"), "{others}");
    assert!(others.contains("tls.cert_fingerprint; content:\"4a|3A|a3|3A|f5"), "{others}");
    assert_eq!(made(Product::SuricataRules, &[MIXED[4]]), lines[4..6].join("\n") + "\n", "numbers are stable");
}

#[test]
fn snort_looks_for_a_name_as_it_stands_in_a_message() {
    let rules = made(Product::SnortRules, MIXED);
    assert!(
        rules.contains("alert udp any any -> any 53 ( msg:\"BONGSU c2-server domain Emotet\"; content:\"|04|evil|02|kr|00|\",nocase,fast_pattern; sid:1"),
        "{rules}"
    );
    assert!(
        rules.contains("http_raw_uri; content:\"/x?y=1|3B|z\",fast_pattern; bufferlen:8; http_header:field host; content:\"bad.kr|3A|8080\",nocase;"),
        "{rules}"
    );
    assert!(rules.lines().all(|line| line.ends_with(" )")), "{rules}");
}

#[test]
fn zeek_gets_its_own_types_between_tabs() {
    let file = made(Product::ZeekIntel, MIXED);
    let lines: Vec<Vec<&str>> = file.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines[0], ["#fields", "indicator", "indicator_type", "meta.source", "meta.desc"]);
    let pairs: Vec<(&str, &str)> = lines[1..].iter().map(|cells| (cells[0], cells[1])).collect();
    assert_eq!(
        pairs,
        [
            ("185.60.1.9", "Intel::ADDR"),
            ("2001:67c::1", "Intel::ADDR"),
            ("185.61.0.0/16", "Intel::SUBNET"),
            ("2a00:1450::/32", "Intel::SUBNET"),
            ("evil.kr", "Intel::DOMAIN"),
            ("bad.kr:8080/x?y=1;z", "Intel::URL"),
            ("a@bad.kr", "Intel::EMAIL"),
            ("d41d8cd98f00b204e9800998ecf8427e", "Intel::FILE_HASH"),
        ]
    );
    assert_eq!(lines[1][3], "c2-server Emotet tlp:green pap:green confidence 50 until 2026-02-01T00:00:00Z");
    assert!(lines[1..].iter().all(|cells| cells.len() == 4));
}

#[test]
fn data_sets_have_strings_in_base64_and_addresses_and_hashes_as_they_are() {
    assert_eq!(made(Product::Dataset(Domain), MIXED), "ZXZpbC5rcg==\n");
    assert_eq!(made(Product::Dataset(Ipv4), MIXED), "185.60.1.9\n");
    assert_eq!(made(Product::Dataset(Md5), MIXED), "d41d8cd98f00b204e9800998ecf8427e\n");
    assert_eq!(made(Product::Dataset(Sha256), MIXED), "");
    for (text, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")] {
        let mut out = String::new();
        sets::base64(&mut out, text.as_bytes());
        assert_eq!(out, expected, "RFC 4648 section 10");
    }
}

#[test]
fn the_head_says_realm_marking_expiry_and_version_and_nothing_can_end_its_line() {
    let heading = Heading {
        realm: "main\nevil.kr",
        name: "rpz.zone",
        tlp: Tlp::Green,
        generated: Timestamp::from_seconds(1_767_225_600),
        expires: Timestamp::from_seconds(1_767_312_000),
        entries: 3,
        version: "1-2-3",
    };
    let list = String::from_utf8(head(Product::List(None), &heading)).unwrap();
    assert!(list.lines().all(|line| line.starts_with("# ")), "{list}");
    for said in
        ["realm main evil.kr", "tlp: green", "generated: 2026-01-01T00:00:00Z", "expires: 2026-01-02T00:00:00Z", "entries: 3", "version: 1-2-3", "licence: "]
    {
        assert!(list.contains(said), "{said}: {list}");
    }
    let zone = String::from_utf8(head(Product::RpzZone, &heading)).unwrap();
    assert!(zone.ends_with("$TTL 300\n@ IN SOA localhost. hostmaster.localhost. ( 1767225600 300 60 86400 300 )\n@ IN NS localhost.\n"), "{zone}");
    for product in [Product::Csv, Product::Stix, Product::Dataset(Ipv4)] {
        assert!(head(product, &heading).is_empty());
    }
}

#[test]
fn a_difference_names_what_came_and_what_left() {
    let mut out = String::new();
    delta_line(Product::List(None), &entry(Domain, "old.kr"), false, &mut out);
    delta_line(Product::List(None), &entry(Domain, "new.kr"), true, &mut out);
    delta_line(Product::Csv, &entry(Domain, "old.kr"), false, &mut out);
    assert_eq!(out, "-old.kr\n+new.kr\n-domain,old.kr\n");
}

proptest! {
    #[test]
    fn a_value_of_the_wrong_type_enters_no_product_and_no_url_yields_its_host(host in "[a-z]{3,10}\\.kr", path in "[a-z0-9/]{0,20}") {
        let url = canonical(Url, &format!("http://{host}/{path}")).unwrap();
        for product in Product::all() {
            let text = made(product, &[(Url, url.as_str())]);
            let as_entry = text.lines().any(|line| line == host || line == format!("0.0.0.0 {host}") || line.starts_with(&format!("{host} IN")));
            prop_assert!(!as_entry, "{:?}: {}", product, text);
            if matches!(product, Product::Hosts | Product::RpzZone | Product::SquidDomains | Product::PfTable | Product::NftSets) {
                prop_assert!(!text.contains(&host), "{:?}: {}", product, text);
            }
        }
    }
}
