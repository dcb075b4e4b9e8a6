//! The registrations as the ledger tells them: which counted from when until when.
//!
//! Flow: control entries → [`Register::set`] → a [`Table`] of those that count now, and a [`Past`] of what counted at any place before.
//! Invariant: a finding belongs to who owned its value at the event's place; what ends keeps its past, what begins brings none.

use super::fallback::Told;
use super::table::{Owner, Table};
use crate::records::NetworkKind;
use model::concern::Concern;
use model::{OrgNo, Seq, Text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One registration with its past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Whose it is.
    pub organisation: OrgNo,
    /// What is registered.
    pub kind: NetworkKind,
    /// The value in canonical form.
    pub value: Text,
    /// Whether a system in it may not be touched.
    pub protected: bool,
    /// Version of the record that was told last.
    pub version: u64,
    /// From where until where (exclusive; `None`: still) it counted, oldest first.
    pub spans: Vec<(Seq, Option<Seq>)>,
}

impl Registered {
    /// Whether it counts now.
    pub fn counts(&self) -> bool {
        self.spans.last().is_some_and(|span| span.1.is_none())
    }

    fn owner(&self) -> Owner {
        Owner { organisation: self.organisation, protected: self.protected, fallback: false }
    }
}

/// Every registration that ever counted, for what an event told at its place.
#[derive(Debug)]
pub(super) struct Past {
    table: Table<u32>,
    owners: Vec<(Owner, Vec<(Seq, Option<Seq>)>)>,
}

impl Past {
    /// Gives every registration that matches the value and counted at `seq`; without a place those that ever counted.
    pub(super) fn owners(&self, concern: &Concern<'_>, seq: Option<Seq>, give: &mut impl FnMut(Owner)) {
        self.table.owners(concern.kind, &concern.value, &mut |entry| self.counted(entry, seq).into_iter().for_each(&mut *give));
    }

    /// The same of an AS number that the value is said to lie in.
    pub(super) fn owners_of_asn(&self, asn: u32, seq: Option<Seq>, give: &mut impl FnMut(Owner)) {
        self.table.asn(asn, &mut |entry| self.counted(entry, seq).into_iter().for_each(&mut *give));
    }

    /// Who had registered an AS number at `seq`, or ever.
    pub(super) fn registrants(&self, asn: u32, seq: Option<Seq>) -> Told {
        let mut told = Told::new();
        self.table.asn(asn, &mut |entry| told.extend(self.counted(entry, seq).map(|owner| owner.organisation)));
        told
    }

    fn counted(&self, entry: u32, seq: Option<Seq>) -> Option<Owner> {
        let (owner, spans) = self.owners.get(entry as usize)?;
        let counted = |seq: Seq| spans.iter().any(|&(from, until)| from <= seq && until.is_none_or(|until| seq < until));
        seq.is_none_or(counted).then_some(*owner)
    }
}

/// Every registration that ever counted, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register(BTreeMap<Text, Registered>);

impl Register {
    /// Notes what a control entry at `seq` tells; an older or repeated one changes nothing. Gives whether the table changes.
    pub fn set(&mut self, seq: Seq, id: &str, told: Registered, counts: bool) -> bool {
        let Some(known) = self.0.get_mut(id) else {
            if counts {
                self.0.insert(Text::from(id), Registered { spans: vec![(seq, None)], ..told });
            }
            return counts;
        };
        if told.version <= known.version {
            return false;
        }
        let counted = known.counts();
        known.version = told.version;
        match (counted, counts) {
            (false, true) => known.spans.push((seq, None)),
            (true, false) => {
                if let Some(span) = known.spans.last_mut() {
                    span.1 = Some(seq);
                }
            }
            (true, true) | (false, false) => {}
        }
        counted != counts
    }

    /// Each registration's id, the version told last, and whether it counts now.
    pub fn all(&self) -> impl Iterator<Item = (Text, u64, bool)> {
        self.0.iter().map(|(id, registered)| (id.clone(), registered.version, registered.counts()))
    }

    /// Whether none counts now.
    pub fn is_idle(&self) -> bool {
        !self.0.values().any(Registered::counts)
    }

    /// The registrations that count now.
    pub fn table(&self) -> Table {
        Table::new(self.0.values().filter(|registered| registered.counts()).map(|registered| (registered.kind, registered.value.as_str(), registered.owner())))
    }

    /// Every registration that ever counted, with when.
    pub(super) fn past(&self) -> Past {
        let table = Table::new(self.0.values().zip(0_u32..).map(|(registered, entry)| (registered.kind, registered.value.as_str(), entry)));
        Past { table, owners: self.0.values().map(|registered| (registered.owner(), registered.spans.clone())).collect() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use model::ObservableType;
    use std::borrow::Cow;

    fn told(organisation: u32, version: u64) -> Registered {
        Registered {
            organisation: OrgNo(organisation),
            kind: NetworkKind::Cidr,
            value: Text::from("198.51.100.0/24"),
            protected: false,
            version,
            spans: Vec::new(),
        }
    }

    #[test]
    fn a_transferred_range_brings_no_history_and_takes_none_away() {
        let mut register = Register::default();
        assert!(!register.set(Seq(5), "net_1", told(1, 1), false), "a pending one changes nothing");
        assert!(register.is_idle());
        assert!(register.set(Seq(10), "net_1", told(1, 2), true));
        assert!(!register.set(Seq(11), "net_1", told(1, 2), true), "told twice, it counts once");
        assert!(register.set(Seq(20), "net_1", told(1, 3), false));
        assert!(register.set(Seq(21), "net_2", told(2, 1), true));
        let concern = Concern { kind: ObservableType::Ipv4, value: Cow::Borrowed("198.51.100.7"), port: None, asn: None, observable: true };
        let past = register.past();
        let owned = |organisation: u32, seq: u64| {
            let mut found = false;
            past.owners(&concern, Some(Seq(seq)), &mut |owner| found |= owner.organisation == OrgNo(organisation));
            found
        };
        assert_eq!([9, 10, 19, 20, 30].map(|seq| owned(1, seq)), [false, true, true, false, false]);
        assert_eq!([19, 20, 21, 30].map(|seq| owned(2, seq)), [false, false, true, true]);
        let mut ever = 0;
        past.owners(&concern, None, &mut |_| ever += 1);
        assert_eq!((register.table().registrations(), ever), (1, 2));
    }
}
