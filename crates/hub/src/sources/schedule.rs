//! When sources run: each on its own rhythm, a little scattered, later after it broke.
//!
//! Flow: [`Sources::open`] makes each source's organisation and reads what is remembered of it → [`start`] follows each → `run`.
//! Invariant: what is due when the hub starts runs soon after, not all at once; a source that breaks is asked less and less often, and at the
//! latest after [`LONGEST_WAIT`] or its own rhythm.
//! Not here: the run (`run`).

use super::alarm;
use super::config::SourceOptions;
use super::run::{Meant, run};
use super::state::{Alarm, AlarmKind, RunResult, RunView, Saved};
use crate::members::Members;
use crate::{Hub, HubError};
use model::{OrgId, Seq, Timestamp};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

/// The file below the data folder.
const FILE: &str = "sources.sqlite";
/// Runs at the same time.
const AT_ONCE: usize = 2;
/// Runs that follow each other where a source says that it has more.
const ROUNDS: usize = 100;
/// How often the clock is looked at: it may be put on, and silence is no event.
const LOOK: Duration = Duration::from_secs(30);
/// The first wait after a run broke; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait after a run broke, where the source's own rhythm is not longer.
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3_600);
/// The longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(86_400);
/// What is due at the start is scattered over this time.
const SCATTER: Duration = Duration::from_secs(60);

/// The sources of a hub.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(super) file: store::sources::Sources,
    pub(super) list: Vec<Arc<Source>>,
    pub(super) turns: Semaphore,
}

/// A source with what is remembered of it.
#[derive(Debug)]
pub(super) struct Source {
    pub options: Arc<SourceOptions>,
    /// Whose events its entries are.
    pub organisation: OrgId,
    /// One run at a time.
    pub turn: tokio::sync::Mutex<()>,
    pub saved: Mutex<Saved>,
    /// The last dry run.
    pub tried: Mutex<Option<RunView>>,
}

impl Sources {
    /// Opens the file in the data folder and makes the organisations of the sources. `end` is where the ledger ends.
    ///
    /// # Errors
    /// [`HubError`] where the file or the records cannot be read or written.
    pub(crate) async fn open(data: &Path, options: &[SourceOptions], members: &Members, end: Seq) -> Result<Self, HubError> {
        let file = store::sources::Sources::open(&data.join(FILE)).await?;
        let forgotten = file.forget_from(end).await?;
        if forgotten > 0 {
            tracing::warn!(forgotten, "entries of sources lay behind the ledger's end, as after a restore; they are reported again");
        }
        let mut states = file.states().await?;
        let mut list = Vec::with_capacity(options.len());
        for source in options {
            let organisation = match source.partner {
                Some(partner) => partner,
                None => members.ensure_source(&source.name, source.redistribute).await?.id,
            };
            let mut saved: Saved = match states.remove(&source.name) {
                Some(state) => serde_json::from_str(&state).unwrap_or_else(|error| {
                    // Its entries are reported again, which merges.
                    tracing::error!(source = source.name, line = error.line(), "what is remembered of a source cannot be read");
                    Saved::default()
                }),
                None => Saved::default(),
            };
            saved.taking = saved.taking.filter(|taking| *taking < end);
            list.push(Arc::new(Source {
                options: Arc::new(source.clone()),
                organisation,
                turn: tokio::sync::Mutex::default(),
                saved: Mutex::new(saved),
                tried: Mutex::default(),
            }));
        }
        Ok(Self { file, list, turns: Semaphore::new(AT_ONCE) })
    }

    /// The source of a name.
    pub(super) fn named(&self, name: &str) -> Option<&Arc<Source>> {
        self.list.iter().find(|source| source.options.name == name)
    }

    /// Takes a value out of what is told of runs; the samples of dry runs go all.
    pub(crate) async fn erase(&self, victim: &store::ledger::Victim) -> Result<(), HubError> {
        self.list.iter().for_each(|source| *source.tried.lock() = None);
        self.file.erase(victim).await?;
        Ok(())
    }

    /// Closes the file; later runs fail.
    pub(crate) async fn close(&self) {
        self.file.close().await;
    }
}

/// Begins to follow every source that runs by itself.
pub(crate) fn start(hub: &Arc<Hub>) {
    for source in hub.sources.list.iter().filter(|source| source.options.enabled) {
        tokio::spawn(follow(Arc::downgrade(hub), source.clone(), hub.stopping()));
    }
}

async fn follow(hub: Weak<Hub>, source: Arc<Source>, mut stopping: watch::Receiver<bool>) {
    let scatter = SCATTER.min(source.options.every / 10);
    let scattered = scatter.mul_f64(f64::from(Uuid::new_v4().as_u128() as u16) / f64::from(u16::MAX));
    let mut wait = scattered;
    loop {
        tokio::select! {
            _ = stopping.changed() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let Some(hub) = hub.upgrade() else { return };
        let now = hub.clock().now();
        let is_due = source.saved.lock().next.is_none_or(|next| now >= next);
        if is_due {
            // A run that is cut short here is taken up by the next start.
            tokio::select! {
                _ = stopping.changed() => return,
                () = rounds(&hub, &source) => {}
            }
        }
        source.listen(hub.clock().now());
        let next = source.saved.lock().next;
        let left = next.map_or(0, |next| next.micros().saturating_sub(hub.clock().now().micros()).max(0) as u64);
        wait = Duration::from_micros(left).clamp(Duration::from_millis(100), LOOK);
    }
}

async fn rounds(hub: &Arc<Hub>, source: &Arc<Source>) {
    for _ in 0..ROUNDS {
        match run(hub, source, Meant::default()).await {
            Ok((view, true)) if view.result != RunResult::Failed => {}
            Ok(_) => return,
            Err(error) => {
                tracing::error!(source = source.options.name, %error, "a source's run cannot be written down");
                let now = hub.clock().now();
                source.saved.lock().next = Some(now.plus(FIRST_WAIT));
                return;
            }
        }
    }
}

impl Source {
    /// Raises and ends the alarm of silence.
    pub(super) fn listen(&self, now: Timestamp) {
        let mut saved = self.saved.lock();
        let silent = alarm::silent(&saved, &self.options.expect, now);
        let raised: BTreeMap<AlarmKind, String> = silent.into_iter().map(|text| (AlarmKind::Silent, text)).collect();
        self.settle_alarms(&mut saved, &raised, &[AlarmKind::Silent], now);
    }

    /// Raises alarms, and ends those of `over` that are not among them; told once each.
    pub(super) fn settle_alarms(&self, saved: &mut Saved, raised: &BTreeMap<AlarmKind, String>, over: &[AlarmKind], now: Timestamp) {
        let name = &self.options.name;
        for kind in over.iter().filter(|kind| !raised.contains_key(kind)) {
            if saved.alarms.remove(kind).is_some() {
                tracing::info!(source = name, alarm = kind.name(), "an alarm of a source is over");
            }
        }
        for (kind, text) in raised {
            match saved.alarms.get_mut(kind) {
                Some(alarm) => alarm.text.clone_from(text),
                None => {
                    tracing::warn!(source = name, alarm = kind.name(), "a source needs a look: {text}");
                    saved.alarms.insert(*kind, Alarm { since: now, text: text.clone() });
                }
            }
        }
        for kind in AlarmKind::ALL {
            let stands = if saved.alarms.contains_key(kind) { 1.0 } else { 0.0 };
            metrics::gauge!("bongsu_source_alarm", "source" => name.clone(), "alarm" => kind.name()).set(stands);
        }
    }

    /// Tells of a run in log and counters.
    pub(super) fn report(&self, view: &RunView) {
        let name = &self.options.name;
        metrics::counter!("bongsu_source_runs_total", "source" => name.clone(), "result" => view.result.name()).increment(1);
        metrics::counter!("bongsu_source_entries_total", "source" => name.clone(), "result" => "taken").increment(view.taken);
        metrics::counter!("bongsu_source_entries_total", "source" => name.clone(), "result" => "refused").increment(view.refused);
        metrics::counter!("bongsu_source_entries_total", "source" => name.clone(), "result" => "delisted").increment(view.delisted);
        match &view.error {
            Some(error) => tracing::warn!(source = name, %error, "a source's run broke"),
            None => {
                metrics::gauge!("bongsu_source_last_success_timestamp_seconds", "source" => name.clone()).set(view.ended.seconds() as f64);
                let RunView { entries, taken, merged, refused, delisted, .. } = view;
                tracing::info!(source = name, result = view.result.name(), entries, taken, merged, refused, delisted, "a source was collected");
            }
        }
    }
}

/// When a source runs next: after its own rhythm and a tenth of it at the most, or after it broke later and later.
pub(super) fn next_run(options: &SourceOptions, now: Timestamp, failures: u32, asked: Option<Duration>, jitter: u64) -> Timestamp {
    let wait = match failures {
        0 => options.every,
        failures => {
            let doubled = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16));
            let longest = LONGEST_WAIT.max(options.every);
            // Never more often than when all is well.
            doubled.clamp(FIRST_WAIT.min(longest), longest).max(options.every.min(FIRST_WAIT))
        }
    };
    let wait = wait.max(asked.unwrap_or_default().min(LONGEST_ASKED));
    let scatter = wait / 10;
    now.plus(wait).plus(scatter.mul_f64((jitter % 1_000) as f64 / 1_000.0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn source(every: &str) -> SourceOptions {
        serde_json::from_str(&format!(r#"{{"name":"s","kind":"list","url":"https://feed.example/","every":"{every}"}}"#)).unwrap()
    }

    fn wait(every: &str, failures: u32, asked: Option<u64>, jitter: u64) -> u64 {
        let next = next_run(&source(every), Timestamp::from_seconds(0), failures, asked.map(Duration::from_secs), jitter);
        next.seconds() as u64
    }

    #[test]
    fn a_source_runs_on_its_rhythm_a_little_scattered() {
        assert_eq!(wait("1h", 0, None, 0), 3_600);
        assert_eq!(wait("1h", 0, None, 500), 3_780);
        assert!((3_600..3_960).contains(&wait("1h", 0, None, u64::MAX)));
    }

    #[test]
    fn what_broke_is_asked_later_and_later_and_as_its_server_asks() {
        let waits: Vec<u64> = (1..=5).map(|failures| wait("1h", failures, None, 0)).collect();
        assert_eq!(waits, [60, 120, 240, 480, 960]);
        assert_eq!(wait("1h", u32::MAX, None, 0), 6 * 3_600);
        assert_eq!(wait("2d", u32::MAX, None, 0), 2 * 86_400);
        assert_eq!(wait("1h", 1, Some(1_800), 0), 1_800);
        assert_eq!(wait("1h", 0, Some(u64::MAX), 0), 86_400);
    }
}
