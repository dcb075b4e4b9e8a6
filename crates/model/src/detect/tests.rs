//! Facts of which type a bare text has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::ObservableType as Kind;
use proptest::prelude::*;

#[test]
fn the_type_of_a_bare_text_is_found() {
    for (text, kind, value) in [
        ("F211694AAF443B12B2ECA9F5E7F25407", Kind::Md5, "f211694aaf443b12b2eca9f5e7f25407"),
        ("ff7b2c3938306261881c42e78d0df51d9bcdd574", Kind::Sha1, "ff7b2c3938306261881c42e78d0df51d9bcdd574"),
        ("e036669e7be299c75811e1fe41b2fd1fa44bc6ee2d3e808e29e510afa1cddb4c", Kind::Sha256, "e036669e7be299c75811e1fe41b2fd1fa44bc6ee2d3e808e29e510afa1cddb4c"),
        ("cve-2021-44228", Kind::Cve, "CVE-2021-44228"),
        ("1.2.3.4", Kind::Ipv4, "1.2.3.4"),
        ("1[.]2[.]3[.]4", Kind::Ipv4, "1.2.3.4"),
        ("109(.)236(.)82(.)58", Kind::Ipv4, "109.236.82.58"),
        ("0056.0151.0121.0114", Kind::Ipv4, "46.105.81.76"),
        ("1.2.3.4/32", Kind::Ipv4, "1.2.3.4"),
        ("1.2.3.4/24", Kind::Cidr, "1.2.3.0/24"),
        ("1.2.3.4/2.php", Kind::Url, "http://1.2.3.4/2.php"),
        ("1.2.3.4/99", Kind::Url, "http://1.2.3.4/99"),
        ("2001:DB8::1", Kind::Ipv6, "2001:db8::1"),
        ("2001:db8::/32", Kind::Cidr, "2001:db8::/32"),
        ("2001:db8::1/128", Kind::Ipv6, "2001:db8::1"),
        ("hxxp://evil[.]com/a", Kind::Url, "http://evil.com/a"),
        ("tcp://evil.com:4444", Kind::Url, "tcp://evil.com:4444"),
        ("meow://evil.com/x", Kind::Url, "http://evil.com/x"),
        ("passionpastry.com/wp-admin/n/", Kind::Url, "http://passionpastry.com/wp-admin/n/"),
        ("1.2.3.4:8080/x", Kind::Url, "http://1.2.3.4:8080/x"),
        ("40.70.42.104?rid=8i4dr5f", Kind::Url, "http://40.70.42.104/?rid=8i4dr5f"),
        ("evil[.]com[/]x", Kind::Url, "http://evil.com/x"),
        ("user[@]evil[.]com", Kind::Email, "user@evil.com"),
        ("AS3320", Kind::Asn, "3320"),
        ("aa-bb-cc-00-11-22", Kind::Mac, "aa:bb:cc:00:11:22"),
        ("3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C", Kind::Ssdeep, "3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", Kind::Bitcoin, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", Kind::Bitcoin, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
        ("Evil.COM", Kind::Domain, "evil.com"),
        ("*.evil.com", Kind::Domain, "evil.com"),
        ("evil.com.", Kind::Domain, "evil.com"),
        ("some_host.evil.com", Kind::Domain, "some_host.evil.com"),
        ("révoke-cash.online", Kind::Domain, "xn--rvoke-cash-b7a.online"),
        ("%20mandrillapp.com", Kind::Domain, "mandrillapp.com"),
        ("xeyocsu7fu2vjhxs.onion", Kind::Domain, "xeyocsu7fu2vjhxs.onion"),
        ("microsoft.upgrade1.zip", Kind::Domain, "microsoft.upgrade1.zip"),
        ("com.evil.xyz", Kind::Domain, "com.evil.xyz"),
        ("2023-Budget.zip", Kind::Filename, "2023-Budget.zip"),
        ("ntertmgr64.exe", Kind::Filename, "ntertmgr64.exe"),
        ("invoice.PDF", Kind::Filename, "invoice.PDF"),
        ("\"evil.com\"", Kind::Domain, "evil.com"),
        ("`evil[.]com`", Kind::Domain, "evil.com"),
        ("\u{feff}evil.com\u{a0}", Kind::Domain, "evil.com"),
    ] {
        assert_eq!(detect(text), Some((kind, Text::new(value))), "{text:?}");
    }
}

#[test]
fn ports_are_kept_apart() {
    for (text, kind, value, port) in [
        ("1.2.3.4:80", Kind::Ipv4, "1.2.3.4", Some(80)),
        ("1[.]2[.]3[.]4[:]80", Kind::Ipv4, "1.2.3.4", Some(80)),
        ("1.2.3.4:0", Kind::Ipv4, "1.2.3.4", None),
        ("[2001:db8::1]:443", Kind::Ipv6, "2001:db8::1", Some(443)),
        ("[2001:db8::1]", Kind::Ipv6, "2001:db8::1", None),
        ("evil.com:4444", Kind::Domain, "evil.com", Some(4444)),
        ("http://evil.com:8080/", Kind::Url, "http://evil.com:8080/", None),
    ] {
        assert_eq!(detect_with_port(text), Some((kind, Text::new(value), port)), "{text:?}");
    }
}

#[test]
fn what_could_be_anything_is_nothing() {
    for text in [
        "",
        " ",
        "evil",
        "two words.com",
        "/2.php",
        "/24",
        "24/7",
        "and/or",
        "text/html",
        "index.php/x",
        "2024-01-01",
        "12/03/2024",
        "1.2.3",
        "1.2.3.4:99999",
        "v1.2.3",
        "e.g",
        "com.google.android.street",
        "com.UCMobile.intl",
        "@handle",
        "user@host",
        "010-1234-5678",
        "56683",
        "http://",
        "http://evil.com/lo\u{2026}",
        "C:\\Users\\x.exe",
        "AS",
        "#malware",
        "f211694aaf443b12b2eca9f5e7f2540",
        "123456789012345678901234567890",
    ] {
        assert_eq!(detect(text), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn what_is_detected_is_canonical(text in "\\PC{0,60}") {
        if let Some((kind, value)) = detect(&text) {
            prop_assert_eq!(canonical(kind, &value), Ok(value.clone()));
        }
    }

    #[test]
    fn canonical_values_are_detected_as_themselves(
        bits in any::<u32>(),
        wide in any::<u128>(),
        length in 1_u8..32,
        name in "[a-z][a-z0-9-]{0,10}\\.(com|kr|top|evil\\.net|co\\.kr)",
        path in "[a-zA-Z0-9/?=&,;']{0,20}",
    ) {
        let four = std::net::Ipv4Addr::from_bits(bits).to_string();
        let six = std::net::Ipv6Addr::from_bits(wide).to_string();
        for (kind, text) in [
            (Kind::Ipv4, four.clone()),
            (Kind::Ipv6, six),
            (Kind::Cidr, format!("{four}/{length}")),
            (Kind::Domain, name.clone()),
            (Kind::Email, format!("someone@{name}")),
            (Kind::Url, format!("https://{name}/{path}")),
            (Kind::Url, format!("{four}/x{path}")),
            (Kind::Md5, format!("{wide:032x}")),
            (Kind::Sha256, format!("{wide:064x}")),
        ] {
            let value = canonical(kind, &text).unwrap();
            prop_assert_eq!(detect(&value), Some((kind, value.clone())), "{}", text);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = detect_with_port(&String::from_utf8_lossy(&bytes));
    }
}
