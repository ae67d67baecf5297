//! What a configuration leaves open. None of it is an error: each may be what its operator wants.

use std::fmt::Display;

use ipnet::IpNet;

use crate::config::api_checks;
use crate::config::hosts::Host;
use crate::config::listen::ListenAddress;
use crate::config::schema::{Config, Metrics, Server};

impl Config {
    /// What this configuration leaves open to web pages of any site, to other machines, or to any client: a line each,
    /// which begins with the key. `handclasp check` prints them.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let of_protocols = [
            self.closed_warning(),
            self.page_warning(),
            self.hello_warning(),
            self.is_relay_open().then(|| "relay.enabled: each client receives all messages of all others".to_owned()),
            self.peerjs_warning(),
        ];
        let of_server =
            [self.names_warning(), self.proxies_warning(), self.metrics_warning(), api_checks::warning(self)];
        [self.origins_warning()].into_iter().chain(of_protocols).chain(of_server).flatten().collect()
    }

    /// The lists of origins that allow pages of every site.
    fn origins_warning(&self) -> Option<String> {
        let Self { socket, socketio, peerjs, hello, relay, ice, peer, .. } = self;
        let keys: Vec<&str> = [
            (true, &socket.check_origin, "socket.check_origin (Phoenix)"),
            (socketio.enabled, &socketio.check_origin, "socketio.check_origin (Socket.IO)"),
            (peerjs.enabled, &peerjs.cors, "peerjs.cors (PeerJS)"),
            (self.is_hello_open(), &hello.check_origin, "hello.check_origin (HelloWebRTC)"),
            (self.is_relay_open(), &relay.check_origin, "relay.check_origin (the plain relay)"),
            (
                ice.enabled && !peer.ice_servers.is_empty(),
                &ice.check_origin,
                "ice.check_origin (credentials of peer.ice_servers)",
            ),
        ]
        .into_iter()
        .filter(|(is_enabled, origins, _)| *is_enabled && origins.allow_all_sites())
        .map(|(_, _, key)| key)
        .collect();
        (!keys.is_empty()).then(|| format!("pages of every web site may connect: {}", keys.join(", ")))
    }

    fn hello_warning(&self) -> Option<String> {
        let what = "any client may take any name of HelloWebRTC, and then receives what is meant for its owner";
        self.is_hello_open().then(|| format!("hello.enabled: {what}"))
    }

    /// What `auth.mode` closes although it is turned on.
    fn closed_warning(&self) -> Option<String> {
        let closed: Vec<&str> = [
            (self.hello.enabled, "hello.enabled (HelloWebRTC)"),
            (self.relay.enabled, "relay.enabled (the plain relay)"),
            (self.peerjs.enabled && self.peerjs.allow_discovery, "peerjs.allow_discovery (the list of PeerJS ids)"),
        ]
        .into_iter()
        .filter(|(is_enabled, _)| *is_enabled && self.auth.is_required())
        .map(|(_, key)| key)
        .collect();
        (!closed.is_empty()).then(|| format!("auth.mode: closes what has no place for a token: {}", closed.join(", ")))
    }

    /// The web app gets its token from `page.token_url`, which a page of one's own does not need.
    fn page_warning(&self) -> Option<String> {
        let Self { page, auth, .. } = self;
        let is_shut_out = auth.is_required() && page.enabled && page.dir.is_none() && page.token_url.is_none();
        let text = "auth.mode: the web app at / cannot connect, because page.token_url is empty";
        is_shut_out.then(|| text.to_owned())
    }

    fn peerjs_warning(&self) -> Option<String> {
        (self.peerjs.enabled && self.is_discovery_open())
            .then(|| "peerjs.allow_discovery: any client may list all PeerJS ids".to_owned())
    }

    /// Listeners that check no names, and those that refuse the names that a proxy passes on.
    fn names_warning(&self) -> Option<String> {
        let Server { listen, public_urls, trusted_proxies, .. } = &self.server;
        match (is_public(listen), public_urls.is_empty()) {
            (true, true) => Some(format!(
                "server.listen: other machines can reach {listen}, under any host name, because server.public_urls is \
                 empty"
            )),
            (false, true) if !trusted_proxies.is_empty() => Some(
                "server.public_urls: empty, so requests get 421 if a proxy passes on the host name of its clients"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    fn proxies_warning(&self) -> Option<String> {
        let whole: Vec<String> = IpNet::aggregate(&self.server.trusted_proxies)
            .iter()
            .filter(|net| net.prefix_len() == 0)
            .map(shown)
            .collect();
        (!whole.is_empty()).then(|| {
            format!(
                "server.trusted_proxies: any client can pose as any other, because the list contains {}",
                whole.join(" and ")
            )
        })
    }

    fn metrics_warning(&self) -> Option<String> {
        let Metrics { listen } = &self.metrics;
        let listen = listen.as_ref().filter(|listen| is_public(listen))?;
        Some(format!("metrics.listen: other machines can read the metrics at {listen}, without a password"))
    }
}

fn shown(value: impl Display) -> String {
    value.to_string()
}

/// Whether other machines can reach a listener. A name may stand for any address, unless it is one of loopback.
fn is_public(listen: &ListenAddress) -> bool {
    !Host::from(listen).is_loopback()
}
