//! A TCP client that sends what a target tells it to, and keeps what it receives.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::http_requests::session_of;

/// How many bytes one read takes.
const CHUNK: usize = 16 * 1024;
/// How many received bytes are kept. One input may request the largest file of the page a thousand times.
const MAX_KEPT: usize = 4 * 1_048_576;

/// The client side of one connection.
pub(super) struct Client {
    /// `None` once the client has closed the connection.
    stream: Option<TcpStream>,
    pub(super) received: Vec<u8>,
    /// Whether the server has closed the connection.
    pub(super) is_closed: bool,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the node listens");
        stream.set_nonblocking(true).expect("the socket is open");
        stream.set_nodelay(true).expect("the socket is open");
        // a reset leaves no TIME_WAIT state in the kernel: there are more inputs than ports
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("the socket is open");
        Self { stream: Some(stream), received: Vec::new(), is_closed: false }
    }

    /// Sends bytes. What the server does not read, which it may refuse to do, is lost.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        if let Some(stream) = &mut self.stream {
            // after an error the connection is closed, and `receive` notices
            let _ = stream.write_all(bytes);
        }
    }

    pub(super) fn shut_down_write(&mut self) {
        if let Some(stream) = &self.stream {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    pub(super) fn close(&mut self) {
        self.stream = None;
        self.is_closed = true;
    }

    /// Reads what has arrived. Returns the session id, if a response contains one.
    pub(super) fn receive(&mut self) -> Option<String> {
        let (mut chunk, before) = ([0; CHUNK], self.received.len());
        while let Some(stream) = self.stream.as_mut().filter(|_| !self.is_closed) {
            match stream.read(&mut chunk) {
                Ok(0) => self.is_closed = true,
                Ok(read) => self.keep(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.is_closed = true,
            }
        }
        if self.received.len() == before {
            None
        } else {
            session_of(&String::from_utf8_lossy(&self.received[before..]))
        }
    }

    fn keep(&mut self, received: &[u8]) {
        let room = MAX_KEPT - self.received.len();
        self.received.extend_from_slice(&received[..received.len().min(room)]);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a client that received {:?}", self.received.escape_ascii().to_string())
    }
}
