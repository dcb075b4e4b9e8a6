//! The only place that reads the wall clock, and the only source of randomness; tests pass their own.

use model::Timestamp;
use std::sync::Arc;
use uuid::Uuid;

/// Time and randomness, passed in everywhere.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Clock {
    /// The machine's clock.
    #[expect(clippy::disallowed_methods, reason = "the one reader of the wall clock")]
    pub fn system() -> Self {
        Self {
            now: Arc::new(|| {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }),
        }
    }

    /// A clock of the caller's.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now) }
    }

    /// The current moment.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// A fresh time-ordered id.
    pub fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
