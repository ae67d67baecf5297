//! An upgraded connection: its wire on one side, what its handler answers on the other, and nothing between them.
//!
//! The HTTP server's dispatcher would keep two buffers of 8 KiB for as long as the connection lives, and pass each
//! chunk through a queue. Here a chunk lives from its reading until it is decoded, or from its encoding until it is
//! written. Whether there is an upgrade at all is decided by the handler of the request's route, as ever.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_codec::{Encoder, Framed, FramedParts};
use actix_http::h1::{Codec, Message};
use actix_http::{ConnectionType, Payload, Request, Response};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::rt::net::TcpStream;
use actix_web::{Error, HttpMessage, HttpRequest};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::connections::connection::{Connection, WriteSide};
use crate::connections::ip_limits::IpSlot;
use crate::connections::ready_queue::ReadyQueue;
use crate::connections::writer::{Aborted, LARGE};

/// How much is read at a time (bytes).
const CHUNK: usize = 16 * 1024;

/// A request that asks for an upgrade, and the connection that it has come by.
pub(crate) type UpgradeRequest = (Request, Framed<TcpStream, Codec>);

/// Has `app` answer the request, and carries what both sides say until one of them ends: a task of its own, since the
/// one that has read the request is as large as all that HTTP may need. What the client still sends after the last word
/// is read and dropped for as long as `drain_timeout`: it would else lose that word.
pub(crate) fn spawn_connection<S>(
    app: Rc<S>,
    (request, framed): UpgradeRequest,
    ready_queue: ReadyQueue<Connection>,
    drain_timeout: Duration,
) where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error> + 'static,
{
    let write_side = Arc::new(WriteSide::new(ready_queue));
    let ip_slot = request.conn_data::<Arc<IpSlot>>().cloned();
    // boxed, as all that is over soon: the task stays as large as all that it is given, and its largest moment
    let answered = Box::pin(answer(app, request, framed, write_side.clone()));
    actix_web::rt::spawn(async move {
        // its address has one connection less when this one ends, and not before
        let _ip_slot = ip_slot;
        let (writer, bytes, body) = answered.await?;
        let outgoing = Outgoing { writer: Some(writer), due: bytes, body: Some(pin!(body)), write_side };
        let mut writer = outgoing.await?;
        writer.shutdown().await?;
        // whoever does not hang up is hung up on
        let _ = Box::pin(tokio::time::timeout(drain_timeout, drain(writer.as_ref()))).await;
        Ok::<_, Error>(())
    });
}

/// The wire of a request that asks for an upgrade; nothing where it has come by another server than ours.
pub(crate) fn of(request: &HttpRequest) -> Option<Arc<WriteSide>> {
    request.extensions().get::<Arc<WriteSide>>().cloned()
}

async fn answer<S>(
    app: Rc<S>,
    mut request: Request,
    framed: Framed<TcpStream, Codec>,
    write_side: Arc<WriteSide>,
) -> Result<(OwnedWriteHalf, Bytes, BoxBody), Error>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    let FramedParts { io, mut codec, read_buf, write_buf, .. } = framed.into_parts();
    let (reader, writer) = io.into_split();
    // copied, so that the buffer it lies in is free
    let ahead = Bytes::copy_from_slice(&read_buf);
    drop(read_buf);
    let incoming = Incoming { reader, ahead, rests: false };
    request.extensions_mut().insert(write_side);
    *request.payload() = Payload::Stream { payload: Box::pin(incoming) };
    let response = match app.call(request).await {
        Ok(response) => Response::from(response),
        Err(error) => error.error_response().into(),
    };
    let (bytes, body) = response_head(response, &mut codec, write_buf)?;
    Ok((writer, bytes, body))
}

/// The head of the answer as bytes, behind what was not written yet of earlier ones.
fn response_head(
    response: Response<BoxBody>,
    codec: &mut Codec,
    mut bytes: BytesMut,
) -> Result<(Bytes, BoxBody), Error> {
    let (mut head, body) = response.into_parts();
    if head.status() != StatusCode::SWITCHING_PROTOCOLS {
        // where a body ends that has no length is where the connection does
        head.head_mut().set_connection_type(ConnectionType::Close);
    }
    codec.encode(Message::Item((head, body.size())), &mut bytes)?;
    Ok((Bytes::copy_from_slice(&bytes), body))
}

/// What the client says, as the payload of its request.
struct Incoming {
    reader: OwnedReadHalf,
    /// What came together with the request.
    ahead: Bytes,
    /// After a full chunk, which has another behind it, others get a turn.
    rests: bool,
}

impl Stream for Incoming {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.ahead))));
        }
        if std::mem::take(&mut self.rests) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut space = [MaybeUninit::uninit(); CHUNK];
        let mut chunk = ReadBuf::uninit(&mut space);
        match ready!(Pin::new(&mut self.reader).poll_read(cx, &mut chunk)) {
            Ok(()) if chunk.filled().is_empty() => return Poll::Ready(None),
            Ok(()) => {}
            Err(error) => return Poll::Ready(Some(Err(error.into()))),
        }
        self.rests = chunk.remaining() == 0;
        Poll::Ready(Some(Ok(Bytes::copy_from_slice(chunk.filled()))))
    }
}

/// Has what is said written, as a rule by the [courier](crate::connections::flusher).
struct Outgoing<'a> {
    /// Not while this rests: then it lies with the line.
    writer: Option<OwnedWriteHalf>,
    /// What is written here, before the body goes on.
    due: Bytes,
    /// Nothing once it has said all: an answer in its own words, a session by the line.
    body: Option<Pin<&'a mut BoxBody>>,
    write_side: Arc<WriteSide>,
}

impl Outgoing<'_> {
    /// What was said is written here, and not by the courier.
    fn take(&mut self) {
        self.due = std::mem::take(&mut self.write_side.writer.state().buffer).freeze();
    }

    /// Whether the courier writes what was said, if anything was.
    fn leaves(&self) -> bool {
        let said = self.write_side.writer.state().buffer.len();
        said == 0 || said <= LARGE && self.write_side.request_flush()
    }
}

impl Future for Outgoing<'_> {
    type Output = Result<OwnedWriteHalf, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let cut = |Aborted| io::Error::from(io::ErrorKind::ConnectionAborted);
        if let Some(parked) = this.write_side.writer.unpark(cx).map_err(cut)? {
            this.writer = Some(parked.writer);
            if parked.is_full {
                this.take();
            }
        }
        let mut writer = this.writer.take().expect("it lies here, or with the line");
        loop {
            if let Poll::Ready(written) = write(&mut writer, &mut this.due, cx) {
                written?;
            } else {
                this.writer = Some(writer);
                return Poll::Pending;
            }
            let Some(body) = &mut this.body else { return Poll::Ready(Ok(writer)) };
            match body.as_mut().poll_next(cx) {
                Poll::Ready(Some(bytes)) => this.due = bytes?,
                Poll::Ready(None) => {
                    this.body = None;
                    this.take();
                }
                Poll::Pending if this.leaves() => {
                    this.write_side.writer.park(writer);
                    return Poll::Pending;
                }
                Poll::Pending => this.take(),
            }
        }
    }
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        self.write_side.writer.end();
    }
}

fn write(writer: &mut OwnedWriteHalf, bytes: &mut Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    while !bytes.is_empty() {
        let written = ready!(Pin::new(&mut *writer).poll_write(cx, bytes))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        bytes.advance(written);
    }
    Poll::Ready(Ok(()))
}

/// Reads until the client hangs up.
async fn drain(stream: &TcpStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        match stream.try_read(&mut [0; 1024]) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            // one that never ends is not to keep others waiting
            _ => actix_web::rt::task::yield_now().await,
        }
    }
}
