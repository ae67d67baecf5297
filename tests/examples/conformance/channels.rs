//! The channels that Phoenix's integration tests need.

use handclasp::{Channel, Context, Join, Payload, Reply, TerminateReason};
use serde_json::{Map, Value, json};

use super::connect::Assigned;

/// The channel of `room:*`. Members receive `user_entered` for each join, and all messages.
#[derive(Default)]
pub struct Room {
    /// The user name in the client's join params.
    user: Value,
}

impl Channel for Room {
    fn join(&mut self, payload: &Payload, _: &mut Context<'_>) -> Join {
        let params: Map<String, Value> = payload.parse().unwrap_or_default();
        self.user = params.get("user").cloned().unwrap_or_default();
        Join::ok()
    }

    fn after_join(&mut self, ctx: &mut Context<'_>) {
        ctx.broadcast("user_entered", json!({ "user": self.user }));
        let mut joined = json!({ "status": "connected" });
        if let (Some(joined), Ok(Value::Object(assigned))) =
            (joined.as_object_mut(), serde_json::to_value(ctx.assigns().get::<Assigned>()))
        {
            joined.extend(assigned);
        }
        ctx.push("joined", joined);
    }

    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        match (event, payload) {
            ("new_msg", _) => {
                ctx.broadcast("new_msg", payload.clone());
                // over long polling, the tests expect no reply
                if ctx.transport() == "websocket" { Reply::ok() } else { Reply::NoReply }
            }
            ("boom", _) => panic!("boom"),
            ("binary_event", Payload::Binary(data)) => {
                ctx.push("binary_event", Payload::binary(vec![0, 1]));
                Reply::ok_with(Payload::binary([data, &[3, 4][..]].concat()))
            }
            ("bin", Payload::Binary(_)) => {
                ctx.broadcast("bin_ack", Payload::empty());
                Reply::NoReply
            }
            _ => Reply::error("unknown event"),
        }
    }

    fn intercepts(&self) -> &'static [&'static str] {
        &["new_msg", "bin_ack"]
    }

    fn handle_out(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) {
        let mut message: Map<String, Value> = payload.parse().unwrap_or_default();
        message.insert("transport".into(), format!(":{}", ctx.transport()).into());
        ctx.push(event, Value::from(message));
    }

    fn terminate(&mut self, _: TerminateReason, ctx: &mut Context<'_>) {
        if ctx.transport() == "websocket" {
            ctx.push("you_left", json!({ "message": "bye!" }));
        }
    }
}

/// A channel that never decides its join, so that its client's requests to the topic wait. Other clients are not
/// affected.
pub struct Hang;

impl Channel for Hang {
    fn join(&mut self, _: &Payload, _: &mut Context<'_>) -> Join {
        Join::Pending
    }
}

/// The channel of `custom:*`. The client's params determine the result of its join.
pub struct Custom;

impl Channel for Custom {
    fn join(&mut self, payload: &Payload, _: &mut Context<'_>) -> Join {
        let params: Map<String, Value> = payload.parse().unwrap_or_default();
        match params.get("action").and_then(Value::as_str) {
            Some("ok") => Join::ok_with(json!({ "action": "ok" })),
            Some("ignore") => Join::error_with(json!({ "action": "ignore" })),
            _ => panic!("oops"),
        }
    }

    fn handle_in(&mut self, event: &str, _: &Payload, ctx: &mut Context<'_>) -> Reply {
        if event == "close" {
            ctx.stop();
        }
        Reply::NoReply
    }
}
