//! The directory: every organisation, key, network and group in memory, so that a request is authenticated without the records store.
//!
//! Flow: `members` commits a change → [`Directory::refresh`] reads all rows again → requests see the new [`Snapshot`] at once, and whoever follows
//! something for longer is woken ([`Directory::changes`]).
//! Invariant: a snapshot is never changed, only replaced, and never by an older one; the secret of a key is nowhere, only its hash.
//! Not here: who may change what (`members`), what a reader sees (`policy`).

use crate::{Actor, HubError};
use arc_swap::ArcSwap;
use ipnet::IpNet;
use model::{KeyId, KeyRole, OrgId, OrgNo, Organisation, Standing, Text, Timestamp};
use parking_lot::Mutex;
use policy::Reader;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use store::records::{DirectoryRows, Group, Key, Network, Records};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

/// What every secret starts with, so that scanners of leaked text can know it.
pub const SECRET_PREFIX: &str = "bgs_";
/// Hexadecimal digits after the prefix: 256 bits.
pub const SECRET_DIGITS: usize = 64;

/// When a key was used last; shared by all snapshots that hold the key.
#[derive(Debug)]
pub struct LastUse {
    /// Microseconds since 1970; [`i64::MIN`]: never.
    seen: AtomicI64,
    /// As far as written to the records.
    written: AtomicI64,
}

/// Whether a key holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// It holds.
    Active,
    /// It was replaced and holds until the overlap ends.
    Rotating,
    /// Its time is over, by expiry or after rotation.
    Expired,
    /// It was revoked.
    Revoked,
}

impl KeyState {
    /// Whether the key opens anything.
    pub const fn holds(self) -> bool {
        match self {
            Self::Active | Self::Rotating => true,
            Self::Expired | Self::Revoked => false,
        }
    }
}

/// The only place that decides whether a key holds.
pub fn key_state(key: &Key, now: Timestamp) -> KeyState {
    let over = |end: Option<Timestamp>| end.is_some_and(|end| now >= end);
    if key.revoked_at.is_some() {
        KeyState::Revoked
    } else if over(key.expires) || over(key.valid_until) {
        KeyState::Expired
    } else if key.valid_until.is_some() {
        KeyState::Rotating
    } else {
        KeyState::Active
    }
}

/// A key with all that authentication asks of it.
#[derive(Debug)]
pub struct KeyFacts {
    /// The record.
    pub key: Key,
    /// Its organisation.
    pub organisation: Arc<Organisation>,
    hash: [u8; 32],
    allow: Vec<IpNet>,
    last_use: Arc<LastUse>,
}

impl KeyFacts {
    /// When it was used last; `None`: never.
    pub fn last_used(&self) -> Option<Timestamp> {
        let seen = self.last_use.seen.load(Ordering::Relaxed);
        (seen != i64::MIN).then(|| Timestamp::from_micros(seen))
    }

    /// The only place that makes an actor of a key.
    fn actor(&self, now: Timestamp) -> Actor {
        let Key { id, role, red, .. } = self.key;
        Actor { key: id, organisation: Arc::clone(&self.organisation), role, red, reader: Reader::new(&self.organisation, role, red, now) }
    }

    /// Whether the key opens anything now, wherever it is used from.
    fn holds(&self, now: Timestamp) -> bool {
        self.organisation.standing != Standing::Revoked && key_state(&self.key, now).holds()
    }

    /// The next moment after `now` from which the key, or the agreement of its organisation, no longer holds although no record changes.
    fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let agreed = self.organisation.agreement.as_ref().and_then(|agreement| agreement.expires);
        [self.key.expires, self.key.valid_until, agreed].into_iter().flatten().filter(|end| *end > now).min()
    }

    fn allows(&self, peer: IpAddr) -> bool {
        // A dual-stack socket gives IPv4 peers as mapped IPv6.
        let peer = peer.to_canonical();
        self.allow.is_empty() || self.allow.iter().any(|range| range.contains(&peer))
    }
}

/// The directory as of one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    position: i64,
    organisations: Vec<Option<Arc<Organisation>>>,
    by_id: HashMap<OrgId, Arc<Organisation>>,
    keys: HashMap<[u8; 32], Arc<KeyFacts>>,
    keys_of: HashMap<OrgId, Vec<Arc<KeyFacts>>>,
    networks: Vec<Arc<Network>>,
    groups: BTreeMap<Text, Group>,
}

impl Snapshot {
    /// The organisation with this number.
    pub fn organisation(&self, number: OrgNo) -> Option<&Arc<Organisation>> {
        self.organisations.get(number.0 as usize).and_then(Option::as_ref)
    }

    /// The organisation with this id.
    pub fn by_id(&self, id: OrgId) -> Option<&Arc<Organisation>> {
        self.by_id.get(&id)
    }

    /// Every organisation, by number.
    pub fn organisations(&self) -> impl DoubleEndedIterator<Item = &Arc<Organisation>> {
        self.organisations.iter().flatten()
    }

    /// Every key of an organisation, oldest first, revoked ones too.
    pub fn keys_of(&self, organisation: OrgId) -> &[Arc<KeyFacts>] {
        self.keys_of.get(&organisation).map_or(&[], Vec::as_slice)
    }

    /// Every network that is not removed, oldest first.
    pub fn networks(&self) -> &[Arc<Network>] {
        &self.networks
    }

    /// Every group, by id.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// The group with this id.
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }
}

/// The directory.
#[derive(Debug, Default)]
pub struct Directory {
    snapshot: ArcSwap<Snapshot>,
    replacing: Mutex<()>,
    /// How many snapshots there were; said after the new one is there.
    changes: watch::Sender<u64>,
}

impl Directory {
    /// The directory that the records hold.
    pub async fn load(records: &Records) -> Result<Self, HubError> {
        let directory = Self::default();
        directory.refresh(records).await?;
        Ok(directory)
    }

    /// Reads all rows again. After it returns, every change committed before it was called is seen.
    pub async fn refresh(&self, records: &Records) -> Result<(), HubError> {
        let rows = records.directory_rows().await?;
        let _replacing = self.replacing.lock();
        let current = self.snapshot.load();
        // Two refreshes may overtake each other; the older one has nothing new to say.
        if rows.position >= current.position {
            self.snapshot.store(Arc::new(build(rows, &current)));
            self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
        }
        Ok(())
    }

    /// Changes whenever a snapshot takes the place of another. Who decides on something for long looks at it before each step, which costs one load:
    /// where it has changed, [`Directory::again`] says what holds since.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The directory as of now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The organisation with this number.
    pub fn organisation(&self, number: OrgNo) -> Option<Arc<Organisation>> {
        self.snapshot.load().organisation(number).cloned()
    }

    /// The organisation with this id.
    pub fn by_id(&self, id: OrgId) -> Option<Arc<Organisation>> {
        self.snapshot.load().by_id(id).cloned()
    }

    /// The actor that a secret stands for, when it comes from `peer` at `now`.
    ///
    /// # Errors
    /// [`HubError::Unauthenticated`] for every reason alike, so that a guess learns nothing.
    pub fn authenticate(&self, secret: &str, peer: IpAddr, now: Timestamp) -> Result<Actor, HubError> {
        if !well_formed(secret) {
            return Err(HubError::Unauthenticated);
        }
        let hash = blake3::hash(secret.as_bytes());
        let snapshot = self.snapshot.load();
        let facts = snapshot.keys.get(hash.as_bytes()).ok_or(HubError::Unauthenticated)?;
        let same = bool::from(facts.hash.as_slice().ct_eq(hash.as_bytes().as_slice()));
        if !same || !facts.holds(now) || !facts.allows(peer) {
            return Err(HubError::Unauthenticated);
        }
        facts.last_use.seen.fetch_max(now.micros(), Ordering::Relaxed);
        Ok(facts.actor(now))
    }

    /// The actor that a key is now, without its secret: for what outlives one request, such as a stream.
    ///
    /// # Errors
    /// [`HubError::Unauthenticated`] where the key does not hold any more.
    pub fn again(&self, actor: &Actor, now: Timestamp) -> Result<Actor, HubError> {
        self.again_until(actor, now).map(|(actor, _)| actor)
    }

    /// The same, and the moment from which it is to be asked again although no record changes: the key's end, or the agreement's.
    ///
    /// # Errors
    /// As [`Directory::again`].
    pub fn again_until(&self, actor: &Actor, now: Timestamp) -> Result<(Actor, Option<Timestamp>), HubError> {
        let snapshot = self.snapshot.load();
        let facts = snapshot
            .keys_of(actor.organisation.id)
            .iter()
            .find(|facts| facts.key.id == actor.key)
            .filter(|facts| facts.holds(now))
            .ok_or(HubError::Unauthenticated)?;
        Ok((facts.actor(now), facts.until(now)))
    }

    /// Writes the uses since the last call; a task calls it every few seconds and once when stopping.
    pub async fn write_last_uses(&self, records: &Records) -> Result<(), HubError> {
        let mut uses = Vec::new();
        let mut marks = Vec::new();
        for facts in self.snapshot.load().keys.values() {
            let seen = facts.last_use.seen.load(Ordering::Relaxed);
            if seen > facts.last_use.written.load(Ordering::Relaxed) {
                uses.push((facts.key.id, Timestamp::from_micros(seen)));
                marks.push((Arc::clone(&facts.last_use), seen));
            }
        }
        records.touch_keys(&uses).await?;
        for (last_use, seen) in marks {
            last_use.written.fetch_max(seen, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether a holding coordinator key of the hub's own organisation other than `besides` exists.
    pub fn has_coordinator(&self, besides: Option<KeyId>, now: Timestamp) -> bool {
        let snapshot = self.snapshot.load();
        snapshot.keys.values().any(|facts| {
            facts.organisation.number == OrgNo::HUB
                && facts.key.role == KeyRole::Coordinator
                && Some(facts.key.id) != besides
                && key_state(&facts.key, now) == KeyState::Active
        })
    }
}

fn well_formed(secret: &str) -> bool {
    secret
        .strip_prefix(SECRET_PREFIX)
        .is_some_and(|digits| digits.len() == SECRET_DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

fn build(rows: DirectoryRows, before: &Snapshot) -> Snapshot {
    let mut snapshot = Snapshot { position: rows.position, ..Snapshot::default() };
    for organisation in rows.organisations {
        let organisation = Arc::new(organisation);
        let place = organisation.number.0 as usize;
        if snapshot.organisations.len() <= place {
            snapshot.organisations.resize(place + 1, None);
        }
        if let Some(slot) = snapshot.organisations.get_mut(place) {
            *slot = Some(Arc::clone(&organisation));
        }
        snapshot.by_id.insert(organisation.id, organisation);
    }
    for key in rows.keys {
        let Some(organisation) = snapshot.by_id.get(&key.organisation).cloned() else { continue };
        let allow: Option<Vec<IpNet>> = key.allow.iter().map(|range| parse_range(range)).collect();
        let (Ok(hash), Some(allow)) = (blake3::Hash::from_hex(&key.hash), allow) else {
            // Left out, a key opens nothing.
            tracing::error!(key = %key.id, "key record cannot be read; it opens nothing");
            continue;
        };
        let hash = *hash.as_bytes();
        let last_use = before.keys.get(&hash).map_or_else(
            || {
                let seen = rows.last_used.get(&key.id).map_or(i64::MIN, |at| at.micros());
                Arc::new(LastUse { seen: AtomicI64::new(seen), written: AtomicI64::new(seen) })
            },
            |facts| Arc::clone(&facts.last_use),
        );
        let facts = Arc::new(KeyFacts { key, organisation, hash, allow, last_use });
        snapshot.keys_of.entry(facts.key.organisation).or_default().push(Arc::clone(&facts));
        snapshot.keys.insert(hash, facts);
    }
    snapshot.networks = rows.networks.into_iter().map(Arc::new).collect();
    snapshot.groups = rows.groups.into_iter().map(|group| (group.id.clone(), group)).collect();
    snapshot
}

/// An address range with host bits cleared; a bare address is a range of one.
pub fn parse_range(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse::<IpNet>().map(|range| range.trunc()).ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
