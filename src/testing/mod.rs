//! A test kit for channels, like Phoenix's `ChannelTest`: clients that need no network sockets.
//!
//! A [`TestServer`] serves one [`Mount`](crate::Mount) inside the test, with the registry, sessions, limits and wire
//! format of a real node. Only the network is missing. Each `assert_` function waits up to five seconds for the
//! expected message. When it does not arrive, the test fails and prints the messages that the client has received
//! instead.
//!
//! Tests need an actix system, which `#[actix_web::test]` starts.
//!
//! ```
//! use handclasp::testing::TestServer;
//! use handclasp::{Channel, Context, Mount, Payload, Reply, Router};
//! use serde_json::json;
//!
//! struct Shout;
//!
//! impl Channel for Shout {
//!     fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
//!         ctx.broadcast_from(event, payload.clone());
//!         Reply::ok()
//!     }
//! }
//!
//! # #[actix_web::main]
//! # async fn main() {
//! let server = TestServer::new(Mount::new("/live", Router::new().channel("shout:*", |_| Shout)));
//! let (mut ann, mut ben) = (server.connect().await, server.connect().await);
//! ann.join("shout:a", json!({})).await;
//! ben.join("shout:a", json!({})).await;
//! let push = ann.push("shout:a", "hey", json!({ "you": 1 })).await;
//! ann.assert_reply(push, "ok", json!({})).await;
//! ben.assert_broadcast("shout:a", "hey", json!({ "you": 1 })).await;
//! ann.refute_broadcast("shout:a", "hey").await;
//! # }
//! ```

mod client;
mod received;
mod server;

pub use client::{PushRef, TestClient};
pub use server::{TestConnect, TestServer};
