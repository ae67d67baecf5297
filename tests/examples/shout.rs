//! A channel of one's own: whoever joins `shout:<anything>` is heard by everybody there.
//!
//! ```sh
//! cargo run --example shout
//! ```

use handclasp::{Channel, Config, Context, Endpoint, Mount, Payload, Reply, Router};

/// Says to everybody on the topic what one of them says.
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
