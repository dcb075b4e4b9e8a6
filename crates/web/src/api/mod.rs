//! The keyed interface, a file per group of endpoints.
//!
//! Invariant: a handler parses, calls one use case and writes down the answer.

pub mod agreements;
pub mod claims;
pub mod contacts;
pub mod erasures;
pub mod events;
pub mod findings;
pub mod groups;
pub mod inbox;
pub mod keys;
pub mod national;
pub mod networks;
pub mod observables;
pub mod organisations;
pub mod receipts;
pub mod sources;
pub mod status;
pub mod stream;
pub mod submissions;
pub mod subscriptions;
