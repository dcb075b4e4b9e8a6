//! Texts and classes interned to small numbers: what aggregates share is kept once.
//!
//! Invariant: numbers are given in ledger order and never change; 0 is none.

use super::prepare::JOIN;
use crate::codec::{Reader, put_text, put_u32};
use hashbrown::HashMap;
use model::{Category, ObservableType, OrgNo, Pap, Role, Text, Tlp};

/// Distinct texts at the most; past it a text is kept as [`OVERFLOW`] and answers say `at_least`.
pub const MAX_STRINGS: usize = 4_000_000;
/// Distinct classes at the most.
pub const MAX_CLASSES: usize = 32_000_000;
/// Stands for every text past the limit.
pub const OVERFLOW: &str = "…";

/// Interned texts.
#[derive(Debug, Default)]
pub struct Strings {
    list: Vec<Text>,
    numbers: HashMap<Text, u32>,
}

impl Strings {
    /// The number of a text, given now where it is new.
    pub fn intern(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        if self.list.len() >= MAX_STRINGS && text != OVERFLOW {
            return self.intern(OVERFLOW);
        }
        let text = Text::from(text);
        self.list.push(text.clone());
        let number = self.list.len() as u32;
        self.numbers.insert(text, number);
        number
    }

    /// The text of a number.
    pub fn get(&self, number: u32) -> Option<&Text> {
        self.list.get((number as usize).checked_sub(1)?)
    }

    /// The ids of a joined audience; none for number 0.
    pub fn audience(&self, number: u32) -> Vec<Text> {
        self.get(number).map_or_else(Vec::new, |joined| joined.split(JOIN).map(Text::from).collect())
    }

    /// The number of a text that is there.
    pub fn find(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Appends texts to a checkpoint, in order of their numbers.
    pub fn write(&self, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
        self.list.get(range).unwrap_or_default().iter().for_each(|text| put_text(out, text));
    }

    /// Reads their number and what [`Strings::write`] wrote.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut strings = Self::default();
        for _ in 0..reader.u32()? {
            let text = reader.text()?;
            strings.list.push(text.clone());
            strings.numbers.insert(text, strings.list.len() as u32);
        }
        Some(strings)
    }
}

/// What the events of one aggregate row have in common: everything that policy or an answer looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// Who reported them.
    pub reporter: OrgNo,
    /// Type of the value.
    pub kind: ObservableType,
    /// The part the value plays.
    pub role: Role,
    /// What they are.
    pub category: Category,
    /// Their marking.
    pub tlp: Tlp,
    /// Permissible actions.
    pub pap: Pap,
    /// Whether the reporter may be shown.
    pub named: bool,
    /// Passed on from elsewhere.
    pub relayed: bool,
    /// Seen by a honeypot.
    pub honeypot: bool,
    /// Worth detecting.
    pub detect: bool,
    /// In a reserved range.
    pub reserved: bool,
    /// Whether the events hold other values too.
    pub related: bool,
    /// Whether the events were withdrawn: kept so that the value can be answered as withdrawn, counted nowhere.
    pub withdrawn: bool,
    /// Number of the joined audience.
    pub audience: u32,
    /// Number of the sector.
    pub sector: u32,
    /// Number of the malware name.
    pub malware: u32,
}

impl std::hash::Hash for Class {
    /// In two words: classes are looked up for every value of every event.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let numbers = [self.reporter.0, self.audience, self.sector, self.malware];
        state.write_u128(numbers.iter().fold(0, |word, &number| word << 32 | u128::from(number)));
        let bytes = [self.kind.number(), self.role.number(), self.category.number(), self.tlp.number(), self.pap.number(), self.bits()];
        state.write_u64(bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)));
    }
}

impl Class {
    fn bits(&self) -> u8 {
        u8::from(self.named)
            | u8::from(self.relayed) << 1
            | u8::from(self.honeypot) << 2
            | u8::from(self.detect) << 3
            | u8::from(self.reserved) << 4
            | u8::from(self.related) << 5
            | u8::from(self.withdrawn) << 6
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_u32(out, self.reporter.0);
        out.extend_from_slice(&[self.kind.number(), self.role.number(), self.category.number(), self.tlp.number(), self.pap.number()]);
        out.push(self.bits());
        put_u32(out, self.audience);
        put_u32(out, self.sector);
        put_u32(out, self.malware);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let reporter = OrgNo(reader.u32()?);
        let kind = ObservableType::from_number(reader.u8()?)?;
        let role = Role::from_number(reader.u8()?)?;
        let category = Category::from_number(reader.u8()?)?;
        let tlp = Tlp::from_number(reader.u8()?)?;
        let pap = Pap::from_number(reader.u8()?)?;
        let bits = reader.u8()?;
        let bit = |at: u8| bits >> at & 1 == 1;
        Some(Self {
            reporter,
            kind,
            role,
            category,
            tlp,
            pap,
            named: bit(0),
            relayed: bit(1),
            honeypot: bit(2),
            detect: bit(3),
            reserved: bit(4),
            related: bit(5),
            withdrawn: bit(6),
            audience: reader.u32()?,
            sector: reader.u32()?,
            malware: reader.u32()?,
        })
    }
}

/// Interned classes.
#[derive(Debug, Default)]
pub struct Classes {
    list: Vec<Class>,
    numbers: HashMap<Class, u32>,
}

impl Classes {
    /// The number of a class, given now where it is new.
    pub fn intern(&mut self, class: Class) -> u32 {
        if let Some(&number) = self.numbers.get(&class) {
            return number;
        }
        if self.list.len() >= MAX_CLASSES {
            // The malware name is the only part that outsiders can multiply without end.
            return self.intern(Class { malware: 0, ..class });
        }
        self.list.push(class);
        let number = self.list.len() as u32;
        self.numbers.insert(class, number);
        number
    }

    /// The class of a number.
    pub fn get(&self, number: u32) -> Option<Class> {
        self.list.get((number as usize).checked_sub(1)?).copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Appends classes to a checkpoint, in order of their numbers.
    pub fn write(&self, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
        self.list.get(range).unwrap_or_default().iter().for_each(|class| class.write(out));
    }

    /// Reads their number and what [`Classes::write`] wrote.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut classes = Self::default();
        for _ in 0..reader.u32()? {
            let class = Class::read(reader)?;
            classes.list.push(class);
            classes.numbers.insert(class, classes.list.len() as u32);
        }
        Some(classes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_joined_audience_comes_apart_again_and_number_zero_has_none() {
        let mut strings = Strings::default();
        let one = strings.intern("energy");
        let two = strings.intern(&format!("org_1{JOIN}finance"));
        assert_eq!(strings.audience(one), ["energy"]);
        assert_eq!(strings.audience(two), ["org_1", "finance"]);
        assert!(strings.audience(0).is_empty());
    }
}
