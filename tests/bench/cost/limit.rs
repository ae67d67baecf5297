//! The least that the work takes on one core: a bare loop around epoll that reads, looks up and writes. It checks
//! nothing, bounds nothing and believes everybody, so it is a yardstick and not a server. One wait, one read and one
//! write a connection for whatever has come in the meantime. What the protocols want to hear is in `words`.

mod words;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};

use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;
use words::Talk;

const LISTENER: Token = Token(usize::MAX);
const CHUNK: usize = 64 * 1024;
/// How large a buffer is kept for what comes next.
const KEPT: usize = 4 * 1024;
const TEXT: u8 = 0x81;
const OPCODE_TEXT: u8 = 1;
const OPCODE_CLOSE: u8 = 8;
/// It answers the one key that our clients send.
const ACCEPT: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// None before the upgrade.
    talk: Option<Talk>,
    names: Vec<String>,
    /// Has something to write, and stands on the list of those.
    due: bool,
    /// The kernel has not taken all of it.
    stuck: bool,
}

/// Everybody, and who is where.
#[derive(Default)]
struct Hub {
    connections: Slab<Connection>,
    members: HashMap<String, Vec<usize>>,
    due: Vec<usize>,
    gone: Vec<usize>,
}

/// Serves until it is killed. It says on which port.
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
                        hub.is_due(key);
                    }
                    if event.is_readable() {
                        hub.read(key, &mut chunk);
                    }
                }
            }
        }
        hub.write_all(poll.registry());
        hub.bury();
    }
}

impl Hub {
    fn accept(&mut self, listener: &TcpListener, registry: &Registry) -> io::Result<()> {
        while let Ok((mut stream, _)) = listener.accept() {
            stream.set_nodelay(true)?;
            let entry = self.connections.vacant_entry();
            registry.register(&mut stream, Token(entry.key()), Interest::READABLE)?;
            let (input, output, names) = Default::default();
            entry.insert(Connection { stream, input, output, talk: None, names, due: false, stuck: false });
        }
        Ok(())
    }

    fn is_due(&mut self, key: usize) {
        if let Some(connection) = self.connections.get_mut(key).filter(|connection| !connection.due) {
            connection.due = true;
            self.due.push(key);
        }
    }

    fn read(&mut self, key: usize, chunk: &mut [u8]) {
        while let Some(connection) = self.connections.get_mut(key) {
            match connection.stream.read(chunk) {
                Ok(0) => return self.gone.push(key),
                Ok(read) => {
                    connection.input.extend_from_slice(&chunk[..read]);
                    self.understand(key);
                    if read < chunk.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.gone.push(key),
            }
        }
    }

    /// Takes what is whole from the input.
    fn understand(&mut self, key: usize) {
        let mut input = std::mem::take(&mut self.connections[key].input);
        let mut taken = 0;
        if self.connections[key].talk.is_none() {
            let Some(end) = memmem::find(&input, b"\r\n\r\n") else {
                self.connections[key].input = input;
                return;
            };
            self.upgrade(key, &input[..end]);
            taken = end + 4;
        }
        while let Some((opcode, from, to)) = unmasked(&mut input[taken..]) {
            match opcode {
                OPCODE_TEXT => self.hear(key, &input[taken + from..taken + to]),
                OPCODE_CLOSE => self.gone.push(key),
                _ => {}
            }
            taken += to;
        }
        input.drain(..taken);
        if input.is_empty() {
            input = Vec::new();
        }
        self.connections[key].input = input;
    }

    fn upgrade(&mut self, key: usize, request: &[u8]) {
        self.connections[key].output.extend_from_slice(ACCEPT.as_bytes());
        self.is_due(key);
        self.welcome(key, &String::from_utf8_lossy(request));
    }

    /// Puts a connection on a topic, under a name, into a room.
    fn join(&mut self, key: usize, name: &str) {
        self.members.entry(name.to_owned()).or_default().push(key);
        self.connections[key].names.push(name.to_owned());
    }

    fn tell(&mut self, key: usize, text: &[u8]) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.put(text, key, &mut self.due);
        }
    }

    /// Tells all under that name but one.
    fn tell_others(&mut self, name: &str, but: usize, text: &[u8]) {
        let Some(members) = self.members.get(name) else { return };
        for member in members.iter().filter(|member| **member != but) {
            if let Some(connection) = self.connections.get_mut(*member) {
                connection.put(text, *member, &mut self.due);
            }
        }
    }

    fn write_all(&mut self, registry: &Registry) {
        for key in std::mem::take(&mut self.due) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.due = false;
            if connection.write(registry, key).is_err() {
                self.gone.push(key);
            }
        }
    }

    fn bury(&mut self) {
        for key in std::mem::take(&mut self.gone) {
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
    fn put(&mut self, text: &[u8], key: usize, due: &mut Vec<usize>) {
        put(&mut self.output, text);
        if !self.due {
            self.due = true;
            due.push(key);
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
        if self.output.capacity() > KEPT {
            self.output.shrink_to_fit();
        }
        if self.stuck == self.output.is_empty() {
            self.stuck = !self.stuck;
            let more = if self.stuck { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            registry.reregister(&mut self.stream, Token(key), more)?;
        }
        Ok(())
    }
}

/// Unmasks the frame at the start of `bytes`, if it is whole: its opcode, and where its payload begins and ends.
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
