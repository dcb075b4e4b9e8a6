//! Search: blocks from the newest on, skipping by zone map, then by key filter where a value is asked for, then by column (`store::ledger`), then by event.
//!
//! Invariant: order is by sequence, newest first; a cursor names a place and the filter it belongs to, so pages neither overlap nor miss
//! under writes. The filter is asked of the event as the reader sees it.

use super::lookup::reads;
use super::view::View;
use crate::answers::Page;
use crate::{Actor, Hub, HubError};
use model::{Filter, OrgNo, Seq};
use policy::{Sight, redact};
use std::time::{Duration, Instant};
use store::ledger::{Body, Frame, Kind, Place, columns};
use store::views::{KeyFilter, reporter_of};

/// Events of a page at the most.
pub const MAX_PAGE: usize = 1_000;
/// Bytes after which a page ends, with where to go on: events may be large, and whoever takes a page slowly holds all of it.
const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;
/// How long a page is searched for; then what was found is given, with where to go on.
const MAX_TIME: Duration = Duration::from_secs(5);

/// What a search looks for, with what can be decided per block.
struct Search<'a> {
    view: View<'a>,
    filter: &'a Filter,
    /// Keys of the values that the filter asks for.
    keys: Vec<u128>,
    own: Option<OrgNo>,
}

impl Hub {
    /// Events that the caller may see and the filter wants, newest first. With `mine` only the caller's own.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for roles that do not read, [`HubError::Invalid`] for a cursor of another search.
    pub fn search(&self, actor: &Actor, filter: &Filter, mine: bool, limit: usize, cursor: Option<&str>) -> Result<Page, HubError> {
        reads(actor)?;
        let limit = limit.clamp(1, MAX_PAGE);
        let mark = filter_mark(filter, mine);
        let before = match cursor {
            Some(cursor) => {
                read_cursor(cursor, mark).ok_or_else(|| HubError::Invalid { pointer: "cursor".to_owned(), reason: "no cursor of this search".to_owned() })?
            }
            None => self.store().views.position(),
        };
        let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
        let search = Search { view, filter, keys: self.keys_of(filter), own: mine.then_some(actor.organisation.number) };
        let started = Instant::now();
        let mut page = Page::default();
        let (mut last, mut bytes) = (Seq(0), 0);
        let mut index = self.store().ledger.index_of(before) + 1;
        'blocks: while index > 0 {
            index -= 1;
            let Some(place) = self.store().ledger.place(index) else { continue };
            // Every event before is expired, too.
            if place.header.end() <= self.store().views.expired_before() {
                break;
            }
            if place.header.first_seq >= before || !may_hold(&place, filter) {
                continue;
            }
            let frame = self.store().ledger.read(&place).map_err(|error| HubError::Internal(Box::new(error)))?;
            for (seq, event) in self.matches(&search, &frame, before, limit + 1 - page.events.len()) {
                if page.events.len() == limit || bytes > MAX_PAGE_BYTES {
                    page.cursor = Some(write_cursor(last, mark));
                    break 'blocks;
                }
                last = seq;
                bytes += event.len();
                page.events.push(event);
            }
            if index > 0 && started.elapsed() >= MAX_TIME {
                page.cursor = Some(write_cursor(place.header.first_seq, mark));
                break;
            }
        }
        Ok(page)
    }

    /// The newest `limit` matches of a block, newest first, rendered.
    fn matches(&self, search: &Search<'_>, frame: &Frame, before: Seq, limit: usize) -> Vec<(Seq, Vec<u8>)> {
        self.matches_in(search, frame, before, limit).unwrap_or_else(|| {
            tracing::error!(block = frame.header.first_seq.0, "a block cannot be decoded");
            Vec::new()
        })
    }

    fn matches_in(&self, search: &Search<'_>, frame: &Frame, before: Seq, limit: usize) -> Option<Vec<(Seq, Vec<u8>)>> {
        let header = &frame.header;
        let filter = search.filter;
        let submissions = frame.submissions();
        let mut out = Vec::new();
        if header.expired {
            // Since the look at its place.
            return Some(out);
        }
        if search.own.is_some_and(|own| !submissions.iter().any(|submission| submission.org == own)) {
            return Some(out);
        }
        let (keys, columns) = columns::split_filter(frame.body())?;
        if !may_hold_one(&search.keys, keys) {
            return Some(out);
        }
        let body = Body::open(header.rows, columns)?;
        let rows = body.rows_that_may_match(frame.vault(), &header.zone, filter)?;
        let mut reader = None;
        for row in rows.into_iter().rev() {
            let seq = Seq(header.first_seq.0 + u64::from(row));
            let reporter = reporter_of(&submissions, row);
            if seq >= before || search.own.is_some_and(|own| own != reporter) || !self.store().views.counts(seq) {
                continue;
            }
            let reader = match &mut reader {
                Some(reader) => reader,
                empty => empty.insert(body.events(frame.vault())?),
            };
            let mut event = reader.event(row as usize)?;
            let sight = search.view.event(reporter, &event);
            if redact(&mut event, sight) && filter.matches(&event) {
                out.push((seq, search.view.write(seq, header.received_at(row), reporter, &event, sight)));
                if out.len() >= limit {
                    break;
                }
            }
        }
        Some(out)
    }

    fn keys_of(&self, filter: &Filter) -> Vec<u128> {
        filter.values.iter().map(|(kind, value)| self.store().views.keys.observable(*kind, value)).collect()
    }

    /// Places of every event of one's own, or that an authority sees whole, which the filter wants; at most `limit`.
    pub(crate) fn places_to_withdraw(&self, actor: &Actor, filter: &Filter, limit: usize) -> Result<Vec<Seq>, HubError> {
        let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
        let own = actor.organisation.number;
        let wanted = self.keys_of(filter);
        let mut places = Vec::new();
        let kept = self.store().ledger.index_of(self.store().views.expired_before());
        for place in self.store().ledger.places(kept..self.store().ledger.frames()) {
            if place.header.first_seq >= self.store().views.position() || !may_hold(&place, filter) {
                continue;
            }
            let frame = self.store().ledger.read(&place).map_err(|error| HubError::Internal(Box::new(error)))?;
            let submissions = frame.submissions();
            let Some((_, columns)) = columns::split_filter(frame.body()).filter(|(keys, _)| may_hold_one(&wanted, keys)) else { continue };
            let Some(body) = Body::open(frame.header.rows, columns) else { continue };
            let Some(rows) = body.rows_that_may_match(frame.vault(), &frame.header.zone, filter).filter(|rows| !rows.is_empty()) else { continue };
            let Some(reader) = body.events(frame.vault()) else { continue };
            for row in rows {
                let seq = Seq(frame.header.first_seq.0 + u64::from(row));
                let reporter = reporter_of(&submissions, row);
                let Some(mut event) = reader.event(row as usize) else { continue };
                // A key that only submits still changes what its organisation sent.
                let sight = if reporter == own { Sight::Own } else { view.event(reporter, &event) };
                // As in a search: what is hidden is not asked for, lest the number of hits tells it.
                let may = reporter == own || (sight == Sight::Whole && redact(&mut event, sight));
                if may && filter.matches(&event) && self.store().views.counts(seq) {
                    if places.len() == limit {
                        return Err(HubError::TooLarge { limit: limit as u64, unit: "events a withdrawal" });
                    }
                    places.push(seq);
                }
            }
        }
        Ok(places)
    }
}

fn may_hold(place: &Place, filter: &Filter) -> bool {
    place.header.kind == Kind::Events && place.header.zone.may_match(filter)
}

/// Whether a block may hold a value of one of these keys, going by its key filter; no keys: whether or not.
fn may_hold_one(keys: &[u128], key_filter: &[u8]) -> bool {
    keys.is_empty() || KeyFilter::from_bytes(key_filter).is_none_or(|filter| keys.iter().any(|&key| filter.may_contain(key)))
}

/// A short hash of the filter, so that a cursor is not used with another.
fn filter_mark(filter: &Filter, mine: bool) -> u32 {
    let hash = blake3::hash(format!("{filter:?} {mine}").as_bytes());
    hash.as_bytes().iter().take(4).fold(0, |sum, &byte| sum << 8 | u32::from(byte))
}

fn write_cursor(seq: Seq, mark: u32) -> String {
    format!("{:014x}{mark:08x}", seq.0)
}

fn read_cursor(cursor: &str, mark: u32) -> Option<Seq> {
    let (place, given) = cursor.split_at_checked(14)?;
    (given == format!("{mark:08x}")).then(|| u64::from_str_radix(place, 16).ok().map(Seq)).flatten()
}
