//! Erasure: a value taken out of contributed events, of proposals and of what was said with sightings.
//!
//! Flow: `crate::erasures` → every event's fields are looked through, each event in a transaction of its own → what holds the value reads
//! [`ERASED`]; an attribute whose value it is in is deleted, too → the hub's own events follow as after any change.
//! Invariant: what is not free text stays, so that an event can still be read: numbers, UUIDs, times, types, categories. Doing it again does what is left.
//! Not here: what is inside of attachments, which nobody looks into.

use super::apart;
use super::change::Kept;
use super::document::{Document, Moment, mark_deleted};
use super::fields::{Fields, set, text, uuid_of};
use crate::{Hub, HubError};
use formats::misp::describe::is_category;
use formats::misp::judge::is_type;
use serde_json::Value;
use store::ledger::Victim;
use store::misp::{Head, Name};

/// What stands in the place of what was taken out.
const ERASED: &str = "[erased]";
/// Fields that MISP itself reads; what stands in them in its form is no free text.
const STRUCTURE: [&str; 24] = [
    "id",
    "uuid",
    "timestamp",
    "publish_timestamp",
    "date",
    "distribution",
    "sharing_group_id",
    "threat_level_id",
    "analysis",
    "extends_uuid",
    "type",
    "category",
    "first_seen",
    "last_seen",
    "template_uuid",
    "template_version",
    "user_id",
    "org_id",
    "event_id",
    "object_id",
    "object_uuid",
    "referenced_id",
    "referenced_uuid",
    "referenced_type",
];

impl Hub {
    /// Takes a value out of everything that was contributed. Gives how many texts were taken out.
    ///
    /// # Errors
    /// What the store says; what was done until then stays done.
    pub(crate) async fn misp_erase(&self, victim: &Victim) -> Result<u64, HubError> {
        let mut erased = 0;
        let mut after = 0;
        loop {
            let ids = self.misp_events().ids(after).await?;
            let Some(last) = ids.last() else { break };
            after = *last;
            for id in ids {
                erased += self.erase_in_event(id, victim).await?;
            }
        }
        erased += self.erase_beside_events(victim).await?;
        self.misp.feed.forget();
        self.misp_events().checkpoint().await?;
        Ok(erased)
    }

    async fn erase_in_event(&self, id: i64, victim: &Victim) -> Result<u64, HubError> {
        let mut edit = self.misp_events().write().await?;
        let Some(head) = edit.named(&Name::Id(id)).await?.into_iter().next() else { return Ok(0) };
        let content = edit.content(id).await?;
        let (json, victim, moment) = (head.json.clone(), victim.clone(), self.misp_moment());
        let found = apart(move || {
            let mut document = Document::open(&json, &content)?;
            let count = erase_in(&mut document, &victim, &moment);
            Ok((count > 0).then_some((document, count)))
        })
        .await?;
        let Some((document, count)) = found else { return Ok(0) };
        let organisation = self.directory().organisation(head.org).ok_or(HubError::NotFound)?;
        let Head { org, published, published_at, deleted, generation, .. } = head;
        let kept = Kept { id, generation: generation + 1, org, published, published_at, deleted };
        self.keep(&mut edit, &organisation, document, kept).await?;
        edit.commit().await?;
        Ok(count)
    }

    /// Words that came with sightings, and proposals.
    async fn erase_beside_events(&self, victim: &Victim) -> Result<u64, HubError> {
        let mut erased = 0;
        let mut after = 0;
        loop {
            let page = self.misp_events().sightings(None, None, after).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            let held: Vec<i64> = page.iter().filter(|sighting| victim.is_in(&sighting.source)).map(|sighting| sighting.id).collect();
            if held.is_empty() {
                continue;
            }
            let mut edit = self.misp_events().write().await?;
            for id in held {
                edit.silence_sighting(id).await?;
                erased += 1;
            }
            edit.commit().await?;
        }
        after = 0;
        loop {
            let page = self.misp_events().proposals(None, None, after).await?;
            let Some(last) = page.last() else { return Ok(erased) };
            after = last.id;
            let held: Vec<i64> = page.iter().filter(|proposal| proposes(&proposal.json, victim)).map(|proposal| proposal.id).collect();
            if held.is_empty() {
                continue;
            }
            let mut edit = self.misp_events().write().await?;
            for id in held {
                edit.delete_proposal(id).await?;
                erased += 1;
            }
            edit.commit().await?;
        }
    }
}

/// Whether a proposal holds the value; one that cannot be read is taken for one that does.
fn proposes(json: &str, victim: &Victim) -> bool {
    !serde_json::from_str::<Fields>(json).is_ok_and(|mut fields| erase(&mut fields, victim) == 0)
}

/// Takes a value out of a whole event, and gives how many texts held it.
fn erase_in(document: &mut Document, victim: &Victim, moment: &Moment) -> u64 {
    let mut count = erase(&mut document.head, victim);
    for attribute in &mut document.attributes {
        count += erase_attribute(attribute, victim, moment);
    }
    for object in &mut document.objects {
        let mut attributes = object.remove("Attribute").unwrap_or_default();
        count += erase(object, victim);
        for attribute in attributes.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            count += erase_attribute(attribute, victim, moment);
        }
        object.insert("Attribute".to_owned(), attributes);
    }
    if count > 0 {
        document.touch(moment);
    }
    count
}

fn erase_attribute(attribute: &mut Fields, victim: &Victim, moment: &Moment) -> u64 {
    let is_value = text(attribute, "value").is_some_and(|value| victim.is_in(&value));
    let count = erase(attribute, victim);
    if is_value {
        set(attribute, "to_ids", false);
        attribute.remove("data");
        mark_deleted(attribute, true, moment);
    }
    count
}

fn erase(fields: &mut Fields, victim: &Victim) -> u64 {
    let before = fields.len();
    // Names of fields are no texts, but whoever sends an event may write anything there.
    fields.retain(|name, _| is_word(name) || !victim.is_in(name));
    let gone = u64::try_from(before - fields.len()).unwrap_or(u64::MAX);
    fields.iter_mut().fold(gone, |count, (name, value)| count + erase_value(name, value, victim))
}

fn erase_value(name: &str, value: &mut Value, victim: &Victim) -> u64 {
    let held = match value {
        Value::String(text) => !is_structure(name, text) && victim.is_in(text),
        Value::Number(number) => !STRUCTURE.contains(&name) && victim.is_in(&number.to_string()),
        Value::Array(list) => return list.iter_mut().map(|entry| erase_value(name, entry, victim)).sum(),
        Value::Object(fields) => return erase(fields, victim),
        Value::Null | Value::Bool(_) => false,
    };
    if held {
        *value = Value::String(ERASED.to_owned());
    }
    u64::from(held)
}

fn is_word(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Whether a text is what MISP reads in the field it stands in.
fn is_structure(name: &str, text: &str) -> bool {
    let is_time = || text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b'+' | b'T' | b'Z'));
    STRUCTURE.contains(&name) && (uuid_of(text).is_some() || is_time() || is_type(text) || is_category(text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::super::fields::object;
    use super::*;
    use model::ObservableType;
    use serde_json::json;
    use store::views::Keys;

    fn victim(kind: ObservableType, value: &str) -> Victim {
        Victim::new(&Keys::new([7; 32]), kind, value)
    }

    fn document() -> Document {
        let moment = Moment { now: 1_000, today: "2026-11-21".to_owned() };
        let given = json!({
            "info": "Mail to Lee@Household[.]kr", "x_own": ["lee%40household.kr", { "lee@household.kr": 1, "plain": "stays" }],
            "Tag": [{ "name": "for:lee@household.kr" }],
            "Attribute": [
                { "type": "target-email", "value": "lee@household.kr", "comment": "nothing", "data": "AAAA" },
                { "type": "domain", "value": "evil.example", "comment": "seen by lee@household.kr" },
                { "type": "text", "value": "untouched" },
            ],
            "Object": [{ "name": "email", "description": "of lee@household.kr", "Attribute": [{ "type": "email-dst", "value": "LEE@household.kr" }] }],
        });
        let mut document = Document::new(object(given).unwrap(), &moment).unwrap();
        document.number(1, 1);
        document
    }

    #[test]
    fn a_value_is_taken_out_of_every_text_of_an_event_and_the_rest_stays() {
        let mut document = document();
        let moment = Moment { now: 2_000, today: "2026-11-21".to_owned() };
        let lee = victim(ObservableType::Email, "lee@household.kr");
        assert_eq!(erase_in(&mut document, &lee, &moment), 8);
        let whole = format!("{}{}", document.head_json(), String::from_utf8(document.content_json()).unwrap());
        assert!(!lee.is_in(&whole) && !whole.contains("AAAA"), "{whole}");
        assert_eq!((&document.attributes[0]["value"], &document.attributes[0]["deleted"]), (&json!(ERASED), &json!(true)));
        assert_eq!((&document.attributes[1]["value"], &document.attributes[1]["comment"]), (&json!("evil.example"), &json!(ERASED)));
        assert_eq!((&document.attributes[1]["deleted"], &document.attributes[2]["value"]), (&json!(false), &json!("untouched")));
        assert_eq!(document.head["x_own"][1], json!({ "plain": "stays" }));
        assert_eq!(document.head["timestamp"], "2000");
        assert_eq!(erase_in(&mut document, &lee, &moment), 0, "again there is nothing");
    }

    #[test]
    fn what_misp_reads_stays_whatever_digits_it_has() {
        let mut document = document();
        let moment = Moment { now: 2_000, today: "2026-11-21".to_owned() };
        let before = document.head_json();
        assert_eq!(erase_in(&mut document, &victim(ObservableType::Asn, "1000"), &moment), 0, "a time is no text");
        assert_eq!(document.head_json(), before);
        assert!(is_structure("type", "email-dst") && !is_structure("type", "lee@household.kr") && !is_structure("comment", "1000"));
    }

    #[test]
    fn a_proposal_that_holds_the_value_or_cannot_be_read_goes() {
        let lee = victim(ObservableType::Email, "lee@household.kr");
        assert!(proposes(r#"{"comment":"lee@household.kr"}"#, &lee) && proposes("no JSON", &lee) && !proposes(r#"{"value":"other"}"#, &lee));
    }
}
