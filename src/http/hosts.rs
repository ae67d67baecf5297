//! The host that a request names, and the rules whether it is a name of this node. The middleware that applies them is in
//! [`host_check`](crate::http::host_check).
//!
//! The check protects against DNS rebinding: the owner of a domain lets its name point to 127.0.0.1, and its page, whose
//! origin is that name, then reaches a server on its visitor's machine like a page of that server. Browsers put the
//! page's name into `Host`, and no script can change that.
//!
//! On a loopback address, where only this check keeps other machines' pages away, it is always made. Elsewhere it is
//! made if `server.public_urls` says what the node's names are.
//!
//! A trusted proxy's `X-Forwarded-Host` is the host that the client has requested. It counts besides `Host`, never
//! instead of it: a browser on the machine of the proxy has the proxy's address too, and its scripts can write this
//! header.

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::config::hosts::{Host, PublicUrl};
use crate::config::listen::ListenAddress;
use crate::http::refusal_log::quoted;

/// The header by which proxies pass on the host that the client has requested.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What is known of a connection when it is accepted.
#[derive(Clone, Copy, Debug)]
struct Ends {
    local: SocketAddr,
    /// Whether the connection comes from a trusted proxy.
    is_proxied: bool,
    has_tls: bool,
}

/// Keeps a connection's own address for its requests, whether it comes from a trusted proxy, and whether it has TLS.
pub(crate) fn accepted(extensions: &mut Extensions, local: SocketAddr, is_proxied: bool, has_tls: bool) {
    extensions.insert(Ends { local, is_proxied, has_tls });
}

/// Whether the request came over a connection with TLS, which a proxy may have opened.
pub(crate) fn has_tls(request: &HttpRequest) -> bool {
    request.conn_data::<Ends>().is_some_and(|ends| ends.has_tls)
}

// ---- the requested host

/// The host, and the port, that the client requests: a trusted proxy's last `X-Forwarded-Host`, or else `Host`.
pub(crate) fn requested(request: &HttpRequest) -> Option<&str> {
    forwarded(request).or_else(|| request.headers().get(header::HOST)).and_then(|host| host.to_str().ok()).map(last)
}

/// The last value in a list: proxies append theirs, and whatever stands before it may come from the client.
fn last(list: &str) -> &str {
    list.rsplit(',').next().unwrap_or_default().trim()
}

fn forwarded(request: &HttpRequest) -> Option<&HeaderValue> {
    let is_proxied = request.conn_data::<Ends>().is_some_and(|ends| ends.is_proxied);
    if is_proxied { request.headers().get_all(FORWARDED_HOST).last() } else { None }
}

/// The requested host as the texts of refusals show it.
pub(crate) fn describe(request: &HttpRequest) -> String {
    let shown = |value: &HeaderValue| quoted(value.as_bytes());
    let headers = request.headers();
    let host = headers.get(header::HOST).map_or("no host".to_owned(), |host| format!("the host {}", shown(host)));
    match (forwarded(request), headers.get(FORWARDED_HOST), request.peer_addr()) {
        (Some(forwarded), ..) => format!("the host {} (by X-Forwarded-Host)", shown(forwarded)),
        (None, Some(ignored), Some(peer)) => format!(
            "{host}, without X-Forwarded-Host {}, because server.trusted_proxies does not name {}",
            shown(ignored),
            peer.ip()
        ),
        _ => host,
    }
}

// ---- the check

/// The names of a listener, and when they are checked.
pub(crate) struct HostRules {
    /// The address of the listener, and the hosts of `server.public_urls`.
    names: Vec<Host>,
    /// Whether all requests are checked, and not only those to a loopback address.
    checks_all: bool,
    /// Whether the listener has all addresses of the machine.
    has_all_addresses: bool,
}

impl HostRules {
    /// Rules that apply to loopback addresses.
    pub(crate) fn on_loopback(listen: &ListenAddress, public_urls: &[PublicUrl]) -> Self {
        let names = public_urls.iter().map(|url| url.host().clone());
        let has_all_addresses = matches!(listen, ListenAddress::Ip(address) if address.ip().is_unspecified());
        Self { names: [listen.into()].into_iter().chain(names).collect(), checks_all: false, has_all_addresses }
    }

    /// Rules that apply to all addresses if there are public URLs.
    pub(crate) fn public(listen: &ListenAddress, public_urls: &[PublicUrl]) -> Self {
        Self { checks_all: !public_urls.is_empty(), ..Self::on_loopback(listen, public_urls) }
    }

    /// Why a request is refused. A request that did not come over TCP is not.
    pub(crate) fn refusal(&self, request: &HttpRequest) -> Option<String> {
        let refused = self.refused(request.headers(), request.conn_data::<Ends>()?)?;
        let names: Vec<String> = self.names.iter().map(ToString::to_string).collect();
        Some(format!(
            "host {} is not a name of this server; its names: localhost, {}; server.public_urls adds more",
            quoted(refused.as_bytes()),
            names.join(", ")
        ))
    }

    /// The first host in a request's headers that is not a name of this node.
    fn refused<'a>(&self, headers: &'a HeaderMap, ends: &Ends) -> Option<&'a HeaderValue> {
        let local = ends.local.ip().to_canonical();
        if !self.checks_all && (self.has_all_addresses || !local.is_loopback()) {
            return None;
        }
        let forwarded = headers.get_all(FORWARDED_HOST).last().filter(|_| self.checks_all && ends.is_proxied);
        headers.get_all(header::HOST).chain(forwarded).find(|value| !self.allow(value, local))
    }

    fn allow(&self, value: &HeaderValue, local: IpAddr) -> bool {
        // a client without a host is not a browser
        let host = value.to_str().ok().map(last);
        host.is_some_and(|host| {
            host.is_empty()
                || Host::parse(host)
                    .is_some_and(|host| host.is_loopback() || host == Host::Ip(local) || self.names.contains(&host))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(listen: &str, urls: &[&str]) -> HostRules {
        let urls: Vec<PublicUrl> = urls.iter().map(|url| url.parse().unwrap()).collect();
        HostRules::public(&listen.parse().unwrap(), &urls)
    }

    fn allows(rules: &HostRules, host: &str, local: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        let local = SocketAddr::new(local.parse().unwrap(), 4000);
        rules.refused(&headers, &Ends { local, is_proxied: false, has_tls: false }).is_none()
    }

    #[test]
    fn a_loopback_listener_has_loopback_names_its_own_and_public_ones() {
        for listen in ["127.0.0.1:4000", "localhost:4000", "broker.internal:4000"] {
            let rules = rules(listen, &[]);
            for name in ["localhost", "a.localhost:1", "127.0.0.2", "[::1]:4000", listen, ""] {
                assert!(allows(&rules, name, "127.0.0.1"), "{listen}: {name}");
            }
            for name in ["evil.test", "localhost.evil.test", "192.0.2.1", "2130706433", "localhost, evil.test", "a b"] {
                assert!(!allows(&rules, name, "127.0.0.1"), "{listen}: {name}");
            }
        }
        assert!(allows(&rules("127.0.0.1:4000", &["https://a.test:8443/x"]), "A.test.", "127.0.0.1"));
    }

    #[test]
    fn other_listeners_are_checked_if_their_names_are_known() {
        for (listen, local) in [("0.0.0.0:4000", "192.0.2.1"), ("[::]:4000", "::ffff:192.0.2.1"), ("[::]:4000", "::1")]
        {
            assert!(allows(&rules(listen, &[]), "any.test", local), "{listen} {local}");
            let named = rules(listen, &["https://a.test"]);
            assert!(allows(&named, "a.test", local) && !allows(&named, "any.test", local), "{listen} {local}");
        }
        let named = rules("0.0.0.0:4000", &["https://a.test"]);
        assert!(allows(&named, "192.0.2.1:4000", "192.0.2.1") && allows(&named, "localhost", "192.0.2.1"));
        assert!(!allows(&named, "192.0.2.2:4000", "192.0.2.1"), "the address of another machine");
        assert!(allows(&rules("192.0.2.1:4000", &[]), "any.test", "192.0.2.1"));
    }
}
