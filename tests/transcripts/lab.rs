//! The channels of the transcripts' own mounts, `/lab`, `/lab.io` and `/lab.eio`. They do everything that a channel can
//! do, each on an event of its own.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use handclasp::channels::{ChannelHandle, Info, ReplyHandle};
use handclasp::message::Status;
use handclasp::{Channel, Context, Endpoint, Join, Mount, Payload, Reply, Router, SocketInit, Topic};

/// Pending joins, by topic.
type Gates = Arc<Mutex<HashMap<String, ChannelHandle>>>;

/// The mount `/lab`. With the param `id`, the socket's own id is `users:<id>`.
fn mount() -> Mount {
    let gates = Gates::default();
    let router = Router::new()
        .channel("lab:first", |_| First)
        .channel("exact", |_| First)
        .channel("lab:*", move |_| Lab { gates: gates.clone(), does: String::new(), pending_replies: Vec::new() });
    Mount::new("/lab", router).connect(|info| {
        let id = info.param("id").map(|id| Topic::parse(&format!("users:{id}")).unwrap());
        Ok(id.map_or_else(SocketInit::default, |id| SocketInit::default().id(id)))
    })
}

/// The mounts of all protocols. `/lab.io` has the same channels as namespaces.
pub fn mounts(endpoint: Endpoint) -> Endpoint {
    let gates = Gates::default();
    let names = ["/", "/other", "/third", "/fourth", "/wait"];
    let namespaces = names.into_iter().fold(Router::new(), |router, name| {
        let gates = gates.clone();
        router.channel(name, move |_| Lab { gates: gates.clone(), does: String::new(), pending_replies: Vec::new() })
    });
    endpoint
        .mount(mount())
        .socketio(Mount::new("/lab.io", namespaces).message_bytes(65_536))
        .engineio(Mount::new("/lab.eio", Router::new().channel("/", |_| Echo)).message_bytes(65_536))
}

/// Sends every message back.
struct Echo;

impl Channel for Echo {
    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        ctx.push(event, payload.clone());
        Reply::ok()
    }
}

/// Replies to its join, and handles no event.
struct First;

impl Channel for First {
    fn join(&mut self, _: &Payload, _: &mut Context<'_>) -> Join {
        Join::ok_with(object(r#"{"channel":"first"}"#))
    }
}

struct Lab {
    gates: Gates,
    /// What the join payload asked for.
    does: String,
    pending_replies: Vec<ReplyHandle>,
}

#[derive(Default, serde::Deserialize)]
struct JoinParams {
    #[serde(default)]
    does: String,
}

/// Completes a pending join.
struct Open;

impl Channel for Lab {
    fn join(&mut self, payload: &Payload, ctx: &mut Context<'_>) -> Join {
        self.does = payload.parse::<JoinParams>().unwrap_or_default().does;
        match &*self.does {
            "crash" => crash(),
            "refuse" => Join::error("unauthorized"),
            "refuse with nothing" => Join::Error(Payload::empty()),
            "welcome" => Join::ok_with(object(r#"{"hello":"you"}"#)),
            "list" => Join::ok().subscribe_presence().track("ann", object(r#"{"on":"phone"}"#)),
            "wait" => {
                self.gates.lock().unwrap().insert(ctx.topic().to_string(), ctx.channel_handle());
                Join::Pending
            }
            _ => Join::ok(),
        }
    }

    fn after_join(&mut self, ctx: &mut Context<'_>) {
        match &*self.does {
            "greet" => {
                ctx.push("greeting", object(r#"{"n":1}"#));
                ctx.push("greeting", object(r#"{"n":2}"#));
            }
            "announce" => ctx.broadcast("arrived", Payload::empty()),
            "crash once joined" => crash(),
            _ => {}
        }
    }

    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        match event {
            "echo" => return Reply::ok_with(payload.clone()),
            "fail" => return Reply::Reply(Status::Error, payload.clone()),
            "maybe" => return Reply::Reply(Status::Other("maybe"), payload.clone()),
            "ignore" => return Reply::NoReply,
            "boom" => crash(),
            "push" => ctx.push("pushed", payload.clone()),
            "push bytes" => ctx.push("pushed", Payload::Binary(Bytes::from_static(&[0, 255, 7]))),
            "shout" => ctx.broadcast("shouted", payload.clone()),
            "shout to others" => ctx.broadcast_from("shouted", payload.clone()),
            "shout secretly" => ctx.broadcast("secret", payload.clone()),
            "shout in vain" => ctx.broadcast("unheard", payload.clone()),
            "later" => {
                self.pending_replies.push(ctx.reply_handle());
                return Reply::NoReply;
            }
            "now" => self
                .pending_replies
                .drain(..)
                .rev()
                .for_each(|pending_replies| drop(std::thread::spawn(|| pending_replies.reply(late())).join())),
            "open" => {
                // Socket.IO's payloads are lists of arguments
                let one = || payload.parse::<(String,)>().map(|(name,)| name);
                let name = payload.parse::<String>().or_else(|_| one()).unwrap();
                let gate = self.gates.lock().unwrap().remove(&name);
                assert_eq!(gate.unwrap().send(Open), Ok(()));
            }
            "stop" => {
                ctx.stop();
                return Reply::ok_with(payload.clone());
            }
            "stop silently" => {
                ctx.stop();
                return Reply::NoReply;
            }
            _ => return Reply::error("unknown event"),
        }
        Reply::ok()
    }

    fn intercepts(&self) -> &'static [&'static str] {
        &["secret", "unheard"]
    }

    fn handle_out(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) {
        if event == "secret" {
            ctx.push("whispered", payload.clone());
        }
    }

    fn handle_info(&mut self, info: Info, ctx: &mut Context<'_>) {
        if info.is::<Open>() {
            ctx.complete_join(Join::ok());
        }
    }
}

fn late() -> Reply {
    Reply::ok_with(object(r#"{"late":true}"#))
}

fn object(text: &str) -> Payload {
    Payload::json(&serde_json::from_str::<serde_json::Value>(text).unwrap()).unwrap()
}

/// Panics without output, so that the output of the tests stays readable.
fn crash() -> ! {
    resume_unwind(Box::new("boom"))
}
