//! Names of hosts as people read them: what an A-label (`xn--…`) says in letters.
//!
//! Flow: something made for people (a table, a page) shows a value → [`beside`] gives the name in letters, which stands behind the value in brackets.
//! Invariant: the value itself stays what it is; letters are shown beside it alone, never in its place, and only where they cannot pass for others: they come
//! back to the same A-labels, each label is of one script (or of Hangul with Latin letters or Han, of Han with kana), none is written from right to left, and
//! none consists of Cyrillic letters that all look Latin. All other names stay as they are.
//! Not here: how a name becomes A-labels ([`crate::canonical`]).
//!
//! Source: UTS #46 (ToUnicode); UTS #39, section 5.2, of which this is stricter than "highly restrictive".

use crate::ObservableType;
use crate::filter::host_of_url;
use idna::AsciiDenyList;

/// Letters of one script, as a bit; digits and hyphens are no script's.
type Scripts = u8;

const NONE: Scripts = 0;
const LATIN: Scripts = 1;
const HANGUL: Scripts = 2;
const HAN: Scripts = 4;
const KANA: Scripts = 8;
const CYRILLIC: Scripts = 16;

/// Scripts that may stand together in one label.
const TOGETHER: [Scripts; 9] = [NONE, LATIN, HANGUL, HAN, KANA, CYRILLIC, HANGUL | LATIN, HANGUL | HAN, HAN | KANA];
/// Cyrillic letters that look like Latin ones.
const LIKE_LATIN: &str = "асеіјорѕхугп";

/// What the name in a value says in letters; `None` where it says nothing else than the value, or where it is not safe to show.
pub fn beside(kind: ObservableType, value: &str) -> Option<String> {
    let name = name_of(kind, value)?;
    if !name.split('.').any(|label| label.starts_with("xn--")) {
        return None;
    }
    let (letters, read) = idna::domain_to_unicode(name);
    read.ok()?;
    let back = idna::domain_to_ascii_cow(letters.as_bytes(), AsciiDenyList::URL).ok()?;
    (&*back == name && letters.split('.').all(is_safe)).then_some(letters)
}

/// A value with its name in letters behind it, where there is one.
pub fn with_letters(kind: ObservableType, value: &str) -> String {
    beside(kind, value).map_or_else(|| value.to_owned(), |letters| format!("{value} ({letters})"))
}

/// The name of the host in a canonical value.
fn name_of(kind: ObservableType, value: &str) -> Option<&str> {
    match kind {
        ObservableType::Domain => Some(value),
        ObservableType::Email => value.rsplit_once('@').map(|(_, host)| host),
        ObservableType::Url => {
            let host = host_of_url(value);
            Some(host.strip_suffix('.').unwrap_or(host))
        }
        ObservableType::Ipv4
        | ObservableType::Ipv6
        | ObservableType::Cidr
        | ObservableType::Md5
        | ObservableType::Sha1
        | ObservableType::Sha256
        | ObservableType::Sha512
        | ObservableType::Ssdeep
        | ObservableType::Asn
        | ObservableType::Filename
        | ObservableType::Mac
        | ObservableType::Cve
        | ObservableType::UserAgent
        | ObservableType::Ja3
        | ObservableType::X509Sha1
        | ObservableType::X509Sha256
        | ObservableType::Bitcoin
        | ObservableType::Phone => None,
    }
}

/// Whether a label can be shown in letters.
fn is_safe(label: &str) -> bool {
    let mut scripts = NONE;
    for letter in label.chars() {
        let Some(script) = script(letter) else { return false };
        scripts |= script;
    }
    let passes_for_latin = scripts == CYRILLIC && label.chars().all(|letter| script(letter) == Some(NONE) || LIKE_LATIN.contains(letter));
    TOGETHER.contains(&scripts) && !passes_for_latin
}

/// The script of a letter; `None` for whatever is not shown: other scripts, marks that join others, what has no shape.
const fn script(letter: char) -> Option<Scripts> {
    match letter {
        '0'..='9' | '-' | '_' => Some(NONE),
        // Without a dot, a small capital, an apostrophe: they pass for others.
        '\u{131}' | '\u{138}' | '\u{149}' => None,
        'a'..='z' | '\u{df}'..='\u{f6}' | '\u{f8}'..='\u{17e}' | '\u{1ea0}'..='\u{1ef9}' => Some(LATIN),
        '\u{ac00}'..='\u{d7a3}' => Some(HANGUL),
        '\u{3005}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' => Some(HAN),
        '\u{3041}'..='\u{3096}' | '\u{309d}' | '\u{309e}' | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30fe}' => Some(KANA),
        '\u{430}'..='\u{45f}' | '\u{491}' => Some(CYRILLIC),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::canonical::canonical;
    use proptest::prelude::*;

    #[test]
    fn names_are_told_in_the_letters_that_they_were_written_in() {
        for written in ["한국.kr", "은행.한국", "kt올레.kr", "révoke-cash.online", "пример.рф", "日本語.jp", "みずほ銀行.jp", "bücher.example.com"]
        {
            let value = canonical(ObservableType::Domain, written).unwrap();
            assert!(value.contains("xn--"), "{value}");
            assert_eq!(beside(ObservableType::Domain, &value).as_deref(), Some(written), "{value}");
        }
        assert_eq!(with_letters(ObservableType::Domain, "xn--3e0b707e.kr"), "xn--3e0b707e.kr (한국.kr)");
        assert_eq!(with_letters(ObservableType::Domain, "evil.com"), "evil.com");
    }

    #[test]
    fn the_host_of_a_url_and_of_a_mail_address_is_told_alone() {
        for (kind, value) in [
            (ObservableType::Url, "http://xn--3e0b707e.kr/path?q=1"),
            (ObservableType::Url, "https://me:it@xn--3e0b707e.kr:8443/"),
            (ObservableType::Url, "http://xn--3e0b707e.kr."),
            (ObservableType::Email, "duty@xn--3e0b707e.kr"),
        ] {
            assert_eq!(beside(kind, value).as_deref(), Some("한국.kr"), "{value}");
        }
        assert_eq!(beside(ObservableType::Url, "http://evil.com/xn--3e0b707e.kr"), None);
        assert_eq!(beside(ObservableType::Filename, "xn--3e0b707e.kr"), None);
    }

    #[test]
    fn what_could_pass_for_another_name_stays_as_it_is() {
        for value in [
            // "apple" wholly in Cyrillic letters, and with one of them.
            "xn--80ak6aa92e.com",
            "xn--pple-43d.com",
            // From right to left.
            "xn--mgba3a4f16a.ir",
            // No label of a name.
            "xn--kr",
            "xn--a.com",
            "xn--.com",
        ] {
            assert_eq!(beside(ObservableType::Domain, value), None, "{value}");
        }
        for written in ["сср.com", "apрle.com", "ノn.jp", "ไทย.com", "ελ.gr", "ı.com"] {
            let value = canonical(ObservableType::Domain, written).unwrap();
            assert_eq!(beside(ObservableType::Domain, &value), None, "{written}");
        }
    }

    proptest! {
        #[test]
        fn what_is_told_is_the_same_name_and_has_no_letter_that_turns_or_hides_others(written in "\\PC{1,12}\\.(kr|com|한국)") {
            if let Ok(value) = canonical(ObservableType::Domain, &written)
                && let Some(letters) = beside(ObservableType::Domain, &value)
            {
                prop_assert!(letters.chars().all(|letter| letter == '.' || script(letter).is_some()));
                prop_assert_eq!(canonical(ObservableType::Domain, &letters), Ok(value));
            }
        }
    }
}
