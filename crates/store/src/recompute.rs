//! Aggregates of some values, made anew from the blocks that hold them, after a withdrawal or expiry.
//!
//! Flow: the apply thread withholds the values, a background thread reads the blocks up to then, the apply thread adds what came since.
//! Invariant: the result is what a brute-force reading of the retained ledger gives.

use crate::ledger::{Kind, Ledger, Place, columns};
use crate::views::strings::Class;
use crate::views::{Days, KeyFilter, Part, Row, Views, last_time, replay};
use hashbrown::{HashMap, HashSet};
use model::Seq;

/// Rows of `keys` from the events in `places` that still count.
///
/// # Errors
/// [`crate::ledger::LedgerError`] where a block cannot be read.
pub(crate) fn rows_of(
    views: &Views,
    ledger: &Ledger,
    places: &[Place],
    keys: &HashSet<u128>,
    days: &mut dyn Days,
) -> Result<HashMap<u128, Vec<Row>>, crate::ledger::LedgerError> {
    let mut found: HashMap<(u128, u32), Row> = HashMap::new();
    for place in places {
        if place.header.kind == Kind::Control {
            continue;
        }
        let frame = ledger.read(place)?;
        let Some((filter, _)) = columns::split_filter(frame.body()) else { continue };
        let filter = KeyFilter::from_bytes(filter);
        if filter.is_some_and(|filter| !keys.iter().any(|&key| filter.may_contain(key))) {
            continue;
        }
        for part in replay(&frame, &views.keys, days).unwrap_or_default() {
            collect(views, place.header.first_seq, &part, keys, &mut found);
        }
    }
    let mut rows: HashMap<u128, Vec<Row>> = HashMap::new();
    for ((key, _), row) in found {
        rows.entry(key).or_default().push(row);
    }
    Ok(rows)
}

fn collect(views: &Views, first_seq: Seq, part: &Part, keys: &HashSet<u128>, found: &mut HashMap<(u128, u32), Row>) {
    let prepared = &part.prepared;
    for reference in &prepared.references {
        if !keys.contains(&reference.key) {
            continue;
        }
        let seq = Seq(first_seq.0 + u64::from(part.submission.start + reference.event));
        let (Some(event), Some(class)) = (prepared.events.get(reference.event as usize), prepared.classes.get(reference.class as usize)) else { continue };
        if views.merged.read().contains(seq.0) {
            continue;
        }
        let withdrawn = views.withdrawn.read().contains(seq.0);
        let text = |local: u32| (local as usize).checked_sub(1).and_then(|at| prepared.strings.get(at)).map_or(0, |text| views.strings.intern(text));
        let Class { audience, sector, malware, threats, .. } = *class;
        let class = Class { audience: text(audience), sector: text(sector), malware: text(malware), threats: text(threats), withdrawn, ..*class };
        let class = views.classes.intern(class);
        let row = Row {
            key: reference.key,
            class,
            events: 1,
            count: u64::from(event.count),
            first_time: event.time,
            last_time: last_time(event),
            first_seq: seq,
            last_seq: seq,
            expires: reference.expires,
            confidence: event.confidence.map_or(0, |confidence| confidence + 1),
        };
        found.entry((row.key, row.class)).and_modify(|mine| mine.merge(&row)).or_insert(row);
    }
}
