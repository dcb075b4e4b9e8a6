//! Dates in HTTP headers.
//!
//! Source: RFC 9110 section 5.6.7, the preferred form alone: `Sun, 06 Nov 1994 08:49:37 GMT`. A date in an obsolete form is as none.

use model::Timestamp;
use model::time::{civil_from_days, days_from_civil};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment, to the second.
pub fn write(time: Timestamp) -> String {
    let (days, of_day) = (time.seconds().div_euclid(86_400), time.seconds().rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    // 1970-01-01 was a Thursday.
    let name = usize::try_from(days.rem_euclid(7)).ok().and_then(|place| DAYS.get(place)).copied().unwrap_or_default();
    let month = usize::try_from(month - 1).ok().and_then(|place| MONTHS.get(place)).copied().unwrap_or_default();
    format!("{name}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT", of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

/// The moment that a date names.
pub fn read(text: &str) -> Option<Timestamp> {
    let rest = text.trim().split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut parts = rest.split(' ');
    let (day, month, year, clock) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let mut clock = clock.split(':').map(|part| part.parse::<i64>().ok().filter(|number| (0..=60).contains(number)));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let (day, year) = (day.parse::<i64>().ok()?, year.parse::<i64>().ok()?);
    let fits = (1..=31).contains(&day) && (1..=9_999).contains(&year) && hour < 24 && minute < 60 && parts.next().is_none();
    let days = days_from_civil(year, i64::try_from(month).ok()?, day);
    fits.then(|| Timestamp::from_seconds(days * 86_400 + hour * 3_600 + minute * 60 + second))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_and_read_in_the_preferred_form() {
        for (seconds, text) in
            [(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT")]
        {
            let time = Timestamp::from_seconds(seconds);
            assert_eq!(write(time), text);
            assert_eq!(read(text), Some(time));
        }
        for wrong in
            ["", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Nov 1994 24:00:00 GMT", "yesterday"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
