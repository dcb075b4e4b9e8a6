//! Sightings: seen, false positive, expired.
//!
//! *Seen* is an own observation and enters as an event; *expired* enters as one that holds no longer than its time; *false positive* is a
//! claim that goes to the senders and an analyst's queue, anonymous both ways. One claim alone changes nothing.

use super::lookup::reads;
use super::view::View;
use crate::intake::Options;
use crate::members::About;
use crate::{Actor, Hub, HubError};
use bytes::Bytes;
use formats::Format;
use model::canonical::canonical;
use model::{Category, KeyRole, ObservableType, Text, Timestamp, Tlp};
use std::sync::Arc;
use std::time::Duration;

/// Within which a claim is to be decided.
const CLAIM_CLOCK: Duration = Duration::from_secs(72 * 3600);

/// What a sighting says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SightingKind {
    /// I saw it too.
    Seen,
    /// It is benign.
    FalsePositive,
    /// It no longer holds.
    Expired,
}

/// A sighting about to be made.
#[derive(Debug, Clone)]
pub struct NewSighting {
    /// What it says.
    pub kind: SightingKind,
    /// When; now by default.
    pub time: Option<Timestamp>,
    /// The member's words.
    pub note: Option<String>,
}

impl Hub {
    /// Takes a sighting of a value that the caller may know of.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where the caller knows nothing of the value, [`HubError::Forbidden`] for roles that only read or only submit.
    pub async fn sighting(self: &Arc<Self>, actor: &Actor, kind: ObservableType, value: &str, new: NewSighting) -> Result<serde_json::Value, HubError> {
        reads(actor)?;
        if actor.role == KeyRole::Reader {
            return Err(HubError::Forbidden("this role does not submit sightings"));
        }
        let known = self.observable(actor, kind, value)?;
        let now = self.clock().now();
        match new.kind {
            SightingKind::FalsePositive => {
                let about = self.senders(actor, kind, &known.value)?;
                let claim = self.members().open_claim_about(actor, kind, &known.value, new.note.as_deref(), now.plus(CLAIM_CLOCK), about).await?;
                serde_json::to_value(claim).map_err(|error| HubError::Internal(Box::new(error)))
            }
            SightingKind::Seen | SightingKind::Expired => {
                let time = new.time.unwrap_or(now);
                let event = serde_json::json!({
                    "time": time,
                    "category": known.categories.first().copied().unwrap_or(Category::Other),
                    "observables": [{"type": kind, "value": known.value}],
                    "origin": "manual",
                    "valid_until": (new.kind == SightingKind::Expired).then_some(time),
                    "note": new.note,
                });
                let options = Options { format: Some(Format::Ndjson), ..Options::default() };
                let mut session = self.intake(actor, options)?;
                session.push(Bytes::from(event.to_string())).await?;
                let outcome = session.finish().await?;
                serde_json::to_value(outcome).map_err(|error| HubError::Internal(Box::new(error)))
            }
        }
    }

    /// Who sent the value, as far as the claimant may see their events.
    fn senders(&self, actor: &Actor, kind: ObservableType, value: &Text) -> Result<About, HubError> {
        let value = canonical(kind, value).map_err(|_| HubError::NotFound)?;
        let views = &self.store().views;
        let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
        let mut about = About { senders: Vec::new(), red: true };
        for row in views.observables.get(views.keys.observable(kind, &value)).map_err(|error| HubError::Internal(Box::new(error)))? {
            let Some(class) = views.class(row.class) else { continue };
            let audience: Vec<Text> =
                views.strings.read().get(class.audience).map_or_else(Vec::new, |joined| joined.split(store::views::prepare::JOIN).map(Text::from).collect());
            if view.class(&class, &audience).sees_event() {
                about.red &= class.tlp == Tlp::Red;
                if !about.senders.contains(&class.reporter) {
                    about.senders.push(class.reporter);
                }
            }
        }
        Ok(about)
    }
}
