//! Sources: outside feeds that the hub collects by itself, on a schedule.
//!
//! Flow: `schedule` says when → `run` → `collect` asks the source by its kind → `take` reads what came (`read`) → `alarm` judges it → `take` hands
//! the events to intake as the source's organisation → `snapshot` withdraws what vanished → `state` is kept.
//! Invariant: what a collector returns is stored before its new state is: a run that breaks is done again and changes nothing twice. A source
//! is no member: its events are relayed and count for nobody.
//! Not here: connections and the guard against internal addresses (`outbound`), parsing (`formats`).

mod alarm;
pub mod config;
mod doors;
mod read;
mod run;
mod schedule;
mod snapshot;
mod state;
mod take;
// The rooms of the kinds; each has `pub(super) async fn collect(context: &Context<'_>) -> Result<Collected, SourceError>`.
mod fetch;
mod mail;
mod misp_feed;
mod shadowserver;
mod superseded;
mod taxii;

pub use config::{Expect, Kind, SourceOptions};
pub(crate) use schedule::{Sources, start};
pub use state::{Alarm, AlarmKind, RefusedLine, RunResult, RunView, SourceView};

use crate::outbound::{Answer, Ask, Outbound, OutboundError, Verb};
use bytes::Bytes;
use formats::Format;
use model::Timestamp;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Bytes of all bodies of a run at the most, after decompression; a collector that has more to give sets [`Collected::more`].
pub const MAX_BYTES: usize = 256 << 20;
/// Bodies of a run at the most.
pub const MAX_BODIES: usize = 5_000;
/// Bytes of a collector's state as JSON.
pub const MAX_STATE: usize = 4 << 20;
/// Longest time of one request.
pub const MAX_TIME: Duration = Duration::from_secs(120);
/// Redirects that are followed.
const MAX_REDIRECTS: u8 = 5;

/// What a collector is given for a run.
#[derive(Debug)]
pub struct Context<'a> {
    /// The source's configuration, checked.
    pub source: &'a SourceOptions,
    /// The only way outside.
    pub outbound: &'a Outbound,
    /// What the last run that was taken left in [`Collected::state`]; `Null` at first.
    pub state: &'a Value,
    /// When the run began.
    pub now: Timestamp,
}

/// What a collector brings.
#[derive(Debug, Default)]
pub struct Collected {
    /// What is to be taken in, in order. Together [`MAX_BYTES`] and [`MAX_BODIES`] at the most.
    pub bodies: Vec<Body>,
    /// The collector's place, given back to it once these bodies were taken: it is never stored for a run that was held back or failed.
    pub state: Value,
    /// Whether the bodies are the source's whole state (only then a `snapshot` delists what is missing).
    pub whole: bool,
    /// The source says that nothing has changed since the state given; there are no bodies then.
    pub unchanged: bool,
    /// There is more right now: the next run follows at once.
    pub more: bool,
    /// Files to be renamed (from, to) once the bodies were taken, as a mail from `new` to `cur`.
    pub moved: Vec<(PathBuf, PathBuf)>,
    /// Objects of the sender of which earlier versions no longer stand (`superseded::settle` withdraws them once the bodies were taken).
    pub superseded: Vec<Superseded>,
    /// Entries that the collector itself could not read, with the body's name each; told like the refused ones of the bodies.
    pub refused: Vec<(String, formats::Refusal)>,
}

/// An object of the sender of which something else stands now. Its events have the id `object|version`, or name it as their group in
/// `extra.misp.event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// The object's id, or that of the group.
    pub object: String,
    /// Ids of the events that stand; none: it was revoked or deleted. All other events under it are withdrawn.
    pub keep: std::collections::BTreeSet<String>,
}

/// One body.
#[derive(Debug)]
pub struct Body {
    /// Its name, for messages and to tell the format: of a file, a URL's last step.
    pub name: String,
    /// Its format; `None`: told from its beginning and name.
    pub format: Option<Format>,
    /// Its bytes, decompressed.
    pub bytes: Bytes,
    /// Whether it came whole; what broke off never delists.
    pub complete: bool,
    /// Whether its fields have our names already, so that the source's `columns` do not apply.
    pub is_ours: bool,
}

/// Why a run broke. Safe to log and to show: no payload, no secret.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No answer, or a forbidden address.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// An answer that is no success.
    #[error("the server answered {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// Seconds after which it may be asked again, where it says so.
        retry_after: Option<u64>,
    },
    /// What came cannot be understood.
    #[error("{0}")]
    Content(String),
    /// A file, folder or secret cannot be read.
    #[error("{what}: {error}")]
    File {
        /// Which one.
        what: String,
        /// Why.
        error: std::io::Error,
    },
    /// The events were not taken in.
    #[error("not taken in: {0}")]
    Hub(Box<crate::HubError>),
}

impl Body {
    /// A whole body with their field names.
    pub fn new(name: impl Into<String>, format: Option<Format>, bytes: impl Into<Bytes>) -> Self {
        Self { name: name.into(), format, bytes: bytes.into(), complete: true, is_ours: false }
    }
}

impl Context<'_> {
    /// The source's address; an error where it has a path instead.
    ///
    /// # Errors
    /// [`SourceError::Content`].
    pub fn url(&self) -> Result<url::Url, SourceError> {
        let url = self.source.url.as_deref().unwrap_or_default();
        url::Url::parse(url).map_err(|error| SourceError::Content(format!("url: {error}")))
    }

    /// Gets an address with these headers, and with the source's own where it is of the same origin as the source's address: what is secret goes
    /// to nobody else. Answers 2xx and 304; anything else is [`SourceError::Status`].
    ///
    /// # Errors
    /// [`SourceError`] where there is no such answer.
    pub async fn get(&self, url: url::Url, headers: &[(&str, &str)]) -> Result<Answer, SourceError> {
        let mut all: Vec<(String, String)> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        if self.url().is_ok_and(|own| own.origin() == url.origin()) {
            all.extend(fetch::own_headers(self.source)?);
        }
        self.ask(Ask { method: Verb::Get, url, headers: all, body: Vec::new(), max_answer: MAX_BYTES, timeout: MAX_TIME, redirects: MAX_REDIRECTS }).await
    }

    /// Asks as it stands; answers 2xx and 304, anything else is [`SourceError::Status`].
    ///
    /// # Errors
    /// [`SourceError`] where there is no such answer.
    pub async fn ask(&self, ask: Ask) -> Result<Answer, SourceError> {
        let answer = self.outbound.ask(ask).await?;
        if (200..300).contains(&answer.status) || answer.status == 304 {
            return Ok(answer);
        }
        let retry_after = answer.header("retry-after").and_then(|value| value.trim().parse().ok());
        Err(SourceError::Status { status: answer.status, retry_after })
    }
}

/// Asks a source by its kind.
async fn collect(context: &Context<'_>) -> Result<Collected, SourceError> {
    match context.source.kind {
        Kind::List | Kind::Csv | Kind::Json | Kind::Ndjson | Kind::Stix => fetch::collect(context).await,
        Kind::Folder => fetch::folder(context).await,
        Kind::MispFeed => misp_feed::collect(context).await,
        Kind::Taxii => taxii::collect(context).await,
        Kind::Shadowserver => shadowserver::collect(context).await,
        Kind::Mail => mail::collect(context).await,
    }
}
