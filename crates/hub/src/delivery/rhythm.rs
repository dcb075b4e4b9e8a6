//! When a subscription is served, and when a failed attempt is made again. Pure: the moment, the zone and the holidays are arguments.
//!
//! Flow: [`next_due`] lays the clock times of the days around `after` on the time line and takes the first one past it that is allowed.
//! Invariant: what is due lies strictly later than `after`, and asking again at any moment before it gives the same answer, so that a restart
//! neither skips a digest nor sends one twice. A clock time that a change of clocks passes over falls due as much later as the clocks are put on;
//! one that comes twice falls due the first time alone.
//! Not here: which days are holidays (`holidays`), the queue.

use super::holidays::is_business_day;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Clock times of one digest at the most.
pub const MAX_TIMES: usize = 24;
/// Days that are looked at for a business day; past them any day is taken, for nothing waits for good.
const MAX_DAYS: usize = 60;
/// Days looked at beyond the first that has a time: no change of clocks moves a time further than by one.
const DAYS_BEYOND: usize = 2;
/// Attempts after which a message that the other side refuses is parked.
pub const REFUSED_ATTEMPTS: u32 = 8;

/// Seconds between attempts: 63 hours in all, with jitter up to 76.
const DELAYS: [u64; 17] = [30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 21_600, 28_800, 28_800, 43_200, 43_200];
/// The jitter is at most the delay divided by this.
const JITTER_PART: u64 = 5;

/// A time of day, `HH:MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClockTime {
    hour: u8,
    minute: u8,
}

/// Why a text is no time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a time of day such as 09:00, from 00:00 to 23:59")]
pub struct ClockTimeError;

impl FromStr for ClockTime {
    type Err = ClockTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str, limit: u8| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u8>().ok()).flatten().filter(|number| *number < limit).ok_or(ClockTimeError)
        };
        let (hour, minute) = text.split_once(':').ok_or(ClockTimeError)?;
        Ok(Self { hour: number(hour, 24)?, minute: number(minute, 60)? })
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

impl Serialize for ClockTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClockTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// When a subscription is served: `"at-once"`, or `{"times": ["09:00", "17:00"], "business_days": true}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Rhythm {
    /// As things come.
    AtOnce,
    /// Gathered until a clock time in the realm's zone.
    Digest {
        /// In order, each once; at least one, [`MAX_TIMES`] at the most.
        times: Vec<ClockTime>,
        /// Neither on Saturdays, Sundays nor holidays.
        business_days: bool,
    },
}

/// A rhythm as JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"at-once\" or {\"times\": [\"09:00\"], \"business_days\": true}")]
enum Written {
    Word(Word),
    Digest(Digest),
}

#[derive(Serialize, Deserialize)]
enum Word {
    #[serde(rename = "at-once")]
    AtOnce,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Digest {
    times: Vec<ClockTime>,
    #[serde(default)]
    business_days: bool,
}

impl From<Rhythm> for Written {
    fn from(rhythm: Rhythm) -> Self {
        match rhythm {
            Rhythm::AtOnce => Self::Word(Word::AtOnce),
            Rhythm::Digest { times, business_days } => Self::Digest(Digest { times, business_days }),
        }
    }
}

impl TryFrom<Written> for Rhythm {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written::Word(Word::AtOnce) => Ok(Self::AtOnce),
            Written::Digest(Digest { mut times, business_days }) => {
                times.sort_unstable();
                times.dedup();
                if times.is_empty() || times.len() > MAX_TIMES {
                    return Err(format!("times: expected 1 to {MAX_TIMES} times of day"));
                }
                Ok(Self::Digest { times, business_days })
            }
        }
    }
}

/// The first moment after `after` at which a subscription of this rhythm is served.
pub fn next_due(rhythm: &Rhythm, after: Timestamp, zone: &TimeZone, holidays: &BTreeSet<Date>) -> Timestamp {
    let at_once = after.plus(Duration::from_micros(1));
    match rhythm {
        Rhythm::AtOnce => at_once,
        Rhythm::Digest { times, business_days } => {
            let allowed = |date: Date| !business_days || is_business_day(date, holidays);
            // Where the holidays leave no day, any day; where the calendar ends, at once.
            next_time(times, after, zone, allowed).or_else(|| next_time(times, after, zone, |_| true)).unwrap_or(at_once)
        }
    }
}

/// The first of the clock times past `after` on a day that is allowed.
fn next_time(times: &[ClockTime], after: Timestamp, zone: &TimeZone, allowed: impl Fn(Date) -> bool) -> Option<Timestamp> {
    let after = jiff::Timestamp::from_microsecond(after.micros()).ok()?;
    // A time of the day before may have been put into this one.
    let mut date = zone.to_datetime(after).date().yesterday().ok()?;
    let mut first: Option<jiff::Timestamp> = None;
    let mut beyond = 0;
    for _ in 0..MAX_DAYS {
        for time in times {
            let Ok(civil) = jiff::civil::Time::new(time.hour as i8, time.minute as i8, 0, 0) else { continue };
            let Ok(due) = zone.to_ambiguous_timestamp(date.to_datetime(civil)).compatible() else { continue };
            // The day is the one on which it falls, which is another one where a whole day was passed over.
            if due > after && first.is_none_or(|earlier| due < earlier) && allowed(zone.to_datetime(due).date()) {
                first = Some(due);
            }
        }
        if first.is_some() {
            if beyond == DAYS_BEYOND {
                break;
            }
            beyond += 1;
        }
        let Ok(next) = date.tomorrow() else { break };
        date = next;
    }
    first.map(|due| Timestamp::from_micros(due.as_microsecond()))
}

/// How long to wait before attempt `attempt + 1`; `None`: park, after about three days. `attempt` counts those made; `jitter` is any number.
pub fn backoff(attempt: u32, jitter: u64) -> Option<Duration> {
    let place = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let milliseconds = DELAYS.get(place)? * 1_000;
    Some(Duration::from_millis(milliseconds + jitter % (milliseconds / JITTER_PART + 1)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn digest(times: &[&str], business_days: bool) -> Rhythm {
        Rhythm::Digest { times: times.iter().map(|time| time.parse().unwrap()).collect(), business_days }
    }

    fn due(rhythm: &Rhythm, after: &str, zone_name: &str, holidays: &[&str]) -> String {
        let holidays = holidays.iter().map(|day| day.parse().unwrap()).collect();
        next_due(rhythm, Timestamp::parse(after).unwrap(), &zone(zone_name), &holidays).to_string()
    }

    #[test]
    fn a_digest_is_due_at_the_next_of_its_times_in_the_zone() {
        let twice = digest(&["09:00", "17:00"], false);
        assert_eq!(due(&twice, "2026-11-20T23:59:59Z", "Asia/Seoul", &[]), "2026-11-21T00:00:00Z");
        assert_eq!(due(&twice, "2026-11-21T00:00:00Z", "Asia/Seoul", &[]), "2026-11-21T08:00:00Z");
        assert_eq!(due(&twice, "2026-11-21T08:00:00.000001Z", "Asia/Seoul", &[]), "2026-11-22T00:00:00Z");
    }

    #[test]
    fn business_days_leave_out_weekends_and_holidays() {
        let daily = digest(&["09:00"], true);
        // A Friday evening; Monday is a holiday.
        assert_eq!(due(&daily, "2026-11-20T09:00:00Z", "Asia/Seoul", &[]), "2026-11-23T00:00:00Z");
        assert_eq!(due(&daily, "2026-11-20T09:00:00Z", "Asia/Seoul", &["2026-11-23"]), "2026-11-24T00:00:00Z");
        assert_eq!(due(&digest(&["09:00"], false), "2026-11-20T09:00:00Z", "Asia/Seoul", &["2026-11-21"]), "2026-11-21T00:00:00Z");
    }

    #[test]
    fn holidays_without_end_hold_nothing_back() {
        let holidays: BTreeSet<Date> = (1..=12).flat_map(|month| (1..=28).filter_map(move |day| Date::new(2026, month, day).ok())).collect();
        let all: BTreeSet<Date> =
            holidays.into_iter().chain((29..=31).flat_map(|day| (1..=12).filter_map(move |month| Date::new(2026, month, day).ok()))).collect();
        let next = next_due(&digest(&["09:00"], true), Timestamp::parse("2026-03-01T00:00:01Z").unwrap(), &TimeZone::UTC, &all);
        assert_eq!(next.to_string(), "2026-03-01T09:00:00Z");
    }

    #[test]
    fn a_time_that_the_clocks_pass_over_falls_due_as_much_later() {
        // 02:00 to 03:00 on 29 March 2026 is not there in Berlin.
        let early = digest(&["02:30"], false);
        assert_eq!(due(&early, "2026-03-28T23:00:00Z", "Europe/Berlin", &[]), "2026-03-29T01:30:00Z");
        assert_eq!(due(&early, "2026-03-29T01:30:00Z", "Europe/Berlin", &[]), "2026-03-30T00:30:00Z");
    }

    #[test]
    fn a_time_that_comes_twice_falls_due_once() {
        // 02:00 to 03:00 on 25 October 2026 comes twice in Berlin.
        let early = digest(&["02:30"], false);
        assert_eq!(due(&early, "2026-10-24T22:00:00Z", "Europe/Berlin", &[]), "2026-10-25T00:30:00Z");
        assert_eq!(due(&early, "2026-10-25T00:30:00Z", "Europe/Berlin", &[]), "2026-10-26T01:30:00Z");
    }

    #[test]
    fn a_day_that_is_passed_over_as_a_whole_is_no_trap() {
        // Samoa had no 30 December 2011.
        let daily = digest(&["09:00", "23:00"], false);
        assert_eq!(due(&daily, "2011-12-30T09:00:00Z", "Pacific/Apia", &[]), "2011-12-30T19:00:00Z");
    }

    #[test]
    fn it_is_written_as_documented_and_read_back() {
        for (text, rhythm) in [(r#""at-once""#, Rhythm::AtOnce), (r#"{"times":["09:00","17:00"],"business_days":true}"#, digest(&["09:00", "17:00"], true))] {
            assert_eq!(serde_json::to_string(&rhythm).unwrap(), text);
            assert_eq!(serde_json::from_str::<Rhythm>(text).unwrap(), rhythm);
        }
        let sorted: Rhythm = serde_json::from_str(r#"{"times":["17:00","09:00","17:00"]}"#).unwrap();
        assert_eq!(sorted, digest(&["09:00", "17:00"], false));
        for text in
            [r#""hourly""#, r#"{"times":[]}"#, r#"{"times":["24:00"]}"#, r#"{"times":["9:00"]}"#, r#"{"times":["09:00"],"days":1}"#, r#"{"times":["+9:00"]}"#]
        {
            assert!(serde_json::from_str::<Rhythm>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn attempts_end_after_about_three_days() {
        let total = |jitter: u64| (1..).map_while(|attempt| backoff(attempt, jitter)).sum::<Duration>();
        let hours = |duration: Duration| duration.as_secs() / 3_600;
        assert_eq!(hours(total(0)), 63);
        assert!((1_u64..1_000).all(|jitter| (63..=76).contains(&hours(total(jitter.wrapping_mul(0x9E37_79B9_7F4A_7C15))))));
        assert_eq!(backoff(1, 0), Some(Duration::from_secs(30)));
        assert_eq!(backoff(0, 0), backoff(1, 0));
        assert_eq!(backoff(u32::MAX, 1), None);
    }

    const ZONES: [&str; 5] = ["Asia/Seoul", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"];

    fn any_digest() -> impl Strategy<Value = Rhythm> {
        (proptest::collection::btree_set((0_u8..24, 0_u8..60), 1..5), any::<bool>()).prop_map(|(times, business_days)| Rhythm::Digest {
            times: times.into_iter().map(|(hour, minute)| ClockTime { hour, minute }).collect(),
            business_days,
        })
    }

    fn any_holidays() -> impl Strategy<Value = BTreeSet<Date>> {
        proptest::collection::btree_set((1_i8..=12, 1_i8..=28).prop_map(|(month, day)| Date::new(2026, month, day).unwrap()), 0..12)
    }

    proptest! {
        #[test]
        fn what_is_due_lies_ahead_and_stays_the_same_until_then(
            rhythm in any_digest(), holidays in any_holidays(), seconds in 1_767_225_600_i64..1_798_761_600, part in 0_u64..1_000, zone_index in 0_usize..5,
        ) {
            let zone = zone(ZONES[zone_index]);
            let after = Timestamp::from_seconds(seconds);
            let due = next_due(&rhythm, after, &zone, &holidays);
            prop_assert!(due > after);
            let gap = u64::try_from(due.micros() - after.micros()).unwrap();
            let between = after.plus(Duration::from_micros((gap - 1) / 1_000 * part));
            prop_assert!(between < due);
            prop_assert_eq!(next_due(&rhythm, between, &zone, &holidays), due);
            prop_assert!(next_due(&rhythm, due, &zone, &holidays) > due);
            if let Rhythm::Digest { business_days: true, .. } = &rhythm {
                let date = zone.to_datetime(jiff::Timestamp::from_microsecond(due.micros()).unwrap()).date();
                prop_assert!(is_business_day(date, &holidays));
            }
        }

        #[test]
        fn at_once_is_the_very_next_moment(micros in -1_000_000_000_000_000_i64..4_000_000_000_000_000) {
            let after = Timestamp::from_micros(micros);
            prop_assert_eq!(next_due(&Rhythm::AtOnce, after, &TimeZone::UTC, &BTreeSet::new()).micros(), micros + 1);
        }

        #[test]
        fn a_wait_grows_and_its_jitter_is_bounded(attempt in 1_u32..17, jitter in any::<u64>()) {
            let (plain, shaken) = (backoff(attempt, 0).unwrap(), backoff(attempt, jitter).unwrap());
            prop_assert!(shaken >= plain && shaken <= plain + plain / 5);
            prop_assert!(backoff(attempt + 1, 0).unwrap() >= plain);
        }
    }
}
