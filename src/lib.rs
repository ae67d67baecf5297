//! # Handclasp
//!
//! A topic broker in the style of Phoenix Channels, built on actix. It is a signalling server for browsers that connect
//! over WebRTC, and a server for channels of your own.
//!
//! ```no_run
//! use handclasp::{Channel, Config, Context, Endpoint, Mount, Payload, Reply, Router};
//!
//! /// Sends every push to all members of the topic.
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
//!     node.run_until_signal().await
//! }
//! ```
//!
//! ## The path of one message, from client A to client B
//!
//! ```text
//!  A ──frame──▶ transport ──▶ protocol ──▶ socket ──▶ channel ──▶ pubsub ─┐
//!               checks the    decodes it   has A      stamps A's  reads the │
//!               frame                      joined?    id on it    topic     │
//!                                          in limits?             table     │
//!  B ◀─frame── flusher ◀── protocol ◀── B's mailbox ◀─────────────────────┘
//!              writes       encodes it   bounded in bytes and age
//!              it           once
//! ```
//!
//! Replies, and broadcasts that B's own channel intercepts, go through B's socket and transport; the same flusher
//! writes them.
//!
//! ## Modules
//!
//! Each module knows only those below it.
//!
//! | module | what it is for |
//! |---|---|
//! | [`testing`] | clients without network sockets, for tests of channels |
//! | [`server`] | the endpoint, its worker threads and routes, the Prometheus listener |
//! | `api` | what a backend asks of the node over HTTP, on a listener of its own: publish, disconnect, list |
//! | `protocols` | the wire formats, each with its HTTP routes: Phoenix, PeerJS, Socket.IO, Engine.IO, HelloWebRTC, the plain relay |
//! | [`http`] | mounts, the checks before an upgrade, client IPs, CORS, idle HTTP connections, static files |
//! | `sessions` | the pure state machine of one client (joins, callbacks, extra subscriptions, limits), and the session that runs its effects |
//! | `transports` | WebSocket and long-polling, behind one trait |
//! | [`channels`] | the [`Channel`] trait and the [`Router`], replies, the callback context, built-in channels |
//! | `cluster` | adapters to other nodes, over an engine such as Redis |
//! | [`broker`] | pubsub, the registry (the single writer of membership), the topic table, presence, the adapter to other nodes |
//! | `webhooks` | what a backend is told of peers and rooms: events, the grace period, delivery |
//! | `connections` | each client's mailbox and limits, all connections of the node, the flusher that writes to their sockets |
//! | `http_client` | requests to the services that an operator configures, such as the receiver of webhooks |
//! | [`metrics`] | metric families, instruments and label values |
//! | [`auth`] | tokens: keys, claims, and what they grant |
//! | [`config`] | the configuration: keys, values and their sources; origins and ICE servers |
//! | [`protocol`], [`message`], [`topic`], [`close`] | the types that the other modules share: the trait of a wire format, messages, topics, close reasons |
//!
//! ## Features
//!
//! All are on by default. A program that embeds the crate usually needs none: `default-features = false`.
//!
//! | feature | what it adds |
//! |---|---|
//! | `cli` | the binary `handclasp`, with its command line, log and allocator |
//! | `page` | the web page, embedded. Without it nothing is served at `/`, and the keys of `[page]` have no effect |
//! | `redis`, `nats` | the engines of a cluster of several nodes, each with its client library. Without both there is no module `cluster` |
//!
//! [`Endpoint::bare`] starts a node without the page, the standard channels and the other protocols.
//!
//! ## Guarantees
//!
//! - A message arrives at most once. From one sender to one topic, messages arrive in order.
//! - A push that names a peer gets a delivery status: delivered to the peer's queue, `peer_not_found`, `overloaded`,
//!   or, with several nodes, `unreachable`. An unreachable peer may be present.
//! - After `ok` to a join, the client is subscribed and receives every later message to the topic, whichever node it is
//!   sent on. The first member of a topic on a node waits until the other nodes reach it.
//! - After the end of a join, which Phoenix reports as `phx_close`, nothing arrives for it.
//! - `peer:<id>` has at most one member. While that member is alive, no other client can join without its secret. An id of
//!   UUID version 8 can be joined only with its secret. On one node, a takeover is one step: no signal finds the id
//!   without a member, and watchers hear nothing. Several nodes have one member together while they reach the directory.
//! - When a connection closes, for whatever reason, its topics, names, watches and presence entries are removed.
//! - A client receives messages only from topics that it has joined.
//! - The messages, bodies and responses that wait on a node fit into `limits.memory_bytes`. A client is a slow consumer
//!   only while its connection accepts nothing. A client that reads is never disconnected as one.
//! - Time in which the node did not run counts against no client.
//! - Several nodes agree again after messages between them were lost: each asks for the presence entries and the owners
//!   of watched names that it may have missed. Lost messages to topics are not repeated.
//! - A broken backplane does not affect local members: they receive a message before the adapter is called.

#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

// the engine in memory of the integration tests names the crate as they do
#[cfg(all(test, feature = "cluster"))]
extern crate self as handclasp;

mod api;
pub mod auth;
pub mod broker;
pub mod channels;
pub mod close;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod config;
mod connections;
pub mod http;
mod http_client;
mod json;
mod memory;
pub mod message;
pub mod metrics;
mod payload;
pub mod protocol;
mod protocols;
mod refusal;
pub mod server;
mod sessions;
mod small_map;
pub mod testing;
pub mod tls;
pub mod topic;
mod transports;
mod wall_clock;
mod webhooks;

/// The operations that the micro benchmarks measure. A benchmark is a separate crate and cannot use private modules.
#[cfg(any(test, feature = "benching"))]
#[doc(hidden)]
#[path = "../tests/bench/micro/steps.rs"]
pub mod benching;

/// The targets of the fuzzers. A fuzzer is a separate crate and cannot use private modules.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[path = "../tests/fuzz/targets/mod.rs"]
pub mod fuzzing;

pub use broker::{Census, ClusterPresence, Pubsub, RegistryStats, SubscribeError, Subscription};
pub use channels::{Channel, Context, Join, LimitError, Reply, Router, TerminateReason};
pub use config::Config;
pub use http::{ConnectError, ConnectInfo, Mount, SocketInit};
pub use message::{Payload, PayloadError};
pub use server::{Endpoint, Node};
pub use topic::Topic;

/// The README's examples, compiled as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
