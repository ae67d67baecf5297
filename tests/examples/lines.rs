//! A custom wire format, mounted through the public API: lines of text, `join <room>` and `<room> <text>`.
//!
//! ```sh
//! cargo run --example lines
//! ```

use std::borrow::Cow;

use handclasp::message::{Broadcast, Inbound, Outbound, Request};
use handclasp::protocol::{Decoded, Frame, Malformed, Protocol, Unencodable};
use handclasp::topic::Realm;
use handclasp::{Channel, Config, Context, Endpoint, Mount, Payload, Reply, Router};

/// The format's codec for one client. It needs no state, because each line names its topic.
#[derive(Default)]
struct Lines;

impl Protocol for Lines {
    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        let Frame::Text(line) = frame else { return Err(Malformed) };
        let (word, rest) = line.split_once(' ').ok_or(Malformed)?;
        let (topic, request) = match word {
            "join" => (rest, Request::Join(Payload::empty())),
            topic => (topic, Request::Push("line".into(), Payload::json(&rest)?)),
        };
        let topic = Cow::Owned(Realm::Custom.key(topic));
        Ok(Some(Decoded::Request(Inbound { topic, join_ref: None, reference: None, request })))
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable> {
        let Outbound::Reply { topic, status, .. } = outbound else { return Ok(None) };
        Ok(Some(Frame::Text(format!("{topic}: {}", status.as_str()).into())))
    }

    fn broadcast(broadcast: &Broadcast) -> Option<Frame> {
        let text: String = broadcast.payload.parse().ok()?;
        Some(Frame::Text(format!("{} {text}", broadcast.topic).into()))
    }
}

/// Sends each line to all other members of the room.
struct Room;

impl Channel for Room {
    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        ctx.broadcast_from(event, payload.clone());
        Reply::NoReply
    }
}

pub fn endpoint(config: Config) -> Endpoint {
    Endpoint::new(config).protocol::<Lines>(Mount::new("/lines", Router::new().channel("room:*", |_topic| Room)))
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let node = endpoint(Config::default()).start()?;
    println!("ws://{}/lines", node.address());
    node.run_until_signal().await
}
