//! The client IP of a request, by which limits are counted. It is taken from `X-Forwarded-For` if trusted proxies
//! forwarded the request. The limits themselves are in [`ip_limits`](crate::connections::ip_limits).

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderValue;
use ipnet::IpNet;

/// The client IP of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientIp {
    pub(crate) address: IpAddr,
    /// Whether the connection comes from a trusted proxy, whose other forwarding headers can be trusted too.
    pub(crate) is_proxied: bool,
}

impl ClientIp {
    /// The client IP of a request. A request that did not come over TCP has none.
    pub(crate) fn of(request: &HttpRequest, trusted: &[IpNet]) -> Option<Self> {
        let forwarded: Vec<&[u8]> = request.headers().get_all("x-forwarded-for").map(HeaderValue::as_bytes).collect();
        Some(Self::new(request.peer_addr()?.ip(), forwarded.into_iter(), trusted))
    }

    /// Determines the client IP from the socket's remote address and the `X-Forwarded-For` headers, in their order.
    pub(crate) fn new<'a>(
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>,
        trusted: &[IpNet],
    ) -> Self {
        let is_proxied = trusted.iter().any(|net| net.contains(&peer.to_canonical()));
        Self { address: client_address(peer, forwarded_for, trusted), is_proxied }
    }
}

/// The client's address: the socket's remote address or, if that is a trusted proxy, the last entry of
/// `X-Forwarded-For` that is not itself a trusted proxy. Earlier entries are ignored, because any client can forge
/// them: their bytes need not even be text.
fn client_address<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer.to_canonical();
    // a list may have empty entries, which mean nothing (RFC 9110, 5.6.1.2)
    let entries = forwarded_for.rev().flat_map(|header| header.rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    for entry in entries.filter(|entry| !entry.is_empty()) {
        if !is_trusted(&client) {
            break;
        }
        // an entry that is not an address ends the chain: the entries before it cannot be trusted
        let Some(address) = parse(entry) else { break };
        client = address;
    }
    client
}

/// Parses an address as proxies write it: bare, with a port, or in brackets.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let entry = str::from_utf8(entry).ok()?;
    let bare = entry.parse::<IpAddr>().ok();
    let address = bare.or_else(|| entry.parse::<std::net::SocketAddr>().ok().map(|with_port| with_port.ip()));
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(bracketed).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        client_of_bytes(peer, &forwarded.iter().map(|header| header.as_bytes()).collect::<Vec<_>>())
    }

    fn client_of_bytes(peer: &str, forwarded: &[&[u8]]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        client_address(peer.parse().unwrap(), forwarded.iter().copied(), &trusted).to_string()
    }

    #[test]
    fn forwarded_addresses_count_only_from_trusted_proxies() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9", "forged");
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["::ffff:198.51.100.1"]), "198.51.100.1", "v4-mapped");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.0.0.2"]), "198.51.100.1", "the last untrusted");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "198.51.100.1"]), "198.51.100.1", "two headers are one list");
        assert_eq!(client("::1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1, nonsense"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn bytes_before_the_proxys_own_entry_change_nothing() {
        for forged in ["\u{e9}", "nonsense", "", ",", "\0", "10.0.0.7, \u{fc}", "\u{a0}198.51.100.9\u{a0}"] {
            let list = format!("{forged}, 198.51.100.1");
            assert_eq!(client("10.0.0.1", &[&list]), "198.51.100.1", "{forged:?} in the same header");
            assert_eq!(client("10.0.0.1", &[forged, "198.51.100.1"]), "198.51.100.1", "{forged:?} in a header before");
        }
        assert_eq!(client_of_bytes("10.0.0.1", &[b"\xff\xfe, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(client_of_bytes("10.0.0.1", &[b"\xff", b"\t198.51.100.1 ,"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1, \u{e9}"]), "10.0.0.1", "the proxy's own entry is no address");
    }
}
