//! The clients: what each protocol says and hears, without its transport.

mod hello;
mod hello_binary;
mod peerjs;
mod phoenix;
mod relay;
mod socketio;

use crate::common::rng::Rng;
use crate::record::Record;
use crate::wire::Transport;

/// How many ids, and how many rooms, all clients of a protocol share. Few, so that they meet.
const NAMES: u64 = 4;
const ROOMS: u64 = 2;
/// One client's side of a protocol. It decides what to say, and records what it hears.
pub trait Client {
    /// The next messages to the server, as text.
    fn speak(&mut self, rng: &mut Rng, record: &mut Record) -> Vec<String>;

    /// Handles a message from the server. Returns the immediate answers.
    fn hear(&mut self, text: &str, record: &mut Record) -> Vec<String>;

    /// Whether its messages are in binary frames.
    fn is_binary(&self) -> bool {
        false
    }

    /// Whether it waits for answers before it says more.
    fn is_busy(&self) -> bool {
        false
    }

    /// The messages by which it leaves everything.
    fn farewell(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// The server has closed the connection.
    fn closed(&mut self, code: u16, record: &mut Record);
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Anything,
    /// Until the end of the round, it takes one name over again and again.
    TakesOver,
    /// Until the end of the round, it joins and leaves one room again and again, with both requests in one segment.
    Flashes,
    /// Until the end of the round, it sends to that name and that room again and again.
    Sends,
    /// Until the end of the round, it is a client of PeerJS 0.3, with an id of its own.
    ChangesTransport,
}

/// A random client, its number, and how it connects.
pub fn random(role: Role, rng: &mut Rng, record: &mut Record) -> (usize, Box<dyn Client>, Transport) {
    let number = record.add_client();
    let (client, transport): (Box<dyn Client>, _) = match rng.below(18) {
        _ if role == Role::ChangesTransport => peerjs::open(number, role, rng, record),
        _ if role != Role::Anything => phoenix::open(number, role, rng),
        0..=4 => phoenix::open(number, role, rng),
        5..=9 => peerjs::open(number, role, rng, record),
        10..=14 => socketio::open(number, rng, record),
        15 => hello::open(number, record),
        16 => hello_binary::open(number, record),
        _ => relay::open(number, record),
    };
    record.note(number, format!("opens {transport:?}"));
    (number, client, transport)
}

/// How often a message is repeated. A burst meets a join that is confirmed at the same time.
fn repeats(rng: &mut Rng) -> u64 {
    if rng.below(5) == 0 { 1 + rng.below(40) } else { 1 }
}

/// Padding of a message. A large one takes another path through the server, but is slow to read here.
fn pad(rng: &mut Rng) -> String {
    let bytes = match rng.below(80) {
        0 => 17_000,
        1..=10 => 200,
        _ => 0,
    };
    "x".repeat(bytes)
}
