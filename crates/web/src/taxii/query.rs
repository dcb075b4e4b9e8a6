//! Filters, limits and cursors of the query.
//!
//! Invariant: a field of the standard's that is given twice or cannot be read is refused; fields that we do not know are ignored.
//!
//! Source: OASIS TAXII 2.1, sections 3.4 (filtering) and 3.5 (limits).

use crate::problem::Problem;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use hub::taxii::{Filter, MAX_PAGE, Versions};
use model::Timestamp;

/// Values of one filter at the most.
const MAX_VALUES: usize = 1_000;
/// Characters of a cursor.
const MAX_CURSOR: usize = 100;

/// What may be filtered by at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fields {
    /// A list of objects: all fields.
    Objects,
    /// One object: its version and specification.
    Object,
    /// The versions of one object: the specification alone.
    Versions,
    /// What is deleted of one object: its version and specification, and no page.
    Deletion,
}

/// The query's parameters.
pub struct Asked(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri).map(|Query(pairs)| Self(pairs)).map_err(|_| Problem::parameter("?", "the query cannot be read"))
    }
}

impl Asked {
    /// The filter, as far as the endpoint has it.
    pub fn filter(&self, fields: Fields) -> Result<Filter, Problem> {
        let mut filter = Filter { specs: self.words("match[spec_version]")?, ..Filter::default() };
        if fields != Fields::Deletion {
            filter.added_after = self.one("added_after")?.map(|text| time("added_after", text)).transpose()?;
        }
        match fields {
            Fields::Objects => {
                filter.ids = self.words("match[id]")?;
                filter.types = self.words("match[type]")?;
                filter.versions = self.versions(Versions::Last)?;
            }
            Fields::Object => filter.versions = self.versions(Versions::Last)?,
            // Without a version named, the object itself is meant.
            Fields::Deletion => filter.versions = self.versions(Versions::All)?,
            Fields::Versions => filter.versions = Versions::All,
        }
        Ok(filter)
    }

    /// How many objects a page may have.
    pub fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.one("limit")? else { return Ok(MAX_PAGE) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than a number can have ask for more than a page can have.
        let limit = digits.then(|| text.parse().unwrap_or(usize::MAX));
        match limit {
            Some(0) | None => Err(Problem::parameter("limit", "must be a whole number greater than 0")),
            Some(limit) => Ok(limit.min(MAX_PAGE)),
        }
    }

    /// Where a page starts; an empty cursor is none.
    pub fn next(&self) -> Result<Option<&str>, Problem> {
        match self.one("next")? {
            Some(next) if next.len() > MAX_CURSOR => Err(Problem::parameter("next", "is no cursor of ours")),
            next => Ok(next),
        }
    }

    fn versions(&self, default: Versions) -> Result<Versions, Problem> {
        const NAME: &str = "match[version]";
        let words = self.words(NAME)?;
        if words.is_empty() {
            return Ok(default);
        }
        if words.iter().any(|word| word == "all") {
            return if words.len() == 1 { Ok(Versions::All) } else { Err(Problem::parameter(NAME, "all stands alone")) };
        }
        let (mut first, mut last, mut at) = (false, false, Vec::new());
        for word in &words {
            match word.as_str() {
                "first" => first = true,
                "last" => last = true,
                text => at.push(time(NAME, text)?),
            }
        }
        Ok(if last && !first && at.is_empty() { Versions::Last } else { Versions::Chosen { first, last, at } })
    }

    /// A list with commas; empty where the field is absent or empty.
    fn words(&self, name: &str) -> Result<Vec<String>, Problem> {
        let words: Vec<String> = self.one(name)?.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        if words.len() > MAX_VALUES { Err(Problem::parameter(name, format!("at most {MAX_VALUES} values are taken"))) } else { Ok(words) }
    }

    /// A field that is given once at the most; an empty one is none.
    fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => Err(Problem::parameter(name, "is given more than once")),
            (first, _) => Ok(first.filter(|text| !text.is_empty() || name == "added_after" || name == "limit")),
        }
    }
}

/// A timestamp as the standard has it: RFC 3339 in UTC with a `Z`.
fn time(name: &str, text: &str) -> Result<Timestamp, Problem> {
    let bytes = text.as_bytes();
    let shaped = text.len() >= 20 && bytes.get(10) == Some(&b'T') && bytes.last() == Some(&b'Z');
    let time = if shaped { Timestamp::parse(text).ok() } else { None };
    time.ok_or_else(|| Problem::parameter(name, "must be a timestamp such as 2026-11-21T19:26:00.000000Z"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Asked {
        let uri = format!("http://hub/x?{query}").parse().unwrap();
        Asked(Query::try_from_uri(&uri).unwrap().0)
    }

    #[test]
    fn commas_are_or_and_an_endpoint_has_its_own_fields() {
        let query = asked("match[id]=a,b&match%5Btype%5D=indicator&match[version]=first,2026-01-01T00:00:00Z&match[colour]=red&match[colour]=blue&x=y");
        let filter = query.filter(Fields::Objects).unwrap();
        assert_eq!((filter.ids, filter.types), (vec!["a".to_owned(), "b".to_owned()], vec!["indicator".to_owned()]));
        assert!(matches!(filter.versions, Versions::Chosen { first: true, last: false, at } if at.len() == 1));
        assert!(query.filter(Fields::Object).unwrap().ids.is_empty());
        assert_eq!(query.filter(Fields::Versions).unwrap().versions, Versions::All);
        assert_eq!(asked("").filter(Fields::Deletion).unwrap().versions, Versions::All);
        assert_eq!(asked("match[version]=last").filter(Fields::Objects).unwrap(), Filter::default());
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        for query in [
            "added_after=yesterday",
            "added_after=1700000000",
            "added_after=",
            "added_after=2026-01-01T00:00:00Z&added_after=2026-01-01T00:00:00Z",
            "match[type]=a&match[type]=b",
            "match[version]=all,last",
            "match[version]=newest",
        ] {
            assert!(asked(query).filter(Fields::Objects).is_err(), "{query}");
        }
        for query in ["limit=0", "limit=-1", "limit=x", "limit=", "limit=1&limit=2", "limit=1.5"] {
            assert!(asked(query).limit().is_err(), "{query}");
        }
        assert_eq!(asked("limit=99999999999999999999999").limit().unwrap(), MAX_PAGE);
        assert_eq!(asked("limit=7").limit().unwrap(), 7);
        assert_eq!(asked("next=").next().unwrap(), None);
    }
}
