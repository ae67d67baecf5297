//! [`ConnectInfo`]: a client's request to connect, as the mount's `connect` sees it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use actix_web::http::uri::Uri;

use crate::auth::Access;
use crate::http::client_ip::ClientIp;
use crate::http::hosts;
use crate::http::token_check::OfferedToken;

/// A client's request to connect. All of it comes from the client and is unverified, except the addresses.
pub struct ConnectInfo {
    pub(crate) request: HttpRequest,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) client_ip: ClientIp,
    pub(crate) auth_token: Option<String>,
    pub(crate) token: OfferedToken,
    /// What the token permits, once it is checked.
    pub(crate) access: Option<Access>,
    pub(crate) transport: &'static str,
}

/// Without what the client has sent: tokens may be in it.
impl fmt::Debug for ConnectInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectInfo")
            .field("client_ip", &self.client_ip)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl ConnectInfo {
    /// The value of a connect param. If several have the same name, the last one counts. A nested param has its name as
    /// in the URL, such as `user[name]`.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().rev().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// All connect params, in order.
    pub fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.params.iter().map(|(name, value)| (&**name, &**value))
    }

    /// A header's value, if it is visible ASCII text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// The client's IP address. Behind a trusted proxy, it is the address that the proxy forwards.
    #[must_use]
    pub fn client_address(&self) -> IpAddr {
        self.client_ip.address
    }

    /// The address of the other end of the TCP connection: the client's, or that of a proxy.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.request.peer_addr()
    }

    /// The request's path and query.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.request.uri()
    }

    /// The scheme of the request, `http` or `https`: a trusted proxy's `X-Forwarded-Proto`, or else that of the connection.
    #[must_use]
    pub fn scheme(&self) -> &str {
        let forwarded = if self.client_ip.is_proxied { self.header("x-forwarded-proto") } else { None };
        forwarded.unwrap_or(if hosts::has_tls(&self.request) { "https" } else { "http" })
    }

    /// The host (and port) of the request: the last `X-Forwarded-Host` of a trusted proxy, or else the
    /// `Host` header.
    #[must_use]
    pub fn host(&self) -> &str {
        hosts::requested(&self.request).unwrap_or("")
    }

    /// The client's transport: `websocket` or `longpoll`.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        self.transport
    }

    /// What the client's token permits, if the mount [checks tokens](crate::Mount::check_tokens), `auth.mode` is not "off", and
    /// the client has sent one.
    #[must_use]
    pub fn access(&self) -> Option<&Access> {
        self.access.as_ref()
    }

    /// The decoded token of the client's `authToken` option. The client sends it as a subprotocol or a header, never in
    /// the URL.
    #[must_use]
    pub fn auth_token(&self) -> Option<&str> {
        self.auth_token.as_deref()
    }
}
