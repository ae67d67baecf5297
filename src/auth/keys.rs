//! All keys of the configuration, and the check of a signature by them.

use jsonwebtoken::crypto::verify;
use jsonwebtoken::{Algorithm, DecodingKey};

use super::error::{InvalidAuth, TokenError};
use super::jwks::KeySet;
use super::key::Key;
use crate::config::schema::Auth;
use crate::refusal::TokenRefusal;

/// So many keys are tried for a token that names none, because each costs time, also for a forged token.
const MAX_TRIED: usize = 4;

/// All keys.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    #[cfg(test)]
    pub(super) fn of(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    /// The secrets and the JWK Set of the configuration, and warnings of the set's keys that cannot be used.
    pub(super) fn read(config: &Auth) -> Result<(Self, Vec<String>), InvalidAuth> {
        let mut keys = Vec::new();
        for secret in &config.secrets {
            let key = DecodingKey::from_secret(secret.reveal()).expect("a secret of the configuration is not empty");
            keys.push(Key { id: None, algorithm: Algorithm::HS256, key, is_secret: true });
        }
        let Some(path) = &config.jwks else { return Ok((Self(keys), Vec::new())) };
        let named = |what: &str| format!("auth.jwks: {}: {what}", path.display());
        let set = KeySet::from_file(path).map_err(|what| InvalidAuth(named(&what)))?;
        if keys.is_empty() && set.keys.is_empty() {
            let all = set.warnings.join("; ");
            return Err(InvalidAuth(named(&format!("no key can be used. {all}"))));
        }
        keys.extend(set.keys);
        Ok((Self(keys), set.warnings.iter().map(|warning| named(warning)).collect()))
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
        // a secret of the configuration has no id: it fits whatever a token calls it
        let is_named =
            |key: &&Key| id.is_none() || key.id.as_deref() == id || key.is_secret && algorithm == key.algorithm;
        let mut named = self.0.iter().filter(is_named).peekable();
        if named.peek().is_none() {
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
