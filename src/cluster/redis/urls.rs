//! The URLs of the engine's servers: what they may look like, and what is wrong with those that do not.

use std::fmt;

use percent_encoding::percent_decode_str;
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisResult};

const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26379;

/// A server: Redis or a Sentinel.
#[derive(Clone)]
pub(super) struct Server {
    host: String,
    port: u16,
    access: Access,
}

/// How a server is spoken to.
#[derive(Clone, Default, PartialEq, Eq)]
struct Access {
    tls: bool,
    user: Option<String>,
    password: Option<String>,
    database: i64,
}

/// The servers, in the order in which they are tried.
pub(super) enum Servers {
    /// The addresses of one Redis server and of its replicas, one of which is the primary.
    Addresses(Vec<Server>),
    /// Sentinels that know the primary's address.
    Sentinels {
        /// The Sentinels.
        sentinels: Vec<Server>,
        /// What the Sentinels call the primary.
        service: String,
    },
}

impl Servers {
    /// Reads the URLs. The error names the wrong one without its password.
    pub(super) fn parse(urls: &[String]) -> Result<Self, String> {
        let mut parsed = Vec::with_capacity(urls.len());
        for url in urls {
            parsed.push((url, Parsed::new(url).map_err(|why| format!("{}: {why}", masked(url)))?));
        }
        let Some((_, first)) = parsed.first() else {
            return Err("there is no URL of a Redis server".into());
        };
        let (service, access) = (first.service.clone(), first.access.clone());
        if let Some((url, _)) = parsed.iter().find(|(_, url)| url.service != service) {
            return Err(format!("{}: all URLs name Sentinels of the same service, or none does", masked(url)));
        }
        // Sentinels say where the primary is, not how to speak to it
        if let Some((url, _)) = parsed.iter().find(|(_, url)| service.is_some() && url.access != access) {
            return Err(format!("{}: all Sentinels' URLs have the same scheme, user and password", masked(url)));
        }
        let servers = parsed.into_iter().flat_map(|(_, url)| url.servers()).collect();
        Ok(match service {
            Some(service) => Self::Sentinels { sentinels: servers, service },
            None => Self::Addresses(servers),
        })
    }

    /// Whether any server is spoken to by TLS.
    pub(super) fn use_tls(&self) -> bool {
        let (Self::Addresses(servers) | Self::Sentinels { sentinels: servers, .. }) = self;
        servers.iter().any(|server| server.access.tls)
    }
}

impl Server {
    /// The server at another address, with the same user and password.
    pub(super) fn at(&self, host: String, port: u16) -> Self {
        Self { host, port, access: self.access.clone() }
    }

    /// A client that logs in, or that does not: most Sentinels have no password.
    pub(super) fn client(&self, logs_in: bool) -> RedisResult<Client> {
        let (host, port) = (self.host.clone(), self.port);
        let address = match self.access.tls {
            true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            false => ConnectionAddr::Tcp(host, port),
        };
        // whoever may not run CLIENT SETINFO would fill the server's log of refused commands
        let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
        if logs_in {
            login = login.set_db(self.access.database);
            login = self.access.user.iter().fold(login, |login, user| login.set_username(user));
            login = self.access.password.iter().fold(login, |login, password| login.set_password(password));
        }
        let tcp = TcpSettings::default().set_nodelay(true);
        Client::open(address.into_connection_info()?.set_tcp_settings(tcp).set_redis_settings(login))
    }

    /// Whether the URL has a password.
    pub(super) fn has_password(&self) -> bool {
        self.access.password.is_some()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The parts of one URL.
struct Parsed {
    hosts: Vec<(String, u16)>,
    access: Access,
    service: Option<String>,
}

impl Parsed {
    fn new(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (tls, is_sentinel) = match scheme {
            "redis" => (false, false),
            "rediss" => (true, false),
            "redis+sentinel" => (false, true),
            "rediss+sentinel" => (true, true),
            _ => return Err("the URL has to begin with redis://, rediss:// or redis+sentinel://".into()),
        };
        // the last @: a password may contain others, and slashes
        let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        if rest.contains(['?', '#']) {
            return Err("the URL may not have a query or a fragment".into());
        }
        let mut access = Access { tls, ..user.map(credentials).transpose()?.unwrap_or_default() };
        if !is_sentinel {
            access.database = match path {
                "" => 0,
                number => i64::from(number.parse::<u32>().map_err(|_| "the number of the database is wrong")?),
            };
            return Ok(Self { hosts: vec![host(hosts, DEFAULT_PORT)?], access, service: None });
        }
        let hosts = hosts.split(',').map(|text| host(text, DEFAULT_SENTINEL_PORT)).collect::<Result<_, _>>()?;
        match path {
            "" => Err("the name of the service is missing after the last host: /SERVICE".into()),
            service if service.contains('/') => Err("the name of the service may not contain a slash".into()),
            service => Ok(Self { hosts, access, service: Some(decoded(service)?) }),
        }
    }

    fn servers(self) -> impl Iterator<Item = Server> {
        let access = self.access;
        self.hosts.into_iter().map(move |(host, port)| Server { host, port, access: access.clone() })
    }
}

fn credentials(text: &str) -> Result<Access, String> {
    let (user, password) = text.split_once(':').ok_or("the URL has a user but no password: USER:PASSWORD@")?;
    let user = if user.is_empty() { None } else { Some(decoded(user)?) };
    Ok(Access { user, password: Some(decoded(password)?), ..Access::default() })
}

fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| "a part of the URL is not UTF-8")?;
    Ok(text.into_owned())
}

fn host(text: &str, default_port: u16) -> Result<(String, u16), String> {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, port))) => (host, (!port.is_empty()).then_some(port)),
        Some(None) => return Err("a bracket after the IPv6 address is missing".into()),
        None => text.find(':').map_or((text, None), |at| (&text[..at], Some(&text[at..]))),
    };
    if host.is_empty() || !host.chars().all(|c| c.is_alphanumeric() || "-._:%".contains(c)) {
        return Err(format!("{host:?} is not the name of a host"));
    }
    let Some(port) = port else {
        return Ok((host.to_owned(), default_port));
    };
    let number = port.strip_prefix(':').and_then(|port| port.parse().ok()).filter(|port| *port != 0);
    let number = number.ok_or_else(|| format!("the port {port:?} is not a number from 1 to 65535"))?;
    Ok((host.to_owned(), number))
}

/// The URL without its user and password.
fn masked(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((hidden, rest)) => {
            let scheme = hidden.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("{scheme}***@{rest}")
        }
        None => url.to_owned(),
    }
}
