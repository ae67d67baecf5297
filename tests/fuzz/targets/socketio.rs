//! Socket.IO packets and their binary attachments, for Engine.IO v4, v3 and v2 clients.

use std::sync::LazyLock;

use super::request::{Command, OwnedRequest, is_same};
use super::seeds::conversations;
use super::session_input::{self, Part, parts};
use super::{SMALL, Target};
use crate::config::schema::Limits;
use crate::message::{Outbound, Payload, Status};
use crate::protocol::{Decoded, Frame, Protocol};
use crate::protocols::engineio::{EngineIo, Revision, V2, V3, V4};
use crate::protocols::socketio::SocketIo;
use crate::topic::{Realm, Topic};

/// The maximum size of a message with its attachments, for this target.
const MAX_MESSAGE: usize = 2_048;

pub(super) const WORDS: &[&str] = &[
    "40",
    "40/chat,",
    "41/chat,",
    "42[\"e\",",
    "421[\"e\",",
    "431[",
    "451-[\"e\",",
    "452-/chat,7[\"e\",",
    "461-1[",
    "{\"_placeholder\":true,\"num\":0}",
    "{\"_placeholder\":true,\"num\":1}",
    "\"message\"",
    "\"join\"",
    "\"signal\"",
    "\"enter\"",
    "\"ice\"",
    "\"sendto\":",
    "/chat?token=a",
    "#room:",
];

pub(super) const TARGETS: &[Target] = &[
    Target { name: "socketio", run: run::<V4>, seeds, dictionary: WORDS, max_len: SMALL },
    Target { name: "socketio_v3", run: run::<V3>, seeds, dictionary: WORDS, max_len: SMALL },
    Target { name: "socketio_v2", run: run::<V2>, seeds, dictionary: WORDS, max_len: SMALL },
];

pub(super) fn client<R: Revision>() -> EngineIo<R, SocketIo> {
    static LIMITS: LazyLock<Limits> = LazyLock::new(|| Limits { message_bytes: MAX_MESSAGE, ..Limits::default() });
    EngineIo::new(&LIMITS, None)
}

fn seeds() -> Vec<Vec<u8>> {
    conversations("socketio").iter().map(|messages| session_input::write(messages, b"")).collect()
}

/// Accepts every join, and sends every event back: the client must decode what it sent.
fn run<R: Revision>(data: &[u8]) {
    let mut client = client::<R>();
    let mut received = 0;
    run_first_steps(&mut client);
    for part in parts(data) {
        let Part::Message(frame) = part else { continue };
        received += frame.size();
        match client.decode(&frame) {
            Ok(Some(Decoded::Request(inbound))) => {
                let request = OwnedRequest::of(inbound);
                // at most three times the input, and as many placeholders as attachments
                reply_to(&mut client, &request, 3 * received + 16);
            }
            Ok(Some(Decoded::Close(_))) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

fn run_first_steps<R: Revision>(client: &mut EngineIo<R, SocketIo>) {
    while let Some(step) = client.next_step() {
        let Decoded::Request(inbound) = step else { continue };
        let request = OwnedRequest::of(inbound);
        reply_to(client, &request, 16);
    }
}

/// Replies to a request of any version. An event keeps at most `max_bytes`.
pub(super) fn reply_to(client: &mut impl Protocol, request: &OwnedRequest, max_bytes: usize) {
    let OwnedRequest { topic: key, join_ref, reference, command } = request;
    let topic = key.strip_prefix(Realm::SocketIo.prefix()).and_then(|name| Realm::SocketIo.topic(name).ok());
    let status = if topic.is_some() { Status::Ok } else { Status::Error };
    let topic = topic.unwrap_or_else(|| Topic::echo(Realm::SocketIo, key));
    let (join_ref, reference) = (join_ref.clone(), reference.clone());
    match command {
        Command::Join(auth) => {
            assert!(auth.is_object() && auth.parse::<serde_json::Value>().is_ok(), "{auth:?} is not an auth object");
            let reply = Outbound::Reply { join_ref, reference, topic, status, payload: Payload::empty() };
            assert!(matches!(client.encode(&reply), Ok(Some(Frame::Text(_)))), "a join without a reply");
        }
        Command::Push(event, payload) => {
            assert!(payload.len() <= max_bytes, "{} bytes are kept instead of {max_bytes}", payload.len());
            check_echo(client, &topic, event, payload);
            let reply = Outbound::Reply { join_ref, reference, topic, status, payload: payload.clone() };
            assert!(client.encode(&reply).is_ok());
        }
        Command::Leave => assert!(client.encode(&Outbound::Close { join_ref, topic }).is_ok()),
        Command::Heartbeat => panic!("a heartbeat is no request"),
    }
}

fn check_echo(client: &mut impl Protocol, topic: &Topic, event: &str, payload: &Payload) {
    let push = Outbound::Push { join_ref: None, topic: topic.clone(), event: event.into(), payload: payload.clone() };
    let frames = match client.encode(&push) {
        Ok(Some(Frame::Several(frames))) => frames.to_vec(),
        Ok(Some(frame)) => vec![frame],
        other => panic!("{other:?} is not an event"),
    };
    let (last, before) = frames.split_last().expect("an event has at least one frame");
    for frame in before {
        assert!(matches!(client.decode(frame), Ok(None)), "{frame:?} of {frames:?}");
    }
    match client.decode(last) {
        Ok(Some(Decoded::Request(inbound))) => {
            let decoded = OwnedRequest::of(inbound);
            assert_eq!((&*decoded.topic, &decoded.reference), (topic.key(), &None));
            let Command::Push(name, arguments) = decoded.command else { panic!("{decoded:?} is not an event") };
            assert!(name == event && is_same(&arguments, payload), "{arguments:?} of {name} instead of {payload:?}");
        }
        other => panic!("{other:?} of {frames:?}"),
    }
}
