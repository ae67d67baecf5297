//! A custom channel: every message to `shout:<anything>` is broadcast to all members of the topic.
//!
//! ```sh
//! cargo run --example shout
//! ```

use handclasp::{Channel, Config, Context, Endpoint, Mount, Payload, Reply, Router};

/// Broadcasts each message to all members, including the sender.
struct Shout;

impl Channel for Shout {
    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        ctx.broadcast(event, payload.clone());
        Reply::ok()
    }
}

pub fn endpoint(config: Config) -> Endpoint {
    let router = Router::new().channel("shout:*", |_topic| Shout);
    Endpoint::new(config).mount(Mount::new("/live", router))
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let node = endpoint(Config::default()).start()?;
    println!("ws://{}/live/websocket", node.address());
    node.run_until_signal().await
}
