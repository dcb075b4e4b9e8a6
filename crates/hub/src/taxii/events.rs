//! Collections made from events: the log of indicators, rendered.
//!
//! Flow: what is fixed (the identities, the extension, the markings that are referred to) stands first, with dates before any indicator; then the log's
//! entries in its order.
//! Invariant: an indicator's id follows from the collection and the value under the realm's secret, and leads back to the value's key.
//! Not here: which events make an indicator, and when there is a new version (`store::views::indicators`).

use super::{Collection, Filter, Item, Page, Source, Versions};
use crate::{Hub, HubError};
use formats::stix::write;
use model::canonical::is_reserved;
use model::{Timestamp, Tlp};
use std::time::{Duration, Instant};
use store::views::indicators::{self, Indicator};
use uuid::Uuid;

/// Entries of the log read at once where filters leave few of them.
const READ_AT_ONCE: usize = 1_000;
/// How long a page is looked for; then what was found is given, with where to go on.
const MAX_TIME: Duration = Duration::from_secs(5);
/// When what is fixed was added: before the first of all hubs.
const FIXED_ADDED: Timestamp = Timestamp::from_seconds(1_767_225_600);
/// When what is fixed was made, as far as it has no date of its own. The same moment, as written in the objects.
const FIXED_VERSION: Timestamp = FIXED_ADDED;
/// 2022-10-01, when the definitions of TLP 2.0 were made.
const MARKING_VERSION: Timestamp = Timestamp::from_seconds(1_664_582_400);

impl Hub {
    /// A page of a collection made from events, from after `after` on.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] where the caller may not read it.
    pub fn taxii_events(&self, collection: &Collection, filter: &Filter, after: Option<Timestamp>, limit: usize) -> Result<Page, HubError> {
        collection.readable()?;
        let Source::Events(events) = collection.source else { return Ok(Page::default()) };
        let wanted = Wanted { hub: self, events, filter, limit: limit.clamp(1, super::MAX_PAGE) };
        let mut page = Page::default();
        for item in self.fixed(events) {
            if after.is_none_or(|after| item.added > after) && wanted.names_fixed(&item) && !wanted.take(&mut page, item) {
                return Ok(page);
            }
        }
        if wanted.indicators() {
            wanted.fill(&mut page, after).map_err(|error| HubError::Internal(Box::new(error)))?;
        }
        Ok(page)
    }

    /// The objects that every indicator of the collection refers to.
    fn fixed(&self, events: indicators::Collection) -> Vec<Item> {
        let hub = self.stix_identity();
        let mut items = Vec::new();
        add_fixed(&mut items, write::PROJECT.to_owned(), FIXED_VERSION, write::project);
        add_fixed(&mut items, write::EXTENSION.to_owned(), FIXED_VERSION, write::extension);
        add_fixed(&mut items, format!("identity--{hub}"), FIXED_VERSION, |out| write::identity(out, hub, &format!("Bongsu {}", self.realm())));
        for &tlp in Tlp::ALL.iter().filter(|&&tlp| tlp <= events.tlp()) {
            add_fixed(&mut items, write::marking_id(tlp).to_owned(), MARKING_VERSION, |out| write::marking(out, tlp));
        }
        items
    }

    /// The STIX id of a value's indicator in a collection, without its type.
    pub fn indicator_uuid(&self, events: indicators::Collection, key: u128) -> Uuid {
        write::shaped(key ^ self.mask(events))
    }

    /// What the keys of a collection are mixed with, so that a value has another id in each.
    fn mask(&self, events: indicators::Collection) -> u128 {
        self.store().views.keys.label(events.title())
    }

    /// The versions of the indicator with this id, oldest first. The shape of a UUID hides six bits of the key: each way to fill them is looked up.
    fn versions_of(&self, events: indicators::Collection, id: &str) -> std::io::Result<Vec<Indicator>> {
        let Some(uuid) = id.strip_prefix("indicator--").and_then(|uuid| Uuid::try_parse(uuid).ok()) else { return Ok(Vec::new()) };
        if write::shaped(uuid.as_u128()) != uuid {
            return Ok(Vec::new());
        }
        let known = uuid.as_u128() & !(0xF_u128 << 76) & !(0b11_u128 << 62);
        for hidden in 0..64_u128 {
            let key = (known | (hidden >> 2) << 76 | (hidden & 0b11) << 62) ^ self.mask(events);
            let mut versions = self.store().indicators.versions(events, key)?;
            if !versions.is_empty() {
                versions.reverse();
                return Ok(versions);
            }
        }
        Ok(Vec::new())
    }

    /// An entry as an object; `None` where STIX has no pattern for its type.
    pub(crate) fn indicator_item(&self, entry: &Indicator) -> Option<Item> {
        let id = self.indicator_uuid(entry.collection, entry.key);
        let warning_lists = self.warning_lists.hits(entry.kind, &entry.value);
        let mut json = Vec::with_capacity(1_024);
        let written = write::indicator(
            &mut json,
            &write::Indicator {
                id,
                creator: self.stix_identity(),
                kind: entry.kind,
                value: &entry.value,
                created: entry.created,
                modified: entry.added,
                revoked: entry.revoked,
                category: entry.category,
                malware: entry.malware.as_deref(),
                pap: entry.pap,
                tlp: entry.tlp,
                confidence: entry.confidence,
                first_seen: entry.first_seen,
                last_seen: entry.last_seen,
                valid_until: entry.valid_until,
                sectors: &entry.sectors,
                warning_lists: &warning_lists,
                reserved: is_reserved(entry.kind, &entry.value),
            },
        );
        written.then(|| Item { added: entry.added, id: format!("indicator--{id}"), version: write::floor(entry.added), spec: "2.1".to_owned(), json })
    }
}

/// Adds an object that is there before all others, with a date after the one before it.
fn add_fixed(items: &mut Vec<Item>, id: String, version: Timestamp, write: impl FnOnce(&mut Vec<u8>)) {
    let mut json = Vec::new();
    write(&mut json);
    let added = Timestamp::from_micros(FIXED_ADDED.micros() + 1 + items.len() as i64);
    items.push(Item { added, id, version, spec: "2.1".to_owned(), json });
}

/// One page being made.
struct Wanted<'a> {
    hub: &'a Hub,
    events: indicators::Collection,
    filter: &'a Filter,
    limit: usize,
}

impl Wanted<'_> {
    /// Whether the filter can want an indicator.
    fn indicators(&self) -> bool {
        let of = |list: &[String], word: &str| list.is_empty() || list.iter().any(|given| given == word);
        of(&self.filter.types, "indicator") && of(&self.filter.specs, "2.1")
    }

    /// Whether the filter wants one of the fixed objects, each of which has one version.
    fn names_fixed(&self, item: &Item) -> bool {
        let filter = self.filter;
        let kind = item.id.split("--").next().unwrap_or_default();
        let of = |list: &[String], word: &str| list.is_empty() || list.iter().any(|given| given == word);
        let version = match &filter.versions {
            Versions::Last | Versions::All => true,
            Versions::Chosen { first, last, at } => *first || *last || at.contains(&item.version),
        };
        of(&filter.types, kind) && of(&filter.specs, &item.spec) && of(&filter.ids, &item.id) && version
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

    fn fill(&self, page: &mut Page, after: Option<Timestamp>) -> std::io::Result<()> {
        if self.filter.ids.is_empty() { self.walk(page, after) } else { self.look_up(page, after) }
    }

    /// Goes through the log in its order.
    fn walk(&self, page: &mut Page, after: Option<Timestamp>) -> std::io::Result<()> {
        let started = Instant::now();
        // What is fixed may be on the page already.
        let mut place = page.items.last().map(|item| item.added).or(after);
        loop {
            // One more than fits tells whether there is more.
            let want = (self.limit + 1).saturating_sub(page.items.len()).clamp(1, READ_AT_ONCE);
            let entries = self.hub.store().indicators.page(self.events, place, want)?;
            let end = entries.len() < want;
            for entry in entries {
                let added = entry.added;
                if self.wants(&entry, || self.is_newest(&entry))?
                    && let Some(item) = self.hub.indicator_item(&entry)
                {
                    if page.items.len() >= self.limit {
                        // What was passed over since the last object need not be looked at again.
                        page.more_after = place;
                        return Ok(());
                    }
                    page.items.push(item);
                }
                place = Some(added);
            }
            if end {
                return Ok(());
            }
            if started.elapsed() >= MAX_TIME {
                page.more_after = place;
                return Ok(());
            }
        }
    }

    /// Looks up the ids that are asked for.
    fn look_up(&self, page: &mut Page, after: Option<Timestamp>) -> std::io::Result<()> {
        let mut entries = Vec::new();
        let mut ids: Vec<&String> = self.filter.ids.iter().collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let versions = self.hub.versions_of(self.events, id)?;
            let newest = versions.last().map(|entry| entry.added);
            for entry in versions {
                if after.is_none_or(|after| entry.added > after) && self.wants(&entry, || Ok(Some(entry.added) == newest))? {
                    entries.push(entry);
                }
            }
        }
        entries.sort_unstable_by_key(|entry| entry.added);
        for entry in &entries {
            if let Some(item) = self.hub.indicator_item(entry)
                && !self.take(page, item)
            {
                break;
            }
        }
        Ok(())
    }

    /// Whether the filter wants this version. Whether it is the newest is only found out where that matters.
    fn wants(&self, entry: &Indicator, is_newest: impl FnOnce() -> std::io::Result<bool>) -> std::io::Result<bool> {
        match &self.filter.versions {
            Versions::All => Ok(true),
            Versions::Last => is_newest(),
            Versions::Chosen { first, last, at } => {
                if (*first && entry.added == entry.created) || at.contains(&write::floor(entry.added)) {
                    return Ok(true);
                }
                if *last { is_newest() } else { Ok(false) }
            }
        }
    }

    fn is_newest(&self, entry: &Indicator) -> std::io::Result<bool> {
        let versions = self.hub.store().indicators.versions(self.events, entry.key)?;
        Ok(versions.first().is_none_or(|newest| newest.added <= entry.added))
    }
}
