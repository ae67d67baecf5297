//! What follows from the mode of `[auth]`: the key that it needs, and what it closes.

use crate::config::auth::AuthMode;
use crate::config::schema::{Auth, Config};

impl Auth {
    /// Whether clients need a token to connect.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.mode == AuthMode::Required
    }

    /// Whether tokens are checked.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.mode != AuthMode::Off
    }
}

impl Config {
    /// Whether HelloWebRTC is served. Its messages have no place for a token.
    #[must_use]
    pub fn is_hello_open(&self) -> bool {
        self.hello.enabled && !self.auth.is_required()
    }

    /// Whether the plain relay is served. Its messages have no place for a token.
    #[must_use]
    pub fn is_relay_open(&self) -> bool {
        self.relay.enabled && !self.auth.is_required()
    }

    /// Whether PeerJS clients may list all ids. The request has no place for a token.
    #[must_use]
    pub fn is_discovery_open(&self) -> bool {
        self.peerjs.allow_discovery && !self.auth.is_required()
    }
}

/// Without a key, no client could connect.
pub(super) fn conflict(Config { auth, .. }: &Config) -> Option<String> {
    let has_keys = !auth.secrets.is_empty() || auth.jwks.is_some();
    (auth.is_on() && !has_keys).then(|| {
        let mode = if auth.is_required() { "required" } else { "turn" };
        format!("auth.mode: {mode:?} needs a key: set auth.secrets or auth.jwks")
    })
}
