//! [`ClientStream`]: the byte stream of one client, a TCP connection with or without TLS.
//!
//! The [flusher](crate::connections::flusher) writes to sockets behind the backs of their tasks, as plain text. What it can
//! reach is an `OwnedWriteHalf` of a TCP connection. A stream with TLS has none, so no code can write plain text to it.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_http::Extensions;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::server::TlsStream;

/// How much encrypted output a stream buffers, in bytes: one record. Further output waits where it is counted.
const TLS_BUFFER: usize = 16 * 1024;

/// The byte stream of one client.
pub(crate) enum ClientStream {
    Plain(TcpStream),
    Tls(Box<TlsClient>),
}

/// A client with TLS, whose handshake is done.
pub(crate) struct TlsClient {
    stream: TlsStream<TcpStream>,
    /// What was noted of the connection before its handshake.
    notes: Cell<Extensions>,
}

impl ClientStream {
    /// A stream with TLS. `notes` is what was noted of the connection before its handshake.
    pub(crate) fn tls(mut stream: TlsStream<TcpStream>, notes: Extensions) -> Self {
        stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
        Self::Tls(Box::new(TlsClient { stream, notes: Cell::new(notes) }))
    }

    /// Separates reading from writing, for one task that does both.
    pub(crate) fn into_split(self) -> (ClientReader, ClientWriter) {
        match self {
            Self::Plain(stream) => {
                let (reader, writer) = stream.into_split();
                (ClientReader::Plain(reader), ClientWriter::Plain(writer))
            }
            Self::Tls(client) => {
                let stream = Rc::new(RefCell::new(client.stream));
                (ClientReader::Tls(stream.clone()), ClientWriter::Tls(stream))
            }
        }
    }
}

impl TlsClient {
    /// What was noted of the connection before its handshake. Empty if it has been taken.
    pub(crate) fn take_notes(&self) -> Extensions {
        self.notes.take()
    }
}

/// The read side of a [`ClientStream`].
pub(crate) enum ClientReader {
    Plain(OwnedReadHalf),
    Tls(Rc<RefCell<TlsStream<TcpStream>>>),
}

/// The write side of a [`ClientStream`].
pub(crate) enum ClientWriter {
    Plain(OwnedWriteHalf),
    Tls(Rc<RefCell<TlsStream<TcpStream>>>),
}

impl ClientReader {
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(reader) => Pin::new(reader).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(&mut *stream.borrow_mut()).poll_read(cx, buf),
        }
    }
}

impl ClientWriter {
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(writer) => Pin::new(writer).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(&mut *stream.borrow_mut()).poll_write_vectored(cx, slices),
        }
    }

    /// Writes what is encrypted already. A plain stream never has any.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(&mut *stream.borrow_mut()).poll_flush(cx),
        }
    }

    /// Ends the write side, with TLS also by its own alert.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(writer) => Pin::new(writer).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut *stream.borrow_mut()).poll_shutdown(cx),
        }
    }

    /// Reads what the client still sends into `space`, as it is on the wire.
    pub(crate) fn poll_drain(&self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(writer) => poll_drain(writer.as_ref(), cx, space),
            Self::Tls(stream) => poll_drain(stream.borrow().get_ref().0, cx, space),
        }
    }
}

fn poll_drain(stream: &TcpStream, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        match stream.try_read(space) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(client) => Pin::new(&mut client.stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(client) => Pin::new(&mut client.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(client) => Pin::new(&mut client.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(client) => Pin::new(&mut client.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(client) => Pin::new(&mut client.stream).poll_shutdown(cx),
        }
    }
}
