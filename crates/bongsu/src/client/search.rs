//! `search`: events newest first, and the search that `export` shares.
//!
//! Not here: reading page by page (`pages`).

use super::lookup::{plain, shown};
use super::pages::Pages;
use super::{Api, parse, query};
use crate::cli::{FilterArguments, SearchArguments};
use crate::{Exit, output};
use hub::members::DEFAULT_SECTORS;
use serde_json::Value;
use std::io::Write;

/// Events a request; the hub's limit.
const PAGE: u64 = 1_000;
/// What the table shows.
pub(super) const COLUMNS: [&str; 7] = ["seq", "time", "category", "tlp", "sector", "malware", "values"];
/// Values shown of one event in the table.
const VALUES_SHOWN: usize = 3;

/// Runs `search`.
pub fn run(arguments: &SearchArguments) -> anyhow::Result<Exit> {
    let api = Api::new(&arguments.connection)?;
    let mut out = output::standard();
    let mut rows = Vec::new();
    let mut found = false;
    let mut pages = pages(&api, &arguments.filter, arguments.mine, Some(arguments.limit));
    while let Some(events) = pages.next_page()? {
        found |= !events.is_empty();
        for event in &events {
            if arguments.json {
                writeln!(out, "{event}")?;
            } else {
                rows.push(row(&parse(event)?));
            }
        }
    }
    output::table(&mut out, &COLUMNS, &rows)?;
    out.flush()?;
    if arguments.limit == 0 {
        output::note("--limit 0: no event is asked for");
    } else if !found {
        output::note("nothing matches");
        if let Some(text) = unusual(&arguments.filter.sector) {
            output::note(&text);
        }
    }
    Ok(Exit::Done)
}

/// The pages of a search for up to `limit` events.
pub fn pages<'a>(api: &'a Api, filter: &FilterArguments, mine: bool, limit: Option<u64>) -> Pages<'a> {
    let mut parameters = query::parameters(filter);
    if mine {
        parameters.push(("mine", "1".to_owned()));
    }
    let pages = Pages::new(api, "/api/v1/events", "events", parameters).of(PAGE);
    match limit {
        Some(limit) => pages.up_to(limit),
        None => pages,
    }
}

/// What is said of sectors that are none of the usual ones; a hub may have others, so it is no error.
fn unusual(sectors: &[String]) -> Option<String> {
    let odd: Vec<&str> = sectors.iter().map(|word| word.trim()).filter(|word| !DEFAULT_SECTORS.iter().any(|known| known.eq_ignore_ascii_case(word))).collect();
    (!odd.is_empty()).then(|| format!("--sector {}: none of the usual sectors, which are {}", odd.join(","), DEFAULT_SECTORS.join(" ")))
}

/// An event as a row of [`COLUMNS`].
pub(super) fn row(event: &Value) -> Vec<String> {
    let text = |field: &str| plain(event.get(field));
    let observables = event.get("observables").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut values: Vec<String> = observables.iter().take(VALUES_SHOWN).map(shown).collect();
    if observables.len() > VALUES_SHOWN {
        values.push(format!("and {} more", observables.len() - VALUES_SHOWN));
    }
    vec![text("seq"), text("time"), text("category"), text("tlp"), text("sector"), text("malware"), values.join(" ")]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sector_that_is_misspelt_is_named_with_the_usual_ones() {
        let said = unusual(&["finance".to_owned(), "finanse".to_owned()]).unwrap();
        assert!(said.starts_with("--sector finanse: ") && said.contains("electronics transport finance"), "{said}");
        assert_eq!((unusual(&["Energy".to_owned()]), unusual(&[])), (None, None));
    }

    #[test]
    fn an_event_with_many_values_says_how_many_are_not_shown() {
        let observables: Vec<Value> = (0..5).map(|number| json!({"type": "ipv4", "value": format!("1.1.1.{number}")})).collect();
        let row = row(&json!({"seq": 65536, "category": "scanner", "observables": observables}));
        assert_eq!(row[0], "65536");
        assert_eq!(row[6], "1.1.1.0 1.1.1.1 1.1.1.2 and 2 more");
    }
}
