//! What of other events has the same value as an attribute, as far as the reader sees it.

use super::lines::with_context;
use crate::misp::MAX_VALUES;
use crate::misp::fields::{Fields, flag, set, text};
use crate::misp::filter::{Scope, Search};
use crate::misp::show::Wait;
use crate::{Actor, Hub, HubError};
use hashbrown::{HashMap, HashSet};
use serde_json::Value;
use std::collections::BTreeMap;
use store::misp::{Name, key_of};

/// Attributes of other events that are looked at for up to [`MAX_VALUES`] values.
const MAX_RELATED: usize = 5_000;
/// Of them, those that are given beside one attribute.
const MAX_BESIDE: usize = 100;

/// What of other events has a value, by the value.
pub(super) type Related = HashMap<String, Vec<Value>>;

impl Hub {
    /// What of all events says the same as some attributes.
    pub(super) async fn misp_related(&self, actor: &Actor, mut wanted: Vec<String>, sync: bool) -> Result<Related, HubError> {
        wanted.sort_unstable();
        wanted.dedup();
        let mut related = Related::new();
        for values in wanted.chunks(MAX_VALUES) {
            self.relate(actor, values, sync, &mut related).await?;
        }
        Ok(related)
    }

    /// Finds what has one of some values.
    async fn relate(&self, actor: &Actor, values: &[String], sync: bool, related: &mut Related) -> Result<(), HubError> {
        let mut search = Search::read(&Fields::new(), Scope::Attributes, &self.misp_moment())?;
        search.rows.value.any = values.to_vec();
        if sync {
            search.rows.events.published = Some(true);
        }
        let mut by_event: BTreeMap<i64, HashSet<i64>> = BTreeMap::new();
        let mut count = 0;
        self.each_row(actor, &search, sync, 0, |found, _| {
            by_event.entry(found.event).or_default().insert(found.id);
            count += 1;
            count < MAX_RELATED
        })
        .await?;
        for (event, visible) in by_event {
            let heads = self.misp_events().named(&Name::Id(event)).await?;
            let Some(head) = self.first_seen_by(actor, heads, sync) else { continue };
            let (document, _room) = self.opened(&head, Wait::Refused).await?;
            for line in self.lines(actor, &head, document, visible, false, sync).await? {
                let attribute = with_context(line, &search, &head.uuid, &HashMap::new());
                if let Some(key) = attribute.as_object().and_then(correlating) {
                    related.entry(key).or_default().push(attribute);
                }
            }
        }
        Ok(())
    }
}

/// Puts beside each attribute of an event what of other events says the same.
pub(super) fn put_related(attributes: &mut [Value], related: &Related) {
    for fields in attributes.iter_mut().filter_map(Value::as_object_mut) {
        let others = correlating(fields).and_then(|key| related.get(&key));
        let event = fields.get("event_id").cloned();
        let beside: Vec<Value> = others.into_iter().flatten().filter(|other| other.get("event_id") != event.as_ref()).take(MAX_BESIDE).cloned().collect();
        set(fields, "RelatedAttribute", beside);
    }
}

/// What an attribute correlates by: its value in lower case. `%` would stand for anything.
pub(super) fn correlating(fields: &Fields) -> Option<String> {
    if flag(fields, "disable_correlation") == Some(true) {
        return None;
    }
    text(fields, "value").map(|value| key_of(&value)).filter(|key| !key.contains('%'))
}
