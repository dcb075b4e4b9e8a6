//! Storage: the ledger, the views that follow it, and the records of what people do on purpose.
//!
//! Flow: [`Store`] takes prepared batches, writes them with one sync, applies them to the views and answers; [`records`] is beside it.
//! Invariant: only this crate knows an engine or a file's shape.
//! Not here: who may see what (`policy`), use cases (`hub`).

mod codec;
pub mod deliveries;
mod engine;
pub mod ledger;
mod live;
mod maintenance;
pub mod misp;
pub mod objects;
mod packing;
mod recompute;
pub mod records;
pub mod sources;
mod sqlite;
mod verify;
pub mod views;

pub use engine::{Batch, BatchResult, Options, Store, StoreError};
pub use live::{Follower, Live, LiveFrame};
pub use maintenance::{Pace, give_way, give_way_by};
pub use verify::{Report, verify};
