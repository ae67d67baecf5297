//! How the bare loop handles each protocol. It understands exactly what the clients here send.

use std::mem;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Hub;

/// The protocol of a connection, by its path.
#[derive(Clone, Copy)]
pub enum Protocol {
    Phoenix,
    PeerJs,
    SocketIo,
}

/// A message of Phoenix V2.
type Message<'a> = (&'a RawValue, &'a RawValue, &'a str, &'a str, &'a RawValue);

#[derive(Deserialize)]
struct PeerJsMessage<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    dst: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Hub {
    /// Opens a connection as its protocol requires.
    pub fn open(&mut self, key: usize, request: &str) {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let protocol = match path {
            path if path.starts_with("/socket.io/") => Protocol::SocketIo,
            path if path.starts_with("/peerjs") => Protocol::PeerJs,
            _ => Protocol::Phoenix,
        };
        self.connections[key].protocol = Some(protocol);
        match protocol {
            Protocol::Phoenix => {}
            Protocol::PeerJs => {
                let id = path.split("id=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or_default();
                self.join(key, id);
                self.send(key, br#"{"type":"OPEN"}"#);
            }
            Protocol::SocketIo => {
                let open =
                    r#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
                self.send(key, open.as_bytes());
            }
        }
    }

    /// Handles one message. An unknown message is ignored.
    pub fn handle_message(&mut self, key: usize, text: &[u8]) {
        let _ = match self.connections[key].protocol {
            Some(Protocol::Phoenix) => self.phoenix(key, text),
            Some(Protocol::PeerJs) => self.peerjs(key, text),
            Some(Protocol::SocketIo) => self.socketio(key, text),
            None => None,
        };
    }

    fn phoenix(&mut self, key: usize, text: &[u8]) -> Option<()> {
        let (join_ref, reference, topic, event, payload) = serde_json::from_slice::<Message>(text).ok()?;
        let payload = payload.get();
        match event {
            "phx_join" => self.join(key, topic),
            "signal" => {
                let from = memmem::find(payload.as_bytes(), br#""peer_id":""#)? + 11;
                let to = from + memchr::memchr(b'"', &payload.as_bytes()[from..])?;
                let (name, me) = (format!("peer:{}", &payload[from..to]), topic.strip_prefix("peer:")?);
                let (before, after) = (&payload[..from], &payload[to..]);
                let message = format!(r#"[null,null,"{name}","signal",{before}{me}{after}]"#);
                self.send_to_others(&name, key, message.as_bytes());
            }
            _ => {
                let message = format!(r#"[null,null,"{topic}","{event}",{payload}]"#);
                self.send_to_others(topic, key, message.as_bytes());
            }
        }
        let reply = r#""phx_reply",{"status":"ok","response":{}}"#;
        self.send(key, format!(r#"[{join_ref},{reference},"{topic}",{reply}]"#).as_bytes());
        Some(())
    }

    fn peerjs(&mut self, key: usize, text: &[u8]) -> Option<()> {
        let PeerJsMessage { kind, dst, payload } = serde_json::from_slice(text).ok()?;
        let me = &self.connections[key].names[0];
        let message = format!(r#"{{"type":"{kind}","src":"{me}","dst":"{dst}","payload":{payload}}}"#);
        self.send_to_others(dst, key, message.as_bytes());
        Some(())
    }

    fn socketio(&mut self, key: usize, text: &[u8]) -> Option<()> {
        if text == b"40" {
            self.send(key, br#"40{"sid":"x"}"#);
        } else if let Some(join) = text.strip_prefix(br#"420["join",{"room":""#) {
            let room = String::from_utf8_lossy(join.strip_suffix(br#""}]"#)?).into_owned();
            self.join(key, &room);
            self.send(key, b"430[{}]");
        } else if text.starts_with(b"42") {
            let (_, _): (&str, &RawValue) = serde_json::from_slice(&text[2..]).ok()?;
            let rooms = mem::take(&mut self.connections[key].names);
            rooms.iter().for_each(|room| self.send_to_others(room, key, text));
            self.connections[key].names = rooms;
        }
        Some(())
    }
}
