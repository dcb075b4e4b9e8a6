//! The index of products as a page: one table, wholly in Korean or wholly in English.
//!
//! Invariant: it says what [`super::index`] says; names of formats and types are as machines know them.

use super::index::{Index, Row};
use crate::pages::browser::Lang;
use crate::pages::shape::{Page, escape};
use formats::products::{Consumption, Product};

/// The words of one language.
struct Words {
    title: &'static str,
    intro: &'static str,
    /// What more there is with a key; for who has none.
    without_key: &'static str,
    columns: [&'static str; 7],
    narrowing: &'static str,
    parameter: [&'static str; 2],
    parameters: [(&'static str, &'static str); 6],
    copies: &'static str,
    /// In the place of entries and expiry, where no copy is kept.
    unmade: &'static str,
    feed: &'static str,
    recalls: &'static str,
    other: &'static str,
}

const KO: Words = Words {
    title: "봉수: 배포 목록",
    intro: "방화벽, DNS 서버, 침입 탐지 장비가 바로 읽을 수 있는 목록과 규칙입니다. 아래는 지금 받을 수 있는 전부이며, 장비에 주소를 그대로 등록하면 됩니다.",
    without_key: "키 없이 볼 수 있는 공개(clear) 목록입니다. 회원 기관은 키로 더 많은 목록을 받습니다. 키는 <code>Authorization: Bearer</code> 헤더에 넣거나, \
        장비가 사용자 이름과 비밀번호만 받는다면 비밀번호에 넣으십시오.",
    columns: ["주소", "형식", "값의 종류", "용도", "TLP", "항목 수", "만료"],
    narrowing: "범위 좁히기",
    parameter: ["매개변수", "뜻"],
    parameters: [
        ("tlp", "이 표시까지만: clear, green, amber"),
        ("type", "이 종류만, 쉼표로 구분: type=ipv4,domain"),
        ("sector", "이 분야에서 관측된 것만, 쉼표로 구분: sector=finance,energy"),
        ("min_confidence", "오늘 기준 최소 신뢰도, 0에서 100: min_confidence=60"),
        ("max_age_days", "최근 며칠 안에 관측된 것만, 1에서 3650: max_age_days=7"),
        ("since", "이 판 이후의 변경만(+ 추가, - 삭제), 목록과 csv에만. 판 번호는 이전 응답의 X-Version 헤더에 있습니다"),
    ],
    copies: "항목 수와 만료는 준비된 사본의 것입니다. 받은 사본은 24시간 동안 쓸 수 있습니다. 용도는 목록의 모든 항목에 허용되는 가장 강한 조치입니다.",
    unmade: "처음 받을 때 만들어집니다",
    feed: "MISP용 피드",
    recalls: "받아 간 목록에서 회수된 값: 등록한 곳에서 모두 빼십시오",
    other: "그 밖에",
};

const EN: Words = Words {
    title: "Bongsu: products",
    intro: "Lists and rules that firewalls, resolvers and sensors load as they are. Below is all that you may fetch now; give a device the address of one.",
    without_key: "These are the public (clear) ones, which need no key. Members get more with their key: in the header <code>Authorization: Bearer</code>, \
        or, where a device knows only a name and a password, as the password.",
    columns: ["Address", "Format", "Types of values", "Use", "TLP", "Entries", "Expires"],
    narrowing: "How to narrow them",
    parameter: ["Parameter", "Meaning"],
    parameters: [
        ("tlp", "the strictest marking in it: clear, green, amber"),
        ("type", "one of these types, with commas: type=ipv4,domain"),
        ("sector", "seen in one of these sectors, with commas: sector=finance,energy"),
        ("min_confidence", "confidence today at the least, 0 to 100: min_confidence=60"),
        ("max_age_days", "seen in so many days at the most, 1 to 3650: max_age_days=7"),
        ("since", "only what came (+) and what left (-) since this version, of lists and csv; the version is in the header X-Version of an earlier answer"),
    ],
    copies: "Entries and expiry are those of the copy that is kept ready. A copy may be used for 24 hours. Use is the strongest measure that every entry allows.",
    unmade: "made at the first fetch",
    feed: "a feed for MISP",
    recalls: "what was taken out of products that your organisation has fetched: take it out of what loaded it",
    other: "Also here",
};

/// The page. `keyed`: whether the caller has a key.
pub(super) fn of(index: &Index, lang: Lang, keyed: bool) -> Page {
    let words = lang.choose(&KO, &EN);
    let mut page = Page::titled(lang, words.title);
    page.paragraph(words.intro);
    if !keyed {
        page.html(format_args!("<p>{}</p>\n", words.without_key));
    }
    page.table(&words.columns, |rows| index.products.iter().for_each(|row| product(rows, row, lang, words.unmade)));
    page.html(format_args!("<p class=\"quiet\">{}</p>\n", words.copies));
    page.heading(words.narrowing);
    page.table(&words.parameter, |rows| {
        for (name, meaning) in words.parameters {
            rows.html(format_args!("<tr><td><code>{name}</code></td><td>{}</td></tr>\n", escape(meaning)));
        }
    });
    page.heading(words.other);
    page.html(format_args!("<ul>\n"));
    for also in &index.also {
        let meaning = if also.path.ends_with("recalls") { words.recalls } else { words.feed };
        page.html(format_args!("<li><a href=\"{0}\"><code>{0}</code></a>: {meaning}</li>\n", also.path));
    }
    page.html(format_args!("</ul>\n"));
    page
}

fn product(page: &mut Page, row: &Row, lang: Lang, unmade: &str) {
    let path = escape(&row.path);
    let types: Vec<&str> = row.types.iter().map(|kind| kind.as_str()).collect();
    let consumption = match (row.product.consumption(), lang) {
        (Consumption::Blocking, Lang::Ko) => "차단",
        (Consumption::Detecting, Lang::Ko) => "탐지",
        (Consumption::Informing, Lang::Ko) => "참고",
        (Consumption::Blocking, Lang::En) => "blocking",
        (Consumption::Detecting, Lang::En) => "detecting",
        (Consumption::Informing, Lang::En) => "informing",
    };
    let copy = match (row.entries, row.expires) {
        (Some(entries), Some(expires)) => format!("<td>{entries}</td><td>{expires}</td>"),
        (_, _) => format!("<td class=\"quiet\" colspan=\"2\">{unmade}</td>"),
    };
    page.html(format_args!(
        "<tr><td><a href=\"{path}\"><code>{path}</code></a></td><td>{}</td><td>{}</td><td>{consumption}</td><td>{}</td>{copy}</tr>\n",
        format(row.product, lang),
        types.join(", "),
        row.tlp,
    ));
}

/// What a product is.
pub(super) const fn format(product: Product, lang: Lang) -> &'static str {
    let (ko, en) = match product {
        Product::List(_) => ("한 줄에 값 하나", "one value per line"),
        Product::Csv => ("머리글이 있는 CSV", "CSV with a header"),
        Product::Stix => ("STIX 2.1 번들", "STIX 2.1 bundle"),
        Product::SuricataRules => ("Suricata 경보 규칙", "Suricata rules that alert"),
        Product::Dataset(_) => ("Suricata 데이터 세트", "Suricata data set"),
        Product::SnortRules => ("Snort 3 경보 규칙", "Snort 3 rules that alert"),
        Product::ZeekIntel => ("Zeek 인텔 파일", "Zeek intelligence file"),
        Product::RpzZone => ("DNS 응답 정책 영역(RPZ)", "response policy zone for resolvers"),
        Product::Hosts => ("hosts 파일", "hosts file"),
        Product::SquidDomains => ("Squid acl dstdomain 파일", "file for Squid's acl dstdomain"),
        Product::SquidAddresses => ("Squid acl dst 파일", "file for Squid's acl dst"),
        Product::PfTable => ("pf 테이블 파일", "table file for pf"),
        Product::NftSets => ("nftables 집합(nft -f)", "sets for nftables (nft -f)"),
    };
    match lang {
        Lang::Ko => ko,
        Lang::En => en,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn every_product_is_named_in_both_languages() {
        let mut names: Vec<(&str, &str)> = Product::all().into_iter().map(|product| (format(product, Lang::Ko), format(product, Lang::En))).collect();
        names.sort_unstable();
        names.dedup();
        // Lists differ in their types alone, and so do data sets.
        assert_eq!(names.len(), 13);
        assert!(names.iter().all(|(ko, en)| ko != en && !en.is_empty()));
    }

    #[test]
    fn both_languages_tell_of_the_same_parameters() {
        let names = |words: &Words| words.parameters.map(|(name, _)| name);
        assert_eq!(names(&KO), names(&EN));
    }
}
