//! Sightings of contributed attributes: seen, false positive, expired.
//!
//! Flow: which attributes are meant, of those that the caller sees → kept beside them → said of the value to the hub, as any sighting is.
//! Invariant: who sighted is shown to its own organisation and the coordinator alone; that something is a false positive goes to who contributed it
//! and to the hub's desk, and to no other member.

use super::fields::{Fields, flag, number, object, text, text_of, unwrapped, uuid_of, wrong};
use super::filter::{Scope, Search};
use super::people::{may_write, organisation_number, organisation_of};
use super::show::name_of;
use super::{MAX_FOUND, MAX_VALUES, reads};
use crate::sharing::{NewSighting as HubSighting, SightingKind};
use crate::{Actor, Hub, HubError};
use formats::misp::judge::parts;
use hashbrown::{HashMap, HashSet};
use model::Timestamp;
use model::detect::detect;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use store::misp::{Head, MAX_READ, Name, NewSighting, Part, RowQuery, Sighting};
use store::records::RecordsError;
use uuid::Uuid;

/// Attributes of one sighting at the most.
const MAX_SIGHTED: usize = 100;
/// Sightings that are pushed at once at the most.
const MAX_BULK: usize = 10_000;
/// Bytes of a source at the most.
const MAX_SOURCE: usize = 255;
/// MISP's number of a false positive.
const FALSE_POSITIVE: i64 = 1;

/// What a sighting is of.
struct Target {
    head: Head,
    attribute: i64,
}

impl Hub {
    /// Adds a sighting, or several, to an attribute, or to all that have a value.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where the caller knows nothing of it, [`HubError::Forbidden`] for roles that only read or only submit.
    pub async fn misp_sight_part(self: &Arc<Self>, actor: &Actor, name: Option<&str>, body: Value) -> Result<Value, HubError> {
        if !may_write(actor) {
            return Err(HubError::Forbidden("this role may not do this"));
        }
        let list = match body {
            Value::Array(list) => list,
            one => return self.sight(actor, name, one).await,
        };
        if list.is_empty() || list.len() > MAX_SIGHTED {
            return Err(wrong("Sighting", format!("1 to {MAX_SIGHTED} sightings")));
        }
        let mut added = 0;
        for one in list {
            self.sight(actor, name, one).await?;
            added += 1;
        }
        Ok(saved(added))
    }

    async fn sight(self: &Arc<Self>, actor: &Actor, name: Option<&str>, body: Value) -> Result<Value, HubError> {
        let given = unwrapped(body, "Sighting").unwrap_or_default();
        let kind = number(&given, "type").unwrap_or(0);
        let said = said(kind).ok_or_else(|| wrong("type", "a sighting is of type 0 (seen), 1 (false positive) or 2 (expired)"))?;
        let now = self.clock().now();
        let seen = moment(&given).unwrap_or(now).min(now);
        let source = text(&given, "source").unwrap_or_default();
        if source.len() > MAX_SOURCE {
            return Err(wrong("source", format!("at most {MAX_SOURCE} bytes")));
        }
        let (targets, mut values) = self.targets(actor, name, &given).await?;
        let mut edit = self.misp_events().write().await?;
        let mut first = None;
        for target in &targets {
            // A UUID in the request names what was sighted, never the sighting.
            let uuid = Uuid::new_v4().to_string();
            let new = NewSighting {
                uuid: uuid.clone(),
                event: target.head.id,
                attribute: target.attribute,
                org: actor.organisation.number,
                kind,
                seen: seen.seconds(),
                source: source.clone(),
            };
            let id = edit.add_sighting(&new).await?;
            let NewSighting { event, attribute, org, source, .. } = new;
            first.get_or_insert(Sighting { id, uuid, event, attribute, org, kind, seen: seen.seconds(), source });
        }
        edit.commit().await?;
        values.truncate(MAX_SIGHTED);
        let mut told = false;
        for value in &values {
            told |= self.misp_tell(actor, value, said, seen).await;
        }
        match first {
            Some(sighting) => Ok(json!({ "Sighting": self.sighting_json(actor, &sighting) })),
            None if told => Ok(saved(1)),
            None => Err(HubError::NotFound),
        }
    }

    /// The attributes that are meant, and their values.
    async fn targets(&self, actor: &Actor, name: Option<&str>, given: &Fields) -> Result<(Vec<Target>, Vec<String>), HubError> {
        let by_name = name.map(str::to_owned).or_else(|| text(given, "uuid")).or_else(|| text(given, "id"));
        let mut targets = Vec::new();
        let mut values: Vec<String> = Vec::new();
        if let Some(name) = by_name.filter(|name| name_of(name).is_ok()) {
            let (head, place) = self.misp_find_part(actor, Part::Attribute, &name_of(&name)?).await?;
            let document = self.misp_document(&head).await?;
            let attribute = document.each().find(|(attribute, _)| number(attribute, "id") == Some(place.id)).map(|(attribute, _)| attribute);
            if let Some((kind, value)) = attribute.and_then(|attribute| Some((text(attribute, "type")?, text(attribute, "value")?))) {
                let (first, second) = parts(&kind, &value);
                values.extend(std::iter::once(first).chain(second).map(str::to_owned));
            }
            targets.push(Target { head, attribute: place.id });
            return Ok((targets, values));
        }
        match given.get("values").or_else(|| given.get("value")) {
            Some(Value::Array(list)) => values.extend(list.iter().filter_map(text_of)),
            Some(one) => values.extend(text_of(one)),
            None => return Err(wrong("value", "name an attribute, or a value")),
        }
        if values.is_empty() || values.len() > MAX_VALUES {
            return Err(wrong("value", format!("1 to {MAX_VALUES} values")));
        }
        let mut search = Search::read(&Fields::new(), Scope::Attributes, &self.misp_moment())?;
        search.rows.value.any.clone_from(&values);
        let mut found: Vec<(i64, i64)> = Vec::new();
        self.each_row(actor, &search, |row, _| {
            found.push((row.event, row.id));
            found.len() < MAX_SIGHTED
        })
        .await?;
        for (event, attribute) in found {
            if let Some(head) = self.first_seen_by(actor, self.misp_events().named(&Name::Id(event)).await?, false) {
                targets.push(Target { head, attribute });
            }
        }
        Ok((targets, values))
    }

    /// Takes in sightings of an event's attributes from an instance that pushes them, each under the UUID that it has there. Those that are here
    /// already, and those of attributes that the caller does not see, are passed over.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is no such event that the caller may know of, [`HubError::TooLarge`] for too many.
    pub async fn misp_take_sightings(self: &Arc<Self>, actor: &Actor, event: &str, body: Value) -> Result<Value, HubError> {
        if !may_write(actor) {
            return Err(HubError::Forbidden("this role may not do this"));
        }
        let list = match body {
            Value::Array(list) => list,
            Value::Object(mut fields) => match fields.remove("Sighting") {
                Some(Value::Array(list)) => list,
                Some(_) | None => return Err(wrong("Sighting", "the body must be a list of sightings")),
            },
            _ => return Err(wrong("Sighting", "the body must be a list of sightings")),
        };
        if list.len() > MAX_BULK {
            return Err(HubError::TooLarge { limit: MAX_BULK as u64, unit: "sightings" });
        }
        let head = self.misp_find(actor, &name_of(event)?, false).await?;
        let visible = self.misp_visible(actor, &head, RowQuery::default()).await?;
        let document = self.misp_document(&head).await?;
        let known: HashMap<String, &Fields> = document
            .each()
            .filter(|(attribute, _)| number(attribute, "id").is_some_and(|id| visible.contains(&id)))
            .filter_map(|(attribute, _)| Some((text(attribute, "uuid")?, attribute)))
            .collect();
        let now = self.clock().now();
        let mut values: Vec<(String, SightingKind, Timestamp)> = Vec::new();
        let mut added = 0;
        let mut edit = self.misp_events().write().await?;
        for given in list.into_iter().filter_map(object) {
            let uuid = text(&given, "attribute_uuid").and_then(|uuid| uuid_of(&uuid));
            let Some(attribute) = uuid.and_then(|uuid| known.get(&uuid)) else { continue };
            let kind = number(&given, "type").unwrap_or(0);
            let (Some(said), Some(id)) = (said(kind), number(attribute, "id")) else { continue };
            let seen = moment(&given).unwrap_or(now).min(now);
            let new = NewSighting {
                uuid: text(&given, "uuid").and_then(|uuid| uuid_of(&uuid)).unwrap_or_else(|| Uuid::new_v4().to_string()),
                event: head.id,
                attribute: id,
                org: actor.organisation.number,
                kind,
                seen: seen.seconds(),
                source: text(&given, "source").filter(|source| source.len() <= MAX_SOURCE).unwrap_or_default(),
            };
            match edit.add_sighting(&new).await {
                Ok(_) => added += 1,
                Err(RecordsError::Taken) => continue,
                Err(error) => return Err(error.into()),
            }
            let (kind, value) = (text(attribute, "type").unwrap_or_default(), text(attribute, "value").unwrap_or_default());
            let (first, second) = parts(&kind, &value);
            for part in std::iter::once(first).chain(second) {
                if values.len() < MAX_SIGHTED && !values.iter().any(|(known, how, _)| known == part && *how == said) {
                    values.push((part.to_owned(), said, seen));
                }
            }
        }
        edit.commit().await?;
        for (value, said, seen) in &values {
            self.misp_tell(actor, value, *said, *seen).await;
        }
        Ok(saved(added))
    }

    /// Of the sightings of an event that an instance would push, those that are not here.
    ///
    /// # Errors
    /// As [`Hub::misp_take_sightings`].
    pub async fn misp_wanted_sightings(&self, actor: &Actor, event: &str, body: &Value) -> Result<Value, HubError> {
        if !may_write(actor) {
            return Err(HubError::Forbidden("this role may not do this"));
        }
        self.misp_find(actor, &name_of(event)?, false).await?;
        let mut wanted = Vec::new();
        for uuid in body.as_array().into_iter().flatten().filter_map(Value::as_str).filter_map(uuid_of).take(MAX_BULK) {
            if self.misp_events().sighting(&Name::Uuid(uuid.clone())).await?.is_none() {
                wanted.push(Value::from(uuid));
            }
        }
        Ok(Value::Array(wanted))
    }

    /// Says it of the value to the hub; false where the hub knows nothing of it that the caller may know.
    async fn misp_tell(self: &Arc<Self>, actor: &Actor, value: &str, said: SightingKind, seen: Timestamp) -> bool {
        let Some((kind, value)) = detect(value) else { return false };
        match self.sighting(actor, kind, &value, HubSighting { kind: said, time: Some(seen), note: None }).await {
            Ok(_) => true,
            Err(HubError::NotFound) => false,
            // Such as a claim that is open already.
            Err(error) => {
                tracing::debug!(%error, "a sighting of a MISP attribute is no sighting of its value");
                true
            }
        }
    }

    /// Sightings of an event or attribute, or of everything, as far as the caller sees them.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is no such event or attribute that the caller may know of.
    pub async fn misp_list_sightings(&self, actor: &Actor, given: &Fields, context: Option<&str>, wrapped: bool) -> Result<Value, HubError> {
        reads(actor)?;
        let context = context.map(str::to_owned).or_else(|| text(given, "context"));
        let name = text(given, "id").map(|name| name_of(&name)).transpose()?;
        let (event, attribute) = match (context.as_deref(), name) {
            (Some("event"), Some(name)) => (Some(self.misp_find(actor, &name, false).await?.id), None),
            (Some("attribute"), Some(name)) => {
                let (head, place) = self.misp_find_part(actor, Part::Attribute, &name).await?;
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
        let mut shown = Vec::new();
        for (head, sighting) in self.seen_sightings(actor, event, attribute).await?.into_iter().filter(|(_, sighting)| wanted(sighting)) {
            let mut json = self.sighting_json(actor, &sighting);
            if let Some(fields) = json.as_object_mut() {
                if flag(given, "includeAttribute") == Some(true) {
                    let attribute = self.misp_attribute_at(actor, &head, sighting.attribute).await?;
                    fields.insert("Attribute".to_owned(), attribute.get("Attribute").cloned().unwrap_or_default());
                }
                if flag(given, "includeEvent") == Some(true) {
                    fields.insert("Event".to_owned(), Value::Object(self.misp_head(actor, &head, false)?));
                }
            }
            shown.push(if wrapped { json!({ "Sighting": json }) } else { json });
        }
        Ok(if wrapped { json!({ "response": shown }) } else { Value::Array(shown) })
    }

    /// Sightings of an event, for its attributes in an answer.
    pub(super) async fn misp_sightings_of(&self, actor: &Actor, head: &Head, attribute: Option<i64>) -> Result<Vec<Value>, HubError> {
        let seen = self.seen_sightings(actor, Some(head.id), attribute).await?;
        Ok(seen.iter().map(|(_, sighting)| self.sighting_json(actor, sighting)).collect())
    }

    async fn seen_sightings(&self, actor: &Actor, event: Option<i64>, attribute: Option<i64>) -> Result<Vec<(Head, Sighting)>, HubError> {
        let mut seen = Vec::new();
        let mut heads: HashMap<i64, Option<Head>> = HashMap::new();
        let mut visible: HashMap<i64, HashSet<i64>> = HashMap::new();
        let mut after = 0;
        loop {
            let page = self.misp_events().sightings(event, attribute, after).await?;
            let events: BTreeSet<i64> = page.iter().map(|sighting| sighting.event).filter(|event| !heads.contains_key(event)).collect();
            for event in events {
                let head = self.first_seen_by(actor, self.misp_events().named(&Name::Id(event)).await?, false);
                if let Some(head) = &head {
                    visible.insert(event, self.misp_visible(actor, head, RowQuery::default()).await?);
                }
                heads.insert(event, head);
            }
            after = page.last().map_or(i64::MAX, |sighting| sighting.id);
            let end = page.len() < MAX_READ;
            for sighting in page {
                let Some(Some(head)) = heads.get(&sighting.event) else { continue };
                let known = visible.get(&sighting.event).is_some_and(|visible| visible.contains(&sighting.attribute));
                if known && may_know(actor, head, &sighting) {
                    seen.push((head.clone(), sighting));
                }
            }
            if end || seen.len() >= MAX_FOUND {
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
        let sighting = self.misp_events().sighting(&name_of(name)?).await?.ok_or(HubError::NotFound)?;
        if sighting.org != actor.organisation.number && !actor.is_coordinator() {
            let seen = self.seen_sightings(actor, Some(sighting.event), Some(sighting.attribute)).await?;
            let known = seen.iter().any(|(_, other)| other.id == sighting.id);
            return Err(if known { HubError::Forbidden("You do not have permission to do that.") } else { HubError::NotFound });
        }
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

/// What MISP's number of a kind of sighting says.
fn said(kind: i64) -> Option<SightingKind> {
    match kind {
        0 => Some(SightingKind::Seen),
        FALSE_POSITIVE => Some(SightingKind::FalsePositive),
        2 => Some(SightingKind::Expired),
        _ => None,
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
