//! The task of an upgraded connection: it passes the socket's bytes to the request's handler and writes the response to
//! the socket, without buffers between them.
//!
//! The dispatcher of the HTTP server would keep two buffers of 8 KiB as long as the connection is open, and pass each
//! chunk through a queue. Here a chunk is freed as soon as it is decoded or written. Whether a request is upgraded is
//! decided by the handler of its route, as for any request.

use std::future::{Future, poll_fn};
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
use actix_web::{Error, HttpMessage, HttpRequest};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tokio::io::ReadBuf;

use crate::connections::client_stream::{ClientReader, ClientStream, ClientWriter};
use crate::connections::clock::Clock;
use crate::connections::connection::{Connection, WriteSide};
use crate::connections::ip_limits::IpSlot;
use crate::connections::output::Output;
use crate::connections::ready_queue::ReadyQueue;
use crate::connections::writer::{Aborted, LARGE};
use crate::memory::MemoryBudget;

/// The maximum size of a read, in bytes.
const CHUNK: usize = 16 * 1024;

/// How many bytes of a client are read and dropped after the server has sent its close frame, or the last bytes of its
/// response. A client that sends more is not waited for.
pub(crate) const MAX_DROPPED: usize = 8 * 1024 * 1024;

/// A request for an upgrade, with its connection.
pub(crate) type UpgradeRequest = (Request, Framed<ClientStream, Codec>);

/// Passes the request to `app`, and then bytes in both directions until either side closes. This is a task of its own,
/// because the task that has read the request is as large as HTTP needs it. The connection then has `drain_timeout` to
/// [end](end).
pub(crate) fn spawn_connection<S>(
    app: Rc<S>,
    (request, framed): UpgradeRequest,
    ready_queue: ReadyQueue<Connection>,
    memory: Arc<MemoryBudget>,
    drain_timeout: Duration,
    clock: Arc<Clock>,
) where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error> + 'static,
{
    let write_side = Arc::new(WriteSide::new(ready_queue, memory.clone()));
    let ip_slot = request.conn_data::<Arc<IpSlot>>().cloned();
    // boxed, like all futures that finish soon: a task keeps the size of its largest state until it exits
    let answered = Box::pin(answer(app, request, framed, write_side.clone()));
    actix_web::rt::spawn(async move {
        // frees the IP's slot when this connection closes, and not before
        let _ip_slot = ip_slot;
        let (writer, bytes, body) = answered.await?;
        let mut output = Output::new(memory);
        output.add_bytes(bytes);
        let outgoing = Outgoing { writer: Some(writer), output, body: pin!(body), write_side, is_behind: false };
        let (writer, output) = outgoing.await?;
        let _ = Box::pin(clock.timeout(drain_timeout, end(writer, output))).await;
        Ok::<_, Error>(())
    });
}

/// The write side of a request for an upgrade. `None` if the request did not come through [`spawn_connection`].
pub(crate) fn of(request: &HttpRequest) -> Option<Arc<WriteSide>> {
    request.extensions().get::<Arc<WriteSide>>().cloned()
}

async fn answer<S>(
    app: Rc<S>,
    mut request: Request,
    framed: Framed<ClientStream, Codec>,
    write_side: Arc<WriteSide>,
) -> Result<(ClientWriter, Bytes, BoxBody), Error>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    let FramedParts { io, mut codec, read_buf, write_buf, .. } = framed.into_parts();
    let (reader, writer) = io.into_split();
    // copied, so that the read buffer can be freed
    let ahead = Bytes::copy_from_slice(&read_buf);
    drop(read_buf);
    let incoming = Incoming { reader, ahead, yields: false };
    request.extensions_mut().insert(write_side);
    *request.payload() = Payload::Stream { payload: Box::pin(incoming) };
    let response = match app.call(request).await {
        Ok(response) => Response::from(response),
        Err(error) => error.error_response().into(),
    };
    let (bytes, body) = response_head(response, &mut codec, write_buf)?;
    Ok((writer, bytes, body))
}

/// The response's head as bytes, after the bytes of earlier responses that are not written yet.
fn response_head(
    response: Response<BoxBody>,
    codec: &mut Codec,
    mut bytes: BytesMut,
) -> Result<(Bytes, BoxBody), Error> {
    let (mut head, body) = response.into_parts();
    if head.status() != StatusCode::SWITCHING_PROTOCOLS {
        // a body without a length ends where the connection does
        head.head_mut().set_connection_type(ConnectionType::Close);
    }
    codec.encode(Message::Item((head, body.size())), &mut bytes)?;
    Ok((Bytes::copy_from_slice(&bytes), body))
}

/// The bytes from the client, as the payload of its request.
struct Incoming {
    reader: ClientReader,
    /// Bytes that arrived together with the request.
    ahead: Bytes,
    /// Set after a full chunk, which probably has another one behind it: other tasks run first.
    yields: bool,
}

impl Stream for Incoming {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.ahead))));
        }
        if std::mem::take(&mut self.yields) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut space = [MaybeUninit::uninit(); CHUNK];
        let mut chunk = ReadBuf::uninit(&mut space);
        match ready!(self.reader.poll_read(cx, &mut chunk)) {
            Ok(()) if chunk.filled().is_empty() => return Poll::Ready(None),
            Ok(()) => {}
            Err(error) => return Poll::Ready(Some(Err(error.into()))),
        }
        self.yields = chunk.remaining() == 0;
        Poll::Ready(Some(Ok(Bytes::copy_from_slice(chunk.filled()))))
    }
}

/// Writes the output of an upgraded connection, or leaves it to the [flusher](crate::connections::flusher), as usual.
struct Outgoing<'a> {
    /// `None` while it is parked at the connection's writer.
    writer: Option<ClientWriter>,
    /// What is written here, before the body is polled again.
    output: Output,
    /// The body of an HTTP response has the bytes to write. The body of a session is its actor, which puts its output
    /// into the connection's writer.
    body: Pin<&'a mut BoxBody>,
    write_side: Arc<WriteSide>,
    /// Whether the socket did not accept everything.
    is_behind: bool,
}

impl Outgoing<'_> {
    /// Takes the session's output, to write it here instead of leaving it to the flusher.
    fn take_output(&mut self) {
        self.output.append(&mut self.write_side.writer.state().output);
    }

    /// Writes all of the output. The client is behind as long as its socket does not accept everything, since it last
    /// accepted something.
    fn write(&mut self, writer: &mut ClientWriter, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut has_progress = false;
        loop {
            let is_done = self.output.is_empty();
            let written = if is_done { writer.poll_flush(cx) } else { write_some(writer, &mut self.output, cx) };
            match written {
                Poll::Ready(Ok(())) if is_done => break,
                Poll::Ready(Ok(())) => has_progress = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.write_side.set_unwritten(self.output.len());
                    if has_progress || !self.is_behind {
                        self.is_behind = true;
                        self.write_side.set_behind(true);
                    }
                    return Poll::Pending;
                }
            }
        }
        if std::mem::take(&mut self.is_behind) {
            self.write_side.set_unwritten(0);
            self.write_side.set_behind(false);
        }
        Poll::Ready(Ok(()))
    }

    fn has_no_output(&self) -> bool {
        self.write_side.writer.state().output.is_empty()
    }

    /// Whether the output can be left to the flusher: there is none, or the flusher will write it.
    fn is_left_to_flusher(&self) -> bool {
        let length = self.write_side.writer.state().output.len();
        length == 0 || length <= LARGE && self.write_side.request_flush()
    }
}

/// Returns the socket and its last bytes once the body has ended.
impl Future for Outgoing<'_> {
    type Output = Result<(ClientWriter, Output), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let aborted = |Aborted| io::Error::from(io::ErrorKind::ConnectionAborted);
        if let Some(parked) = this.write_side.writer.unpark(cx).map_err(aborted)? {
            this.writer = Some(ClientWriter::Plain(parked.writer));
            if parked.is_full {
                this.is_behind = true;
                this.take_output();
            }
        }
        let mut writer = this.writer.take().expect("the socket is here, or parked at the writer");
        loop {
            if let Poll::Ready(written) = this.write(&mut writer, cx) {
                written?;
            } else {
                this.writer = Some(writer);
                return Poll::Pending;
            }
            match this.body.as_mut().poll_next(cx) {
                Poll::Ready(Some(bytes)) => this.output.add_bytes(bytes?),
                Poll::Ready(None) => {
                    this.take_output();
                    let rest = Output::new(this.output.memory().clone());
                    return Poll::Ready(Ok((writer, std::mem::replace(&mut this.output, rest))));
                }
                Poll::Pending => match writer {
                    ClientWriter::Plain(plain) if this.is_left_to_flusher() => {
                        this.write_side.writer.park(plain);
                        return Poll::Pending;
                    }
                    // only this task can encrypt; the flusher wakes it
                    ClientWriter::Tls(_) if this.has_no_output() => {
                        this.writer = Some(writer);
                        return Poll::Pending;
                    }
                    _ => this.take_output(),
                },
            }
        }
    }
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        self.write_side.set_unwritten(0);
        self.write_side.writer.end();
    }
}

/// Writes some of the output.
fn write_some(writer: &mut ClientWriter, output: &mut Output, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let written = ready!(output.with_slices(|slices| writer.poll_write(cx, slices)))?;
    if written == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    output.advance(written);
    Poll::Ready(Ok(()))
}

/// Writes the last bytes and closes the write side, so that the client sees the end of the connection immediately. Then
/// reads and drops what the client still sends, until it closes the connection too. Otherwise the kernel would reset the
/// connection, and the client could lose the last bytes.
async fn end(mut writer: ClientWriter, mut output: Output) -> io::Result<()> {
    while !output.is_empty() {
        poll_fn(|cx| write_some(&mut writer, &mut output, cx)).await?;
    }
    poll_fn(|cx| writer.poll_shutdown(cx)).await?;
    drain(&writer).await
}

/// Reads and drops bytes until the client closes the connection, or has sent more than [`MAX_DROPPED`].
async fn drain(writer: &ClientWriter) -> io::Result<()> {
    let mut dropped = 0;
    while dropped <= MAX_DROPPED {
        match poll_fn(|cx| writer.poll_drain(cx, &mut [0; 1024])).await? {
            0 => break,
            count => dropped += count,
        }
        // a client that sends without end must not block other tasks
        actix_web::rt::task::yield_now().await;
    }
    Ok(())
}
