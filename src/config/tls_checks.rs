//! What follows from the values of `[tls]`: the certificate and the key need each other, and the redirect needs both.

use crate::config::schema::{Config, Tls};

impl Tls {
    /// Whether the public listener speaks TLS.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.cert.is_some()
    }
}

pub(super) fn conflict(Config { tls, server, metrics, .. }: &Config) -> Option<String> {
    match (&tls.cert, &tls.key) {
        (Some(_), None) => return Some("tls.key: missing, but tls.cert is set".into()),
        (None, Some(_)) => return Some("tls.cert: missing, but tls.key is set".into()),
        _ => {}
    }
    let redirect = tls.redirect.as_ref()?;
    if !tls.is_on() {
        return Some("tls.redirect: set, but tls.cert is not: there is no https to redirect to".into());
    }
    let others = [("server.listen", Some(&server.listen)), ("metrics.listen", metrics.listen.as_ref())];
    let same = others.into_iter().find(|(_, other)| *other == Some(redirect) && redirect.port() != 0);
    same.map(|(key, _)| format!("tls.redirect: {redirect} is {key} too"))
}
