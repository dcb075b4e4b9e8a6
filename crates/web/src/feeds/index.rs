//! The index of products: `/feeds/`, what a caller may fetch and how to narrow it, for programs and as a page for people.
//!
//! Flow: the caller may have a key → `hub` lists what it may have → JSON, or [`page`] where a browser asks.
//! Invariant: nothing is made for it: how many entries a product has is said where a copy is kept ready.
//! Not here: who may have what (`policy::leave`), the products themselves ([`super::product`]).

use super::key::Holder;
use super::{MAX_AGE, insert, page};
use crate::AppState;
use crate::pages::browser::{self, wants_page};
use crate::params::Params;
use crate::reply::{self, Reply};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use formats::products::{Consumption, Product};
use hub::products::{LIFE, Listed};
use model::{ObservableType, Timestamp, Tlp};
use serde::Serialize;

/// Where it is.
pub const PATH: &str = "/feeds/";
/// What of a request its answer depends on.
const VARIES: &str = "accept, accept-language, accept-encoding, authorization";
/// How to narrow every product.
const FILTERS: [(&str, &str); 5] = [
    ("tlp", "the strictest marking in it: clear, green, amber, as far as `markings` goes"),
    ("type", "one of these types, with commas: type=ipv4,domain"),
    ("sector", "seen in one of these sectors, with commas: sector=finance,energy"),
    ("min_confidence", "confidence today at the least, 0 to 100: min_confidence=60"),
    ("max_age_days", "seen in so many days at the most, 1 to 3650: max_age_days=7"),
];
/// What lists and csv take beside it.
const SINCE: (&str, &str) = ("since", "only what came (+) and what left (-) since this version: X-Version of an earlier answer; lists and csv alone");

/// What a caller may fetch.
#[derive(Debug, Serialize)]
pub(super) struct Index {
    /// The markings that it may ask for, the strictest last.
    pub(super) markings: Vec<Tlp>,
    /// Seconds for which a copy may be used.
    pub(super) valid_for: u64,
    /// The products.
    pub(super) products: Vec<Row>,
    /// What else there is.
    pub(super) also: Vec<Also>,
    /// How to narrow a product.
    pub(super) parameters: Vec<Parameter>,
}

/// One product.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// Where it is.
    pub(super) path: String,
    /// What it is, for people.
    pub(super) format: &'static str,
    /// Media type.
    pub(super) media: &'static str,
    /// Types of values that it can hold.
    pub(super) types: Vec<ObservableType>,
    /// What its reader does with it.
    #[serde(rename = "use")]
    pub(super) consumption: &'static str,
    /// The strictest marking in it.
    pub(super) tlp: Tlp,
    /// Of the copy that was made last.
    pub(super) entries: Option<usize>,
    /// When that was.
    pub(super) made: Option<Timestamp>,
    /// From when on it is no longer to be used.
    pub(super) expires: Option<Timestamp>,
    /// How it can be narrowed.
    pub(super) parameters: Vec<&'static str>,
    #[serde(skip)]
    pub(super) product: Product,
}

/// Something under `/feeds/` that is no product.
#[derive(Debug, Serialize)]
pub(super) struct Also {
    pub(super) path: &'static str,
    pub(super) meaning: &'static str,
}

/// A parameter of products.
#[derive(Debug, Serialize)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
}

/// `GET /feeds/`
pub async fn list(State(state): State<AppState>, Holder(actor): Holder, params: Params, headers: HeaderMap) -> Reply {
    let lang = browser::wanted(&params, &headers)?;
    let recalls = actor.as_ref().is_some_and(|actor| actor.reader.reads_events());
    let index = Index::of(&state.hub.listed_products(actor.as_ref()), recalls);
    let keyed = actor.is_some();
    let mut response = if wants_page(&headers) { page::of(&index, lang, keyed).answer(StatusCode::OK, VARIES) } else { reply::ok(&index)? };
    let own = response.headers_mut();
    insert(own, CACHE_CONTROL, &format!("{}, max-age={MAX_AGE}", if keyed { "private" } else { "public" }));
    own.insert(VARY, HeaderValue::from_static(VARIES));
    Ok(response)
}

impl Index {
    /// `recalls`: whether the caller may ask what was taken out of what it fetched.
    fn of(listed: &[Listed], recalls: bool) -> Self {
        let strictest = listed.iter().map(|listed| listed.tlp).max().unwrap_or(Tlp::Clear);
        let feed = Also { path: "/feeds/misp/manifest.json", meaning: "a feed for MISP, which takes tlp" };
        let recall = Also { path: "/feeds/recalls", meaning: "what was taken out of products that your organisation has fetched: take it out again" };
        Self {
            markings: [Tlp::Clear, Tlp::Green, Tlp::Amber].into_iter().filter(|tlp| *tlp <= strictest).collect(),
            valid_for: LIFE.as_secs(),
            products: listed.iter().map(row).collect(),
            also: [Some(feed), recalls.then_some(recall)].into_iter().flatten().collect(),
            parameters: FILTERS.into_iter().chain([SINCE]).map(|(name, meaning)| Parameter { name, meaning }).collect(),
        }
    }
}

fn row(listed: &Listed) -> Row {
    let product = listed.product;
    let since = product.has_delta().then_some(SINCE.0);
    Row {
        path: format!("{PATH}{}", product.name()),
        format: page::format(product, browser::Lang::En),
        media: product.media(),
        types: ObservableType::ALL.iter().copied().filter(|kind| product.takes(*kind, sample(*kind))).collect(),
        consumption: match product.consumption() {
            Consumption::Blocking => "blocking",
            Consumption::Detecting => "detecting",
            Consumption::Informing => "informing",
        },
        tlp: listed.tlp,
        entries: listed.made.map(|made| made.entries),
        made: listed.made.map(|made| made.at),
        expires: listed.made.map(|made| made.expires),
        parameters: FILTERS.iter().map(|(name, _)| *name).chain(since).collect(),
        product,
    }
}

/// A plain value of each type, by which it is seen whether a product takes the type.
const fn sample(kind: ObservableType) -> &'static str {
    const MD5: &str = "0123456789abcdef0123456789abcdef";
    const SHA1: &str = "0123456789abcdef0123456789abcdef01234567";
    const SHA256: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const SHA512: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    match kind {
        ObservableType::Ipv4 => "192.0.2.7",
        ObservableType::Ipv6 => "2001:db8::7",
        ObservableType::Cidr => "192.0.2.0/24",
        ObservableType::Domain => "evil.example",
        ObservableType::Url => "http://evil.example/",
        ObservableType::Email => "somebody@evil.example",
        ObservableType::Md5 | ObservableType::Ja3 => MD5,
        ObservableType::Sha1 | ObservableType::X509Sha1 => SHA1,
        ObservableType::Sha256 | ObservableType::X509Sha256 => SHA256,
        ObservableType::Sha512 => SHA512,
        ObservableType::Ssdeep => "3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C",
        ObservableType::Asn => "64500",
        ObservableType::Filename => "evil.exe",
        ObservableType::Mac => "00:00:5e:00:53:01",
        ObservableType::Cve => "CVE-2021-44228",
        ObservableType::UserAgent => "evil/1.0",
        ObservableType::Bitcoin => "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        ObservableType::Phone => "+82212345678",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use hub::products::Ready;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn listed(tlp: Tlp) -> Vec<Listed> {
        let made = |product: Product| (product == Product::Hosts).then_some(Ready { entries: 7, at: NOW, expires: NOW.plus(LIFE) });
        Product::all().into_iter().map(|product| Listed { product, tlp, made: made(product) }).collect()
    }

    fn of<'a>(index: &'a Index, path: &str) -> &'a Row {
        index.products.iter().find(|row| row.path == path).unwrap_or_else(|| panic!("{path}"))
    }

    #[test]
    fn each_product_is_told_with_the_types_that_it_takes() {
        use ObservableType::{Cidr, Domain, Ipv4, Ipv6, Ja3, Url, UserAgent, X509Sha1};
        let index = Index::of(&listed(Tlp::Amber), true);
        assert_eq!(index.products.len(), Product::all().len());
        for (path, types) in [
            ("/feeds/hosts", vec![Domain]),
            ("/feeds/pf.table", vec![Ipv4, Ipv6, Cidr]),
            ("/feeds/rpz.zone", vec![Ipv4, Ipv6, Cidr, Domain]),
            ("/feeds/snort.rules", vec![Ipv4, Ipv6, Cidr, Domain, Url]),
            ("/feeds/suricata.rules", vec![Ipv4, Ipv6, Cidr, Domain, Url, UserAgent, Ja3, X509Sha1]),
            ("/feeds/suricata-ja3.lst", vec![Ja3]),
            ("/feeds/csv", ObservableType::ALL.to_vec()),
        ] {
            assert_eq!(of(&index, path).types, types, "{path}");
        }
        let bare = &of(&index, "/feeds/list.txt").types;
        assert!([Ipv4, Domain, Url].iter().all(|kind| bare.contains(kind)) && ![Ja3, UserAgent].iter().any(|kind| bare.contains(kind)), "{bare:?}");
        assert!(index.products.iter().all(|row| !row.types.is_empty()), "every product holds something");
    }

    #[test]
    fn what_is_kept_ready_is_told_with_its_size_and_expiry_and_nothing_else_is_made_up() {
        let index = Index::of(&listed(Tlp::Green), false);
        let hosts = of(&index, "/feeds/hosts");
        assert_eq!((hosts.entries, hosts.made, hosts.expires), (Some(7), Some(NOW), Some(NOW.plus(LIFE))));
        assert_eq!(of(&index, "/feeds/nft").entries, None);
        for (lang, words) in [(browser::Lang::Ko, "처음 받을 때 만들어집니다"), (browser::Lang::En, "made at the first fetch")] {
            let body = page::of(&index, lang, true).document();
            assert!(body.contains("<td>7</td><td>"), "{body}");
            assert_eq!(body.matches(words).count(), index.products.len() - 1, "{body}");
        }
        assert_eq!(index.markings, [Tlp::Clear, Tlp::Green]);
        assert_eq!(index.also.iter().map(|also| also.path).collect::<Vec<_>>(), ["/feeds/misp/manifest.json"], "no recalls for who reads no events");
        assert!(of(&index, "/feeds/csv").parameters.contains(&"since") && !of(&index, "/feeds/hosts").parameters.contains(&"since"));
    }
}
