//! How sightings are taken in: one, a list, or those that an instance pushes.
//!
//! Invariant: an organisation's sightings have bounds ([`Share`]): of an attribute, of an event, in all, and by its daily quota as anything that it sends.
//! A UUID is one organisation's: what another keeps under it, where the caller does not see that, makes no difference to what the caller says.

use super::{FALSE_POSITIVE, may_know, moment, saved};
use crate::misp::fields::{Fields, number, object, text, text_of, unwrapped, uuid_of, wrong};
use crate::misp::filter::{Scope, Search};
use crate::misp::find::name_of;
use crate::misp::people::may_write;
use crate::misp::show::Wait;
use crate::misp::{MAX_SIGHTINGS, MAX_SIGHTINGS_OF_ATTRIBUTE, MAX_SIGHTINGS_OF_EVENT, MAX_VALUES};
use crate::sharing::{NewSighting as HubSighting, SightingKind};
use crate::{Actor, Hub, HubError};
use formats::misp::judge::parts;
use hashbrown::{HashMap, HashSet};
use model::Timestamp;
use model::detect::detect;
use serde_json::{Value, json};
use std::sync::Arc;
use store::misp::{Edit, Head, Name, NewSighting, Part, RowQuery, Sighting};
use store::records::RecordsError;
use uuid::Uuid;

/// Attributes of one sighting at the most.
const MAX_SIGHTED: usize = 100;
/// Sightings that are pushed at once at the most.
const MAX_BULK: usize = 10_000;
/// Bytes of a source at the most.
const MAX_SOURCE: usize = 255;

/// What a sighting is of.
struct Target {
    head: Head,
    attribute: i64,
}
/// How many sightings an organisation may add, counted while it does.
#[derive(Debug, Default)]
struct Share {
    /// Events that its day's quota has left; `None`: it has none.
    left: Option<u64>,
    added: u64,
    all: i64,
    of_event: HashMap<i64, i64>,
    of_attribute: HashMap<(i64, i64), i64>,
}

impl Share {
    /// Learns what there is of an event, once.
    async fn learn(&mut self, edit: &mut Edit, actor: &Actor, event: i64) -> Result<(), HubError> {
        if self.of_event.contains_key(&event) {
            return Ok(());
        }
        let (all, of_event) = edit.count_sightings(actor.organisation.number, event).await?;
        self.all = all;
        self.of_event.insert(event, of_event.iter().map(|(_, count)| count).sum());
        self.of_attribute.extend(of_event.into_iter().map(|(attribute, count)| ((event, attribute), count)));
        Ok(())
    }

    /// Counts one more, or says which bound it meets. `None`: the quota.
    fn add(&mut self, event: i64, attribute: i64) -> Result<(), Option<HubError>> {
        if self.left.is_some_and(|left| self.added >= left) {
            return Err(None);
        }
        let of_event = self.of_event.entry(event).or_insert(0);
        let of_attribute = self.of_attribute.entry((event, attribute)).or_insert(0);
        for (count, limit, unit) in [
            (*of_attribute, MAX_SIGHTINGS_OF_ATTRIBUTE, "sightings of one attribute by one organisation; take older ones back"),
            (*of_event, MAX_SIGHTINGS_OF_EVENT, "sightings of one event by one organisation; take older ones back"),
            (self.all, MAX_SIGHTINGS, "sightings of one organisation; take older ones back"),
        ] {
            if count >= limit {
                return Err(Some(HubError::TooLarge { limit: limit.unsigned_abs(), unit }));
            }
        }
        *of_attribute += 1;
        *of_event += 1;
        self.all += 1;
        self.added += 1;
        Ok(())
    }
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
        let (mut share, mut first) = (self.share_of(actor), None);
        for target in &targets {
            share.learn(&mut edit, actor, target.head.id).await?;
            self.count_sighting(&mut share, target.head.id, target.attribute)?;
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
        self.quotas.used(actor.organisation.number, now, share.added);
        values.truncate(MAX_SIGHTED);
        let mut told = false;
        for value in &values {
            match self.misp_tell(actor, value, said, seen).await {
                Ok(known) => told |= known,
                // What is kept with the attribute is kept; what is nowhere else is refused.
                Err(error) if first.is_none() => return Err(error),
                Err(error) => tracing::debug!(%error, "a sighting of a MISP attribute is no sighting of its value"),
            }
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
            let (head, place) = self.misp_find_part(actor, Part::Attribute, &name_of(&name)?, false).await?;
            // Of a list those before it are kept already.
            let (document, _room) = self.opened(&head, Wait::InLine).await?;
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
        self.each_row(actor, &search, false, 0, |row, _| {
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
        let (document, _room) = self.opened(&head, Wait::Refused).await?;
        let known: HashMap<String, &Fields> = document
            .each()
            .filter(|(attribute, _)| number(attribute, "id").is_some_and(|id| visible.contains(&id)))
            .filter_map(|(attribute, _)| Some((text(attribute, "uuid")?, attribute)))
            .collect();
        let now = self.clock().now();
        let mut values: Vec<(String, SightingKind, Timestamp)> = Vec::new();
        // Looked at before, so that nobody else's change waits for it.
        let mut list: Vec<Fields> = list.into_iter().filter_map(object).collect();
        let mut here: HashSet<String> = HashSet::new();
        for given in &list {
            if let Some(uuid) = text(given, "uuid").and_then(|uuid| uuid_of(&uuid))
                && self.is_sighting_here(actor, &head, &visible, &uuid).await?
            {
                here.insert(uuid);
            }
        }
        list.retain(|given| text(given, "uuid").and_then(|uuid| uuid_of(&uuid)).is_none_or(|uuid| !here.contains(&uuid)));
        let mut added = 0;
        let mut share = self.share_of(actor);
        let mut edit = self.misp_events().write().await?;
        share.learn(&mut edit, actor, head.id).await?;
        for given in list {
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
                Ok(_) => {
                    self.count_sighting(&mut share, new.event, new.attribute)?;
                    added += 1;
                }
                // Twice in the list.
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
        self.quotas.used(actor.organisation.number, now, share.added);
        for (value, said, seen) in &values {
            if let Err(error) = self.misp_tell(actor, value, *said, *seen).await {
                tracing::debug!(%error, "a sighting of a MISP attribute is no sighting of its value");
            }
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
        let head = self.misp_find(actor, &name_of(event)?, false).await?;
        let visible = self.misp_visible(actor, &head, RowQuery::default()).await?;
        let asked: Vec<String> = body.as_array().into_iter().flatten().filter_map(Value::as_str).filter_map(uuid_of).collect();
        if asked.len() > MAX_BULK {
            return Err(HubError::TooLarge { limit: MAX_BULK as u64, unit: "sightings" });
        }
        let mut wanted = Vec::new();
        for uuid in asked {
            if !self.is_sighting_here(actor, &head, &visible, &uuid).await? {
                wanted.push(Value::from(uuid));
            }
        }
        Ok(Value::Array(wanted))
    }

    /// Says it of the value to the hub; false where the hub knows nothing of it that the caller may know.
    ///
    /// # Errors
    /// Where the hub takes nothing now, or the day's quota is used up.
    async fn misp_tell(self: &Arc<Self>, actor: &Actor, value: &str, said: SightingKind, seen: Timestamp) -> Result<bool, HubError> {
        let Some((kind, value)) = detect(value) else { return Ok(false) };
        match self.sighting(actor, kind, &value, HubSighting { kind: said, time: Some(seen), note: None }).await {
            Ok(_) => Ok(true),
            Err(HubError::NotFound) => Ok(false),
            Err(error @ (HubError::Quota { .. } | HubError::Overloaded { .. } | HubError::DiskFull | HubError::ReadOnly)) => Err(error),
            // Such as a claim that is open already.
            Err(error) => {
                tracing::debug!(%error, "a sighting of a MISP attribute is no sighting of its value");
                Ok(true)
            }
        }
    }

    /// What the caller may add today.
    fn share_of(&self, actor: &Actor) -> Share {
        let organisation = &actor.organisation;
        Share { left: self.quotas.left(organisation.number, organisation.quota_per_day, self.clock().now()), ..Share::default() }
    }

    /// Counts one more sighting; the refusal where it is one too many.
    fn count_sighting(&self, share: &mut Share, event: i64, attribute: i64) -> Result<(), HubError> {
        let used_up = || HubError::Quota { retry_after: self.quotas.seconds_to_next_day(self.clock().now()) };
        share.add(event, attribute).map_err(|bound| bound.unwrap_or_else(used_up))
    }

    /// Whether a sighting of this UUID is here as far as the caller knows: one of its own, or one of these attributes of an event that it sees.
    async fn is_sighting_here(&self, actor: &Actor, head: &Head, visible: &HashSet<i64>, uuid: &str) -> Result<bool, HubError> {
        let there = self.misp_events().sighting(&Name::Uuid(uuid.to_owned())).await?;
        let is_seen = |sighting: &Sighting| sighting.event == head.id && visible.contains(&sighting.attribute) && may_know(actor, head, sighting);
        Ok(there.iter().any(|sighting| sighting.org == actor.organisation.number || is_seen(sighting)))
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_of_an_organisations_sightings_is_met_and_named() {
        let unit_of = |share: &mut Share| match share.add(1, 2) {
            Ok(()) => "",
            Err(Some(HubError::TooLarge { unit, .. })) => unit.split(';').next().unwrap(),
            Err(Some(other)) => panic!("{other}"),
            Err(None) => "quota",
        };
        let share = |of_attribute: i64, of_event: i64, all: i64, left: Option<u64>| Share {
            left,
            added: 0,
            all,
            of_event: HashMap::from([(1, of_event)]),
            of_attribute: HashMap::from([((1, 2), of_attribute)]),
        };
        let most = (MAX_SIGHTINGS_OF_ATTRIBUTE, MAX_SIGHTINGS_OF_EVENT, MAX_SIGHTINGS);
        for (mut share, expected) in [
            (share(most.0 - 1, most.1 - 1, most.2 - 1, Some(1)), ""),
            (share(most.0, 0, 0, None), "sightings of one attribute by one organisation"),
            (share(0, most.1, 0, None), "sightings of one event by one organisation"),
            (share(0, 0, most.2, None), "sightings of one organisation"),
            (share(0, 0, 0, Some(0)), "quota"),
        ] {
            assert_eq!(unit_of(&mut share), expected);
        }
        let mut share = share(0, 0, 0, Some(2));
        assert_eq!((unit_of(&mut share), unit_of(&mut share), unit_of(&mut share)), ("", "", "quota"));
        assert_eq!((share.added, share.all, share.of_event[&1], share.of_attribute[&(1, 2)]), (2, 2, 2, 2));
    }
}
