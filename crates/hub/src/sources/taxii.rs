//! TAXII 2.1 servers: whatever of discovery, API root or collection the address is, new objects of the readable collections are brought.
//!
//! Flow: [`collect`] → `asking` finds the collections and asks for pages → [`Run::follow`] goes through each from its place on → `objects` makes
//! events of a page.
//! Invariant: the place of a collection moves over a page only together with the page's events, in one [`Collected`]; nothing but the configured
//! host is asked; every loop is bounded by pages.
//! Not here: our own server (`hub::taxii`, `web::taxii`), withdrawing what was revoked (`superseded`).
//!
//! Source: OASIS TAXII 2.1, sections 3.4 (paging), 4 and 5; TAXII 2.0 is refused with a word.

mod asking;
mod objects;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests;

use super::{Collected, Context, MAX_BYTES, SourceError};
use asking::{Asking, Collection, Page};
use model::Timestamp;
use objects::Objects;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// Objects asked for at once.
const PAGE: usize = 1_000;
/// What is asked for where a server refuses that.
const SMALL_PAGE: usize = 100;
/// What is asked for where more objects than a page share one date.
const LARGEST_PAGE: usize = 16_000;
/// Pages of a run, over all collections.
const MAX_PAGES: usize = 150;
/// Objects of a run, over all collections.
const MAX_OBJECTS: usize = 150_000;
/// Objects of the last page that are remembered, to tell them when they come again.
const MAX_BORDER: usize = 500;
/// The smallest step between two dates.
const STEP: Duration = Duration::from_micros(1);
/// How far a clock of a server that gives no dates is not believed.
const DOUBT: Duration = Duration::from_secs(3_600);

/// What is remembered between runs.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// The form of the media type that the server takes.
    accept: usize,
    /// By collection's address.
    places: BTreeMap<String, Place>,
    /// Definitions of markings and identities that later objects refer to, as JSON.
    known: Vec<String>,
}

/// How far a collection was read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Place {
    /// When the last object taken had been added.
    after: Option<Timestamp>,
    /// Where a page was cut.
    next: Option<Cursor>,
    /// Objects of the last page: several may have the same date.
    border: Vec<u64>,
}

/// Where a page was cut, with the filter that it was asked with: the server wants both again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    token: String,
    from: Option<Timestamp>,
}

/// Brings what is new.
pub(super) async fn collect(context: &Context<'_>) -> Result<Collected, SourceError> {
    let mut state: State = serde_json::from_value(context.state.clone()).unwrap_or_default();
    let mut asking = Asking::new(context, state.accept)?;
    let mut collections = asking.collections(context.source.collection.as_deref()).await?;
    // A hub of our kind has a collection for each agreement; the others say the same of the same events under other ids.
    if context.source.partner.is_some() && collections.iter().any(is_of_agreement) {
        collections.retain(is_of_agreement);
    }
    if collections.is_empty() {
        return Err(SourceError::Content(match &context.source.collection {
            Some(name) => format!("the server has no collection {name:?} that may be read with this key"),
            None => "the server has no collection that may be read with this key".to_owned(),
        }));
    }
    let mut run = Run { asking, objects: Objects::new(context, std::mem::take(&mut state.known)), pages: 0, more: false };
    // A collection that is gone needs no place.
    state.places.retain(|url, _| collections.iter().any(|collection| collection.url.as_str() == url));
    for collection in &collections {
        let place = state.places.entry(collection.url.to_string()).or_default();
        let before = run.objects.count();
        if let Err(error) = run.follow(collection, place).await {
            // What came before it broke is taken, and the next run meets the fault again; else it is told at once.
            if run.objects.count() == before && before == 0 {
                return Err(error);
            }
            tracing::warn!(source = %context.source.name, collection = %collection.title, %error, "a collection was read in part");
            run.more = true;
            break;
        }
        if run.is_full() {
            run.more = true;
            break;
        }
    }
    state.accept = run.asking.accept();
    let (mut collected, known) = run.objects.finish();
    state.known = known;
    collected.more = run.more;
    collected.unchanged = collected.bodies.is_empty() && collected.superseded.is_empty() && collected.refused.is_empty() && !run.more;
    collected.state = serde_json::to_value(&state).map_err(|error| SourceError::Content(error.to_string()))?;
    Ok(collected)
}

/// Whether a collection is the one that a hub keeps for its agreement with us.
fn is_of_agreement(collection: &Collection) -> bool {
    collection.title.starts_with("agreement-")
}

/// One run under way.
struct Run<'a> {
    asking: Asking<'a>,
    objects: Objects<'a>,
    pages: usize,
    more: bool,
}

impl Run<'_> {
    fn is_full(&self) -> bool {
        self.pages >= MAX_PAGES || self.objects.count() >= MAX_OBJECTS || self.objects.bytes() >= MAX_BYTES / 2
    }

    /// Goes through a collection from its place on.
    async fn follow(&mut self, collection: &Collection, place: &mut Place) -> Result<(), SourceError> {
        let mut walk = Walk { seen: place.border.iter().copied().collect(), overlap: true, limit: PAGE };
        loop {
            if self.is_full() {
                self.more = true;
                return Ok(());
            }
            let (token, from) = match &place.next {
                Some(cursor) => (Some(cursor.token.clone()), cursor.from),
                // Others may have been added at the very date of the last one taken.
                None => (None, place.after.map(|after| if walk.overlap { after.minus(STEP) } else { after })),
            };
            self.pages += 1;
            let page = match self.asking.page(&collection.url, from, token.as_deref(), walk.limit).await {
                Ok(page) => page,
                Err(SourceError::Status { status: 400 | 404 | 410 | 413 | 422, .. }) if place.next.is_some() => {
                    // The server has forgotten where it cut. What was taken since is known by its date.
                    place.next = None;
                    walk.overlap = true;
                    continue;
                }
                Err(SourceError::Status { status: 400 | 413 | 422, .. }) if walk.limit > 0 => {
                    walk.limit = if walk.limit > SMALL_PAGE { SMALL_PAGE } else { 0 };
                    continue;
                }
                Err(error) => return Err(error),
            };
            let fresh: Vec<&str> = page.objects.iter().map(|raw| raw.get()).filter(|raw| walk.seen.insert(fingerprint(raw))).collect();
            self.objects.take(collection, &fresh);
            if !walk.step(place, &page, token.as_deref(), from)? {
                return Ok(());
            }
        }
    }
}

/// How one collection is gone through.
struct Walk {
    /// What came in this run or on the last page of the one before.
    seen: HashSet<u64>,
    /// Whether to ask again for the date of the last object.
    overlap: bool,
    /// Objects asked for; 0: as many as the server likes.
    limit: usize,
}

impl Walk {
    /// Moves the place over a page; false at the collection's end.
    fn step(&mut self, place: &mut Place, page: &Page, token: Option<&str>, from: Option<Timestamp>) -> Result<bool, SourceError> {
        let advanced = page.last.is_some_and(|last| place.after.is_none_or(|after| last > after));
        if !page.objects.is_empty() {
            let border = page.objects.len().saturating_sub(MAX_BORDER);
            place.border = page.objects.iter().skip(border).map(|raw| fingerprint(raw.get())).collect();
        }
        place.after = place.after.max(page.last);
        // The same cursor again would go round for ever.
        let next = page.next.clone().filter(|next| page.more && Some(next.as_str()) != token);
        if let Some(token) = next {
            place.next = Some(Cursor { token, from });
            return Ok(true);
        }
        place.next = None;
        // Some servers say that there is no more where a page was only full.
        let is_full = self.limit > 0 && page.objects.len() >= self.limit;
        if !(page.more || is_full && advanced) {
            if page.last.is_none() && !page.objects.is_empty() {
                // No date but the server's clock; what was added since then comes twice and is known by its id.
                place.after = place.after.max(page.answered.map(|at| at.minus(DOUBT)));
            }
            return Ok(false);
        }
        if advanced {
            (self.overlap, self.limit) = (true, if self.limit == 0 { 0 } else { self.limit.min(PAGE) });
        } else if self.overlap && (PAGE..LARGEST_PAGE).contains(&self.limit) {
            // More objects than a page share one date.
            self.limit *= 4;
        } else if self.overlap && place.after.is_some() {
            tracing::warn!("a server gives no more of the objects that share one date, and no cursor; going on after that date");
            self.overlap = false;
        } else {
            return Err(SourceError::Content("the server says that there is more, but gives the same again".to_owned()));
        }
        Ok(true)
    }
}

/// What tells an object and its version from others.
fn fingerprint(raw: &str) -> u64 {
    let hash = blake3::hash(raw.as_bytes());
    let mut first = [0; 8];
    first.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(first)
}
