//! Use cases: what members, authorities and the coordinator do with the hub.
//!
//! Flow: a door (`web`) authenticates a key into an [`Actor`] and calls one use case of [`Hub`], whose signature takes the actor.
//! Invariant: nothing leaves without `policy`; success of a write means durable and applied.
//! Not here: HTTP (`web`), engines (`store`), configuration files (`bongsu`).

pub mod actor;
pub mod answers;
pub mod clock;
mod days;
pub mod delivery;
pub mod directory;
pub mod erasures;
pub mod error;
pub mod expiry;
mod hub;
pub mod intake;
pub mod members;
pub mod misp;
pub mod ops;
pub mod outbound;
mod outbox;
pub mod owners;
mod partners;
pub mod products;
mod quota;
pub mod sharing;
pub mod sources;
pub mod taxii;
#[cfg(test)]
mod test_support;
mod warning_lists;

pub use actor::Actor;
pub use error::HubError;
pub use hub::{Hub, HubOptions};
