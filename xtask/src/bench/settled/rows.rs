//! Rows for the settled tier: what the apply thread makes of events, without the events.
//!
//! Invariant: a row is a function of its event's number alone; values repeat as in `load`: a quarter new, half of the repeats recent, half of any age.

use crate::load::{mix, value_place};
use model::{Seq, Timestamp};
use store::views::Row;
use store::views::recent::{Gathered, Recent};
use store::views::row::NEVER;

/// Classes that the rows of one value are spread over, at the most.
const MOST_CLASSES: u64 = 4;
/// Classes in all.
const CLASSES: u64 = 5_000;
/// Time of the first event, in milliseconds since 1970.
const START_MILLIS: u64 = 1_790_000_000_000;
/// From one event to the next, in milliseconds.
const STEP_MILLIS: u64 = 50;
/// Senders are late by up to so many milliseconds.
const LATE_MILLIS: u64 = 60_000;
/// Events of a block.
const BLOCK: u64 = 20_000;
/// Seconds of thirty days: what most values count for, or a small multiple of it.
const THIRTY_DAYS: i64 = 30 * 86_400;
/// Places of values from here on never occur.
const ABSENT: u64 = 1 << 48;

/// The row of event `n`.
pub fn row(n: u64) -> Row {
    let dice = mix(n);
    let place = value_place(n, dice);
    let classes = 1 + mix(place ^ 0xc1) % MOST_CLASSES;
    let class = mix(place * MOST_CLASSES + (dice >> 20) % classes) % CLASSES;
    let millis = START_MILLIS + n * STEP_MILLIS - mix(n ^ 0x77) % LATE_MILLIS;
    let time = Timestamp::from_micros(millis as i64 * 1_000);
    let seq = Seq::new(n / BLOCK, (n % BLOCK) as u16);
    let lifetime = THIRTY_DAYS * (1 + (mix(place ^ 0x1f) % 3) as i64);
    Row {
        key: key(place),
        class: class as u32,
        events: 1,
        count: 1 + (dice >> 50) % 40,
        first_time: time,
        last_time: time,
        first_seq: seq,
        last_seq: seq,
        expires: if mix(place ^ 0x0e).is_multiple_of(10) { NEVER } else { time.seconds() + lifetime },
        confidence: (31 + (dice >> 44) % 70) as u8,
    }
}

/// The key of a value that one of the first `events` events is about.
pub fn present(draw: u64, events: u64) -> u128 {
    let n = mix(draw) % events.max(1);
    key(value_place(n, mix(n)))
}

/// A key that no row has.
pub fn absent(draw: u64) -> u128 {
    key(ABSENT + draw)
}

/// Adds the rows of events from `n` on until there are at least so many rows; gives the event after the last.
pub fn fill(recent: &Recent, mut n: u64, rows: usize) -> u64 {
    let mut gathered = Gathered::default();
    while recent.rows() < rows {
        gathered.push(row(n), recent);
        n += 1;
    }
    gathered.finish(recent);
    n
}

/// The key of a value: uniform, as the keyed hash of a text is, and different for different places.
fn key(place: u64) -> u128 {
    u128::from(mix(place ^ 0x5e77_1ed0)) << 64 | u128::from(mix(place ^ 0x0b5e_77ab))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn values_repeat_and_have_few_classes() {
        let mut classes: HashMap<u128, HashSet<u32>> = HashMap::new();
        let events = 40_000;
        for n in 0..events {
            classes.entry(row(n).key).or_default().insert(row(n).class);
        }
        let values = classes.len() as u64;
        assert!((events / 8..events / 3).contains(&values), "{values} values");
        assert!(classes.values().all(|classes| classes.len() as u64 <= MOST_CLASSES));
        assert!((0..1_000).all(|draw| classes.contains_key(&present(draw, events))));
        assert!((0..1_000).all(|draw| !classes.contains_key(&absent(draw))));
    }
}
