//! Arbitrary messages in any order, sent to one client's state machine with its protocol and its channels, while the
//! input also decides what the rest of the broker does. `session_model` checks the guarantees.

use std::sync::{Arc, LazyLock};

use super::seeds::conversations;
use super::session_input::{self, Part, parts};
use super::session_model::SessionModel;
use super::{SMALL, Target, engineio, hello, peerjs, phoenix, socketio};
use crate::channels::builtin::routers;
use crate::channels::channel::{Channel, Router};
use crate::channels::context::Context;
use crate::channels::reply::{Join, Reply};
use crate::config::schema::Config;
use crate::message::Payload;
use crate::protocol::{Frame, Protocol};
use crate::protocols::engineio::{self as engine, V3, V4};
use crate::protocols::phoenix::{V1, V2};
use crate::protocols::relay::Relay;
use crate::topic::Realm;

/// Low limits, so that an input reaches them.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let mut config = Config::default();
    let limits = &mut config.limits;
    (limits.joins_per_socket, limits.watches_per_socket, limits.queue_bytes) = (4, 2, 1_024);
    (limits.not_found_burst, limits.joins_burst, limits.tasks_per_socket) = (5, 40, 3);
    config
});

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "session_phoenix",
        run: |data| run_phoenix(parts(data)),
        seeds: || seeds("phoenix"),
        dictionary: phoenix::WORDS,
        max_len: SMALL,
    },
    Target {
        name: "session_phoenix_v1",
        run: |data| run_standard(V1, parts(data)),
        seeds: || seeds("phoenix"),
        dictionary: phoenix::WORDS,
        max_len: SMALL,
    },
    Target {
        name: "session_peerjs",
        run: |data| run_peerjs(parts(data)),
        seeds: || seeds("peerjs"),
        dictionary: peerjs::WORDS,
        max_len: SMALL,
    },
    Target {
        name: "session_hello",
        run: |data| run_hello(parts(data)),
        seeds: || seeds("hello"),
        dictionary: hello::WORDS,
        max_len: SMALL,
    },
    Target {
        name: "session_relay",
        run: |data| run_relay(parts(data)),
        seeds: || seeds("relay"),
        dictionary: &[],
        max_len: SMALL,
    },
    Target {
        name: "session_socketio",
        run: |data| run_socketio(parts(data)),
        seeds: || seeds("socketio"),
        dictionary: socketio::WORDS,
        max_len: SMALL,
    },
    Target {
        name: "session_engineio",
        run: run_engineio,
        seeds: || seeds("engineio"),
        dictionary: engineio::WORDS,
        max_len: SMALL,
    },
];

/// The transcripts, each with several rest-of-the-broker scripts: from immediate replies to none.
fn seeds(protocol: &str) -> Vec<Vec<u8>> {
    // the transcripts' own mount does not exist here: rooms stand for its topics
    let map_topics = |frame: &Frame| match frame {
        Frame::Text(text) => Frame::Text(text.replace("lab:", "room:").into()),
        frame => frame.clone(),
    };
    let all = conversations(protocol);
    let all = all.iter().map(|messages| messages.iter().map(map_topics).collect::<Vec<_>>());
    all.flat_map(|messages| {
        [&b"gm"[..], b"", b"b", b"bgm", b"rm", b"gmet", b"gmf"].map(|events| session_input::write(&messages, events))
    })
    .collect()
}

fn run_standard(protocol: impl Protocol, input: impl Iterator<Item = Part>) {
    run(Realm::Phoenix, Arc::new(routers::standard(&CONFIG)), protocol, input);
}

pub(super) fn run_phoenix(input: impl Iterator<Item = Part>) {
    run_standard(V2, input);
}

pub(super) fn run_peerjs(input: impl Iterator<Item = Part>) {
    let (mount, _) = crate::protocols::peerjs::mount::mount(&CONFIG.peerjs);
    run(Realm::PeerJs, mount.router, peerjs::client(), input);
}

pub(super) fn run_hello(input: impl Iterator<Item = Part>) {
    let (mount, _) = crate::protocols::hello::routes::mount(&CONFIG.hello);
    run(Realm::Hello, mount.router, hello::client(), input);
}

fn run_relay(input: impl Iterator<Item = Part>) {
    let (mount, _) = crate::protocols::relay::mount(&CONFIG.relay);
    run(Realm::Relay, mount.router, Relay::default(), input);
}

/// Runs the same messages with a client of each revision of Engine.IO.
pub(super) fn run_socketio(input: impl Iterator<Item = Part> + Clone) {
    let relay = || Arc::new(routers::relay(&CONFIG));
    run(Realm::SocketIo, relay(), socketio::client::<V4>(), input.clone());
    run(Realm::SocketIo, relay(), socketio::client::<V3>(), input.clone());
    run(Realm::SocketIo, relay(), socketio::client::<engine::V2>(), input);
}

fn run_engineio(data: &[u8]) {
    struct Echo;
    impl Channel for Echo {
        fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
            ctx.broadcast(event, payload.clone());
            Reply::ok()
        }
    }
    let echo = || Arc::new(Router::new().channel("/", |_| Echo));
    run(Realm::EngineIo, echo(), engineio::client::<V4>(), parts(data));
    run(Realm::EngineIo, echo(), engineio::client::<V3>(), parts(data));
    run(Realm::EngineIo, echo(), engineio::client::<engine::V2>(), parts(data));
}

/// Runs channels that await futures wherever they can.
pub(super) fn run_async(input: impl Iterator<Item = Part>) {
    struct Slow;
    impl Channel for Slow {
        fn join(&mut self, payload: &Payload, ctx: &mut Context<'_>) -> Join {
            let refused = *payload != Payload::empty();
            ctx.join_async(async {}, move |_: &mut Self, (), _| if refused { Join::error("no") } else { Join::ok() })
        }

        fn handle_in(&mut self, event: &str, _: &Payload, ctx: &mut Context<'_>) -> Reply {
            let request = ctx.request_ref();
            match event {
                "reply" => ctx.reply_async(async {}, |_: &mut Self, (), _| Reply::ok()),
                "twice" => ctx.reply_async(async {}, |_: &mut Self, (), ctx| {
                    ctx.reply_async(async {}, |_: &mut Self, (), _| Reply::ok())
                }),
                "stop" => ctx.reply_async(async {}, |_: &mut Self, (), ctx| {
                    ctx.stop();
                    Reply::ok()
                }),
                "spawn" => match ctx.spawn(async {}, |_: &mut Self, (), ctx| ctx.reply(request, Reply::ok())) {
                    Ok(()) => Reply::NoReply,
                    Err(error) => Reply::error(error.reason()),
                },
                _ => Reply::ok(),
            }
        }
    }
    run(Realm::Phoenix, Arc::new(Router::new().channel("slow:*", |_| Slow)), V2, input);
}

fn run<P: Protocol>(realm: Realm, router: Arc<Router>, protocol: P, input: impl Iterator<Item = Part>) {
    let mut model = SessionModel::new(realm, router, &CONFIG.limits, protocol);
    model.run_effects();
    for part in input {
        match part {
            Part::Message(frame) => model.receive(&frame),
            Part::Events(events) => events.iter().for_each(|event| model.event(*event)),
        }
        model.check();
        if model.is_closed {
            break;
        }
    }
    model.settle();
    model.end();
}
