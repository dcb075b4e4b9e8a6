//! Whole events, read by row.
//!
//! Flow: [`Body::events`] opens every column, with the vault page's → [`EventReader::event`].
//! Invariant: what was erased is left out of the event; what is left of it is in `tombstones`.
//! Not here: finding rows without reading events (`matching`).

use super::body::{Times, offset_time};
use super::children::Children;
use super::tombstones::{Erased, read_erased};
use super::values::{TextReader, ValueReader};
use super::words::Words;
use super::{Body, JOIN, RARE_IDS, id, vault_id};
use crate::ledger::container::Container;
use crate::ledger::ints::Ints;
use model::event::Target;
use model::{Category, Details, Event, Observable, Severity, Text};
use smallvec::SmallVec;

/// Reads whole events.
#[derive(Debug)]
pub struct EventReader<'a> {
    time: Times<'a>,
    category: Ints<'a>,
    words: Ints<'a>,
    severity: Ints<'a>,
    confidence: Ints<'a>,
    port: Ints<'a>,
    count: Ints<'a>,
    sector: Ints<'a>,
    malware: Ints<'a>,
    /// The block's texts; number 0 is none.
    dictionary: Vec<Text>,
    pub(super) children: Children,
    pub(super) values: ValueReader<'a>,
    /// Of values, in order.
    pub(super) erased: Vec<Erased>,
    /// Of ids, in order.
    pub(super) erased_ids: Vec<Erased>,
    pub(super) ids: TextReader<'a>,
    pub(super) notes: TextReader<'a>,
    pub(super) extras: TextReader<'a>,
    pub(super) originals: TextReader<'a>,
    pub(super) far_sides: TextReader<'a>,
    pub(super) targets: TextReader<'a>,
    last_time: Ints<'a>,
    valid_until: Ints<'a>,
    audience: Ints<'a>,
    technique: Ints<'a>,
    cve: Ints<'a>,
    dst_port: Ints<'a>,
    protocol: Ints<'a>,
    target_asn: Ints<'a>,
    target_sector: Ints<'a>,
    source_asn: Ints<'a>,
    has_target: Ints<'a>,
}

impl<'a> Body<'a> {
    /// Opens every column, with the vault page's, to read whole events.
    pub fn events(&self, vault: &'a [u8]) -> Option<EventReader<'a>> {
        let vault = Container::open(vault)?;
        let (children, texts_of_values) = Children::read(self)?;
        let texts = |column_id| TextReader::open(&vault, column_id, self.rows());
        let [last_time, valid_until, audience, technique, cve, dst_port, protocol, target_asn, target_sector, source_asn] =
            RARE_IDS.map(|column_id| self.ints(column_id));
        Some(EventReader {
            time: self.times()?,
            category: self.ints(id::CATEGORY)?,
            words: self.ints(id::WORDS)?,
            severity: self.ints(id::SEVERITY)?,
            confidence: self.ints(id::CONFIDENCE)?,
            port: self.ints(id::PORT)?,
            count: self.ints(id::COUNT)?,
            sector: self.ints(id::SECTOR)?,
            malware: self.ints(id::MALWARE)?,
            dictionary: self.dictionary()?,
            children,
            values: ValueReader::new(&self.container, &vault, texts_of_values),
            erased: read_erased(&vault.column(vault_id::ERASED)?),
            erased_ids: read_erased(&vault.column(vault_id::ERASED_ID)?),
            ids: texts(vault_id::ID)?,
            notes: texts(vault_id::NOTE)?,
            extras: texts(vault_id::EXTRA)?,
            originals: texts(vault_id::ORIGINAL)?,
            far_sides: texts(vault_id::DST_IP)?,
            targets: texts(vault_id::TARGET_IP)?,
            last_time: last_time?,
            valid_until: valid_until?,
            audience: audience?,
            technique: technique?,
            cve: cve?,
            dst_port: dst_port?,
            protocol: protocol?,
            target_asn: target_asn?,
            target_sector: target_sector?,
            source_asn: source_asn?,
            has_target: self.ints(id::HAS_TARGET)?,
        })
    }
}

impl EventReader<'_> {
    /// One event; `None` where a word is out of range or a column is broken.
    pub fn event(&self, row: usize) -> Option<Event> {
        let words = self.words(row)?;
        let mut observables: SmallVec<[Observable; 1]> = SmallVec::new();
        for (index, child) in self.children.of(row) {
            if self.erased_at(index).is_some() {
                continue;
            }
            let value = child.text(self.values.bytes(child)?);
            observables.push(Observable { kind: child.kind, role: child.role()?, detect: child.detect(), reserved: child.reserved(), value });
        }
        Some(Event {
            time: self.time.get(row),
            category: Category::from_number(self.category.get(row) as u8)?,
            observables,
            origin: words.origin,
            tlp: words.tlp,
            pap: words.pap,
            named: words.named,
            timeless: words.timeless,
            notify_owner: words.notify_owner,
            confidence: optional(&self.confidence, row).map(|value| value as u8),
            severity: optional(&self.severity, row).and_then(|value| Severity::from_number(value as u8)),
            port: optional(&self.port, row).map(|value| value as u16),
            count: self.count.get(row) as u32,
            sector: self.text(self.sector.get(row)),
            malware: self.text(self.malware.get(row)),
            id: self.ids.get(row),
            details: words.has_details.then(|| Box::new(self.details(row))),
        })
    }

    /// An event's small words.
    pub(super) fn words(&self, row: usize) -> Option<Words> {
        Words::unpack(self.words.get(row))
    }

    /// What an erasure left of the value with this index among the block's.
    pub(super) fn erased_at(&self, index: usize) -> Option<&Erased> {
        self.erased.binary_search_by_key(&(index as u32), |erased| erased.place).ok().and_then(|at| self.erased.get(at))
    }

    fn details(&self, row: usize) -> Details {
        Details {
            last_time: optional(&self.last_time, row).map(offset_time),
            valid_until: optional(&self.valid_until, row).map(offset_time),
            audience: self.list(self.audience.get(row)),
            technique: self.list(self.technique.get(row)),
            cve: self.list(self.cve.get(row)),
            dst_ip: self.far_sides.get(row),
            dst_port: optional(&self.dst_port, row).map(|value| value as u16),
            protocol: self.text(self.protocol.get(row)),
            target: (self.has_target.get(row) == 1).then(|| Target {
                ip: self.targets.get(row),
                asn: optional(&self.target_asn, row).map(|value| value as u32),
                sector: self.text(self.target_sector.get(row)),
            }),
            source_asn: optional(&self.source_asn, row).map(|value| value as u32),
            note: self.notes.get(row),
            extra: self.extras.get(row),
            original: self.originals.get(row),
        }
    }

    fn text(&self, number: u64) -> Option<Text> {
        (number > 0).then(|| self.dictionary.get(number as usize).cloned()).flatten()
    }

    fn list(&self, number: u64) -> Vec<Text> {
        self.text(number).map_or_else(Vec::new, |joined| joined.split(JOIN).map(Text::from).collect())
    }
}

/// A number that is kept as one more, so that 0 is none.
fn optional(ints: &Ints<'_>, row: usize) -> Option<u64> {
    ints.get(row).checked_sub(1)
}
