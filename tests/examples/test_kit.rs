//! A test of a channel without network sockets. In your own crate, write it as an `#[actix_web::test]`.
//!
//! ```sh
//! cargo run --example test_kit
//! ```

use handclasp::testing::TestServer;
use handclasp::{Channel, Context, Join, Mount, Payload, Reply, Router};
use serde_json::json;

struct Chat;

impl Channel for Chat {
    fn join(&mut self, _: &Payload, ctx: &mut Context<'_>) -> Join {
        if ctx.topic().subtopic() == "staff" { Join::error("staff only") } else { Join::ok() }
    }

    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        ctx.broadcast_from(event, payload.clone());
        Reply::ok()
    }
}

pub async fn other_members_receive_a_message() {
    let server = TestServer::new(Mount::new("/live", Router::new().channel("chat:*", |_| Chat)));
    let (mut ann, mut ben) = (server.connect().await, server.connect().await);
    assert_eq!(ann.try_join("chat:staff", json!({})).await, Err(Payload::reason("staff only")));
    ann.join("chat:lobby", json!({})).await;
    ben.join("chat:lobby", json!({})).await;
    let push = ann.push("chat:lobby", "say", json!({ "text": "hi" })).await;
    ann.assert_reply(push, "ok", json!({})).await;
    ben.assert_broadcast("chat:lobby", "say", json!({ "text": "hi" })).await;
    ann.refute_broadcast("chat:lobby", "say").await;
    ben.leave("chat:lobby").await;
    ann.disconnect().await;
}

#[actix_web::main]
async fn main() {
    other_members_receive_a_message().await;
}
