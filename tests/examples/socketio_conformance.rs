//! A server for the public compliance suites of Engine.IO and Socket.IO. It provides the mounts and channels that the
//! suites need, and uses only the crate's public API.
//!
//! ```sh
//! cargo run --example socketio_conformance -- 3000
//! ```
//!
//! - `/engine.io/` sends every message back, text or bytes.
//! - `/socket.io/` has the namespaces `/` and `/custom`. Each first emits `auth` with the client's auth payload. It
//!   answers `message` with `message-back` and the same arguments, and acknowledges `message-with-ack` with its
//!   arguments.
//!
//! It prints its address once it listens, and runs until SIGTERM or SIGINT.

use std::time::Duration;

use handclasp::config::Origins;
use handclasp::{Channel, Config, Context, Endpoint, Join, Mount, Payload, Reply, Router};

// The values that the suites expect of the server.
const PING_INTERVAL: Duration = Duration::from_millis(300);
const PING_TIMEOUT: Duration = Duration::from_millis(200);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
const MOMENT: Duration = Duration::from_millis(20);
const MAX_PAYLOAD: usize = 1_000_000;

/// Sends every message back.
struct Echo;

impl Channel for Echo {
    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        ctx.push(event, payload.clone());
        Reply::NoReply
    }
}

/// One client in one namespace.
#[derive(Default)]
struct Namespace {
    /// The client's auth payload.
    auth: Option<Payload>,
}

impl Channel for Namespace {
    fn join(&mut self, auth: &Payload, _: &mut Context<'_>) -> Join {
        self.auth = Some(auth.clone());
        Join::ok()
    }

    /// Emits `auth` after a short delay. The suites read one message at a time, and lose a second message that arrives
    /// in the same TCP packet.
    fn after_join(&mut self, ctx: &mut Context<'_>) {
        let (channel, auth) = (ctx.channel_handle(), self.auth.take().unwrap_or_else(Payload::empty));
        actix_web::rt::spawn(async move {
            actix_web::rt::time::sleep(MOMENT).await;
            let _ = channel.push("auth", auth); // the client may have disconnected meanwhile
        });
    }

    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        match event {
            "message" => {
                ctx.push("message-back", payload.clone());
                Reply::NoReply
            }
            "message-with-ack" => Reply::ok_with(payload.clone()),
            _ => Reply::error("unknown event"),
        }
    }
}

/// The server, ready to start on this port of 127.0.0.1. Port 0 chooses a free one.
pub fn endpoint(port: u16) -> Endpoint {
    let mut config = Config::default();
    config.server.listen = ([127, 0, 0, 1], port).into();
    config.socket.mounts = Vec::new();
    config.socketio.enabled = false;
    config.page.enabled = false;
    let namespaces = Router::new().channel("/", |_| Namespace::default()).channel("/custom", |_| Namespace::default());
    Endpoint::new(config)
        .engineio(mount("/engine.io", Router::new().channel("/", |_| Echo)))
        .socketio(mount("/socket.io", namespaces))
}

fn mount(path: &str, router: Router) -> Mount {
    Mount::new(path, router)
        .check_origin(Origins::parse(&["any"]).expect("`any` is a valid origin setting"))
        .ping_interval(PING_INTERVAL)
        .idle_timeout(PING_TIMEOUT)
        .join_timeout(CONNECT_TIMEOUT)
        .message_bytes(MAX_PAYLOAD)
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port = match std::env::args().nth(1) {
        None => 3000,
        Some(text) => text.parse().map_err(|_| std::io::Error::other(format!("invalid port: {text:?}")))?,
    };
    let node = endpoint(port).start()?;
    println!("listening on http://{}", node.address());
    node.run_until_signal().await
}
