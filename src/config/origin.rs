//! Origins: which web pages may open a socket here, judged by the `Origin` header that a browser adds.
//!
//! This guards against a foreign page that borrows its visitor's browser. It is no authentication: whoever is not
//! a browser writes the header it likes. Reading the header off a request, and answering 403, belong to `endpoint`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The pages whose sockets are accepted.
///
/// Written as a list of words, and admitted by any of them:
///
/// | word | admits |
/// |---|---|
/// | `same` | pages from the host and port that the request's `Host` header names; the scheme is not compared, since TLS usually ends at a proxy |
/// | `https://example.com` | that scheme, host and port, here the scheme's own, 443 |
/// | `//sub.example.org:8443` | that host and port, any scheme; without a port, any port |
/// | `//*.wild.test` | that domain and all below it, at any depth |
/// | `any` | everything, `null` and malformed origins included; stands alone |
///
/// A request without an `Origin` is not a browser's and always passes. Two `Origin` headers, `null`, `file://`,
/// user names and paths are no origin of a page and pass nothing but `any`. Hosts are compared without regard to
/// case (Phoenix regards it; browsers always send lower case). `same` trusts `Host`: where a broker must not be
/// reached through other names (DNS rebinding), list its names instead.
///
/// ```
/// use handclasp::config::Origins;
///
/// let origins = Origins::parse(&["same", "//*.example.com"])?;
/// assert!(origins.allows(Some("https://app.example.com"), Some("broker.test")));
/// assert!(origins.allows(Some("http://broker.test:4000"), Some("broker.test:4000")));
/// assert!(!origins.allows(Some("https://evil.test"), Some("broker.test")));
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Any,
    Same,
    Listed(Listed),
}

/// One entry of the list; what is missing may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    scheme: Option<String>,
    host: String,
    and_below: bool,
    port: Option<u16>,
}

/// The origin of a page as a browser writes it; the port is the scheme's own where none is written.
struct Page<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl Default for Origins {
    /// `["same"]`.
    fn default() -> Self {
        Self(vec![Rule::Same])
    }
}

impl Origins {
    /// Reads a list of words. The error says which word is wrong, and why.
    pub fn parse(words: &[impl AsRef<str>]) -> Result<Self, String> {
        let rules: Vec<Rule> = words.iter().map(|word| Rule::parse(word.as_ref())).collect::<Result<_, _>>()?;
        match rules.len() {
            0 => Err("an empty list would refuse every page: write \"same\", \"any\" or some origins".into()),
            2.. if rules.contains(&Rule::Any) => Err("\"any\" stands alone: beside it no other entry matters".into()),
            _ => Ok(Self(rules)),
        }
    }

    /// Whether a request with these `Origin` headers (none, one, or wrongly several) and this `Host` may open a socket.
    ///
    /// Takes an `Option<&str>` as well as all the header values that a request carries under that name.
    pub fn allows<T: AsRef<[u8]>>(&self, origins: impl IntoIterator<Item = T>, host: Option<&str>) -> bool {
        let mut origins = origins.into_iter();
        let Some(first) = origins.next() else {
            return true;
        };
        if self.0.contains(&Rule::Any) {
            return true;
        }
        let page = str::from_utf8(first.as_ref()).ok().and_then(Page::parse);
        match page {
            Some(page) if origins.next().is_none() => self.0.iter().any(|rule| rule.admits(&page, host)),
            _ => false,
        }
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&words.join(", "))
    }
}

impl Rule {
    fn parse(word: &str) -> Result<Self, String> {
        match word {
            "any" => Ok(Self::Any),
            "same" => Ok(Self::Same),
            _ => Listed::parse(word).map(Self::Listed).ok_or_else(|| {
                format!("{word:?} is not \"same\", \"any\" or an origin such as https://example.com, //example.com:8443 or //*.example.com")
            }),
        }
    }

    fn admits(&self, page: &Page<'_>, host: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Same => host.is_some_and(|host| page.is_at(host)),
            Self::Listed(listed) => listed.admits(page),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Same => f.write_str("same"),
            Self::Listed(listed) => listed.fmt(f),
        }
    }
}

impl Listed {
    fn parse(word: &str) -> Option<Self> {
        let (scheme, place) = word.split_once("//")?;
        let scheme = match scheme {
            "" => None,
            _ => Some(checked_scheme(scheme.strip_suffix(':')?)?),
        };
        let (and_below, place) = place.strip_prefix("*.").map_or((false, place), |rest| (true, rest));
        let (host, port) = host_and_port(place)?;
        // `*.127.0.0.1` or `*.[::1]` would name nothing
        let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
        if and_below && is_address {
            return None;
        }
        let port = port.or_else(|| scheme.and_then(own_port));
        Some(Self { scheme: scheme.map(str::to_ascii_lowercase), host: host.to_ascii_lowercase(), and_below, port })
    }

    fn admits(&self, page: &Page<'_>) -> bool {
        self.scheme.as_ref().is_none_or(|scheme| page.scheme.eq_ignore_ascii_case(scheme))
            && self.port.is_none_or(|port| page.port == Some(port))
            && (page.host.eq_ignore_ascii_case(&self.host) || self.and_below && self.is_above(page.host))
    }

    /// `wild.test` is above `a.b.wild.test`, not above `awild.test`.
    fn is_above(&self, host: &str) -> bool {
        host.to_ascii_lowercase().strip_suffix(&self.host).is_some_and(|labels| labels.ends_with('.'))
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = &self.scheme {
            write!(f, "{scheme}:")?;
        }
        write!(f, "//{}{}", if self.and_below { "*." } else { "" }, self.host)?;
        let implied = self.scheme.as_deref().and_then(own_port);
        match self.port {
            Some(port) if implied != self.port => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

impl<'a> Page<'a> {
    /// `scheme://host[:port]` and nothing more; a browser sends no path, no user and no second origin.
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, place) = text.split_once("://")?;
        let scheme = checked_scheme(scheme)?;
        let (host, port) = host_and_port(place)?;
        Some(Self { scheme, host, port: port.or_else(|| own_port(scheme)) })
    }

    fn is_at(&self, host_header: &str) -> bool {
        host_and_port(host_header).is_some_and(|(host, port)| {
            self.host.eq_ignore_ascii_case(host) && self.port == port.or_else(|| own_port(self.scheme))
        })
    }
}

fn own_port(scheme: &str) -> Option<u16> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

fn checked_scheme(text: &str) -> Option<&str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    (text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(fits)).then_some(text)
}

/// Splits `host[:port]`. The host is a name in ASCII (punycode for the others), an IPv4 or a bracketed IPv6 address.
pub(crate) fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, rest) = text.split_at(end);
    let port = match rest {
        "" => None,
        _ => Some(checked_port(rest.strip_prefix(':')?)?),
    };
    is_host(host).then_some((host, port))
}

fn checked_port(digits: &str) -> Option<u16> {
    // u16's own parser would take `+80`
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|&port| plain && port > 0)
}

fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    !text.starts_with('.') && !text.contains("..") && !text.is_empty() && text.chars().all(fits)
}
