//! MISP: the events that members contribute, kept whole, and the feed of what the hub itself knows.
//!
//! Flow: `web::misp` hands over a request's JSON → `change` makes one change of one event in one transaction → `sharing` brings the hub's own
//! events in line with what is published of it. Reading: every door asks `access` who sees what; `find` leads a name, `search` a filter to it by its rows
//! → `show` makes what is left, `beside` what stands beside it → `answer` hands it on as it is taken. What others would have changed are `proposals`;
//! `erase` takes a value out of all of it.
//! Invariant: nothing of an event that `policy` hides is found, counted or shown; an attribute never reaches further than its event. What is not
//! published is among no events of the hub's, and so in no product, collection or feed; nor does it reach partners or other instances.
//! Not here: HTTP and MISP's paths (`web::misp`), how events are kept (`store::misp`), what an attribute means (`formats::misp`).

mod access;
mod answer;
mod beside;
mod change;
mod document;
mod erase;
mod export;
pub(crate) mod feed;
mod fields;
mod filter;
mod find;
mod limit;
mod people;
mod proposals;
mod reports;
mod search;
mod sharing;
mod show;
mod sightings;
mod tags;
mod view;

pub use answer::{MispAnswer, MispBody, MispMedia, Pieces, Shown};
pub use feed::{FeedFile, FeedName};
pub use search::Scope;
pub(crate) use sharing::follow;

use crate::{Actor, Hub, HubError};
use document::Moment;
use feed::Feed;
use model::time::civil_from_days;
use std::path::Path;
use std::sync::Arc;
use store::misp::Events;
use tokio::sync::Semaphore;

/// Attributes of an event at the most, those of objects and deleted ones too.
pub const MAX_ATTRIBUTES: usize = 10_000;
/// Objects of an event at the most.
pub const MAX_OBJECTS: usize = 2_000;
/// Reports of an event at the most, deleted ones too.
pub const MAX_REPORTS: usize = 1_000;
/// Tags of an event or attribute at the most.
pub const MAX_TAGS: usize = 256;
/// Bytes of a tag's name, or of an object's, at the most.
pub const MAX_TAG: usize = 255;
/// Bytes of a value, a comment or an event's info at the most. What is attached is bounded by [`MAX_BODY`] alone.
pub const MAX_TEXT: usize = 65_535;
/// Bytes of an event without its attributes and objects at the most: its tags, galaxies and reports.
pub const MAX_HEAD: usize = 1024 * 1024;
/// Bytes of a request at the most.
pub const MAX_BODY: usize = 16 * 1024 * 1024;
/// Events of a page where the caller asks for pages and does not say of how many.
pub const MAX_EVENTS: usize = 1_000;
/// Attributes, objects, tags, sightings or proposals of such a page; attributes of an answer that can only be written as a whole, at the most.
pub const MAX_FOUND: usize = 60_000;
/// Events of a list that is sorted, and of what an instance asks before it pushes, at the most.
pub const MAX_LISTED: usize = 100_000;
/// Room in memory that one event of a search may take at the most; what is larger is worked on with all of that.
pub const MAX_ROOM: usize = 64 * 1024 * 1024;
/// Answers that are given piece by piece at the same time.
pub const MAX_ANSWERS: usize = 16;
/// Of them, those of one organisation.
pub const MAX_ANSWERS_OF_ONE: usize = 2;
/// Values of one condition of a search at the most.
pub const MAX_VALUES: usize = 1_000;
/// Values with a sign for anything, and tags that are all wanted, at the most.
pub const MAX_PATTERNS: usize = 100;
/// Sightings of one attribute by one organisation at the most.
pub const MAX_SIGHTINGS_OF_ATTRIBUTE: i64 = 1_000;
/// Sightings of one event's attributes by one organisation at the most.
pub const MAX_SIGHTINGS_OF_EVENT: i64 = 10_000;
/// Sightings of one organisation at the most.
pub const MAX_SIGHTINGS: i64 = 1_000_000;
/// Proposals of one organisation that wait, at the most.
pub const MAX_PROPOSALS: i64 = 1_000;
/// The version of MISP whose calls are answered.
pub const VERSION: &str = "2.5.12";
/// Locks among which events are divided while the hub's own events are brought in line with them.
const TURNS: usize = 16;

/// What is contributed, and what is made for the feed.
#[derive(Debug)]
pub(crate) struct Misp {
    events: Events,
    /// One event is brought in line by one at a time.
    turns: [tokio::sync::Mutex<()>; TURNS],
    /// Turns to give an answer piece by piece.
    answers: Arc<Semaphore>,
    /// Such answers of each organisation.
    answering: Arc<answer::Answering>,
    /// The turn of an answer to a change that was made and for which there is no room.
    changed: Arc<Semaphore>,
    pub(crate) feed: Feed,
}

impl Misp {
    /// Opens what is contributed.
    pub(crate) async fn open(data: &Path) -> Result<Self, HubError> {
        let events = Events::open(&data.join(FILE)).await?;
        let (turns, answers) = (std::array::from_fn(|_| tokio::sync::Mutex::new(())), Arc::new(Semaphore::new(MAX_ANSWERS)));
        let (answering, changed) = (Arc::default(), Arc::new(Semaphore::new(1)));
        Ok(Self { events, turns, answers, answering, changed, feed: Feed::default() })
    }

    /// Closes it.
    pub(crate) async fn close(&self) {
        self.events.close().await;
    }

    fn turn(&self, event: i64) -> Option<&tokio::sync::Mutex<()>> {
        self.turns.get(usize::try_from(event).unwrap_or(0) % TURNS)
    }
}

/// The file of contributed events in the realm's folder.
pub(crate) const FILE: &str = "misp.sqlite";

impl Hub {
    fn misp_events(&self) -> &Events {
        &self.misp.events
    }

    /// Now, and today in the realm's zone.
    fn misp_moment(&self) -> Moment {
        let now = self.clock().now();
        let mut days = self.make_days();
        Moment { now: now.seconds(), today: civil_day(i64::from(days.day(now))) }
    }
}

/// A day as MISP writes it.
fn civil_day(day: i64) -> String {
    let (year, month, day) = civil_from_days(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Says no to roles that read no events.
fn reads(actor: &Actor) -> Result<(), HubError> {
    if actor.reader.reads_events() { Ok(()) } else { Err(HubError::Forbidden("this role may not do this")) }
}

/// Runs what takes a while on a thread for it.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, HubError> + Send + 'static) -> Result<T, HubError> {
    tokio::task::spawn_blocking(work).await.map_err(|broken| HubError::Internal(Box::new(broken)))?
}
