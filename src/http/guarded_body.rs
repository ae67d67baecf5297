//! The body of a response that keeps a guard until it is dropped.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;

struct GuardedBody<G> {
    body: BoxBody,
    _guard: G,
}

/// Adds the guard to the body.
pub(crate) fn with_guard(body: BoxBody, guard: impl Unpin + 'static) -> BoxBody {
    BoxBody::new(GuardedBody { body, _guard: guard })
}

impl<G: Unpin> MessageBody for GuardedBody<G> {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
