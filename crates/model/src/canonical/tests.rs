//! Facts of canonical forms that concern more than one type; those of one family are beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use proptest::prelude::*;

fn taken(kind: ObservableType, cases: &[(&str, &str)]) {
    for &(text, value) in cases {
        assert_eq!(canonical(kind, text).as_deref(), Ok(value), "{kind} {text:?}");
        assert_eq!(canonical(kind, value).as_deref(), Ok(value), "{kind} {value:?} is not stable");
    }
}

fn refused(kind: ObservableType, texts: &[&str]) {
    for text in texts {
        assert!(canonical(kind, text).is_err(), "{kind} {text:?}");
    }
}

#[test]
fn hashes_are_lower_case_hexadecimal_of_their_length() {
    taken(
        ObservableType::Md5,
        &[
            ("F211694AAF443B12B2ECA9F5E7F25407", "f211694aaf443b12b2eca9f5e7f25407"),
            (" f211694aaf443b12b2eca9f5e7f25407\u{200b}", "f211694aaf443b12b2eca9f5e7f25407"),
            ("MD5: f211694aaf443b12b2eca9f5e7f25407", "f211694aaf443b12b2eca9f5e7f25407"),
        ],
    );
    taken(ObservableType::X509Sha1, &[("AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD", "aabbccddeeff00112233445566778899aabbccdd")]);
    refused(ObservableType::Sha1, &["f211694aaf443b12b2eca9f5e7f25407", "", "g211694aaf443b12b2eca9f5e7f25407ffffffff"]);
    assert_eq!(canonical(ObservableType::Sha256, "abc").map_err(|error| error.to_string()), Err("a sha256 has 64 hexadecimal digits".to_owned()));
}

#[test]
fn mail_addresses_keep_the_local_part() {
    taken(
        ObservableType::Email,
        &[
            ("Some.One+tag@EXAMPLE.Com", "Some.One+tag@example.com"),
            ("user[@]example[.]com", "user@example.com"),
            ("user(at)example(dot)com", "user@example.com"),
            ("mailto:user@example.com?subject=x", "user@example.com"),
            ("Some One <user@example.com>", "user@example.com"),
            ("user@révoke-cash.online", "user@xn--rvoke-cash-b7a.online"),
            ("user@[192.0.2.1]", "user@[192.0.2.1]"),
        ],
    );
    refused(ObservableType::Email, &["user", "@example.com", "user@", "a b@example.com", "user@1.2.3.4"]);
}

#[test]
fn the_other_types_have_one_form() {
    taken(ObservableType::Asn, &[("AS64500", "64500"), ("asn 3320", "3320"), ("1.10", "65546"), ("0042", "42")]);
    refused(ObservableType::Asn, &["AS", "ASX", "4294967296", "-1", "1.70000"]);
    taken(ObservableType::Mac, &[("AA-BB-CC-00-11-22", "aa:bb:cc:00:11:22"), ("aabb.cc00.1122", "aa:bb:cc:00:11:22"), ("AABBCC001122", "aa:bb:cc:00:11:22")]);
    refused(ObservableType::Mac, &["aa:bb:cc", "aa:bb:cc:00:11:22:33", "a:abb:cc:00:11:22", "aa:bb:cc:00:11:22:"]);
    taken(
        ObservableType::Cve,
        &[("cve-2021-44228", "CVE-2021-44228"), ("CVE_2024_12345678", "CVE-2024-12345678"), ("CVE\u{2013}2021\u{2013}0001", "CVE-2021-0001")],
    );
    refused(ObservableType::Cve, &["CVE-21-1234", "CVE-2021-123", "2021-44228", "CVE-2021-44228x"]);
    taken(
        ObservableType::Bitcoin,
        &[
            (" 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa ", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
            ("bitcoin:BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4?amount=1", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
        ],
    );
    refused(ObservableType::Bitcoin, &["1A1zP1eP5QGefi2DMPTfTL5SLmv7Divf0a", "2abc", "bc1qW508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"]);
    taken(
        ObservableType::Phone,
        &[("+82 (0)2-405-4118", "+8224054118"), ("0082 2 405 4118", "+8224054118"), ("010-1234-5678", "01012345678"), ("tel:+82-118", "+82118")],
    );
    refused(ObservableType::Phone, &["+", "call me", "12"]);
    taken(
        ObservableType::Ssdeep,
        &[("3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C", "3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C"), ("3:ab:cd,\"file.exe\"", "3:ab:cd")],
    );
    refused(ObservableType::Ssdeep, &["ab:cd", "3:a b:c", "x:ab:cd"]);
    taken(ObservableType::Filename, &[("\u{feff}  Invoice 2024.PDF .exe ", "Invoice 2024.PDF .exe")]);
    refused(ObservableType::UserAgent, &["a\u{7}b", "\u{200b}"]);
}

#[test]
fn limits_hold() {
    assert_eq!(canonical(ObservableType::Filename, &"a".repeat(MAX_VALUE_BYTES)).map(|value| value.len()), Ok(MAX_VALUE_BYTES));
    assert_eq!(canonical(ObservableType::Filename, &"a".repeat(MAX_VALUE_BYTES + 1)), Err(CanonicalError::TooLong));
    let long = format!("http://example.org/{}", "é".repeat(2_000));
    assert_eq!(canonical(ObservableType::Url, &long), Err(CanonicalError::TooLong), "twelve thousand bytes once encoded");
}

#[test]
fn an_observable_knows_its_flags() {
    let made = observable(ObservableType::Ipv4, "10[.]0[.]0[.]1", Role::Victim, None).unwrap();
    assert_eq!((made.value.as_str(), made.reserved, made.detect, made.role), ("10.0.0.1", true, true, Role::Victim));
    let made = observable(ObservableType::Asn, "AS3320", Role::Attacker, Some(true)).unwrap();
    assert!(made.detect && !made.reserved);
}

proptest! {
    #[test]
    fn the_canonical_form_is_stable_for_any_text(number in 0_u8..21, text in "\\PC{0,60}") {
        let kind = ObservableType::from_number(number).unwrap();
        if let Ok(value) = canonical(kind, &text) {
            prop_assert_eq!(canonical(kind, &value), Ok(value.clone()));
            let _ = is_reserved(kind, &value);
        }
    }

    #[test]
    fn the_canonical_form_is_stable_for_likely_texts(
        number in 0_u8..21,
        text in "(hxxps?|http|ftp|tcp|mailto)?(://|\\[:\\]//|:)?[a-zA-Z0-9_.@\\[\\]():/%é-]{0,40}",
    ) {
        let kind = ObservableType::from_number(number).unwrap();
        if let Ok(value) = canonical(kind, &text) {
            prop_assert_eq!(canonical(kind, &value), Ok(value.clone()));
            let _ = is_reserved(kind, &value);
        }
    }

    #[test]
    fn no_text_makes_it_panic(number in 0_u8..21, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let kind = ObservableType::from_number(number).unwrap();
        let _ = canonical(kind, &String::from_utf8_lossy(&bytes));
    }
}
