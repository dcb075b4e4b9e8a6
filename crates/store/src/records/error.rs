//! Why the records store refuses. No variant carries a record's content, so all are safe to log.

/// A refusal of the records store.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The file was written by a newer program.
    #[error("records have schema version {found}, this program knows versions up to {known}; use the newer program")]
    UnknownSchema {
        /// In the file.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// The record was changed since the caller read it.
    #[error("record {id} is at version {current}, not {given}")]
    Stale {
        /// The record.
        id: String,
        /// The version the caller had.
        given: u64,
        /// The version there is.
        current: u64,
    },
    /// There is no such record.
    #[error("record {id} does not exist")]
    Missing {
        /// The record.
        id: String,
    },
    /// Another record of the kind has the same unique name, number or id.
    #[error("another record of the kind has this name")]
    Taken,
    /// The content is not what its kind expects.
    #[error("content of record {id} cannot be read or written")]
    Content {
        /// The record.
        id: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// One change asks for more control entries than the limit.
    #[error("a change has {found} control entries, limit is {limit}")]
    TooManyEntries {
        /// Asked for.
        found: usize,
        /// The limit.
        limit: i64,
    },
    /// Others hold the file for too long.
    #[error("records are busy, try again")]
    Busy,
    /// The disk is full; reads go on.
    #[error("no space left to write records")]
    DiskFull(#[source] sqlx::Error),
    /// The file or its disk refuses writes for another reason.
    #[error("records cannot be written or read")]
    Unwritable(#[source] sqlx::Error),
    /// A file cannot be made or opened.
    #[error("file of the records")]
    Io(#[from] std::io::Error),
    /// Anything else the engine says.
    #[error("records engine")]
    Engine(#[source] sqlx::Error),
}

impl From<sqlx::Error> for RecordsError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Busy;
        }
        let Some(database) = error.as_database_error() else { return Self::Engine(error) };
        if database.is_unique_violation() {
            return Self::Taken;
        }
        // Source: https://www.sqlite.org/rescode.html; the low byte of an extended code is the primary one.
        let code = database.code().and_then(|code| code.parse::<i64>().ok()).map(|code| code & 0xFF);
        match code {
            Some(5 | 6) => Self::Busy,
            Some(13) => Self::DiskFull(error),
            // Read-only, input/output error, corrupt, cannot open.
            Some(8 | 10 | 11 | 14) => Self::Unwritable(error),
            _ => Self::Engine(error),
        }
    }
}
