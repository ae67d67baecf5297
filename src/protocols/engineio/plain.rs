//! Engine.IO by itself: every message is a push of the event `message` to one topic, `/`, that the client is
//! on from the beginning; what the topic's channel pushes and broadcasts is a message back.
//!
//! A message of text is the payload `"text"`, a JSON string, and back; a payload of any other JSON goes out as
//! the text of that JSON, bytes as bytes. An event's name and the answer to a push have no place in
//! Engine.IO, and are left out. A client whose join is refused, or ends, is closed.

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

/// The key of the one topic.
static TOPIC: LazyLock<String> = LazyLock::new(|| Realm::EngineIo.key("/"));
const EVENT: &str = "message";

pub(crate) const MOUNT: ProtocolMount =
    ProtocolMount { realm: Realm::EngineIo, timeouts: routes::timeouts, routes: routes::routes::<Plain> };

/// Text and bytes.
pub(crate) struct Plain {
    greeting: bool,
    over: bool,
}

impl MessageCodec for Plain {
    fn new(_: u8, _: &Limits) -> Self {
        Self { greeting: true, over: false }
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
        if self.over {
            return Some(Decoded::Close(&close::REFUSED));
        }
        std::mem::take(&mut self.greeting).then(|| ask(Request::Join(Payload::empty())))
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<EncodedMessage>, Unencodable> {
        match outbound {
            Outbound::Push { payload, .. } => encoded(payload).map(Some),
            // only the join has a mark
            Outbound::Reply { reference: Some(_), status: Status::Ok, .. } => Ok(None),
            Outbound::Reply { reference: Some(_), .. } | Outbound::Close { .. } | Outbound::Error { .. } => {
                self.over = true;
                Ok(None)
            }
            Outbound::Reply { .. } | Outbound::Alive { .. } => Ok(None),
        }
    }

    fn encode_broadcast(broadcast: &Broadcast) -> Option<EncodedMessage> {
        encoded(&broadcast.payload).ok()
    }
}

fn push(payload: Payload) -> Decoded<'static> {
    ask(Request::Push(EVENT.into(), payload))
}

fn ask(request: Request<'static>) -> Decoded<'static> {
    let reference = matches!(request, Request::Join(_)).then_some("join".into());
    Decoded::Request(Inbound { topic: Cow::Borrowed(TOPIC.as_str()), join_ref: None, reference, request })
}

fn encoded(payload: &Payload) -> Result<EncodedMessage, Unencodable> {
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
