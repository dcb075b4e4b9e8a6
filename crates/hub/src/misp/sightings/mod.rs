//! Sightings of contributed attributes: seen, false positive, expired.
//!
//! Flow: which attributes are meant, of those that the caller sees → kept beside them → said of the value to the hub, as any sighting is ([`taking`]).
//! Invariant: who sighted is shown to its own organisation and the coordinator alone; that something is a false positive goes to who contributed it
//! and to the hub's desk, and to no other member.

mod taking;

use super::change::NOT_YOURS;
use super::fields::{Fields, flag, number, text};
use super::filter::{Scope, Search};
use super::people::{may_write, organisation_number, organisation_of};
use super::show::{Wait, attribute_alone, name_of};
use super::{MAX_FOUND, MAX_ROOM, reads};
use crate::{Actor, Hub, HubError};
use hashbrown::{HashMap, HashSet};
use model::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::misp::{Head, MAX_READ, Name, Part, RowQuery, Sighting};

/// MISP's number of a false positive.
const FALSE_POSITIVE: i64 = 1;

impl Hub {
    /// Sightings of an event or attribute, or of everything, as far as the caller sees them.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is no such event or attribute that the caller may know of.
    pub async fn misp_list_sightings(&self, actor: &Actor, given: &Fields, context: Option<&str>, wrapped: bool, sync: bool) -> Result<Value, HubError> {
        reads(actor)?;
        let context = context.map(str::to_owned).or_else(|| text(given, "context"));
        let name = text(given, "id").map(|name| name_of(&name)).transpose()?;
        let (event, attribute) = match (context.as_deref(), name) {
            (Some("event"), Some(name)) => (Some(self.misp_find(actor, &name, sync).await?.id), None),
            (Some("attribute"), Some(name)) => {
                let (head, place) = self.misp_find_part(actor, Part::Attribute, &name, sync).await?;
                (Some(head.id), Some(place.id))
            }
            _ => (None, None),
        };
        let filter = Search::read(&renamed(given), Scope::Attributes, &self.misp_moment())?;
        let (from, to) = filter.rows.timestamp;
        let wanted = |sighting: &Sighting| {
            let org = text(given, "org_id");
            number(given, "type").is_none_or(|kind| kind == sighting.kind)
                && from.is_none_or(|from| sighting.seen >= from)
                && to.is_none_or(|to| sighting.seen <= to)
                && text(given, "source").is_none_or(|source| self.names(actor, sighting) && source == sighting.source)
                && org.is_none_or(|org| self.names(actor, sighting) && self.is_by(sighting, &org))
        };
        let seen = self.seen_sightings(actor, event, attribute, sync, wanted).await?;
        if seen.len() > MAX_FOUND {
            let unit = "sightings of an answer; ask for those of one event or attribute, or of a shorter time";
            return Err(HubError::TooLarge { limit: MAX_FOUND as u64, unit });
        }
        let attributes = if flag(given, "includeAttribute") == Some(true) { self.sighted_attributes(actor, &seen).await? } else { HashMap::new() };
        let mut shown = Vec::new();
        for (head, sighting) in seen {
            let mut json = self.sighting_json(actor, &sighting);
            if let Some(fields) = json.as_object_mut() {
                if flag(given, "includeAttribute") == Some(true) {
                    fields.insert("Attribute".to_owned(), attributes.get(&(head.id, sighting.attribute)).cloned().unwrap_or_default());
                }
                if flag(given, "includeEvent") == Some(true) {
                    fields.insert("Event".to_owned(), Value::Object(self.misp_head(actor, &head, sync)?));
                }
            }
            shown.push(if wrapped { json!({ "Sighting": json }) } else { json });
        }
        Ok(if wrapped { json!({ "response": shown }) } else { Value::Array(shown) })
    }

    /// The attributes that sightings are of, by event and number, without what is attached: each event is opened once, however many sightings there are.
    async fn sighted_attributes(&self, actor: &Actor, seen: &[(Arc<Head>, Sighting)]) -> Result<HashMap<(i64, i64), Value>, HubError> {
        let mut wanted: BTreeMap<i64, (&Arc<Head>, HashMap<i64, usize>)> = BTreeMap::new();
        for (head, sighting) in seen {
            let (_, attributes) = wanted.entry(head.id).or_insert_with(|| (head, HashMap::new()));
            *attributes.entry(sighting.attribute).or_insert(0) += 1;
        }
        let mut found: HashMap<(i64, i64), Value> = HashMap::new();
        let mut bytes: usize = 0;
        for (event, (head, attributes)) in wanted {
            let (document, _room) = self.opened(head, Wait::Refused).await?;
            let sight = self.misp_sight(actor, head);
            for (attribute, object) in document.each() {
                let Some((id, count)) = number(attribute, "id").and_then(|id| Some((id, *attributes.get(&id)?))) else { continue };
                let mut shown = attribute_alone(attribute, object, head, sight);
                shown.remove("data");
                let shown = Value::Object(shown);
                bytes = bytes.saturating_add(shown.to_string().len().saturating_mul(count));
                found.entry((event, id)).or_insert(shown);
            }
            // It is written beside each sighting.
            if bytes > MAX_ROOM {
                let unit = "bytes of attributes beside sightings; ask for those of one event or attribute, or without includeAttribute";
                return Err(HubError::TooLarge { limit: MAX_ROOM as u64, unit });
            }
        }
        Ok(found)
    }

    /// Sightings of an event, for its attributes in an answer.
    pub(super) async fn misp_sightings_of(&self, actor: &Actor, head: &Head, attribute: Option<i64>) -> Result<Vec<Value>, HubError> {
        let seen = self.seen_sightings(actor, Some(head.id), attribute, false, |_: &Sighting| true).await?;
        Ok(seen.iter().take(MAX_FOUND).map(|(_, sighting)| self.sighting_json(actor, sighting)).collect())
    }

    /// The sightings that are wanted and that the caller may know, oldest first, each with its event; more than [`MAX_FOUND`] are not looked for.
    async fn seen_sightings(
        &self,
        actor: &Actor,
        event: Option<i64>,
        attribute: Option<i64>,
        sync: bool,
        wanted: impl Fn(&Sighting) -> bool,
    ) -> Result<Vec<(Arc<Head>, Sighting)>, HubError> {
        let mut seen = Vec::new();
        let mut heads: HashMap<i64, Option<Arc<Head>>> = HashMap::new();
        let mut visible: HashMap<i64, HashSet<i64>> = HashMap::new();
        let mut after = 0;
        loop {
            let page = self.misp_events().sightings(event, attribute, after).await?;
            let events: BTreeSet<i64> = page.iter().map(|sighting| sighting.event).filter(|event| !heads.contains_key(event)).collect();
            for event in events {
                let head = self.first_seen_by(actor, self.misp_events().named(&Name::Id(event)).await?, sync);
                if let Some(head) = &head {
                    visible.insert(event, self.misp_visible(actor, head, RowQuery::default()).await?);
                }
                heads.insert(event, head.map(Arc::new));
            }
            after = page.last().map_or(i64::MAX, |sighting| sighting.id);
            let end = page.len() < MAX_READ;
            for sighting in page {
                let Some(Some(head)) = heads.get(&sighting.event) else { continue };
                let known = visible.get(&sighting.event).is_some_and(|visible| visible.contains(&sighting.attribute));
                if known && may_know(actor, head, &sighting) && wanted(&sighting) {
                    seen.push((Arc::clone(head), sighting));
                }
            }
            if end || seen.len() > MAX_FOUND {
                return Ok(seen);
            }
        }
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
            for other in &named {
                let id = other.id;
                let seen = self.seen_sightings(actor, Some(other.event), Some(other.attribute), false, move |sighting: &Sighting| sighting.id == id).await?;
                if !seen.is_empty() {
                    return Err(NOT_YOURS);
                }
            }
            return Err(HubError::NotFound);
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

    fn sighting_json(&self, actor: &Actor, sighting: &Sighting) -> Value {
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

fn saved(added: usize) -> Value {
    let message = format!("{added} sighting{} successfully added.", if added == 1 { "" } else { "s" });
    json!({ "saved": true, "success": true, "name": message, "message": message, "url": "/sightings/add" })
}

/// Whether a sighting of an attribute that the reader sees is the reader's to know.
fn may_know(actor: &Actor, head: &Head, sighting: &Sighting) -> bool {
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
