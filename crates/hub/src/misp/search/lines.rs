//! The attributes of an event as an answer has them, each with what stands beside it.
//!
//! Not here: which attributes these are ([`super::wanted`]), formats ([`crate::misp::export`]).

use crate::misp::apart;
use crate::misp::document::Document;
use crate::misp::export::Line;
use crate::misp::fields::{Fields, number, set, text};
use crate::misp::filter::Search;
use crate::misp::show::attribute_fields;
use crate::{Actor, Hub, HubError};
use formats::misp::judge::parts;
use hashbrown::HashSet;
use model::detect::detect;
use policy::Sight;
use serde_json::Value;
use std::sync::Arc;
use store::misp::Head;

/// Fields of the event that stand beside an attribute.
const BRIEF: [&str; 6] = ["id", "uuid", "info", "org_id", "orgc_id", "distribution"];
/// The same where the context is asked for.
const CONTEXT: [&str; 15] = [
    "id",
    "uuid",
    "info",
    "org_id",
    "orgc_id",
    "distribution",
    "published",
    "threat_level_id",
    "analysis",
    "date",
    "timestamp",
    "publish_timestamp",
    "Orgc",
    "Org",
    "Tag",
];

impl Hub {
    /// The attributes of an event that are to be written, each with what a table says of it.
    pub(super) async fn lines(
        &self,
        actor: &Actor,
        head: &Head,
        document: Document,
        visible: HashSet<i64>,
        attachments: bool,
        sync: bool,
    ) -> Result<Vec<Line>, HubError> {
        let shown = Arc::new(self.misp_head(actor, head, sync)?);
        let sight = self.misp_sight(actor, head);
        let event = head.id;
        apart(move || {
            let seen = document.each().filter(|(attribute, _)| number(attribute, "id").is_some_and(|id| visible.contains(&id)));
            Ok(seen.map(|(attribute, object)| line(attribute, object, event, &shown, attachments, sight, sync)).collect())
        })
        .await
    }

    /// Takes out the attributes whose value a warning list holds.
    pub(super) fn without_listed(&self, document: &Document, visible: &mut HashSet<i64>) {
        for (attribute, _) in document.each() {
            let (Some(id), Some(kind), Some(value)) = (number(attribute, "id"), text(attribute, "type"), text(attribute, "value")) else { continue };
            if visible.contains(&id) && self.misp_is_listed(&kind, &value) {
                visible.remove(&id);
            }
        }
    }

    /// Whether a warning list holds the value of an attribute, or a part of it.
    pub(in crate::misp) fn misp_is_listed(&self, kind: &str, value: &str) -> bool {
        let (first, second) = parts(kind, value);
        let listed = |text: &str| detect(text).is_some_and(|(kind, value)| self.warning_lists.touches(kind, &value));
        listed(first) || second.is_some_and(listed)
    }
}

fn line(attribute: &Fields, object: Option<&Fields>, event: i64, shown: &Arc<Fields>, attachments: bool, sight: Sight, sync: bool) -> Line {
    let number = object.and_then(|object| number(object, "id")).unwrap_or(0);
    let said = |name: &str| object.and_then(|object| text(object, name)).unwrap_or_default();
    Line {
        attribute: attribute_fields(attribute, event, number, attachments, sight, sync),
        object_uuid: said("uuid"),
        object_name: said("name"),
        object_category: said("meta-category"),
        event: Arc::clone(shown),
    }
}

/// An attribute of a search with the event it is in, as far as that is asked for.
pub(super) fn with_context(line: Line, search: &Search, uuid: &str) -> Fields {
    let Line { mut attribute, event, .. } = line;
    set(&mut attribute, "event_uuid", uuid);
    let mut context = Fields::new();
    let names: &[&str] = if search.context { &CONTEXT } else { &BRIEF };
    for name in names {
        if let Some(value) = event.get(*name) {
            set(&mut context, name, value.clone());
        }
    }
    set(&mut attribute, "Event", context);
    if search.event_tags
        && let (Some(Value::Array(of_event)), Some(Value::Array(own))) = (event.get("Tag"), attribute.get_mut("Tag"))
    {
        for tag in of_event {
            let mut tag = tag.clone();
            if let Some(fields) = tag.as_object_mut() {
                set(fields, "inherited", 1);
            }
            own.push(tag);
        }
    }
    attribute
}
