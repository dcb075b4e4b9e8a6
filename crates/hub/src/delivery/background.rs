//! One thread for the work that nobody waits for: it reads blocks and renders events, and gives way to all that answer.
//!
//! Invariant: one job at a time; a job that breaks ends neither the thread nor the next one. While events stream in it rests between jobs
//! ([`store::Pace`]); a much lower priority would let it be sent off the processor with a lock of the views in its hands.
//! Not here: what the jobs are (`matching`, `queue`).

use model::Seq;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use store::Pace;
use tokio::sync::oneshot;

/// Jobs that wait; each caller waits for its own, so that there are never more than callers.
const WAITING: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Background {
    jobs: SyncSender<Job>,
}

/// A job broke, or the thread is gone.
#[derive(Debug, thiserror::Error)]
#[error("work in the background broke")]
pub(super) struct Broken;

impl Background {
    /// Starts the thread; `position` is how far the views are.
    pub(super) fn start(position: impl Fn() -> Seq + Send + 'static) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel::<Job>(WAITING);
        std::thread::Builder::new().name("delivery".to_owned()).spawn(move || {
            store::give_way();
            let mut pace = Pace::default();
            while let Ok(job) = waiting.recv() {
                pace.rest(position());
                // Whoever waits for it learns by the dropped sender.
                drop(catch_unwind(AssertUnwindSafe(job)));
            }
        })?;
        Ok(Self { jobs })
    }

    /// Does some work on the thread and waits for it.
    ///
    /// # Errors
    /// [`Broken`] where it panicked.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Broken> {
        let (tell, told) = oneshot::channel();
        let job = Box::new(move || drop(tell.send(work())));
        self.jobs.try_send(job).map_err(|_| Broken)?;
        told.await.map_err(|_| Broken)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_that_breaks_is_told_and_the_next_one_is_done() {
        let background = Background::start(|| Seq(0)).unwrap();
        assert_eq!(background.run(|| 1 + 1).await.unwrap(), 2);
        assert!(background.run(|| assert!(std::env::args().count() > 1_000_000)).await.is_err());
        assert_eq!(background.run(|| 2 + 2).await.unwrap(), 4);
    }
}
