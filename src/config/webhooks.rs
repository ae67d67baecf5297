//! The values of `[webhooks]`: the secrets that sign requests, the kinds of events, and the topics. The URL is an
//! `https_url`. What follows from the values is in `webhook_checks`.
//!
//! Neither `Debug` nor an error shows a secret.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use toml::de::DeValue;

use crate::config::entries::entries;

/// The maximum number of secrets: the present one and the next, while it is being changed.
const MAX_SECRETS: usize = 2;
/// The prefix and the sizes of a secret, in bytes, as Standard Webhooks 1.0 requires.
const PREFIX: &str = "whsec_";
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The maximum number of patterns, and the maximum length of one, in bytes.
const MAX_TOPICS: usize = 64;
const MAX_TOPIC_BYTES: usize = 255;

/// A secret that signs requests. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Box<[u8]>);

impl SigningSecret {
    /// The bytes behind `whsec_`.
    pub(crate) fn reveal(&self) -> &[u8] {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        SECRET_BYTES.contains(&bytes.len()).then(|| Self(bytes.into()))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A kind of event that `webhooks.events` can name. Others, such as `node_up`, are always sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookEvent {
    /// A name has an owner.
    PeerUp,
    /// A name has had no owner for `webhooks.grace_period`.
    PeerDown,
    /// A room has its first member.
    RoomOccupied,
    /// A room has had no member for `webhooks.grace_period`.
    RoomVacated,
}

impl HookEvent {
    const ALL: [Self; 4] = [Self::PeerUp, Self::PeerDown, Self::RoomOccupied, Self::RoomVacated];

    /// The word in the configuration and in requests.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PeerUp => "peer_up",
            Self::PeerDown => "peer_down",
            Self::RoomOccupied => "room_occupied",
            Self::RoomVacated => "room_vacated",
        }
    }
}

/// Reads the value of `webhooks.secrets`: a secret or a list. Errors give the position of an invalid one, and never its
/// text.
pub(super) fn signing_secrets(value: &DeValue<'_>) -> Result<Vec<SigningSecret>, String> {
    let secrets = entries(value, MAX_SECRETS, "secrets", |item| {
        item.as_str().and_then(SigningSecret::parse).ok_or_else(|| {
            let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
            format!(
                "must be {PREFIX} and {least} to {most} bytes in base64, such as {PREFIX}$(openssl rand -base64 32)"
            )
        })
    })?;
    match &secrets[..] {
        [one, other] if one == other => Err("both entries are the same secret".into()),
        _ => Ok(secrets),
    }
}

/// Reads the value of `webhooks.events`: a word or a list.
pub(super) fn hook_events(value: &DeValue<'_>) -> Result<Vec<HookEvent>, String> {
    entries(value, HookEvent::ALL.len(), "events", |item| {
        let named = HookEvent::ALL.into_iter().find(|event| item.as_str() == Some(event.name()));
        named.ok_or_else(|| "must be peer_up, peer_down, room_occupied or room_vacated".to_owned())
    })
}

/// Reads the value of `webhooks.topics`: a pattern or a list.
pub(super) fn patterns(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    entries(value, MAX_TOPICS, "topics", |item| match item.as_str() {
        Some(text) if (1..=MAX_TOPIC_BYTES).contains(&text.len()) => Ok(text.to_owned()),
        _ => Err(format!("must be a name of 1 to {MAX_TOPIC_BYTES} bytes, or its beginning and *")),
    })
}
