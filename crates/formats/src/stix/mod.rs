//! STIX 2.0 and 2.1: indicators, observables, observed data, sightings and vulnerabilities of a document, as events.
//!
//! Flow: bytes → `document` cuts objects → `context` learns who refers to whom → `reader` makes events, one object at a time.
//! Invariant: a bad object spoils no other; every object gives an event, is part of another's, is context, or is refused with its number.
//! Giving STIX out is in [`mod@write`]; objects that are kept whole, threat actors and reports among them, are in [`contributed`].

mod category;
mod context;
pub mod contributed;
mod document;
pub(crate) mod lenient;
mod marking;
mod paths;
mod pattern;
mod reader;
mod sco;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
mod tokens;
pub(crate) mod value;
pub mod write;

pub(crate) use category::{from_phase, from_word};
pub(crate) use context::technique;
pub(crate) use marking::tlp_word;

use crate::{Defaults, Parsed};

/// Parses a document: a bundle, an array, a single object, or objects one per line. An entry's line is the object's number.
pub fn parse(document: &[u8], defaults: &Defaults, parsed: &mut Parsed) {
    let text = lenient::text(document);
    let (events_before, refusals_before) = (parsed.events.len(), parsed.refusals.len());
    let objects = document::objects(&text, parsed);
    let context = context::Context::read(&objects);
    let mut reader = reader::Reader::new(&context, defaults);
    for object in &objects {
        match reader.read(object) {
            Ok(Some(event)) => parsed.take(object.line, event),
            Ok(None) => {}
            Err(reason) => parsed.refuse(object.line, reason),
        }
    }
    let silent = parsed.events.len() == events_before && parsed.refusals.len() == refusals_before;
    if let (true, Some(first)) = (silent, objects.first()) {
        parsed.refuse(first.line, format!("document holds no observation: all of its {} objects are context", objects.len()));
    }
}
