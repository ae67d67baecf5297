//! [`HttpsUrl`]: the URL of a service that the node sends requests to, such as the receiver of webhooks.

use std::fmt;
use std::str::FromStr;

use toml::de::DeValue;
use url::{Host, Url};

/// The maximum length of a URL, in bytes.
const MAX_BYTES: usize = 2_048;

/// An `https:` URL, or an `http:` URL of the machine itself. It has no user name, no password and no fragment. `Display`
/// and `Debug` show its origin alone: its path and its query may be secrets.
///
/// ```
/// use handclasp::config::HttpsUrl;
///
/// let url: HttpsUrl = "https://backend.example.com/hooks?key=hunter2".parse()?;
/// assert_eq!(url.to_string(), "https://backend.example.com");
/// # Ok::<(), handclasp::config::InvalidHttpsUrl>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct HttpsUrl(Url);

/// The error of a text that is not such a URL. It does not contain the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidHttpsUrl {
    /// The text is no URL, or not one of the web, or has a fragment, or is longer than 2,048 bytes.
    Form,
    /// The scheme is `http`, and the host is not the machine itself.
    Plain,
    /// The URL has a user name or a password, which logs and proxies would show.
    UserName,
}

impl fmt::Display for InvalidHttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "must be a URL such as https://backend.example.com/hooks",
            Self::Plain => "must begin with https: only localhost and addresses of loopback may have http",
            Self::UserName => "must have no user name and no password",
        })
    }
}

impl std::error::Error for InvalidHttpsUrl {}

impl HttpsUrl {
    /// The whole URL.
    pub(crate) fn reveal(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for HttpsUrl {
    type Err = InvalidHttpsUrl;

    fn from_str(text: &str) -> Result<Self, InvalidHttpsUrl> {
        // what the parser would remove, or encode, is probably a mistake
        let is_plain = text.len() <= MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        let url = Url::parse(text).ok().filter(|_| is_plain).ok_or(InvalidHttpsUrl::Form)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidHttpsUrl::UserName);
        }
        match url.scheme() {
            _ if url.fragment().is_some() || url.port() == Some(0) => Err(InvalidHttpsUrl::Form),
            "https" => Ok(Self(url)),
            "http" if is_loopback(&url) => Ok(Self(url)),
            "http" => Err(InvalidHttpsUrl::Plain),
            _ => Err(InvalidHttpsUrl::Form),
        }
    }
}

/// Whether requests to the host stay on the machine. A name server may know other names below `localhost`.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        None => false,
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

impl fmt::Debug for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads a URL. An empty string means none. Errors never show the value.
pub(super) fn https_url_or_none(value: &DeValue<'_>) -> Result<Option<HttpsUrl>, String> {
    match value.as_str().unwrap_or_default() {
        "" if value.as_str().is_some() => Ok(None),
        text => text.parse().map(Some).map_err(|error: InvalidHttpsUrl| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, InvalidHttpsUrl> {
        text.parse::<HttpsUrl>().map(|url| url.reveal().to_owned())
    }

    #[test]
    fn only_https_leaves_the_machine() {
        for text in [
            "https://a.test/",
            "https://a.test:8443/hooks?key=1",
            "https://192.0.2.1/",
            "http://localhost:3000/hooks",
            "http://127.0.0.1/",
            "http://127.9.9.9:1/",
            "http://[::1]:3000/",
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(text));
        }
        for text in
            ["http://a.test/", "http://localhost.a.test/", "http://a.localhost/", "http://128.0.0.1", "http://[::2]/"]
        {
            assert_eq!(parsed(text), Err(InvalidHttpsUrl::Plain), "{text}");
        }
    }

    /// The client gets the address as it was checked, and never a text that it might read in another way.
    #[test]
    fn an_address_is_normalised() {
        assert_eq!(parsed("http://127.1/x").as_deref(), Ok("http://127.0.0.1/x"));
        assert_eq!(parsed("http://2130706433").as_deref(), Ok("http://127.0.0.1/"));
        assert_eq!(parsed("http://[::ffff:127.0.0.1]/").as_deref(), Ok("http://[::ffff:7f00:1]/"));
        assert_eq!(parsed("HTTPS://A.Test/../x").as_deref(), Ok("https://a.test/x"));
        assert_eq!(parsed(r"http://localhost\@evil.test/").as_deref(), Ok("http://localhost/@evil.test/"));
    }

    /// Services give addresses out whose path is the secret.
    #[test]
    fn only_the_origin_is_shown() {
        let url: HttpsUrl = "https://a.test:8443/hunter2?key=hunter2".parse().unwrap();
        assert_eq!(
            (url.to_string().as_str(), format!("{url:?}").as_str()),
            ("https://a.test:8443", "https://a.test:8443")
        );
    }

    #[test]
    fn a_user_name_is_refused_and_not_shown() {
        for text in
            ["https://me@a.test/", "https://me:hunter2@a.test/", "https://:hunter2@a.test/", "http://localhost@a.test/"]
        {
            assert_eq!(parsed(text), Err(InvalidHttpsUrl::UserName), "{text}");
        }
    }

    #[test]
    fn everything_else_is_no_url() {
        for text in [
            "",
            "a.test",
            "//a.test/",
            "ftp://a.test/",
            "https://",
            "https://a.test/#x",
            "https://a.test:0/",
            "https://a b/",
            "https://é.test/",
        ] {
            assert_eq!(parsed(text), Err(InvalidHttpsUrl::Form), "{text}");
        }
        assert_eq!(parsed(&format!("https://a.test/{}", "a".repeat(MAX_BYTES))), Err(InvalidHttpsUrl::Form));
    }
}
