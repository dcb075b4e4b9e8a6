//! Reports of contributed events one by one: read, added, changed, deleted, brought back.
//!
//! Flow: a name → the event that the report is in → its own fields, where all of its reports stand.
//! Invariant: a report is seen by who sees its event, or fewer where it says so; it is its event's contributor's to change, and a change of it is one of
//! the event.
//! Not here: the form in which a report is kept (`document::reports`), whom what is inside of an event reaches ([`super::limit`]).

use super::answer::{self, MispAnswer, MispMedia, Out};
use super::change::{Act, Changed, after_deletion, saved};
use super::document::{REPORTS, mark_deleted, merge_report};
use super::fields::{Fields, flag, number, set, text, unwrapped, wrong};
use super::find::name_of;
use super::reads;
use super::search::{Page, ROOM};
use super::show::Wait;
use crate::{Actor, Hub, HubError};
use serde_json::{Value, json};
use std::sync::Arc;
use store::misp::{Head, MAX_READ, Name, Part};

/// The wrapper of one.
const REPORT: &str = REPORTS;

/// A list of reports that is being written.
struct Listing {
    hub: Arc<Hub>,
    actor: Actor,
    /// Of this event alone.
    event: Option<i64>,
    /// Deleted ones: none, only those, or both.
    deleted: Option<bool>,
    sync: bool,
    page: Page,
}

impl Hub {
    /// Reports of an event, or of all events, as far as the caller sees them.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is no such event that the caller may know of.
    pub async fn misp_reports(self: &Arc<Self>, actor: &Actor, given: &Fields, sync: bool) -> Result<MispAnswer, HubError> {
        reads(actor)?;
        let event = match text(given, "event_id") {
            Some(name) => Some(self.misp_find(actor, &name_of(&name)?, sync).await?.id),
            None => None,
        };
        let deleted = match text(given, "context").as_deref() {
            Some("deleted") => Some(true),
            Some("all") => None,
            _ => Some(false),
        };
        let listing = Listing { hub: Arc::clone(self), actor: actor.clone(), event, deleted, sync, page: Page::asked(given) };
        let answer = answer::begin(self, actor.organisation.number, MispMedia::Json, Wait::Refused, move |out| listing.run(out)).await?;
        Ok(MispAnswer { count: None, ..answer })
    }

    /// One report, in its wrapper.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none that the caller may know of.
    pub async fn misp_report(&self, actor: &Actor, name: &str, sync: bool) -> Result<Value, HubError> {
        reads(actor)?;
        let (head, place) = self.misp_find_part(actor, Part::Report, &name_of(name)?, sync).await?;
        self.report_shown(actor, &head, place.id)
    }

    /// Adds a report to an event.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`]; [`HubError::Invalid`] for what is no report.
    pub async fn misp_add_report(self: &Arc<Self>, actor: &Actor, event: &str, body: Value) -> Result<Value, HubError> {
        let given = read(body)?;
        let (head, uuid) = self
            .changed(actor, Part::Event, event, Act::Change, move |document, _, moment| {
                let uuid = document.add_report(given, moment)?;
                document.touch(moment);
                Ok(Changed::new(uuid))
            })
            .await?;
        let shown = self.misp_head(actor, &head, false)?;
        let added = reports_in(&shown).find(|report| text(report, "uuid").as_ref() == Some(&uuid)).ok_or(HubError::NotFound)?;
        Ok(json!({ (REPORT): added }))
    }

    /// Takes in what a request says of a report.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_edit_report(self: &Arc<Self>, actor: &Actor, name: &str, body: Value) -> Result<Value, HubError> {
        let mut given = read(body)?;
        let (head, id) = self
            .changed(actor, Part::Report, name, Act::Change, move |document, id, moment| {
                let there = document.report_mut(id).ok_or(HubError::NotFound)?;
                if number(&given, "timestamp") == number(there, "timestamp") {
                    // What was read and is changed now.
                    given.remove("timestamp");
                }
                if !merge_report(there, given, moment)? {
                    return Err(HubError::Forbidden("the report in the request is not newer than the one here"));
                }
                document.touch(moment);
                Ok(Changed::new(id))
            })
            .await?;
        self.report_shown(actor, &head, id)
    }

    /// Deletes a report: it is marked, or with `hard` gone.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_delete_report(self: &Arc<Self>, actor: &Actor, name: &str, hard: bool) -> Result<Value, HubError> {
        let publishing = after_deletion(actor);
        let (_, (id, uuid)) = self
            .changed(actor, Part::Report, name, Act::Duty, move |document, id, moment| {
                let there = document.report_mut(id).ok_or(HubError::NotFound)?;
                let uuid = text(there, "uuid").unwrap_or_default();
                if hard {
                    document.remove_report(id);
                } else {
                    mark_deleted(there, true, moment);
                }
                document.touch(moment);
                Ok(Changed::publishing((id, uuid), publishing))
            })
            .await?;
        let said = format!("Event Report {uuid} {} deleted", if hard { "hard" } else { "soft" });
        Ok(told(&said, id))
    }

    /// Takes the deletion of a report back.
    ///
    /// # Errors
    /// As [`Hub::misp_edit`].
    pub async fn misp_restore_report(self: &Arc<Self>, actor: &Actor, name: &str) -> Result<Value, HubError> {
        let (_, (id, uuid)) = self
            .changed(actor, Part::Report, name, Act::Change, move |document, id, moment| {
                let there = document.report_mut(id).ok_or(HubError::NotFound)?;
                let uuid = text(there, "uuid").unwrap_or_default();
                mark_deleted(there, false, moment);
                document.touch(moment);
                Ok(Changed::new((id, uuid)))
            })
            .await?;
        Ok(told(&format!("Event Report {uuid} restored"), id))
    }

    fn report_shown(&self, actor: &Actor, head: &Head, id: i64) -> Result<Value, HubError> {
        let report = self.misp_report_of(actor, head, id, false)?.ok_or(HubError::NotFound)?;
        Ok(json!({ (REPORT): report }))
    }

    /// A report of an event that the caller sees, where it sees that, too.
    pub(super) fn misp_report_of(&self, actor: &Actor, head: &Head, id: i64, sync: bool) -> Result<Option<Fields>, HubError> {
        let shown = self.misp_head(actor, head, sync)?;
        Ok(reports_in(&shown).find(|report| number(report, "id") == Some(id)).cloned())
    }
}

impl Listing {
    async fn run(mut self, mut out: Out) -> Result<Out, HubError> {
        let _room = self.hub.misp_room(ROOM).await?;
        out.write(b"[");
        let mut after = 0;
        // Those of the event that was looked at last: they come one after the other as a rule.
        let mut last: (i64, Vec<Fields>) = (0, Vec::new());
        while after < i64::MAX && self.page.left > 0 {
            let places = self.hub.misp_events().reports(self.event, after).await?;
            after = places.last().filter(|_| places.len() >= MAX_READ).map_or(i64::MAX, |place| place.id);
            for place in places {
                if last.0 != place.event {
                    last = (place.event, self.of_event(place.event).await?);
                }
                let Some(report) = last.1.iter().find(|report| number(report, "id") == Some(place.id)) else { continue };
                if self.page.skip > 0 {
                    self.page.skip -= 1;
                    continue;
                }
                if self.page.left == 0 {
                    break;
                }
                self.page.left -= 1;
                out.entry(json!({ (REPORT): report }).to_string().as_bytes());
                out.pass_on().await?;
            }
        }
        out.write(b"]");
        Ok(out)
    }

    /// What the caller sees now of an event's reports, of those that are asked for.
    async fn of_event(&mut self, event: i64) -> Result<Vec<Fields>, HubError> {
        self.actor = self.hub.misp_again(&self.actor)?;
        let heads = self.hub.misp_events().named(&Name::Id(event)).await?;
        let Some(head) = self.hub.first_seen_by(&self.actor, heads, self.sync) else { return Ok(Vec::new()) };
        let shown = self.hub.misp_head(&self.actor, &head, self.sync)?;
        let is_asked = |report: &&Fields| self.deleted.is_none_or(|wanted| (flag(report, "deleted") == Some(true)) == wanted);
        Ok(reports_in(&shown).filter(is_asked).cloned().collect())
    }
}

/// The reports among an event's own fields.
fn reports_in(event: &Fields) -> impl Iterator<Item = &Fields> {
    event.get(REPORTS).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// The report of a request.
fn read(body: Value) -> Result<Fields, HubError> {
    unwrapped(body, REPORT).ok_or_else(|| wrong(REPORT, "the body must be a report"))
}

fn told(said: &str, id: i64) -> Value {
    let mut told = saved(said, said, id);
    if let Some(fields) = told.as_object_mut() {
        set(fields, "url", "/eventReports/view");
    }
    told
}
