//! A client that says what it is told to over a socket, and keeps what it hears.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::requests::session_of;

/// How much is read at a time.
const CHUNK: usize = 16 * 1024;
/// How much of what it hears is kept: an input may ask for the page's largest file a thousand times.
const KEPT: usize = 4 * 1_048_576;

/// One connection, from its other side.
pub(super) struct Client {
    /// None once it has hung up.
    wire: Option<TcpStream>,
    pub(super) heard: Vec<u8>,
    /// It has heard the end.
    pub(super) is_over: bool,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        let wire = TcpStream::connect(address).expect("a node that listens");
        wire.set_nonblocking(true).expect("a socket that is open");
        wire.set_nodelay(true).expect("a socket that is open");
        // what is cut leaves nothing in the kernel: there are more inputs than ports
        SockRef::from(&wire).set_linger(Some(Duration::ZERO)).expect("a socket that is open");
        Self { wire: Some(wire), heard: Vec::new(), is_over: false }
    }

    /// What the other side does not take, as it need not, is not said.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        if let Some(wire) = &mut self.wire {
            // an error means that it is over, which is for the ear to find
            let _ = wire.write_all(bytes);
        }
    }

    pub(super) fn says_no_more(&mut self) {
        if let Some(wire) = &self.wire {
            let _ = wire.shutdown(Shutdown::Write);
        }
    }

    pub(super) fn hangs_up(&mut self) {
        self.wire = None;
        self.is_over = true;
    }

    /// Hears what there is; the name of a session, if one is told.
    pub(super) fn hear(&mut self) -> Option<String> {
        let (mut chunk, before) = ([0; CHUNK], self.heard.len());
        while let Some(wire) = self.wire.as_mut().filter(|_| !self.is_over) {
            match wire.read(&mut chunk) {
                Ok(0) => self.is_over = true,
                Ok(read) => self.keep(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.is_over = true,
            }
        }
        if self.heard.len() == before { None } else { session_of(&String::from_utf8_lossy(&self.heard[before..])) }
    }

    fn keep(&mut self, heard: &[u8]) {
        let room = KEPT - self.heard.len();
        self.heard.extend_from_slice(&heard[..heard.len().min(room)]);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a client that has heard {:?}", self.heard.escape_ascii().to_string())
    }
}
