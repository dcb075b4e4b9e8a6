//! Turns of answers that are given piece by piece.
//!
//! Invariant: one organisation never has all of them.

use crate::misp::MAX_ANSWERS_OF_ONE;
use hashbrown::HashMap;
use model::OrgNo;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many answers each organisation is being given piece by piece.
#[derive(Debug, Default)]
pub(in crate::misp) struct Answering(Mutex<HashMap<OrgNo, usize>>);

/// The turn of one such answer: of those that there are, and of those that its organisation may have.
#[derive(Debug)]
pub(super) struct Turn {
    answering: Arc<Answering>,
    org: OrgNo,
    _of_all: OwnedSemaphorePermit,
}

impl Turn {
    /// A turn for an organisation; `None` where there is none now.
    pub(super) fn take(answers: &Arc<Semaphore>, answering: &Arc<Answering>, org: OrgNo) -> Option<Self> {
        let of_all = Arc::clone(answers).try_acquire_owned().ok()?;
        let mut counts = answering.0.lock();
        let count = counts.entry(org).or_insert(0);
        if *count >= MAX_ANSWERS_OF_ONE {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Self { answering: Arc::clone(answering), org, _of_all: of_all })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut counts = self.answering.0.lock();
        let left = counts.get(&self.org).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            counts.remove(&self.org);
        } else {
            counts.insert(self.org, left);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn an_organisation_has_so_many_answers_at_a_time_and_leaves_the_rest_to_others() {
        let answers = Arc::new(Semaphore::new(MAX_ANSWERS_OF_ONE + 1));
        let answering: Arc<Answering> = Arc::default();
        let take = |org: u32| Turn::take(&answers, &answering, OrgNo(org));
        let mut own: Vec<Turn> = (0..MAX_ANSWERS_OF_ONE).map(|_| take(1).unwrap()).collect();
        assert!(take(1).is_none(), "what is refused leaves its turn to others");
        let others = take(2).unwrap();
        drop(own.pop());
        assert!(take(1).is_some());
        drop((own, others));
        assert_eq!((answers.available_permits(), answering.0.lock().len()), (MAX_ANSWERS_OF_ONE + 1, 0));
    }
}
