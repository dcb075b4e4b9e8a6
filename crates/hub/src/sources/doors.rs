//! What people see and do of sources: the list, one with its runs, a run now, and accepting what was held back.
//!
//! Invariant: coordinator, authorities and auditors see them; the coordinator alone runs and accepts. No answer holds a secret or a query.
//! Not here: HTTP (`web`).

use super::config::SourceOptions;
use super::run::{Meant, run};
use super::schedule::Source;
use super::state::{RunView, SourceView};
use crate::{Actor, Hub, HubError};
use model::{KeyRole, Pap, Tlp};
use std::sync::Arc;

/// Runs of one source that are told.
const RUNS: u32 = 50;

impl Hub {
    /// Every source, in the order of the configuration.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for members.
    pub async fn list_sources(&self, actor: &Actor) -> Result<Vec<SourceView>, HubError> {
        may_see(actor)?;
        let listed = self.sources.file.listed().await?;
        Ok(self.sources.list.iter().map(|source| self.source_view(source, listed.get(&source.options.name).copied().unwrap_or(0))).collect())
    }

    /// One source with its last runs.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for members, [`HubError::NotFound`] for a name that none has.
    pub async fn show_source(&self, actor: &Actor, name: &str) -> Result<SourceView, HubError> {
        may_see(actor)?;
        let source = self.sources.named(name).ok_or(HubError::NotFound)?;
        let listed = self.sources.file.listed().await?;
        let runs = self.sources.file.runs(name, RUNS).await?;
        let runs = runs.iter().filter_map(|run| serde_json::from_str(run).ok()).collect();
        let tried = source.tried.lock().clone();
        Ok(SourceView { runs: Some(runs), tried, ..self.source_view(source, listed.get(name).copied().unwrap_or(0)) })
    }

    /// Runs a source now, enabled or not. A run that breaks is an answer too.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for all but the coordinator, [`HubError::NotFound`] for a name that none has.
    pub async fn run_source(self: &Arc<Self>, actor: &Actor, name: &str, dry_run: bool) -> Result<RunView, HubError> {
        let source = self.source_to_run(actor, name)?;
        tracing::info!(source = name, key = %actor.key, dry_run, "a source is run by hand");
        Ok(run(self, &source, Meant { dry_run, accepted: None }).await?.0)
    }

    /// Accepts what was held back: the source is run again, and about as many entries as were held back are believed; anything else is judged anew.
    /// With `entries` only a run of so many is accepted, the one that whoever accepts has looked at.
    ///
    /// # Errors
    /// As [`Hub::run_source`]; [`HubError::IllegalStep`] where nothing was held back, [`HubError::Invalid`] where that is another number.
    pub async fn accept_source(self: &Arc<Self>, actor: &Actor, name: &str, entries: Option<u64>) -> Result<RunView, HubError> {
        let source = self.source_to_run(actor, name)?;
        // Taken now: a run that is under way may hold something else back before this one has its turn.
        let Some(held) = source.saved.lock().held else {
            return Err(HubError::IllegalStep { step: "accept".to_owned(), legal: "run".to_owned() });
        };
        if entries.is_some_and(|entries| entries != held) {
            return Err(HubError::Invalid { pointer: "/entries".to_owned(), reason: format!("{held} entries are held back now") });
        }
        tracing::info!(source = name, key = %actor.key, entries = held, "what was held back of a source is accepted");
        Ok(run(self, &source, Meant { dry_run: false, accepted: Some(held) }).await?.0)
    }

    fn source_to_run(&self, actor: &Actor, name: &str) -> Result<Arc<Source>, HubError> {
        may_see(actor)?;
        if !actor.is_coordinator() {
            return Err(HubError::Forbidden("only the coordinator runs sources"));
        }
        self.sources.named(name).cloned().ok_or(HubError::NotFound)
    }

    fn source_view(&self, source: &Source, listed: u64) -> SourceView {
        let options = &source.options;
        let organisation = self.directory().by_id(source.organisation);
        // Silence is no event that somebody would tell.
        source.listen(self.clock().now());
        let saved = source.saved.lock();
        SourceView {
            name: options.name.clone(),
            kind: options.kind.name(),
            place: place_of(options),
            enabled: options.enabled,
            every: options.every.as_secs(),
            tlp: options.tlp.unwrap_or(organisation.as_ref().map_or(Tlp::Amber, |organisation| organisation.default_tlp)),
            pap: options.pap.unwrap_or(organisation.as_ref().map_or(Pap::Green, |organisation| organisation.default_pap)),
            organisation: organisation.map(|organisation| organisation.id),
            partner: options.partner.is_some(),
            redistribute: options.partner.is_none().then_some(options.redistribute),
            snapshot: options.snapshot,
            listed,
            held: saved.held.is_some(),
            held_entries: saved.held,
            last_run: saved.last_run,
            last_success: saved.last_success,
            last_new: saved.last_new,
            next_run: saved.next.filter(|_| options.enabled),
            running: source.turn.try_lock().is_err(),
            failures: saved.failures,
            alarms: saved.alarms.clone(),
            runs: None,
            tried: None,
        }
    }
}

fn may_see(actor: &Actor) -> Result<(), HubError> {
    match actor.role {
        KeyRole::Coordinator | KeyRole::Authority | KeyRole::Auditor => Ok(()),
        KeyRole::MemberAdmin | KeyRole::Analyst | KeyRole::Reporter | KeyRole::Reader => {
            Err(HubError::Forbidden("sources are shown to the coordinator, authorities and auditors"))
        }
    }
}

/// Where a source is, without what may be a key.
fn place_of(options: &SourceOptions) -> String {
    if let Some(path) = &options.path {
        return path.display().to_string();
    }
    let Some(mut url) = options.url.as_deref().and_then(|url| url::Url::parse(url).ok()) else { return String::new() };
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}
