//! `search`: events newest first, page by page, and the paging that `export` shares.
//!
//! Invariant: every event of the answer is shown once; cursors are the hub's and opaque.

use super::lookup::plain;
use super::{Api, parse, query};
use crate::cli::{FilterArguments, SearchArguments};
use crate::{Exit, output};
use anyhow::bail;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::io::Write;

/// Events a request; the hub's limit.
const PAGE: u64 = 1_000;
/// Values shown of one event in the table.
const VALUES_SHOWN: usize = 3;

/// Runs `search`.
pub fn run(arguments: &SearchArguments) -> anyhow::Result<Exit> {
    let api = Api::new(&arguments.connection)?;
    let mut out = output::standard();
    let mut rows = Vec::new();
    let mut found = false;
    let mut pages = Pages::new(&api, &arguments.filter, arguments.mine, Some(arguments.limit));
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
    output::table(&mut out, &["seq", "time", "category", "tlp", "sector", "malware", "values"], &rows)?;
    out.flush()?;
    if !found && arguments.limit > 0 {
        output::note("nothing matches");
    }
    Ok(Exit::Done)
}

/// What the hub answers a request.
#[derive(Deserialize)]
struct Page {
    events: Vec<Box<RawValue>>,
    cursor: Option<String>,
}

/// The pages of a search.
pub struct Pages<'a> {
    api: &'a Api,
    parameters: Vec<(&'static str, String)>,
    cursor: Option<String>,
    left: Option<u64>,
    over: bool,
}

impl<'a> Pages<'a> {
    /// Prepares a search for up to `limit` events.
    pub fn new(api: &'a Api, filter: &FilterArguments, mine: bool, limit: Option<u64>) -> Self {
        let mut parameters = query::parameters(filter);
        if mine {
            parameters.push(("mine", "1".to_owned()));
        }
        Self { api, parameters, cursor: None, left: limit, over: limit == Some(0) }
    }

    /// The events of the next page, as the hub wrote them; `None` at the end.
    pub fn next_page(&mut self) -> anyhow::Result<Option<Vec<Box<RawValue>>>> {
        if self.over {
            return Ok(None);
        }
        let wanted = self.left.map_or(PAGE, |left| left.min(PAGE));
        let mut parameters = self.parameters.clone();
        parameters.push(("limit", wanted.to_string()));
        if let Some(cursor) = &self.cursor {
            parameters.push(("cursor", cursor.clone()));
        }
        let Page { events, cursor: next } = self.api.get("/api/v1/events", &parameters)?.read::<Page>()?;
        if next.is_some() && next == self.cursor {
            bail!("the hub's cursor does not move on");
        }
        self.cursor = next;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(events.len() as u64);
        }
        self.over = self.cursor.is_none() || self.left == Some(0);
        Ok(Some(events))
    }
}

fn row(event: &Value) -> Vec<String> {
    let text = |field: &str| plain(event.get(field));
    let observables = event.get("observables").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut values: Vec<String> = observables.iter().take(VALUES_SHOWN).map(|observable| plain(observable.get("value"))).collect();
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
    fn an_event_with_many_values_says_how_many_are_not_shown() {
        let observables: Vec<Value> = (0..5).map(|number| json!({"type": "ipv4", "value": format!("1.1.1.{number}")})).collect();
        let row = row(&json!({"seq": 65536, "category": "scanner", "observables": observables}));
        assert_eq!(row[0], "65536");
        assert_eq!(row[6], "1.1.1.0 1.1.1.1 1.1.1.2 and 2 more");
    }
}
