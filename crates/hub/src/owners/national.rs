//! The nation's address space: read from the registries' tables, told to the ledger, so that what nobody registered is told to somebody.
//!
//! Flow: [`NationalTables::read`] before the store opens and whenever a file changes → a table of its own beside the ledger → [`tell_nation`] writes a
//! control entry where the table, the providers or the authorities are others than the ledger was told last.
//! Invariant: a table is durable before an entry names it. A file that cannot be used changes nothing: what held before holds on, and the
//! coordinator sees why.
//! Not here: the files' shapes (`formats::delegated`), who is told of one value (`store::views::owners`), fetching the files: a task of the system's
//! puts them in place.

use crate::{Actor, Hub, HubError};
use formats::delegated;
use ipnet::IpNet;
use model::{Constituency, KeyRole, OrgId, OrgKind, OrgNo, Organisation, Standing, Text, Timestamp};
use parking_lot::RwLock;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};
use store::ledger::{Control, Nation};
use store::views::owners::FOLDER;
use store::views::owners::national::{self, NationalParts, NationalSize};

/// How often it is looked whether a file, or who stands for whom, is another.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Bytes of a file at the most.
const MAX_FILE: u64 = 512 << 20;
/// Access providers that are named at the most.
pub const MAX_PROVIDERS: usize = 10_000;

/// What belongs to a line of authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NationalPlace {
    /// A range of addresses.
    Range(IpNet),
    /// An AS number.
    Asn(u32),
}

/// Where the nation's address space is told, and who stands for what nobody registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NationalOptions {
    /// Two-letter code of the country.
    pub country: String,
    /// Files of the registries, in their format "delegated-extended".
    pub delegated: Vec<PathBuf>,
    /// Ranges that are the nation's beside those.
    pub prefixes: Vec<IpNet>,
    /// AS numbers that are the nation's beside those, from the first to the last.
    pub asns: Vec<(u32, u32)>,
    /// File of prefixes with the AS numbers that announce them.
    pub routes: Option<PathBuf>,
    /// Which organisation is the access provider of an AS number.
    pub providers: BTreeMap<u32, OrgId>,
    /// The competent authority of a line, where it is not the first organisation of that kind and line.
    pub authorities: BTreeMap<Constituency, OrgId>,
    /// The line that places belong to; `private` where nothing is said.
    pub constituencies: Vec<(NationalPlace, Constituency)>,
}

/// Length and time of change of each file.
type Stamps = Vec<Option<(u64, Option<SystemTime>)>>;

/// What was read.
#[derive(Debug, Clone, Default)]
struct State {
    /// As the files were when they were read last, whatever came of it.
    stamps: Stamps,
    table: Option<Text>,
    size: NationalSize,
    read: Option<Timestamp>,
    /// Why the files cannot be used.
    problem: Option<String>,
    /// Rows that were passed over.
    unreadable: u64,
}

/// The tables of the nation.
#[derive(Debug)]
pub(crate) struct NationalTables {
    options: Option<NationalOptions>,
    folder: PathBuf,
    state: RwLock<State>,
}

/// What the hub knows of the nation's address space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NationalView {
    /// Whether the configuration names a nation.
    pub configured: bool,
    /// Whether findings are made with a table now.
    pub active: bool,
    /// The country.
    pub country: Option<String>,
    /// Name of the table that the ledger was told last.
    pub table: Option<Text>,
    /// When the files were read last, with or without success.
    pub read: Option<Timestamp>,
    /// Why the files cannot be used; what held before holds on.
    pub problem: Option<String>,
    /// Rows of the files that could not be read and were passed over.
    pub unreadable: u64,
    /// How much the files hold that were read last with success.
    pub size: NationalSize,
    /// Who is the access provider of which AS number.
    pub providers: Vec<NationalProvider>,
    /// Who is told otherwise, by line.
    pub authorities: BTreeMap<&'static str, OrgId>,
}

/// An access provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NationalProvider {
    /// The AS number.
    pub asn: u32,
    /// The organisation.
    pub organisation: OrgId,
}

impl NationalTables {
    /// The tables of a realm in `data`; nothing is read yet.
    pub(crate) fn new(data: &Path, options: Option<NationalOptions>) -> Self {
        Self { options, folder: data.join(FOLDER), state: RwLock::default() }
    }

    /// Reads every file and keeps what they say as a table. Blocks for as long as that takes.
    pub(crate) fn read(&self, now: Timestamp) {
        let Some(options) = &self.options else { return };
        let stamps = options.stamps();
        let read = options.parts().and_then(|(parts, unreadable)| {
            let kept = national::keep(&self.folder, &parts).map_err(|error| format!("the table cannot be written: {error}"))?;
            Ok((kept, unreadable))
        });
        let mut state = self.state.write();
        (state.stamps, state.read) = (stamps, Some(now));
        match read {
            Ok(((table, size), unreadable)) => {
                if unreadable > 0 {
                    tracing::warn!(unreadable, "rows of the tables of the nation's addresses were passed over");
                }
                tracing::info!(%table, addresses = size.ipv4_addresses, routes = size.routes, "the nation's addresses were read");
                (state.table, state.size, state.unreadable, state.problem) = (Some(table), size, unreadable, None);
            }
            Err(problem) => {
                tracing::error!(%problem, "the nation's addresses cannot be read anew; what held before holds on");
                state.problem = Some(problem);
            }
        }
    }

    /// Whether a file is another than it was when it was read, and the same as at the look before, so that none is read half written.
    fn is_due(&self, before: &mut Stamps) -> bool {
        let Some(options) = &self.options else { return false };
        let now = options.stamps();
        let settled = *before == now;
        let due = settled && self.state.read().stamps != now;
        *before = now;
        due
    }
}

impl NationalOptions {
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.delegated.iter().chain(&self.routes)
    }

    fn stamps(&self) -> Stamps {
        self.files().map(|path| path.metadata().ok().map(|facts| (facts.len(), facts.modified().ok()))).collect()
    }

    /// What the files and the configuration say, and how many rows were passed over.
    fn parts(&self) -> Result<(NationalParts, u64), String> {
        let mut parts = NationalParts::default();
        let mut unreadable = 0;
        let told = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        for path in &self.delegated {
            let found = delegated::delegated(&bounded(path)?, &self.country).map_err(|error| told(path, &error))?;
            parts.spans.extend(found.spans);
            parts.asns.extend(found.asns);
            unreadable += found.unreadable;
        }
        if !self.delegated.is_empty() && parts.spans.is_empty() && parts.asns.is_empty() {
            return Err(format!("the files hold nothing of {}", self.country));
        }
        parts.spans.extend(self.prefixes.iter().map(|range| match range {
            IpNet::V4(range) => (IpAddr::V4(range.network()), IpAddr::V4(range.broadcast())),
            IpNet::V6(range) => (IpAddr::V6(range.network()), IpAddr::V6(range.broadcast())),
        }));
        parts.asns.extend(&self.asns);
        if let Some(path) = &self.routes {
            let routes = &mut parts.routes;
            unreadable += delegated::routes(&bounded(path)?, |address, length, asn| routes.push((address, length, asn))).map_err(|error| told(path, &error))?;
        }
        for (place, line) in &self.constituencies {
            match place {
                NationalPlace::Range(range) => parts.lines.push((*range, *line)),
                NationalPlace::Asn(asn) => parts.asn_lines.push((*asn, *line)),
            }
        }
        Ok((parts, unreadable))
    }
}

/// A file's bytes, up to [`MAX_FILE`] of them.
fn bounded(path: &Path) -> Result<Vec<u8>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(told)?;
    if bytes.len() as u64 > MAX_FILE { Err(format!("{}: larger than {MAX_FILE} bytes", path.display())) } else { Ok(bytes) }
}

/// Tells the ledger what the nation is, whenever that is something else; until the hub stops.
pub(crate) async fn tell_nation(hub: Weak<Hub>, mut stopping: tokio::sync::watch::Receiver<bool>) {
    let Some(end) = hub.upgrade().map(|hub| hub.store().ledger.end()) else { return };
    let mut seen = Stamps::new();
    // What the ledger was told last, known once the view has read all of it.
    let (mut caught_up, mut told): (bool, Option<Nation>) = (false, None);
    loop {
        {
            let Some(hub) = hub.upgrade() else { return };
            if !caught_up && hub.store().owners.position() >= end {
                caught_up = true;
                told = hub.store().owners.nation();
                hub.tidy_tables();
            }
            if caught_up {
                hub.read_where_due(&mut seen).await;
                let wanted = hub.wanted_nation(told.as_ref());
                if wanted != told {
                    match hub.store().control(Control::National { nation: wanted.clone(), at: hub.clock().now() }).await {
                        Ok(_) => told = wanted,
                        Err(error) => tracing::warn!(%error, "the ledger was not told of the nation's addresses; tried again"),
                    }
                }
            }
        }
        tokio::select! {
            _ = stopping.changed() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

impl Hub {
    async fn read_where_due(self: &Arc<Self>, seen: &mut Stamps) {
        if self.national.is_due(seen) {
            let (hub, now) = (Arc::clone(self), self.clock().now());
            if tokio::task::spawn_blocking(move || hub.national.read(now)).await.is_err() {
                tracing::error!("reading the nation's addresses broke off");
            }
        }
    }

    /// Takes away the tables that nothing can be made anew with.
    fn tidy_tables(&self) {
        let mut wanted = self.store().owners.tables();
        wanted.extend(self.national.state.read().table.clone());
        let gone = national::tidy_away(&self.national.folder, &wanted);
        if gone > 0 {
            tracing::info!(gone, "old tables of the nation's addresses were taken away");
        }
    }

    /// What the ledger should know by configuration, files and directory; without a table that could be read, the one that it was told of.
    fn wanted_nation(&self, told: Option<&Nation>) -> Option<Nation> {
        let options = self.national.options.as_ref()?;
        let table = self.national.state.read().table.clone().or_else(|| told.map(|told| told.table.clone()))?;
        let directory = self.directory().snapshot();
        let number =
            |id: &OrgId| directory.by_id(*id).filter(|organisation| organisation.standing != Standing::Revoked).map(|organisation| organisation.number);
        let stands_for = |organisation: &Organisation, line| {
            organisation.kind == OrgKind::Authority && organisation.constituency == Some(line) && organisation.standing != Standing::Revoked
        };
        let first_of = |line| directory.organisations().find(|organisation| stands_for(organisation, line)).map(|organisation| organisation.number);
        let authority = |line: Constituency| options.authorities.get(&line).and_then(number).or_else(|| first_of(line));
        let otherwise = authority(Constituency::Private).unwrap_or(OrgNo::HUB);
        Some(Nation {
            table,
            providers: options.providers.iter().filter_map(|(asn, id)| Some((*asn, number(id)?))).collect(),
            authorities: Constituency::ALL.iter().map(|line| (*line, authority(*line).unwrap_or(otherwise))).collect(),
        })
    }

    /// What the hub knows of the nation's address space, and who stands for what nobody registered.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for anybody but the coordinator, authorities and auditors.
    pub fn national(&self, actor: &Actor) -> Result<NationalView, HubError> {
        if !matches!(actor.role, KeyRole::Coordinator | KeyRole::Authority | KeyRole::Auditor) {
            return Err(HubError::Forbidden("only the coordinator, authorities and auditors see this"));
        }
        let directory = self.directory().snapshot();
        let nation = self.store().owners.nation();
        let id = |number: OrgNo| directory.organisation(number).map(|organisation| organisation.id);
        let state = self.national.state.read().clone();
        Ok(NationalView {
            configured: self.national.options.is_some(),
            active: self.store().owners.has_table(),
            country: self.national.options.as_ref().map(|options| options.country.clone()),
            table: nation.as_ref().map(|nation| nation.table.clone()),
            read: state.read,
            problem: state.problem,
            unreadable: state.unreadable,
            size: state.size,
            providers: nation
                .iter()
                .flat_map(|nation| &nation.providers)
                .filter_map(|(asn, number)| Some(NationalProvider { asn: *asn, organisation: id(*number)? }))
                .collect(),
            authorities: nation.iter().flat_map(|nation| &nation.authorities).filter_map(|(line, number)| Some((line.as_str(), id(*number)?))).collect(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    const ROWS: &str = "2.3|apnic|20260101|2|19850701|20251231|+1000\napnic|KR|ipv4|1.11.0.0|65536|x|allocated|A\napnic|KR|asn|4766|1|x|allocated|A\n";

    fn options(folder: &Path) -> NationalOptions {
        let (delegated, routes) = (vec![folder.join("delegated")], Some(folder.join("routes")));
        NationalOptions { country: "KR".to_owned(), delegated, routes, ..NationalOptions::default() }
    }

    #[test]
    fn files_that_cannot_be_used_change_nothing_and_say_why() {
        let folder = tempfile::tempdir().unwrap();
        let tables = NationalTables::new(&folder.path().join("data"), Some(options(folder.path())));
        let read = |delegated: &str, routes: &str| {
            std::fs::write(folder.path().join("delegated"), delegated).unwrap();
            std::fs::write(folder.path().join("routes"), routes).unwrap();
            tables.read(Timestamp::from_seconds(7));
            let state = tables.state.read().clone();
            (state.table, state.size.routes, state.problem)
        };
        let (first, routes, problem) = read(ROWS, "1.11.0.0/16,9318\n8.8.8.0/24,15169\n");
        assert_eq!((first.is_some(), routes, problem), (true, 1, None));
        let (cut, foreign) = (ROWS.replace("|2|1985", "|200|1985"), ROWS.replace("KR", "JP"));
        for (delegated, routes) in [("<html>", "1.11.0.0/16,9318"), (cut.as_str(), "1.11.0.0/16,9318"), (ROWS, "nothing"), (foreign.as_str(), "")] {
            let (table, _, problem) = read(delegated, routes);
            assert_eq!(table, first);
            assert!(problem.is_some());
        }
        let (second, _, problem) = read(&ROWS.replace("65536", "131072"), "1.11.0.0/16,9318\n");
        assert!(second.is_some() && second != first && problem.is_none());
        std::fs::remove_file(folder.path().join("routes")).unwrap();
        tables.read(Timestamp::from_seconds(8));
        assert!(tables.state.read().problem.as_ref().unwrap().contains("routes"));
    }

    #[test]
    fn a_file_is_read_again_once_it_is_another_and_stands_still() {
        let folder = tempfile::tempdir().unwrap();
        let tables = NationalTables::new(&folder.path().join("data"), Some(options(folder.path())));
        std::fs::write(folder.path().join("delegated"), ROWS).unwrap();
        std::fs::write(folder.path().join("routes"), "1.11.0.0/16,9318\n").unwrap();
        tables.read(Timestamp::from_seconds(7));
        let mut seen = Stamps::new();
        assert!(!tables.is_due(&mut seen) && !tables.is_due(&mut seen));
        std::fs::write(folder.path().join("routes"), "1.11.0.0/16,9318\n1.11.7.0/24,64500\n").unwrap();
        assert!(!tables.is_due(&mut seen), "it may still be being written");
        assert!(tables.is_due(&mut seen));
        tables.read(Timestamp::from_seconds(8));
        assert!(!tables.is_due(&mut seen));
        assert!(!NationalTables::new(folder.path(), None).is_due(&mut seen));
    }
}
