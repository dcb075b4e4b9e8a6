//! What of other events has the same value as an attribute, as far as the reader sees it.
//!
//! Flow: the values of some attributes → what of all events has them, as bytes ([`Related`]) → beside each attribute what is not of its own event.
//! Invariant: what is kept, and what is given beside the attributes of one event, is bounded in number and in bytes and has room; where something is
//! left out the attribute says so.

use super::lines::with_context;
use crate::misp::MAX_VALUES;
use crate::misp::fields::{Fields, flag, text};
use crate::misp::filter::{Scope, Search};
use crate::misp::show::Wait;
use crate::{Actor, Hub, HubError};
use hashbrown::{HashMap, HashSet};
use serde_json::Value;
use std::collections::BTreeMap;
use store::misp::{Name, key_of};
use tokio::sync::OwnedSemaphorePermit;

/// Attributes of other events that are looked at for up to [`MAX_VALUES`] values.
const MAX_RELATED: usize = 5_000;
/// Of them, those that are given beside one attribute.
const MAX_BESIDE: usize = 100;
/// Bytes of them that are kept for the attributes of one event.
const MAX_KEPT_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of them that are given beside the attributes of one event.
const MAX_BESIDE_BYTES: usize = 16 * 1024 * 1024;

/// What of other events has a value, by the value.
#[derive(Default)]
pub(super) struct Related {
    /// Events and what is written of their attributes.
    by_value: HashMap<String, Vec<(i64, Vec<u8>)>>,
    /// Values of which there may be more.
    cut: HashSet<String>,
    /// Bytes that may be kept still.
    left: usize,
    /// Bytes that may be given still.
    to_give: usize,
    /// What it takes.
    room: Option<OwnedSemaphorePermit>,
}

impl Hub {
    /// What of all events says the same as some attributes.
    pub(super) async fn misp_related(&self, actor: &Actor, mut wanted: Vec<String>, sync: bool) -> Result<Related, HubError> {
        wanted.sort_unstable();
        wanted.dedup();
        let mut related = Related { left: MAX_KEPT_BYTES, to_give: MAX_BESIDE_BYTES, ..Related::default() };
        if !wanted.is_empty() {
            related.room = Some(self.misp_room(MAX_KEPT_BYTES + MAX_BESIDE_BYTES).await?);
        }
        for values in wanted.chunks(MAX_VALUES) {
            if related.left == 0 || !self.relate(actor, values, sync, &mut related).await? {
                related.cut.extend(values.iter().cloned());
            }
        }
        Ok(related)
    }

    /// Finds what has one of some values. False where there may be more than was taken.
    async fn relate(&self, actor: &Actor, values: &[String], sync: bool, related: &mut Related) -> Result<bool, HubError> {
        let mut search = Search::read(&Fields::new(), Scope::Attributes, &self.misp_moment())?;
        search.rows.value.any = values.to_vec();
        if sync {
            search.rows.events.published = Some(true);
        }
        let mut by_event: BTreeMap<i64, HashSet<i64>> = BTreeMap::new();
        let mut count = 0;
        let is_all = self
            .each_row(actor, &search, sync, 0, |found, _| {
                count += 1;
                // One more is looked for, to know whether there are more.
                if count > MAX_RELATED {
                    return false;
                }
                by_event.entry(found.event).or_default().insert(found.id);
                true
            })
            .await?;
        for (event, visible) in by_event {
            let heads = self.misp_events().named(&Name::Id(event)).await?;
            let Some(head) = self.first_seen_by(actor, heads, sync) else { continue };
            let (document, _room) = self.opened(&head, Wait::Refused).await?;
            for line in self.lines(actor, &head, document, visible, false, sync).await? {
                let attribute = with_context(line, &search, &head.uuid);
                let Some(key) = correlating(&attribute) else { continue };
                if !related.keep(key, event, Value::Object(attribute).to_string().into_bytes()) {
                    return Ok(false);
                }
            }
        }
        Ok(is_all)
    }
}

impl Related {
    /// Keeps what an attribute of another event says, if it fits still.
    fn keep(&mut self, key: String, event: i64, attribute: Vec<u8>) -> bool {
        match self.left.checked_sub(attribute.len()) {
            Some(left) => {
                self.left = left;
                self.by_value.entry(key).or_default().push((event, attribute));
                true
            }
            None => {
                self.left = 0;
                false
            }
        }
    }

    /// Writes into an attribute of an event what of other events says the same.
    pub(super) fn put(&mut self, attribute: &mut Vec<u8>, key: Option<&str>, event: i64) {
        if attribute.pop() != Some(b'}') {
            return;
        }
        attribute.extend_from_slice(b",\"RelatedAttribute\":[");
        let others = key.and_then(|key| self.by_value.get(key)).into_iter().flatten().filter(|(of, _)| *of != event);
        let mut is_cut = key.is_some_and(|key| self.cut.contains(key));
        for (place, (_, other)) in others.enumerate() {
            let Some(left) = self.to_give.checked_sub(other.len()).filter(|_| place < MAX_BESIDE) else {
                is_cut = true;
                break;
            };
            self.to_give = left;
            if place > 0 {
                attribute.push(b',');
            }
            attribute.extend_from_slice(other);
        }
        let end = if is_cut { "],\"RelatedAttributeLeftOut\":true}" } else { "]}" };
        attribute.extend_from_slice(end.as_bytes());
    }

    /// The room that it takes, for what was written with it.
    pub(super) fn room(self) -> Option<OwnedSemaphorePermit> {
        self.room
    }
}

/// What an attribute correlates by: its value in lower case. `%` would stand for anything.
pub(super) fn correlating(fields: &Fields) -> Option<String> {
    if flag(fields, "disable_correlation") == Some(true) {
        return None;
    }
    text(fields, "value").map(|value| key_of(&value)).filter(|key| !key.contains('%'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    fn put(related: &mut Related, key: &str, event: i64) -> Value {
        let mut attribute = json!({ "value": key }).to_string().into_bytes();
        related.put(&mut attribute, Some(key), event);
        serde_json::from_slice(&attribute).unwrap()
    }

    #[test]
    fn what_is_left_out_beside_an_attribute_is_said() {
        let mut related = Related { left: 2_000, to_give: 2_000, ..Related::default() };
        for event in 1..=102 {
            assert!(related.keep("a".to_owned(), event, b"{}".to_vec()));
        }
        let counts = |shown: &Value| (shown["RelatedAttribute"].as_array().unwrap().len(), shown.get("RelatedAttributeLeftOut").is_some());
        assert_eq!(counts(&put(&mut related, "a", 7)), (100, true));
        assert_eq!(counts(&put(&mut related, "b", 7)), (0, false));
        related.by_value.get_mut("a").unwrap().truncate(2);
        assert_eq!(counts(&put(&mut related, "a", 2)), (1, false), "what is of the same event is none");
        related.cut.insert("b".to_owned());
        assert_eq!(counts(&put(&mut related, "b", 7)), (0, true));
        related.to_give = 3;
        assert_eq!((counts(&put(&mut related, "a", 7)), related.to_give), ((1, true), 1), "bytes are bounded, too");
    }

    #[test]
    fn no_more_is_kept_than_has_room() {
        let mut related = Related { left: 5, ..Related::default() };
        assert!(related.keep("a".to_owned(), 1, b"{}".to_vec()) && !related.keep("a".to_owned(), 2, b"{..}".to_vec()));
        assert_eq!((related.left, related.by_value["a"].len()), (0, 1));
    }

    #[test]
    fn an_attribute_correlates_by_its_value_unless_it_says_otherwise() {
        let fields = |value: Value| crate::misp::fields::object(value).unwrap();
        assert_eq!(correlating(&fields(json!({ "value": "Evil.Example" }))).as_deref(), Some("evil.example"));
        assert_eq!(correlating(&fields(json!({ "value": "x", "disable_correlation": true }))), None);
        assert_eq!(correlating(&fields(json!({ "value": "100%" }))), None);
    }
}
