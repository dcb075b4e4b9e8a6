//! What of other events has the same value as an attribute, as far as the reader sees it.

use super::lines::with_context;
use crate::misp::MAX_VALUES;
use crate::misp::fields::{Fields, flag, set, text};
use crate::misp::filter::{Scope, Search};
use crate::{Actor, Hub, HubError};
use hashbrown::{HashMap, HashSet};
use serde_json::Value;
use std::collections::BTreeMap;
use store::misp::{Name, key_of};

/// Attributes of other events that are looked at for up to [`MAX_VALUES`] values.
const MAX_RELATED: usize = 5_000;
/// Of them, those that are given beside one attribute.
const MAX_BESIDE: usize = 100;

impl Hub {
    /// Puts beside each attribute of an event what of other events says the same.
    pub(super) async fn add_related(&self, actor: &Actor, attributes: &mut [Value], sync: bool) -> Result<(), HubError> {
        let mut wanted: Vec<String> = attributes.iter().filter_map(correlating).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut related: HashMap<String, Vec<Value>> = HashMap::new();
        for values in wanted.chunks(MAX_VALUES) {
            self.relate(actor, values, sync, &mut related).await?;
        }
        for attribute in attributes {
            let others = correlating(attribute).and_then(|key| related.get(&key));
            let event = attribute.get("event_id").cloned();
            let beside: Vec<Value> = others.into_iter().flatten().filter(|other| other.get("event_id") != event.as_ref()).take(MAX_BESIDE).cloned().collect();
            if let Some(fields) = attribute.as_object_mut() {
                set(fields, "RelatedAttribute", beside);
            }
        }
        Ok(())
    }

    /// Finds what has one of some values.
    async fn relate(&self, actor: &Actor, values: &[String], sync: bool, related: &mut HashMap<String, Vec<Value>>) -> Result<(), HubError> {
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
            let (document, _room) = self.opened(&head).await?;
            for line in self.lines(actor, &head, document, visible, false, sync).await? {
                let attribute = with_context(line, &search, &head.uuid, &HashMap::new());
                if let Some(key) = correlating(&attribute) {
                    related.entry(key).or_default().push(attribute);
                }
            }
        }
        Ok(())
    }
}

/// What an attribute correlates by: its value in lower case. `%` would stand for anything.
fn correlating(attribute: &Value) -> Option<String> {
    let fields = attribute.as_object().filter(|fields| flag(fields, "disable_correlation") != Some(true))?;
    text(fields, "value").map(|value| key_of(&value)).filter(|key| !key.contains('%'))
}
