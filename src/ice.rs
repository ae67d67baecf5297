//! Ice: the STUN and TURN servers that a peer is told of when it joins, and what a valid one looks like.
//!
//! Nothing here speaks to such a server; browsers do. A credential reaches the clients that join, and nobody else:
//! neither `Debug` nor an error ever shows one.

use serde::Serialize;
use std::fmt;
use toml::de::{DeTable, DeValue};

/// The most servers that a peer is told of; more only slow a browser down.
const MOST: usize = 16;

/// One entry of an `RTCPeerConnection`'s `iceServers`, serialized as a browser takes it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct IceServer {
    /// `stun:`, `stuns:`, `turn:` or `turns:` urls of the same server, at least one.
    pub urls: Vec<String>,
    /// Who we are to a TURN server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password that goes with `username`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .field("credential", &self.credential.as_ref().map(|_| "(secret)"))
            .finish()
    }
}

/// Reads the value of `peer.ice_servers`. Errors name places, never contents: a misplaced credential is one, too.
pub(crate) fn servers(value: &DeValue<'_>) -> Result<Vec<IceServer>, String> {
    let DeValue::Array(items) = value else {
        return Err("must be a list of { urls, username, credential }".into());
    };
    if items.len() > MOST {
        return Err(format!("{} servers are too many, at most {MOST}", items.len()));
    }
    let numbered = items.iter().enumerate();
    numbered.map(|(i, item)| server(item.get_ref()).map_err(|error| format!("entry {}: {error}", i + 1))).collect()
}

fn server(value: &DeValue<'_>) -> Result<IceServer, String> {
    let DeValue::Table(table) = value else {
        return Err("must be { urls, username, credential }".into());
    };
    if let Some(key) = table.keys().find(|key| !["urls", "username", "credential"].contains(&key.get_ref().as_ref())) {
        return Err(format!("no such key {:?}, only urls, username and credential", key.get_ref()));
    }
    let server =
        IceServer { urls: urls(table)?, username: text(table, "username")?, credential: text(table, "credential")? };
    let relays = server.urls.iter().any(|url| url.starts_with("turn"));
    if relays && (server.username.is_none() || server.credential.is_none()) {
        return Err("a turn url needs a username and a credential, or browsers refuse it".into());
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

/// One url or a list of them, as browsers take both.
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

/// `scheme:host[:port]`, for TURN also `?transport=udp|tcp` (RFC 7064 and 7065).
fn is_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else {
        return false;
    };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let (may_query, known) = match scheme {
        "stun" | "stuns" => (false, true),
        "turn" | "turns" => (true, true),
        _ => (false, false),
    };
    let query_fits = query.is_none_or(|query| may_query && ["transport=udp", "transport=tcp"].contains(&query));
    known && query_fits && crate::origin::host_and_port(place).is_some()
}
