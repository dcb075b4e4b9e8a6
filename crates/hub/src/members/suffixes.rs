//! Names under which everybody registers, so that nobody owns all below them.
//!
//! Invariant: conservative. A name without a dot is one; so are the second levels listed here. What this list lacks is left to the person
//! who approves a registration.
//! Source: the registries' own pages on their second levels, and the section "ICANN domains" of publicsuffix.org for those named.

/// Second levels that are open to everyone under some top-level domain.
const SECOND_LEVELS: [&str; 24] =
    ["co", "com", "net", "org", "gov", "go", "edu", "ac", "mil", "or", "ne", "re", "pe", "hs", "ms", "es", "sc", "kg", "ad", "ed", "gr", "lg", "ltd", "me"];
/// Top-level domains with such second levels.
const TOP_LEVELS: [&str; 24] =
    ["kr", "jp", "uk", "au", "nz", "za", "in", "id", "th", "tw", "cn", "hk", "sg", "my", "ph", "vn", "br", "mx", "ar", "tr", "il", "ua", "pl", "ru"];
/// Second levels by name that are no word of the list above: Korean provinces and cities, and large hosts of others' sites.
const NAMED: [&str; 32] = [
    "seoul.kr",
    "busan.kr",
    "daegu.kr",
    "incheon.kr",
    "gwangju.kr",
    "daejeon.kr",
    "ulsan.kr",
    "gyeonggi.kr",
    "gangwon.kr",
    "chungbuk.kr",
    "chungnam.kr",
    "jeonbuk.kr",
    "jeonnam.kr",
    "gyeongbuk.kr",
    "gyeongnam.kr",
    "jeju.kr",
    "github.io",
    "gitlab.io",
    "pages.dev",
    "workers.dev",
    "vercel.app",
    "netlify.app",
    "web.app",
    "firebaseapp.com",
    "herokuapp.com",
    "azurewebsites.net",
    "cloudfront.net",
    "blogspot.com",
    "duckdns.org",
    "ngrok.io",
    "in-addr.arpa",
    "ip6.arpa",
];

/// Large mail services: a mail address counts by its domain, so who registers one of these would be told of everybody's.
const MAIL_HOSTS: [&str; 36] = [
    "naver.com",
    "hanmail.net",
    "daum.net",
    "kakao.com",
    "nate.com",
    "empas.com",
    "dreamwiz.com",
    "korea.com",
    "gmail.com",
    "googlemail.com",
    "outlook.com",
    "outlook.kr",
    "hotmail.com",
    "hotmail.co.kr",
    "live.com",
    "msn.com",
    "yahoo.com",
    "yahoo.co.kr",
    "yahoo.co.jp",
    "icloud.com",
    "me.com",
    "mac.com",
    "aol.com",
    "proton.me",
    "protonmail.com",
    "tutanota.com",
    "zoho.com",
    "gmx.com",
    "gmx.net",
    "web.de",
    "mail.ru",
    "yandex.ru",
    "yandex.com",
    "qq.com",
    "163.com",
    "126.com",
];

/// Whether everybody can have a mail address at this canonical domain.
pub(super) fn is_mail_host(domain: &str) -> bool {
    MAIL_HOSTS.contains(&domain)
}

/// Whether everybody can register names below this canonical domain.
pub(super) fn is_public(domain: &str) -> bool {
    match domain.split_once('.') {
        None => true,
        Some((second, top)) => (SECOND_LEVELS.contains(&second) && TOP_LEVELS.contains(&top)) || NAMED.contains(&domain),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn mail_services_are_told_from_names_below_them() {
        for host in ["gmail.com", "naver.com", "daum.net", "hanmail.net", "outlook.com"] {
            assert!(is_mail_host(host) && !is_public(host), "{host}");
        }
        assert!(!is_mail_host("mail.naver.com") && !is_mail_host("mygmail.com"));
    }

    #[test]
    fn public_suffixes_are_told_from_names_that_somebody_owns() {
        for public in ["kr", "com", "co.kr", "go.kr", "or.kr", "ne.kr", "re.kr", "ac.kr", "co.uk", "co.jp", "seoul.kr", "github.io"] {
            assert!(is_public(public), "{public}");
        }
        for owned in ["bank.kr", "bank.co.kr", "mois.go.kr", "example.com", "co.example", "shop.github.io"] {
            assert!(!is_public(owned), "{owned}");
        }
    }
}
