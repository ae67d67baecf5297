//! The values of `[cluster]`: the engine, its URLs, the secret that the nodes share, and their names. Values that
//! contradict each other are found in `cluster_checks`.
//!
//! Neither `Debug` nor an error shows the secret, or what a URL contains before its host. Whatever cannot be parsed may
//! be a misplaced password, so errors do not show it.

use std::fmt;
use std::str::FromStr;

use compact_str::{CompactString, format_compact};
use toml::de::DeValue;
use url::Url;
use uuid::Uuid;

use crate::config::entries::entries;
use crate::config::origin::host_and_port;

/// The maximum number of URLs.
const MAX_URLS: usize = 16;
/// The minimum and the maximum size of a secret, in bytes. The minimum is that of a random key for HMAC-SHA-256.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 32..=512;
/// The maximum length of a node's name, and of a prefix, in bytes.
const MAX_NAME: usize = 64;
/// The length of a node's random suffix: 48 random bits.
const SUFFIX: usize = 12;
/// The name of a node whose host has none.
const UNNAMED: &str = "node";
/// Where Linux tells the host's name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The kind of server that connects the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// There are no other nodes.
    None,
    /// Redis or Valkey.
    Redis,
    /// NATS with `JetStream`.
    Nats,
}

impl Engine {
    /// The value of `cluster.engine`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Redis => "redis",
            Self::Nats => "nats",
        }
    }

    /// Whether the crate was compiled with the feature of this engine.
    pub(crate) const fn is_compiled_in(self) -> bool {
        match self {
            Self::None => true,
            Self::Redis => cfg!(feature = "redis"),
            Self::Nats => cfg!(feature = "nats"),
        }
    }
}

/// Which new names a node grants while it is not linked to its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolated {
    /// Names that no other client can take, such as ids of UUID version 8.
    Proven,
    /// All names. Another node may grant the same name, and one of the two clients loses it later.
    All,
    /// No names.
    None,
}

/// A secret that all nodes share. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Reads the value of `cluster.secret`. An empty string means no secret. Errors never show the value.
pub(super) fn secret(value: &DeValue<'_>) -> Result<Option<Secret>, String> {
    match value.as_str() {
        Some("") => Ok(None),
        Some(text) if SECRET_BYTES.contains(&text.len()) => Ok(Some(Secret(text.into()))),
        Some(text) => Err(format!("{} bytes are not {} to {}", text.len(), SECRET_BYTES.start(), SECRET_BYTES.end())),
        None => Err("must be a string: write a secret that looks like a number in quotes".into()),
    }
}

/// What a URL of `cluster.urls` connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterScheme {
    /// `redis`: a Redis server.
    Redis,
    /// `rediss`: a Redis server, over TLS.
    RedisTls,
    /// `redis+sentinel`: a Sentinel, which says where the Redis server is.
    Sentinel,
    /// `nats`: a NATS server.
    Nats,
    /// `tls`: a NATS server, over TLS.
    NatsTls,
}

impl ClusterScheme {
    fn of(name: &str) -> Option<Self> {
        match name {
            "redis" => Some(Self::Redis),
            "rediss" => Some(Self::RedisTls),
            "redis+sentinel" => Some(Self::Sentinel),
            "nats" => Some(Self::Nats),
            "tls" => Some(Self::NatsTls),
            _ => None,
        }
    }

    /// The engine that the scheme belongs to.
    #[must_use]
    pub const fn engine(self) -> Engine {
        match self {
            Self::Redis | Self::RedisTls | Self::Sentinel => Engine::Redis,
            Self::Nats | Self::NatsTls => Engine::Nats,
        }
    }

    /// Whether a URL of this scheme may have this path. Redis has the number of a database there, Sentinel the name of
    /// the service.
    fn allows(self, path: &str) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        match self {
            Self::Redis | Self::RedisTls => path.len() <= 5 && path.bytes().all(|byte| byte.is_ascii_digit()),
            Self::Sentinel => is_name(path),
            Self::Nats | Self::NatsTls => path.is_empty(),
        }
    }
}

/// The URL of an engine's server. `Display` and `Debug` show no user name and no password.
///
/// ```
/// use handclasp::config::ClusterUrl;
///
/// let url: ClusterUrl = "redis://me:hunter2@redis.example.com/1".parse()?;
/// assert_eq!(url.to_string(), "redis://***@redis.example.com/1");
/// # Ok::<(), handclasp::config::InvalidClusterUrl>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterUrl {
    scheme: ClusterScheme,
    url: Url,
}

/// The error of a text that is not the URL of an engine's server. It does not contain the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidClusterUrl;

impl fmt::Display for InvalidClusterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "must be redis://host:port/database, rediss://host:port/database, redis+sentinel://host:port/service, \
             nats://host:port or tls://host:port, with user:password@ before the host if there is a password, in which \
             the characters / ? # % @ : are percent-encoded",
        )
    }
}

impl std::error::Error for InvalidClusterUrl {}

impl ClusterUrl {
    /// What the URL connects to.
    #[must_use]
    pub fn scheme(&self) -> ClusterScheme {
        self.scheme
    }

    /// The URL with its user name and password, both percent-encoded.
    #[must_use]
    pub fn reveal(&self) -> &Url {
        &self.url
    }
}

impl FromStr for ClusterUrl {
    type Err = InvalidClusterUrl;

    fn from_str(text: &str) -> Result<Self, InvalidClusterUrl> {
        let url = Url::parse(text).map_err(|_| InvalidClusterUrl)?;
        let scheme = ClusterScheme::of(url.scheme()).ok_or(InvalidClusterUrl)?;
        let has_host = url.host_str().is_some_and(|host| host_and_port(host).is_some());
        // a password with such a character would otherwise be shown as a part of the path
        let is_plain = url.query().is_none() && url.fragment().is_none() && scheme.allows(url.path());
        match has_host && url.port() != Some(0) && is_plain {
            true => Ok(Self { scheme, url }),
            false => Err(InvalidClusterUrl),
        }
    }
}

impl fmt::Display for ClusterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = if self.url.username().is_empty() && self.url.password().is_none() { "" } else { "***@" };
        write!(f, "{}://{masked}{}", self.url.scheme(), self.url.host_str().unwrap_or_default())?;
        self.url.port().map_or(Ok(()), |port| write!(f, ":{port}"))?;
        f.write_str(self.url.path())
    }
}

impl fmt::Debug for ClusterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads the value of `cluster.urls`: a URL or a list. Errors give the position of an invalid one, and never its text.
pub(super) fn cluster_urls(value: &DeValue<'_>) -> Result<Vec<ClusterUrl>, String> {
    entries(value, MAX_URLS, "URLs", |item| {
        item.as_str().unwrap_or_default().parse().map_err(|error: InvalidClusterUrl| error.to_string())
    })
}

/// The name of a node, as its operator knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeName(CompactString);

/// The error of a text that is not a name of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidNodeName;

impl fmt::Display for InvalidNodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a name of letters, digits, - _ and ., of at most {MAX_NAME} bytes")
    }
}

impl std::error::Error for InvalidNodeName {}

impl NodeName {
    /// The configured name, or that of the host.
    #[must_use]
    pub fn get(&self) -> CompactString {
        match self.0.is_empty() {
            true => host_name(&std::fs::read_to_string(HOST_NAME).unwrap_or_default()),
            false => self.0.clone(),
        }
    }

    /// A name for one life of the node: with a random suffix, which is different after each start.
    #[must_use]
    pub fn of_new_life(&self) -> CompactString {
        let random = Uuid::new_v4().simple().to_string();
        format_compact!("{}-{}", self.get(), &random[..SUFFIX])
    }
}

/// An empty text stands for the host's name.
impl FromStr for NodeName {
    type Err = InvalidNodeName;

    fn from_str(text: &str) -> Result<Self, InvalidNodeName> {
        match text.is_empty() || is_name(text) {
            true => Ok(Self(text.into())),
            false => Err(InvalidNodeName),
        }
    }
}

/// The host's name as a name of a node.
fn host_name(text: &str) -> CompactString {
    let fitting = |c: char| if is_of_name(c) { c } else { '-' };
    let name: CompactString = text.trim().chars().map(fitting).take(MAX_NAME).collect();
    if name.is_empty() { UNNAMED.into() } else { name }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.chars().all(is_of_name)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

/// Whether a text can begin the keys, channels and subjects of every engine: a dot would divide a subject.
pub(super) fn is_prefix(text: &str) -> bool {
    is_name(text) && !text.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_becomes_the_name_of_a_node() {
        assert_eq!(host_name("web-1.example.com\n"), "web-1.example.com");
        assert_eq!(host_name("büro 2"), "b-ro-2");
        assert_eq!(host_name("\n"), "node");
        assert_eq!(host_name(&"a".repeat(100)).len(), MAX_NAME);
        let of_this_host = host_name(&std::fs::read_to_string(HOST_NAME).unwrap());
        assert_eq!(NodeName("".into()).get(), of_this_host);
    }

    #[test]
    fn each_life_of_a_node_has_a_name_of_its_own() {
        let node: NodeName = "web.1".parse().unwrap();
        let (one, other) = (node.of_new_life(), node.of_new_life());
        assert_ne!(one, other);
        let suffix = one.strip_prefix("web.1-").unwrap();
        assert!(suffix.len() == SUFFIX && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{one}");
    }
}
