//! The channel of `room:<name>`: every message goes to all other members. Members can appear in the room's presence
//! list.

use std::collections::HashMap;

use compact_str::CompactString;
use serde_json::value::RawValue;

use crate::auth::Access;
use crate::channels::builtin::peer::PeerId;
use crate::channels::channel::Channel;
use crate::channels::context::Context;
use crate::channels::reply::{Join, Reply};
use crate::config::schema::Config;
use crate::message::{Payload, is_reserved};
use crate::refusal::NOT_ALLOWED;

/// The configuration of the rooms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomOptions {
    meta_bytes: usize,
}

impl RoomOptions {
    pub(crate) fn new(config: &Config) -> Self {
        Self { meta_bytes: config.presence.meta_bytes }
    }
}

/// The channel of one member of a room. Its messages:
///
/// - join `{}` -> the client sends and receives messages. With `{"meta": {...}}`, it also appears in the room's
///   presence list and receives it. With `{"presence": true}`, it receives the list without appearing in it.
/// - `update_meta {...}` -> replaces the `meta` of the client's presence entry.
/// - any other event -> is broadcast unchanged to all other members; reply ok. Reserved event names are refused.
pub(crate) struct Room {
    options: RoomOptions,
    listed: bool,
    /// What the client's token permits, if it has one.
    access: Option<Access>,
    /// Whether the client's token lets it only listen.
    is_muted: bool,
    /// Whether tokens are checked, so that only they may say `info`.
    checks_tokens: bool,
}

/// The reply to a join of a client that has a token.
#[derive(serde::Serialize)]
struct Welcome {
    /// In how many seconds the token expires.
    expires_in: u64,
}

#[derive(serde::Deserialize)]
struct JoinParams {
    meta: Option<Box<RawValue>>,
    #[serde(default)]
    presence: bool,
}

impl Room {
    pub(crate) fn new(options: RoomOptions) -> Self {
        Self { options, listed: false, access: None, is_muted: false, checks_tokens: false }
    }

    /// Checks the `meta` of a presence entry: an object of limited size without members that begin with `phx_ref`,
    /// which the presence list adds itself, and without `info` where tokens are checked, which they alone may give.
    fn meta(&self, text: &str) -> Result<Payload, &'static str> {
        let text = text.trim();
        if text.len() > self.options.meta_bytes {
            return Err("meta too large");
        }
        let members: HashMap<String, serde::de::IgnoredAny> = serde_json::from_str(text).map_err(|_| "invalid meta")?;
        // members would hear it as they hear a message
        if !members.is_empty() && self.is_muted {
            return Err(NOT_ALLOWED);
        }
        let is_kept = |key: &String| key.starts_with("phx_ref") || key == "info" && self.checks_tokens;
        if members.keys().any(is_kept) {
            return Err("invalid meta");
        }
        Ok(Payload::from_json_text(match self.access.as_ref().and_then(|access| access.info()) {
            Some(info) if members.is_empty() => format!(r#"{{"info":{info}}}"#),
            Some(info) => format!(r#"{{"info":{info},{}"#, &text[1..]),
            None => text.to_owned(),
        }))
    }

    /// The key of the presence entry: the token's subject, if the token says something about it.
    fn presence_key(&self, ctx: &mut Context<'_>) -> CompactString {
        match self.access.as_ref().filter(|access| access.info().is_some()) {
            Some(access) => access.subject().into(),
            None => PeerId::or_random(ctx.assigns()),
        }
    }
}

impl Channel for Room {
    fn join(&mut self, payload: &Payload, ctx: &mut Context<'_>) -> Join {
        let Ok(params) = payload.parse::<JoinParams>() else { return Join::error("invalid payload") };
        self.access = ctx.access().cloned();
        self.checks_tokens = ctx.checks_tokens();
        let (access, room) = (self.access.as_ref(), ctx.topic().subtopic());
        if access.is_some_and(|access| !access.may_join(room)) {
            return Join::error(NOT_ALLOWED);
        }
        self.is_muted = access.is_some_and(|access| !access.may_publish(room));
        let welcome = ctx.expires_in().map(|expires_in| Welcome { expires_in });
        let accepted = welcome.map_or_else(Join::ok, |welcome| Join::ok_with(&welcome));
        let Some(meta) = params.meta else {
            return if params.presence { accepted.subscribe_presence() } else { accepted };
        };
        match self.meta(meta.get()) {
            Ok(meta) => {
                self.listed = true;
                accepted.subscribe_presence().track(self.presence_key(ctx), meta)
            }
            Err(reason) => Join::error(reason),
        }
    }

    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        if self.is_muted {
            return Reply::error(NOT_ALLOWED);
        }
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
