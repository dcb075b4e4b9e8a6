//! An event as it is kept: its document with the rows that it is found by, each with who may see it.
//!
//! Invariant: rows, tags and document are of one moment. Nothing is found by a local tag.

use crate::directory::Snapshot;
use crate::misp::access::Owner;
use crate::misp::apart;
use crate::misp::document::{Document, tag_name};
use crate::misp::fields::{Fields, flag, number, text};
use crate::{Hub, HubError};
use formats::Defaults;
use formats::misp::judge::{Judged, Surroundings, judge, parts};
use hashbrown::HashSet;
use model::{OrgNo, Organisation, Origin, Timestamp};
use serde_json::Value;
use std::sync::Arc;
use store::misp::{Edit, Head, NewAttribute, NewEvent, NewObject, Part, key_of};

/// What of an event does not stand in its document.
#[derive(Debug, Clone, Copy)]
pub(in crate::misp) struct Kept {
    pub id: i64,
    pub generation: i64,
    pub org: OrgNo,
    pub published: bool,
    pub published_at: i64,
    pub deleted: bool,
}

impl Hub {
    /// Numbers what is new of an event and writes it.
    pub(in crate::misp) async fn keep(&self, edit: &mut Edit, organisation: &Arc<Organisation>, mut document: Document, kept: Kept) -> Result<(), HubError> {
        let (attributes, objects) = document.unnumbered();
        let attribute = if attributes > 0 { edit.numbers(Part::Attribute, attributes).await? } else { 0 };
        let object = if objects > 0 { edit.numbers(Part::Object, objects).await? } else { 0 };
        document.number(attribute, object);
        let reports = document.unnumbered_reports();
        if reports > 0 {
            document.number_reports(edit.numbers(Part::Report, reports).await?);
        }
        let (organisation, directory, now) = (Arc::clone(organisation), self.directory().snapshot(), self.clock().now());
        let event = apart(move || Ok(indexed(&document, &kept, &organisation, &directory, now))).await?;
        edit.put(&event).await?;
        Ok(())
    }
}

/// An event with its rows, as it is kept.
fn indexed(document: &Document, kept: &Kept, organisation: &Organisation, directory: &Snapshot, now: Timestamp) -> NewEvent {
    let owner = Owner::new(organisation, directory);
    let defaults = defaults(organisation, &document.head, now);
    let surroundings = Surroundings::of_event(&document.head);
    let event = owner.event(&document.head, &surroundings, &defaults);
    let mut tags: Vec<(i64, String)> = tag_keys(&document.head).map(|name| (0, name)).collect();
    let mut attributes = Vec::new();
    let mut seen: HashSet<i64> = HashSet::new();
    for (attribute, object) in document.each() {
        let Some(id) = number(attribute, "id").filter(|id| seen.insert(*id)) else { continue };
        let judged = judge_in(attribute, object, &surroundings, &defaults);
        let access = owner.attribute(attribute, object, &event, &judged);
        tags.extend(tag_keys(attribute).map(|name| (id, name)));
        let (kind, value) = (text(attribute, "type").unwrap_or_default(), text(attribute, "value").unwrap_or_default());
        let (first, second) = parts(&kind, &value);
        let gone = flag(attribute, "deleted") == Some(true) || object.is_some_and(|object| flag(object, "deleted") == Some(true));
        attributes.push(NewAttribute {
            id,
            object: object.and_then(|object| number(object, "id")).unwrap_or(0),
            uuid: text(attribute, "uuid").unwrap_or_default(),
            kind: key_of(&kind),
            category: key_of(&text(attribute, "category").unwrap_or_default()),
            value: key_of(&value),
            value1: key_of(first),
            value2: second.map(key_of).unwrap_or_default(),
            comment: key_of(&text(attribute, "comment").unwrap_or_default()),
            to_ids: flag(attribute, "to_ids") == Some(true),
            deleted: gone,
            timestamp: number(attribute, "timestamp").unwrap_or(0),
            tlp: access.tlp,
            audience: access.audience,
            victim: judged.victim,
            test: judged.test,
        });
    }
    let objects = document.objects.iter().filter_map(|object| {
        Some(NewObject {
            id: number(object, "id")?,
            uuid: text(object, "uuid")?,
            name: key_of(&text(object, "name")?),
            deleted: flag(object, "deleted") == Some(true),
        })
    });
    let head = Head {
        id: kept.id,
        org: kept.org,
        uuid: text(&document.head, "uuid").unwrap_or_default(),
        published: kept.published,
        deleted: kept.deleted,
        tlp: event.tlp,
        audience: event.audience,
        test: surroundings.test(),
        timestamp: number(&document.head, "timestamp").unwrap_or(0),
        published_at: kept.published_at,
        date: text(&document.head, "date").unwrap_or_default(),
        // Worked out when it is written.
        attributes: 0,
        generation: kept.generation,
        json: document.head_json(),
    };
    NewEvent {
        head,
        info: key_of(&text(&document.head, "info").unwrap_or_default()),
        content: document.content_json(),
        attributes,
        objects: objects.collect(),
        reports: document.reports().filter_map(|report| Some((number(report, "id")?, text(report, "uuid").unwrap_or_default().to_lowercase()))).collect(),
        tags,
    }
}

/// What an attribute is, in its object and event.
pub(in crate::misp) fn judge_in(attribute: &Fields, object: Option<&Fields>, surroundings: &Surroundings, defaults: &Defaults) -> Judged {
    match object {
        Some(object) => judge(attribute, &surroundings.with_object(object), defaults),
        None => judge(attribute, surroundings, defaults),
    }
}

/// What an attribute has where nothing is said. What somebody else made is passed on.
pub(in crate::misp) fn defaults(organisation: &Organisation, head: &Fields, now: Timestamp) -> Defaults {
    let origin = head.contains_key("Orgc").then_some(Origin::Relayed);
    Defaults { now, tlp: organisation.default_tlp, pap: organisation.default_pap, named: organisation.named, category: None, origin, role: None }
}

/// The tags that it is found by. Local ones are shown to the owner and the hub's desk alone, and what is found by a tag tells that it is there.
fn tag_keys(fields: &Fields) -> impl Iterator<Item = String> {
    let tags = fields.get("Tag").and_then(Value::as_array).into_iter().flatten();
    tags.filter(|tag| tag.get("local").and_then(Value::as_bool) != Some(true)).filter_map(tag_name).map(key_of)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_is_found_by_a_local_tag() {
        let tagged = crate::misp::fields::object(json!({ "Tag": [{ "name": "Own", "local": true }, { "name": "Shared", "local": false }] })).unwrap();
        assert_eq!(tag_keys(&tagged).collect::<Vec<_>>(), ["shared"]);
    }
}
