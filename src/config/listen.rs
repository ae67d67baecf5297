//! [`ListenAddress`]: where a listener accepts connections: at an IP address, or at all addresses of a host name.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// The name of the machine itself. Its addresses are fixed (RFC 6761, 6.3): not every machine lists both.
const LOCALHOST: &str = "localhost";

/// Where a listener accepts connections.
///
/// ```
/// use handclasp::config::ListenAddress;
///
/// let address: ListenAddress = "localhost:4000".parse()?;
/// assert_eq!(address.port(), 4000);
/// assert_eq!(address.to_string(), "localhost:4000");
/// # Ok::<(), handclasp::config::InvalidListenAddress>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// One IP address and port.
    Ip(SocketAddr),
    /// All addresses of a host name, which is looked up when the node starts. `localhost` stands for 127.0.0.1 and ::1.
    Name {
        /// The host name.
        host: String,
        /// The port.
        port: u16,
    },
}

/// The error of a text that is neither an IP address nor a host name, with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidListenAddress;

impl fmt::Display for InvalidListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an ip address or host name, and a port, such as 127.0.0.1:4000, [::1]:4000 or localhost:4000")
    }
}

impl std::error::Error for InvalidListenAddress {}

impl ListenAddress {
    /// The port. 0 stands for any free port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Name { port, .. } => *port,
        }
    }

    /// The same with another port.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        match self {
            Self::Ip(address) => Self::Ip(SocketAddr::new(address.ip(), port)),
            Self::Name { host, .. } => Self::Name { host: host.clone(), port },
        }
    }

    /// Its IP addresses, IPv4 first. A host name is looked up, which may block.
    ///
    /// # Errors
    /// When the name cannot be looked up, or has no address.
    pub(crate) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let (host, port) = match self {
            Self::Ip(address) => return Ok(vec![*address]),
            Self::Name { host, port } => (host, *port),
        };
        if host.eq_ignore_ascii_case(LOCALHOST) {
            return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
        }
        let mut addresses: Vec<SocketAddr> = (&**host, port).to_socket_addrs()?.collect();
        addresses.sort_by_key(|address| (address.is_ipv6(), address.ip()));
        addresses.dedup();
        match addresses.is_empty() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            false => Ok(addresses),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for ListenAddress {
    fn from((ip, port): (I, u16)) -> Self {
        Self::Ip(SocketAddr::new(ip.into(), port))
    }
}

impl FromStr for ListenAddress {
    type Err = InvalidListenAddress;

    fn from_str(text: &str) -> Result<Self, InvalidListenAddress> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or(InvalidListenAddress)?;
        // a number's own parser would accept `+80`
        let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
        match port.and_then(|port| port.parse().ok()) {
            Some(port) if is_name(host) => Ok(Self::Name { host: host.to_owned(), port }),
            _ => Err(InvalidListenAddress),
        }
    }
}

/// Whether a text is a host name. Its last label is no number: `127.1` is a misspelt IP address.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let has_letter_or_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(has_letter_or_digit)
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_port_are_a_listen_address() {
        for text in ["localhost:4000", "broker.test.:0", "a-b_c.1x:65535", "127.0.0.1:80", "[::1]:80"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "localhost",
            "localhost:",
            ":80",
            "localhost:65536",
            "localhost:+80",
            "127.1:80",
            "1:80",
            "[::1]",
            "::1:80",
            "a..b:80",
            "a b:80",
            "http://a:80",
            "bücher.test:80",
            "[localhost]:80",
        ] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
        assert!(format!("{}:1", "a".repeat(64)).parse::<ListenAddress>().is_err());
    }

    #[test]
    fn localhost_is_both_loopback_addresses() {
        let addresses = "LocalHost:80".parse::<ListenAddress>().unwrap().resolve().unwrap();
        assert_eq!(addresses, ["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()]);
    }
}
