//! One page of a collection made from events.
//!
//! Flow: what is fixed → the log from the page's place on, entry by entry with what stands beside each; or, where ids are asked for, their versions alone.
//!
//! The law of who is given which version. A version stands from its addition until the next one of its value. A reader *may have received* it where at
//! some moment while it stood the reader's organisation could read the collection up to its marking ([`super::Reach`]).
//! 1. A version that is not `revoked` is given where it may have been received and its marking is within the reader's reach now.
//! 2. A `revoked` version is given where a version before it, back to the last `revoked` one, may have been received, and says what the newest of
//!    those said: nothing in it is new to the reader but that it is over. Otherwise nothing is given, for STIX has no indicator without its pattern.
//! 3. What stands beside a version follows from the versions that are given. The name of malware, a technique or a vulnerability is told to
//!    all who read as far as the version that brought it, whatever became of that; of which value it was said is not.
//! 4. The `created` of an indicator and of its relationships is when the oldest version of the value was added that may have been received, in every
//!    version and for as long as the reader's past is known: an earlier date would tell that there was another before. Who could always read all of the
//!    collection has that of the first version; so have the bundles of products, which are made for all.
//!
//! What follows. In `events-clear`, `-green` and `-amber` every entry is within every reader's reach, so that only the past decides: whoever came, or
//! was let in, after something was withdrawn or came under a stricter marking gets neither that nor its `revoked` version; who was there gets both. Who
//! loses the standing for `events-amber` loses the collection, and hears there of nothing any more. In an agreement's collection the agreement
//! as it was decides: a partner that had a version under a wider one is told that it is over; what the log still wrote by the wider one after the
//! narrower was set, it never had. The coordinator is given what the partner is. Collections of sectors and `intelligence` hold contributed
//! objects, of which each version, `revoked` or not, is judged alone by its own marking and says what its contributor wrote in it.
//!
//! Where categories or sectors narrow an agreement, what of a version is covered cannot be told from what is stored ([`super::agreed`]). From the moment
//! the record is changed a version above green that a wider one can have written is held back: one that stands until the log has looked at it, and for
//! good one that was replaced by then. So that a reader who goes on by date or by `next` misses nothing, a page ends before a version that may be given
//! yet, and who asks for one by its id is told to come again.
//!
//! Invariant: objects are in the order of their dates, and no two have the same. What stands beside an entry is on the entry's page, unless the page
//! is too small for both. A page ends after so many objects, or after so much time with where to go on. What is asked for by ids is in no order until
//! all of it was looked up: where there is no time for that, nothing is given ([`is_waiting`]).
//! Not here: what an object looks like ([`super::events`], [`super::targets`]).

use super::beside::{Among, Change, free_after, has_room, object_before};
use super::families::{is_waiting, waiting};
use super::targets::{Kind, named};
use super::{Filter, Item, Page, Reach, Versions};
use crate::Hub;
use formats::stix::write;
use model::{Timestamp, Tlp};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use store::views::indicators::{self, Indicator, MAX_ROOM};
use uuid::Uuid;

/// Entries of the log read at once where filters leave few of them.
const READ_AT_ONCE: usize = 1_000;
/// How long a page is looked for; then what was found is given, with where to go on.
pub(super) const MAX_TIME: Duration = Duration::from_secs(5);

/// One page being made.
pub(super) struct Wanted<'a> {
    pub(super) hub: &'a Hub,
    pub(super) events: indicators::Collection,
    /// When the reader could read the collection.
    pub(super) reach: &'a Reach,
    /// The strictest marking that it reads now.
    pub(super) most: Tlp,
    pub(super) filter: &'a Filter,
    pub(super) limit: usize,
    /// When the page ends with what there is.
    pub(super) deadline: Instant,
    /// When the oldest version was added that the reader may have received, of the values on the page where that is not their first.
    pub(super) oldest: RefCell<HashMap<u128, Option<Timestamp>>>,
}

impl Wanted<'_> {
    /// The page from after `after` on. `fixed` comes before everything else.
    ///
    /// # Errors
    /// What the log says.
    pub(super) fn page(&self, fixed: Vec<Item>, after: Option<Timestamp>) -> std::io::Result<Page> {
        let mut page = Page::default();
        for item in fixed {
            if after.is_none_or(|after| item.added > after) && self.names_fixed(&item) && !self.take(&mut page, item) {
                return Ok(page);
            }
        }
        if ["indicator", "relationship"].into_iter().chain(Kind::ALL.map(Kind::word)).any(|kind| self.names(kind)) {
            let found = if self.filter.ids.is_empty() { self.walk(&mut page, after) } else { self.look_up(&mut page, after) };
            found?;
        }
        Ok(page)
    }

    /// Whether the filter can want objects of a type, which are all of STIX 2.1.
    fn names(&self, kind: &str) -> bool {
        let of = |list: &[String], word: &str| list.is_empty() || list.iter().any(|given| given == word);
        of(&self.filter.types, kind) && of(&self.filter.specs, "2.1")
    }

    /// Whether the filter wants one of the fixed objects, each of which has one version.
    fn names_fixed(&self, item: &Item) -> bool {
        let kind = item.id.split("--").next().unwrap_or_default();
        let named = self.filter.ids.is_empty() || self.filter.ids.contains(&item.id);
        named && self.names(kind) && self.wants_only(item.version)
    }

    /// Puts an object on the page; false where it is full, and then where it goes on is noted.
    fn take(&self, page: &mut Page, item: Item) -> bool {
        if page.items.len() >= self.limit {
            page.more_after = page.items.last().map(|last| last.added);
            return false;
        }
        page.items.push(item);
        true
    }

    /// Goes through the log in its order.
    fn walk(&self, page: &mut Page, after: Option<Timestamp>) -> std::io::Result<()> {
        // What is fixed may be on the page already.
        let begin = page.items.last().map(|item| item.added).or(after);
        let mut place = begin;
        // Entries right before it are read, too: they tell whether the next one has room beside it.
        let mut read = begin.map(|begin| begin.minus(MAX_ROOM));
        let mut before = None;
        loop {
            // One more than fits tells whether there is more.
            let want = (self.limit + 1).saturating_sub(page.items.len()).clamp(1, READ_AT_ONCE);
            let entries = self.hub.store().indicators.page(self.events, read, want)?;
            let end = entries.len() < want;
            for entry in entries {
                let room = has_room(before, &entry);
                (before, read) = (Some(entry.added), Some(entry.added));
                if begin.is_some_and(|begin| entry.added <= begin) {
                    continue;
                }
                let mut group = match self.group(&entry, room, None) {
                    // What indicators name is being read, or what an agreement covers is being looked at: the page ends before what needs that.
                    Err(error) if is_waiting(&error) => {
                        page.more_after = place.or_else(|| Some(free_after(&entry)));
                        return Ok(());
                    }
                    group => group?,
                };
                group.retain(|item| begin.is_none_or(|begin| item.added > begin));
                if !group.is_empty() && page.items.len() + group.len() > self.limit {
                    if page.items.is_empty() {
                        group.truncate(self.limit);
                        page.more_after = group.last().map(|item| item.added);
                        page.items = group;
                    } else {
                        // What was passed over since the last object need not be looked at again.
                        page.more_after = place;
                    }
                    return Ok(());
                }
                page.items.append(&mut group);
                place = Some(entry.added);
                if Instant::now() >= self.deadline {
                    page.more_after = place;
                    return Ok(());
                }
            }
            if end {
                return Ok(());
            }
        }
    }

    /// What is wanted of an entry and of what stands beside it, in the order of their dates. `versions` are all of its value, where they were read.
    fn group(&self, entry: &Indicator, room: bool, versions: Option<&[Indicator]>) -> std::io::Result<Vec<Item>> {
        let mut group = Vec::new();
        if room {
            self.add_brought(entry, &mut group)?;
        }
        group.sort_unstable_by_key(|item| item.added);
        if !self.names("relationship") && !self.names("indicator") {
            return Ok(group);
        }
        let among = Among::new(self.hub, self.reach, entry, versions);
        let Some(version) = among.shown()? else { return Ok(group) };
        let created = self.created(&among, version)?;
        let dated = (created != version.created).then(|| Indicator { created, ..version.clone() });
        let version = dated.as_ref().unwrap_or(version);
        if room && self.names("relationship") {
            self.add_relationships(&among, version, &mut group)?;
        }
        group.sort_unstable_by_key(|item| item.added);
        if self.names("indicator") && self.wants(version.added, || among.is_first(), || among.is_newest())? {
            group.extend(self.hub.indicator_item(version));
        }
        Ok(group)
    }

    /// What the reader is given as the `created` of a value: the same in every version.
    fn created(&self, among: &Among<'_>, version: &Indicator) -> std::io::Result<Timestamp> {
        if self.reach.had_all(self.events.tlp(), version.created) {
            return Ok(version.created);
        }
        let known = self.oldest.borrow().get(&version.key).copied();
        let oldest = if let Some(oldest) = known {
            oldest
        } else {
            let oldest = among.oldest()?;
            self.oldest.borrow_mut().insert(version.key, oldest);
            oldest
        };
        // Nothing is made after it was changed.
        Ok(oldest.map_or(version.added, |oldest| oldest.min(version.added)))
    }

    /// Adds what an entry is the first to name within the reader's reach.
    fn add_brought(&self, entry: &Indicator, group: &mut Vec<Item>) -> std::io::Result<()> {
        let within = !entry.revoked && entry.tlp <= self.most && self.wants_only(write::floor(entry.added));
        let named = if within { named(entry) } else { Vec::new() };
        for (place, target) in named.iter().enumerate().filter(|(_, target)| self.names(target.kind.word())) {
            let brought = self.hub.target_brought(self.events, target, self.most, entry.added, self.deadline)?;
            if brought == Some(entry.added) {
                group.push(self.hub.target_item(entry, target, object_before(place, named.len())));
            }
        }
        Ok(())
    }

    /// Adds what a version changes of its relationships.
    fn add_relationships(&self, among: &Among<'_>, version: &Indicator, group: &mut Vec<Item>) -> std::io::Result<()> {
        let changes = among.changes()?;
        if changes.is_empty() || write::pattern(version.kind, &version.value).is_none() {
            return Ok(());
        }
        for change in &changes {
            let wanted = self.wants(version.added, || among.is_first_change(&change.target), || among.is_last_change(&change.target))?;
            if wanted && self.has_target(change, version)? {
                group.push(self.hub.relationship_item(version, change));
            }
        }
        Ok(())
    }

    /// Whether what a relationship leads to is in the collection: of too many names the last are not. What is taken back may be of a stricter version than
    /// the reader reads now.
    fn has_target(&self, change: &Change, version: &Indicator) -> std::io::Result<bool> {
        let most = if change.ends { self.events.tlp() } else { self.most };
        Ok(self.hub.target_brought(self.events, &change.target, most, version.added, self.deadline)?.is_some())
    }

    /// Looks up the ids that are asked for.
    fn look_up(&self, page: &mut Page, after: Option<Timestamp>) -> std::io::Result<()> {
        let mut items = Vec::new();
        let mut ids: Vec<&String> = self.filter.ids.iter().collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let Some((kind, uuid)) = id.split_once("--").and_then(|(kind, uuid)| Some((kind, Uuid::try_parse(uuid).ok()?))) else { continue };
            self.in_time()?;
            match kind {
                "indicator" | "relationship" if self.names(kind) => self.look_up_value(kind, uuid, &mut items)?,
                _ if Kind::from_word(kind).is_some() && self.names(kind) => self.look_up_target(kind, uuid, &mut items)?,
                _ => {}
            }
        }
        // An id is a text: a UUID that is written in another way is another one.
        items.retain(|item| self.filter.ids.contains(&item.id) && after.is_none_or(|after| item.added > after));
        items.sort_unstable_by_key(|item| item.added);
        // Several ids may lead to the same group; no two objects have the same date.
        items.dedup_by_key(|item| item.added);
        for item in items {
            if !self.take(page, item) {
                break;
            }
        }
        Ok(())
    }

    /// Says no once the page's time is over.
    fn in_time(&self) -> std::io::Result<()> {
        if Instant::now() < self.deadline { Ok(()) } else { Err(waiting()) }
    }

    /// The wanted versions of one value's indicator or of one of its relationships, and of its other ones.
    fn look_up_value(&self, kind: &str, uuid: Uuid, items: &mut Vec<Item>) -> std::io::Result<()> {
        let of_indicators = kind == "indicator";
        let mask = if of_indicators { self.hub.mask(self.events) } else { self.hub.relationship_mask(self.events, None) };
        let mut versions = self.hub.versions_of(self.events, uuid, mask)?;
        if versions.is_empty() && !of_indicators {
            // It is none to malware.
            let Some(target) = self.hub.linked(self.events, uuid, self.deadline)? else { return Ok(()) };
            versions = self.hub.versions_of(self.events, uuid, self.hub.relationship_mask(self.events, Some(&target)))?;
        }
        for version in &versions {
            self.in_time()?;
            let room = !of_indicators && self.has_room(version)?;
            items.extend(self.group(version, room, Some(&versions))?.into_iter().filter(|item| item.id.split("--").next() == Some(kind)));
        }
        Ok(())
    }

    /// One family, technique or vulnerability, and the others that came with it.
    fn look_up_target(&self, kind: &str, uuid: Uuid, items: &mut Vec<Item>) -> std::io::Result<()> {
        let Some(brought) = self.hub.brought_as(self.events, uuid, self.most, self.deadline)? else { return Ok(()) };
        let just_before = Timestamp::from_micros(brought.micros() - 1);
        for version in self.hub.store().indicators.page(self.events, Some(just_before), 1)? {
            let mut group = Vec::new();
            self.add_brought(&version, &mut group)?;
            items.extend(group.into_iter().filter(|item| item.id.split("--").next() == Some(kind)));
        }
        Ok(())
    }

    /// Whether a version has room beside it.
    fn has_room(&self, version: &Indicator) -> std::io::Result<bool> {
        Ok(self.hub.store().indicators.page(self.events, Some(free_after(version)), 1)?.first().is_none_or(|first| first.added >= version.added))
    }

    /// Whether the filter wants a version added at a moment. What is only known by looking is only asked where it matters.
    fn wants(
        &self,
        added: Timestamp,
        is_first: impl FnOnce() -> std::io::Result<bool>,
        is_newest: impl FnOnce() -> std::io::Result<bool>,
    ) -> std::io::Result<bool> {
        match &self.filter.versions {
            Versions::All => Ok(true),
            Versions::Last => is_newest(),
            Versions::Chosen { first, last, at } => Ok(at.contains(&write::floor(added)) || (*first && is_first()?) || (*last && is_newest()?)),
        }
    }

    /// Whether the filter wants the only version of an object.
    fn wants_only(&self, version: Timestamp) -> bool {
        match &self.filter.versions {
            Versions::Last | Versions::All => true,
            Versions::Chosen { first, last, at } => *first || *last || at.contains(&version),
        }
    }
}
