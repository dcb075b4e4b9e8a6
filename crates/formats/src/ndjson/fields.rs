//! Which field of a JSON object goes where in a draft.
//!
//! Flow: `serde_json` walks an object → the seeds here put each field into a [`Draft`] that borrows from the line.
//! Invariant: a field that is not ours is kept as it stands; of a repeated field the last counts. Lists are read to one past their limit.
//! Not here: what a field may hold (`draft`).

use super::draft::{Draft, DraftObservable, MAX_EXTRA_FIELDS, MAX_LIST, MAX_OBSERVABLES};
use super::raw::Key;
use super::scalar::Scalar;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;

/// Reads one event object into a draft.
pub(super) struct IntoDraft<'d, 'a>(pub(super) &'d mut Draft<'a>);

impl<'de> DeserializeSeed<'de> for IntoDraft<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for IntoDraft<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let draft = self.0;
        while let Some(Key(name)) = fields.next_key::<Key<'de>>()? {
            match &*name {
                "time" => draft.time = fields.next_value()?,
                "category" => draft.category = fields.next_value()?,
                "observables" => {
                    draft.observables.clear();
                    fields.next_value_seed(IntoObservables(&mut draft.observables))?;
                }
                "observable" => {
                    let mut given = SmallVec::new();
                    fields.next_value_seed(IntoObservables(&mut given))?;
                    draft.single = given.into_vec();
                }
                "value" => draft.value = fields.next_value()?,
                "type" => draft.kind = fields.next_value()?,
                "role" => draft.role = fields.next_value()?,
                "detect" => draft.detect = fields.next_value()?,
                "origin" => draft.origin = fields.next_value()?,
                "tlp" => draft.tlp = fields.next_value()?,
                "pap" => draft.pap = fields.next_value()?,
                "audience" => draft.audience = fields.next_value::<Words<'de>>()?.0,
                "named" => draft.named = fields.next_value()?,
                "notify_owner" => draft.notify_owner = fields.next_value()?,
                "valid_until" => draft.valid_until = fields.next_value()?,
                "id" => draft.id = fields.next_value()?,
                "confidence" => draft.confidence = fields.next_value()?,
                "severity" => draft.severity = fields.next_value()?,
                "sector" => draft.sector = fields.next_value()?,
                "malware" => draft.malware = fields.next_value()?,
                "technique" => draft.technique = fields.next_value::<Words<'de>>()?.0,
                "cve" => draft.cve = fields.next_value::<Words<'de>>()?.0,
                "port" => draft.port = fields.next_value()?,
                "dst_ip" => draft.dst_ip = fields.next_value()?,
                "dst_port" => draft.dst_port = fields.next_value()?,
                "protocol" => draft.protocol = fields.next_value()?,
                "count" => draft.count = fields.next_value()?,
                "last_time" => draft.last_time = fields.next_value()?,
                "target" => fields.next_value_seed(IntoTarget(draft))?,
                "source_asn" => draft.source_asn = fields.next_value()?,
                "note" => draft.note = fields.next_value()?,
                "original" => draft.original = fields.next_value()?,
                "extra" => draft.extra = Some(fields.next_value::<&'de RawValue>()?.get()),
                // What an answer carries beside the event: sent back, it means nothing.
                "seq" | "received" | "reporter" | "own" => {
                    fields.next_value::<IgnoredAny>()?;
                }
                _ => {
                    let json = fields.next_value::<&'de RawValue>()?.get();
                    draft.keep(name, Cow::Borrowed(json));
                }
            }
        }
        Ok(())
    }
}

/// Reads `observables`: an array of objects and texts, or one of them.
pub(super) struct IntoObservables<'d, 'a>(pub(super) &'d mut SmallVec<[DraftObservable<'a>; 1]>);

impl<'de> DeserializeSeed<'de> for IntoObservables<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for IntoObservables<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("observables as objects or texts")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<(), E> {
        self.0.push(ObservableVisitor.visit_borrowed_str::<E>(text)?);
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.0.push(ObservableVisitor.visit_str::<E>(text)?);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<(), A::Error> {
        self.0.push(ObservableVisitor.visit_map(fields)?);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<DraftObservable<'de>>()? {
            // One more than the limit is enough to be refused.
            if self.0.len() <= MAX_OBSERVABLES {
                self.0.push(item);
            }
        }
        Ok(())
    }
}

struct ObservableVisitor;

impl<'de> Visitor<'de> for ObservableVisitor {
    type Value = DraftObservable<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an observable as object or text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(DraftObservable { value: Scalar::borrowed(text), ..DraftObservable::default() })
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(DraftObservable { value: Scalar::Text(Cow::Owned(text.to_owned())), ..DraftObservable::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut observable = DraftObservable::default();
        while let Some(Key(name)) = fields.next_key::<Key<'de>>()? {
            match &*name {
                "type" => observable.kind = fields.next_value()?,
                "value" => observable.value = fields.next_value()?,
                "role" => observable.role = fields.next_value()?,
                "detect" => observable.detect = fields.next_value()?,
                // The hub's own flag.
                "reserved" => {
                    fields.next_value::<IgnoredAny>()?;
                }
                _ => {
                    let json = fields.next_value::<&'de RawValue>()?.get();
                    if observable.members.len() <= MAX_EXTRA_FIELDS {
                        observable.members.push((name, json));
                    }
                }
            }
        }
        Ok(observable)
    }
}

impl<'de> Deserialize<'de> for DraftObservable<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObservableVisitor)
    }
}

/// Reads `target`: an object, or a text.
struct IntoTarget<'d, 'a>(&'d mut Draft<'a>);

impl<'de> DeserializeSeed<'de> for IntoTarget<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let draft = self.0;
        draft.target = Scalar::Absent;
        draft.target_ip = Scalar::Absent;
        draft.target_asn = Scalar::Absent;
        draft.target_sector = Scalar::Absent;
        deserializer.deserialize_any(IntoTarget(draft))
    }
}

impl<'de> Visitor<'de> for IntoTarget<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a target as object or text")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.0.target = Scalar::borrowed(text);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.target = Scalar::Text(Cow::Owned(text.to_owned()));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let draft = self.0;
        while let Some(Key(name)) = fields.next_key::<Key<'de>>()? {
            match &*name {
                "ip" => draft.target_ip = fields.next_value()?,
                "asn" => draft.target_asn = fields.next_value()?,
                "sector" => draft.target_sector = fields.next_value()?,
                _ => {
                    let json = fields.next_value::<&'de RawValue>()?.get();
                    draft.keep(Cow::Owned(format!("target.{name}")), Cow::Borrowed(json));
                }
            }
        }
        Ok(())
    }
}

/// A list of words, or one word.
struct Words<'a>(Vec<Scalar<'a>>);

struct WordsVisitor;

impl<'de> Visitor<'de> for WordsVisitor {
    type Value = Words<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of words")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Words(Vec::new()))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Words(vec![Scalar::borrowed(text)]))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Words(vec![Scalar::Text(Cow::Owned(text.to_owned()))]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut words = Vec::new();
        while let Some(item) = items.next_element::<Scalar<'de>>()? {
            if words.len() <= MAX_LIST {
                words.push(item);
            }
        }
        Ok(Words(words))
    }
}

impl<'de> Deserialize<'de> for Words<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordsVisitor)
    }
}
