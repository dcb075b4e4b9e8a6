//! One event with all that is in it and beside it.
//!
//! Flow: a name → the event ([`Hub::misp_find`]) → what the reader sees of it ([`super::show`]) → bytes, each attribute with its sightings and proposals
//! ([`super::beside`]).
//! Invariant: an instance is given neither: it asks for them on their own.

use super::answer::{self, MispAnswer, MispMedia, Out};
use super::beside::{Beside, Wanted};
use super::document::REPORTS;
use super::fields::{Fields, flag, flag_of, number, objects};
use super::find::name_of;
use super::show::{Extent, Wait, deleted_of};
use super::{apart, reads};
use crate::{Actor, Hub, HubError};
use serde_json::Value;
use std::sync::Arc;
use store::misp::Name;

/// An event that is being written.
struct Viewing {
    hub: Arc<Hub>,
    actor: Actor,
    name: Name,
    extent: Extent,
    wanted: Option<Wanted>,
    /// Without reports.
    no_reports: bool,
    sync: bool,
}

/// The fields of a JSON object without the sign that ends it, so that more can follow; with the number of what it is.
type Open = (i64, Vec<u8>);

/// The parts of an event, ready to be written.
struct Parts {
    head: Vec<u8>,
    attributes: Vec<Open>,
    objects: Vec<(Vec<u8>, Vec<Open>)>,
}

impl Hub {
    /// An event, as the caller sees it.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where there is none that the caller may know of.
    pub async fn misp_view(self: &Arc<Self>, actor: &Actor, name: &str, options: &Fields, sync: bool) -> Result<MispAnswer, HubError> {
        reads(actor)?;
        let deleted = match options.get("deleted") {
            Some(Value::String(word)) if word == "only" => Some(true),
            Some(Value::Array(list)) if !list.is_empty() => deleted_of(list),
            Some(value) if flag_of(value) == Some(true) => None,
            _ => Some(false),
        };
        // A pulling instance asks for deleted parts, so that it deletes them, too.
        let deleted = options.get("deleted[]").map_or(deleted, |_| None);
        let extent = Extent { metadata: flag(options, "metadata") == Some(true), deleted, ..Extent::WHOLE };
        let with = |without: &str| flag(options, without) != Some(true);
        let wanted = Wanted { sightings: with("noSightings"), always: false, proposals: with("noShadowAttributes") };
        let viewing = Viewing {
            hub: Arc::clone(self),
            actor: actor.clone(),
            name: name_of(name)?,
            extent,
            wanted: (!sync && !extent.metadata).then_some(wanted),
            no_reports: !with("noEventReports"),
            sync,
        };
        let answer = answer::begin(self, actor.organisation.number, MispMedia::Json, Wait::Refused, move |out| viewing.run(out)).await?;
        Ok(MispAnswer { count: None, ..answer })
    }
}

impl Viewing {
    async fn run(self, mut out: Out) -> Result<Out, HubError> {
        let head = self.hub.misp_find(&self.actor, &self.name, self.sync).await?;
        let (mut event, room) = self.hub.misp_event(&self.actor, &head, self.extent, self.sync, Wait::Refused).await?;
        if self.no_reports {
            event.insert(REPORTS.to_owned(), Value::Array(Vec::new()));
        }
        let nothing = Wanted { sightings: false, always: false, proposals: false };
        let beside = self.hub.misp_beside(&self.actor, &head, self.wanted.unwrap_or(nothing)).await?;
        let (parts, mut beside) = apart(move || Ok((Parts::of(event, &beside)?, beside))).await?;
        // What is written waits here until it is taken, however slowly, and so does its room.
        let _room = room.and_then(|mut room| room.split(room.num_permits().min(parts.bytes().div_ceil(1024))));
        out.write(b"{\"Event\":");
        out.write(&parts.head);
        beside.write(0, &mut out).await?;
        out.write(b",\"Attribute\":[");
        write_all(&parts.attributes, &mut beside, &mut out).await?;
        out.write(b"],\"Object\":[");
        for (place, (fields, attributes)) in parts.objects.iter().enumerate() {
            if place > 0 {
                out.write(b",");
            }
            out.write(fields);
            out.write(b",\"Attribute\":[");
            write_all(attributes, &mut beside, &mut out).await?;
            out.write(b"]}");
            out.pass_on().await?;
        }
        out.write(b"]}}");
        Ok(out)
    }
}

impl Parts {
    fn of(mut event: Fields, beside: &Beside) -> Result<Self, HubError> {
        let (attributes, inner) = (objects(&mut event, "Attribute"), objects(&mut event, "Object"));
        let all = |attributes: Vec<Fields>| -> Result<Vec<Open>, HubError> {
            attributes
                .into_iter()
                .map(|mut attribute| {
                    let id = number(&attribute, "id").unwrap_or(0);
                    beside.take_out(id, &mut attribute);
                    Ok((id, open(&attribute)?))
                })
                .collect()
        };
        let attributes = all(attributes)?;
        let mut of_objects = Vec::with_capacity(inner.len());
        for mut object in inner {
            let within = all(objects(&mut object, "Attribute"))?;
            of_objects.push((open(&object)?, within));
        }
        beside.take_out(0, &mut event);
        Ok(Self { head: open(&event)?, attributes, objects: of_objects })
    }

    fn bytes(&self) -> usize {
        let of = |list: &[Open]| list.iter().map(|(_, fields)| fields.len()).sum::<usize>();
        self.head.len() + of(&self.attributes) + self.objects.iter().map(|(fields, attributes)| fields.len() + of(attributes)).sum::<usize>()
    }
}

/// An object that more is written into. It has fields: a number at the least.
fn open(fields: &Fields) -> Result<Vec<u8>, HubError> {
    let mut bytes = serde_json::to_vec(fields).map_err(|error| HubError::Internal(Box::new(error)))?;
    bytes.pop();
    Ok(bytes)
}

async fn write_all(all: &[Open], beside: &mut Beside, out: &mut Out) -> Result<(), HubError> {
    for (place, (id, fields)) in all.iter().enumerate() {
        if place > 0 {
            out.write(b",");
        }
        out.write(fields);
        beside.write(*id, out).await?;
        out.write(b"}");
        out.pass_on().await?;
    }
    Ok(())
}
