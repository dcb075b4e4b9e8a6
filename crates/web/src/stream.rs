//! The live stream as server-sent events.
//!
//! Flow: [`response`] drives a `hub` subscription and writes whatever is ready as one piece.
//! Invariant: the subscription is asked for more only while the connection takes bytes; a reader that takes nothing for [`MAX_PAUSE`]
//! loses its subscription, and slows nobody else. Waiting for the next item is never given up half-way, so none is lost.
//! Source: WHATWG HTML, server-sent events.

use crate::limits;
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hub::sharing::{StreamItem, Subscription};
use model::Seq;
use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio_stream::Stream;

/// The media type of a stream.
pub const MEDIA_TYPE: &str = "text/event-stream";
/// A reader that takes nothing for so long is gone. There is a heartbeat to take several times as often.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// How often that is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(10);

/// An answer that stays open until the reader leaves or is dropped.
pub fn response(subscription: Subscription) -> Response {
    let ready = Arc::new(Mutex::new(opening(subscription.seen())));
    let source = Source::new(Box::pin(pump(subscription, Arc::clone(&ready))));
    tokio::spawn(watch(Arc::downgrade(&source)));
    let body = Body::from_stream(Frames { source, ready });
    ([(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], body).into_response()
}

/// Says at once that the stream is open, after how many milliseconds to come back when it breaks, and after which event: a connection that
/// breaks before its first event is resumed without loss, too.
fn opening(seen: Option<Seq>) -> Vec<u8> {
    let mut bytes = b"retry: 2000\n: open\n".to_vec();
    write_place(&mut bytes, seen);
    bytes
}

/// Writes an id without data: a reader keeps it for coming back, and no event is dispatched.
fn write_place(bytes: &mut Vec<u8>, seen: Option<Seq>) {
    if let Some(seq) = seen {
        // Writing into memory does not fail.
        let _ = writeln!(bytes, "id: {seq}");
    }
    bytes.push(b'\n');
}

/// Bytes that are ready to be written; filled by [`pump`], emptied by [`Frames`].
type Ready = Arc<Mutex<Vec<u8>>>;

/// The body: polls the pump until it has to wait, then hands out what has gathered.
struct Frames {
    source: Arc<Mutex<Source>>,
    ready: Ready,
}

/// Where the bytes come from, until its end or the reader's.
struct Source {
    pump: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// When the connection asked for bytes last.
    asked: Instant,
}

impl Source {
    fn new(pump: Pin<Box<dyn Future<Output = ()> + Send>>) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { pump: Some(pump), asked: Instant::now() }))
    }
}

/// Takes the subscription from a reader that pauses for too long: a connection that is not written to is never asked whether it is still there.
async fn watch(source: Weak<Mutex<Source>>) {
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        let Some(source) = source.upgrade() else { return };
        if end_where_paused(&source, MAX_PAUSE) {
            return;
        }
    }
}

/// Ends a source that was not asked for `pause`; true where it has ended.
fn end_where_paused(source: &Mutex<Source>, pause: Duration) -> bool {
    let mut source = locked(source);
    if source.asked.elapsed() >= pause {
        source.pump = None;
    }
    source.pump.is_none()
}

/// A value whose every state is whole, so that a panic elsewhere is no reason to stop.
fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream for Frames {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut source = locked(&self.source);
        source.asked = Instant::now();
        if let Some(pump) = source.pump.as_mut()
            && pump.as_mut().poll(context).is_ready()
        {
            source.pump = None;
        }
        let gathered = std::mem::take(&mut *locked(&self.ready));
        match (gathered.is_empty(), source.pump.is_some()) {
            (false, _) => Poll::Ready(Some(Ok(Bytes::from(gathered)))),
            (true, true) => Poll::Pending,
            (true, false) => Poll::Ready(None),
        }
    }
}

/// Writes items down as they come; makes room after every [`limits::STREAM_WRITE`] bytes.
async fn pump(mut subscription: Subscription, ready: Ready) {
    loop {
        let item = subscription.next().await;
        let (last, gathered) = {
            let mut bytes = locked(&ready);
            (write_item(&mut bytes, &item), bytes.len())
        };
        if last {
            return;
        }
        if gathered >= limits::STREAM_WRITE {
            tokio::task::yield_now().await;
        }
    }
}

/// Writes one item; true where it is the last.
fn write_item(bytes: &mut Vec<u8>, item: &StreamItem) -> bool {
    match item {
        StreamItem::Event { seq, json } => {
            // Writing into memory does not fail.
            let _ = write!(bytes, "id: {seq}\ndata: ");
            bytes.extend_from_slice(json);
            bytes.extend_from_slice(b"\n\n");
            false
        }
        StreamItem::Heartbeat { seen } => {
            bytes.extend_from_slice(b": heartbeat\n");
            write_place(bytes, *seen);
            false
        }
        StreamItem::Dropped { reason } => {
            let word = serde_json::json!({ "reason": reason });
            let _ = write!(bytes, "event: dropped\ndata: {word}\n\n");
            true
        }
        StreamItem::Closed => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_gets_a_last_word() {
        let mut bytes = Vec::new();
        assert!(write_item(&mut bytes, &StreamItem::Dropped { reason: "too slow" }));
        assert_eq!(bytes, b"event: dropped\ndata: {\"reason\":\"too slow\"}\n\n");
    }

    #[test]
    fn a_heartbeat_is_a_comment_and_the_place_to_resume_from() {
        for (seen, expected) in [(None, ": heartbeat\n\n"), (Some(Seq(7)), ": heartbeat\nid: 7\n\n")] {
            let mut bytes = Vec::new();
            assert!(!write_item(&mut bytes, &StreamItem::Heartbeat { seen }));
            assert_eq!(bytes, expected.as_bytes());
        }
    }

    #[test]
    fn the_opening_names_the_place_to_resume_from() {
        assert_eq!(opening(Some(Seq(7))), b"retry: 2000\n: open\nid: 7\n\n");
        assert_eq!(opening(None), b"retry: 2000\n: open\n\n");
    }

    #[tokio::test]
    async fn what_has_gathered_is_written_in_one_piece_before_the_stream_ends() {
        use tokio_stream::StreamExt;
        let ready = Arc::new(Mutex::new(Vec::new()));
        let gather = Arc::clone(&ready);
        let pump = Box::pin(async move {
            for word in [b"a", b"b"] {
                gather.lock().unwrap().extend_from_slice(word);
            }
            tokio::task::yield_now().await;
            gather.lock().unwrap().extend_from_slice(b"c");
        });
        let mut frames = Frames { source: Source::new(pump), ready };
        assert_eq!(frames.next().await.unwrap().unwrap(), "ab");
        assert_eq!(frames.next().await.unwrap().unwrap(), "c");
        assert!(frames.next().await.is_none());
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_loses_its_subscription() {
        use tokio_stream::StreamExt;
        let subscription = Arc::new(());
        let held = Arc::clone(&subscription);
        let pump = Box::pin(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        let mut frames = Frames { source: Source::new(pump), ready: Ready::default() };
        assert!(!end_where_paused(&frames.source, MAX_PAUSE));
        assert_eq!(Arc::strong_count(&subscription), 2);
        assert!(end_where_paused(&frames.source, Duration::ZERO));
        assert_eq!(Arc::strong_count(&subscription), 1);
        assert!(frames.next().await.is_none());
    }
}
