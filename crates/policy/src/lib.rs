//! Who may see what. One pure function, [`sight`], decides it; every door calls it and none has a rule of its own.
//!
//! Flow: `hub` reads an item from a view, asks [`sight`] with the reader's facts, and passes what [`redact`] leaves.
//! Invariant: no clock, randomness or I/O; the reader's facts are read when answering and never stored in a view.
//! Absent on purpose: any way to ask for more than [`Sight`] grants, and any answer that differs between *hidden* and *unknown*.
//! Source: FIRST TLP 2.0 for the meaning of the markings.

pub mod distribution;
mod finding;
mod leave;
mod partner;
mod reader;
mod redact;
mod sight;

pub use finding::{FindingContent, FindingPart, finding, sees_told, sees_waiting};
pub use leave::{Candidate, Purpose, Terms, actions_allowed, licence_allows, may_fetch, may_leave, strictest_product, way_out};
pub use partner::{covers, is_within, is_within_up_to, outside, reach};
pub use reader::{Reader, audience_ids};
pub use redact::redact;
pub use sight::{Export, Item, Sight, blocking_allowed, export_allowed, groups_permit_naming, receives_all, sight};
