//! Socket.IO's packets, with the messages of bytes that belong to them, for new clients and old.

use std::sync::LazyLock;

use super::asked::{Asked, Wish, is_same};
use super::seeds::conversations;
use super::tape::{self, Part, parts};
use super::{SMALL, Target};
use crate::config::schema::Limits;
use crate::message::{Outbound, Payload, Status};
use crate::protocol::{Decoded, Frame, Protocol};
use crate::protocols::engineio::{EngineIo, Revision, V3, V4};
use crate::protocols::socketio::SocketIo;
use crate::topic::{Realm, Topic};

/// How large a message may be with all its bytes, here.
const MOST: usize = 2_048;

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
    "/chat?token=a",
    "#room:",
];

pub(super) const TARGETS: &[Target] = &[
    Target { name: "socketio", run: run::<V4>, seeds, words: WORDS, most: SMALL },
    Target { name: "socketio_old", run: run::<V3>, seeds, words: WORDS, most: SMALL },
];

pub(super) fn client<R: Revision>() -> EngineIo<R, SocketIo> {
    static LIMITS: LazyLock<Limits> = LazyLock::new(|| Limits { message_bytes: MOST, ..Limits::default() });
    EngineIo::new(&LIMITS, None)
}

fn seeds() -> Vec<Vec<u8>> {
    conversations("socketio").iter().map(|said| tape::write(said, b"")).collect()
}

/// Every join is let in, and every event sent back: the client reads what it has said.
fn run<R: Revision>(data: &[u8]) {
    let mut client = client::<R>();
    let mut came = 0;
    greet(&mut client);
    for part in parts(data) {
        let Part::Says(frame) = part else { continue };
        came += frame.size();
        match client.decode(&frame) {
            Ok(Some(Decoded::Request(inbound))) => {
                let asked = Asked::of(inbound);
                answer(&mut client, &asked, came);
            }
            Ok(Some(Decoded::Close(_))) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

fn greet<R: Revision>(client: &mut EngineIo<R, SocketIo>) {
    while let Some(step) = client.next_step() {
        let Decoded::Request(inbound) = step else { continue };
        let asked = Asked::of(inbound);
        answer(client, &asked, 0);
    }
}

fn answer<R: Revision>(client: &mut EngineIo<R, SocketIo>, asked: &Asked, came: usize) {
    let Asked { topic: key, join_ref, reference, command } = asked;
    let topic = key.strip_prefix(Realm::SocketIo.prefix()).and_then(|name| Realm::SocketIo.topic(name).ok());
    let status = if topic.is_some() { Status::Ok } else { Status::Error };
    let topic = topic.unwrap_or_else(|| Topic::echo(Realm::SocketIo, key));
    let (join_ref, reference) = (join_ref.clone(), reference.clone());
    match command {
        Wish::Join(auth) => {
            assert!(auth.is_object() && auth.parse::<serde_json::Value>().is_ok(), "{auth:?} is no auth");
            let reply = Outbound::Reply { join_ref, reference, topic, status, payload: Payload::empty() };
            assert!(matches!(client.encode(&reply), Ok(Some(Frame::Text(_)))), "a join without an answer");
        }
        Wish::Push(event, payload) => {
            // at most three times what came, and as many bytes as placeholders
            assert!(payload.len() <= 3 * came + 16, "{} bytes are kept of {came}", payload.len());
            sent_back(client, &topic, event, payload);
            let reply = Outbound::Reply { join_ref, reference, topic, status, payload: payload.clone() };
            assert!(client.encode(&reply).is_ok());
        }
        Wish::Leave => assert!(client.encode(&Outbound::Close { join_ref, topic }).is_ok()),
        Wish::Heartbeat => panic!("socket.io has no heartbeat of its own"),
    }
}

fn sent_back<R: Revision>(client: &mut EngineIo<R, SocketIo>, topic: &Topic, event: &str, payload: &Payload) {
    let push = Outbound::Push { join_ref: None, topic: topic.clone(), event: event.into(), payload: payload.clone() };
    let frames = match client.encode(&push) {
        Ok(Some(Frame::Several(frames))) => frames.to_vec(),
        Ok(Some(frame)) => vec![frame],
        other => panic!("{other:?} instead of an event"),
    };
    let (last, before) = frames.split_last().expect("an event is a message at least");
    for frame in before {
        assert!(matches!(client.decode(frame), Ok(None)), "{frame:?} of {frames:?}");
    }
    match client.decode(last) {
        Ok(Some(Decoded::Request(inbound))) => {
            let again = Asked::of(inbound);
            assert_eq!((&*again.topic, &again.reference), (topic.key(), &None));
            let Wish::Push(name, arguments) = again.command else { panic!("{again:?} instead of an event") };
            assert!(name == event && is_same(&arguments, payload), "{arguments:?} of {name} instead of {payload:?}");
        }
        other => panic!("{other:?} of {frames:?}"),
    }
}
