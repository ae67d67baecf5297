//! What follows from the values of `[api]`: the keys that a listener needs, and what it leaves open.

use crate::config::api::ApiListen;
use crate::config::hosts::Host;
use crate::config::schema::{Api, Config};

/// Without a key, nobody could use a listener on TCP.
pub(super) fn conflict(Config { api, server, metrics, .. }: &Config) -> Option<String> {
    let Some(ApiListen::Tcp(listen)) = &api.listen else { return None };
    if api.keys.is_empty() {
        return Some(format!("api.keys: empty, but api.listen is {listen}: only a unix socket needs no key"));
    }
    let others = [("server.listen", Some(&server.listen)), ("metrics.listen", metrics.listen.as_ref())];
    let same = others.into_iter().find(|(_, other)| *other == Some(listen) && listen.port() != 0);
    same.map(|(key, _)| format!("api.listen: {listen} is {key} too"))
}

/// What a configuration of the listener leaves open, or does not use.
pub(super) fn warning(Config { api: Api { listen, keys, .. }, .. }: &Config) -> Option<String> {
    match listen.as_ref()? {
        ApiListen::Tcp(address) if !Host::from(address).is_loopback() => Some(format!(
            "api.listen: other machines can reach {address}, and their keys are not encrypted on the way: use a proxy with \
             TLS, or a unix socket"
        )),
        ApiListen::Unix(_) if !keys.is_empty() => Some(
            "api.keys: not asked for, because api.listen is a unix socket: its file's permissions say who may use it"
                .to_owned(),
        ),
        ApiListen::Tcp(_) | ApiListen::Unix(_) => None,
    }
}
