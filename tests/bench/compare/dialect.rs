//! The same work in two protocols: come in, say something to one, hear it, leave.

use std::net::SocketAddr;

use crate::common::Client;

/// How PeerJS, or Socket.IO over a WebSocket, says things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    PeerJs,
    SocketIo,
}

/// A connected client, and the name by which others find it: its id, or the room that it shares.
pub struct Speaker {
    dialect: Dialect,
    pub client: Client,
}

impl Dialect {
    /// Connects. A PeerJS client has `id`; one of Socket.IO is in `room`.
    pub async fn enter(self, server: SocketAddr, id: &str, room: &str) -> Speaker {
        let client = match self {
            Self::PeerJs => {
                let path = format!("/peerjs?key=peerjs&id={id}&token=t");
                let mut client = Client::open(server, &path, &[]).await;
                client.hear_until("OPEN").await;
                client
            }
            Self::SocketIo => {
                let mut client = Client::open(server, "/socket.io/?EIO=4&transport=websocket", &[]).await;
                client.hear_until("0{").await;
                client.say("40").await;
                client.hear_until("40{").await;
                client.say(&format!(r#"420["join",{{"room":"{room}"}}]"#)).await;
                client.hear_until("430").await;
                client
            }
        };
        Speaker { dialect: self, client }
    }
}

impl Speaker {
    /// Says `kind` with so many bytes of payload, to the peer `to` or to the room.
    pub async fn say(&mut self, kind: &str, to: &str, size: usize) {
        let filling = "x".repeat(size);
        let text = match self.dialect {
            Dialect::PeerJs => format!(r#"{{"type":"{kind}","dst":"{to}","payload":{{"sdp":"{filling}"}}}}"#),
            Dialect::SocketIo => format!(r#"42["message",{{"type":"{kind}","sdp":"{filling}"}}]"#),
        };
        self.client.say(&text).await;
    }

    /// Waits for a message of this kind.
    pub async fn hear(&mut self, kind: &str) {
        loop {
            let heard = self.client.hear().await;
            if heard.contains(kind) {
                return;
            }
            // Engine.IO asks for a sign of life
            if heard == "2" {
                self.client.say("3").await;
            }
        }
    }
}
