//! The filters of `restSearch` and of the list of events, as clients write them.
//!
//! Invariant: what is asked for and cannot be read finds nothing; what is not known is passed over, as MISP does.
//! Not here: the forms that a value has ([`values`]), looking anything up ([`super::search`]).

mod values;

use super::fields::{Fields, flag, text, wrong};
use super::{MAX_EVENTS, MAX_FOUND, Moment};
use crate::HubError;
use store::misp::{RowQuery, Words};
use values::{day_of, deleted, one_flag, range_of, size, tags, words};

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Whole events.
    Events,
    /// Attributes.
    Attributes,
    /// Objects.
    Objects,
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
    Text,
    Stix2,
    Suricata,
    /// Hashes of values with the events they are in.
    Cache,
}

/// A search.
#[derive(Debug, Clone)]
pub(super) struct Search {
    /// Conditions on attributes and events. Those on events' numbers may still be narrowed by [`Search::uuids`].
    pub rows: RowQuery,
    /// Whether a condition is on attributes.
    pub of_attributes: bool,
    /// UUIDs of events or attributes.
    pub uuids: Vec<String>,
    /// Organisations as the reader is shown them: number, UUID or name.
    pub orgs: Words,
    /// Fields of events that have one of some values.
    pub levels: Vec<(&'static str, Vec<String>)>,
    /// Whether a condition cannot be met.
    pub never: bool,
    pub format: Format,
    /// From 1 on.
    pub page: usize,
    /// What a page has at the most; `None`: everything is on one.
    pub limit: Option<usize>,
    pub metadata: bool,
    pub attachments: bool,
    /// Without values that warning lists hold.
    pub warning_lists: bool,
    /// With the event beside each attribute.
    pub context: bool,
    pub event_tags: bool,
    pub sightings: bool,
    /// With what of other events says the same.
    pub correlations: bool,
    pub headerless: bool,
    /// Columns of a table; empty: the usual ones.
    pub columns: Vec<String>,
}

impl Search {
    pub(super) fn read(given: &Fields, scope: Scope, moment: &Moment) -> Result<Self, HubError> {
        let format = format_of(given)?;
        let usual = if scope == Scope::Events && format == Format::Json { MAX_EVENTS } else { MAX_FOUND };
        let mut search = Self {
            rows: RowQuery { deleted: deleted(given), ..RowQuery::default() },
            of_attributes: false,
            uuids: words(given, "uuid")?.any,
            orgs: words(given, "org")?,
            levels: Vec::new(),
            never: false,
            format,
            page: size(given, "page").unwrap_or(1),
            limit: size(given, "limit").or_else(|| size(given, "page").map(|_| usual)),
            metadata: is(given, "metadata"),
            attachments: is(given, "withAttachments"),
            warning_lists: is(given, "enforceWarninglist"),
            context: is(given, "includeContext"),
            event_tags: is(given, "includeEventTags"),
            sightings: is(given, "includeSightings"),
            correlations: is(given, "includeCorrelations"),
            headerless: is(given, "headerless"),
            columns: words(given, "requested_attributes")?.any,
        };
        search.conditions(given)?;
        search.times(given, scope, moment);
        if matches!(format, Format::Text | Format::Suricata) {
            // What is loaded into machines is what is published and to be detected.
            search.rows.to_ids = search.rows.to_ids.or(Some(true));
            search.rows.events.published = search.rows.events.published.or(Some(true));
        }
        let rows = &search.rows;
        search.of_attributes = !(rows.value.is_empty()
            && rows.anywhere.is_empty()
            && rows.kind.is_empty()
            && rows.category.is_empty()
            && rows.object_name.is_empty()
            && rows.ids.is_empty())
            || rows.to_ids.is_some()
            || rows.timestamp != (None, None);
        Ok(search)
    }

    /// Whether events are found by what is in them.
    pub(super) fn by_rows(&self) -> bool {
        self.of_attributes || self.rows.tags.wants_some() || !self.rows.named.attributes.is_empty()
    }

    /// Whether they are found by what stands in themselves, so that those without attributes are found, too.
    pub(super) fn by_heads(&self) -> bool {
        !self.of_attributes && (self.rows.named.attributes.is_empty() || !self.rows.named.events.is_empty())
    }

    fn conditions(&mut self, given: &Fields) -> Result<(), HubError> {
        let rows = &mut self.rows;
        rows.value = words(given, "value")?;
        let everywhere = is(given, "searchall");
        if everywhere {
            rows.anywhere = std::mem::take(&mut rows.value);
        }
        for name in ["quickFilter", "quickfilter", "all"] {
            let quick = words(given, name)?;
            rows.anywhere.any.extend(quick.any);
            rows.anywhere.none.extend(quick.none);
        }
        if let Some(searched) = text(given, "searchall").filter(|_| flag(given, "searchall").is_none()) {
            rows.anywhere.any.push(searched);
        }
        let listed = words(given, "attribute")?;
        rows.value.any.extend(listed.any);
        rows.kind = words(given, "type")?;
        rows.category = words(given, "category")?;
        rows.object_name = words(given, "object_name")?;
        rows.to_ids = one_flag(given, "to_ids");
        rows.tags = tags(given, "tags")?;
        let events = &mut rows.events;
        events.tags = tags(given, "event_tags")?;
        events.info = words(given, "eventinfo")?;
        events.published = one_flag(given, "published");
        for name in ["eventid", "event_id"] {
            let ids = words(given, name)?;
            self.never |= ids.any.iter().chain(&ids.none).any(|id| id.parse::<i64>().is_err() && super::fields::uuid_of(id).is_none());
            events.ids.any.extend(ids.any.iter().filter_map(|id| id.parse::<i64>().ok()));
            events.ids.none.extend(ids.none.iter().filter_map(|id| id.parse::<i64>().ok()));
            self.uuids.extend(ids.any.iter().filter_map(|id| super::fields::uuid_of(id)));
        }
        for (name, field) in
            [("threatlevel", "threat_level_id"), ("threat_level_id", "threat_level_id"), ("analysis", "analysis"), ("distribution", "distribution")]
        {
            let wanted = words(given, name)?.any;
            if !wanted.is_empty() {
                self.levels.push((field, wanted));
            }
        }
        let groups = words(given, "sharinggroup")?.any;
        if !groups.is_empty() {
            // The list of events parts several by one bar.
            self.levels.push(("sharing_group_id", groups.iter().flat_map(|group| group.split('|')).map(|group| group.trim().to_owned()).collect()));
        }
        Ok(())
    }

    fn times(&mut self, given: &Fields, scope: Scope, moment: &Moment) {
        let range = |name: &str, into: &mut (Option<i64>, Option<i64>), never: &mut bool| {
            let Some(value) = given.get(name).filter(|value| !value.is_null()) else { return };
            match range_of(value, moment.now) {
                Some(range) => *into = range,
                None => *never = true,
            }
        };
        let rows = &mut self.rows;
        match scope {
            Scope::Events => range("timestamp", &mut rows.events.timestamp, &mut self.never),
            Scope::Attributes | Scope::Objects => range("timestamp", &mut rows.timestamp, &mut self.never),
        }
        range("attribute_timestamp", &mut rows.timestamp, &mut self.never);
        range("event_timestamp", &mut rows.events.timestamp, &mut self.never);
        range("publish_timestamp", &mut rows.events.published_at, &mut self.never);
        range("last", &mut rows.events.published_at, &mut self.never);
        for (names, first) in [(["from", "date_from", "datefrom"], true), (["to", "date_to", "dateuntil"], false)] {
            for value in names.iter().filter_map(|name| given.get(*name)).filter(|value| !value.is_null()) {
                let day = day_of(value, moment);
                self.never |= day.is_none();
                if first {
                    rows.events.date.0 = day;
                } else {
                    rows.events.date.1 = day;
                }
            }
        }
    }
}

fn format_of(given: &Fields) -> Result<Format, HubError> {
    match text(given, "returnFormat").map(|word| word.to_ascii_lowercase()).as_deref() {
        None | Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some("text" | "txt") => Ok(Format::Text),
        Some("stix2" | "stix2-json") => Ok(Format::Stix2),
        Some("suricata") => Ok(Format::Suricata),
        Some("cache" | "hashes") => Ok(Format::Cache),
        Some(_) => Err(wrong("returnFormat", "json, csv, text, stix2, suricata and cache are given")),
    }
}

fn is(given: &Fields, name: &str) -> bool {
    flag(given, name) == Some(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(given: Value, scope: Scope) -> Search {
        let fields = super::super::fields::object(given).unwrap();
        Search::read(&fields, scope, &Moment { now: 1_000_000, today: "1970-01-12".to_owned() }).unwrap()
    }

    #[test]
    fn conditions_are_read_in_each_of_their_forms() {
        for (given, any, all, none) in [
            (json!("a||!b"), &["a"][..], &[][..], &["b"][..]),
            (json!(["a", "!b", "c"]), &["a", "c"], &[], &["b"]),
            (json!({ "OR": ["a"], "AND": "x", "NOT": ["b"] }), &["a"], &["x"], &["b"]),
            (json!(null), &[], &[], &[]),
            (json!(7), &["7"], &[], &[]),
        ] {
            let search = read(json!({ "tags": given }), Scope::Events);
            let tags = search.rows.tags;
            assert_eq!(
                (tags.any.as_slice(), tags.all.as_slice(), tags.none.as_slice()),
                (owned(any).as_slice(), owned(all).as_slice(), owned(none).as_slice())
            );
        }
    }

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn times_are_moments_or_so_long_ago_and_what_is_neither_finds_nothing() {
        let search = read(json!({ "timestamp": ["6m", "4m"], "publish_timestamp": "1d" }), Scope::Events);
        assert_eq!(search.rows.events.timestamp, (Some(999_640), Some(999_760)));
        assert_eq!(search.rows.events.published_at, (Some(913_600), None));
        assert_eq!(read(json!({ "timestamp": 5.7 }), Scope::Attributes).rows.timestamp, (Some(5), None));
        for wrong in ["5x", "ad", "aaad"] {
            assert!(read(json!({ "last": wrong }), Scope::Events).never, "{wrong}");
        }
        let dates = read(json!({ "from": "2018-09-01", "to": 86_400.0 }), Scope::Events).rows.events.date;
        assert_eq!(dates, (Some("2018-09-01".to_owned()), Some("1970-01-02".to_owned())));
    }

    #[test]
    fn deleted_parts_are_asked_for_alone_too_or_not() {
        for (given, expected) in
            [(json!({}), Some(false)), (json!({ "deleted": true }), Some(true)), (json!({ "deleted": [0, 1] }), None), (json!({ "deleted": 0 }), Some(false))]
        {
            assert_eq!(read(given.clone(), Scope::Events).rows.deleted, expected, "{given}");
        }
    }

    #[test]
    fn what_machines_load_is_published_and_to_be_detected_and_other_formats_are_refused() {
        let search = read(json!({ "returnFormat": "text" }), Scope::Attributes);
        assert_eq!((search.rows.to_ids, search.rows.events.published, search.of_attributes), (Some(true), Some(true), true));
        let csv = read(json!({ "returnFormat": "csv" }), Scope::Events);
        assert_eq!((csv.rows.to_ids, csv.of_attributes), (None, false));
        let fields = super::super::fields::object(json!({ "returnFormat": "openioc" })).unwrap();
        assert!(Search::read(&fields, Scope::Events, &Moment { now: 0, today: String::new() }).is_err());
    }

    #[test]
    fn everything_is_on_one_page_unless_pages_are_asked_for() {
        for (given, limit, page) in [
            (json!({}), None, 1),
            (json!({ "limit": "5000" }), Some(5_000), 1),
            (json!({ "page": 3 }), Some(MAX_EVENTS), 3),
            (json!({ "limit": 0, "page": 0 }), None, 1),
        ] {
            let search = read(given.clone(), Scope::Events);
            assert_eq!((search.limit, search.page), (limit, page), "{given}");
        }
        assert_eq!(read(json!({ "page": 2 }), Scope::Attributes).limit, Some(MAX_FOUND));
    }

    #[test]
    fn a_value_is_taken_whole_and_may_be_looked_for_everywhere() {
        assert_eq!(read(json!({ "value": "a||b" }), Scope::Events).rows.value.any, ["a||b"]);
        let everywhere = read(json!({ "value": "%x%", "searchall": 1 }), Scope::Events).rows;
        assert_eq!((everywhere.anywhere.any, everywhere.value.any.len()), (vec!["%x%".to_owned()], 0));
        assert!(read(json!({ "eventid": "nothing" }), Scope::Events).never);
    }

    #[test]
    fn sharing_groups_are_one_a_list_or_parted_by_a_bar() {
        for given in [json!(7), json!(["7"]), json!("7|8")] {
            let levels = read(json!({ "sharinggroup": given }), Scope::Events).levels;
            assert_eq!((levels[0].0, levels[0].1[0].as_str()), ("sharing_group_id", "7"));
        }
    }
}
