//! A test kit for channels, as Phoenix's `ChannelTest`: clients without network sockets.
//!
//! A [`TestServer`] serves one [`Mount`](crate::Mount) inside the test. Behind it are the registry, sessions, limits
//! and wire format of a real node; only the network is missing. What passes here holds in production. Each `assert_`
//! function waits for what it wants to see, at most five seconds; when it does not come, the test fails and prints
//! what the client has received instead.
//!
//! Tests need an actix system, as `#[actix_web::test]` makes one.
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
