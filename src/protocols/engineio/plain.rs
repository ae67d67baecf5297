//! Plain Engine.IO, without Socket.IO. Each client joins the one topic `/` when it connects. A message from the client
//! is a push of the event `message`, and the client receives the topic's pushes and broadcasts as messages.
//!
//! A text message becomes a JSON string as payload, and a JSON string is sent as a text message. Other JSON is sent as
//! its JSON text, and bytes as a binary message. Engine.IO has no event names and no replies, so neither is sent. The
//! connection closes when the join is refused or the channel leaves.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;

use super::{EncodedMessage, MESSAGE, MessageCodec, routes};
use crate::close;
use crate::config::schema::Limits;
use crate::http::acceptor::ProtocolMount;
use crate::json::push_string;
use crate::message::{Broadcast, Inbound, Outbound, Payload, Request, Status};
use crate::protocol::{Decoded, Malformed, Unencodable};
use crate::topic::Realm;

/// The key of the only topic.
static TOPIC: LazyLock<String> = LazyLock::new(|| Realm::EngineIo.key("/"));
const EVENT: &str = "message";

pub(crate) const MOUNT: ProtocolMount = ProtocolMount {
    realm: Realm::EngineIo,
    timeouts: routes::timeouts,
    routes: routes::routes::<Plain>,
    cors: Some(routes::cors_rule),
};

/// The codec of plain text and bytes.
pub(crate) struct Plain {
    /// Whether the join has yet to be requested.
    needs_join: bool,
    /// Whether the connection is to be closed, because the client is not on the topic any more.
    is_closing: bool,
}

impl MessageCodec for Plain {
    fn new(_: u8, _: &Limits) -> Self {
        Self { needs_join: true, is_closing: false }
    }

    fn text<'a>(&'a mut self, text: &'a str) -> Result<Option<Decoded<'a>>, Malformed> {
        let mut json = String::with_capacity(text.len() + 2);
        push_string(&mut json, text);
        Ok(Some(push(Payload::Json(json.into()))))
    }

    fn bytes(&mut self, bytes: Bytes) -> Result<Option<Decoded<'_>>, Malformed> {
        Ok(Some(push(Payload::Binary(bytes))))
    }

    fn next_step(&mut self) -> Option<Decoded<'static>> {
        if self.is_closing {
            return Some(Decoded::Close(&close::REFUSED));
        }
        std::mem::take(&mut self.needs_join).then(|| request(Request::Join(Payload::empty())))
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<EncodedMessage>, Unencodable> {
        match outbound {
            Outbound::Push { payload, .. } => encode_payload(payload).map(Some),
            // only the join has a `ref`
            Outbound::Reply { reference: Some(_), status: Status::Ok, .. } => Ok(None),
            Outbound::Reply { reference: Some(_), .. } | Outbound::Close { .. } | Outbound::Error { .. } => {
                self.is_closing = true;
                Ok(None)
            }
            Outbound::Reply { .. } | Outbound::Alive { .. } => Ok(None),
        }
    }

    fn encode_broadcast(broadcast: &Broadcast) -> Option<EncodedMessage> {
        encode_payload(&broadcast.payload).ok()
    }
}

fn push(payload: Payload) -> Decoded<'static> {
    request(Request::Push(EVENT.into(), payload))
}

fn request(request: Request<'static>) -> Decoded<'static> {
    let reference = matches!(request, Request::Join(_)).then_some("join".into());
    Decoded::Request(Inbound { topic: Cow::Borrowed(TOPIC.as_str()), join_ref: None, reference, request })
}

fn encode_payload(payload: &Payload) -> Result<EncodedMessage, Unencodable> {
    match payload {
        Payload::Json(json) => {
            let text = match serde_json::from_str::<Cow<'_, str>>(json) {
                Ok(text) => text,
                Err(_) => Cow::Borrowed(&**json),
            };
            let mut packet = String::with_capacity(text.len() + 1);
            packet.push(MESSAGE);
            packet.push_str(&text);
            Ok(EncodedMessage::Text(packet))
        }
        Payload::Binary(bytes) => Ok(EncodedMessage::Bytes(bytes.clone())),
        Payload::Attached(..) => Err(Unencodable),
    }
}
