//! `room:<name>`: everybody hears everybody, and may be listed.

use serde_json::value::RawValue;
use std::collections::HashMap;

use crate::channels::builtin::peer::PeerId;
use crate::channels::channel::Channel;
use crate::channels::context::Context;
use crate::channels::reply::{Join, Reply};
use crate::config::schema::Config;
use crate::message::{Payload, is_reserved};

/// What a node's configuration says of rooms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomOptions {
    meta_bytes: usize,
}

impl RoomOptions {
    pub(crate) fn new(config: &Config) -> Self {
        Self { meta_bytes: config.presence.meta_bytes }
    }
}

/// - join `{}` -> hears and speaks. `{"meta": {...}}` -> is also listed in the room's presence, and sees
///   it; `{"presence": true}` -> sees it without being on it.
/// - `update_meta {...}` -> changes one's row.
/// - any other event -> goes to all other members as it is; reply ok. Names that belong to the broker
///   are refused.
pub(crate) struct Room {
    terms: RoomOptions,
    listed: bool,
}

#[derive(serde::Deserialize)]
struct JoinParams {
    meta: Option<Box<RawValue>>,
    #[serde(default)]
    presence: bool,
}

impl Room {
    pub(crate) fn new(terms: RoomOptions) -> Self {
        Self { terms, listed: false }
    }

    /// What may stand on the list: an object of bounded size that does not forge a row's mark.
    fn meta(&self, text: &str) -> Result<Payload, &'static str> {
        if text.len() > self.terms.meta_bytes {
            return Err("meta too large");
        }
        match serde_json::from_str::<HashMap<String, serde::de::IgnoredAny>>(text) {
            Ok(members) if members.keys().all(|key| !key.starts_with("phx_ref")) => {
                Ok(Payload::from_json_text(text.to_owned()))
            }
            _ => Err("invalid meta"),
        }
    }
}

impl Channel for Room {
    fn join(&mut self, payload: &Payload, ctx: &mut Context<'_>) -> Join {
        let Ok(params) = payload.parse::<JoinParams>() else { return Join::error("invalid payload") };
        let Some(meta) = params.meta else {
            return if params.presence { Join::ok().subscribe_presence() } else { Join::ok() };
        };
        match self.meta(meta.get()) {
            Ok(meta) => {
                self.listed = true;
                Join::ok().subscribe_presence().track(PeerId::or_random(ctx.assigns()), meta)
            }
            Err(reason) => Join::error(reason),
        }
    }

    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        if event == "update_meta" {
            return self.update_meta(payload, ctx);
        }
        if is_reserved(event) {
            return Reply::error("reserved event");
        }
        ctx.broadcast_from(event, payload.clone());
        Reply::ok()
    }
}

impl Room {
    fn update_meta(&self, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        let Payload::Json(text) = payload else { return Reply::error("invalid meta") };
        if !self.listed {
            return Reply::error("not listed");
        }
        match self.meta(text) {
            Ok(meta) => match ctx.update_presence(meta) {
                Ok(()) => Reply::ok(),
                Err(error) => Reply::error(error.reason()),
            },
            Err(reason) => Reply::error(reason),
        }
    }
}
