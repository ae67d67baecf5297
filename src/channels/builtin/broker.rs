//! The channel of `broker:match`, which assigns random ids. Clients of the original application call it first.

use compact_str::{CompactString, ToCompactString};
use uuid::Uuid;

use crate::channels::channel::Channel;
use crate::channels::context::Context;
use crate::channels::reply::{Join, Reply};
use crate::message::Payload;

/// The only subtopic that can be joined. The refusal of any other uses the original application's text.
const MATCH: &str = "match";

/// Replies to `register {}` with ok `{id}`, and pushes `registered {id}` with the same random (v4) UUID.
pub(crate) struct Broker;

#[derive(serde::Serialize)]
struct Registered {
    id: CompactString,
}

impl Channel for Broker {
    fn join(&mut self, _: &Payload, ctx: &mut Context<'_>) -> Join {
        if ctx.topic().subtopic() == MATCH { Join::ok() } else { Join::error("Invalid subchannel") }
    }

    fn handle_in(&mut self, event: &str, _: &Payload, ctx: &mut Context<'_>) -> Reply {
        if event != "register" {
            return Reply::error("unknown event");
        }
        let registered = Payload::from(&Registered { id: Uuid::new_v4().to_compact_string() });
        ctx.push("registered", registered.clone());
        Reply::ok_with(registered)
    }
}
