//! The keyed interface, a file per group of endpoints.
//!
//! Invariant: a handler parses, calls one use case and writes down the answer.

pub mod claims;
pub mod contacts;
pub mod erasures;
pub mod events;
pub mod findings;
pub mod groups;
pub mod keys;
pub mod networks;
pub mod observables;
pub mod organisations;
pub mod receipts;
pub mod status;
pub mod stream;
pub mod submissions;
