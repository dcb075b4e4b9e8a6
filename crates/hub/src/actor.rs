//! Who acts: the holder of one key, at the time of the request.

use model::{KeyId, KeyRole, Organisation};
use policy::Reader;
use std::sync::Arc;

/// An authenticated key. Only [`crate::directory::Directory::authenticate`] and the hub's own tasks make one.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The key.
    pub key: KeyId,
    /// Its organisation as of now.
    pub organisation: Arc<Organisation>,
    /// What the key may do.
    pub role: KeyRole,
    /// Whether it is a person's flagged for red.
    pub red: bool,
    /// The facts policy decides on.
    pub reader: Reader,
}

impl Actor {
    /// Whether the key belongs to the hub's duty desk.
    pub fn is_coordinator(&self) -> bool {
        self.role == KeyRole::Coordinator
    }
}
