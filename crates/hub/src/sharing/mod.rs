//! Sharing: what the hub answers about events and values, to whom.
//!
//! Flow: a view gives rows or blocks → `policy::sight` for each → what is left is folded or rendered.
//! Invariant: every answer here goes through `view`, which is the only one that asks `policy`.

pub(crate) mod blocks;
mod contribution;
mod event;
mod history;
mod lookup;
mod search;
pub(crate) mod sheets;
mod sighting;
mod standing;
pub(crate) mod stream;
pub(crate) mod view;
mod withdraw;

pub use sighting::{NewSighting, SightingKind};
pub use stream::{StreamItem, Subscription};
pub use withdraw::Withdrawal;
pub(crate) use withdraw::ranges as runs_of;
