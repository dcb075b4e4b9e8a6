//! Collections made from events: the log of indicators, rendered.
//!
//! Flow: when the caller could read the collection ([`super::reach`]); what is fixed (the identities, the extension, the markings that are referred to)
//! stands first, with dates before any indicator; then the log's entries in its order ([`super::gather`]), each with what stands beside it
//! ([`super::beside`]).
//! Invariant: an indicator's id follows from the collection and the value under the realm's secret, and leads back to the value's key.
//! Not here: which events make an indicator, and when there is a new version (`store::views::indicators`).

use super::families::is_waiting;
use super::gather::{MAX_TIME, Wanted};
use super::{Collection, Filter, Item, Page, Reach, Source};
use crate::{Hub, HubError};
use formats::stix::write;
use model::canonical::is_reserved;
use model::{Timestamp, Tlp};
use std::cell::RefCell;
use std::time::Instant;
use store::views::indicators::{self, Indicator};
use uuid::Uuid;

/// When what is fixed was added: before the first of all hubs.
const FIXED_ADDED: Timestamp = Timestamp::from_seconds(1_767_225_600);
/// When what is fixed was made, as far as it has no date of its own. The same moment, as written in the objects.
const FIXED_VERSION: Timestamp = FIXED_ADDED;
/// 2022-10-01, when the definitions of TLP 2.0 were made.
const MARKING_VERSION: Timestamp = Timestamp::from_seconds(1_664_582_400);

impl Hub {
    /// A page of a collection made from events, from after `after` on. `reach` is what [`Hub::taxii_reach`] says of the caller.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] where the caller may not read it; [`HubError::Overloaded`] where ids are asked for and not all of them can be looked
    /// up in time: while what the collection's indicators name is still being read, while it is not known yet whether an agreement that has become
    /// narrower covers them, or because they are too many with too many versions.
    pub fn taxii_events(&self, collection: &Collection, filter: &Filter, reach: &Reach, after: Option<Timestamp>, limit: usize) -> Result<Page, HubError> {
        collection.readable()?;
        let events = match &collection.source {
            Source::Events(events) => *events,
            Source::Agreement(partner, _) => indicators::Collection::Agreement(*partner),
            Source::Intelligence | Source::Sector(_) | Source::Private => return Ok(Page::default()),
        };
        // What was given out under a wider agreement is hidden until its versions are taken back, which takes the log some seconds.
        let Some(most) = reach.now() else { return Ok(Page::default()) };
        let deadline = Instant::now() + MAX_TIME;
        let (limit, oldest) = (limit.clamp(1, super::MAX_PAGE), RefCell::default());
        let wanted = Wanted { hub: self, events, reach, most, filter, limit, deadline, oldest };
        wanted
            .page(self.fixed(events), after)
            .map_err(|error| if is_waiting(&error) { HubError::Overloaded { retry_after: MAX_TIME.as_secs() } } else { HubError::Internal(Box::new(error)) })
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
    pub(super) fn mask(&self, events: indicators::Collection) -> u128 {
        self.store().views.keys.label(&events.title())
    }

    /// The versions, newest first, of the value whose key makes this id when it is mixed with `mask`. The shape of a UUID hides six bits of the key: each
    /// way to fill them is looked up.
    pub(super) fn versions_of(&self, events: indicators::Collection, uuid: Uuid, mask: u128) -> std::io::Result<Vec<Indicator>> {
        if write::shaped(uuid.as_u128()) != uuid {
            return Ok(Vec::new());
        }
        let known = uuid.as_u128() & !(0xF_u128 << 76) & !(0b11_u128 << 62);
        for hidden in 0..64_u128 {
            let key = (known | (hidden >> 2) << 76 | (hidden & 0b11) << 62) ^ mask;
            let versions = self.store().indicators.versions(events, key)?;
            if !versions.is_empty() {
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
