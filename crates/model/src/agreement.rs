//! What is agreed with a partner, and how widely the events of an organisation may be passed on.
//!
//! Invariant: an agreement that says nothing of something leaves it as it is without one; only its marking must be said.
//! Not here: what follows from it for a reader or a sender (`policy`), its history (`store::records`).

use crate::event::word_enum;
use crate::{Category, Text, Timestamp, Tlp};
use serde::{Deserialize, Serialize};

word_enum! {
    /// How widely what an organisation reports may be passed on, whatever its marking. Ordered: a later variant is wider.
    Redistribution: u8, "licence" {
        /// To nobody but the coordinator and authorities.
        None = 0 => "none",
        /// To members.
        Members = 1 => "members",
        /// To members and partners.
        Partners = 2 => "partners",
        /// To anyone, as far as the marking goes.
        Public = 3 => "public",
    }
}

/// What a partner may send; what lies outside is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sends {
    /// The strictest marking of what it sends; `None`: any.
    #[serde(default)]
    pub max_tlp: Option<Tlp>,
    /// What its events may be of; empty: anything.
    #[serde(default)]
    pub categories: Vec<Category>,
}

/// What a partner's agreement allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Agreement {
    /// The strictest marking it covers; amber+strict only with `strict`, red never.
    pub max_tlp: Tlp,
    /// Whether it covers amber+strict, where `max_tlp` is amber or stricter.
    pub strict: bool,
    /// What events above green must be of; empty: anything.
    pub categories: Vec<Category>,
    /// Which sector events above green must name; empty: any or none.
    pub sectors: Vec<Text>,
    /// Whether the names of reporters pass who permit it anyway.
    pub names: bool,
    /// The moment from which it no longer holds.
    pub expires: Option<Timestamp>,
    /// What the partner may send.
    pub sends: Sends,
}

/// An agreement as it may have been written by an earlier release.
#[derive(Deserialize)]
struct Written {
    max_tlp: Tlp,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(default)]
    categories: Vec<Category>,
    #[serde(default)]
    sectors: Vec<Text>,
    #[serde(default)]
    names: bool,
    #[serde(default)]
    expires: Option<Timestamp>,
    #[serde(default)]
    sends: Sends,
}

impl From<Written> for Agreement {
    fn from(written: Written) -> Self {
        let Written { max_tlp, strict, categories, sectors, names, expires, sends } = written;
        // Who named amber+strict before there was a word of its own for it meant it.
        Self { max_tlp, strict: strict.unwrap_or(max_tlp >= Tlp::AmberStrict), categories, sectors, names, expires, sends }
    }
}

impl Agreement {
    /// An agreement on everything up to a marking, without an end. Who names amber+strict means it.
    pub fn up_to(max_tlp: Tlp) -> Self {
        Self { max_tlp, strict: max_tlp >= Tlp::AmberStrict, categories: Vec::new(), sectors: Vec::new(), names: false, expires: None, sends: Sends::default() }
    }

    /// Whether it holds at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}
