//! Response bodies that are given to the HTTP server in slices. It copies what a body gives it, all at once, and keeps the
//! copy until the client has read it. With slices it takes no more than it can write soon.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::web::Data;
use bytes::Bytes;

use crate::broker::pubsub::Pubsub;
use crate::memory::{MemoryBudget, Reservation};

/// The size of a slice, in bytes.
const SLICE: usize = 16 * 1024;

/// A body that waits for its client. What is left of a chunk counts against the node's budget.
struct SlicedBody {
    chunk: Bytes,
    reservation: Reservation,
    /// What follows the chunk.
    rest: BoxBody,
}

/// The middleware that slices all large responses, and the large chunks of those without a length.
pub(crate) async fn slice_response(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let memory = request.app_data::<Data<Pubsub>>().map(|pubsub| pubsub.memory().clone());
    let response = next.call(request).await?.map_into_boxed_body();
    Ok(match memory {
        Some(memory) => response.map_body(|head, body| match head.status {
            // its body is the session's actor, whose output counts by itself
            StatusCode::SWITCHING_PROTOCOLS => body,
            _ => sliced(body, &memory),
        }),
        None => response,
    })
}

fn sliced(body: BoxBody, memory: &Arc<MemoryBudget>) -> BoxBody {
    match body.size() {
        BodySize::Sized(size) if size > SLICE as u64 => match body.try_into_bytes() {
            Ok(chunk) => {
                BoxBody::new(SlicedBody { reservation: memory.take(chunk.len()), chunk, rest: BoxBody::new(()) })
            }
            Err(body) => body,
        },
        BodySize::Stream => BoxBody::new(SlicedBody { reservation: memory.take(0), chunk: Bytes::new(), rest: body }),
        _ => body,
    }
}

impl MessageBody for SlicedBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        match self.rest.size() {
            BodySize::Stream => BodySize::Stream,
            _ => BodySize::Sized(self.chunk.len() as u64),
        }
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = &mut *self;
        if this.chunk.is_empty() {
            match ready!(Pin::new(&mut this.rest).poll_next(cx)) {
                Some(Ok(chunk)) => this.chunk = chunk,
                end => return Poll::Ready(end),
            }
        }
        let size = this.chunk.len().min(SLICE);
        let slice = this.chunk.split_to(size);
        this.reservation.set(this.chunk.len());
        Poll::Ready(Some(Ok(slice)))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::{BodyStream, to_bytes};
    use futures_util::{FutureExt, stream};

    use super::*;

    #[actix_web::test]
    async fn a_large_chunk_is_given_out_in_slices_and_counts_meanwhile() {
        let memory = MemoryBudget::new(0);
        let chunks = [vec![1; 3], vec![2; 100_000], vec![3; 3]].map(|chunk| Ok::<_, Error>(Bytes::from(chunk)));
        let mut body = sliced(BoxBody::new(BodyStream::new(stream::iter(chunks))), &memory);
        let mut next = || std::future::poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).now_or_never().unwrap();
        assert_eq!(next().unwrap().unwrap().len(), 3);
        assert_eq!((next().unwrap().unwrap().len(), memory.used()), (SLICE, 100_000 - SLICE));
        let rest = to_bytes(body).await.ok().unwrap();
        assert_eq!((rest.len(), memory.used()), (100_003 - SLICE, 0));
        let sized = sliced(BoxBody::new(Bytes::from(vec![4; 50_000])), &memory);
        assert_eq!((sized.size(), memory.used()), (BodySize::Sized(50_000), 50_000));
        assert_eq!(to_bytes(sized).await.ok().unwrap().len(), 50_000);
    }
}
