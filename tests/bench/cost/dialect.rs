//! The same work in three protocols: join, and send messages to one client or to a room. Every message contains the
//! time at which it was sent, so that its receiver can measure the latency.

use std::io::{self, Error};
use std::net::SocketAddr;
use std::time::Instant;

use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::client::Client;

/// The protocol of the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    Phoenix,
    #[serde(rename = "PeerJS")]
    PeerJs,
    /// Socket.IO over WebSocket, without polling first.
    #[serde(rename = "Socket.IO")]
    SocketIo,
}

/// The position of a client, which decides who receives its messages.
#[derive(Clone, Copy, Debug)]
pub enum Position {
    /// One of a pair: an even number, and the odd number after it.
    Pair(usize),
    /// A member of the room with this number. PeerJS has no rooms.
    Room(usize),
}

/// Precedes the time in a message.
const TIME_KEY: &str = r#""at":"#;

impl Dialect {
    pub fn name(self) -> &'static str {
        match self {
            Self::Phoenix => "Phoenix",
            Self::PeerJs => "PeerJS",
            Self::SocketIo => "Socket.IO",
        }
    }

    /// Connects and joins, until the server confirms it.
    pub async fn connect(self, server: SocketAddr, position: Position, token: Option<&str>) -> io::Result<Client> {
        let path = match (self, position) {
            (Self::Phoenix, _) => {
                let token = token.map(|token| format!("&token={token}")).unwrap_or_default();
                format!("/socket/websocket?vsn=2.0.0{token}")
            }
            (Self::PeerJs, Position::Pair(own)) => format!("/peerjs?key=peerjs&id={}&token=t", id(own)),
            (Self::PeerJs, Position::Room(_)) => return Err(Error::other("PeerJS has no rooms")),
            (Self::SocketIo, _) => "/socket.io/?EIO=4&transport=websocket".to_owned(),
        };
        let mut client = Client::connect(server, &path).await?;
        self.join(&mut client, position).await?;
        Ok(client)
    }

    /// Joins at a position. A Phoenix client may have several.
    pub async fn join(self, client: &mut Client, position: Position) -> io::Result<()> {
        match self {
            Self::Phoenix => {
                client.send(&format!(r#"["1","1","{}","phx_join",{{}}]"#, topic(position))).await?;
                expect(client, r#""status":"ok""#).await
            }
            Self::PeerJs => expect(client, "OPEN").await,
            Self::SocketIo => {
                expect(client, "0{").await?;
                client.send("40").await?;
                expect(client, "40{").await?;
                client.send(&format!(r#"420["join",{{"room":"{}"}}]"#, room(position))).await?;
                expect(client, "430").await
            }
        }
    }

    /// A message of about this many bytes with this time, for the other client of the pair or all others in the room.
    pub fn message(self, position: Position, bytes: usize, at: u64) -> String {
        let content = format!(r#"{TIME_KEY}{at},"sdp":"{}""#, "x".repeat(bytes));
        match (self, position) {
            (Self::Phoenix, Position::Pair(own)) => {
                format!(r#"["1","2","{}","signal",{{"peer_id":"{}",{content}}}]"#, topic(position), id(own ^ 1))
            }
            (Self::Phoenix, Position::Room(_)) => format!(r#"["1","2","{}","message",{{{content}}}]"#, topic(position)),
            (Self::PeerJs, Position::Pair(own) | Position::Room(own)) => {
                format!(r#"{{"type":"CANDIDATE","dst":"{}","payload":{{{content}}}}}"#, id(own ^ 1))
            }
            (Self::SocketIo, _) => format!(r#"42["message",{{{content}}}]"#),
        }
    }

    /// Waits for the verdict on a signal. Anything but `ok` is an error.
    pub async fn verdict(self, client: &mut Client) -> io::Result<()> {
        expect(client, r#""status":"ok""#).await
    }

    /// The reply to a server ping, if this is one.
    pub fn pong(self, received: &[u8]) -> Option<&'static str> {
        (self == Self::SocketIo && received == b"2").then_some("3")
    }
}

/// When a message was sent. `None` for a reply.
pub fn sent_at(received: &[u8]) -> Option<u64> {
    let from = memmem::find(received, TIME_KEY.as_bytes())? + TIME_KEY.len();
    let digits = received[from..].split(|byte| !byte.is_ascii_digit()).next()?;
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

fn topic(position: Position) -> String {
    match position {
        Position::Pair(own) => format!("peer:{}", id(own)),
        Position::Room(number) => format!("room:{number}"),
    }
}

fn room(position: Position) -> String {
    match position {
        Position::Pair(own) => format!("pair-{}", own / 2),
        Position::Room(number) => format!("room-{number}"),
    }
}

/// The next message must contain `part`. Anything else, such as a rejected join, is an error.
async fn expect(client: &mut Client, part: &str) -> io::Result<()> {
    let received = client.receive().await?;
    if memmem::find(received, part.as_bytes()).is_some() {
        return Ok(());
    }
    Err(Error::other(format!("received {}, not {part}", String::from_utf8_lossy(received))))
}
