//! Products: what firewalls, resolvers, sensors and people fetch under `/feeds/`, prepared before they ask.
//!
//! Flow: `follow` wakes as the log of indicators moves → `Products::round` folds it into a `table` and makes the warm products again →
//! a door asks [`Hub::wanted`] (may it?), takes what is [`Hub::prepared`] or has it made by [`Hub::prepare`], and says so by [`Hub::fetched`].
//! Invariant: what a product holds is decided by `policy::may_leave` on what the log says and nothing else; a product is a function of its
//! `prepared::Basis`, so that the difference between two versions is exact. No product is made before the log was read to the end that
//! the ledger had at the start: half a blocklist would unblock the other half.
//! Not here: formats (`formats::products`), the log (`store::views::indicators`), which keeps what a licence does not let go further out of the
//! collections that products are made of; HTTP (`web::feeds`).

mod delta;
mod listed;
mod prepared;
mod recalls;
mod spared;
mod stix;
mod table;
#[cfg(test)]
mod tests;
mod want;

pub use delta::Delta;
pub use listed::{Listed, Ready};
pub use prepared::{LIFE, MAX_OPEN, MAX_OPEN_BYTES, MAX_PREPARED, MAX_PREPARED_BYTES, MAX_STRANGERS, MAX_STRANGERS_BYTES, Prepared};
pub use recalls::Recall;
pub(crate) use spared::parents;
pub use want::{ProductFilter, Want};

use crate::{Actor, Hub, HubError};
use formats::products::Product;
use model::{ObservableType, Seq, Timestamp, Tlp};
use parking_lot::{Mutex, RwLock};
use prepared::{Basis, Choice, Kept, Place, Shelf, make, place_of, step};
use recalls::Fetches;
use spared::{Protected, is_spared};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use store::records::{Claim, ClaimState};
use store::views::indicators::{Collection, Indicators};
use table::{Claims, Table};
use tokio::sync::watch;

/// Versions of the log that are folded before readers of the table get their turn.
const PAGE: usize = 4_096;
/// How long the log may move on before it is folded, so that a stream of events is folded in parts.
const GATHER: Duration = Duration::from_millis(100);
/// How often the table is looked after where nothing moves: what expires, what is protected.
const ROUND: Duration = Duration::from_secs(5);
/// How often claims are read.
const CLAIMS_EVERY: Duration = Duration::from_secs(60);
/// A product that takes longer to make is large: while it is made again its readers get what there is.
const LARGE: Duration = Duration::from_millis(200);
/// For how long they do.
const LARGE_BEHIND: Duration = Duration::from_secs(30);
/// For how long after it was asked for last a product is made again by itself.
const WARM: Duration = Duration::from_secs(3_600);
/// A product is made again by itself at most one part in so many of the time.
const MAKING_SHARE: u32 = 4;
/// Products that callers without a key can have made in a minute; what is prepared they get without limit.
const PUBLIC_MAKES: u32 = 60;
/// Seconds until a caller tries again.
const RETRY_AFTER: u64 = 2;

/// What the products of one realm are made of, and those that are made.
#[derive(Debug)]
pub(crate) struct Products {
    table: RwLock<Table>,
    facts: RwLock<Facts>,
    shelf: Mutex<Shelf>,
    /// One product is made at a time: each takes a core and memory of its size.
    making: Mutex<()>,
    folding: Mutex<()>,
    fetches: Fetches,
    /// What strangers had made in this minute.
    public: Mutex<(Option<Instant>, u32)>,
    /// End of the ledger when the hub was opened.
    begin: Seq,
    ready: AtomicBool,
}

/// What products depend on beside the table's entries.
#[derive(Debug, Default)]
struct Facts {
    positions: [Option<Timestamp>; 3],
    protected: Arc<Protected>,
    claims: Arc<Claims>,
    claims_stamp: u32,
}

impl Products {
    /// Nothing yet; `begin` is the ledger's end.
    pub(crate) fn open(data: &Path, begin: Seq) -> Self {
        Self {
            table: RwLock::default(),
            facts: RwLock::default(),
            shelf: Mutex::default(),
            making: Mutex::default(),
            folding: Mutex::default(),
            fetches: Fetches::load(data),
            public: Mutex::default(),
            begin,
            ready: AtomicBool::new(false),
        }
    }

    /// Writes what is only in memory.
    pub(crate) fn save(&self) {
        self.fetches.save();
    }

    /// What a product is made of now.
    fn basis(&self, want: &Want, now: Timestamp) -> Basis {
        let facts = self.facts.read();
        let position = want.collection.place().and_then(|place| facts.positions.get(place)).copied().flatten();
        // Claims matter only where the least confidence is asked for.
        let claims = if want.filter.min_confidence > 0 { facts.claims_stamp } else { 0 };
        Basis { position, at: step(now), stamp: facts.protected.stamp ^ claims }
    }

    /// Folds what the log has more. Gives whether anything was.
    fn fold(&self, hub: &Hub, indicators: &Indicators) -> std::io::Result<bool> {
        let _folding = self.folding.lock();
        if !self.table.write().forget(hub.clock().now()) {
            // Half a table would make half a product.
            tracing::warn!("the clock was set back by more than a month; products are made of the log anew");
            self.ready.store(false, Ordering::Release);
            *self.table.write() = Table::default();
            self.table.write().forget(hub.clock().now());
        }
        let reached = indicators.position();
        let protected = Arc::clone(&self.facts.read().protected);
        let mut moved = false;
        for collection in Collection::ALL {
            loop {
                let after = self.table.read().position(collection);
                let page = indicators.page(collection, after, PAGE)?;
                if page.is_empty() {
                    break;
                }
                moved = true;
                let judged: Vec<_> = page.iter().map(|version| is_spared(version.kind, &version.value, &protected, &hub.warning_lists)).collect();
                let mut table = self.table.write();
                page.iter().zip(judged).for_each(|(version, spared)| table.fold(version, spared));
            }
        }
        if moved {
            self.publish();
        }
        if reached >= self.begin {
            self.ready.store(true, Ordering::Release);
        }
        Ok(moved)
    }

    /// Says how far the table is. After it, what was made before is behind.
    fn publish(&self) {
        let table = self.table.read();
        let positions = Collection::ALL.map(|collection| table.position(collection));
        drop(table);
        self.facts.write().positions = positions;
    }

    /// Judges every value anew where the protected systems have changed.
    fn protect(&self, hub: &Hub) {
        let _folding = self.folding.lock();
        let protected = Protected::of(&hub.directory().snapshot());
        if protected.stamp == self.facts.read().protected.stamp {
            return;
        }
        self.table.write().spare(|kind, value| is_spared(kind, value, &protected, &hub.warning_lists));
        self.facts.write().protected = Arc::new(protected);
    }

    /// Takes the undecided claims in.
    fn claim(&self, claims: Claims) {
        let mut sorted: Vec<_> = claims.iter().map(|(key, count)| (*key, *count)).collect();
        sorted.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        for (key, count) in sorted {
            hasher.update(&key.to_le_bytes());
            hasher.update(&count.to_le_bytes());
        }
        let stamp = hasher.finalize().as_bytes().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let mut facts = self.facts.write();
        (facts.claims, facts.claims_stamp) = (Arc::new(claims), stamp);
    }

    /// One round of housekeeping: protected systems, the log, the products that are warm.
    fn round(&self, hub: &Hub) -> std::io::Result<()> {
        self.protect(hub);
        self.fold(hub, &hub.store().indicators)?;
        if !self.ready.load(Ordering::Acquire) {
            return Ok(());
        }
        for want in self.due(hub.clock().now()) {
            // Making takes its time; what was revoked meanwhile must not wait for all the others.
            self.fold(hub, &hub.store().indicators)?;
            self.make(hub, &want, false)?;
        }
        self.fetches.save_now_and_then();
        Ok(())
    }

    /// The products that are warm and behind, the longest behind first. Filters that strangers alone ask for are made when they ask, for there
    /// is no end to them.
    fn due(&self, now: Timestamp) -> Vec<Want> {
        let shelf = self.shelf.lock();
        let mut due: Vec<(Instant, Want)> = shelf
            .iter()
            .filter(|(_, kept)| kept.used.elapsed() < WARM && kept.made.elapsed() > kept.took * MAKING_SHARE)
            .filter(|(want, kept)| place_of(want, kept) != Place::Strangers)
            .filter(|(want, kept)| kept.basis != self.basis(want, now))
            .map(|(want, kept)| (kept.made, want.clone()))
            .collect();
        due.sort_unstable_by_key(|(made, _)| *made);
        due.into_iter().map(|(_, want)| want).collect()
    }

    /// The product, where it is made and may be given as it is.
    fn made(&self, want: &Want, now: Timestamp) -> Option<Arc<Prepared>> {
        let basis = self.basis(want, now);
        let mut shelf = self.shelf.lock();
        let kept = shelf.get_mut(want)?;
        kept.used = Instant::now();
        if kept.basis == basis {
            return Some(Arc::clone(&kept.prepared));
        }
        let behind = *kept.behind.get_or_insert_with(Instant::now);
        (kept.took >= LARGE && behind.elapsed() < LARGE_BEHIND).then(|| Arc::clone(&kept.prepared))
    }

    /// Makes a product, or takes what another one has made while this one waited for its turn. `keyed`: a caller with a key asks for it.
    fn make(&self, hub: &Hub, want: &Want, keyed: bool) -> std::io::Result<Arc<Prepared>> {
        let _making = self.making.lock();
        let now = hub.clock().now();
        let (before, used, keyed) = {
            let mut shelf = self.shelf.lock();
            match shelf.get_mut(want) {
                Some(kept) if kept.basis == self.basis(want, now) => return Ok(Arc::clone(&kept.prepared)),
                Some(kept) => (Some(Arc::clone(&kept.prepared)), kept.used, kept.keyed || keyed),
                None => (None, Instant::now(), keyed),
            }
        };
        let began = Instant::now();
        let (choice, basis) = self.choose(want, now);
        let prepared = make(hub, want, &choice.ordered(), basis, now, before.as_ref())?;
        let kept = Kept { prepared: Arc::clone(&prepared), basis, took: began.elapsed(), made: Instant::now(), used, keyed, behind: None };
        self.shelf.lock().put(want.clone(), kept);
        Ok(prepared)
    }

    /// What a product holds now, and as of what.
    fn choose(&self, want: &Want, now: Timestamp) -> (Choice, Basis) {
        let claims = Arc::clone(&self.facts.read().claims);
        let table = self.table.read();
        // The table's own position: it may be past what was published.
        let basis = Basis { position: table.position(want.collection), ..self.basis(want, now) };
        (Choice::of(&table, want, basis.at, &claims), basis)
    }

    /// Whether no product may hold a value, as of the last round.
    pub(crate) fn spares(&self, hub: &Hub, kind: ObservableType, value: &str) -> bool {
        let protected = Arc::clone(&self.facts.read().protected);
        is_spared(kind, value, &protected, &hub.warning_lists)
    }

    /// Tells one set of protected systems from another.
    pub(crate) fn spared_stamp(&self) -> u32 {
        self.facts.read().protected.stamp
    }

    /// Counts a making against what strangers may have made.
    fn allow_stranger(&self) -> Result<(), HubError> {
        let mut public = self.public.lock();
        if public.0.is_none_or(|began| began.elapsed() > Duration::from_secs(60)) {
            *public = (Some(Instant::now()), 0);
        }
        public.1 += 1;
        if public.1 > PUBLIC_MAKES { Err(HubError::Overloaded { retry_after: 60 }) } else { Ok(()) }
    }

    pub(crate) fn is_ready(&self) -> Result<(), HubError> {
        if self.ready.load(Ordering::Acquire) { Ok(()) } else { Err(HubError::Overloaded { retry_after: RETRY_AFTER }) }
    }
}

/// Keeps the products current until the hub goes.
pub(crate) async fn follow(hub: Weak<Hub>, mut stopping: watch::Receiver<bool>) {
    let Some(mut moved) = hub.upgrade().map(|hub| hub.store().indicators.watch()) else { return };
    let mut claims_read: Option<Instant> = None;
    loop {
        {
            let Some(hub) = hub.upgrade() else { return };
            if claims_read.is_none_or(|at| at.elapsed() > CLAIMS_EVERY) {
                claims_read = Some(Instant::now());
                match hub.undecided_claims().await {
                    Ok(claims) => hub.products.claim(claims),
                    Err(error) => tracing::warn!(%error, "claims were not read; products go by those of before"),
                }
            }
            let round = tokio::task::spawn_blocking(move || hub.products.round(&hub)).await;
            match round {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "products were not made; the next round tries again"),
                Err(error) => tracing::error!(%error, "making products broke; the next round tries again"),
            }
        }
        tokio::select! {
            _ = stopping.changed() => return,
            changed = moved.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(GATHER).await;
            }
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}

impl Hub {
    /// What a caller asks for, where it may have it. Without a marking it is the strictest collection that its membership allows; without a
    /// key that is clear.
    ///
    /// # Errors
    /// [`HubError::Unauthenticated`] where a key is needed, [`HubError::Forbidden`] where the caller's does not do, [`HubError::Invalid`] for
    /// a marking that no product has.
    pub fn wanted(&self, actor: Option<&Actor>, product: Product, tlp: Option<Tlp>, filter: ProductFilter) -> Result<Want, HubError> {
        let reader = actor.map(|actor| &actor.reader);
        let tlp = tlp.unwrap_or_else(|| policy::strictest_product(reader));
        let collection = Collection::ALL.into_iter().find(|collection| collection.tlp() == tlp);
        let collection = collection.ok_or_else(|| HubError::Invalid { pointer: "tlp".to_owned(), reason: "products are clear, green or amber".to_owned() })?;
        if policy::may_fetch(reader, tlp) {
            return Ok(Want::new(product, collection, filter));
        }
        Err(if actor.is_none() { HubError::Unauthenticated } else { HubError::Forbidden("this key's organisation does not receive products of this marking") })
    }

    /// The product, where it is prepared. Never waits.
    pub fn prepared(&self, want: &Want) -> Option<Arc<Prepared>> {
        self.products.is_ready().ok()?;
        self.products.made(want, self.clock().now())
    }

    /// Makes the product. Takes as long as it takes to write it.
    ///
    /// # Errors
    /// [`HubError::Overloaded`] while the log of indicators is being read after a start, and for strangers who ask for too many.
    pub fn prepare(&self, want: &Want, keyed: bool) -> Result<Arc<Prepared>, HubError> {
        self.products.is_ready()?;
        if !keyed {
            self.products.allow_stranger()?;
        }
        self.products.make(self, want, keyed).map_err(|error| HubError::Internal(Box::new(error)))
    }

    /// What came and what left since a version; `None` where that version is too old or of other rules, and the whole is to be fetched.
    ///
    /// # Errors
    /// [`HubError::Invalid`] for a product without differences and for a text that is no version; else as [`Hub::prepare`].
    pub fn product_since(&self, want: &Want, since: &str, keyed: bool) -> Result<Option<Delta>, HubError> {
        if !want.product.has_delta() {
            return Err(HubError::Invalid { pointer: "since".to_owned(), reason: "differences are made of lists and csv alone".to_owned() });
        }
        let since = Basis::parse(since).ok_or_else(|| HubError::Invalid {
            pointer: "since".to_owned(),
            reason: "must be a version: the header X-Version of an earlier answer, its entity tag, or the comment in it".to_owned(),
        })?;
        self.products.is_ready()?;
        if !keyed {
            self.products.allow_stranger()?;
        }
        delta::between(&self.products, self, want, since, self.clock().now()).map_err(|error| HubError::Internal(Box::new(error)))
    }

    /// Remembers that the caller's organisation has what the product says now, so that it learns of recalls.
    pub fn fetched(&self, actor: &Actor, want: &Want) {
        let now = self.clock().now();
        // What was made may be past what is published.
        let made = self.products.shelf.lock().get_mut(want).map(|kept| {
            kept.keyed = true;
            kept.basis.position
        });
        let position = made.unwrap_or_else(|| self.products.basis(want, now).position);
        self.products.fetches.note(actor.organisation.id, want, position, now);
    }

    /// What was taken out of products that the caller's organisation has fetched, newest first.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] where the role reads no events.
    pub fn recalls(&self, actor: &Actor, since: Option<Timestamp>, limit: usize) -> Result<Vec<Recall>, HubError> {
        if !actor.reader.reads_events() {
            return Err(HubError::Forbidden("this role does not read events"));
        }
        let fetched = self.products.fetches.of(actor.organisation.id);
        let disputed = self.store().views.disputed.read();
        let table = self.products.table.read();
        Ok(recalls::list(&table, &fetched, &actor.reader, since, limit, |key| disputed.contains(&key)))
    }

    /// How many organisations have an undecided claim about each value. Claims about values known from red events alone tell nothing here.
    async fn undecided_claims(&self) -> Result<Claims, HubError> {
        let keys = &self.store().views.keys;
        let mut claimants: Vec<_> = self
            .records()
            .all::<Claim>()
            .await?
            .into_iter()
            .filter(|claim| claim.state == ClaimState::Open && !claim.red)
            .filter_map(|claim| Some((keys.observable(claim.kind, claim.value.as_ref()?), claim.claimant)))
            .collect();
        claimants.sort_unstable();
        claimants.dedup();
        let mut claims = Claims::new();
        for (key, _) in claimants {
            *claims.entry(key).or_insert(0) += 1;
        }
        Ok(claims)
    }
}
