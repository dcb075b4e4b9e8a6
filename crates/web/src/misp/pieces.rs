//! An answer that is handed on as it is written.
//!
//! Invariant: where the writing breaks off so does the connection: the answer has no end that would make it look whole.

use axum::body::Body;
use bytes::Bytes;
use hub::HubError;
use hub::misp::Pieces;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_stream::Stream;

/// The body of such an answer.
pub fn body(pieces: Pieces) -> Body {
    Body::from_stream(Frames(pieces))
}

struct Frames(Pieces);

impl Stream for Frames {
    type Item = Result<Bytes, HubError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().0.poll_next(context)
    }
}
