//! What a search has found, written event by event.
//!
//! Flow: [`Wanted`] → an event and the parts of it that were found → what of it the reader sees at that moment → bytes in the format that was asked for.
//! Invariant: one event is in memory at a time, and has room there; what a format can only be written of as a whole is bounded and refused past that.

use super::ROOM;
use super::lines::with_context;
use super::page::Page;
use super::related::{Related, correlating};
use super::wanted::Wanted;
use crate::misp::answer::Out;
use crate::misp::beside;
use crate::misp::document::Document;
use crate::misp::export::{self, Line};
use crate::misp::fields::{Fields, number};
use crate::misp::filter::{Format, Scope, Search};
use crate::misp::show::{Extent, Wait, object_fields};
use crate::misp::{MAX_FOUND, apart};
use crate::{Actor, Hub, HubError};
use hashbrown::HashSet;
use serde_json::{Value, json};
use std::sync::Arc;
use store::misp::{Head, Name, RowQuery, TagCondition};
use tokio::sync::OwnedSemaphorePermit;

/// Values of an answer of which each is given once, at the most.
const MAX_DISTINCT: usize = 1_000_000;
/// Bytes that an attribute takes while it waits for the rest of an answer, about.
const LINE: usize = 2 * 1024;

/// A search that is being written.
pub(super) struct Writing {
    pub hub: Arc<Hub>,
    pub actor: Actor,
    pub search: Arc<Search>,
    pub scope: Scope,
    pub sync: bool,
    /// A list alone, without what stands around it.
    pub bare: bool,
}

/// What is written of one event.
struct Entries {
    each: Vec<Vec<u8>>,
    room: Option<OwnedSemaphorePermit>,
}

impl Writing {
    pub(super) async fn run(mut self, mut out: Out) -> Result<Out, HubError> {
        let _room = self.hub.misp_room(ROOM).await?;
        let wanted = Wanted::new(&self.hub, &self.actor, &self.search, self.scope, self.sync, Page::of(&self.search));
        match self.search.format {
            Format::Json => self.json(wanted, &mut out).await?,
            Format::Csv | Format::Text | Format::Cache => self.by_lines(wanted, &mut out).await?,
            Format::Stix2 | Format::Suricata => self.at_once(wanted, &mut out).await?,
        }
        Ok(out)
    }

    /// MISP's own form.
    async fn json(&mut self, mut wanted: Wanted, out: &mut Out) -> Result<(), HubError> {
        let (opening, closing) = match (self.scope, self.bare) {
            (_, true) => ("[", "]"),
            (Scope::Events | Scope::Objects, false) => ("{\"response\":[", "]}"),
            (Scope::Attributes, false) => ("{\"response\":{\"Attribute\":[", "]}}"),
        };
        out.write(opening.as_bytes());
        loop {
            let events = wanted.next().await?;
            if events.is_empty() {
                break;
            }
            for (event, parts) in events {
                let Some(head) = self.seen(event).await? else { continue };
                let entries = match self.scope {
                    Scope::Events => self.event(&head).await?,
                    Scope::Attributes if self.search.sightings => {
                        self.sighted(&head, parts, out).await?;
                        continue;
                    }
                    Scope::Attributes => self.attributes(&head, parts).await?.0,
                    Scope::Objects => self.objects(&head, parts).await?,
                };
                entries.each.iter().for_each(|entry| out.entry(entry));
                if let Some(room) = entries.room {
                    out.keep(room);
                }
                out.pass_on().await?;
            }
        }
        out.write(closing.as_bytes());
        Ok(())
    }

    /// The event, as far as the reader sees it still.
    async fn seen(&mut self, event: i64) -> Result<Option<Head>, HubError> {
        self.actor = self.hub.misp_again(&self.actor)?;
        let heads = self.hub.misp_events().named(&Name::Id(event)).await?;
        Ok(self.hub.first_seen_by(&self.actor, heads, self.sync))
    }

    /// A whole event.
    async fn event(&self, head: &Head) -> Result<Entries, HubError> {
        let search = &self.search;
        let extent = Extent { metadata: search.metadata, attachments: search.attachments, deleted: search.rows.deleted };
        let (document, visible, room) = if search.metadata {
            (None, HashSet::new(), None)
        } else {
            let (document, room) = self.hub.opened(head, Wait::Refused).await?;
            let visible = self.visible(head, &document, Vec::new()).await?;
            (Some(document), visible, Some(room))
        };
        let event = self.hub.misp_written(&self.actor, head, extent, self.sync, document, visible).await?;
        Ok(Entries { each: written(vec![json!({ "Event": event })]).await?, room })
    }

    /// Some attributes of an event, each with all of its sightings.
    async fn sighted(&self, head: &Head, parts: Vec<i64>, out: &mut Out) -> Result<(), HubError> {
        let wanted = beside::Wanted { sightings: true, always: true, proposals: false };
        let mut beside = self.hub.misp_beside(&self.actor, head, wanted).await?;
        let (Entries { each, room }, ids) = self.attributes(head, parts).await?;
        // What is written waits here until it is taken, however many sightings come between, and so does its room.
        let bytes = each.iter().map(Vec::len).sum::<usize>();
        let _room = room.and_then(|mut room| room.split(room.num_permits().min(bytes.div_ceil(1024))));
        for (entry, id) in each.iter().zip(ids) {
            out.entry(entry.strip_suffix(b"}").unwrap_or(entry));
            beside.write(id, out).await?;
            out.write(b"}");
            out.pass_on().await?;
        }
        Ok(())
    }

    /// Some attributes of an event, and their numbers.
    async fn attributes(&self, head: &Head, parts: Vec<i64>) -> Result<(Entries, Vec<i64>), HubError> {
        let mut related = if self.search.correlations {
            // Other events take room, too: none of this one's is held while they are looked at, lest all wait for each other.
            let wanted = self.lines_of(head, parts.clone()).await?.0.iter().filter_map(|line| correlating(&line.attribute)).collect();
            Some(self.hub.misp_related(&self.actor, wanted, self.sync).await?)
        } else {
            None
        };
        let (lines, mut room) = self.lines_of(head, parts).await?;
        let attributes: Vec<Fields> = lines.into_iter().map(|line| with_context(line, &self.search, &head.uuid)).collect();
        let ids = attributes.iter().map(|attribute| number(attribute, "id").unwrap_or(0)).collect();
        let keys: Vec<Option<String>> = if related.is_some() { attributes.iter().map(correlating).collect() } else { Vec::new() };
        let mut each = written(attributes.into_iter().map(Value::Object).collect()).await?;
        if let Some(related) = &mut related {
            each.iter_mut().zip(&keys).for_each(|(entry, key)| related.put(entry, key.as_deref(), head.id));
        }
        if let Some(more) = related.and_then(Related::room) {
            room.merge(more);
        }
        Ok((Entries { each, room: Some(room) }, ids))
    }

    /// Some objects of an event, each with what the reader sees of its attributes.
    async fn objects(&self, head: &Head, parts: Vec<i64>) -> Result<Entries, HubError> {
        let query = RowQuery { deleted: self.search.rows.deleted, ..RowQuery::default() };
        let visible = self.hub.misp_visible(&self.actor, head, query).await?;
        let sight = self.hub.misp_sight(&self.actor, head);
        let (document, room) = self.hub.opened(head, Wait::Refused).await?;
        let extent = Extent { metadata: false, attachments: self.search.attachments, deleted: None };
        let wanted = document.objects.iter().filter(|object| number(object, "id").is_some_and(|id| parts.contains(&id)));
        let shown = wanted.filter_map(|object| object_fields(object, head.id, &visible, extent, sight, self.sync));
        let objects: Vec<Value> = shown.map(|object| json!({ "Object": object })).collect();
        Ok(Entries { each: written(objects).await?, room: Some(room) })
    }

    /// Which attributes of an event are written: those that were found and are seen still, of a search for events those that it shows.
    async fn visible(&self, head: &Head, document: &Document, parts: Vec<i64>) -> Result<HashSet<i64>, HubError> {
        let rows = &self.search.rows;
        let query = match self.scope {
            Scope::Events => {
                let tags = TagCondition { none: rows.tags.none.clone(), ..TagCondition::default() };
                RowQuery { deleted: rows.deleted, to_ids: rows.to_ids, tags, ..RowQuery::default() }
            }
            Scope::Attributes | Scope::Objects => RowQuery { deleted: rows.deleted, ..RowQuery::default() },
        };
        let mut visible = self.hub.misp_visible(&self.actor, head, query).await?;
        if self.scope != Scope::Events {
            let found: HashSet<i64> = parts.into_iter().collect();
            visible.retain(|id| found.contains(id));
        }
        if self.search.warning_lists {
            self.hub.without_listed(document, &mut visible);
        }
        Ok(visible)
    }

    /// Attributes of an event, with the room that the event takes.
    async fn lines_of(&self, head: &Head, parts: Vec<i64>) -> Result<(Vec<Line>, OwnedSemaphorePermit), HubError> {
        let attachments = self.scope == Scope::Attributes && self.search.attachments;
        let (document, room) = self.hub.opened(head, Wait::Refused).await?;
        let visible = self.visible(head, &document, parts).await?;
        let lines = self.hub.lines(&self.actor, head, document, visible, attachments, self.sync).await?;
        Ok((lines, room))
    }

    /// Formats that are written line by line.
    async fn by_lines(&mut self, mut wanted: Wanted, out: &mut Out) -> Result<(), HubError> {
        if self.search.format == Format::Csv {
            out.write(&export::csv(&[], self.search.context, &self.search.columns, self.search.headerless));
        }
        let mut known: HashSet<u128> = HashSet::new();
        loop {
            let events = wanted.next().await?;
            if events.is_empty() {
                return Ok(());
            }
            for (event, parts) in events {
                let Some(head) = self.seen(event).await? else { continue };
                let (lines, room) = self.lines_of(&head, parts).await?;
                out.found(lines.len());
                let (search, mut seen) = (Arc::clone(&self.search), std::mem::take(&mut known));
                let (bytes, seen) = apart(move || Ok((lines_in(&search, &lines, &mut seen), seen))).await?;
                known = seen;
                if known.len() > MAX_DISTINCT {
                    return Err(HubError::TooLarge { limit: MAX_DISTINCT as u64, unit: "values in one answer; ask for it page by page, with limit and page" });
                }
                out.write(&bytes);
                out.keep(room);
                out.pass_on().await?;
            }
        }
    }

    /// Formats that are written of everything at once: rules are sorted, and a bundle begins with what it refers to.
    async fn at_once(&mut self, mut wanted: Wanted, out: &mut Out) -> Result<(), HubError> {
        let mut lines: Vec<Line> = Vec::new();
        let mut rooms = Vec::new();
        loop {
            let events = wanted.next().await?;
            if events.is_empty() {
                break;
            }
            for (event, parts) in events {
                let Some(head) = self.seen(event).await? else { continue };
                let (found, _room) = self.lines_of(&head, parts).await?;
                rooms.push(self.hub.misp_room(found.len() * LINE).await?);
                lines.extend(found);
                if lines.len() > MAX_FOUND {
                    let unit = "attributes in one answer of this format; ask for it page by page, with limit and page";
                    return Err(HubError::TooLarge { limit: MAX_FOUND as u64, unit });
                }
            }
        }
        out.found(lines.len());
        let (search, now) = (Arc::clone(&self.search), self.hub.clock().now());
        let (creator, name) = (self.hub.stix_identity(), self.hub.misp_hub_name());
        let body =
            apart(move || Ok(if search.format == Format::Suricata { export::suricata(&lines, now) } else { export::stix2(&lines, creator, &name, now) }))
                .await?;
        out.write(&body);
        Ok(())
    }
}

/// The lines of some attributes.
fn lines_in(search: &Search, lines: &[Line], known: &mut HashSet<u128>) -> Vec<u8> {
    match search.format {
        Format::Csv => export::csv(lines, search.context, &search.columns, true),
        Format::Cache => export::cache(lines),
        Format::Text | Format::Json | Format::Stix2 | Format::Suricata => export::text_lines(lines, known),
    }
}

async fn written(values: Vec<Value>) -> Result<Vec<Vec<u8>>, HubError> {
    apart(move || {
        let each: Result<Vec<Vec<u8>>, _> = values.iter().map(serde_json::to_vec).collect();
        each.map_err(|error| HubError::Internal(Box::new(error)))
    })
    .await
}
