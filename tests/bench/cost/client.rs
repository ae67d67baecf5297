//! A WebSocket client that uses far less CPU time than any server under test, so that it never limits the load. It
//! sends and receives whole text messages, which `dialect` encodes.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use memchr::memmem;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpSocket;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The number of loopback addresses that clients connect from, in turn. One address has ports for 28,000 connections
/// only.
const SOURCE_ADDRESSES: u8 = 16;
/// How many bytes one read takes.
const CHUNK: usize = 64 * 1024;
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

thread_local! {
    static NEXT_SOURCE: Cell<u8> = const { Cell::new(0) };
    /// The read buffer of all clients. One buffer for each of thousands of clients would take more memory than the
    /// servers.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// One connection. It closes when the client and every [`Sender`] of it are dropped.
pub struct Client {
    reader: OwnedReadHalf,
    sender: Sender,
    input: Vec<u8>,
    /// How much of the input has been returned.
    consumed: usize,
}

/// The write half of a client. Cloning it copies a pointer.
#[derive(Clone)]
pub struct Sender(Rc<OwnedWriteHalf>);

impl Client {
    pub async fn connect(server: SocketAddr, path: &str) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(source())?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let (reader, sender) = stream.into_split();
        let mut client = Self { reader, sender: Sender(Rc::new(sender)), input: Vec::new(), consumed: 0 };
        client.upgrade(server, path).await?;
        Ok(client)
    }

    async fn upgrade(&mut self, server: SocketAddr, path: &str) -> io::Result<()> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.sender.write(request.as_bytes()).await?;
        let end = loop {
            match memmem::find(&self.input, b"\r\n\r\n") {
                Some(end) => break end,
                None => self.read().await?,
            }
        };
        self.consumed = end + 4;
        if self.input.starts_with(b"HTTP/1.1 101") {
            return Ok(());
        }
        Err(Error::other(String::from_utf8_lossy(&self.input[..end]).into_owned()))
    }

    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    pub async fn send(&self, text: &str) -> io::Result<()> {
        self.sender.send(text).await
    }

    /// The next text message. A closed connection is an error.
    pub async fn receive(&mut self) -> io::Result<&[u8]> {
        loop {
            self.release();
            if let Some((first, from, to)) = frame(&self.input[self.consumed..]) {
                let text = self.consumed + from..self.consumed + to;
                self.consumed = text.end;
                match first {
                    TEXT => return Ok(&self.input[text]),
                    CLOSE => return Err(Error::new(ErrorKind::ConnectionAborted, "closed by the server")),
                    _ => continue,
                }
            }
            self.read().await?;
        }
    }

    /// Sends a close frame, and waits until the server has closed the connection.
    pub async fn close(mut self) -> io::Result<()> {
        self.sender.write(&masked(CLOSE, &1000_u16.to_be_bytes())).await?;
        loop {
            self.consumed = self.input.len();
            self.release();
            match self.read().await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Releases the memory of input that has been returned: there are thousands of clients.
    fn release(&mut self) {
        if self.consumed == self.input.len() {
            self.input.clear();
            self.consumed = 0;
        } else if self.consumed > CHUNK {
            self.input.drain(..self.consumed);
            self.consumed = 0;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        poll_fn(|context| SCRATCH.with_borrow_mut(|scratch| self.poll_read(context, scratch))).await
    }

    fn poll_read(&mut self, context: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<()>> {
        let mut chunk = ReadBuf::new(scratch);
        ready!(Pin::new(&mut self.reader).poll_read(context, &mut chunk))?;
        if chunk.filled().is_empty() {
            return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
        }
        self.input.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(()))
    }
}

impl Sender {
    pub async fn send(&self, text: &str) -> io::Result<()> {
        self.write(&masked(TEXT, text.as_bytes())).await
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.0.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.0.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn source() -> SocketAddr {
    let index = NEXT_SOURCE.get();
    NEXT_SOURCE.set((index + 1) % SOURCE_ADDRESSES);
    (Ipv4Addr::new(127, 0, 0, 2 + index), 0).into()
}

/// A whole frame at the start of `bytes`: its first byte, and the range of its payload.
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (from, length) = match bytes.get(1)? {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into()),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        short => (2, usize::from(*short)),
    };
    (bytes.len() >= from + length).then_some((bytes[0], from, from + length))
}

/// A client frame with a masking key of zero. The server still has to unmask it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    frame.push(first);
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        middle @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}
