//! What the bare loop understands of each protocol: exactly what our own clients say.

use std::mem;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Hub;

/// How a connection speaks, by the path at which it came.
#[derive(Clone, Copy)]
pub enum Talk {
    Phoenix,
    PeerJs,
    SocketIo,
}

/// A message of Phoenix V2.
type Message<'a> = (&'a RawValue, &'a RawValue, &'a str, &'a str, &'a RawValue);

#[derive(Deserialize)]
struct Letter<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    dst: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Hub {
    /// Says what the protocol says first.
    pub fn welcome(&mut self, key: usize, request: &str) {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let talk = match path {
            path if path.starts_with("/socket.io/") => Talk::SocketIo,
            path if path.starts_with("/peerjs") => Talk::PeerJs,
            _ => Talk::Phoenix,
        };
        self.connections[key].talk = Some(talk);
        match talk {
            Talk::Phoenix => {}
            Talk::PeerJs => {
                let id = path.split("id=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or_default();
                self.join(key, id);
                self.tell(key, br#"{"type":"OPEN"}"#);
            }
            Talk::SocketIo => {
                let open =
                    r#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
                self.tell(key, open.as_bytes());
            }
        }
    }

    /// Takes one message; what it does not understand it passes over.
    pub fn hear(&mut self, key: usize, text: &[u8]) {
        let _ = match self.connections[key].talk {
            Some(Talk::Phoenix) => self.phoenix(key, text),
            Some(Talk::PeerJs) => self.peerjs(key, text),
            Some(Talk::SocketIo) => self.socketio(key, text),
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
                let told = format!(r#"[null,null,"{name}","signal",{before}{me}{after}]"#);
                self.tell_others(&name, key, told.as_bytes());
            }
            _ => {
                let told = format!(r#"[null,null,"{topic}","{event}",{payload}]"#);
                self.tell_others(topic, key, told.as_bytes());
            }
        }
        let reply = r#""phx_reply",{"status":"ok","response":{}}"#;
        self.tell(key, format!(r#"[{join_ref},{reference},"{topic}",{reply}]"#).as_bytes());
        Some(())
    }

    fn peerjs(&mut self, key: usize, text: &[u8]) -> Option<()> {
        let Letter { kind, dst, payload } = serde_json::from_slice(text).ok()?;
        let me = &self.connections[key].names[0];
        let told = format!(r#"{{"type":"{kind}","src":"{me}","dst":"{dst}","payload":{payload}}}"#);
        self.tell_others(dst, key, told.as_bytes());
        Some(())
    }

    fn socketio(&mut self, key: usize, text: &[u8]) -> Option<()> {
        if text == b"40" {
            self.tell(key, br#"40{"sid":"x"}"#);
        } else if let Some(join) = text.strip_prefix(br#"420["join",{"room":""#) {
            let room = String::from_utf8_lossy(join.strip_suffix(br#""}]"#)?).into_owned();
            self.join(key, &room);
            self.tell(key, b"430[{}]");
        } else if text.starts_with(b"42") {
            let (_, _): (&str, &RawValue) = serde_json::from_slice(&text[2..]).ok()?;
            let rooms = mem::take(&mut self.connections[key].names);
            rooms.iter().for_each(|room| self.tell_others(room, key, text));
            self.connections[key].names = rooms;
        }
        Some(())
    }
}
