//! The same work in three protocols: come in, say something to one or to a room. Every message carries the time at
//! which it was said, so that whoever hears it knows how long it took.

use std::io::{self, Error};
use std::net::SocketAddr;
use std::time::Instant;

use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::client::Client;

/// How clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    Phoenix,
    #[serde(rename = "PeerJS")]
    PeerJs,
    /// Socket.IO over a WebSocket from the start.
    #[serde(rename = "Socket.IO")]
    SocketIo,
}

/// Where a client sits, and so who hears it.
#[derive(Clone, Copy, Debug)]
pub enum Seat {
    /// One of a pair: an even number and the odd one after it.
    Pair(usize),
    /// In the room of that number. PeerJS has none.
    Room(usize),
}

/// What stands before the time in a message.
const MARK: &str = r#""at":"#;

impl Dialect {
    pub fn name(self) -> &'static str {
        match self {
            Self::Phoenix => "Phoenix",
            Self::PeerJs => "PeerJS",
            Self::SocketIo => "Socket.IO",
        }
    }

    /// Connects and joins, up to the server's word that it hears.
    pub async fn enter(self, server: SocketAddr, seat: Seat) -> io::Result<Client> {
        let path = match (self, seat) {
            (Self::Phoenix, _) => "/socket/websocket?vsn=2.0.0".to_owned(),
            (Self::PeerJs, Seat::Pair(me)) => format!("/peerjs?key=peerjs&id={}&token=t", id(me)),
            (Self::PeerJs, Seat::Room(_)) => return Err(Error::other("PeerJS has no rooms")),
            (Self::SocketIo, _) => "/socket.io/?EIO=4&transport=websocket".to_owned(),
        };
        let mut client = Client::connect(server, &path).await?;
        self.join(&mut client, seat).await?;
        Ok(client)
    }

    /// Takes a seat; a Phoenix client may have several.
    pub async fn join(self, client: &mut Client, seat: Seat) -> io::Result<()> {
        match self {
            Self::Phoenix => {
                client.say(&format!(r#"["1","1","{}","phx_join",{{}}]"#, topic(seat))).await?;
                expect(client, r#""status":"ok""#).await
            }
            Self::PeerJs => expect(client, "OPEN").await,
            Self::SocketIo => {
                expect(client, "0{").await?;
                client.say("40").await?;
                expect(client, "40{").await?;
                client.say(&format!(r#"420["join",{{"room":"{}"}}]"#, room(seat))).await?;
                expect(client, "430").await
            }
        }
    }

    /// Words of about so many bytes that were said at that time, for the other of the pair or all others in the room.
    pub fn words(self, seat: Seat, bytes: usize, at: u64) -> String {
        let said = format!(r#"{MARK}{at},"sdp":"{}""#, "x".repeat(bytes));
        match (self, seat) {
            (Self::Phoenix, Seat::Pair(me)) => {
                format!(r#"["1","2","{}","signal",{{"peer_id":"{}",{said}}}]"#, topic(seat), id(me ^ 1))
            }
            (Self::Phoenix, Seat::Room(_)) => format!(r#"["1","2","{}","message",{{{said}}}]"#, topic(seat)),
            (Self::PeerJs, Seat::Pair(me) | Seat::Room(me)) => {
                format!(r#"{{"type":"CANDIDATE","dst":"{}","payload":{{{said}}}}}"#, id(me ^ 1))
            }
            (Self::SocketIo, _) => format!(r#"42["message",{{{said}}}]"#),
        }
    }

    /// Answers, if this is the server's own question whether the client lives.
    pub fn sign_of_life(self, heard: &[u8]) -> Option<&'static str> {
        (self == Self::SocketIo && heard == b"2").then_some("3")
    }
}

/// When it was said; nothing for an answer.
pub fn said_at(heard: &[u8]) -> Option<u64> {
    let from = memmem::find(heard, MARK.as_bytes())? + MARK.len();
    let digits = heard[from..].split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Nanoseconds on a clock of this process.
pub fn now() -> u64 {
    thread_local! {
        static START: Instant = Instant::now();
    }
    START.with(|start| start.elapsed().as_nanos() as u64)
}

fn id(number: usize) -> String {
    format!("5a1b0c1e-32f7-4d05-9f6a-{number:012x}")
}

fn topic(seat: Seat) -> String {
    match seat {
        Seat::Pair(me) => format!("peer:{}", id(me)),
        Seat::Room(number) => format!("room:{number}"),
    }
}

fn room(seat: Seat) -> String {
    match seat {
        Seat::Pair(me) => format!("pair-{}", me / 2),
        Seat::Room(number) => format!("room-{number}"),
    }
}

/// Listens until it is said; what a join is refused with does not hold it, and neither does anything after.
async fn expect(client: &mut Client, part: &str) -> io::Result<()> {
    let heard = client.hear().await?;
    if memmem::find(heard, part.as_bytes()).is_some() {
        return Ok(());
    }
    Err(Error::other(format!("heard {}, not {part}", String::from_utf8_lossy(heard))))
}
