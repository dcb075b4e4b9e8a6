//! Holidays of the realm: civil dates, from configuration, on which digests for business days wait.
//!
//! Not here: when a digest is due (`rhythm`). Korea decides substitute and election holidays year by year, so that no rule could make the list.

use jiff::civil::{Date, Weekday};
use std::collections::BTreeSet;

/// Dates in the list at the most.
pub const MAX_HOLIDAYS: usize = 1_000;

/// Reads a list of dates such as `2026-01-01`.
///
/// # Errors
/// Which entry is no date, or that there are too many.
pub fn parse<'t>(list: impl IntoIterator<Item = &'t str>) -> Result<BTreeSet<Date>, String> {
    let mut holidays = BTreeSet::new();
    for text in list {
        // jiff would read a date out of a longer text, too.
        let date = Some(text).filter(|text| text.len() == 10).and_then(|text| text.parse::<Date>().ok());
        holidays.insert(date.ok_or_else(|| format!("{text:?}: expected a date such as 2026-01-01"))?);
        if holidays.len() > MAX_HOLIDAYS {
            return Err(format!("expected at most {MAX_HOLIDAYS} dates"));
        }
    }
    Ok(holidays)
}

/// Whether people are at work: neither Saturday, Sunday nor a holiday.
pub fn is_business_day(date: Date, holidays: &BTreeSet<Date>) -> bool {
    !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday) && !holidays.contains(&date)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_anything_else_is_named() {
        let holidays = parse(["2026-01-01", "2026-02-17", "2026-01-01"]).unwrap();
        assert_eq!(holidays.len(), 2);
        for wrong in ["", "2026-1-1", "2026-02-30", "20260101", "2026-01-01T00:00", "tomorrow!!"] {
            assert!(parse([wrong]).unwrap_err().contains("2026-01-01"), "{wrong}");
        }
    }

    #[test]
    fn weekends_and_holidays_are_no_business_days() {
        let holidays = parse(["2026-01-01"]).unwrap();
        let day = |text: &str| is_business_day(text.parse().unwrap(), &holidays);
        assert!(!day("2026-01-01") && day("2026-01-02") && !day("2026-01-03") && !day("2026-01-04") && day("2026-01-05"));
    }
}
