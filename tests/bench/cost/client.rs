//! A WebSocket client that costs far less than any server it talks to, so that the load is never what is measured.
//! It reads and writes whole text messages; what they say is in `dialect`.

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

/// Clients come from so many loopback addresses, in turn, since one address has ports for 28,000 connections only.
const SOURCES: u8 = 16;
/// What is read at a time.
const CHUNK: usize = 64 * 1024;
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

thread_local! {
    static NEXT_SOURCE: Cell<u8> = const { Cell::new(0) };
    /// Where all read into: a buffer for each of thousands would take more memory than the servers.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// One connection. Dropping it, and every [`Voice`] of it, hangs up.
pub struct Client {
    ear: OwnedReadHalf,
    voice: Voice,
    input: Vec<u8>,
    /// How much of the input has been handed out.
    taken: usize,
}

/// The half of a client that speaks. Cloning it copies a pointer.
#[derive(Clone)]
pub struct Voice(Rc<OwnedWriteHalf>);

impl Client {
    pub async fn connect(server: SocketAddr, path: &str) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(source())?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let (ear, voice) = stream.into_split();
        let mut client = Self { ear, voice: Voice(Rc::new(voice)), input: Vec::new(), taken: 0 };
        client.upgrade(server, path).await?;
        Ok(client)
    }

    async fn upgrade(&mut self, server: SocketAddr, path: &str) -> io::Result<()> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.voice.write(request.as_bytes()).await?;
        let end = loop {
            match memmem::find(&self.input, b"\r\n\r\n") {
                Some(end) => break end,
                None => self.read().await?,
            }
        };
        self.taken = end + 4;
        if self.input.starts_with(b"HTTP/1.1 101") {
            return Ok(());
        }
        Err(Error::other(String::from_utf8_lossy(&self.input[..end]).into_owned()))
    }

    pub fn voice(&self) -> Voice {
        self.voice.clone()
    }

    pub async fn say(&self, text: &str) -> io::Result<()> {
        self.voice.say(text).await
    }

    /// The next text. That the server ends the connection is an error.
    pub async fn hear(&mut self) -> io::Result<&[u8]> {
        loop {
            self.forget();
            if let Some((first, from, to)) = frame(&self.input[self.taken..]) {
                let text = self.taken + from..self.taken + to;
                self.taken = text.end;
                match first {
                    TEXT => return Ok(&self.input[text]),
                    CLOSE => return Err(Error::new(ErrorKind::ConnectionAborted, "closed by the server")),
                    _ => continue,
                }
            }
            self.read().await?;
        }
    }

    /// Says goodbye, and waits until the server has hung up.
    pub async fn leave(mut self) -> io::Result<()> {
        self.voice.write(&masked(CLOSE, &1000_u16.to_be_bytes())).await?;
        loop {
            self.taken = self.input.len();
            self.forget();
            match self.read().await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets go of what has been handed out, and of the memory that it took: there are thousands of clients.
    fn forget(&mut self) {
        if self.taken == self.input.len() {
            self.input.clear();
            self.taken = 0;
        } else if self.taken > CHUNK {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        poll_fn(|context| SCRATCH.with_borrow_mut(|scratch| self.poll_read(context, scratch))).await
    }

    fn poll_read(&mut self, context: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<()>> {
        let mut chunk = ReadBuf::new(scratch);
        ready!(Pin::new(&mut self.ear).poll_read(context, &mut chunk))?;
        if chunk.filled().is_empty() {
            return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
        }
        self.input.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(()))
    }
}

impl Voice {
    pub async fn say(&self, text: &str) -> io::Result<()> {
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
    let turn = NEXT_SOURCE.get();
    NEXT_SOURCE.set((turn + 1) % SOURCES);
    (Ipv4Addr::new(127, 0, 0, 2 + turn), 0).into()
}

/// A whole frame at the start of `bytes`: its first byte, and where its payload begins and ends.
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (from, length) = match bytes.get(1)? {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into()),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        short => (2, usize::from(*short)),
    };
    (bytes.len() >= from + length).then_some((bytes[0], from, from + length))
}

/// A client's frame, masked with zeros: the payload is its own mask, and the server unmasks it all the same.
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
