//! The lower bound for the work on one core: a bare epoll loop that reads, looks up and writes. It checks nothing and
//! has no limits, so it is a reference and not a server. For each connection it needs one wait, one read and one write
//! for all messages that have arrived in the meantime. `protocols` handles the messages.

mod protocols;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};

use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use protocols::Protocol;
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
const CHUNK: usize = 64 * 1024;
/// The largest buffer that is kept for later messages.
const MAX_KEPT: usize = 4 * 1024;
const TEXT: u8 = 0x81;
const OPCODE_TEXT: u8 = 1;
const OPCODE_CLOSE: u8 = 8;
/// The response to the one key that the clients here send.
const ACCEPT: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// `None` before the upgrade.
    protocol: Option<Protocol>,
    names: Vec<String>,
    /// Whether there is output, and the connection is on the list of those.
    has_output: bool,
    /// Whether the kernel did not accept all of the output.
    is_blocked: bool,
}

/// All connections, and the members of each topic, name and room.
#[derive(Default)]
struct Hub {
    connections: Slab<Connection>,
    members: HashMap<String, Vec<usize>>,
    with_output: Vec<usize>,
    closed: Vec<usize>,
}

/// Serves until it is killed. Prints its port.
pub fn run() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{}", listener.local_addr()?.port());
    let (mut events, mut hub, mut chunk) = (Events::with_capacity(1024), Hub::default(), vec![0; CHUNK]);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => hub.accept(&listener, poll.registry())?,
                Token(key) => {
                    if event.is_writable() {
                        hub.queue_output(key);
                    }
                    if event.is_readable() {
                        hub.read(key, &mut chunk);
                    }
                }
            }
        }
        hub.write_all(poll.registry());
        hub.remove_closed();
    }
}

impl Hub {
    fn accept(&mut self, listener: &TcpListener, registry: &Registry) -> io::Result<()> {
        while let Ok((mut stream, _)) = listener.accept() {
            stream.set_nodelay(true)?;
            let entry = self.connections.vacant_entry();
            registry.register(&mut stream, Token(entry.key()), Interest::READABLE)?;
            let (input, output, names) = Default::default();
            entry.insert(Connection {
                stream,
                input,
                output,
                protocol: None,
                names,
                has_output: false,
                is_blocked: false,
            });
        }
        Ok(())
    }

    fn queue_output(&mut self, key: usize) {
        if let Some(connection) = self.connections.get_mut(key).filter(|connection| !connection.has_output) {
            connection.has_output = true;
            self.with_output.push(key);
        }
    }

    fn read(&mut self, key: usize, chunk: &mut [u8]) {
        while let Some(connection) = self.connections.get_mut(key) {
            match connection.stream.read(chunk) {
                Ok(0) => return self.closed.push(key),
                Ok(read) => {
                    connection.input.extend_from_slice(&chunk[..read]);
                    self.handle_input(key);
                    if read < chunk.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.closed.push(key),
            }
        }
    }

    /// Handles all whole frames in the input.
    fn handle_input(&mut self, key: usize) {
        let mut input = std::mem::take(&mut self.connections[key].input);
        let mut consumed = 0;
        if self.connections[key].protocol.is_none() {
            let Some(end) = memmem::find(&input, b"\r\n\r\n") else {
                self.connections[key].input = input;
                return;
            };
            self.upgrade(key, &input[..end]);
            consumed = end + 4;
        }
        while let Some((opcode, from, to)) = unmasked(&mut input[consumed..]) {
            match opcode {
                OPCODE_TEXT => self.handle_message(key, &input[consumed + from..consumed + to]),
                OPCODE_CLOSE => self.closed.push(key),
                _ => {}
            }
            consumed += to;
        }
        input.drain(..consumed);
        if input.is_empty() {
            input = Vec::new();
        }
        self.connections[key].input = input;
    }

    fn upgrade(&mut self, key: usize, request: &[u8]) {
        self.connections[key].output.extend_from_slice(ACCEPT.as_bytes());
        self.queue_output(key);
        self.open(key, &String::from_utf8_lossy(request));
    }

    /// Adds a connection to a topic, name or room.
    fn join(&mut self, key: usize, name: &str) {
        self.members.entry(name.to_owned()).or_default().push(key);
        self.connections[key].names.push(name.to_owned());
    }

    fn send(&mut self, key: usize, text: &[u8]) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.put(text, key, &mut self.with_output);
        }
    }

    /// Sends a text to all members except one.
    fn send_to_others(&mut self, name: &str, except: usize, text: &[u8]) {
        let Some(members) = self.members.get(name) else { return };
        for member in members.iter().filter(|member| **member != except) {
            if let Some(connection) = self.connections.get_mut(*member) {
                connection.put(text, *member, &mut self.with_output);
            }
        }
    }

    fn write_all(&mut self, registry: &Registry) {
        for key in std::mem::take(&mut self.with_output) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.has_output = false;
            if connection.write(registry, key).is_err() {
                self.closed.push(key);
            }
        }
    }

    fn remove_closed(&mut self) {
        for key in std::mem::take(&mut self.closed) {
            let Some(connection) = self.connections.try_remove(key) else { continue };
            for name in connection.names {
                let Some(members) = self.members.get_mut(&name) else { continue };
                members.retain(|member| *member != key);
                if members.is_empty() {
                    self.members.remove(&name);
                }
            }
        }
    }
}

impl Connection {
    fn put(&mut self, text: &[u8], key: usize, with_output: &mut Vec<usize>) {
        put(&mut self.output, text);
        if !self.has_output {
            self.has_output = true;
            with_output.push(key);
        }
    }

    fn write(&mut self, registry: &Registry, key: usize) -> io::Result<()> {
        let mut written = 0;
        while written < self.output.len() {
            match self.stream.write(&self.output[written..]) {
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.output.drain(..written);
        if self.output.capacity() > MAX_KEPT {
            self.output.shrink_to_fit();
        }
        if self.is_blocked == self.output.is_empty() {
            self.is_blocked = !self.is_blocked;
            let more = if self.is_blocked { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            registry.reregister(&mut self.stream, Token(key), more)?;
        }
        Ok(())
    }
}

/// Unmasks the frame at the start of `bytes`, if it is complete. Returns its opcode and the range of its payload.
fn unmasked(bytes: &mut [u8]) -> Option<(u8, usize, usize)> {
    let (header, length) = match bytes.get(1)? & 0x7F {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into()),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        short => (2, usize::from(short)),
    };
    let (from, to) = (header + 4, header + 4 + length);
    let mask: [u8; 4] = bytes.get(header..from)?.try_into().ok()?;
    let payload = bytes.get_mut(from..to)?;
    payload.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at % 4]);
    Some((bytes[0] & 0x0F, from, to))
}

fn put(output: &mut Vec<u8>, text: &[u8]) {
    output.push(TEXT);
    match text.len() {
        short @ 0..126 => output.push(short as u8),
        middle @ 126..65_536 => {
            output.push(126);
            output.extend((middle as u16).to_be_bytes());
        }
        long => {
            output.push(127);
            output.extend((long as u64).to_be_bytes());
        }
    }
    output.extend_from_slice(text);
}
