//! An echo server: each WebSocket message comes back as it was sent, text as text and binary data as binary data. The
//! Autobahn test suite can run against it, because its limits allow what that sends.
//!
//! ```sh
//! cargo run --example echo
//! ```

use std::time::Duration;

use handclasp::message::{Broadcast, Outbound};
use handclasp::protocol::{Decoded, Frame, Malformed, Protocol, Unencodable};
use handclasp::{Config, Endpoint, Mount, Router};

/// A format in which every message is its own answer. It has no topics.
#[derive(Default)]
struct Echo;

impl Protocol for Echo {
    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        Ok(Some(Decoded::Respond(frame.clone())))
    }

    fn encode(&mut self, _: &Outbound) -> Result<Option<Frame>, Unencodable> {
        Ok(None)
    }

    fn broadcast(_: &Broadcast) -> Option<Frame> {
        None
    }
}

pub fn endpoint(mut config: Config) -> Endpoint {
    let limits = &mut config.limits;
    (limits.bytes_per_second, limits.bytes_burst) = (1_000_000_000, 1_000_000_000);
    (limits.messages_per_second, limits.messages_burst) = (1_000_000, 1_000_000);
    (limits.connects_per_second, limits.connects_burst) = (10_000, 10_000);
    limits.fragments = 100_000;
    let hour = Duration::from_secs(3_600);
    let mount = Mount::new("/echo", Router::new()).message_bytes(16 << 20).join_timeout(hour).idle_timeout(hour);
    Endpoint::new(config).protocol::<Echo>(mount)
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let node = endpoint(Config::default()).start()?;
    println!("ws://{}/echo", node.address());
    node.run_until_signal().await
}
