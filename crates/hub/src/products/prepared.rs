//! Prepared products: bytes that were made once and are given to everyone who asks for the same.
//!
//! Flow: [`make`] chooses and writes the entries; [`Shelf`] keeps what was made, the least used goes first.
//! Invariant: two products of the same content have the same last part in their entity tags, whenever they were made. What callers with a key asked for,
//! what strangers alone asked for, and what these asked for through filters, of which there is no end, lie apart: each makes room among its own.
//! Not here: when something is made again ([`super`]).

use super::table::{Chosen, Claims, Dictionary, Table};
use super::want::{ProductFilter, Want};
use crate::Hub;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use formats::products::{Entry, Heading, Product, body, head};
use hashbrown::HashMap;
use model::{Timestamp, Tlp};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Prepared products that callers with a key asked for, at the most.
pub const MAX_PREPARED: usize = 256;
/// Bytes of them at the most, plain and compressed together; the last one made is kept all the same.
pub const MAX_PREPARED_BYTES: usize = 256 * 1024 * 1024;
/// The same of those without a filter that strangers alone asked for: more than there are.
pub const MAX_OPEN: usize = 64;
/// Bytes of those at the most.
pub const MAX_OPEN_BYTES: usize = 128 * 1024 * 1024;
/// The same of those with a filter that strangers alone asked for.
pub const MAX_STRANGERS: usize = 64;
/// Bytes of those at the most.
pub const MAX_STRANGERS_BYTES: usize = 64 * 1024 * 1024;
/// For how long a copy of a product may be used.
pub const LIFE: Duration = Duration::from_secs(86_400);
/// Age of an unchanged product at which it is made again all the same, so that the expiry in it is never past.
const RENEW_AFTER: Duration = Duration::from_secs(43_200);
/// Steps of the moment at which products are decided: what expires leaves within it.
const STEP: i64 = 300;

/// The moment as of which products are decided now.
pub(super) fn step(now: Timestamp) -> Timestamp {
    Timestamp::from_seconds(now.seconds() - now.seconds().rem_euclid(STEP))
}

/// All that a product is a function of, beside the filter: how far the log was folded, the moment, the protected systems, the claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Basis {
    pub(super) position: Option<Timestamp>,
    pub(super) at: Timestamp,
    /// Of protected systems, and of claims where the least confidence is asked for.
    pub(super) stamp: u32,
}

impl Basis {
    /// As a text without blanks.
    pub(super) fn version(self) -> String {
        let position = self.position.map_or(0, Timestamp::micros);
        format!("{position:x}-{:x}-{:x}", self.at.seconds() / STEP, self.stamp)
    }

    /// The basis that a version or an entity tag names; `None` for any other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches("W/").trim_matches('"');
        let mut parts = text.splitn(4, '-');
        let mut number = || i64::from_str_radix(parts.next()?, 16).ok().filter(|number| *number >= 0);
        let (position, at, stamp) = (number()?, number()?, number()?);
        let basis = Self {
            position: (position > 0).then(|| Timestamp::from_micros(position)),
            at: Timestamp::from_seconds(at.checked_mul(STEP)?),
            stamp: u32::try_from(stamp).ok()?,
        };
        // Numbers are written in one way: a date is no version.
        let rest = text.strip_prefix(basis.version().as_str())?;
        (rest.is_empty() || rest.starts_with('-')).then_some(basis)
    }
}

/// A product, ready to be sent.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Which one.
    pub product: Product,
    /// The strictest marking in it.
    pub tlp: Tlp,
    /// Its bytes.
    pub plain: Bytes,
    /// The same, compressed with gzip.
    pub gzip: Bytes,
    /// How many entries it has.
    pub entries: usize,
    /// Its version, for `?since=`.
    pub version: String,
    /// When its content was made.
    pub modified: Timestamp,
    /// From when on a copy is no longer to be used.
    pub expires: Timestamp,
    content: String,
}

impl Prepared {
    /// Its entity tag. Weak: the head, which says when it was made, and the encoding may differ.
    pub fn entity_tag(&self) -> String {
        format!("W/\"{}-{}\"", self.version, self.content)
    }

    /// Whether one of the tags of an `If-None-Match` header has the same content.
    pub fn is_among(&self, tags: &str) -> bool {
        tags.split(',')
            .map(str::trim)
            .any(|tag| tag == "*" || tag.trim_start_matches("W/").trim_matches('"').rsplit_once('-').is_some_and(|(_, content)| content == self.content))
    }

    fn bytes(&self) -> usize {
        self.plain.len() + self.gzip.len()
    }
}

/// What was chosen, taken out of the table, so that the table is free while bytes are written.
pub(super) struct Choice {
    rows: Vec<Chosen>,
    dictionary: Dictionary,
}

impl Choice {
    /// What a product holds. Not in order yet: that is work for later, without the table.
    pub(super) fn of(table: &Table, want: &Want, at: Timestamp, claims: &Claims) -> Self {
        Self { rows: table.choose(want, at, claims), dictionary: table.dictionary() }
    }

    /// Puts it in order of type and value.
    #[must_use]
    pub(super) fn ordered(mut self) -> Self {
        self.rows.sort_unstable_by(|a, b| (a.kind, &a.value).cmp(&(b.kind, &b.value)));
        self
    }

    /// Each value's key, and what tells its version from others.
    pub(super) fn versions(&self) -> impl Iterator<Item = (u128, u32)> {
        self.rows.iter().map(|row| (row.key, row.state.version()))
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.rows.iter().map(|row| entry(row, &self.dictionary))
    }
}

/// A chosen row as formats know it.
pub(super) fn entry<'a>(row: &'a Chosen, dictionary: &'a Dictionary) -> Entry<'a> {
    Entry {
        kind: row.kind,
        value: &row.value,
        category: row.state.category(),
        malware: dictionary.malware(&row.state),
        tlp: row.state.tlp(),
        pap: row.state.pap(),
        confidence: row.confidence,
        first_seen: row.state.first_seen(),
        last_seen: row.state.last_seen(),
        valid_until: row.state.valid_until(),
        sectors: dictionary.sectors(&row.state),
    }
}

/// Writes a product. `before` is kept where it says the same and its expiry is far enough ahead.
pub(super) fn make(hub: &Hub, want: &Want, choice: &Choice, basis: Basis, now: Timestamp, before: Option<&Arc<Prepared>>) -> std::io::Result<Arc<Prepared>> {
    let body = if want.product == Product::Stix { super::stix::bundle(hub, want, choice)? } else { body(want.product, choice.entries()) };
    let content: String = blake3::hash(&body).to_hex().chars().take(16).collect();
    if let Some(before) = before.filter(|before| before.content == content && now < before.modified.plus(RENEW_AFTER)) {
        return Ok(Arc::clone(before));
    }
    let (version, expires) = (basis.version(), now.plus(LIFE));
    let name = want.title();
    let heading = Heading { realm: &hub.options.realm, name: &name, tlp: want.tlp(), generated: now, expires, entries: choice.len(), version: &version };
    let mut plain = head(want.product, &heading);
    plain.extend_from_slice(&body);
    drop(body);
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder.write_all(&plain)?;
    let gzip = Bytes::from(encoder.finish()?);
    Ok(Arc::new(Prepared {
        product: want.product,
        tlp: want.tlp(),
        plain: Bytes::from(plain),
        gzip,
        entries: choice.len(),
        version,
        modified: now,
        expires,
        content,
    }))
}

/// One place of the shelf.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) prepared: Arc<Prepared>,
    /// What it is current for.
    pub(super) basis: Basis,
    /// How long it took to make.
    pub(super) took: Duration,
    pub(super) made: Instant,
    /// When it was asked for last.
    pub(super) used: Instant,
    /// Whether a caller with a key has asked for it.
    pub(super) keyed: bool,
    /// When it was first found to be behind; `None`: it is not known to be.
    pub(super) behind: Option<Instant>,
}

/// What was made and is kept.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    kept: HashMap<Want, Kept>,
}

impl Shelf {
    pub(super) fn get(&self, want: &Want) -> Option<&Kept> {
        self.kept.get(want)
    }

    pub(super) fn get_mut(&mut self, want: &Want) -> Option<&mut Kept> {
        self.kept.get_mut(want)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Want, &Kept)> {
        self.kept.iter()
    }

    /// Puts one there; the least used ones of its kind make room for it.
    pub(super) fn put(&mut self, want: Want, kept: Kept) {
        self.kept.insert(want.clone(), kept);
        // All of them: one that a stranger began with may have become a member's.
        for (place, limits) in [
            (Place::Members, (MAX_PREPARED, MAX_PREPARED_BYTES)),
            (Place::Open, (MAX_OPEN, MAX_OPEN_BYTES)),
            (Place::Strangers, (MAX_STRANGERS, MAX_STRANGERS_BYTES)),
        ] {
            self.make_room(&want, place, limits);
        }
    }

    fn make_room(&mut self, newest: &Want, place: Place, (most, most_bytes): (usize, usize)) {
        let own = |(want, kept): &(&Want, &Kept)| place_of(want, kept) == place;
        let (mut count, mut bytes) = self.kept.iter().filter(own).fold((0, 0), |(count, bytes), (_, kept)| (count + 1, bytes + kept.prepared.bytes()));
        while count > most || bytes > most_bytes {
            let others = self.kept.iter().filter(own).filter(|(want, _)| *want != newest);
            let Some(least) = others.min_by_key(|(_, kept)| kept.used).map(|(want, _)| want.clone()) else { return };
            if let Some(gone) = self.kept.remove(&least) {
                count -= 1;
                bytes -= gone.prepared.bytes();
            }
        }
    }
}

/// Where on the shelf something lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A caller with a key asked for it.
    Members,
    /// Strangers alone asked for it, without a filter.
    Open,
    /// Strangers alone asked for it, through a filter.
    Strangers,
}

pub(super) fn place_of(want: &Want, kept: &Kept) -> Place {
    if kept.keyed {
        Place::Members
    } else if want.filter == ProductFilter::default() {
        Place::Open
    } else {
        Place::Strangers
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use store::views::indicators::Collection;

    fn want(max_age_days: Option<u16>, collection: Collection) -> Want {
        Want::new(Product::Hosts, collection, ProductFilter { max_age_days, ..ProductFilter::default() })
    }

    fn kept(bytes: usize, keyed: bool) -> Kept {
        let now = Timestamp::from_seconds(1_800_000_000);
        let prepared = Prepared {
            product: Product::Hosts,
            tlp: Tlp::Clear,
            plain: Bytes::from(vec![b'x'; bytes]),
            gzip: Bytes::new(),
            entries: 1,
            version: String::new(),
            modified: now,
            expires: now.plus(LIFE),
            content: String::new(),
        };
        let basis = Basis { position: None, at: now, stamp: 0 };
        Kept { prepared: Arc::new(prepared), basis, took: Duration::ZERO, made: Instant::now(), used: Instant::now(), keyed, behind: None }
    }

    #[test]
    fn filters_of_strangers_push_no_members_product_from_the_shelf() {
        let mut shelf = Shelf::default();
        let (members, open) = (want(Some(3_000), Collection::Amber), want(None, Collection::Clear));
        shelf.put(members.clone(), kept(1_000, true));
        shelf.put(open.clone(), kept(1_000, false));
        for days in 1..=1_000 {
            shelf.put(want(Some(days), Collection::Clear), kept(1_000, false));
        }
        assert!(shelf.get_mut(&members).is_some() && shelf.get_mut(&open).is_some());
        assert_eq!(shelf.iter().count(), MAX_STRANGERS + 2);
        assert!(shelf.get_mut(&want(Some(1_000), Collection::Clear)).is_some() && shelf.get_mut(&want(Some(1), Collection::Clear)).is_none());

        // Nor do large ones.
        for days in 1..=4 {
            shelf.put(want(Some(days), Collection::Clear), kept(MAX_STRANGERS_BYTES / 2 + 1, false));
            assert_eq!(shelf.iter().filter(|(want, kept)| place_of(want, kept) == Place::Strangers && kept.prepared.bytes() > 1_000).count(), 1);
        }
        assert!(shelf.get_mut(&members).is_some() && shelf.get_mut(&open).is_some());

        // What a member asks for stays like any other of its own.
        shelf.get_mut(&want(Some(4), Collection::Clear)).unwrap().keyed = true;
        shelf.put(want(Some(5), Collection::Clear), kept(MAX_STRANGERS_BYTES, false));
        assert!(shelf.get_mut(&want(Some(4), Collection::Clear)).is_some());
    }

    #[test]
    fn large_lists_that_strangers_ask_for_push_no_members_product_from_the_shelf() {
        let mut shelf = Shelf::default();
        let members = want(Some(3_000), Collection::Amber);
        shelf.put(members.clone(), kept(1_000, true));
        for product in [Product::Csv, Product::List(None), Product::NftSets] {
            shelf.put(Want::new(product, Collection::Clear, ProductFilter::default()), kept(MAX_OPEN_BYTES / 2 + 1, false));
        }
        assert_eq!(shelf.iter().filter(|(want, kept)| place_of(want, kept) == Place::Open).count(), 1);
        assert!(shelf.get_mut(&members).is_some());
    }

    #[test]
    fn members_products_make_room_for_the_newest() {
        let mut shelf = Shelf::default();
        for days in 1..=300 {
            shelf.put(want(Some(days), Collection::Amber), kept(1_000, true));
        }
        assert_eq!(shelf.iter().count(), MAX_PREPARED);
        assert!(shelf.get_mut(&want(Some(300), Collection::Amber)).is_some() && shelf.get_mut(&want(Some(1), Collection::Amber)).is_none());
    }
}
