//! The queue before the parse threads: whose turn it is.
//!
//! Flow: a session gives each chunk a turn ([`Queue::turn`]) → the threads take the earliest first.
//! Invariant: a turn is when the request began, plus what the bytes before take at a rate of [`BYTES_PER_MICROSECOND`], so that requests of the
//! same size end one after another instead of all at once, a small one passes large ones, and nobody waits for ever: later turns only grow.
//! Not here: how much may wait (the sessions' shares of memory).

use parking_lot::{Condvar, Mutex};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// What a request may send without coming after those that began later.
const BYTES_PER_MICROSECOND: u64 = 100;
/// A request of at most so many bytes goes ahead, by so much.
const SMALL: u64 = 64 * 1024;
const AHEAD: Duration = Duration::from_millis(250);

/// What waits, earliest turn first; of the same turn what came first.
#[derive(Debug)]
pub(super) struct Queue<T> {
    began: Instant,
    waiting: Mutex<Waiting<T>>,
    comes: Condvar,
}

#[derive(Debug)]
struct Waiting<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    next: u64,
    closed: bool,
}

#[derive(Debug)]
struct Entry<T> {
    turn: u64,
    number: u64,
    thing: T,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), waiting: Mutex::new(Waiting { heap: BinaryHeap::new(), next: 0, closed: false }), comes: Condvar::new() }
    }

    /// The turn of a chunk: of a request that began then and has sent so many bytes with it.
    pub(super) fn turn(&self, request_began: Instant, bytes: u64) -> u64 {
        let ahead = AHEAD.as_micros() as u64;
        let began = request_began.saturating_duration_since(self.began).as_micros() as u64;
        if bytes <= SMALL { began } else { began + ahead + bytes / BYTES_PER_MICROSECOND }
    }

    pub(super) fn push(&self, turn: u64, thing: T) {
        let mut waiting = self.waiting.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.heap.push(Reverse(Entry { turn, number, thing }));
        drop(waiting);
        self.comes.notify_one();
    }

    /// The next one; waits for it. `None` once the queue is closed.
    pub(super) fn next(&self) -> Option<T> {
        let mut waiting = self.waiting.lock();
        loop {
            if waiting.closed {
                return None;
            }
            if let Some(Reverse(entry)) = waiting.heap.pop() {
                return Some(entry.thing);
            }
            self.comes.wait(&mut waiting);
        }
    }

    /// Ends every wait.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.heap.clear();
        drop(waiting);
        self.comes.notify_all();
    }
}

impl<T> Entry<T> {
    const fn place(&self) -> (u64, u64) {
        (self.turn, self.number)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn requests_end_one_after_another_and_a_small_one_passes_them() {
        let queue = Queue::new();
        let at = |millis: u64| queue.began + Duration::from_millis(millis);
        let chunk = 2 << 20;
        for number in 1..=3 {
            queue.push(queue.turn(at(0), number * chunk), format!("first {number}"));
            queue.push(queue.turn(at(100), number * chunk), format!("second {number}"));
        }
        queue.push(queue.turn(at(200), 1_000), "small".to_owned());
        let order: Vec<_> = (0..7).map(|_| queue.next().unwrap()).collect();
        assert_eq!(order, ["small", "first 1", "first 2", "first 3", "second 1", "second 2", "second 3"]);
    }

    #[test]
    fn small_requests_do_not_starve_a_large_one() {
        let queue = Queue::<u8>::new();
        let large = queue.turn(queue.began, 2 << 20);
        assert!(queue.turn(queue.began + Duration::from_secs(1), 100) > large);
    }

    #[test]
    fn a_closed_queue_ends_every_wait() {
        let queue = std::sync::Arc::new(Queue::<u8>::new());
        let waiting = {
            let queue = queue.clone();
            std::thread::spawn(move || queue.next())
        };
        queue.close();
        assert_eq!(waiting.join().unwrap(), None);
    }
}
