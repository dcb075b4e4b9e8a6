//! Connections with an end to the hub's patience.
//!
//! Flow: [`Patient`] wraps what another acceptor lets in → [`Connection`] watches the bytes.
//! Invariant: a connection whose first request has no whole head within [`HEAD`], or that takes nothing of an answer for [`STALL`], is closed
//! and gives back what it held. After the head a read costs one comparison more.
//! Not here: heads of later requests on the same connection (`super` has the server bound them), how long bodies take (`web::limits`).

use axum_server::accept::Accept;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long the head of a connection's first request may take.
const HEAD: Duration = Duration::from_secs(30);
/// How long the other side may take nothing of what is written to it.
const STALL: Duration = Duration::from_secs(60);

/// Watches what another acceptor lets in.
#[derive(Debug, Clone)]
pub struct Patient<A>(pub A);

impl<A, I, S> Accept<I, S> for Patient<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
    A::Stream: Send + 'static,
    A::Service: Send + 'static,
{
    type Stream = Connection<A::Stream>;
    type Service = A::Service;
    type Future = Pin<Box<dyn Future<Output = Result<(Connection<A::Stream>, A::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let accepted = self.0.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepted.await?;
            Ok((Connection { stream, head: Some(Head { ends: HeadEnd::default(), deadline: Box::pin(sleep(HEAD)) }), stall: None }, service))
        })
    }
}

/// One connection.
pub struct Connection<T> {
    stream: T,
    /// While the first request's head is awaited.
    head: Option<Head>,
    /// While the other side takes nothing: until when it may.
    stall: Option<Pin<Box<Sleep>>>,
}

struct Head {
    ends: HeadEnd,
    deadline: Pin<Box<Sleep>>,
}

/// Finds the empty line after a head; empty lines before it do not count. HTTP/2 begins with such a head, too.
#[derive(Debug, Default)]
struct HeadEnd {
    /// Line ends in a row; `None` before the first line.
    line_ends: Option<u8>,
}

impl HeadEnd {
    /// Whether the head ends in these bytes, which follow those before.
    fn is_in(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            match (byte, self.line_ends) {
                (b'\n', Some(0)) => self.line_ends = Some(1),
                (b'\n', Some(_)) => return true,
                (b'\n', None) | (b'\r', _) => {}
                _ => self.line_ends = Some(0),
            }
        }
        false
    }
}

impl<T> Connection<T> {
    /// Counts the time that a write waits.
    fn watched<R>(&mut self, context: &mut Context<'_>, written: Poll<Result<R>>) -> Poll<Result<R>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL)));
        stall.as_mut().poll(context).map(|()| Err(Error::from(ErrorKind::TimedOut)))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let Some(head) = &mut this.head else { return Pin::new(&mut this.stream).poll_read(context, buffer) };
        if head.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(Error::from(ErrorKind::TimedOut)));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if head.ends.is_in(buffer.filled().get(before..).unwrap_or_default()) {
            this.head = None;
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.watched(context, written)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        this.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.watched(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(context);
        this.watched(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(pieces: &[&[u8]]) -> bool {
        let mut end = HeadEnd::default();
        pieces.iter().any(|piece| end.is_in(piece))
    }

    #[test]
    fn a_head_ends_with_an_empty_line_however_it_is_cut() {
        assert!(ends(&[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]));
        assert!(ends(&[b"GET / HTTP/1.1\r\nHost: a\r", b"\n", b"\r", b"\nbody"]));
        assert!(ends(&[b"GET / HTTP/1.1\n\n"]));
        assert!(ends(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]));
    }

    #[test]
    fn half_a_head_and_empty_lines_before_one_are_no_head() {
        assert!(!ends(&[b"GET / HTTP/1.1\r\nHost: a\r\n", b"Accept: b\r\n"]));
        assert!(!ends(&[b"\r\n\r\n\r\n", b"\n\nGET / HTTP/1.1\r\n"]));
    }
}
