//! One event's values with what decides who sees them, without the rest of its columns.
//!
//! Flow: `hub::sharing::lookup` asks for the values that came together with one; a block holds tens of thousands of events, of which it wants one.
//! Invariant: whatever policy looks at is there: marking, audience, category, naming, origin and each value's role.
//! Not here: whole events (`events`).

use super::children::{Child, walk};
use super::tombstones::read_erased;
use super::values::ValueReader;
use super::words::Words;
use super::{Body, JOIN, id, vault_id};
use crate::ledger::container::Container;
use model::{Category, Details, Event, Observable, Text, Timestamp};
use smallvec::SmallVec;

impl Body<'_> {
    /// The event of one row with its values, category, marking, audience and origin; every other field has its default. `None` where the
    /// block is broken or has no such row.
    pub fn outline(&self, vault: &[u8], row: usize) -> Option<Event> {
        let vault = Container::open(vault)?;
        let mut children: SmallVec<[(usize, Child); 4]> = SmallVec::new();
        let mut index = 0;
        let texts = walk(self, |of, child| {
            if of == row {
                children.push((index, child));
            }
            index += 1;
        })?;
        let values = ValueReader::new(&self.container, &vault, texts);
        let erased = read_erased(&vault.column(vault_id::ERASED)?);
        let mut observables: SmallVec<[Observable; 1]> = SmallVec::new();
        for (index, child) in children {
            if erased.iter().any(|erased| erased.place as usize == index) {
                continue;
            }
            let value = child.text(values.bytes(child)?);
            observables.push(Observable { kind: child.kind, role: child.role()?, detect: child.detect(), reserved: child.reserved(), value });
        }
        let words = Words::unpack(self.ints(id::WORDS)?.get(row))?;
        let audience = match self.ints(id::AUDIENCE)?.get(row) {
            0 => Vec::new(),
            number => self.dictionary()?.get(number as usize)?.split(JOIN).map(Text::from).collect(),
        };
        Some(Event {
            time: Timestamp::MIN,
            category: Category::from_number(self.ints(id::CATEGORY)?.get(row) as u8)?,
            observables,
            origin: words.origin,
            tlp: words.tlp,
            pap: words.pap,
            named: words.named,
            timeless: words.timeless,
            notify_owner: words.notify_owner,
            confidence: None,
            severity: None,
            port: None,
            count: 1,
            sector: None,
            malware: None,
            id: None,
            details: (!audience.is_empty()).then(|| Box::new(Details { audience, ..Details::default() })),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::ledger::columns::{encode, split_filter};
    use model::{ObservableType, Origin, Role, Tlp};

    fn event(number: i64) -> Event {
        let value = |kind, text: &str, role| model::canonical::observable(kind, text, role, None).unwrap();
        let role = [Role::Attacker, Role::Victim, Role::Bystander][number as usize % 3];
        let mut event = Event::new(Timestamp::from_seconds(number), Category::Phishing, value(ObservableType::Domain, &format!("a{number}.kr"), role));
        event.observables.push(value(ObservableType::Ipv4, &format!("45.1.2.{number}"), Role::Attacker));
        event.tlp = [Tlp::Green, Tlp::Red][number as usize % 2];
        event.named = number % 4 == 0;
        event.origin = Origin::Honeypot;
        if number % 5 == 0 {
            event.details_mut().audience = vec![Text::from("energy"), Text::from("org_1")];
        }
        event
    }

    #[test]
    fn an_outline_has_all_that_policy_looks_at() {
        let events: Vec<Event> = (0..60).map(event).collect();
        let encoded = encode(events.iter(), &[]);
        let (_, columns) = split_filter(&encoded.body).unwrap();
        let body = Body::open(60, columns).unwrap();
        for (row, event) in events.iter().enumerate() {
            let outline = body.outline(&encoded.vault, row).unwrap();
            assert_eq!(outline.observables, event.observables);
            assert_eq!(
                (outline.category, outline.tlp, outline.pap, outline.named, outline.origin),
                (event.category, event.tlp, event.pap, event.named, event.origin)
            );
            assert_eq!(outline.audience(), event.audience());
        }
    }
}
