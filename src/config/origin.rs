//! Which web pages may open a socket, by the `Origin` header that browsers send.
//!
//! This protects against a foreign page that connects from its visitor's browser. It does not authenticate a client:
//! clients other than browsers can send any header. Reading the header and answering 403 belong to `http`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The web pages that may open a socket.
///
/// It is written as a list of entries. A page is allowed if any entry matches it:
///
/// | entry | matches |
/// |---|---|
/// | `same` | pages from the host and port in the request's `Host` header; the scheme is ignored, because TLS usually ends at a proxy |
/// | `https://example.com` | that scheme and host, and the port, here the scheme's default 443 |
/// | `//sub.example.org:8443` | that host and port, with any scheme; without a port, any port |
/// | `//*.wild.test` | that domain and all its subdomains |
/// | `null` | pages that hide where they are from: in a sandboxed frame, or opened from a file |
/// | `file://` | pages in a file, as embedded browsers such as Cordova send it |
/// | `any` | everything but `null`, malformed origins included; only `null` may stand beside it |
///
/// A request without an `Origin` does not come from a web page and is always allowed. Two `Origin` headers, and origins
/// with a user name or a path, match only `any`. Hosts are compared case-insensitively (Phoenix
/// compares the case; browsers always send lower case). `same` trusts the `Host` header. To protect a broker from DNS
/// rebinding, list its names instead.
///
/// ```
/// use handclasp::config::Origins;
///
/// let origins = Origins::parse(&["same", "//*.example.com"])?;
/// assert!(origins.allows(Some("https://app.example.com"), Some("broker.test")));
/// assert!(origins.allows(Some("http://broker.test:4000"), Some("broker.test:4000")));
/// assert!(!origins.allows(Some("https://evil.test"), Some("broker.test")));
/// # Ok::<(), handclasp::config::InvalidOrigin>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Any,
    Null,
    File,
    Same,
    Listed(Listed),
}

/// One entry of the list. A missing scheme or port matches any.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    scheme: Option<String>,
    host: String,
    with_subdomains: bool,
    port: Option<u16>,
}

/// The origin that browsers send for a page that hides where it is from.
const NULL: &str = "null";
/// The origin that embedded browsers send for a page in a file.
const FILE: &str = "file://";

/// The origin of a page, as browsers send it. Without a port, it has the scheme's default port.
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
    /// Parses a list of entries.
    ///
    /// # Errors
    /// [`InvalidOrigin`], which says which entry is invalid, and why.
    pub fn parse(entries: &[impl AsRef<str>]) -> Result<Self, InvalidOrigin> {
        Self::parse_rules(entries).map_err(InvalidOrigin)
    }

    fn parse_rules(entries: &[impl AsRef<str>]) -> Result<Self, String> {
        let rules: Vec<Rule> = entries.iter().map(|entry| Rule::parse(entry.as_ref())).collect::<Result<_, _>>()?;
        match rules.len() {
            0 => Err("an empty list would refuse every page: write \"same\", \"any\" or some origins".into()),
            2.. if rules.contains(&Rule::Any) && rules.iter().any(|rule| !matches!(rule, Rule::Any | Rule::Null)) => {
                Err("\"any\" allows all origins but \"null\", which alone may stand beside it".into())
            }
            _ => Ok(Self(rules)),
        }
    }

    /// Whether a request with these `Origin` headers and this `Host` may open a socket. Several `Origin` headers are
    /// invalid.
    ///
    /// `origins` can be an `Option<&str>` or an iterator over all `Origin` headers of a request.
    pub fn allows<T: AsRef<[u8]>>(&self, origins: impl IntoIterator<Item = T>, host: Option<&str>) -> bool {
        let mut origins = origins.into_iter();
        let Some(first) = origins.next() else {
            return true;
        };
        let first = first.as_ref();
        if self.0.contains(&Rule::Any) {
            let is_null = |origin: &[u8]| origin.eq_ignore_ascii_case(NULL.as_bytes());
            return self.0.contains(&Rule::Null) || !is_null(first) && !origins.any(|origin| is_null(origin.as_ref()));
        }
        match str::from_utf8(first) {
            Ok(origin) if origins.next().is_none() => self.0.iter().any(|rule| rule.admits(origin, host)),
            _ => false,
        }
    }

    /// Whether only pages of the requested host are allowed.
    #[cfg(feature = "page")]
    pub(crate) fn allow_same_host_only(&self) -> bool {
        self.0 == [Rule::Same]
    }

    /// Whether pages of every site are allowed.
    pub(crate) fn allow_all_sites(&self) -> bool {
        self.0.contains(&Rule::Any)
    }
}

/// The error of a list of origins: an invalid entry, an empty list, or `any` together with other entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOrigin(String);

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidOrigin {}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&entries.join(", "))
    }
}

impl Rule {
    fn parse(entry: &str) -> Result<Self, String> {
        match entry {
            "any" => Ok(Self::Any),
            "same" => Ok(Self::Same),
            NULL => Ok(Self::Null),
            FILE => Ok(Self::File),
            _ => Listed::parse(entry).map(Self::Listed).ok_or_else(|| {
                format!("{entry:?} is not \"same\", \"any\", \"null\", \"file://\" or an origin such as https://example.com, //example.com:8443 or //*.example.com")
            }),
        }
    }

    fn admits(&self, origin: &str, host: Option<&str>) -> bool {
        let is_page = |fits: &dyn Fn(&Page<'_>) -> bool| Page::parse(origin).is_some_and(|page| fits(&page));
        match self {
            Self::Any => !origin.eq_ignore_ascii_case(NULL),
            Self::Null => origin.eq_ignore_ascii_case(NULL),
            Self::File => origin.eq_ignore_ascii_case(FILE),
            Self::Same => host.is_some_and(|host| is_page(&|page| page.has_host(host))),
            Self::Listed(listed) => is_page(&|page| listed.admits(page)),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Null => f.write_str(NULL),
            Self::File => f.write_str(FILE),
            Self::Same => f.write_str("same"),
            Self::Listed(listed) => listed.fmt(f),
        }
    }
}

impl Listed {
    fn parse(entry: &str) -> Option<Self> {
        let (scheme, authority) = entry.split_once("//")?;
        let scheme = match scheme {
            "" => None,
            _ => Some(checked_scheme(scheme.strip_suffix(':')?)?),
        };
        let (with_subdomains, authority) = authority.strip_prefix("*.").map_or((false, authority), |rest| (true, rest));
        let (host, port) = host_and_port(authority)?;
        // an IP address has no subdomains: `*.127.0.0.1` and `*.[::1]` match nothing
        let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
        if with_subdomains && is_address {
            return None;
        }
        let port = port.or_else(|| scheme.and_then(default_port));
        Some(Self {
            scheme: scheme.map(str::to_ascii_lowercase),
            host: host.to_ascii_lowercase(),
            with_subdomains,
            port,
        })
    }

    fn admits(&self, page: &Page<'_>) -> bool {
        self.scheme.as_ref().is_none_or(|scheme| page.scheme.eq_ignore_ascii_case(scheme))
            && self.port.is_none_or(|port| page.port == Some(port))
            && (page.host.eq_ignore_ascii_case(&self.host) || self.with_subdomains && self.is_parent_of(page.host))
    }

    /// Whether `host` is a subdomain: for `wild.test`, `a.b.wild.test` is one and `awild.test` is not.
    fn is_parent_of(&self, host: &str) -> bool {
        host.to_ascii_lowercase().strip_suffix(&self.host).is_some_and(|labels| labels.ends_with('.'))
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = &self.scheme {
            write!(f, "{scheme}:")?;
        }
        write!(f, "//{}{}", if self.with_subdomains { "*." } else { "" }, self.host)?;
        let implied = self.scheme.as_deref().and_then(default_port);
        match self.port {
            Some(port) if implied != self.port => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

impl<'a> Page<'a> {
    /// Parses `scheme://host[:port]`. Browsers send no path, no user name and no second origin.
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = checked_scheme(scheme)?;
        let (host, port) = host_and_port(authority)?;
        Some(Self { scheme, host, port: port.or_else(|| default_port(scheme)) })
    }

    fn has_host(&self, host_header: &str) -> bool {
        host_and_port(host_header).is_some_and(|(host, port)| {
            self.host.eq_ignore_ascii_case(host) && self.port == port.or_else(|| default_port(self.scheme))
        })
    }
}

fn default_port(scheme: &str) -> Option<u16> {
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

/// Splits `host[:port]`. The host is an ASCII name (punycode for other names), an IPv4 address, or an IPv6 address in
/// brackets.
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
    // u16's own parser would accept `+80`
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
