//! Aggregates of some values, made anew from the blocks that hold them, after a withdrawal or expiry.
//!
//! Flow: the apply thread withholds the values, a background thread reads the blocks up to then, the apply thread adds what came since. Of the blocks
//! those are read that lie between a value's first and last event and whose filter may hold it, of these the rows that do.
//! Invariant: the result is what a brute-force reading of the retained ledger gives. Rows of a value cover all its events, also while it is withheld:
//! they are replaced as one, and what comes is added to them meanwhile.

use crate::ledger::{Kind, Ledger, LedgerError, Place};
use crate::views::strings::Class;
use crate::views::{Days, KeyFilter, Prepared, Row, Views, last_time, replay_with};
use hashbrown::{HashMap, HashSet};
use model::Seq;

/// Rows of `keys` from the events in `places`, in their order, that still count.
///
/// # Errors
/// [`LedgerError`] where a block cannot be read.
pub(crate) fn rows_of(
    views: &Views,
    ledger: &Ledger,
    places: &[Place],
    keys: &HashSet<u128>,
    days: &mut dyn Days,
) -> Result<HashMap<u128, Vec<Row>>, LedgerError> {
    let mut spans = Spans::of(views, keys);
    let mut found: HashMap<(u128, u32), Row> = HashMap::new();
    for place in places {
        if place.header.kind == Kind::Control {
            continue;
        }
        let open = spans.at(place);
        if open.is_empty() {
            continue;
        }
        let filter = ledger.read_filter(place)?.as_deref().and_then(KeyFilter::from_bytes);
        let may_be_here = |key: u128| filter.as_ref().is_none_or(|filter| filter.may_contain(key));
        let here: HashSet<u128> = open.iter().map(|(_, key)| *key).filter(|&key| may_be_here(key)).collect();
        if here.is_empty() {
            continue;
        }
        let frame = ledger.read(place)?;
        for (rows, prepared) in replay_with(&frame, &views.keys, &here, days).unwrap_or_default() {
            collect(views, place.header.first_seq, &rows, &prepared, &here, &mut found);
        }
    }
    let mut rows: HashMap<u128, Vec<Row>> = HashMap::new();
    for ((key, _), row) in found {
        rows.entry(key).or_default().push(row);
    }
    Ok(rows)
}

/// Where the events of keys lie, asked place by place.
struct Spans {
    /// By their first place, the last of them first.
    ahead: Vec<(Seq, Seq, u128)>,
    /// Those whose first place was reached and whose last one was not passed.
    open: Vec<(Seq, u128)>,
}

impl Spans {
    fn of(views: &Views, keys: &HashSet<u128>) -> Self {
        // What cannot be read may be anywhere.
        let span = |key: u128| views.observables.span(key).unwrap_or(Some((Seq(0), Seq(Seq::LIMIT))));
        let mut ahead: Vec<(Seq, Seq, u128)> = keys.iter().filter_map(|&key| span(key).map(|(first, last)| (first, last, key))).collect();
        ahead.sort_unstable_by(|one, other| other.cmp(one));
        Self { ahead, open: Vec::new() }
    }

    /// The keys that can have an event in a place; places are asked for in their order.
    fn at(&mut self, place: &Place) -> &[(Seq, u128)] {
        while let Some((_, last, key)) = self.ahead.pop_if(|(first, ..)| *first < place.header.end()) {
            self.open.push((last, key));
        }
        self.open.retain(|(last, _)| *last >= place.header.first_seq);
        &self.open
    }
}

/// `rows` are the numbers of what was prepared in the frame that begins at `first_seq`.
fn collect(views: &Views, first_seq: Seq, rows: &[u32], prepared: &Prepared, keys: &HashSet<u128>, found: &mut HashMap<(u128, u32), Row>) {
    for reference in &prepared.references {
        if !keys.contains(&reference.key) {
            continue;
        }
        let Some(row) = rows.get(reference.event as usize) else { continue };
        let seq = Seq(first_seq.0 + u64::from(*row));
        let (Some(event), Some(class)) = (prepared.events.get(reference.event as usize), prepared.classes.get(reference.class as usize)) else { continue };
        // What is merged is forgotten as it expires: asked in this order, one of both holds.
        if views.merged.read().contains(seq.0) || views.is_expired(seq) {
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
