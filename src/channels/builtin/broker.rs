//! `broker:match`: hands out ids. The original application's way in.

use compact_str::{CompactString, ToCompactString};
use uuid::Uuid;

use crate::channels::channel::Channel;
use crate::channels::context::Context;
use crate::channels::reply::{Join, Reply};
use crate::message::Payload;

/// Any other subtopic is refused with the original's words.
const MATCH: &str = "match";

/// - `register {}` -> reply ok `{id}`, and the push `registered {id}` with the same random (v4) UUID.
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
