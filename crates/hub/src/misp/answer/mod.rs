//! An answer as it is taken: whole where it is small, else piece by piece while the rest is still looked for.
//!
//! Flow: [`begin`] starts the writing on a task of its own, which fills an [`Out`] → pieces → [`MispBody`]. What was made at once ([`Shown`]) goes the same way.
//! Invariant: what goes wrong before [`READY`] bytes are there is a refusal; after that the answer breaks off with an error, never with an end. What waits to be
//! taken has room until its last piece is on its way. Nobody who takes nothing, or takes too long, holds what others need, nor does one organisation have all
//! turns. Where nobody waits any more the writing stops.

mod turns;

pub(super) use turns::Answering;

use super::apart;
use super::show::Wait;
use crate::{Actor, Hub, HubError};
use bytes::Bytes;
use model::OrgNo;
use serde_json::Value;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use turns::Turn;

/// Bytes that are handed on at once.
const PIECE: usize = 256 * 1024;
/// An answer of fewer bytes is given whole.
const READY: usize = 4 * 1024 * 1024;
/// Pieces that wait to be taken.
const QUEUE: usize = 2;
/// How long a piece waits for that.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
/// How long an answer may take from its beginning to its end.
const ANSWER_TIME: Duration = Duration::from_secs(600);
/// The same of an answer to a change: it waits for no turn, so it may hold its room less long.
const CHANGED_TIME: Duration = Duration::from_secs(60);
/// Room that is held for what was written until it is taken; less is none that others miss.
const LARGE: usize = 4 * 1024 * 1024;

/// The answer to a search.
#[derive(Debug)]
pub struct MispAnswer {
    /// What it is written in.
    pub media: MispMedia,
    /// Its bytes.
    pub body: MispBody,
    /// How many events, attributes or objects were found, where that is known when the answer begins.
    pub count: Option<usize>,
}

/// What an answer is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MispMedia {
    /// JSON.
    Json,
    /// A table.
    Csv,
    /// Lines.
    Text,
}

/// The bytes of an answer.
#[derive(Debug)]
pub enum MispBody {
    /// All of them.
    Whole(Vec<u8>),
    /// As they come.
    Pieces(Pieces),
}

/// What was made at once for an answer, with the room that it takes.
#[derive(Debug)]
pub struct Shown {
    /// What is answered.
    pub value: Value,
    room: Option<OwnedSemaphorePermit>,
    wait: Wait,
}

impl Shown {
    pub(super) fn new(value: Value, room: Option<OwnedSemaphorePermit>, wait: Wait) -> Self {
        Self { value, room, wait }
    }
}

/// What the task that writes hands on.
#[derive(Debug)]
enum Piece {
    /// Some bytes.
    Bytes(Bytes),
    /// Nothing comes after; so many were found.
    End(usize),
    /// Nothing comes after, and it is not whole.
    Broken(HubError),
}

/// An answer that is still being written.
#[derive(Debug)]
pub struct Pieces {
    /// Its beginning.
    ready: Option<Bytes>,
    rest: mpsc::Receiver<Piece>,
    over: bool,
    _turn: Option<Turn>,
}

impl Pieces {
    /// The next piece; an error where the answer breaks off; `None` after its end.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, HubError>>> {
        if let Some(bytes) = self.ready.take() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        if self.over {
            return Poll::Ready(None);
        }
        let last = match self.rest.poll_recv(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Piece::Bytes(bytes))) => return Poll::Ready(Some(Ok(bytes))),
            Poll::Ready(Some(Piece::End(_))) => None,
            Poll::Ready(Some(Piece::Broken(error))) => Some(Err(error)),
            Poll::Ready(None) => Some(Err(no_turn())),
        };
        self.over = true;
        if let Some(Err(error)) = &last {
            tracing::warn!(%error, "an answer over MISP broke off");
        }
        Poll::Ready(last)
    }
}

/// Where an answer is written to.
#[derive(Debug)]
pub(super) struct Out {
    sender: mpsc::Sender<Piece>,
    buffer: Vec<u8>,
    rooms: Vec<OwnedSemaphorePermit>,
    count: usize,
}

impl Out {
    fn new(sender: mpsc::Sender<Piece>) -> Self {
        Self { sender, buffer: Vec::new(), rooms: Vec::new(), count: 0 }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Writes one of a list, parted from the one before.
    pub(super) fn entry(&mut self, bytes: &[u8]) {
        if self.count > 0 {
            self.buffer.push(b',');
        }
        self.buffer.extend_from_slice(bytes);
        self.count += 1;
    }

    /// Counts what was found.
    pub(super) fn found(&mut self, count: usize) {
        self.count += count;
    }

    /// Keeps of the room of an event what is waiting to be taken, where that is large. What it took to look at the event is free again: little may be
    /// written of much.
    pub(super) fn keep(&mut self, mut room: OwnedSemaphorePermit) {
        let waiting = self.buffer.len();
        if waiting >= LARGE
            && let Some(part) = room.split(room.num_permits().min(waiting.div_ceil(1024)))
        {
            self.rooms.push(part);
        }
    }

    /// Hands on what was written once it is worth it, and waits until there is a place for it.
    pub(super) async fn pass_on(&mut self) -> Result<(), HubError> {
        if self.buffer.len() >= PIECE { self.flush().await } else { Ok(()) }
    }

    /// What was written has its room here until the last piece of it is handed on.
    async fn flush(&mut self) -> Result<(), HubError> {
        let (written, _rooms) = (std::mem::take(&mut self.buffer), std::mem::take(&mut self.rooms));
        if written.is_empty() {
            return Ok(());
        }
        if written.len() <= 2 * PIECE {
            return self.hand_on(Bytes::from(written)).await;
        }
        // Copies: a piece that waits does not keep all of it in memory after its room is given back.
        for piece in written.chunks(PIECE) {
            self.hand_on(Bytes::copy_from_slice(piece)).await?;
        }
        Ok(())
    }

    async fn hand_on(&self, piece: Bytes) -> Result<(), HubError> {
        match tokio::time::timeout(TAKEN_WITHIN, self.sender.send(Piece::Bytes(piece))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(no_turn()),
        }
    }
}

impl Hub {
    /// Gives what was made at once.
    ///
    /// # Errors
    /// [`HubError::Overloaded`] where it is large, no change, and there is no turn for it now.
    pub async fn misp_answer(&self, actor: &Actor, shown: Shown) -> Result<MispAnswer, HubError> {
        let Shown { value, room, wait } = shown;
        let answer = begin(self, actor.organisation.number, MispMedia::Json, wait, move |mut out| async move {
            out.buffer = apart(move || serde_json::to_vec(&value).map_err(|error| HubError::Internal(Box::new(error)))).await?;
            if let Some(room) = room {
                out.keep(room);
            }
            Ok::<Out, HubError>(out)
        });
        Ok(MispAnswer { count: None, ..answer.await? })
    }
}

/// Starts writing an answer. Gives it once it is whole, or once its beginning is there. A large one takes a turn; one to a change that was made is given
/// without where there is none, for a refusal would say that the change was not made.
pub(super) async fn begin<F>(hub: &Hub, org: OrgNo, media: MispMedia, wait: Wait, write: impl FnOnce(Out) -> F) -> Result<MispAnswer, HubError>
where
    F: Future<Output = Result<Out, HubError>> + Send + 'static,
{
    let (sender, mut rest) = mpsc::channel(QUEUE);
    let work = write(Out::new(sender.clone()));
    let time = match wait {
        Wait::Refused => ANSWER_TIME,
        Wait::InLine => CHANGED_TIME,
    };
    tokio::spawn(until_taken(sender, work, time));
    let mut whole: Vec<u8> = Vec::new();
    while whole.len() < READY {
        match rest.recv().await {
            Some(Piece::Bytes(bytes)) => whole.extend_from_slice(&bytes),
            Some(Piece::End(count)) => return Ok(MispAnswer { media, body: MispBody::Whole(whole), count: Some(count) }),
            Some(Piece::Broken(error)) => return Err(error),
            None => return Err(no_turn()),
        }
    }
    let turn = Turn::take(&hub.misp.answers, &hub.misp.answering, org);
    if turn.is_none() && wait == Wait::Refused {
        return Err(no_turn());
    }
    Ok(MispAnswer { media, body: MispBody::Pieces(Pieces { ready: Some(Bytes::from(whole)), rest, over: false, _turn: turn }), count: None })
}

/// Writes to the end, or until nobody waits for it.
async fn until_taken(sender: mpsc::Sender<Piece>, work: impl Future<Output = Result<Out, HubError>>, time: Duration) {
    let flushed = async {
        let mut out = work.await?;
        out.flush().await?;
        Ok::<usize, HubError>(out.count)
    };
    let written = tokio::select! {
        written = tokio::time::timeout(time, flushed) => written,
        () = sender.closed() => return,
    };
    let end = match written {
        Ok(Ok(count)) => Piece::End(count),
        Ok(Err(error)) => Piece::Broken(error),
        Err(_) => Piece::Broken(no_turn()),
    };
    // Where it does not come to be taken either, the answer has no end and so is broken off.
    drop(tokio::time::timeout(TAKEN_WITHIN, sender.send(end)).await);
}

/// There is more to do than can be done now.
fn no_turn() -> HubError {
    HubError::Overloaded { retry_after: 5 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::misp::MAX_ANSWERS_OF_ONE;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    fn turn() -> Option<Turn> {
        Turn::take(&Arc::new(Semaphore::new(1)), &Arc::default(), OrgNo(1))
    }

    async fn pieces(work: impl AsyncFnOnce(Out) -> Result<Out, HubError>) -> (Vec<u8>, Option<Result<Bytes, HubError>>) {
        let (sender, rest) = mpsc::channel(QUEUE);
        let mut pieces = Pieces { ready: Some(Bytes::from_static(b"first")), rest, over: false, _turn: turn() };
        let taken = async move {
            let mut all = Vec::new();
            loop {
                match std::future::poll_fn(|context| pieces.poll_next(context)).await {
                    Some(Ok(bytes)) => all.extend_from_slice(&bytes),
                    last => return (all, last),
                }
            }
        };
        let out = Out::new(sender.clone());
        let (taken, ()) = tokio::join!(taken, until_taken(sender, work(out), ANSWER_TIME));
        taken
    }

    #[tokio::test]
    async fn an_answer_is_taken_in_order_and_ends() {
        let (all, last) = pieces(async |mut out: Out| -> Result<Out, HubError> {
            for _ in 0..5 {
                out.entry(&vec![b'x'; PIECE]);
                out.pass_on().await?;
            }
            Ok(out)
        })
        .await;
        assert_eq!((all.len(), last.is_none()), (5 + 5 * PIECE + 4, true));
        assert_eq!(&all[..6], b"firstx");
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_does_not_end() {
        let (all, last) = pieces(async |mut out: Out| -> Result<Out, HubError> {
            out.write(&vec![b'x'; PIECE]);
            out.pass_on().await?;
            Err(HubError::NotFound)
        })
        .await;
        assert!(all.len() > PIECE && matches!(last, Some(Err(HubError::NotFound))));
        let (sender, rest) = mpsc::channel::<Piece>(QUEUE);
        drop(sender);
        let mut gone = Pieces { ready: None, rest, over: false, _turn: turn() };
        let last = std::future::poll_fn(|context| gone.poll_next(context)).await;
        assert!(matches!(last, Some(Err(HubError::Overloaded { .. }))), "the end of what writes is no end of the answer");
        assert!(std::future::poll_fn(|context| gone.poll_next(context)).await.is_none());
    }

    #[tokio::test]
    async fn nothing_is_written_for_nobody() {
        let (sender, rest) = mpsc::channel(QUEUE);
        drop(rest);
        until_taken(sender, std::future::pending(), ANSWER_TIME).await;
    }

    #[tokio::test]
    async fn what_was_made_at_once_has_room_until_it_is_taken_and_one_that_is_dropped_gives_it_back() {
        let realm = crate::test_support::Realm::open(1_790_000_000, None).await;
        let (_, actor) = realm.member("A", model::OrgKind::Company).await;
        let free = realm.hub.gathering.available_permits();
        let large = |wait: Wait| {
            let hub = Arc::clone(&realm.hub);
            async move { Shown::new(Value::from("x".repeat(4 * READY)), hub.taxii_room(8 * READY).await.ok(), wait) }
        };
        let is_free = async || {
            for _ in 0..500 {
                if realm.hub.gathering.available_permits() == free {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            false
        };
        let MispBody::Pieces(mut pieces) = realm.hub.misp_answer(&actor, large(Wait::Refused).await).await.unwrap().body else { panic!("it is not small") };
        let held = free - realm.hub.gathering.available_permits();
        assert!((4 * READY / 1024..8 * READY / 1024).contains(&held), "what is written has room, and no more than that: {held} KiB");
        let mut taken = 0;
        while let Some(piece) = std::future::poll_fn(|context| pieces.poll_next(context)).await {
            taken += piece.unwrap().len();
        }
        assert_eq!((taken, is_free().await), (4 * READY + 2, true));
        drop(pieces);

        let mut slow = Vec::new();
        for _ in 0..MAX_ANSWERS_OF_ONE {
            slow.push(realm.hub.misp_answer(&actor, large(Wait::Refused).await).await.unwrap());
        }
        assert!(matches!(realm.hub.misp_answer(&actor, large(Wait::Refused).await).await, Err(HubError::Overloaded { .. })));
        let changed = realm.hub.misp_answer(&actor, large(Wait::InLine).await).await.unwrap();
        assert!(matches!(changed.body, MispBody::Pieces(_)), "what was done is not refused");
        drop((slow, changed));
        assert!(is_free().await, "who hangs up holds nothing");
    }
}
