//! The options of the engine, checked once, and the servers that its URLs name.

use std::fmt;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;

/// The longest prefix. It is part of every subject and of the names of the buckets.
const MAX_PREFIX_BYTES: usize = 64;

/// The options of [`Nats`](super::Nats).
#[derive(Clone)]
pub struct NatsOptions {
    /// The servers, each as `nats://host:port` or `tls://host:port`, of one cluster or one server. A user and a
    /// password, a token, or the seed of an nkey may stand before the host.
    pub urls: Vec<String>,
    /// The first part of every subject, and of the names of the buckets.
    pub prefix: String,
    /// How long a request may take.
    pub timeout: Duration,
    /// How long a node counts as alive after a heartbeat.
    pub lease: Duration,
}

/// How a node proves to a server who it is.
#[derive(Clone)]
enum Credentials {
    None,
    Password(String, String),
    Token(String),
    Nkey(String),
}

/// A server, without the credentials in its address.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: ServerAddr,
    credentials: Credentials,
}

impl Server {
    fn parse(url: &str) -> Result<Self, String> {
        let parsed = url.parse::<ServerAddr>().ok().filter(|parsed| matches!(parsed.scheme(), "nats" | "tls"));
        let parsed = parsed.ok_or("it is not like nats://host:4222 or tls://host:4222")?;
        if parsed.host().is_empty() {
            return Err("it has no host".into());
        }
        let decode = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(String::from).map_err(|_| "its user or password is not UTF-8".to_owned())
        };
        let user = parsed.username().map(decode).transpose()?;
        let credentials = match (user, parsed.password().map(decode).transpose()?) {
            (None, None) => Credentials::None,
            (Some(user), Some(password)) => Credentials::Password(user, password),
            (Some(seed), None) if is_seed(&seed) => Credentials::Nkey(seed),
            (Some(token), None) => Credentials::Token(token),
            (None, Some(_)) => return Err("it has a password without a user".into()),
        };
        let mut bare = parsed.into_inner();
        // both fail only for URLs without a host
        let _ = bare.set_username("");
        let _ = bare.set_password(None);
        let address = ServerAddr::from_url(bare).map_err(|error| error.to_string())?;
        Ok(Self { address, credentials })
    }

    /// The client's options with the server's credentials.
    pub(super) fn authorize(&self, options: ConnectOptions) -> ConnectOptions {
        match self.credentials.clone() {
            Credentials::None => options,
            Credentials::Password(user, password) => options.user_and_password(user, password),
            Credentials::Token(token) => options.token(token),
            Credentials::Nkey(seed) => options.nkey(seed),
        }
    }
}

/// The host and the port.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (self.address.host(), self.address.port());
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Whether the text looks like the seed of a user's nkey: `SU` and 56 more characters of base32.
fn is_seed(text: &str) -> bool {
    text.len() == 58 && text.starts_with("SU") && text.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7'))
}

/// Reads the URLs. An error names the URL without its credentials.
pub(super) fn servers(options: &NatsOptions) -> Result<Vec<Server>, String> {
    let NatsOptions { urls, prefix, .. } = options;
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if prefix.is_empty() || prefix.len() > MAX_PREFIX_BYTES || !prefix.bytes().all(fits) {
        return Err(format!(
            "the prefix {prefix:?} has characters other than letters, digits, - and _, or not 1 to {MAX_PREFIX_BYTES} of them"
        ));
    }
    if urls.is_empty() {
        return Err("there is no URL of a NATS server".into());
    }
    let server =
        |url: &String| Server::parse(url).map_err(|error| format!("the URL {}: {error}", without_secrets(url)));
    urls.iter().map(server).collect()
}

/// The URL without what stands before its last `@`.
fn without_secrets(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://...@{host}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(urls: &[&str], prefix: &str) -> Result<Vec<Server>, String> {
        let urls = urls.iter().map(ToString::to_string).collect();
        let (timeout, lease) = (Duration::from_millis(500), Duration::from_secs(10));
        servers(&NatsOptions { urls, prefix: prefix.into(), timeout, lease })
    }

    #[test]
    fn urls_name_a_server_and_its_credentials() {
        let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
        let nkey = format!("nats://{seed}@[::1]");
        let all = parse(&["nats://a", "tls://b:1", "nats://u:p%40@c:2", "nats://secret@d", &nkey], "p").unwrap();
        let shown: Vec<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["a:4222", "b:1", "c:2", "d:4222", "[::1]:4222"]);
        assert!(all[1].address.tls_required() && !all[0].address.tls_required());
        assert!(
            matches!(&all[2].credentials, Credentials::Password(user, password) if user == "u" && password == "p@")
        );
        assert!(matches!(&all[3].credentials, Credentials::Token(token) if token == "secret"));
        assert!(matches!(&all[4].credentials, Credentials::Nkey(nkey) if nkey == seed));
        assert!(all.iter().all(|server| server.address.username().is_none() && server.address.password().is_none()));
    }

    #[test]
    fn an_error_names_the_url_without_its_secrets() {
        for (url, shown) in [
            ("redis://u:hidden@h", "redis://...@h: it is not like nats://"),
            ("nats://u:hid@den@h:99999", "nats://...@h:99999: it is not like nats://"),
            ("ws://h", "ws://h: it is not like nats://"),
            ("nats://", "nats://: it has no host"),
            ("nats://:hidden@h", "nats://...@h: it has a password without a user"),
        ] {
            let error = parse(&["nats://good", url], "p").err().unwrap();
            assert!(error.contains(shown) && !error.contains("hid") && !error.contains("den@"), "{error}");
        }
        assert!(parse(&[], "p").err().unwrap().contains("no URL"));
        assert!(parse(&["nats://a"], "a.b").err().unwrap().contains("\"a.b\""));
    }
}
