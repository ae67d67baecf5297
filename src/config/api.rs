//! The values of `[api]`: where the listener is, its keys, and the hosts that requests may name. What follows from them
//! is in `api_checks`.
//!
//! Neither `Debug` nor an error shows a key.

use std::fmt;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use crate::config::auth::is_example;
use crate::config::cluster::{Secret, secret};
use crate::config::entries::entries;
use crate::config::hosts::Host;
use crate::config::listen::ListenAddress;

/// The maximum number of keys.
const MAX_KEYS: usize = 16;
/// The maximum number of host names.
const MAX_HOSTS: usize = 64;
/// The maximum length of a key's name, in bytes.
const MAX_NAME: usize = 64;
/// The start of the address of a unix socket.
const UNIX: &str = "unix:";
/// The maximum length of a unix socket's path, in bytes: what the system's address has room for.
const MAX_PATH: usize = 107;
/// What an entry of `api.keys` may contain.
const KEY_FIELDS: [&str; 3] = ["name", "key", "permissions"];

/// Where the listener of the server API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiListen {
    /// An IP address or host name, and a port. Each request needs a key.
    Tcp(ListenAddress),
    /// The path of a unix socket. A process that may open the file needs no key.
    Unix(PathBuf),
}

impl fmt::Display for ApiListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// Reads the value of `api.listen`. An empty string means no listener.
pub(super) fn api_listen(value: &DeValue<'_>) -> Result<Option<ApiListen>, String> {
    let text = value.as_str().ok_or("must be an address such as 127.0.0.1:4001 or unix:/run/handclasp/api.sock")?;
    if text.is_empty() {
        return Ok(None);
    }
    match text.strip_prefix(UNIX) {
        Some(path) if path.starts_with('/') && path.len() <= MAX_PATH => Ok(Some(ApiListen::Unix(path.into()))),
        Some(_) => Err(format!("{text:?} is not unix: and an absolute path of at most {MAX_PATH} bytes")),
        None => match text.parse() {
            Ok(address) => Ok(Some(ApiListen::Tcp(address))),
            Err(error) => Err(format!("{text:?} is not {error}, or unix:/run/handclasp/api.sock")),
        },
    }
}

/// What a key of the server API permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// To ask for peers, topics and the sizes of the nodes.
    Read,
    /// To send messages to topics and peers.
    Publish,
    /// To disconnect clients.
    Disconnect,
    /// To revoke tokens.
    Revoke,
    /// To drain the node.
    Drain,
}

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 5] = [Self::Read, Self::Publish, Self::Disconnect, Self::Revoke, Self::Drain];

    /// The permission as the configuration writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Disconnect => "disconnect",
            Self::Revoke => "revoke",
            Self::Drain => "drain",
        }
    }
}

/// A key of the server API. `Debug` does not show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The name by which the log tells the keys apart.
    pub name: String,
    /// The key itself.
    pub key: Secret,
    /// What it permits.
    pub permissions: Vec<Permission>,
}

/// Reads the value of `api.keys`: a list, or a single key. Errors give the position of an invalid one, and never its text.
pub(super) fn api_keys(value: &DeValue<'_>) -> Result<Vec<ApiKey>, String> {
    let keys = entries(value, MAX_KEYS, "keys", api_key)?;
    for (n, key) in keys.iter().enumerate() {
        if let Some(same) = keys[..n].iter().position(|other| other.name == key.name || other.key == key.key) {
            return Err(format!("entries {} and {} have the same name or the same key", same + 1, n + 1));
        }
    }
    Ok(keys)
}

fn api_key(value: &DeValue<'_>) -> Result<ApiKey, String> {
    let DeValue::Table(table) = value else { return Err("must be { name, key, permissions }".into()) };
    if table.keys().any(|field| !KEY_FIELDS.contains(&field.get_ref().as_ref())) {
        return Err(format!("has only the fields {}", KEY_FIELDS.join(", ")));
    }
    let name = field(table, "name").and_then(DeValue::as_str).filter(|name| is_name(name));
    let name = name.ok_or(format!("name: must be 1 to {MAX_NAME} letters, digits, -, _ and ."))?;
    let key = field(table, "key").ok_or("key: missing")?;
    let key = secret(key).map_err(|error| format!("key: {error}"))?.ok_or("key: must not be empty")?;
    if is_example(&key) {
        return Err("key: is the key of an example: openssl rand -base64 32 makes one".into());
    }
    let permissions = field(table, "permissions").ok_or("permissions: missing")?;
    let permissions = permissions_of(permissions).map_err(|error| format!("permissions: {error}"))?;
    Ok(ApiKey { name: name.to_owned(), key, permissions })
}

fn field<'a, 'b>(table: &'a DeTable<'b>, name: &str) -> Option<&'a DeValue<'b>> {
    table.get(name).map(|value| value.get_ref())
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn permissions_of(value: &DeValue<'_>) -> Result<Vec<Permission>, String> {
    let names = Permission::ALL.map(Permission::name);
    let permissions = entries(value, Permission::ALL.len(), "permissions", |item| {
        let found = Permission::ALL.into_iter().find(|permission| item.as_str() == Some(permission.name()));
        found.ok_or(format!("must be one of {}", names.join(", ")))
    })?;
    if permissions.is_empty() { Err(format!("must be some of {}", names.join(", "))) } else { Ok(permissions) }
}

/// The names by which requests may reach the listener of the server API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiHosts(Vec<Host>);

impl ApiHosts {
    /// Whether the value of a request's `Host` header names the listener.
    pub(crate) fn allow(&self, value: &str) -> bool {
        Host::parse(value).is_some_and(|host| self.0.contains(&host))
    }
}

/// Reads the value of `api.hosts`: a list of host names and IP addresses, or a single one.
pub(super) fn api_hosts(value: &DeValue<'_>) -> Result<ApiHosts, String> {
    let hosts = entries(value, MAX_HOSTS, "hosts", |item| {
        item.as_str()
            .and_then(Host::parse)
            .ok_or("must be a host name or an IP address, such as api.example.com or [::1]".to_owned())
    })?;
    if hosts.is_empty() { Err("must not be empty".into()) } else { Ok(ApiHosts(hosts)) }
}
