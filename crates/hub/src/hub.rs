//! The hub: wires records, ledger, views and use cases of one realm.
//!
//! Invariant: one realm, one folder; no door carries an item across realms.

use crate::answers::{LedgerStatus, StatusAnswer};
use crate::clock::Clock;
use crate::days::ZoneDays;
use crate::delivery::mail::{MailOptions, Mailer};
use crate::delivery::{self, Delivery, DeliveryOptions};
use crate::directory::Directory;
use crate::intake::{MAX_DOCUMENTS, MAX_IN_FLIGHT, Workers};
use crate::members::{ClaimView, Members};
use crate::misp::{self, Misp};
use crate::outbound::{Outbound, OutboundOptions};
use crate::outbox;
use crate::owners::abuse::AbuseContacts;
use crate::owners::{Decisions, DnsOptions, NationalOptions, NationalTables, Resolver, tell_nation, tell_registrations};
use crate::partners::tell_partners;
use crate::products::{self, Products};
use crate::quota::Quotas;
use crate::sharing::blocks::Blocks;
use crate::sharing::sheets::Sheets;
use crate::sharing::stream;
use crate::sources::{self, SourceOptions, Sources};
use crate::warning_lists::WarningLists;
use crate::{Actor, HubError, taxii};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::ids::ClaimId;
use model::{KeyRole, OrgNo, Seq, Text};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store::Store;
use store::deliveries::Deliveries;
use store::objects::Objects;
use store::records::Records;
use store::views::{Days, Keys};
use tokio::sync::{Notify, Semaphore};

/// Bytes of memory that a row of the recent part takes, its table and chain included; two parts may be there at once.
const BYTES_PER_RECENT_ROW: u64 = 128;
/// How often the rule of contribution is carried out; once at the start, too.
const STANDINGS_EVERY: Duration = Duration::from_secs(86_400);
/// How often events past their time expire; once at the start, too.
const EXPIRY_EVERY: Duration = Duration::from_secs(86_400);
/// When that is tried again after it failed.
const EXPIRY_RETRY: Duration = Duration::from_secs(3_600);
/// How often keys' last uses are written.
const LAST_USE_EVERY: Duration = Duration::from_secs(30);

/// How to open a hub.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// Folder of the realm.
    pub data: PathBuf,
    /// Name of the realm.
    pub realm: String,
    /// IANA name of the zone in which days and weeks are counted; fixed when the realm is made.
    pub zone: String,
    /// Bytes that the views may take in memory.
    pub memory: u64,
    /// Threads that parse.
    pub parse_threads: usize,
    /// Bytes of a request after decompression.
    pub max_body: u64,
    /// Events of a request.
    pub max_events: u64,
    /// How long events are kept after receipt, [`crate::expiry::MIN_RETENTION`] at the least; for good where there is none.
    pub retention: Option<Duration>,
    /// Folder of warning lists in MISP's format.
    pub warning_lists: Option<PathBuf>,
    /// Sectors that organisations can have; empty: the default eleven.
    pub sectors: Vec<Text>,
    /// The nation's address space, where the hub is to stand for it.
    pub national: Option<NationalOptions>,
    /// Who is asked for texts in DNS.
    pub dns: DnsOptions,
    /// How mail is sent; none is where there is none.
    pub mail: Option<MailOptions>,
    /// Dates that are no business days.
    pub holidays: BTreeSet<Date>,
    /// Whom the hub may call.
    pub outbound: OutboundOptions,
    /// Feeds that it collects; checked ([`crate::sources::config::check`]).
    pub sources: Vec<SourceOptions>,
    /// The clock.
    pub clock: Clock,
}

struct MakeDays(Arc<dyn Fn() -> Box<dyn Days + Send> + Send + Sync>);

impl std::fmt::Debug for MakeDays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MakeDays")
    }
}

/// One realm's hub.
#[derive(Debug)]
pub struct Hub {
    pub(crate) options: HubOptions,
    store: Arc<Store>,
    records: Arc<Records>,
    objects: Arc<Objects>,
    directory: Arc<Directory>,
    members: Members,
    pub(crate) workers: Workers,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) documents: Arc<Semaphore>,
    /// Room for the bodies of requests that add objects to collections.
    pub(crate) gathering: Arc<Semaphore>,
    /// Open streams by organisation.
    pub(crate) streams: parking_lot::Mutex<BTreeMap<OrgNo, usize>>,
    /// The views' position, as those who follow the stream are told it.
    pub(crate) paced: tokio::sync::watch::Sender<Seq>,
    /// What followers with the same facts see of the newest frames.
    pub(crate) sheets: Sheets,
    pub(crate) quotas: Quotas,
    pub(crate) warning_lists: WarningLists,
    /// Calls sources and partners.
    pub(crate) outbound: Outbound,
    /// Calls members' webhooks, and nothing inside that was opened for sources alone.
    pub(crate) webhooks: Outbound,
    pub(crate) sources: Sources,
    pub(crate) products: Products,
    /// Contributed MISP events, and the feed.
    pub(crate) misp: Misp,
    /// Names of malware in collections made from events.
    pub(crate) families: taxii::Families,
    /// What organisations were, for what they may have received.
    pub(crate) pasts: taxii::Pasts,
    pub(crate) blocks: Blocks,
    /// What people decided on findings.
    pub(crate) findings: Decisions,
    /// What members asked to be told of.
    pub(crate) delivery: Delivery,
    pub(crate) national: NationalTables,
    pub(crate) resolver: Resolver,
    /// Whom to tell of what belongs to no member.
    pub(crate) abuse: AbuseContacts,
    pub(crate) outbox_nudge: Notify,
    pub(crate) erasing: tokio::sync::Mutex<()>,
    pub(crate) amending: tokio::sync::Mutex<()>,
    _lock: std::fs::File,
    make_days: MakeDays,
    stopping: tokio::sync::watch::Sender<bool>,
    streams_stopping: tokio::sync::watch::Sender<bool>,
}

impl Hub {
    /// Opens the realm in `options.data`, making it where it is not there.
    ///
    /// # Errors
    /// [`HubError`] where files cannot be read or written, are of a later release, or the zone is unknown.
    pub async fn open(options: HubOptions) -> Result<Arc<Self>, HubError> {
        let internal = |error: std::io::Error| HubError::Internal(Box::new(error));
        make_private_folder(&options.data).map_err(internal)?;
        let lock = lock(&options.data)?;
        let zone = realm_zone(&options.data, &options.zone)?;
        let secret = realm_secret(&options.data).map_err(internal)?;
        let (keys, delivery_zone) = (Keys::new(secret), zone.clone());
        let make_days: Arc<dyn Fn() -> Box<dyn Days + Send> + Send + Sync> = Arc::new(move || Box::new(ZoneDays::new(zone.clone())));
        let records = Arc::new(Records::open(&options.data.join("records.sqlite")).await?);
        let objects = Arc::new(Objects::open(&options.data.join("objects.sqlite")).await?);
        let directory = Arc::new(Directory::load(&records).await?);
        let mut members = Members::new(records.clone(), directory.clone(), options.clock.clone());
        if !options.sectors.is_empty() {
            members = members.with_sectors(options.sectors.iter().cloned());
        }
        let key_file = options.data.join("coordinator.key");
        members.bootstrap_keeping(|secret| write_secret(&key_file, format!("{secret}\n").as_bytes())).await?;

        let (national, now) = (NationalTables::new(&options.data, options.national.clone()), options.clock.now());
        let reading = tokio::task::spawn_blocking(move || {
            national.read(now);
            national
        });
        // Before the store opens: a table that an entry of the ledger names may have been lost, and the files may still say the same.
        let national = reading.await.map_err(|error| HubError::Internal(Box::new(error)))?;
        let store_options = store_options(&options.data, options.memory, &keys, &make_days, options.clock.clone(), options.parse_threads);
        let opened = tokio::task::spawn_blocking(move || Store::open(&store_options)).await.map_err(|error| HubError::Internal(Box::new(error)))?;
        let (store, report) = opened.map_err(|error| HubError::Internal(Box::new(error)))?;
        if report.torn_bytes > 0 {
            tracing::warn!(bytes = report.torn_bytes, "an unfinished write at the ledger's end was cut; nothing acknowledged was in it");
        }
        if let Some(damage) = &report.damage {
            tracing::error!(%damage, "the ledger is damaged; reads go on, writes are refused; see bongsu verify");
        }
        let findings = Decisions::load(&records).await?;
        let delivering = DeliveryOptions {
            mailer: options.mail.as_ref().map(Mailer::new).transpose()?.map(|mailer| mailer.in_zone(delivery_zone.clone())),
            zone: delivery_zone,
            holidays: options.holidays.clone(),
            realm_secret: secret,
            end: store.ledger.end(),
            now: options.clock.now(),
            views: store.views.clone(),
        };
        let deliveries = Deliveries::open(&options.data.join("deliveries.sqlite")).await?;
        let delivery = Delivery::open(deliveries, &records, delivering).await?;
        let calling =
            |options: &OutboundOptions| Outbound::new(options).map_err(|error| HubError::Invalid { pointer: "outbound".to_owned(), reason: error.to_string() });
        let (outbound, webhooks) = (calling(&options.outbound)?, calling(&options.outbound.for_webhooks())?);
        let sources = Sources::open(&options.data, &options.sources, &members, store.ledger.end()).await?;
        let abuse = AbuseContacts::load(&records).await?;
        let misp = Misp::open(&options.data).await?;
        let hub = Arc::new(Self {
            workers: Workers::start(options.parse_threads, &keys, &make_days).map_err(internal)?,
            warning_lists: WarningLists::load(options.warning_lists.as_deref()),
            outbound,
            webhooks,
            sources,
            products: Products::open(&options.data, store.ledger.end()),
            misp,
            families: taxii::Families::default(),
            pasts: taxii::Pasts::default(),
            in_flight: Arc::new(Semaphore::new(MAX_IN_FLIGHT / 1024)),
            documents: Arc::new(Semaphore::new(MAX_DOCUMENTS)),
            gathering: Arc::new(Semaphore::new(taxii::MAX_GATHERED / 1024)),
            streams: parking_lot::Mutex::default(),
            paced: tokio::sync::watch::Sender::new(store.views.position()),
            sheets: Sheets::default(),
            quotas: Quotas::default(),
            blocks: Blocks::new(store.clone()),
            findings,
            delivery,
            national,
            resolver: Resolver::new(&options.dns),
            abuse,
            outbox_nudge: Notify::new(),
            erasing: tokio::sync::Mutex::new(()),
            amending: tokio::sync::Mutex::new(()),
            _lock: lock,
            make_days: MakeDays(make_days),
            stopping: tokio::sync::watch::Sender::new(false),
            streams_stopping: tokio::sync::watch::Sender::new(false),
            options,
            store,
            records,
            objects,
            directory,
            members,
        });
        hub.drain_outbox().await?;
        hub.reconcile_disputes().await?;
        hub.resume_erasures().await?;
        hub.start_tasks();
        let reading = Arc::downgrade(&hub);
        drop(tokio::task::spawn_blocking(move || taxii::warm(&reading)));
        delivery::start(&hub);
        tokio::spawn(tell_registrations(Arc::downgrade(&hub)));
        sources::start(&hub);
        tokio::spawn(tell_partners(Arc::downgrade(&hub)));
        tokio::spawn(tell_nation(Arc::downgrade(&hub), hub.stopping.subscribe()));
        Ok(hub)
    }

    /// Whether the views have reached the ledger's end.
    pub fn ready(&self) -> bool {
        self.store.views.position() >= self.store.ledger.end()
    }

    /// Finishes what is under way and makes a checkpoint. Everything acknowledged is durable without it.
    pub async fn close(&self) {
        self.stop_streams();
        self.stopping.send_replace(true);
        if let Err(error) = self.directory.write_last_uses(&self.records).await {
            tracing::warn!(%error, "last uses of keys were not written");
        }
        self.products.save();
        self.store.checkpoint().await;
        self.delivery.close().await;
        self.store.close().await;
        self.objects.close().await;
        self.sources.close().await;
        self.misp.close().await;
        self.records.close().await;
    }

    /// Ends every stream; everything else goes on. Called before the doors wait for requests under way, of which streams would be some.
    pub fn stop_streams(&self) {
        self.streams_stopping.send_replace(true);
    }

    /// Time and randomness.
    pub fn clock(&self) -> &Clock {
        &self.options.clock
    }

    /// Organisations, keys, claims, networks.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Who is who, as of now.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn records(&self) -> &Arc<Records> {
        &self.records
    }

    pub(crate) fn objects(&self) -> &Arc<Objects> {
        &self.objects
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Civil days in the realm's zone.
    pub(crate) fn make_days(&self) -> Box<dyn Days + Send> {
        (self.make_days.0)()
    }

    /// Becomes true when the hub stops.
    pub(crate) fn stopping(&self) -> tokio::sync::watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Becomes true when streams are to end.
    pub(crate) fn streams_stopping(&self) -> tokio::sync::watch::Receiver<bool> {
        self.streams_stopping.subscribe()
    }

    /// Finds the holder of a key.
    ///
    /// # Errors
    /// [`HubError::Unauthenticated`] for any reason.
    pub fn authenticate(&self, secret: &str, peer: IpAddr) -> Result<Actor, HubError> {
        self.directory.authenticate(secret, peer, self.clock().now())
    }

    /// The hub's state; totals for coordinator, authority and auditor only.
    pub fn status(&self, actor: &Actor) -> StatusAnswer {
        let totals = matches!(actor.role, KeyRole::Coordinator | KeyRole::Authority | KeyRole::Auditor);
        // The views' places first: they are behind the ledger's end, never ahead of it.
        let last_before = |end: Seq| Seq(end.0.saturating_sub(1));
        let (applied, owners) = (last_before(self.store.views.position()), last_before(self.store.owners.position()));
        StatusAnswer {
            version: env!("CARGO_PKG_VERSION"),
            realm: self.options.realm.clone(),
            // Positions tell no more than the sequence numbers that every submission is answered with.
            ledger: LedgerStatus { last_seq: last_before(self.store.ledger.end()), events: totals.then(|| self.store.views.events.load(Ordering::Relaxed)) },
            views: BTreeMap::from([("observables", applied), ("tallies", applied), ("seen", applied), ("withdrawn", applied), ("owners", owners)]),
        }
    }

    fn start_tasks(self: &Arc<Self>) {
        tokio::spawn(products::follow(Arc::downgrade(self), self.stopping.subscribe()));
        tokio::spawn(misp::follow(Arc::downgrade(self), self.stopping.subscribe()));
        tokio::spawn(stream::pace(Arc::downgrade(self)));
        let hub = Arc::downgrade(self);
        let mut stopping = self.stopping.subscribe();
        tokio::spawn(async move {
            loop {
                let Some(hub) = hub.upgrade() else { return };
                tokio::select! {
                    _ = stopping.changed() => return,
                    () = hub.outbox_nudge.notified() => {}
                    () = tokio::time::sleep(Duration::from_millis(500)) => {}
                }
                if let Err(error) = hub.drain_outbox().await {
                    tracing::warn!(%error, "the outbox waits");
                }
            }
        });
        let hub = Arc::downgrade(self);
        let mut stopping = self.stopping.subscribe();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = stopping.changed() => return,
                    () = tokio::time::sleep(LAST_USE_EVERY) => {}
                }
                let Some(hub) = hub.upgrade() else { return };
                if let Err(error) = hub.directory.write_last_uses(&hub.records).await {
                    tracing::warn!(%error, "last uses of keys were not written");
                }
            }
        });
        let hub = Arc::downgrade(self);
        let mut stopping = self.stopping.subscribe();
        tokio::spawn(async move {
            loop {
                {
                    let Some(hub) = hub.upgrade() else { return };
                    match hub.judge_standings().await {
                        Ok(0) => {}
                        Ok(changed) => tracing::info!(changed, "standings were decided by rule"),
                        Err(error) => tracing::warn!(%error, "standings were not judged; the next round does"),
                    }
                }
                tokio::select! {
                    _ = stopping.changed() => return,
                    () = tokio::time::sleep(STANDINGS_EVERY) => {}
                }
            }
        });
        let hub = Arc::downgrade(self);
        let mut stopping = self.stopping.subscribe();
        tokio::spawn(async move {
            loop {
                let wait = {
                    let Some(hub) = hub.upgrade() else { return };
                    match hub.expire_events().await {
                        Ok(()) => EXPIRY_EVERY,
                        Err(error) => {
                            tracing::warn!(%error, "not every event past its time has expired; tried again within the hour");
                            EXPIRY_RETRY
                        }
                    }
                };
                tokio::select! {
                    _ = stopping.changed() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        });
    }

    /// Upholds or rejects a claim. When this returns every later answer follows the decision.
    ///
    /// # Errors
    /// As [`Members::decide_claim`].
    pub async fn decide_claim(&self, actor: &Actor, id: ClaimId, upheld: bool, reason: &str) -> Result<ClaimView, HubError> {
        let decided = self.members.decide_claim(actor, id, upheld, reason).await?;
        // The decision stands already; what cannot be carried over now is tried again by the task that does so.
        if let Err(error) = self.drain_outbox().await {
            tracing::warn!(%error, "a decided claim waits in the outbox");
        }
        Ok(decided)
    }

    /// Says decided claims again that the ledger does not have, as after a restore.
    async fn reconcile_disputes(&self) -> Result<(), HubError> {
        for claim in self.records.all::<store::records::Claim>().await? {
            let Some(value) = claim.value.as_ref().filter(|_| claim.state == store::records::ClaimState::Upheld) else { continue };
            let key = self.store.views.keys.observable(claim.kind, value);
            let known = self.store.views.disputed.read().contains(&key);
            if !known {
                self.store.control(store::ledger::Control::Dispute { key: format!("{key:032x}"), upheld: true }).await?;
            }
        }
        Ok(())
    }

    /// Carries what records owe to the ledger into it, in order.
    pub(crate) async fn drain_outbox(&self) -> Result<(), HubError> {
        const PAGE: u32 = 100;
        loop {
            let rows = self.records.outbox_pending(PAGE).await?;
            let Some(last) = rows.last().map(|row| row.id) else { return Ok(()) };
            for row in &rows {
                if let Some(control) = outbox::control_of(row, &self.store.views.keys) {
                    self.store.control(control).await?;
                }
            }
            self.records.outbox_done(last).await?;
        }
    }
}

/// The zone that the realm was made with; a later configuration cannot change it, for days that are counted would shift.
pub(crate) fn realm_zone(data: &Path, configured: &str) -> Result<TimeZone, HubError> {
    let path = data.join("zone");
    let name = match std::fs::read_to_string(&path) {
        Ok(name) => name.trim().to_owned(),
        Err(_) => {
            std::fs::write(&path, format!("{configured}\n")).map_err(|error| HubError::Internal(Box::new(error)))?;
            configured.to_owned()
        }
    };
    if name != configured {
        tracing::warn!(zone = %name, %configured, "the realm keeps the zone it was made with");
    }
    TimeZone::get(&name).map_err(|_| HubError::Invalid { pointer: "zone".to_owned(), reason: format!("{name} is no IANA time zone") })
}

/// The secret under which values are hashed, made on the first start.
pub(crate) fn realm_secret(data: &Path) -> std::io::Result<[u8; 32]> {
    let path = data.join("observable.key");
    if let Ok(bytes) = std::fs::read(&path) {
        return <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "observable.key must have 32 bytes"));
    }
    let mut hasher = blake3::Hasher::new();
    // Two random UUIDs carry 244 bits of the system's randomness.
    hasher.update(uuid::Uuid::new_v4().as_bytes());
    hasher.update(uuid::Uuid::new_v4().as_bytes());
    let secret = *hasher.finalize().as_bytes();
    write_secret(&path, &secret)?;
    Ok(secret)
}

/// Makes the folder where it is not there, for its owner alone: it holds victims' values.
fn make_private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file that only its owner can read, durably.
fn write_secret(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Takes the folder for this process alone.
pub(crate) fn lock(data: &Path) -> Result<std::fs::File, HubError> {
    let busy = || HubError::Invalid { pointer: data.display().to_string(), reason: "another process has this folder open; stop the hub first".to_owned() };
    let file = std::fs::File::create(data.join("lock")).map_err(|error| HubError::Internal(Box::new(error)))?;
    file.try_lock().map_err(|_| busy())?;
    Ok(file)
}

/// How the store of a realm is opened.
pub(crate) fn store_options(
    data: &Path,
    memory: u64,
    keys: &Keys,
    days: &Arc<dyn Fn() -> Box<dyn Days + Send> + Send + Sync>,
    clock: Clock,
    threads: usize,
) -> store::Options {
    store::Options {
        folder: data.to_owned(),
        views_folder: None,
        recent_rows: usize::try_from((memory / 4 / BYTES_PER_RECENT_ROW).clamp(100_000, 4_000_000)).unwrap_or(100_000),
        recent_age: Duration::from_secs(600),
        keys: keys.clone(),
        days: days.clone(),
        now: Arc::new(move || clock.now()),
        threads,
    }
}
