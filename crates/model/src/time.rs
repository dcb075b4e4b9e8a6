//! A moment in microseconds since 1970, UTC.
//!
//! Source: RFC 3339 for the text form.
//! Invariant: between the years 0001 and 9999, so that every value has a text form.
//! Not here: the clock (the caller passes `now`).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Why a text or number is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Neither RFC 3339 nor a number of seconds or milliseconds.
    #[error("time is neither RFC 3339 nor seconds or milliseconds since 1970")]
    Malformed,
    /// Outside the years 0001 to 9999.
    #[error("time is outside the years 0001 to 9999")]
    OutOfRange,
}

const MICROS: i64 = 1_000_000;
const MIN: i64 = -62_135_596_800 * MICROS;
const MAX: i64 = 253_402_300_800 * MICROS - 1;
/// Numbers from here on are milliseconds: as seconds they would lie past the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

impl Timestamp {
    /// The earliest representable moment.
    pub const MIN: Self = Self(MIN);
    /// The latest representable moment.
    pub const MAX: Self = Self(MAX);

    /// A moment from microseconds since 1970, clamped to the representable range.
    pub const fn from_micros(micros: i64) -> Self {
        if micros < MIN {
            Self(MIN)
        } else if micros > MAX {
            Self(MAX)
        } else {
            Self(micros)
        }
    }

    /// A moment from whole seconds since 1970, clamped.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::from_micros(seconds.saturating_mul(MICROS))
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS)
    }

    /// This moment plus a duration, clamped.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This moment minus a duration, clamped.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Parses RFC 3339, a date alone (midnight UTC), a civil time without zone (UTC), or seconds or milliseconds since 1970.
    ///
    /// # Errors
    /// [`TimeError`] where it is none of them.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let text = text.trim();
        if let Some(time) = parse_plain(text.as_bytes()) {
            return Ok(time);
        }
        if let Ok(number) = text.parse::<f64>() {
            return Self::from_number(number);
        }
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::from_micros(time.as_microsecond()));
        }
        if let Ok(civil) = text.parse::<jiff::civil::DateTime>() {
            return civil
                .to_zoned(jiff::tz::TimeZone::UTC)
                .map(|zoned| Self::from_micros(zoned.timestamp().as_microsecond()))
                .map_err(|_| TimeError::OutOfRange);
        }
        Err(TimeError::Malformed)
    }

    /// Takes seconds or milliseconds since 1970.
    ///
    /// # Errors
    /// [`TimeError::OutOfRange`] outside the years 0001 to 9999, [`TimeError::Malformed`] for what is no number.
    pub fn from_number(number: f64) -> Result<Self, TimeError> {
        if !number.is_finite() {
            return Err(TimeError::Malformed);
        }
        let seconds = if number.abs() >= MILLISECONDS_FROM as f64 { number / 1000.0 } else { number };
        let micros = (seconds * MICROS as f64).round();
        if micros < MIN as f64 || micros > MAX as f64 {
            return Err(TimeError::OutOfRange);
        }
        Ok(Self(micros as i64))
    }

    /// Days since 1970-01-01 in UTC.
    pub const fn utc_day(self) -> i64 {
        self.0.div_euclid(86_400 * MICROS)
    }

    /// The text form with microseconds always given: `2026-11-21T19:26:00.000000Z`.
    pub fn to_micro_string(self) -> String {
        let mut out = String::with_capacity(27);
        self.write_civil(&mut out, true);
        out
    }

    /// Appends the text form: without a fraction where it is zero, else with six digits.
    pub fn write_to(self, out: &mut String) {
        self.write_civil(out, self.0.rem_euclid(MICROS) != 0);
    }

    fn write_civil(self, out: &mut String, fraction: bool) {
        let seconds = self.seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        push_digits(out, year, 4);
        out.push('-');
        push_digits(out, month, 2);
        out.push('-');
        push_digits(out, day, 2);
        out.push('T');
        push_digits(out, of_day / 3600, 2);
        out.push(':');
        push_digits(out, of_day / 60 % 60, 2);
        out.push(':');
        push_digits(out, of_day % 60, 2);
        if fraction {
            out.push('.');
            push_digits(out, self.0.rem_euclid(MICROS), 6);
        }
        out.push('Z');
    }
}

fn push_digits(out: &mut String, value: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10_i64.pow(place) % 10;
        out.push(char::from(b'0' + digit as u8));
    }
}

/// Parses the one shape that nearly every sender uses, `YYYY-MM-DDTHH:MM:SS[.f…]Z`, without a general parser.
fn parse_plain(text: &[u8]) -> Option<Timestamp> {
    let (civil, rest) = text.split_at_checked(19)?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1] = *civil else { return None };
    let two = |a: u8, b: u8| Some(i64::from(digit(a)?) * 10 + i64::from(digit(b)?));
    let year = two(y0, y1)? * 100 + two(y2, y3)?;
    let (month, day, hour, minute, second) = (two(m0, m1)?, two(d0, d1)?, two(h0, h1)?, two(n0, n1)?, two(s0, s1)?);
    let mut micros = 0;
    match rest {
        [b'Z'] => {}
        [b'.', digits @ .., b'Z'] if !digits.is_empty() && digits.len() <= 9 => {
            let mut scale = 100_000;
            for &byte in digits {
                micros += i64::from(digit(byte)?) * scale;
                scale /= 10;
            }
        }
        _ => return None,
    }
    let month_length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => return None,
    };
    if year == 0 || day == 0 || day > month_length || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Timestamp(seconds * MICROS + micros))
}

const fn digit(byte: u8) -> Option<u8> {
    if byte.is_ascii_digit() { Some(byte - b'0') } else { None }
}

/// Days since 1970-01-01 of a proleptic Gregorian date.
///
/// Source: Howard Hinnant, "chrono-compatible low-level date algorithms".
pub const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_index = (month + 9) % 12;
    let day_of_year = (153 * month_index + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
///
/// Source: as [`days_from_civil`].
pub const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(27);
        self.write_to(&mut out);
        f.write_str(&out)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_usual_shapes_are_taken() {
        let expected = Timestamp::from_seconds(1_732_217_160);
        for text in [
            "2024-11-21T19:26:00Z",
            "2024-11-21T19:26:00.000Z",
            "2024-11-22T04:26:00+09:00",
            "2024-11-21 19:26:00",
            "1732217160",
            "1732217160000",
            "1732217160.0",
        ] {
            assert_eq!(Timestamp::parse(text), Ok(expected), "{text}");
        }
        assert_eq!(Timestamp::parse("2024-02-30T00:00:00Z"), Err(TimeError::Malformed));
        assert_eq!(Timestamp::parse("yesterday"), Err(TimeError::Malformed));
        assert_eq!(Timestamp::parse("1e300"), Err(TimeError::OutOfRange));
    }

    proptest! {
        #[test]
        fn text_and_moment_are_one_to_one(micros in MIN..=MAX) {
            let time = Timestamp::from_micros(micros);
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
            prop_assert_eq!(Timestamp::parse(&time.to_micro_string()), Ok(time));
        }
    }
}
