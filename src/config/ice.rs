//! The STUN and TURN servers that clients receive: their validation, and the credentials for each client.
//!
//! Handclasp does not connect to these servers; browsers do. Neither `Debug` nor an error shows a credential. Who may
//! have one is decided where the servers are sent: by the peer channel, the Socket.IO relay, and `http::ice`.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha1::Sha1;
use toml::de::{DeTable, DeValue};

use crate::config::entries::entries;
use crate::config::origin::host_and_port;

/// The maximum number of servers. More would slow browsers down.
const MAX_SERVERS: usize = 16;

/// One entry of an `RTCPeerConnection`'s `iceServers`, serialized as browsers expect it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct IceServer {
    /// One or more `stun:`, `stuns:`, `turn:` or `turns:` URLs of the same server.
    pub urls: Vec<String>,
    /// The username for a TURN server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password that goes with `username`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// A secret shared with the TURN server (coturn's `static-auth-secret`), from which a username and credential are
    /// made for each peer. It replaces `username` and `credential`. Peers never receive it.
    #[serde(skip)]
    pub secret: Option<String>,
}

impl IceServer {
    /// The server as `user` receives it. If there is a secret, it has credentials that expire after `lifetime`
    /// (draft-uberti-behave-turn-rest-00): `<seconds since 1970>:<user>`, and its HMAC-SHA1 in base64.
    pub(crate) fn for_user(&self, user: &str, lifetime: Duration) -> Self {
        self.for_user_at(SystemTime::now(), user, lifetime)
    }

    /// The only function that uses the wall clock, which can jump: the TURN server, on another machine, checks the
    /// expiry.
    fn for_user_at(&self, now: SystemTime, user: &str, lifetime: Duration) -> Self {
        let Some(secret) = &self.secret else { return self.clone() };
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let username = format!("{}:{user}", (now + lifetime).as_secs());
        let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("hmac takes a key of any length");
        mac.update(username.as_bytes());
        let credential = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        Self { urls: self.urls.clone(), username: Some(username), credential: Some(credential), secret: None }
    }
}

/// All configured servers, and the lifetime of the credentials made for a client. Cloning copies a pointer.
#[derive(Clone, Debug)]
pub(crate) struct IceServers {
    servers: Arc<[IceServer]>,
    lifetime: Duration,
}

/// The member of an `RTCPeerConnection`'s configuration that lists the servers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IceConfiguration {
    ice_servers: Vec<IceServer>,
}

impl IceServers {
    pub(crate) fn new(servers: &[IceServer], lifetime: Duration) -> Self {
        Self { servers: servers.into(), lifetime }
    }

    /// The servers as `user` receives them, with its own credentials, which are valid for `most` at most. If that is
    /// zero, those that need credentials are left out.
    pub(crate) fn for_user(&self, user: &str, most: Duration) -> Vec<IceServer> {
        let needs_credentials = |server: &IceServer| server.secret.is_some() || server.credential.is_some();
        let is_included = |server: &&IceServer| !needs_credentials(server) || !most.is_zero();
        let included = self.servers.iter().filter(is_included);
        included.map(|server| server.for_user(user, self.lifetime.min(most))).collect()
    }

    /// The same, as a part of a browser's configuration: `{"iceServers": [...]}`.
    pub(crate) fn configuration(&self, user: &str, most: Duration) -> IceConfiguration {
        IceConfiguration { ice_servers: self.for_user(user, most) }
    }
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .field("credential", &self.credential.as_ref().map(|_| "(secret)"))
            .field("secret", &self.secret.as_ref().map(|_| "(secret)"))
            .finish()
    }
}

/// Reads the value of `peer.ice_servers`. Errors give the position of an invalid entry and never its content, which may
/// be a misplaced credential.
pub(crate) fn servers(value: &DeValue<'_>) -> Result<Vec<IceServer>, String> {
    if !matches!(value, DeValue::Array(_)) {
        return Err("must be a list of { urls, username, credential } or { urls, secret }".into());
    }
    entries(value, MAX_SERVERS, "servers", server)
}

fn server(value: &DeValue<'_>) -> Result<IceServer, String> {
    let DeValue::Table(table) = value else {
        return Err("must be { urls, username, credential } or { urls, secret }".into());
    };
    if let Some(key) =
        table.keys().find(|key| !["urls", "username", "credential", "secret"].contains(&key.get_ref().as_ref()))
    {
        return Err(format!("no such key {:?}, only urls, username, credential and secret", key.get_ref()));
    }
    let server = IceServer {
        urls: urls(table)?,
        username: text(table, "username")?,
        credential: text(table, "credential")?,
        secret: text(table, "secret")?,
    };
    let relays = server.urls.iter().any(|url| url.starts_with("turn"));
    if server.secret.is_some() && (server.username.is_some() || server.credential.is_some()) {
        return Err("a secret replaces username and credential: remove either".into());
    }
    if relays && server.secret.is_none() && (server.username.is_none() || server.credential.is_none()) {
        return Err("a turn url needs a username and a credential, or a secret: browsers refuse it otherwise".into());
    }
    Ok(server)
}

fn text(table: &DeTable<'_>, key: &str) -> Result<Option<String>, String> {
    match table.get(key).map(|value| value.get_ref()) {
        None => Ok(None),
        Some(DeValue::String(text)) if !text.is_empty() => Ok(Some(text.to_string())),
        Some(_) => Err(format!("{key} must be a string that is not empty")),
    }
}

/// Reads one URL or a list of URLs, because browsers accept both.
fn urls(table: &DeTable<'_>) -> Result<Vec<String>, String> {
    let listed: Vec<&DeValue<'_>> = match table.get("urls").map(|value| value.get_ref()) {
        Some(DeValue::Array(items)) => items.iter().map(|item| item.get_ref()).collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    if listed.is_empty() {
        return Err("urls is missing or empty".into());
    }
    let numbered = listed.into_iter().enumerate();
    numbered
        .map(|(i, value)| {
            let url = value.as_str().filter(|url| is_url(url)).map(str::to_owned);
            url.ok_or_else(|| {
                format!(
                    "url {} must be stun:, stuns:, turn: or turns: with a host, such as stun:stun.example.com:3478",
                    i + 1
                )
            })
        })
        .collect()
}

/// Whether the text is `scheme:host[:port]`, for TURN also with `?transport=udp|tcp` (RFC 7064 and 7065).
fn is_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else {
        return false;
    };
    let (authority, query) = rest.split_once('?').map_or((rest, None), |(authority, query)| (authority, Some(query)));
    let (may_query, known) = match scheme {
        "stun" | "stuns" => (false, true),
        "turn" | "turns" => (true, true),
        _ => (false, false),
    };
    let query_fits = query.is_none_or(|query| may_query && ["transport=udp", "transport=tcp"].contains(&query));
    known && query_fits && host_and_port(authority).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected value is what coturn's own `turnutils_uclient -W` sends for this username and secret. It comes from
    /// `printf 1700000000:ann | openssl dgst -sha1 -hmac north -binary | base64`.
    #[test]
    fn a_shared_secret_makes_a_credential_for_each_user() {
        let urls = vec!["turn:turn.test".to_owned()];
        let server = IceServer { urls, username: None, credential: None, secret: Some("north".into()) };
        let received = server.for_user("ann", Duration::from_secs(3600));
        let username = received.username.clone().unwrap();
        let (until, user) = username.split_once(':').unwrap();
        assert_eq!(user, "ann");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!((now + 3590..=now + 3600).contains(&until.parse::<u64>().unwrap()));
        let mut mac = Hmac::<Sha1>::new_from_slice(b"north").unwrap();
        mac.update(b"1700000000:ann");
        assert_eq!(BASE64_STANDARD.encode(mac.finalize().into_bytes()), "jeamH6dA5l2I9g3jmieza7CzEDo=");
        assert!(
            !serde_json::to_string(&received).unwrap().contains("north") && !format!("{server:?}").contains("north")
        );
    }

    #[test]
    fn a_wall_clock_jump_changes_only_the_expiry() {
        let server = IceServer { urls: Vec::new(), username: None, credential: None, secret: Some("north".into()) };
        let (noon, hour) = (UNIX_EPOCH + Duration::from_secs(1_700_000_000), Duration::from_secs(3_600));
        let until = |now| server.for_user_at(now, "ann", hour).username.unwrap();
        assert_eq!(until(noon - hour), "1700000000:ann");
        assert_eq!(until(noon + hour), "1700007200:ann");
        assert_eq!(until(UNIX_EPOCH - hour), "3600:ann");
    }
}
