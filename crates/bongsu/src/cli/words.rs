//! Parsers of single arguments: words of the wire, times, lengths of time.
//!
//! Flow: clap calls one with an argument's text → a value of `model`, or a sentence of what was expected.
//! Invariant: an error names the legal words or shapes.
//! Not here: values whose form the hub checks (ranges, sectors, categories): they are sent as given.

/// Defines a parser of a wire word that names the legal ones when it fails.
macro_rules! word_parser {
    ($($name:ident => $type:ty),+ $(,)?) => {
        $(pub(super) fn $name(text: &str) -> Result<$type, String> {
            <$type>::parse(text).ok_or_else(|| {
                let legal: Vec<&str> = <$type>::ALL.iter().map(|word| word.as_str()).collect();
                format!("unknown {}; one of {}", <$type>::WHAT, legal.join(", "))
            })
        })+
    };
}

word_parser! {
    tlp => model::Tlp,
    origin => model::Origin,
    role => model::Role,
    org_kind => model::OrgKind,
    constituency => model::Constituency,
    key_role => model::KeyRole,
}

/// Parses a time, a date, or an age before now.
pub(super) fn moment(text: &str) -> Result<model::Timestamp, String> {
    if let Some(age) = length(text) {
        return Ok(hub::clock::Clock::system().now().minus(age));
    }
    model::Timestamp::parse(text).map_err(|error| format!("{error}; expected 2026-11-21, 2026-11-21T19:26:00Z or an age such as 24h, 7d"))
}

/// Parses a time, a date, or a length of time from now.
pub(super) fn deadline(text: &str) -> Result<model::Timestamp, String> {
    if let Some(length) = length(text) {
        return Ok(hub::clock::Clock::system().now().plus(length));
    }
    model::Timestamp::parse(text).map_err(|error| format!("{error}; expected 2027-11-21, 2027-11-21T19:26:00Z or a length such as 24h, 90d"))
}

/// A length of time with its unit; without one the text is a time.
fn length(text: &str) -> Option<std::time::Duration> {
    text.ends_with(|last: char| last.is_ascii_alphabetic()).then(|| seconds(text).ok()).flatten().map(std::time::Duration::from_secs)
}

/// Checks a time of day; it is sent as given.
pub(super) fn clock_time(text: &str) -> Result<String, String> {
    match text.parse::<hub::delivery::rhythm::ClockTime>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("--at takes HH:MM, such as 09:00, from 00:00 to 23:59".to_owned()),
    }
}

/// Parses a length of time: a number of seconds, or a number with s, m, h, d or w.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let expected = || "expected a number followed by s, m, h, d or w".to_owned();
    let (digits, unit) = match text.char_indices().next_back() {
        Some((place, 's')) => (text.get(..place), 1),
        Some((place, 'm')) => (text.get(..place), 60),
        Some((place, 'h')) => (text.get(..place), 3600),
        Some((place, 'd')) => (text.get(..place), 86_400),
        Some((place, 'w')) => (text.get(..place), 604_800),
        _ => (Some(text), 1),
    };
    let number: u64 = digits.ok_or_else(expected)?.parse().map_err(|_| expected())?;
    number.checked_mul(unit).ok_or_else(expected)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_word_names_the_legal_ones() {
        assert!(tlp("purple").unwrap_err().contains("amber+strict"));
    }

    #[test]
    fn a_length_lies_behind_in_a_filter_and_ahead_in_a_deadline() {
        let now = hub::clock::Clock::system().now();
        assert!(moment("1d").unwrap() < now && deadline("1d").unwrap() > now);
        assert_eq!(moment("2026-11-21"), deadline("2026-11-21"));
    }

    #[test]
    fn a_time_of_day_is_hours_and_minutes() {
        assert_eq!(clock_time("09:00"), Ok("09:00".to_owned()));
        for wrong in ["25:00", "9:00", "09.00", "at-once", ""] {
            assert!(clock_time(wrong).unwrap_err().contains("--at takes HH:MM"), "{wrong}");
        }
    }

    #[test]
    fn lengths_of_time_have_units() {
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("2h"), Ok(7200));
        assert_eq!(seconds("1w"), Ok(604_800));
        assert!(seconds("h").is_err());
        assert!(seconds("5y").is_err());
        assert!(seconds("").is_err());
    }
}
