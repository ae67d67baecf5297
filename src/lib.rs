//! # Handclasp
//!
//! A topic broker in the style of Phoenix Channels, on actix: the handshake proxy between browsers that
//! want to talk WebRTC, and a server for channels of your own.
//!
//! ```no_run
//! use handclasp::{Channel, Config, Context, Endpoint, Mount, Payload, Reply, Router};
//!
//! /// Says to everybody on the topic what one of them says.
//! struct Shout;
//!
//! impl Channel for Shout {
//!     fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
//!         ctx.broadcast(event, payload.clone());
//!         Reply::ok()
//!     }
//! }
//!
//! #[actix_web::main]
//! async fn main() -> std::io::Result<()> {
//!     let router = Router::new().channel("shout:*", |_topic| Shout);
//!     let node = Endpoint::new(Config::default()).mount(Mount::new("/live", router)).start()?;
//!     println!("ws://{}/live/websocket", node.address());
//!     node.until_signal().await
//! }
//! ```
//!
//! ## The life of one message, from A to B
//!
//! ```text
//!  A ──frame──▶ transport ──▶ protocols/phoenix ──▶ socket ──▶ channels/peer ──▶ pubsub ─┐
//!               (frames)       bytes to words       is A on it?  whose topic?    who is   │
//!                                                   in time?     stamped with A  on it?   │
//!  B ◀─frame── courier ◀──── protocols/phoenix ◀── B's mailbox ◀──────────────────────────┘
//!               (line)        once a format         bounded in bytes and age
//! ```
//!
//! What B's own channel intercepts, and what it is answered, comes from B's socket, through its transport, to the
//! courier as well.
//!
//! ## The rooms of this house
//!
//! | file | what it is for |
//! |---|---|
//! | [`topic`], [`message`], [`close`] | the words of the core: names, what is said, why a connection ends |
//! | [`channel`], `answer`, `context`, `client`, [`channels`] | what a topic does: the trait and the router; what it can say; what it can do; for whom; the standard ones |
//! | [`protocol`], `protocols` | a wire format; those there are, each with its front door |
//! | `socket`, `joining`, `joined`, `rules` | one client's state machine, pure; how it comes to be on a topic; one topic of it; what it may do |
//! | `calls`, `hearing` | how it runs its channels; what they hear besides their own topics, and what waits for whom |
//! | `effect`, `session` | what it wants done; the same, carried out |
//! | `transport`, `transports` | how bytes travel: the seam; the ways there are, and how frames are checked as they arrive |
//! | `registry`, `orders`, `turns` | the one writer of who is where; what it can be told; how much of that may wait |
//! | `table`, `holdings`, `watches`, `rosters`, `presence` | what it keeps: topics, connections, watchers, presence lists |
//! | `claims`, `holds` | whose a name is; signals that wait for somebody to take one |
//! | [`pubsub`] | the handle to topics that everyone holds |
//! | `mail`, `mailbox`, `connection`, `connections`, `allowance` | what a client is told; its queue; its sign of life; all of them, limits and sweep; what one is allowed |
//! | `courier`, `desk`, `line` | who writes to the wires, and brings broadcasts past the sessions; where it is called; what lies between it and a session |
//! | `guests` | connections that are no sockets, and how long they may stay |
//! | `addresses` | what one address may take, remembered over a reconnect |
//! | [`adapter`] | the seam to other nodes |
//! | [`endpoint`], `workers`, `server`, `upgraded`, `node`, `running` | the server: put together, its threads, its routes, its upgraded connections, what its workers share, its end |
//! | [`mount`], `door`, `handshake`, `cors`, `body`, `address`, `page` | who may come in where, and what it brings |
//! | [`config`], `setting`, `written`, `ice`, [`origin`] | every key; what its values look like, and where they stand; servers and web pages |
//! | [`metrics`], [`series`], [`labels`] | what is counted; how; what it is told apart by |
//! | `exposition`, `scrape` | the same as text, with what is asked for besides; the address where it is read |
//! | `rate`, `json`, `signal`, `few` | token buckets, what JSON must be, a signal's ids, tables of few |
//! | `fuzzing` | what fuzzers feed, in tests alone; it lies in `tests/fuzz` |
//!
//! ## Guarantees
//!
//! - A message arrives at most once. From one sender to one topic messages arrive in order.
//! - A push that names a peer is answered with a verdict: in its queue, `peer_not_found`, `overloaded`,
//!   or, with several nodes, `unreachable`, which is not the same as absent.
//! - `ok` to a join means subscribed: what is sent to the topic from then on arrives.
//! - `peer:<id>` has at most one member; an id of version 8 only ever the one who knows its secret.
//! - When a connection ends, however it ends, its topics, names, watches and presence rows are gone.
//! - Nobody hears a topic that they did not join.
//! - A sick backplane never silences the local node: local members come first, the adapter second.

#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

pub mod adapter;
mod address;
mod addresses;
mod allowance;
mod answer;
/// What the micro benches measure: a bench is a crate of its own, and the formats are private.
#[cfg(any(test, feature = "benching"))]
#[doc(hidden)]
#[path = "../tests/bench/micro/steps.rs"]
pub mod benching;
mod body;
mod calls;
pub mod channel;
pub mod channels;
mod claims;
mod client;
pub mod close;
pub mod config;
mod connection;
mod connections;
mod context;
mod cors;
mod courier;
mod desk;
mod door;
mod effect;
pub mod endpoint;
mod exposition;
mod few;
/// What fuzzers feed: a fuzzer is a crate of its own, and the decoders are private.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[path = "../tests/fuzz/targets/mod.rs"]
pub mod fuzzing;
mod guests;
mod handshake;
mod hearing;
mod holdings;
mod holds;
mod ice;
mod joined;
mod joining;
mod json;
pub mod labels;
mod line;
mod mail;
mod mailbox;
pub mod message;
pub mod metrics;
pub mod mount;
mod node;
mod orders;
pub mod origin;
mod page;
mod presence;
pub mod protocol;
mod protocols;
pub mod pubsub;
mod rate;
mod registry;
mod rosters;
mod rules;
mod running;
mod scrape;
pub mod series;
mod server;
mod session;
mod setting;
mod signal;
mod socket;
mod table;
pub mod topic;
mod transport;
mod transports;
mod turns;
mod upgraded;
mod watches;
mod workers;
mod written;

pub use channel::{Channel, Context, Declined, Ended, Join, Reply, Router};
pub use config::Config;
pub use endpoint::Endpoint;
pub use message::Payload;
pub use mount::{ConnectInfo, Connected, Mount, Refusal};
pub use orders::Census;
pub use pubsub::Pubsub;
pub use running::Running;
pub use topic::Topic;

/// The README's examples, compiled with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
