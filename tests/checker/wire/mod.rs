//! How a client's messages reach the server: WebSockets, Phoenix's long polling, the sessions of Engine.IO and Socket.IO
//! 0.9, and those of PeerJS 0.3. Messages go out together, cut at random places.

mod engineio;
mod peerjs;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use actix_web::rt::task::JoinHandle;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::clients::Client as Speaker;
use crate::common::longpoll::LongPollClient;
use crate::common::rng::Rng;
use crate::common::{Client, Received, frame, upgrade};
use crate::record::Record;
use engineio::EngineSession;
pub use engineio::{Payload, byte_string, bytes};
use peerjs::PeerJsSession;

/// The statuses of an accepted body. 408: a join still waits for the owner of its name.
const ACCEPTED: [u64; 2] = [200, 408];
/// How many messages one body of Phoenix may have.
const BATCH: usize = 100;

#[derive(Clone, Debug)]
pub enum Transport {
    /// With this path.
    WebSocket(String),
    /// Of a session of Socket.IO 0.9, after its handshake.
    WebSocket09,
    /// With this version.
    PhoenixPolling(&'static str),
    /// A session that begins with long polling. Whether it changes to a WebSocket.
    Engine { payload: Payload, upgrades: bool },
    /// HTTP at first, then a WebSocket.
    PeerJs { id: String, token: String },
}

/// How a client's connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By a reset, as when its process is killed.
    Reset,
    Dropped,
    /// By a close frame, to which the server answers.
    Closed,
}

/// A client with its number and the record of the round.
#[derive(Clone)]
pub struct Party {
    pub number: usize,
    pub speaker: Rc<RefCell<Box<dyn Speaker>>>,
    pub record: Rc<RefCell<Record>>,
    /// Whether the client has begun to end its connection.
    pub is_ending: Rc<Cell<bool>>,
}

/// The sending side of a WebSocket.
type Writer = Rc<Mutex<TcpStream>>;

/// The sending side of a connection.
#[derive(Clone)]
enum Sender {
    WebSocket(Writer),
    Phoenix(Rc<LongPollClient>),
    Engine(Rc<EngineSession>),
    PeerJs(Rc<PeerJsSession>),
}

pub struct Wire {
    party: Party,
    sender: Sender,
    reader: JoinHandle<()>,
}

impl Party {
    fn hear(&self, text: &str) -> Vec<String> {
        let record = &mut *self.record.borrow_mut();
        record.note(self.number, format!("< {}", short(text)));
        self.speaker.borrow_mut().hear(text, record)
    }

    /// The frames of its messages over a WebSocket.
    fn frames(&self, messages: &[String]) -> Vec<u8> {
        let first = if self.speaker.borrow().is_binary() { 0x82 } else { 0x81 };
        messages.iter().flat_map(|text| frame(first, text.as_bytes())).collect()
    }

    fn fault(&self, what: String) {
        self.record.borrow_mut().fault(self.number, what);
    }

    fn note_all(&self, messages: &[String]) {
        let record = &mut *self.record.borrow_mut();
        messages.iter().for_each(|text| record.note(self.number, format!("> {}", short(text))));
    }
}

fn short(text: &str) -> &str {
    text.char_indices().nth(160).map_or(text, |(end, _)| &text[..end])
}

impl Wire {
    /// Connects. Over a WebSocket, the first messages follow the request without waiting for its response.
    pub async fn open(
        address: SocketAddr,
        transport: &Transport,
        party: Party,
        first: &[String],
        rng: &mut Rng,
    ) -> Self {
        party.note_all(first);
        match transport {
            Transport::WebSocket(path) => Self::open_websocket(address, path, party, first, rng).await,
            Transport::WebSocket09 => {
                let path = engineio::handshake(address, "websocket").await;
                Self::open_websocket(address, &path, party, first, rng).await
            }
            Transport::PhoenixPolling(version) => {
                let session = Rc::new(LongPollClient::open(address, "/socket", version, &[]).await);
                let reader = actix_web::rt::spawn(poll_phoenix(session.clone(), party.clone()));
                let wire = Self { party, sender: Sender::Phoenix(session), reader };
                wire.write(first, rng).await;
                wire
            }
            Transport::Engine { payload, upgrades } => {
                let session = Rc::new(EngineSession::open(address, *payload).await);
                let reading = session.clone().read(party.clone(), upgrades.then(|| fork(rng)));
                let wire = Self { party, sender: Sender::Engine(session), reader: actix_web::rt::spawn(reading) };
                wire.write(first, rng).await;
                wire
            }
            Transport::PeerJs { id, token } => {
                let session = Rc::new(PeerJsSession::new(address, id, token));
                let reader = actix_web::rt::spawn(session.clone().read(party.clone(), fork(rng)));
                let wire = Self { party, sender: Sender::PeerJs(session), reader };
                wire.write(first, rng).await;
                wire
            }
        }
    }

    async fn open_websocket(address: SocketAddr, path: &str, party: Party, first: &[String], rng: &mut Rng) -> Self {
        let (stream, writer) = connect(address).await;
        let bytes = [upgrade(path).into_bytes(), party.frames(first)].concat();
        let reader = actix_web::rt::spawn(read_websocket(stream, party.clone(), writer.clone()));
        write_cut(&writer, &bytes, rng).await;
        Self { party, sender: Sender::WebSocket(writer), reader }
    }

    /// Sends messages together.
    pub async fn send(&self, messages: &[String], rng: &mut Rng) {
        self.party.note_all(messages);
        self.write(messages, rng).await;
    }

    async fn write(&self, messages: &[String], rng: &mut Rng) {
        match &self.sender {
            Sender::WebSocket(writer) => write_cut(writer, &self.party.frames(messages), rng).await,
            Sender::Engine(session) => session.send(messages, &self.party, Some(rng)).await,
            Sender::PeerJs(session) => session.send(messages, &self.party, rng).await,
            other => other.post(messages, &self.party).await,
        }
    }

    /// Whether the server has closed the connection.
    pub fn is_over(&self) -> bool {
        self.reader.is_finished()
    }

    fn note_end(&self, ending: Ending) {
        let (record, number) = (&mut *self.party.record.borrow_mut(), self.party.number);
        record.note(number, format!("ends: {ending:?}"));
        record.release_client(number);
        if let Sender::Phoenix(_) = self.sender {
            record.abandoned.insert(number as u64);
        }
        self.party.is_ending.set(true);
    }

    /// Ends the connection. A polling client of Phoenix just stops to poll, mostly after it has left everything.
    pub async fn end(self, ending: Ending, rng: &mut Rng) {
        self.note_end(ending);
        let writer = match &self.sender {
            Sender::WebSocket(writer) => Some(writer.clone()),
            Sender::Engine(session) => session.writer().await,
            Sender::PeerJs(session) => session.writer().await,
            Sender::Phoenix(_) => None,
        };
        match (&self.sender, writer, ending) {
            (_, Some(writer), Ending::Closed) => {
                write_cut(&writer, &frame(0x88, &1000_u16.to_be_bytes()), rng).await;
                return self.reader.await.unwrap();
            }
            (_, Some(writer), Ending::Reset) => {
                SockRef::from(&*writer.lock().await).set_linger(Some(Duration::ZERO)).unwrap();
            }
            (Sender::Engine(session), None, _) => session.close(&self.party).await,
            (Sender::Phoenix(_), ..) if rng.below(8) > 0 => {
                let messages = self.party.speaker.borrow_mut().farewell();
                self.sender.post(&messages, &self.party).await;
            }
            _ => {}
        }
        self.reader.abort();
    }
}

impl Sender {
    async fn post(&self, messages: &[String], party: &Party) {
        if messages.is_empty() {
            return;
        }
        let status = match self {
            Self::WebSocket(writer) => {
                // an error means that the connection is closed, which the reader sees
                let _ = writer.lock().await.write_all(&party.frames(messages)).await;
                return;
            }
            Self::Phoenix(session) => {
                // only messages of V2 can be sent together
                let together = if messages[0].starts_with('{') { 1 } else { BATCH };
                let mut status = 200;
                for lines in messages.chunks(together).map(|lines| lines.iter().map(String::as_str)) {
                    let lines: Vec<&str> = lines.collect();
                    status = if together == 1 { session.post(lines[0]).await } else { session.batch(&lines).await };
                    if !ACCEPTED.contains(&status) {
                        break;
                    }
                }
                status
            }
            Self::Engine(session) => return session.send(messages, party, None).await,
            Self::PeerJs(_) => unreachable!("clients of PeerJS answer nothing by themselves"),
        };
        if !ACCEPTED.contains(&status) && !party.is_ending.get() {
            party.fault(format!("the server refuses a body with {status}"));
        }
    }
}

/// Connects. The second stream is for writing.
async fn connect(address: SocketAddr) -> (TcpStream, Writer) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let copy = std::net::TcpStream::from(stream.as_fd().try_clone_to_owned().unwrap());
    (stream, Rc::new(Mutex::new(TcpStream::from_std(copy).unwrap())))
}

/// Random numbers of their own.
fn fork(rng: &mut Rng) -> Rng {
    Rng(1 + rng.below(u64::MAX - 1))
}

/// Writes bytes in up to four pieces. Nobody else writes amid them.
async fn write_cut(writer: &Mutex<TcpStream>, bytes: &[u8], rng: &mut Rng) {
    let mut cuts: Vec<usize> = (0..rng.below(4)).map(|_| rng.below(bytes.len() as u64 + 1) as usize).collect();
    cuts.sort_unstable();
    cuts.push(bytes.len());
    let (mut writer, mut start) = (writer.lock().await, 0);
    for cut in cuts {
        let _ = writer.write_all(&bytes[start..cut]).await;
        start = cut;
        match rng.below(3) {
            0 => sleep(Duration::from_micros(rng.below(2_000))).await,
            _ => tokio::task::yield_now().await,
        }
    }
}

async fn read_websocket(stream: TcpStream, party: Party, writer: Writer) {
    let mut client = Client::from_stream(stream);
    let head = client.head().await;
    match head.starts_with("HTTP/1.1 101") {
        true => read_frames(client, party, writer).await,
        false => party.fault(format!("no upgrade: {head}")),
    }
}

async fn read_frames(mut client: Client, party: Party, writer: Writer) {
    let sender = Sender::WebSocket(writer.clone());
    let mut is_closed = false;
    loop {
        let received = client.receive_any().await;
        if is_closed && received != Received::Eof {
            return party.fault(format!("{received:?} follows the close frame"));
        }
        match received {
            Received::Text(text) if !party.speaker.borrow().is_binary() => {
                let answers = party.hear(&text);
                sender.post(&answers, &party).await;
            }
            Received::Binary(bytes) if party.speaker.borrow().is_binary() => {
                party.hear(&String::from_utf8(bytes).unwrap());
            }
            Received::Ping(_) => drop(writer.lock().await.write_all(&frame(0x8A, b"")).await),
            Received::Close(code, _) => {
                is_closed = true;
                if !party.is_ending.get() {
                    let record = &mut *party.record.borrow_mut();
                    record.note(party.number, format!("< close {code}"));
                    party.speaker.borrow_mut().closed(code, record);
                }
            }
            Received::Eof if is_closed || party.is_ending.get() => return,
            other => return party.fault(format!("{other:?} is unexpected")),
        }
        if is_closed && !party.is_ending.get() {
            let _ = writer.lock().await.write_all(&frame(0x88, b"")).await;
        }
    }
}

async fn poll_phoenix(session: Rc<LongPollClient>, party: Party) {
    loop {
        let response = session.get().await.json();
        match response["status"].as_u64() {
            Some(200) => response["messages"].as_array().unwrap().iter().for_each(|text| {
                party.hear(text.as_str().unwrap());
            }),
            Some(204) => {}
            _ => return party.fault(format!("a poll ends with {response}")),
        }
    }
}
