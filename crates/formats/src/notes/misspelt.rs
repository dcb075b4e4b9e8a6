//! Which field of the contract an unknown name is likely meant for.
//!
//! Invariant: near is one slip of the pen in a short name and two in a longer one: a letter too many, too few, another one, or two exchanged; and any
//! case. In names of three or four letters another letter is another word. Names that other systems have are meant as they stand.
//! Source: the optimal string alignment distance (Damerau, CACM 7(3), 1964, with one edit a place).

/// The longest name that can be near a field.
pub(super) const LONGEST: usize = 14;

/// The fields of an event, as the contract names them.
const FIELDS: [&str; 33] = [
    "time",
    "category",
    "observables",
    "observable",
    "value",
    "type",
    "role",
    "detect",
    "origin",
    "tlp",
    "pap",
    "audience",
    "named",
    "notify_owner",
    "valid_until",
    "id",
    "confidence",
    "severity",
    "sector",
    "malware",
    "technique",
    "cve",
    "port",
    "dst_ip",
    "dst_port",
    "protocol",
    "count",
    "last_time",
    "target",
    "source_asn",
    "note",
    "original",
    "extra",
];

/// Names that are near one of ours and mean something else.
const OTHERS: [&str; 11] = ["actor", "detected", "dport", "dst_as", "name", "names", "security", "sport", "src_ip", "src_port", "vector"];

/// The nearest field.
pub(super) fn field_near(name: &str) -> Option<&'static str> {
    let folded = name.to_ascii_lowercase();
    if !folded.is_ascii() || OTHERS.contains(&folded.as_str()) {
        return None;
    }
    let near = FIELDS.iter().filter_map(|field| steps(&folded, field).map(|steps| (steps, *field)));
    near.min_by_key(|(steps, _)| *steps).map(|(_, field)| field)
}

/// How many slips lie between a name and a field; `None` where they are too many.
fn steps(name: &str, field: &str) -> Option<usize> {
    if name.len().abs_diff(field.len()) > 2 {
        return None;
    }
    let steps = distance(name.as_bytes(), field.as_bytes());
    let is_near = match field.len() {
        0..=2 => steps == 0,
        3..=4 => steps <= 1 && !has_another_letter(name, field),
        5 => steps <= 1,
        _ => steps <= 2,
    };
    is_near.then_some(steps)
}

/// Whether two names of one length differ in more than the order of their letters.
fn has_another_letter(name: &str, field: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters = text.as_bytes().to_vec();
        letters.sort_unstable();
        letters
    };
    name.len() == field.len() && sorted(name) != sorted(field)
}

fn distance(left: &[u8], right: &[u8]) -> usize {
    let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(LONGEST);
    // Distances of what is read of the left name to every beginning of the right one; and the rows one and two letters before.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, &letter) in left.iter().enumerate() {
        let mut row = Vec::with_capacity(right.len() + 1);
        row.push(i + 1);
        for (j, &other) in right.iter().enumerate() {
            let mut least = (at(&last, j) + usize::from(letter != other)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            if let (Some(i), Some(j)) = (i.checked_sub(1), j.checked_sub(1))
                && left.get(i) == Some(&other)
                && right.get(j) == Some(&letter)
            {
                least = least.min(at(&before, j) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    at(&last, right.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_told_and_another_word_is_not() {
        for (name, field) in [
            ("tpl", Some("tlp")),
            ("TLP", Some("tlp")),
            ("categroy", Some("category")),
            ("valid_unitl", Some("valid_until")),
            ("validUntil", Some("valid_until")),
            ("observabels", Some("observables")),
            ("notes", Some("note")),
            ("confidance", Some("confidence")),
            ("dest_ip", Some("dst_ip")),
            ("severty", Some("severity")),
            ("cwe", None),
            ("node", None),
            ("rule", None),
            ("size", None),
            ("src_ip", None),
            ("name", None),
            ("ip", None),
            ("asn", None),
            ("country", None),
            ("colour", None),
            ("시간", None),
            ("", None),
        ] {
            assert_eq!(field_near(name), field, "{name}");
        }
    }

    #[test]
    fn every_field_is_its_own_nearest_and_none_is_too_long() {
        for field in FIELDS {
            assert_eq!(field_near(field), Some(field));
            assert!(field.len() + 2 <= LONGEST, "{field}");
        }
    }

    #[test]
    fn neighbours_exchanged_are_one_step() {
        assert_eq!(distance(b"categroy", b"category"), 1);
        assert_eq!(distance(b"valid_unitl", b"valid_until"), 1);
        assert_eq!(distance(b"", b"abc"), 3);
        assert_eq!(distance(b"abc", b"abc"), 0);
    }
}
