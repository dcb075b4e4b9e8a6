//! Sightings of contributed attributes: seen, false positive, expired.
//!
//! Flow: which attributes are meant, of those that the caller sees → kept beside them → said of the value to the hub, as any sighting is ([`taking`]).
//! A list is written as it is read, all of it or a page.
//! Invariant: who sighted is shown to its own organisation and the coordinator alone; that something is a false positive goes to who contributed it
//! and to the hub's desk, and to no other member.

mod taking;

use super::answer::{self, MispAnswer, MispMedia, Out};
use super::change::NOT_YOURS;
use super::fields::{Fields, flag, number, text};
use super::filter::{Scope, Search};
use super::find::name_of;
use super::people::{may_write, organisation_number, organisation_of};
use super::reads;
use super::search::{Page, ROOM};
use super::show::{Wait, attribute_alone};
use crate::{Actor, Hub, HubError};
use hashbrown::{HashMap, HashSet};
use model::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::misp::{Condition, Head, MAX_READ, Name, Part, RowQuery, Sighting};

/// MISP's number of a false positive.
const FALSE_POSITIVE: i64 = 1;

/// Sightings that are looked at together: the events and attributes that they are of are in memory at once.
const AT_ONCE: usize = 200;

/// A list of sightings that is being written.
struct Listing {
    hub: Arc<Hub>,
    actor: Actor,
    given: Fields,
    /// Of this event, and of this attribute of it.
    of: (Option<i64>, Option<i64>),
    /// When they were seen.
    seen: (Option<i64>, Option<i64>),
    wrapped: bool,
    sync: bool,
    page: Page,
}

impl Hub {
    /// Sightings of an event or attribute, or of everything, as far as the caller sees them, oldest first.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is no such event or attribute that the caller may know of.
    pub async fn misp_list_sightings(
        self: &Arc<Self>,
        actor: &Actor,
        given: &Fields,
        context: Option<&str>,
        wrapped: bool,
        sync: bool,
    ) -> Result<MispAnswer, HubError> {
        reads(actor)?;
        let context = context.map(str::to_owned).or_else(|| text(given, "context"));
        let name = text(given, "id").map(|name| name_of(&name)).transpose()?;
        let of = match (context.as_deref(), name) {
            (Some("event"), Some(name)) => (Some(self.misp_find(actor, &name, sync).await?.id), None),
            (Some("attribute"), Some(name)) => {
                let (head, place) = self.misp_find_part(actor, Part::Attribute, &name, sync).await?;
                (Some(head.id), Some(place.id))
            }
            _ => (None, None),
        };
        let seen = Search::read(&renamed(given), Scope::Attributes, &self.misp_moment())?.rows.timestamp;
        let (page, given) = (Page::asked(given), given.clone());
        let listing = Listing { hub: Arc::clone(self), actor: actor.clone(), given, of, seen, wrapped, sync, page };
        let answer = answer::begin(self, actor.organisation.number, MispMedia::Json, Wait::Refused, move |out| listing.run(out)).await?;
        Ok(MispAnswer { count: None, ..answer })
    }

    /// The attributes that a few sightings are of, by event and number, without what is attached: each event is opened once.
    async fn sighted_attributes(&self, actor: &Actor, seen: &[(Arc<Head>, Sighting)]) -> Result<HashMap<(i64, i64), Value>, HubError> {
        let mut wanted: BTreeMap<i64, (&Arc<Head>, HashSet<i64>)> = BTreeMap::new();
        for (head, sighting) in seen {
            wanted.entry(head.id).or_insert_with(|| (head, HashSet::new())).1.insert(sighting.attribute);
        }
        let mut found: HashMap<(i64, i64), Value> = HashMap::new();
        for (event, (head, attributes)) in wanted {
            let (document, _room) = self.opened(head, Wait::Refused).await?;
            let sight = self.misp_sight(actor, head);
            for (attribute, object) in document.each() {
                let Some(id) = number(attribute, "id").filter(|id| attributes.contains(id)) else { continue };
                let mut shown = attribute_alone(attribute, object, head, sight);
                shown.remove("data");
                found.entry((event, id)).or_insert(Value::Object(shown));
            }
        }
        Ok(found)
    }

    /// Of a few sightings those that the caller may know, each with its event.
    async fn seen_of(&self, actor: &Actor, some: &[Sighting], sync: bool) -> Result<Vec<(Arc<Head>, Sighting)>, HubError> {
        let mut attributes: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for sighting in some {
            attributes.entry(sighting.event).or_default().push(sighting.attribute);
        }
        let mut known: HashMap<i64, (Arc<Head>, HashSet<i64>)> = HashMap::new();
        for (event, mut any) in attributes {
            let Some(head) = self.first_seen_by(actor, self.misp_events().named(&Name::Id(event)).await?, sync) else { continue };
            any.sort_unstable();
            any.dedup();
            let query = RowQuery { ids: Condition { any, none: Vec::new() }, ..RowQuery::default() };
            let visible = self.misp_visible(actor, &head, query).await?;
            known.insert(event, (Arc::new(head), visible));
        }
        let seen = some.iter().filter_map(|sighting| {
            let (head, visible) = known.get(&sighting.event)?;
            (visible.contains(&sighting.attribute) && may_know(actor, head, sighting)).then(|| (Arc::clone(head), sighting.clone()))
        });
        Ok(seen.collect())
    }

    /// Takes a sighting of one's own back.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none that the caller may know of, [`HubError::Forbidden`] where it is another's.
    pub async fn misp_delete_sighting(&self, actor: &Actor, name: &str) -> Result<Value, HubError> {
        if !may_write(actor) {
            return Err(HubError::Forbidden("this role may not do this"));
        }
        let named = self.misp_events().sighting(&name_of(name)?).await?;
        let own = named.iter().find(|sighting| sighting.org == actor.organisation.number);
        let Some(sighting) = own.or_else(|| named.first().filter(|_| actor.is_coordinator())) else {
            return Err(if self.seen_of(actor, &named, false).await?.is_empty() { HubError::NotFound } else { NOT_YOURS });
        };
        let mut edit = self.misp_events().write().await?;
        edit.delete_sighting(sighting.id).await?;
        edit.commit().await?;
        Ok(
            json!({ "saved": true, "success": true, "name": "Sighting successfully deleted.", "message": "Sighting successfully deleted.", "url": "/sightings" }),
        )
    }

    /// Whether the caller is shown who sighted.
    fn names(&self, actor: &Actor, sighting: &Sighting) -> bool {
        sighting.org == actor.organisation.number || actor.is_coordinator()
    }

    fn is_by(&self, sighting: &Sighting, org: &str) -> bool {
        let number = org.parse().ok().and_then(organisation_of);
        let uuid = self.directory().organisation(sighting.org).map(|organisation| organisation.id.0.to_string());
        number == Some(sighting.org) || uuid.is_some_and(|uuid| uuid.eq_ignore_ascii_case(org))
    }

    pub(super) fn sighting_json(&self, actor: &Actor, sighting: &Sighting) -> Value {
        let named = self.names(actor, sighting);
        let organisation = self.directory().organisation(sighting.org).filter(|_| named);
        let organisation = organisation.map_or_else(|| self.misp_hub_json(), |organisation| self.misp_organisation_json(&organisation));
        json!({
            "id": sighting.id.to_string(),
            "uuid": sighting.uuid,
            "event_id": sighting.event.to_string(),
            "attribute_id": sighting.attribute.to_string(),
            "org_id": if named { organisation_number(sighting.org).to_string() } else { "0".to_owned() },
            "date_sighting": sighting.seen.to_string(),
            "source": if named { sighting.source.as_str() } else { "" },
            "type": sighting.kind.to_string(),
            "Organisation": organisation,
        })
    }
}

impl Listing {
    async fn run(mut self, mut out: Out) -> Result<Out, HubError> {
        let _room = self.hub.misp_room(ROOM).await?;
        let (opening, closing) = if self.wrapped { ("{\"response\":[", "]}") } else { ("[", "]") };
        out.write(opening.as_bytes());
        let (event, attribute) = self.of;
        let mut after = 0;
        while after < i64::MAX && self.page.left > 0 {
            let rows = self.hub.misp_events().sightings(event, attribute, after).await?;
            after = rows.last().filter(|_| rows.len() >= MAX_READ).map_or(i64::MAX, |sighting| sighting.id);
            let asked: Vec<Sighting> = rows.into_iter().filter(|sighting| self.asks_for(sighting)).collect();
            for some in asked.chunks(AT_ONCE) {
                self.actor = self.hub.misp_again(&self.actor)?;
                let mut seen = self.hub.seen_of(&self.actor, some, self.sync).await?;
                let passed = self.page.skip.min(seen.len());
                self.page.skip -= passed;
                seen.drain(..passed);
                seen.truncate(self.page.left);
                self.page.left -= seen.len();
                self.write(&seen, &mut out).await?;
                if self.page.left == 0 {
                    break;
                }
            }
        }
        out.write(closing.as_bytes());
        Ok(out)
    }

    /// Whether a sighting is one of those that are asked for, as far as the caller may ask for it.
    fn asks_for(&self, sighting: &Sighting) -> bool {
        let names = || self.hub.names(&self.actor, sighting);
        let (from, to) = self.seen;
        number(&self.given, "type").is_none_or(|kind| kind == sighting.kind)
            && from.is_none_or(|from| sighting.seen >= from)
            && to.is_none_or(|to| sighting.seen <= to)
            && text(&self.given, "source").is_none_or(|source| names() && source == sighting.source)
            && text(&self.given, "org_id").is_none_or(|org| names() && self.hub.is_by(sighting, &org))
    }

    async fn write(&self, seen: &[(Arc<Head>, Sighting)], out: &mut Out) -> Result<(), HubError> {
        let asks = |name: &str| flag(&self.given, name) == Some(true);
        let attributes = if asks("includeAttribute") { Some(self.hub.sighted_attributes(&self.actor, seen).await?) } else { None };
        for (head, sighting) in seen {
            let mut json = self.hub.sighting_json(&self.actor, sighting);
            if let Some(fields) = json.as_object_mut() {
                if let Some(attributes) = &attributes {
                    fields.insert("Attribute".to_owned(), attributes.get(&(head.id, sighting.attribute)).cloned().unwrap_or_default());
                }
                if asks("includeEvent") {
                    fields.insert("Event".to_owned(), Value::Object(self.hub.misp_head(&self.actor, head, self.sync)?));
                }
            }
            let entry = if self.wrapped { json!({ "Sighting": json }) } else { json };
            out.entry(entry.to_string().as_bytes());
            out.pass_on().await?;
        }
        Ok(())
    }
}

fn saved(added: usize) -> Value {
    let message = format!("{added} sighting{} successfully added.", if added == 1 { "" } else { "s" });
    json!({ "saved": true, "success": true, "name": message, "message": message, "url": "/sightings/add" })
}

/// Whether a sighting of an attribute that the reader sees is the reader's to know.
pub(super) fn may_know(actor: &Actor, head: &Head, sighting: &Sighting) -> bool {
    let own = actor.organisation.number;
    sighting.kind != FALSE_POSITIVE || sighting.org == own || head.org == own || actor.is_coordinator()
}

/// When it was seen, as far as that is said.
fn moment(given: &Fields) -> Option<Timestamp> {
    for name in ["timestamp", "date_sighting"] {
        if let Some(seconds) = number(given, name).filter(|seconds| *seconds > 0) {
            return Some(Timestamp::from_seconds(seconds));
        }
    }
    let date = text(given, "date")?;
    let time = text(given, "time").unwrap_or_else(|| "00:00:00".to_owned());
    Timestamp::parse(&format!("{date}T{time}Z")).or_else(|_| Timestamp::parse(&date)).ok()
}

/// A list of sightings calls its times otherwise, and its types are no attributes'.
fn renamed(given: &Fields) -> Fields {
    let mut filter = Fields::new();
    let bounds = (given.get("from").filter(|value| !value.is_null()), given.get("to").filter(|value| !value.is_null()));
    let range = match (given.get("last").filter(|value| !value.is_null()), bounds) {
        (Some(last), _) => Some(last.clone()),
        (None, (Some(from), Some(to))) => Some(json!([from, to])),
        (None, (Some(from), None)) => Some(from.clone()),
        (None, (None, Some(to))) => Some(json!([0, to])),
        (None, (None, None)) => None,
    };
    if let Some(range) = range {
        filter.insert("timestamp".to_owned(), range);
    }
    filter
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn fields(value: Value) -> Fields {
        super::super::fields::object(value).unwrap()
    }

    #[test]
    fn when_it_was_seen_is_said_in_seconds_or_by_date_and_time() {
        let at = |value| moment(&fields(value)).map(Timestamp::seconds);
        assert_eq!(at(json!({ "timestamp": "1767225600" })), Some(1_767_225_600));
        assert_eq!(at(json!({ "date": "2026-01-01", "time": "00:01:00" })), Some(1_767_225_660));
        assert_eq!(at(json!({ "date": "2026-01-01" })), Some(1_767_225_600));
        assert_eq!(at(json!({})), None);
    }

    #[test]
    fn times_of_a_list_are_a_range() {
        assert_eq!(renamed(&fields(json!({ "from": 5, "to": 9, "type": 1 })))["timestamp"], json!([5, 9]));
        assert_eq!(renamed(&fields(json!({ "last": "1d", "from": 5 })))["timestamp"], json!("1d"));
        assert!(renamed(&fields(json!({ "last": null }))).is_empty());
    }
}
