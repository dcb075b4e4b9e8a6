//! Why a use case refuses. No variant carries submitted bytes, so all are safe to log.

/// A refusal, in the words a door turns into a problem document.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No key, an unknown, expired or revoked key, or one used from outside its allow-list.
    #[error("a valid key is needed")]
    Unauthenticated,
    /// The caller may know it exists but may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// It does not exist, or the caller may not know that it does.
    #[error("not found")]
    NotFound,
    /// A field or parameter is wrong.
    #[error("{pointer}: {reason}")]
    Invalid {
        /// JSON pointer or name of the parameter.
        pointer: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The record was changed in the meantime.
    #[error("version {given} is stale, the current one is {current}")]
    Conflict {
        /// The version the caller had.
        given: u64,
        /// The version there is.
        current: u64,
    },
    /// The step is not allowed in this state.
    #[error("step {step} is not legal now; legal: {legal}")]
    IllegalStep {
        /// The step asked for.
        step: String,
        /// The legal ones, comma-separated.
        legal: String,
    },
    /// More than the limit allows.
    #[error("larger than the limit of {limit} {unit}")]
    TooLarge {
        /// The limit.
        limit: u64,
        /// What it counts.
        unit: &'static str,
    },
    /// Nothing in the body could be used.
    #[error("nothing usable in the body")]
    NothingUsable {
        /// What became of it.
        outcome: Box<crate::answers::Outcome>,
    },
    /// The body cannot be decompressed or decoded.
    #[error("{0}")]
    BadBody(String),
    /// The member's rate or quota is used up.
    #[error("quota used up")]
    Quota {
        /// Seconds until it may try again.
        retry_after: u64,
    },
    /// The same was done a moment ago.
    #[error("this was done a moment ago; try again in {retry_after} s")]
    TooSoon {
        /// Seconds until it may try again.
        retry_after: u64,
    },
    /// The hub has more work than it can queue, or is stopping.
    #[error("overloaded, try again")]
    Overloaded {
        /// Seconds until it may try again.
        retry_after: u64,
    },
    /// The disk is full; reads go on.
    #[error("no space left to write; reads go on")]
    DiskFull,
    /// The store refuses writes for another reason; reads go on.
    #[error("writes are refused for now; reads go on")]
    ReadOnly,
    /// A request broke off after a part of it had been kept.
    #[error("{error}; what came before was kept")]
    Partly {
        /// Why it broke off.
        error: Box<HubError>,
        /// What was kept.
        outcome: Box<crate::answers::Outcome>,
    },
    /// It was there, and another one has taken its place; only for those who may know of both.
    #[error("replaced by {by}")]
    Replaced {
        /// The sequence number of what stands in its place now.
        by: model::Seq,
    },
    /// Something broke inside; the log has more.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}
