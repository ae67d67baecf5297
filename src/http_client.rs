//! The client of the HTTP services that an operator configures: the receiver of webhooks, and JWK Sets at a URL.
//!
//! It blocks its thread, so it belongs on one of its own. It follows no redirect, reads no proxy from the environment,
//! keeps no cookies and asks for no compression. Nothing that a server sends or omits costs more than the timeout, and
//! more memory than the caller allows.
//!
//! The crates `awc` and `reqwest` do not fit: the first brings HTTP/2, and the second a hundred crates and a runtime.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::http::header::HttpDate;
use ureq::http::HeaderMap;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Error};

use crate::config::https_url::HttpsUrl;

/// How much of the response to a POST request is read, in bytes. A connection with more is not used again.
const DISCARDED: u64 = 4 * 1024;
/// The maximum size of a response's headers, in bytes.
const HEADER_BYTES: usize = 16 * 1024;
/// How long a connection is kept for the next request. It is shorter than usual for servers, so that a request does not
/// meet a server that is closing the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// The maximum length of the text of an error, in characters: a part of it may come from the server's certificate.
const MAX_TEXT: usize = 200;

/// A client with one timeout for all of its requests. Clones share its connections.
///
/// ```ignore
/// let client = HttpClient::new(Duration::from_secs(5));
/// let keys: Vec<u8> = client.get(&url, 256 * 1024)?;
/// let response = client.post(&url, &[("Content-Type", "application/json")], b"{}")?;
/// assert!(response.is_success());
/// ```
#[derive(Clone)]
pub(crate) struct HttpClient(Agent);

/// The response to a POST request, whatever its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// How long the server asks to wait before the next request.
    pub(crate) retry_after: Option<Duration>,
}

impl Response {
    /// Whether the status is one of 200 to 299.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why a request has no response, or a GET request no usable one. `Display` is one line for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchError {
    /// The response was not complete in time.
    Timeout,
    /// The server cannot be reached, its certificate is not trusted, or its response is not HTTP.
    Failed(String),
    /// The response to a GET request has a status other than 200.
    Status(u16),
    /// The response to a GET request is larger than this number of bytes.
    TooLarge(usize),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no response in time"),
            Self::Failed(why) => f.write_str(why),
            Self::Status(status) => write!(f, "the status of the response is {status}"),
            Self::TooLarge(bytes) => write!(f, "the response has more than {bytes} bytes"),
        }
    }
}

impl std::error::Error for FetchError {}

impl HttpClient {
    /// A client whose requests take at most `timeout`, from the look-up of the host to the last byte of the response. It
    /// trusts the certificate authorities of the machine, or of the environment variables `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR`, which are read at the first request.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self::trusting(timeout, RootCerts::PlatformVerifier)
    }

    fn trusting(timeout: Duration, roots: RootCerts) -> Self {
        // the process may have no default, and must not get another provider from it
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build();
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .proxy(None)
            .user_agent(concat!("handclasp/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("")
            .max_response_header_size(HEADER_BYTES)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(KEEP_ALIVE)
            .tls_config(tls)
            .build();
        Self(Agent::new_with_config(config))
    }

    /// The body of `url`.
    ///
    /// # Errors
    /// When there is no response with status 200 in time, or it has more than `max_bytes`.
    pub(crate) fn get(&self, url: &HttpsUrl, max_bytes: usize) -> Result<Vec<u8>, FetchError> {
        let response = self.0.get(url.reveal()).call()?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(FetchError::Status(status));
        }
        let body = response.into_body().into_with_config().limit(max_bytes as u64).read_to_vec();
        body.map_err(|error| match error {
            Error::BodyExceedsLimit(_) => FetchError::TooLarge(max_bytes),
            error => error.into(),
        })
    }

    /// Sends `body` to `url`. The body of the response is thrown away.
    ///
    /// # Errors
    /// When there is no response in time. A response of any status, such as a redirect, is not an error.
    pub(crate) fn post(&self, url: &HttpsUrl, headers: &[(&str, &str)], body: &[u8]) -> Result<Response, FetchError> {
        let request =
            headers.iter().fold(self.0.post(url.reveal()), |request, (name, value)| request.header(*name, *value));
        let response = request.send(body)?;
        let answer = Response { status: response.status().as_u16(), retry_after: retry_after(response.headers()) };
        discard(response.into_body());
        Ok(answer)
    }

    /// Ends the requests that run on other threads: they fail at once. So does every later one.
    pub(crate) fn shut_down(&self) {
        self.0.clone().shutdown();
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

/// Reads a short body to its end, so that the connection can be used again. What has been received does not matter.
fn discard(body: Body) {
    let _ = io::copy(&mut body.into_reader().take(DISCARDED), &mut io::sink());
}

/// `Retry-After` in seconds, or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = SystemTime::from(text.parse::<HttpDate>().ok()?);
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

impl From<Error> for FetchError {
    fn from(error: Error) -> Self {
        match error {
            Error::Timeout(_) => Self::Timeout,
            Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Self::Timeout,
            Error::HostNotFound => Self::Failed("the host is not found".into()),
            Error::Io(error) => Self::Failed(line(&error.to_string())),
            Error::Rustls(error) => Self::Failed(line(&format!("TLS: {error}"))),
            Error::LargeResponseHeader(..) => Self::Failed("the headers of the response are too large".into()),
            // others may contain what the server has sent, or the URL
            _ => Self::Failed("the response is not valid HTTP".into()),
        }
    }
}

/// A text on one line.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}
