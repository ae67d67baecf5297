//! Host names of a node: the `Host` of a request, and [`PublicUrl`], by which clients reach the node.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::config::listen::ListenAddress;
use crate::config::origin::host_and_port;

/// The name of the machine itself, and the end of other such names (RFC 6761, 6.3).
const LOCALHOST: &str = "localhost";

/// A host without its port. Names are in lower case, and have no dot at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Ip(IpAddr),
    Name(String),
}

impl Host {
    /// Parses `host[:port]`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, _) = host_and_port(text)?;
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        Some(match literal.parse::<IpAddr>() {
            Ok(ip) => Self::Ip(ip.to_canonical()),
            Err(_) => Self::named(host),
        })
    }

    fn named(name: &str) -> Self {
        Self::Name(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
    }

    /// Whether browsers connect to the machine itself, whatever a name server says.
    pub(crate) fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(ip) => ip.is_loopback(),
            Self::Name(name) => name.strip_suffix(LOCALHOST).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        }
    }
}

impl From<&ListenAddress> for Host {
    fn from(address: &ListenAddress) -> Self {
        match address {
            ListenAddress::Ip(address) => Self::Ip(address.ip().to_canonical()),
            ListenAddress::Name { host, .. } => Self::named(host),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A URL by which clients reach the node.
///
/// ```
/// use handclasp::config::PublicUrl;
///
/// let url: PublicUrl = "https://broker.example.com/".parse()?;
/// assert_eq!(url.to_string(), "https://broker.example.com/");
/// # Ok::<(), handclasp::config::InvalidPublicUrl>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    host: Host,
}

/// The error of a text that is not an `http:` or `https:` URL with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPublicUrl;

impl fmt::Display for InvalidPublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL such as https://broker.example.com")
    }
}

impl std::error::Error for InvalidPublicUrl {}

impl PublicUrl {
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// The port, if the scheme is https.
    pub(crate) fn https_port(&self) -> Option<u16> {
        let (scheme, rest) = self.text.split_once("://")?;
        let (_, port) = host_and_port(rest.split(['/', '?', '#']).next()?)?;
        scheme.eq_ignore_ascii_case("https").then(|| port.unwrap_or(443))
    }

    /// The URL without a query, and with a slash at its end: the node's own paths follow it.
    #[cfg(feature = "page")]
    pub(crate) fn folder(&self) -> String {
        let path = self.text.split(['?', '#']).next().unwrap_or_default();
        format!("{}/", path.trim_end_matches('/'))
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidPublicUrl)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        match Host::parse(authority) {
            Some(host) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => {
                Ok(Self { text: text.to_owned(), host })
            }
            _ => Err(InvalidPublicUrl),
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_parsed_as_browsers_write_it() {
        for (text, shown) in [
            ("Broker.Example.COM:4000", "broker.example.com"),
            ("broker.example.com.", "broker.example.com"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ] {
            assert_eq!(Host::parse(text).map(|host| host.to_string()).as_deref(), Some(shown), "{text}");
        }
        for text in ["", ":80", "a b", "a@b", "a/b", "[::1", "[a]", "::1", "a:b", "a:80:80", "é.test", "a,b"] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
    }

    #[test]
    fn loopback_names_never_leave_the_machine() {
        for text in ["localhost", "LOCALHOST:1", "a.b.localhost", "localhost.", "127.9.9.9", "[::1]"] {
            assert!(Host::parse(text).unwrap().is_loopback(), "{text}");
        }
        for text in ["localhost.test", "evillocalhost", "127.0.0.1.test", "127.1", "2130706433", "128.0.0.1", "[::2]"] {
            assert!(!Host::parse(text).unwrap().is_loopback(), "{text}");
        }
    }

    #[test]
    fn a_public_url_has_a_scheme_of_the_web_and_a_host() {
        for text in ["https://a.test", "HTTP://a.test:8443/sub/path?x#y", "http://[2001:db8::1]", "http://192.0.2.1/"] {
            assert_eq!(text.parse::<PublicUrl>().unwrap().to_string(), text);
        }
        for text in
            ["", "a.test", "//a.test", "ws://a.test", "https://", "https:///x", "https://me@a.test", "https://*.a.test"]
        {
            assert!(text.parse::<PublicUrl>().is_err(), "{text}");
        }
    }
}
