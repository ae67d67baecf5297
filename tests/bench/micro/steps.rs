//! The steps that the micro benches measure: a message is decoded, routed to the members of its topic, and encoded,
//! without any input or output. The wire formats are private to the crate, so this module is part of it, for the
//! benches only.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use actix::Arbiter;
use actix_web::rt::{System, time::sleep};

use crate::broker::adapter::LocalAdapter;
use crate::broker::pubsub::Pubsub;
use crate::broker::registry::command::Subscribe;
use crate::config::schema::{Config, Limits};
use crate::connections::connection::{Connection, ConnectionId};
use crate::connections::limits::{ConnectionLimits, QueueLimit, Timeouts};
use crate::connections::mailbox::Batch;
use crate::connections::token_bucket::{Rate, SharedTokenBucket};
use crate::memory::MemoryBudget;
use crate::message::{Broadcast, JoinId, Membership, Payload, Request};
use crate::metrics::families::Metrics;
use crate::protocol::{Decoded, Delivery, Frame, Protocol};
use crate::protocols::engineio::{EngineIo, V4};
use crate::protocols::hello::Hello;
use crate::protocols::peerjs::PeerJs;
use crate::protocols::phoenix::{V1, V2};
use crate::protocols::socketio::SocketIo;
use crate::topic::{Realm, Topic};

/// One step, which can be repeated.
pub type Run = Box<dyn FnMut()>;

/// The wire formats, by name.
pub const FORMATS: [&str; 5] = ["phoenix", "phoenix_v1", "peerjs", "socketio", "hello"];

/// About what a WebRTC candidate contains.
const CANDIDATE: &str =
    "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag EEtu";

/// Decodes a message in this format.
#[must_use]
pub fn decode(format: &str) -> Run {
    match format {
        "phoenix" => decode_step(V2, &phoenix()),
        "phoenix_v1" => decode_step(V1, &phoenix_v1()),
        "peerjs" => decode_step(peer(), &peerjs_message()),
        "socketio" => decode_step(engineio(), &event()),
        _ => decode_step(hello(), &unicast()),
    }
}

/// Encodes a broadcast in this format, for all clients of the protocol.
#[must_use]
pub fn encode(format: &str) -> Run {
    match format {
        "phoenix" => encode_step(V2, &phoenix()),
        "phoenix_v1" => encode_step(V1, &phoenix_v1()),
        "peerjs" => encode_step(peer(), &peerjs_message()),
        "socketio" => encode_step(engineio(), &event()),
        _ => encode_step(hello(), &unicast()),
    }
}

/// Finds the members of a topic, puts a message into the mailbox of each, and takes it out again.
///
/// # Panics
/// If the registry does not accept this many members.
#[must_use]
pub fn route(members: u32) -> Run {
    let system = System::new();
    let topic = Topic::of("room:", "micro");
    let (pubsub, mailboxes) = system.block_on(room(&topic, members));
    let broadcast = Broadcast { topic, event: "message".into(), payload: Payload::reason(CANDIDATE) };
    let mut batch = Batch::new();
    Box::new(move || {
        let _system = &system;
        pubsub.publish(&Arc::new(Delivery::new(broadcast.clone())), None, Instant::now());
        for connection in &mailboxes {
            connection.mailbox.drain(&mut batch, Waker::noop());
            black_box::<&Batch>(&batch);
            batch.clear();
        }
    })
}

async fn room(topic: &Topic, members: u32) -> (Pubsub, Vec<Arc<Connection>>) {
    let config = Config::default();
    let (pubsub, _died) = Pubsub::start(&config, Arc::new(LocalAdapter), &Arbiter::current())
        .expect("a single node needs nothing to start");
    let connections: Vec<_> = (0..members).map(|number| Arc::new(connection(number))).collect();
    for connection in &connections {
        let (connection, topic) = (connection.clone(), topic.clone());
        let membership = Membership::default();
        let permit = pubsub.budget().take(topic.key().len()).expect("the queue has room for these joins");
        pubsub.add_member(Subscribe { connection, join: JoinId(0), topic, membership, replaces: None }, permit);
    }
    while pubsub.count(topic.as_str()) < members as usize {
        sleep(Duration::from_millis(1)).await;
    }
    (pubsub, connections)
}

fn connection(number: u32) -> Connection {
    let timeouts = Timeouts { idle: Duration::MAX, join: Duration::MAX, ping_interval: None };
    let queue = QueueLimit { bytes: usize::MAX, age: Duration::MAX };
    let connection_limits =
        Arc::new(ConnectionLimits { timeouts, queue, clock: Arc::default(), memory: MemoryBudget::new(0) });
    let not_found = Arc::new(SharedTokenBucket::full(Rate::per_minute(1, 1), Instant::now()));
    Connection::new(ConnectionId(number.into()), Ipv4Addr::LOCALHOST.into(), connection_limits, not_found)
}

fn decode_step<P: Protocol>(mut protocol: P, text: &str) -> Run {
    let frame = Frame::Text(text.into());
    run_first_steps(&mut protocol, &frame);
    Box::new(move || drop(black_box(protocol.decode(black_box(&frame)))))
}

fn encode_step<P: Protocol>(mut protocol: P, text: &str) -> Run {
    let frame = Frame::Text(text.into());
    run_first_steps(&mut protocol, &frame);
    let Ok(Some(Decoded::Request(inbound))) = protocol.decode(&frame) else {
        panic!("a message can be decoded: {text}")
    };
    let Request::Push(event, payload) = inbound.request else { panic!("not a push: {text}") };
    let (topic, event) = (Topic::of("", "room:micro"), event.as_ref().into());
    let broadcast = Broadcast { topic, event, payload };
    Box::new(move || drop(black_box(P::broadcast(black_box(&broadcast)))))
}

/// Sends what the protocol requires before the first message.
fn run_first_steps<P: Protocol>(protocol: &mut P, frame: &Frame) {
    for frame in [&Frame::Text("40".into()), frame] {
        let _ = protocol.decode(frame);
        while protocol.next_step().is_some() {}
    }
}

fn peer() -> PeerJs {
    PeerJs::new(Realm::PeerJs.topic("a").expect("a name"), "token", None, Arc::new(Metrics::default()))
}

fn engineio() -> EngineIo<V4, SocketIo> {
    EngineIo::new(&Limits::default(), None)
}

fn hello() -> Hello {
    Hello::new(Arc::new(Metrics::default()))
}

fn phoenix() -> String {
    format!(
        r#"["3","17","peer:5a1b0c1e-32f7-4d05-9f6a-0d9e1c2b3a4f","candidate",{{"peer_id":"b","candidate":"{CANDIDATE}"}}]"#
    )
}

fn phoenix_v1() -> String {
    let topic = "peer:5a1b0c1e-32f7-4d05-9f6a-0d9e1c2b3a4f";
    let payload = format!(r#"{{"peer_id":"b","candidate":"{CANDIDATE}"}}"#);
    format!(r#"{{"topic":"{topic}","event":"candidate","payload":{payload},"ref":"17"}}"#)
}

fn peerjs_message() -> String {
    format!(r#"{{"type":"CANDIDATE","dst":"b","payload":{{"candidate":"{CANDIDATE}"}}}}"#)
}

fn event() -> String {
    format!(r#"42["message",{{"candidate":"{CANDIDATE}"}}]"#)
}

fn unicast() -> String {
    let content = format!(r#"{{"contentType":"candidate","body":"{CANDIDATE}"}}"#);
    format!(r#"{{"to":"b","from":"a","messageType":"unicast","content":{content}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_can_be_repeated() {
        let steps = FORMATS.into_iter().flat_map(|format| [decode(format), encode(format)]).chain([route(1), route(3)]);
        for mut step in steps {
            step();
            step();
        }
    }
}
