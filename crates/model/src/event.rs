//! A threat event: something observed by someone at a time.
//!
//! Invariant: an [`Event`] has at least one observable, every value is in canonical form, and every word is one of an enum.
//! Not here: who reported it and where it stands in the ledger (`store`'s block), what of it a reader sees (`policy`).

use crate::{Category, Observable, Pap, Text, Timestamp, Tlp};
use smallvec::SmallVec;

/// Defines an enum of wire words: `parse` ignores case and takes every alias, `as_str` gives the first.
macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident : $repr:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $value:literal => $first:literal $(| $alias:literal)*),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr($repr)]
        pub enum $name { $($(#[$vdoc])* $variant = $value),+ }

        impl $name {
            /// Every variant, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// What the word names, for error messages.
            pub const WHAT: &'static str = $what;

            /// The wire word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $first),+ }
            }

            /// The variant a wire word names, ignoring case; `None` for an unknown word.
            pub fn parse(word: &str) -> Option<Self> {
                $(if word.eq_ignore_ascii_case($first) $(|| word.eq_ignore_ascii_case($alias))* { return Some(Self::$variant); })+
                None
            }

            /// The variant with this number; `None` for an unknown number.
            pub const fn from_number(number: $repr) -> Option<Self> {
                match number { $($value => Some(Self::$variant),)+ _ => None }
            }

            /// The number kept on disk.
            pub const fn number(self) -> $repr { self as $repr }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> { serializer.serialize_str(self.as_str()) }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&word).ok_or_else(|| serde::de::Error::custom(concat!("unknown ", $what)))
            }
        }
    };
}
pub(crate) use word_enum;

word_enum! {
    /// What kind of instrument or person saw it.
    Origin: u8, "origin" {
        /// A member's own instrument; the default.
        Sensor = 0 => "sensor",
        /// A sinkhole; the far side is a bystander.
        Sinkhole = 1 => "sinkhole",
        /// A honeypot; its own address is its sender's alone.
        Honeypot = 2 => "honeypot",
        /// A darknet telescope.
        Darknet = 3 => "darknet",
        /// Anti-virus.
        Av = 4 => "av",
        /// Intrusion detection.
        Ids = 5 => "ids",
        /// Web application firewall.
        Waf = 6 => "waf",
        /// A person's own observation.
        Manual = 7 => "manual",
        /// Passed on from elsewhere: never a reporter, never a confirmation.
        Relayed = 8 => "relayed",
    }
}

word_enum! {
    /// How bad it is.
    Severity: u8, "severity" {
        /// Low.
        Low = 0 => "low",
        /// Medium.
        Medium = 1 => "medium",
        /// High.
        High = 2 => "high",
        /// Critical.
        Critical = 3 => "critical",
    }
}

word_enum! {
    /// When the owner of an address is told.
    Notify: u8, "notify_owner" {
        /// At once; the default.
        Now = 0 => "now",
        /// After release by the sender or the authority.
        Hold = 1 => "hold",
    }
}

/// What was attacked, where the reporter says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The target's address, canonical. Personal data: treated as a victim's value.
    pub ip: Option<Text>,
    /// The target's AS number.
    pub asn: Option<u32>,
    /// The target's sector.
    pub sector: Option<Text>,
}

/// The rarer fields of an event, behind one pointer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// When it was seen last, where `count` is more than one.
    pub last_time: Option<Timestamp>,
    /// Until when it holds; overrides the lifetime of its type and category.
    pub valid_until: Option<Timestamp>,
    /// Organisation, sector and group ids that narrow who receives it. Empty: no narrowing. Sorted, no duplicates.
    pub audience: Vec<Text>,
    /// ATT&CK technique ids, upper-case.
    pub technique: Vec<Text>,
    /// CVE ids, canonical.
    pub cve: Vec<Text>,
    /// Far-side address of the flow, canonical. Personal data where the far side is a victim.
    pub dst_ip: Option<Text>,
    /// Far-side port.
    pub dst_port: Option<u16>,
    /// Transport protocol, lower-case.
    pub protocol: Option<Text>,
    /// What was attacked.
    pub target: Option<Target>,
    /// AS number of the source.
    pub source_asn: Option<u32>,
    /// The reporter's free text. Only for reporter, its authority and the coordinator unless named.
    pub note: Option<Text>,
    /// Unknown fields as one JSON object. Given back to the sender, its authority and the coordinator only.
    pub extra: Option<Text>,
    /// The original text where the event came in another format than ours.
    pub original: Option<Text>,
}

/// A threat event in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it was seen.
    pub time: Timestamp,
    /// What it is.
    pub category: Category,
    /// What was seen; at least one.
    pub observables: SmallVec<[Observable; 1]>,
    /// What saw it.
    pub origin: Origin,
    /// Who may receive it.
    pub tlp: Tlp,
    /// What recipients may do.
    pub pap: Pap,
    /// Whether the reporter may be shown.
    pub named: bool,
    /// Whether the entry came without a time of its own (plain lists): repeats within 24 hours are merged.
    pub timeless: bool,
    /// When owners are told.
    pub notify_owner: Notify,
    /// 0 to 100.
    pub confidence: Option<u8>,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// Source or service port.
    pub port: Option<u16>,
    /// How often; 1 by default.
    pub count: u32,
    /// Sector it concerns.
    pub sector: Option<Text>,
    /// Malware name, as given, trimmed.
    pub malware: Option<Text>,
    /// The sender's own id.
    pub id: Option<Text>,
    /// Rarer fields.
    pub details: Option<Box<Details>>,
}

impl Event {
    /// An event with the contract's defaults and one observable.
    pub fn new(time: Timestamp, category: Category, observable: Observable) -> Self {
        Self {
            time,
            category,
            observables: SmallVec::from_buf([observable]),
            origin: Origin::Sensor,
            tlp: Tlp::Amber,
            pap: Pap::Green,
            named: false,
            timeless: false,
            notify_owner: Notify::Now,
            confidence: None,
            severity: None,
            port: None,
            count: 1,
            sector: None,
            malware: None,
            id: None,
            details: None,
        }
    }

    /// The rarer fields, made on first use.
    pub fn details_mut(&mut self) -> &mut Details {
        self.details.get_or_insert_with(Box::default)
    }

    /// The audience; empty where nothing narrows.
    pub fn audience(&self) -> &[Text] {
        self.details.as_ref().map_or(&[], |details| &details.audience)
    }
}
