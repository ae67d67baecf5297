//! Payloads as Rust types: incoming payloads are parsed, and outgoing ones are serialised.
//!
//! ```sh
//! cargo run --example typed
//! ```

use handclasp::{Channel, Config, Context, Endpoint, Mount, Payload, Reply, Router};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Step {
    by: i64,
}

#[derive(Serialize)]
struct Position {
    at: i64,
}

struct Walk(i64);

impl Channel for Walk {
    fn handle_in(&mut self, _: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        match payload.parse::<Step>() {
            Ok(step) => self.0 += step.by,
            Err(error) => return Reply::error(error.reason()),
        }
        ctx.broadcast_from("moved", &Position { at: self.0 });
        Reply::ok_with(&Position { at: self.0 })
    }
}

pub fn mount() -> Mount {
    Mount::new("/live", Router::new().channel("walk:*", |_| Walk(0)))
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    Endpoint::new(Config::default()).mount(mount()).start()?.run_until_signal().await
}
