//! A plain relay over WebSockets: each message of a client goes to all other clients of the relay, as it is.
//!
//! This is what the smallest signalling servers do, with `clients.forEach((other) => other.send(message))`. Text is sent
//! as text and bytes as bytes, like by the servers of the npm package `ws` before version 8. There is nothing else: no
//! ids, no rooms, no replies. All clients join one topic when they connect. A message that is refused, because its
//! client sends too fast, is counted, and its client is not told.

use std::borrow::Cow;
use std::sync::LazyLock;

use actix_web::web::ServiceConfig;
use bytestring::ByteString;

use super::upgrade::open;
use crate::channels::channel::{Channel, Router};
use crate::channels::context::Context;
use crate::channels::reply::Reply;
use crate::close;
use crate::config::schema::{self, Config};
use crate::connections::limits::Timeouts;
use crate::http::acceptor::{Acceptor, ProtocolMount, pinged_timeouts};
use crate::http::methods;
use crate::http::mount::Mount;
use crate::message::{Broadcast, Inbound, Outbound, Payload, Request, Status};
use crate::protocol::{Decoded, Frame, Malformed, Protocol, Unencodable};
use crate::topic::Realm;

/// The only topic.
const TOPIC: &str = "everybody";
static KEY: LazyLock<String> = LazyLock::new(|| Realm::Relay.key(TOPIC));
/// The events of the two kinds of messages. The payload is the message's bytes, which nothing reads.
const TEXT: &str = "text";
const BYTES: &str = "bytes";

pub(crate) const MOUNT: ProtocolMount = ProtocolMount { realm: Realm::Relay, timeouts, routes, cors: None };

/// The standard mount.
pub(crate) fn mount(config: &schema::Relay) -> (Mount, ProtocolMount) {
    let router = Router::new().channel(TOPIC, |_| RelayChannel);
    (Mount::new(&config.path, router).check_origin(config.check_origin.clone()), MOUNT)
}

fn timeouts(mount: &Mount, config: &Config) -> Timeouts {
    let schema::Relay { ping_interval, ping_timeout, .. } = config.relay;
    pinged_timeouts(mount, ping_interval, ping_timeout, config.socket.join_timeout)
}

fn routes(acceptor: &Acceptor, app: &mut ServiceConfig) {
    for slash in ["", "/"] {
        let own = acceptor.clone();
        let open = move |request, payload| open(own.clone(), request, payload, Relay::default());
        app.service(methods::readable(&format!("{}{slash}", acceptor.path()), open));
    }
}

/// The channel of all clients.
struct RelayChannel;

impl Channel for RelayChannel {
    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        ctx.broadcast_from(event, payload.clone());
        Reply::NoReply
    }
}

/// The protocol state of one client.
#[derive(Default)]
pub(crate) struct Relay {
    has_requested_join: bool,
    /// Whether the connection is to be closed, because the client is not on the topic.
    is_closing: bool,
}

impl Protocol for Relay {
    const PINGED_BY_TRANSPORT: bool = true;

    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        let (event, bytes) = match frame {
            Frame::Text(text) => (TEXT, text.as_bytes().clone()),
            Frame::Binary(bytes) => (BYTES, bytes.clone()),
            Frame::Several(_) => return Err(Malformed),
        };
        Ok(Some(request(Request::Push(event.into(), Payload::Binary(bytes)))))
    }

    fn next_step(&mut self) -> Option<Decoded<'static>> {
        if self.is_closing {
            return Some(Decoded::Close(&close::OVERLOADED));
        }
        let has_joined = std::mem::replace(&mut self.has_requested_join, true);
        (!has_joined).then(|| request(Request::Join(Payload::empty())))
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable> {
        match outbound {
            Outbound::Push { event, payload, .. } => return encode(event, payload).map(Some).ok_or(Unencodable),
            // only the join has a `ref`
            Outbound::Reply { reference: Some(_), status: Status::Error, .. }
            | Outbound::Close { .. }
            | Outbound::Error { .. } => self.is_closing = true,
            Outbound::Reply { .. } | Outbound::Alive { .. } => {}
        }
        Ok(None)
    }

    fn broadcast(Broadcast { event, payload, .. }: &Broadcast) -> Option<Frame> {
        encode(event, payload)
    }
}

fn request(request: Request<'static>) -> Decoded<'static> {
    let reference = matches!(request, Request::Join(_)).then_some("join".into());
    Decoded::Request(Inbound { topic: Cow::Borrowed(KEY.as_str()), join_ref: None, reference, request })
}

fn encode(event: &str, payload: &Payload) -> Option<Frame> {
    match payload {
        Payload::Json(text) => Some(Frame::Text(text.clone())),
        Payload::Binary(bytes) if event == TEXT => ByteString::try_from(bytes.clone()).ok().map(Frame::Text),
        Payload::Binary(bytes) => Some(Frame::Binary(bytes.clone())),
        Payload::Attached(..) => None,
    }
}
