//! Whole conversations: any messages, in any order, into a socket's state machine with its protocol and its channels,
//! while the rest of the world does what it likes. What must hold meanwhile is in `talk`.

use std::sync::{Arc, LazyLock};

use super::seeds::conversations;
use super::talk::TransportHandler;
use super::tape::{self, Part, parts};
use super::{SMALL, Target, engineio, hello, peerjs, phoenix, socketio};
use crate::channels::builtin::routers;
use crate::channels::channel::{Channel, Router};
use crate::channels::context::Context;
use crate::channels::reply::{Join, Reply};
use crate::config::schema::Config;
use crate::message::Payload;
use crate::protocol::{Frame, Protocol};
use crate::protocols::engineio::{V3, V4};
use crate::protocols::phoenix::{V1, V2};
use crate::topic::Realm;

/// What a socket may do, here: little, so that it comes to its limits.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let mut config = Config::default();
    let limits = &mut config.limits;
    (limits.joins_per_socket, limits.watches_per_socket, limits.queue_bytes) = (4, 2, 1_024);
    (limits.not_found_burst, limits.joins_burst, limits.tasks_per_socket) = (5, 40, 3);
    config
});

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "talk_phoenix",
        run: |data| talk_phoenix(parts(data)),
        seeds: || seeds("phoenix"),
        words: phoenix::WORDS,
        most: SMALL,
    },
    Target {
        name: "talk_phoenix_v1",
        run: |data| standard(V1, parts(data)),
        seeds: || seeds("phoenix"),
        words: phoenix::WORDS,
        most: SMALL,
    },
    Target {
        name: "talk_peerjs",
        run: |data| talk_peerjs(parts(data)),
        seeds: || seeds("peerjs"),
        words: peerjs::WORDS,
        most: SMALL,
    },
    Target {
        name: "talk_hello",
        run: |data| talk_hello(parts(data)),
        seeds: || seeds("hello"),
        words: hello::WORDS,
        most: SMALL,
    },
    Target {
        name: "talk_socketio",
        run: |data| talk_socketio(parts(data)),
        seeds: || seeds("socketio"),
        words: socketio::WORDS,
        most: SMALL,
    },
    Target {
        name: "talk_engineio",
        run: talk_engineio,
        seeds: || seeds("engineio"),
        words: engineio::WORDS,
        most: SMALL,
    },
];

/// The transcripts, with a world that answers at once, and with one that takes its time.
fn seeds(protocol: &str) -> Vec<Vec<u8>> {
    // the transcripts' own mount is not there: its topics stand for rooms
    let here = |frame: &Frame| match frame {
        Frame::Text(text) => Frame::Text(text.replace("lab:", "room:").into()),
        frame => frame.clone(),
    };
    let all = conversations(protocol);
    let all = all.iter().map(|said| said.iter().map(here).collect::<Vec<_>>());
    all.flat_map(|said| {
        [&b"gm"[..], b"", b"b", b"bgm", b"rm", b"gmet", b"gmf"].map(|events| tape::write(&said, events))
    })
    .collect()
}

fn standard(protocol: impl Protocol, tape: impl Iterator<Item = Part>) {
    converse(Realm::Phoenix, Arc::new(routers::standard(&CONFIG)), protocol, tape);
}

pub(super) fn talk_phoenix(tape: impl Iterator<Item = Part>) {
    standard(V2, tape);
}

pub(super) fn talk_peerjs(tape: impl Iterator<Item = Part>) {
    let (mount, _) = crate::protocols::peerjs::routes::mount(&CONFIG.peerjs);
    converse(Realm::PeerJs, mount.router, peerjs::client(), tape);
}

pub(super) fn talk_hello(tape: impl Iterator<Item = Part>) {
    let (mount, _) = crate::protocols::hello::routes::mount(&CONFIG.hello);
    converse(Realm::Hello, mount.router, hello::client(), tape);
}

/// The same is said by a new client and by an old one.
pub(super) fn talk_socketio(tape: impl Iterator<Item = Part> + Clone) {
    let relay = || Arc::new(routers::relay());
    converse(Realm::SocketIo, relay(), socketio::client::<V4>(), tape.clone());
    converse(Realm::SocketIo, relay(), socketio::client::<V3>(), tape);
}

fn talk_engineio(data: &[u8]) {
    struct Echo;
    impl Channel for Echo {
        fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
            ctx.broadcast(event, payload.clone());
            Reply::ok()
        }
    }
    let echo = || Arc::new(Router::new().channel("/", |_| Echo));
    converse(Realm::EngineIo, echo(), engineio::client::<V4>(), parts(data));
    converse(Realm::EngineIo, echo(), engineio::client::<V3>(), parts(data));
}

/// Its channel awaits futures whenever it can.
pub(super) fn talk_async(tape: impl Iterator<Item = Part>) {
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
    converse(Realm::Phoenix, Arc::new(Router::new().channel("slow:*", |_| Slow)), V2, tape);
}

fn converse<P: Protocol>(realm: Realm, router: Arc<Router>, protocol: P, tape: impl Iterator<Item = Part>) {
    let mut talk = TransportHandler::new(realm, router, &CONFIG.limits, protocol);
    talk.carry_out();
    for part in tape {
        match part {
            Part::Says(frame) => talk.says(&frame),
            Part::Happens(events) => events.iter().for_each(|event| talk.happens(*event)),
        }
        talk.check();
        if talk.is_over {
            break;
        }
    }
    talk.settle();
    talk.end();
}
