//! All keys of the configuration, and the check of a signature by them.

use jsonwebtoken::crypto::verify;
use jsonwebtoken::{Algorithm, DecodingKey};

use super::error::{InvalidAuth, TokenError};
use super::jwks::KeySet;
use super::key::Key;
use super::keys_url::KeysUrl;
use crate::config::auth::KeySource;
use crate::config::schema::Auth;
use crate::refusal::TokenRefusal;

/// So many keys are tried for a token that names none, because each costs time, also for a forged token.
const MAX_TRIED: usize = 4;

/// All keys.
pub(super) struct Keys {
    /// Those of the configuration: its secrets, and the set in a file.
    fixed: Vec<Key>,
    /// Those at a URL.
    at_url: Option<KeysUrl>,
}

impl Keys {
    #[cfg(test)]
    pub(super) fn of(keys: Vec<Key>) -> Self {
        Self { fixed: keys, at_url: None }
    }

    /// The secrets and the JWK Set of the configuration, and warnings of the set's keys that cannot be used. The set at a
    /// URL is read when the node [starts](Self::start_reading).
    pub(super) fn read(config: &Auth) -> Result<(Self, Vec<String>), InvalidAuth> {
        let mut fixed = Vec::new();
        for secret in &config.secrets {
            let key = DecodingKey::from_secret(secret.reveal()).expect("a secret of the configuration is not empty");
            fixed.push(Key { id: None, algorithm: Algorithm::HS256, key, is_secret: true });
        }
        let Some(KeySource::File(path)) = &config.jwks else {
            return Ok((Self { fixed, at_url: None }, Vec::new()));
        };
        let named = |what: &str| format!("auth.jwks: {}: {what}", path.display());
        let set = KeySet::from_file(path).map_err(|what| InvalidAuth(named(&what)))?;
        if fixed.is_empty() && set.keys.is_empty() {
            let all = set.warnings.join("; ");
            return Err(InvalidAuth(named(&format!("no key can be used. {all}"))));
        }
        fixed.extend(set.keys);
        Ok((Self { fixed, at_url: None }, set.warnings.iter().map(|warning| named(warning)).collect()))
    }

    /// Reads the set at a URL, if the configuration has one, and then again and again.
    pub(super) fn start_reading(&mut self, config: &Auth) -> Result<(), InvalidAuth> {
        let Some(KeySource::Url(url)) = &config.jwks else { return Ok(()) };
        let unstarted = |error| InvalidAuth(format!("auth.jwks: cannot start a thread: {error}"));
        self.at_url = Some(KeysUrl::start(url.clone(), config.jwks_refresh).map_err(unstarted)?);
        Ok(())
    }

    /// Whether there are none, because the set at the URL could not be read yet.
    pub(super) fn are_none(&self) -> bool {
        self.fixed.is_empty() && self.at_url.as_ref().is_none_or(|at_url| at_url.keys().is_empty())
    }

    pub(super) fn at_url(&self) -> Option<&KeysUrl> {
        self.at_url.as_ref()
    }

    /// Checks a signature by the key that the token names, or else by the first keys of the algorithm.
    pub(super) fn verify(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        message: &str,
        signature: &str,
    ) -> Result<(), TokenError> {
        let invalid = |why| Err(TokenError { refusal: TokenRefusal::Invalid, why });
        let at_url = self.at_url.as_ref().map(KeysUrl::keys).unwrap_or_default();
        // a secret of the configuration has no id: it fits whatever a token calls it
        let is_named =
            |key: &&Key| id.is_none() || key.id.as_deref() == id || key.is_secret && algorithm == key.algorithm;
        let mut named = self.fixed.iter().chain(&*at_url).filter(is_named).peekable();
        if named.peek().is_none() {
            if let Some(at_url) = &self.at_url {
                at_url.key_unknown();
            }
            return Err(TokenError { refusal: TokenRefusal::KeyUnknown, why: "no key has the `kid` of its header" });
        }
        let mut fitting = named.filter(|key| key.algorithm == algorithm).peekable();
        if fitting.peek().is_none() {
            return invalid("no key is for the `alg` of its header");
        }
        let is_right = |key: &Key| verify(signature, message.as_bytes(), &key.key, key.algorithm).unwrap_or(false);
        match fitting.take(MAX_TRIED).any(is_right) {
            true => Ok(()),
            false => invalid("its signature does not fit any key"),
        }
    }
}
