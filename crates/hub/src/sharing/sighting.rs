//! Sightings: seen, false positive, expired.
//!
//! *Seen* is an own observation and enters as an event; *expired* enters as one that holds no longer than its time and
//! confirms nothing; *false positive* is a claim that goes to the senders and an analyst's queue, anonymous both ways. One claim alone
//! changes nothing.
//! Invariant: a sighting is shown to nobody to whom none of the events that it answers could be.

use super::lookup::reads;
use super::view::View;
use crate::answers::ObservableState;
use crate::intake::Options;
use crate::members::About;
use crate::{Actor, Hub, HubError};
use bytes::Bytes;
use formats::Format;
use model::canonical::canonical;
use model::{Category, KeyRole, ObservableType, Origin, Role, Text, Timestamp, Tlp};
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

/// What a sighting takes over from the events it answers.
struct Limits {
    /// Whom all of them name, where each is for some alone; empty: no narrowing.
    audience: Vec<Text>,
    /// The part the value plays, where it is an attacker's in none.
    role: Option<Role>,
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
                let expired = new.kind == SightingKind::Expired;
                let time = new.time.unwrap_or(now);
                // What holds no longer must not be made to hold until a moment still to come.
                let time = if expired { time.min(now) } else { time };
                let limits = self.sighting_limits(actor, kind, &known.value, known.state == ObservableState::Withdrawn)?;
                let mut observable = serde_json::json!({"type": kind, "value": known.value});
                if let (Some(role), Some(fields)) = (limits.role, observable.as_object_mut()) {
                    fields.insert("role".to_owned(), serde_json::json!(role.as_str()));
                }
                let event = serde_json::json!({
                    "time": time,
                    "category": known.categories.first().copied().unwrap_or(Category::Other),
                    "observables": [observable],
                    // That something is over is no observation of it: it confirms nothing.
                    "origin": if expired { Origin::Relayed } else { Origin::Manual },
                    "tlp": actor.organisation.default_tlp.max(known.tlp),
                    "pap": actor.organisation.default_pap.max(known.pap),
                    "audience": limits.audience,
                    "valid_until": expired.then_some(time),
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

    /// What a sighting must keep, for it tells of nothing that the caller alone was let see.
    fn sighting_limits(&self, actor: &Actor, kind: ObservableType, value: &Text, withdrawn: bool) -> Result<Limits, HubError> {
        let value = canonical(kind, value).map_err(|_| HubError::NotFound)?;
        let views = &self.store().views;
        let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
        let mut audience: Option<Vec<Text>> = None;
        let mut narrowed = true;
        let mut role: Option<Role> = None;
        for row in views.observables.get(views.keys.observable(kind, &value)).map_err(|error| HubError::Internal(Box::new(error)))? {
            let Some(class) = views.class(row.class) else { continue };
            let ids = views.strings.audience(class.audience);
            // Withdrawn events count for nothing unless there are no others.
            if class.withdrawn != withdrawn || !view.class(&class, &ids, &views.strings).sees_event() {
                continue;
            }
            role = match (role, class.role) {
                (Some(Role::Attacker), _) | (_, Role::Attacker) => Some(Role::Attacker),
                (Some(Role::Victim), _) | (_, Role::Victim) => Some(Role::Victim),
                (Some(Role::Bystander) | None, Role::Bystander) => Some(Role::Bystander),
            };
            narrowed &= !ids.is_empty();
            audience = Some(match audience {
                Some(common) => common.into_iter().filter(|id| ids.contains(id)).collect(),
                None => ids,
            });
        }
        let mut audience = audience.filter(|_| narrowed);
        if let Some(audience) = audience.as_mut().filter(|common| common.is_empty()) {
            audience.push(Text::from(actor.organisation.id.to_string()));
        }
        // An attacker's value gets the role that its type and category give it.
        Ok(Limits { audience: audience.unwrap_or_default(), role: role.filter(|role| *role != Role::Attacker) })
    }

    /// Who sent the value, as far as the claimant may see their events.
    fn senders(&self, actor: &Actor, kind: ObservableType, value: &Text) -> Result<About, HubError> {
        let value = canonical(kind, value).map_err(|_| HubError::NotFound)?;
        let views = &self.store().views;
        let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
        let mut about = About { senders: Vec::new(), red: true };
        for row in views.observables.get(views.keys.observable(kind, &value)).map_err(|error| HubError::Internal(Box::new(error)))? {
            let Some(class) = views.class(row.class) else { continue };
            let audience = views.strings.audience(class.audience);
            if view.class(&class, &audience, &views.strings).sees_event() {
                about.red &= class.tlp == Tlp::Red;
                if !about.senders.contains(&class.reporter) {
                    about.senders.push(class.reporter);
                }
            }
        }
        Ok(about)
    }
}
