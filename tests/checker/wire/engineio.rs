//! Sessions of Engine.IO that begin with long polling. Some change to a WebSocket amid their messages, and some give a
//! WebSocket up and try another one.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::{Party, Writer, connect, frames, read_frames, write_cut};
use crate::common::longpoll::request;
use crate::common::rng::Rng;
use crate::common::{Client, Received, frame, upgrade};

const PATH: &str = "/socket.io/?EIO=4&transport=polling";
/// What separates the packets in one body.
const SEPARATOR: &str = "\x1e";
const CLOSE: &str = "1";
const NOOP: &str = "6";
const PROBE: (&str, &str) = ("2probe", "3probe");
const UPGRADE: &str = "5";

pub struct EngineSession {
    address: SocketAddr,
    path: String,
    /// The WebSocket, after the upgrade. Locked by what sends, so that messages keep their order.
    writer: Mutex<Option<Writer>>,
}

impl EngineSession {
    pub async fn open(address: SocketAddr) -> Self {
        let handshake = request(address, "GET", PATH, &[], b"").await.body;
        let open: Value = serde_json::from_str(handshake.strip_prefix('0').unwrap()).unwrap();
        let path = format!("{PATH}&sid={}", open["sid"].as_str().unwrap());
        Self { address, path, writer: Mutex::default() }
    }

    pub async fn writer(&self) -> Option<Writer> {
        self.writer.lock().await.clone()
    }

    pub async fn send(&self, messages: &[String], party: &Party, rng: Option<&mut Rng>) {
        let writer = self.writer.lock().await;
        match (&*writer, rng) {
            _ if messages.is_empty() => {}
            (Some(writer), Some(rng)) => write_cut(writer, &frames(messages), rng).await,
            // an error means that the connection is closed, which the reader sees
            (Some(writer), None) => drop(writer.lock().await.write_all(&frames(messages)).await),
            (None, _) => self.post(&messages.join(SEPARATOR), party).await,
        }
    }

    async fn post(&self, body: &str, party: &Party) {
        let status = request(self.address, "POST", &self.path, &[], body.as_bytes()).await.http;
        if status != 200 && !party.is_ending.get() {
            party.fault(format!("the server refuses a body with {status}"));
        }
    }

    /// Closes a session that polls.
    pub async fn close(&self, party: &Party) {
        self.post(CLOSE, party).await;
    }

    /// Polls, and changes to a WebSocket if there are random numbers for it.
    pub async fn read(self: Rc<Self>, party: Party, rng: Option<Rng>) {
        let is_paused = Cell::new(false);
        let mut polling = pin!(self.poll(&party, &is_paused));
        let Some(rng) = rng else { return polling.await };
        let (client, writer) = match select(&mut polling, pin!(self.probe(rng))).await {
            Either::Left(_) => return,
            Either::Right((Ok(probed), _)) => probed,
            Either::Right((Err(head), _)) => return party.fault(format!("no upgrade: {head}")),
        };
        // the client waits for its poll and its post before it sends the last packet
        is_paused.set(true);
        polling.await;
        let mut current = self.writer.lock().await;
        let _ = writer.lock().await.write_all(&frame(0x81, UPGRADE.as_bytes())).await;
        *current = Some(writer.clone());
        drop(current);
        party.record.borrow_mut().note(party.number, "has upgraded".to_owned());
        read_frames(client, party.clone(), writer).await;
    }

    async fn poll(&self, party: &Party, is_paused: &Cell<bool>) {
        while !is_paused.get() {
            let response = request(self.address, "GET", &self.path, &[], b"").await;
            if party.is_ending.get() {
                return;
            }
            if response.http != 200 {
                return party.fault(format!("a poll ends with {response:?}"));
            }
            for packet in response.body.split(SEPARATOR).filter(|packet| *packet != NOOP) {
                let answers = party.hear(packet);
                self.send(&answers, party, None).await;
            }
        }
    }

    /// Opens WebSockets until one has answered the probe, and is not given up. Returns the head of a
    /// response that is no upgrade.
    async fn probe(&self, mut rng: Rng) -> Result<(Client, Writer), String> {
        let path = self.path.replace("transport=polling", "transport=websocket");
        loop {
            sleep(Duration::from_micros(rng.below(30_000))).await;
            let (stream, writer) = connect(self.address).await;
            let probe = [upgrade(&path).into_bytes(), frame(0x81, PROBE.0.as_bytes())].concat();
            write_cut(&writer, &probe, &mut rng).await;
            if rng.below(5) == 0 {
                continue;
            }
            let mut client = Client::from_stream(stream);
            let head = client.head().await;
            if !head.starts_with("HTTP/1.1 101") {
                return Err(head);
            }
            // the server may not have noticed yet that the WebSocket before this one is gone
            let is_probed = client.receive_any().await == Received::Text(PROBE.1.to_owned());
            if is_probed && rng.below(5) > 0 {
                return Ok((client, writer));
            }
        }
    }
}
