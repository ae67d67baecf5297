//! HTTP request metadata: the query string as each protocol reads it, and the client's address behind proxies.

use std::net::IpAddr;

use actix_web::web::Query;
use ipnet::IpNet;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::seeds::paths;
use super::{SMALL, Target};
use crate::http::client_ip::ClientIp;
use crate::http::request::params;
use crate::protocols::peerjs::routes::ConnectQuery;
use crate::protocols::phoenix::version::Version;
use crate::protocols::phoenix::version::version;

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "query",
        run: query,
        seeds: queries,
        dictionary: &["vsn=2.0.0", "vsn[]=", "&key=", "&id=", "&token=", "%00", "%ff", "%c3%a9", "+"],
        max_len: SMALL,
    },
    Target {
        name: "forwarded",
        run: forwarded,
        seeds: chains,
        dictionary: &["10.0.0.1", "198.51.100.1", "[::1]:80", "::ffff:10.0.0.1", ", "],
        max_len: SMALL,
    },
];

fn queries() -> Vec<Vec<u8>> {
    paths().iter().map(|path| path.split_once('?').map_or("", |(_, query)| query).as_bytes().to_vec()).collect()
}

fn query(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let query = Query::<ConnectQuery>::from_query(text);
    let Ok(params) = params(text) else { return };
    let size: usize = params.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(size <= text.len(), "{size} bytes from {}", text.len());

    let encode = |text: &str| percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> = params.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let parsed = crate::http::request::params(&pairs.join("&")).expect("the query was written here");
    assert_eq!(parsed, params);

    let values =
        |name: &str| params.iter().filter(|(key, _)| key == name).map(|(_, value)| &**value).collect::<Vec<_>>();
    let is_requested = |major: &str| values("vsn").last().is_some_and(|vsn| vsn.starts_with(major));
    match version(&params) {
        Ok(Version::V2) => assert!(is_requested("2.0.")),
        Ok(Version::V1) => assert!(values("vsn").is_empty() || is_requested("1.0.")),
        Err(_) => {}
    }
    // PeerJS's own parser rejects a repeated key, and otherwise reads the query as `params` does
    let Ok(Query(query)) = query else { return };
    for (name, value) in [("key", &query.key), ("id", &query.id), ("token", &query.token)] {
        assert_eq!(values(name).first().copied().unwrap_or_default(), value, "{name}");
    }
}

/// A client that does not come through a trusted proxy has the address of its connection, whatever its headers say. The
/// first line of the input is the peer address, the others are headers.
fn forwarded(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let trusted: [IpNet; 2] = ["10.0.0.0/8", "::1/128"].map(|net| net.parse().expect("a network"));
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address.to_canonical()));
    let mut lines = text.lines();
    let Some(peer) = lines.next().and_then(|line| line.parse::<IpAddr>().ok()) else { return };
    let headers: Vec<&str> = lines.collect();
    let client = ClientIp::new(peer, headers.iter().map(|header| header.as_bytes()), &trusted);
    assert_eq!(client.address, client.address.to_canonical());
    assert_eq!(client.is_proxied, is_trusted(peer));
    if !client.is_proxied {
        assert_eq!(client.address, peer.to_canonical(), "a forged address");
    }
}

fn chains() -> Vec<Vec<u8>> {
    [
        "203.0.113.9\n198.51.100.1",
        "10.0.0.1\n6.6.6.6, 198.51.100.1, 10.0.0.2",
        "::1\n[2001:db8::1]:4711\nnonsense, ::ffff:10.0.0.1",
    ]
    .map(|chain| chain.as_bytes().to_vec())
    .to_vec()
}
