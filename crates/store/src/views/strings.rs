//! Texts and classes interned to small numbers: what aggregates share is kept once.
//!
//! Invariant: numbers are given in ledger order and never change; 0 is none. Reading by number takes no lock: a reader of low priority that
//! is sent off the processor in the middle of it holds up nobody.

use super::prepare::JOIN;
use crate::codec::{Reader, put_text, put_u32};
use hashbrown::HashMap;
use model::{Category, ObservableType, OrgNo, Pap, Role, Text, Tlp};
use parking_lot::Mutex;

/// Distinct texts at the most; past it a text is kept as [`OVERFLOW`] and answers say `at_least`.
pub const MAX_STRINGS: usize = 4_000_000;
/// Distinct classes at the most.
pub const MAX_CLASSES: usize = 32_000_000;
/// Stands for every text past the limit.
pub const OVERFLOW: &str = "…";

/// Things and their numbers.
#[derive(Debug)]
struct Interned<T> {
    list: boxcar::Vec<T>,
    numbers: Mutex<HashMap<T, u32>>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { list: boxcar::Vec::new(), numbers: Mutex::default() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Interned<T> {
    fn get(&self, number: u32) -> Option<&T> {
        self.list.get((number as usize).checked_sub(1)?)
    }

    /// Gives the next number; the caller holds the numbers and has seen that there is none yet.
    fn push(&self, numbers: &mut HashMap<T, u32>, thing: T) -> u32 {
        let number = self.list.push(thing.clone()) as u32 + 1;
        numbers.insert(thing, number);
        number
    }

    fn write(&self, range: std::ops::Range<usize>, mut each: impl FnMut(&T)) {
        range.filter_map(|at| self.list.get(at)).for_each(&mut each);
    }

    fn read<'a>(reader: &mut Reader<'a>, each: impl Fn(&mut Reader<'a>) -> Option<T>) -> Option<Self> {
        let interned = Self::default();
        let mut numbers = HashMap::new();
        for _ in 0..reader.u32()? {
            interned.push(&mut numbers, each(reader)?);
        }
        *interned.numbers.lock() = numbers;
        Some(interned)
    }
}

/// Interned texts.
#[derive(Debug, Default)]
pub struct Strings(Interned<Text>);

impl Strings {
    /// The number of a text, given now where it is new.
    pub fn intern(&self, text: &str) -> u32 {
        self.intern_held(&mut self.0.numbers.lock(), text)
    }

    /// The numbers of texts, in their order.
    pub fn intern_all<'a>(&self, texts: impl Iterator<Item = &'a Text>) -> Vec<u32> {
        let mut numbers = self.0.numbers.lock();
        texts.map(|text| self.intern_held(&mut numbers, text)).collect()
    }

    fn intern_held(&self, numbers: &mut HashMap<Text, u32>, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(&number) = numbers.get(text) {
            return number;
        }
        if self.len() >= MAX_STRINGS && text != OVERFLOW {
            return self.intern_held(numbers, OVERFLOW);
        }
        self.0.push(numbers, Text::from(text))
    }

    /// The text of a number.
    pub fn get(&self, number: u32) -> Option<&Text> {
        self.0.get(number)
    }

    /// The ids of a joined audience; none for number 0.
    pub fn audience(&self, number: u32) -> Vec<Text> {
        self.get(number).map_or_else(Vec::new, |joined| joined.split(JOIN).map(Text::from).collect())
    }

    /// Techniques and vulnerabilities of joined threats; none for number 0.
    pub fn threats(&self, number: u32) -> (Vec<Text>, Vec<Text>) {
        let Some(joined) = self.get(number).filter(|text| text.as_str() != OVERFLOW) else { return (Vec::new(), Vec::new()) };
        joined.split(JOIN).map(Text::from).partition(|id| !id.starts_with("CVE-"))
    }

    /// The number of a text that is there.
    pub fn find(&self, text: &str) -> Option<u32> {
        self.0.numbers.lock().get(text).copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.list.count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends texts to a checkpoint, in order of their numbers.
    pub fn write(&self, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
        self.0.write(range, |text| put_text(out, text));
    }

    /// Reads their number and what [`Strings::write`] wrote.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Interned::read(reader, Reader::text).map(Self)
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
    /// Number of the joined techniques and vulnerabilities.
    pub threats: u32,
}

impl std::hash::Hash for Class {
    /// In two words: classes are looked up for every value of every event.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let numbers = [self.reporter.0, self.audience, self.sector, self.malware];
        state.write_u128(numbers.iter().fold(0, |word, &number| word << 32 | u128::from(number)));
        // Six bytes, and above them the number of the threats.
        let bytes = [self.kind.number(), self.role.number(), self.category.number(), self.tlp.number(), self.pap.number(), self.bits()];
        state.write_u128(bytes.iter().fold(u128::from(self.threats), |word, &byte| word << 8 | u128::from(byte)));
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
        put_u32(out, self.threats);
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
            threats: reader.u32()?,
        })
    }
}

/// Interned classes.
#[derive(Debug, Default)]
pub struct Classes(Interned<Class>);

impl Classes {
    /// The number of a class, given now where it is new.
    pub fn intern(&self, class: Class) -> u32 {
        self.intern_held(&mut self.0.numbers.lock(), class)
    }

    /// The numbers of classes, in their order.
    pub fn intern_all(&self, classes: impl Iterator<Item = Class>) -> Vec<u32> {
        let mut numbers = self.0.numbers.lock();
        classes.map(|class| self.intern_held(&mut numbers, class)).collect()
    }

    fn intern_held(&self, numbers: &mut HashMap<Class, u32>, class: Class) -> u32 {
        if let Some(&number) = numbers.get(&class) {
            return number;
        }
        // The malware name and the threats are the only parts that outsiders can multiply without end.
        if self.len() >= MAX_CLASSES && (class.malware != 0 || class.threats != 0) {
            return self.intern_held(numbers, Class { malware: 0, threats: 0, ..class });
        }
        self.0.push(numbers, class)
    }

    /// The class of a number.
    pub fn get(&self, number: u32) -> Option<Class> {
        self.0.get(number).copied()
    }

    /// Whether an organisation has reported events of any class, withdrawn ones too.
    pub fn has_reporter(&self, organisation: OrgNo) -> bool {
        self.0.list.iter().any(|(_, class)| class.reporter == organisation)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.list.count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends classes to a checkpoint, in order of their numbers.
    pub fn write(&self, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
        self.0.write(range, |class| class.write(out));
    }

    /// Reads their number and what [`Classes::write`] wrote.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Interned::read(reader, Class::read).map(Self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_the_same_through_a_checkpoint() {
        let strings = Strings::default();
        assert_eq!(strings.intern_all([Text::from("b"), Text::from(""), Text::from("a"), Text::from("b")].iter()), [1, 0, 2, 1]);
        let mut out = Vec::new();
        put_u32(&mut out, strings.len() as u32);
        strings.write(0..1, &mut out);
        strings.write(1..2, &mut out);
        let again = Strings::read(&mut Reader::new(&out)).unwrap();
        assert_eq!((again.get(1).unwrap().as_str(), again.find("a"), again.intern("c")), ("b", Some(2), 3));
    }

    #[test]
    fn joined_threats_come_apart_into_techniques_and_vulnerabilities() {
        let strings = Strings::default();
        let both = strings.intern(&format!("CVE-2024-3400{JOIN}T1059.001{JOIN}T1190"));
        let (techniques, cves) = strings.threats(both);
        assert_eq!((techniques, cves), (vec![Text::from("T1059.001"), Text::from("T1190")], vec![Text::from("CVE-2024-3400")]));
        assert_eq!(strings.threats(0), (vec![], vec![]));
        assert_eq!(strings.threats(strings.intern(OVERFLOW)), (vec![], vec![]));
    }

    #[test]
    fn a_joined_audience_comes_apart_again_and_number_zero_has_none() {
        let strings = Strings::default();
        let one = strings.intern("energy");
        let two = strings.intern(&format!("org_1{JOIN}finance"));
        assert_eq!(strings.audience(one), ["energy"]);
        assert_eq!(strings.audience(two), ["org_1", "finance"]);
        assert!(strings.audience(0).is_empty());
    }
}
