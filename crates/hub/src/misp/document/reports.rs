//! Reports of an event: texts that stand among its own fields, each with a number.
//!
//! Invariant: every report has a UUID, a name and a time; what a request does not name stays.

use super::tidy::tidy_report;
use super::{Document, Moment};
use crate::HubError;
use crate::misp::MAX_REPORTS;
use crate::misp::fields::{Fields, number, objects, set, text, uuid_of, wrong};
use serde_json::Value;

/// The field that they are in.
pub(in crate::misp) const REPORTS: &str = "EventReport";
/// What an instance says of them.
const NOT_OF_REPORTS: [&str; 4] = ["id", "event_id", "Event", "SharingGroup"];

impl Document {
    /// The reports.
    pub(in crate::misp) fn reports(&self) -> impl Iterator<Item = &Fields> {
        self.head.get(REPORTS).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
    }

    /// The same to be changed.
    fn reports_mut(&mut self) -> impl Iterator<Item = &mut Fields> {
        self.head.get_mut(REPORTS).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
    }

    /// A report by its number.
    pub(in crate::misp) fn report_mut(&mut self, id: i64) -> Option<&mut Fields> {
        self.reports_mut().find(|report| number(report, "id") == Some(id))
    }

    /// Adds a report and gives its UUID.
    pub(in crate::misp) fn add_report(&mut self, mut given: Fields, moment: &Moment) -> Result<String, HubError> {
        NOT_OF_REPORTS.iter().for_each(|name| drop(given.remove(*name)));
        tidy_report(&mut given, moment)?;
        let uuid = text(&given, "uuid").unwrap_or_default();
        if self.reports().any(|there| text(there, "uuid").as_ref() == Some(&uuid)) {
            return Err(wrong("uuid", "a report of this UUID is in the event"));
        }
        if self.reports().count() >= MAX_REPORTS {
            return Err(HubError::TooLarge { limit: MAX_REPORTS as u64, unit: "reports an event" });
        }
        match self.head.get_mut(REPORTS) {
            Some(Value::Array(list)) => list.push(Value::Object(given)),
            _ => set(&mut self.head, REPORTS, vec![Value::Object(given)]),
        }
        Ok(uuid)
    }

    /// Takes in the reports of a request: new ones, and what is newer of those that are there.
    pub(super) fn merge_reports(&mut self, given: Vec<Fields>, moment: &Moment) -> Result<(), HubError> {
        for report in given {
            let uuid = text(&report, "uuid").and_then(|uuid| uuid_of(&uuid));
            let there = self.reports_mut().find(|there| uuid.is_some() && text(there, "uuid").and_then(|there| uuid_of(&there)) == uuid);
            match there {
                Some(there) => {
                    merge_report(there, report, moment)?;
                }
                None => {
                    self.add_report(report, moment)?;
                }
            }
        }
        Ok(())
    }

    /// Takes a report out for good.
    pub(in crate::misp) fn remove_report(&mut self, id: i64) {
        if let Some(Value::Array(list)) = self.head.get_mut(REPORTS) {
            list.retain(|report| report.as_object().is_none_or(|report| number(report, "id") != Some(id)));
        }
    }

    /// How many reports have no number yet.
    pub(in crate::misp) fn unnumbered_reports(&self) -> usize {
        self.reports().filter(|report| !report.contains_key("id")).count()
    }

    /// Gives numbers to those that have none.
    pub(in crate::misp) fn number_reports(&mut self, mut next: i64) {
        for report in self.reports_mut().filter(|report| !report.contains_key("id")) {
            set(report, "id", next.to_string());
            next += 1;
        }
    }
}

/// The reports of a request.
pub(super) fn reports_of(given: &mut Fields) -> Vec<Fields> {
    objects(given, REPORTS)
}

/// Takes in what a request says of a report; false where it says nothing newer.
pub(in crate::misp) fn merge_report(there: &mut Fields, mut given: Fields, moment: &Moment) -> Result<bool, HubError> {
    let stored = number(there, "timestamp").unwrap_or(0);
    let stated = number(&given, "timestamp");
    if stated.is_some_and(|stated| stated <= stored) {
        return Ok(false);
    }
    NOT_OF_REPORTS.iter().for_each(|name| drop(given.remove(*name)));
    given.remove("uuid");
    if stated.is_none() {
        set(&mut given, "timestamp", moment.now.max(stored + 1).to_string());
    }
    let mut merged = there.clone();
    merged.extend(given.into_iter().filter(|(_, value)| !value.is_null()));
    tidy_report(&mut merged, moment)?;
    *there = merged;
    Ok(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::misp::fields::object;
    use serde_json::json;

    const UUID: &str = "ab2b6e28-fda5-4282-bf60-22b81de77851";

    fn at(now: i64) -> Moment {
        Moment { now, today: "2026-11-21".to_owned() }
    }

    #[test]
    fn reports_of_an_event_are_numbered_merged_by_their_uuid_and_stay_where_they_are_not_named() {
        let given =
            json!({ "info": "x", "EventReport": [{ "id": "900", "event_id": "5", "uuid": UUID, "name": "first", "content": "# a" }, { "name": "second" }] });
        let mut document = Document::new(object(given).unwrap(), &at(1_000)).unwrap();
        assert_eq!(document.unnumbered_reports(), 2, "numbers are never taken from outside");
        document.number_reports(7);
        let ids: Vec<Option<i64>> = document.reports().map(|report| number(report, "id")).collect();
        assert_eq!((ids, document.unnumbered_reports()), (vec![Some(7), Some(8)], 0));
        let more = json!({ "timestamp": 1_500, "EventReport": [{ "uuid": UUID, "name": "changed", "timestamp": 1_400 }, { "name": "third" }] });
        document.merge(object(more).unwrap(), &at(2_000)).unwrap();
        let names: Vec<String> = document.reports().filter_map(|report| text(report, "name")).collect();
        assert_eq!(names, ["changed", "second", "third"]);
        let first = document.report_mut(7).unwrap().clone();
        assert_eq!((&first["content"], &first["distribution"], &first["timestamp"]), (&json!("# a"), &json!("5"), &json!("1400")));
        document.merge(object(json!({ "info": "y" })).unwrap(), &at(3_000)).unwrap();
        document.remove_report(8);
        assert_eq!(document.reports().count(), 2);
    }

    #[test]
    fn what_is_no_newer_changes_nothing_and_what_cannot_be_read_is_refused() {
        let mut document = Document::new(object(json!({ "info": "x" })).unwrap(), &at(1_000)).unwrap();
        let report = || object(json!({ "uuid": UUID, "name": "a 900101-1234568" })).unwrap();
        assert_eq!(document.add_report(report(), &at(1_000)).unwrap(), UUID);
        assert!(matches!(document.add_report(report(), &at(1_000)), Err(HubError::Invalid { pointer, .. }) if pointer == "/uuid"));
        for wrong in [json!({ "content": "x" }), json!({ "name": "x", "distribution": 9 })] {
            assert!(matches!(document.add_report(object(wrong).unwrap(), &at(1_000)), Err(HubError::Invalid { .. })));
        }
        let there = document.reports_mut().next().unwrap();
        assert!(!text(there, "name").unwrap().contains("1234568"), "resident numbers are masked");
        assert!(!merge_report(there, object(json!({ "name": "b", "timestamp": 1_000 })).unwrap(), &at(2_000)).unwrap());
        assert!(merge_report(there, object(json!({ "name": "b" })).unwrap(), &at(2_000)).unwrap());
        assert_eq!((&there["name"], &there["timestamp"], &there["uuid"]), (&json!("b"), &json!("2000"), &json!(UUID)));
    }
}
