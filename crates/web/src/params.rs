//! Parameters of the query and of the path, parsed strictly into the domain's types.
//!
//! Flow: [`crate::guard`] has refused names that a route does not document; [`Params`] gives the values, [`At`] the path's parts.
//! Invariant: one grammar of filters for every door: search, stream and withdrawal read theirs with [`FilterText`].

use crate::limits;
use crate::problem::Problem;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use hub::directory::parse_range;
use model::canonical::canonical;
use model::detect::readings;
use model::{Category, Filter, ObservableType, Seq, Text, Timestamp};
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// The query's parameters.
pub struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri).map(|Query(pairs)| Self(pairs)).map_err(|_| Problem::parameter("?", "the query cannot be read"))
    }
}

impl Params {
    /// A parameter that is given once at the most.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => Err(Problem::parameter(name, "is given more than once")),
            (first, _) => Ok(first),
        }
    }

    /// A parameter parsed; `what` says what it should have been.
    pub fn parsed<T>(&self, name: &str, what: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| Problem::parameter(name, format!("must be {what}")))
    }

    /// `1`, `true`, `0` or `false`; false where absent.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        let flag = self.parsed(name, "1, 0, true or false", |text| match text {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        })?;
        Ok(flag.unwrap_or_default())
    }

    /// How many entries a page may have.
    pub fn limit(&self) -> Result<usize, Problem> {
        let what = format!("a number from 1 to {}", limits::PAGE_MAX);
        let limit = self.parsed("limit", &what, |text| text.parse::<usize>().ok().filter(|limit| (1..=limits::PAGE_MAX).contains(limit)))?;
        Ok(limit.unwrap_or(limits::PAGE_DEFAULT))
    }

    /// Where a page starts.
    pub fn cursor(&self) -> Result<Option<String>, Problem> {
        let what = format!("a cursor of an earlier page, at most {} characters", limits::CURSOR);
        self.parsed("cursor", &what, |text| (!text.is_empty() && text.len() <= limits::CURSOR).then(|| text.to_owned()))
    }

    /// The filter of a search or a stream.
    pub fn filter(&self) -> Result<Filter, Problem> {
        let text = FilterText {
            since: self.one("since")?.map(str::to_owned),
            until: self.one("until")?.map(str::to_owned),
            category: self.list("category"),
            kind: self.list("type"),
            sector: self.list("sector"),
            within: self.one("within")?.map(str::to_owned),
            domain: self.one("domain")?.map(str::to_owned),
            malware: self.one("malware")?.map(str::to_owned),
            value: self.one("value")?.map(str::to_owned),
        };
        text.parse().map_err(|(name, reason)| Problem::parameter(name, reason))
    }

    /// The same, up to [`limits::LIST`] words.
    pub fn words(&self, name: &str) -> Result<Vec<String>, Problem> {
        let words = self.list(name);
        if words.len() > limits::LIST { Err(Problem::parameter(name, format!("at most {} are taken", limits::LIST))) } else { Ok(words) }
    }

    /// A parameter that may be repeated and hold a list with commas.
    fn list(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).flat_map(|(_, value)| value.split(',')).map(|word| word.trim().to_owned()).collect()
    }
}

/// A filter's fields before they are parsed, from a query or a body.
#[derive(Debug, Default)]
pub struct FilterText {
    /// `time` at or after.
    pub since: Option<String>,
    /// `time` before.
    pub until: Option<String>,
    /// Categories.
    pub category: Vec<String>,
    /// Types of observables.
    pub kind: Vec<String>,
    /// Sectors.
    pub sector: Vec<String>,
    /// Address or range.
    pub within: Option<String>,
    /// Domain suffix.
    pub domain: Option<String>,
    /// Malware name.
    pub malware: Option<String>,
    /// Value of an observable.
    pub value: Option<String>,
}

/// The field that is wrong, and why.
pub type FilterError = (&'static str, String);

impl FilterText {
    /// The filter, or the first field that is wrong. A sector is a free word, as it is in an event.
    pub fn parse(self) -> Result<Filter, FilterError> {
        Ok(Filter {
            since: time("since", self.since)?,
            until: time("until", self.until)?,
            categories: words("category", &self.category, || one_of("unknown category", Category::ALL, Category::as_str), Category::parse)?,
            types: words("type", &self.kind, || one_of("unknown observable type", ObservableType::ALL, ObservableType::as_str), ObservableType::parse)?,
            sectors: words("sector", &self.sector, || "must be a name of at most 200 characters".to_owned(), sector)?,
            within: single("within", self.within, "must be an address or a range such as 192.0.2.0/24", parse_range)?,
            domain: single("domain", self.domain, "must be a domain name", domain)?,
            malware: single("malware", self.malware, "must be a name of at most 200 characters", malware)?,
            values: single("value", self.value, "must be a value of at most 8192 bytes without control characters", values)?.unwrap_or_default(),
        })
    }
}

fn time(name: &'static str, text: Option<String>) -> Result<Option<Timestamp>, FilterError> {
    text.map(|text| Timestamp::parse(&text).map_err(|error| (name, error.to_string()))).transpose()
}

fn single<T>(name: &'static str, text: Option<String>, reason: &str, parse: fn(&str) -> Option<T>) -> Result<Option<T>, FilterError> {
    text.map(|text| parse(text.trim()).ok_or_else(|| (name, reason.to_owned()))).transpose()
}

fn words<T>(name: &'static str, texts: &[String], reason: impl Fn() -> String, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, FilterError> {
    if texts.len() > limits::LIST {
        return Err((name, format!("at most {} are taken", limits::LIST)));
    }
    texts.iter().map(|text| parse(text).ok_or_else(|| (name, reason()))).collect()
}

/// A refusal of a word, with the words that would be right.
pub fn one_of<T: Copy>(what: &str, all: &[T], word: fn(T) -> &'static str) -> String {
    let words: Vec<&str> = all.iter().map(|&value| word(value)).collect();
    format!("{what}; one of: {}", words.join(", "))
}

fn sector(text: &str) -> Option<Text> {
    malware(&text.trim().to_ascii_lowercase())
}

/// The ways in which a text can be a value; `None` where there is none.
fn values(text: &str) -> Option<Vec<(ObservableType, Text)>> {
    (text.len() <= limits::VALUE).then(|| readings(text)).filter(|readings| !readings.is_empty())
}

fn domain(text: &str) -> Option<Text> {
    let name = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text);
    canonical(ObservableType::Domain, name).ok()
}

fn malware(text: &str) -> Option<Text> {
    let fits = !text.is_empty() && text.chars().count() <= limits::NAME && !text.chars().any(char::is_control);
    fits.then(|| Text::from(text))
}

/// A sequence number.
pub fn seq(text: &str) -> Option<Seq> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u64>().ok().filter(|number| digits && *number < Seq::LIMIT).map(Seq)
}

/// The parts of the path between its fixed words.
pub struct At<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        // What cannot be decoded names nothing that could be there.
        path.map(|Path(inner)| Self(inner)).map_err(|_| Problem::not_found())
    }
}

/// An id of the path. A text that is no such id names nothing that could be there.
pub fn id<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        let uri = format!("http://hub/x?{query}").parse().unwrap();
        Params(Query::try_from_uri(&uri).unwrap().0)
    }

    #[test]
    fn a_sector_is_a_free_word_whatever_its_case() {
        assert_eq!(params("sector=Energy").filter().unwrap().sectors, ["energy"]);
        assert!(params("sector=").filter().is_err());
    }

    #[test]
    fn a_value_is_asked_for_in_every_way_it_can_be_read() {
        let values = params("value=hxxp://Evil%5B.%5Dexample/").filter().unwrap().values;
        assert!(values.contains(&(ObservableType::Url, Text::from("http://evil.example/"))), "{values:?}");
        assert!(params("value=").filter().is_err() && params("value=a%01b").filter().is_err());
        assert!(params("value=a&value=b").filter().is_err());
    }

    #[test]
    fn lists_may_be_repeated_and_may_hold_commas() {
        let filter = params("category=phishing,c2-server&category=spam&type=url").filter().unwrap();
        assert_eq!(filter.categories, [Category::Phishing, Category::C2Server, Category::Spam]);
        assert_eq!(filter.types, [ObservableType::Url]);
    }

    #[test]
    fn an_unknown_word_is_refused_with_the_words_that_are_known() {
        let problem = format!("{:?}", params("category=phisching").filter().unwrap_err());
        assert!(problem.contains("phishing, ") && problem.contains("c2-server"), "{problem}");
        let problem = format!("{:?}", params("type=ip").filter().unwrap_err());
        assert!(problem.contains("ipv4, ipv6"), "{problem}");
    }

    #[test]
    fn an_address_alone_is_a_range_of_one_and_host_bits_are_cleared() {
        assert_eq!(params("within=192.0.2.7").filter().unwrap().within, Some("192.0.2.7/32".parse().unwrap()));
        assert_eq!(params("within=192.0.2.7/24").filter().unwrap().within, Some("192.0.2.0/24".parse().unwrap()));
        assert!(params("within=nowhere").filter().is_err());
    }

    #[test]
    fn a_domain_is_compared_in_canonical_form() {
        assert_eq!(params("domain=.Example.KR.").filter().unwrap().domain.as_deref(), Some("example.kr"));
    }

    #[test]
    fn single_parameters_are_given_once() {
        assert!(params("since=2026-01-01&since=2026-01-02").filter().is_err());
        assert!(params("since=yesterday").filter().is_err());
    }

    #[test]
    fn a_page_holds_one_to_a_thousand_entries() {
        assert_eq!(params("").limit().unwrap(), limits::PAGE_DEFAULT);
        assert_eq!(params("limit=1000").limit().unwrap(), 1000);
        assert!(params("limit=0").limit().is_err() && params("limit=1001").limit().is_err() && params("limit=x").limit().is_err());
    }

    #[test]
    fn a_sequence_number_is_digits_below_two_to_the_53rd() {
        assert_eq!(seq("9007199254740991"), Some(Seq(9_007_199_254_740_991)));
        assert_eq!(seq("9007199254740992"), None);
        assert_eq!(seq("+1"), None);
        assert_eq!(seq(""), None);
    }
}
