//! Response bodies that are given to the HTTP server in slices. It copies what a body gives it, all at once, and keeps the
//! copy until the client has read it. With slices it takes no more than it can write soon.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use bytes::Bytes;

use crate::broker::pubsub::Pubsub;
use crate::memory::{Lease, MemoryBudget};

/// The size of a slice, in bytes.
const SLICE: usize = 16 * 1024;

/// A body that waits for its client. What is left of it counts against the node's budget.
struct SlicedBody {
    bytes: Bytes,
    lease: Lease,
}

/// The middleware that slices all large responses.
pub(crate) async fn slice_response(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let memory = request.app_data::<Data<Pubsub>>().map(|pubsub| pubsub.memory().clone());
    let response = next.call(request).await?.map_into_boxed_body();
    Ok(match memory {
        Some(memory) => response.map_body(|_, body| sliced(body, &memory)),
        None => response,
    })
}

fn sliced(body: BoxBody, memory: &Arc<MemoryBudget>) -> BoxBody {
    if !matches!(body.size(), BodySize::Sized(size) if size > SLICE as u64) {
        return body;
    }
    match body.try_into_bytes() {
        Ok(bytes) => BoxBody::new(SlicedBody { lease: memory.take(bytes.len()), bytes }),
        Err(body) => body,
    }
}

impl MessageBody for SlicedBody {
    type Error = Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let size = self.bytes.len().min(SLICE);
        let slice = self.bytes.split_to(size);
        let left = self.bytes.len();
        self.lease.set(left);
        Poll::Ready(Some(Ok(slice)))
    }
}
