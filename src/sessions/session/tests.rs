//! The order of a session's frames to its client, and what counts against the node's budget.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::time::Duration;

use actix::Arbiter;

use super::*;
use crate::broker::adapter::LocalAdapter;
use crate::channels::channel::{Channel, Router};
use crate::channels::context::Context;
use crate::channels::reply::Reply;
use crate::config::schema::Config;
use crate::connections::hub::{ClientIdentity, Hub, HubLimits};
use crate::connections::ip_limits::IpTable;
use crate::connections::limits::{ConnectionLimits, QueueLimit, Timeouts};
use crate::message::{Broadcast, Inbound, Payload, Request, Status};
use crate::protocol::{Malformed, Unencodable};
use crate::sessions::settings::SocketSettings;
use crate::topic::Realm;

const TOPIC: &str = "room:a";
/// The size of a large payload, in bytes.
const LARGE: usize = 100_000;

struct Room;

impl Channel for Room {
    fn handle_in(&mut self, _: &str, payload: &Payload, _: &mut Context<'_>) -> Reply {
        Reply::ok_with(payload.clone())
    }
}

/// A format whose frames are the names of requests and responses.
struct Words;

impl Protocol for Words {
    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        let request = match frame {
            Frame::Text(text) if &**text == "join" => Request::Join(Payload::empty()),
            Frame::Text(text) if &**text == "push" => Request::Push("event".into(), Payload::empty()),
            Frame::Text(text) if &**text == "large" => Request::Push("event".into(), Payload::binary(vec![0; LARGE])),
            _ => Request::Leave,
        };
        let topic = Cow::Borrowed(TOPIC);
        Ok(Some(Decoded::Request(Inbound { topic, join_ref: None, reference: None, request })))
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable> {
        Ok(Some(word(match outbound {
            Outbound::Close { .. } => "close",
            Outbound::Reply { status: Status::Error, .. } => "error",
            Outbound::Reply { payload, .. } if payload.len() == LARGE => {
                return Ok(Some(Frame::Binary(vec![0; LARGE].into())));
            }
            _ => "reply",
        })))
    }

    fn broadcast(_: &Broadcast) -> Option<Frame> {
        Some(word("broadcast"))
    }
}

fn word(text: &'static str) -> Frame {
    Frame::Text(text.into())
}

#[derive(Default)]
struct Sent(Vec<Frame>);

impl FrameSink for Sent {
    fn send(&mut self, frame: Frame) {
        self.0.push(frame);
    }

    fn close(&mut self, _: &'static Reason) {}
}

fn session() -> Session<Words> {
    let (config, now, long) = (Config::default(), Instant::now(), Duration::from_secs(3600));
    let (pubsub, _) = Pubsub::start(&config, Arc::new(LocalAdapter), &Arbiter::current())
        .expect("a single node needs nothing to start");
    let ip_table = IpTable::new(&config.limits);
    let (address, agent) = (Ipv4Addr::LOCALHOST.into(), &b""[..]);
    let client = ClientIdentity { address, kind: ip_table.kind(agent, agent, ""), polls: false };
    let limits = ConnectionLimits {
        timeouts: Timeouts { idle: long, join: long, ping_interval: None },
        queue: QueueLimit { bytes: config.limits.queue_bytes, age: long },
        clock: pubsub.clock().clone(),
        memory: pubsub.memory().clone(),
    };
    let hub = Hub::new(HubLimits { connections: 1, close_timeout: long }, ip_table);
    let slot = hub.admit(client, Arc::new(limits)).ok().unwrap();
    let router = Arc::new(Router::new().channel("room:*", |_| Room));
    let settings = Arc::new(SocketSettings::new(Realm::Phoenix, router, config.limits));
    let (metrics, budget, connection) = (pubsub.shared_metrics(), pubsub.budget().clone(), slot.connection.clone());
    let socket = Socket::new(settings, metrics, budget, connection, "websocket", Default::default(), now);
    Session::new(socket, Words, pubsub, slot)
}

/// A broadcast that the registry's confirmation of the join follows.
fn broadcast() -> Envelope {
    let topic = Realm::Phoenix.topic(TOPIC).unwrap();
    let broadcast = Broadcast { topic, event: "message".into(), payload: Payload::empty() };
    Envelope::Delivery(JoinId(1), Arc::new(Delivery::new(broadcast)))
}

#[actix_web::test]
async fn a_broadcast_confirms_a_join_but_does_not_follow_its_close() {
    let (mut session, mut sent) = (session(), Sent::default());
    session.frame(&word("join"), &mut sent);
    session.handle_event(broadcast(), &mut sent);
    assert_eq!(sent.0, [word("reply"), word("broadcast")]);

    session.frame(&word("leave"), &mut sent);
    sent.0.clear();
    session.frame(&word("join"), &mut sent);
    session.frame(&word("leave"), &mut sent);
    let Envelope::Delivery(_, delivery) = broadcast() else { unreachable!() };
    session.handle_event(Envelope::Delivery(JoinId(2), delivery), &mut sent);
    assert_eq!(sent.0, [word("reply"), word("reply"), word("close")]);
}

/// What waits for one client alone counts against the budget as what waits for many does.
#[actix_web::test]
async fn a_reply_counts_as_long_as_it_waits() {
    let (mut session, mut sent) = (session(), Sent::default());
    let memory = session.pubsub.memory().clone();
    session.frame(&word("join"), &mut sent);
    session.handle_event(broadcast(), &mut sent);
    let before = memory.used();
    session.frame(&word("large"), &mut sent);
    assert_eq!(memory.used() - before, LARGE);
    sent.0.clear();
    assert_eq!(memory.used(), before);
}

/// Messages to a topic wait while its join is not answered, up to `limits.queue_bytes` for each topic.
#[actix_web::test]
async fn messages_that_wait_for_a_join_count() {
    let (mut session, mut sent) = (session(), Sent::default());
    let (memory, connection) = (session.pubsub.memory().clone(), session.slot.connection.clone());
    session.frame(&word("join"), &mut sent);
    let before = memory.used();
    for _ in 0..3 {
        session.frame(&word("large"), &mut sent);
    }
    assert!(memory.used() - before >= 290_000 && connection.held().0 >= 290_000, "{}", memory.used());
    session.handle_event(broadcast(), &mut sent);
    assert_eq!((sent.0.len(), connection.held().0), (5, 0));
    sent.0.clear();
    assert_eq!(memory.used(), before);
}

/// A node without memory refuses new messages and new clients, and goes on once there is room.
#[actix_web::test]
async fn nothing_is_accepted_without_memory() {
    let (mut session, mut sent) = (session(), Sent::default());
    session.frame(&word("join"), &mut sent);
    session.handle_event(broadcast(), &mut sent);
    sent.0.clear();
    let memory = session.pubsub.memory().clone();
    let all = memory.take(memory.limit());
    session.frame(&word("push"), &mut sent);
    assert_eq!(sent.0, [word("error")]);
    drop(all);
    session.frame(&word("push"), &mut sent);
    assert_eq!(sent.0, [word("error"), word("reply")]);
}
