//! Reads a JWK Set (RFC 7517). The algorithm of a key follows from its kind, so a token cannot choose it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::key::{Key, SHORTEST_SECRET};

/// The maximum number of keys of a set, and its maximum size, in bytes.
const MAX_KEYS: usize = 32;
pub(super) const MAX_BYTES: usize = 256 * 1024;
/// The sizes of an RSA modulus that are accepted, in bits. The library verifies with no others.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// The size of a coordinate of P-256, and of an Ed25519 key, in bytes.
const CURVE_BYTES: usize = 32;
/// How much of a `kid` a warning shows.
const SHOWN_ID: usize = 64;

/// The keys of a set that can be used, and a warning for each that cannot.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    pub(super) keys: Vec<Key>,
    pub(super) warnings: Vec<String>,
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads the set in a file.
    ///
    /// # Errors
    /// What is wrong with the file. It does not contain a key.
    pub(super) fn from_file(path: &Path) -> Result<Self, String> {
        let (mut text, unreadable) = (Vec::new(), |error| format!("cannot be read: {error}"));
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
        Self::parse(&text)
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("has more than {} KiB", MAX_BYTES / 1024));
        }
        let RawSet { keys } =
            serde_json::from_slice(text).map_err(|_| r#"is not a JWK Set: {"keys": [...]}"#.to_owned())?;
        if keys.len() > MAX_KEYS {
            return Err(format!("has {} keys, at most {MAX_KEYS}", keys.len()));
        }
        let mut set = Self::default();
        for (n, key) in keys.into_iter().enumerate() {
            let id = key.get("kid").and_then(Value::as_str).map(shown).unwrap_or_default();
            match key_of(key) {
                Ok(key) => set.keys.push(key),
                Err(why) => set.warnings.push(format!("key {}{id} is skipped: {why}", n + 1)),
            }
        }
        Ok(set)
    }

    /// The same set, without the keys that are secret: a URL shows them to others.
    pub(super) fn without_secrets(mut self) -> Self {
        let secrets = self.keys.extract_if(.., |key| key.algorithm == Algorithm::HS256);
        self.warnings.extend(secrets.map(|key| {
            let id = key.id.as_deref().map(shown).unwrap_or_default();
            format!("a key{id} is skipped: it is a secret (oct), which must not be at a URL")
        }));
        self
    }
}

fn shown(id: &str) -> String {
    let start: String = id.chars().take(SHOWN_ID).collect();
    format!(" (kid {start:?})")
}

fn key_of(key: Value) -> Result<Key, &'static str> {
    let jwk: Jwk = serde_json::from_value(key).map_err(|_| "it is not a JWK")?;
    let algorithm = algorithm_of(&jwk.algorithm)?;
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return Err("its `use` is not \"sig\"");
    }
    if jwk.common.key_operations.as_ref().is_some_and(|operations| !operations.contains(&KeyOperations::Verify)) {
        return Err("its `key_ops` do not contain \"verify\"");
    }
    if jwk.common.key_algorithm.is_some_and(|named| named != KeyAlgorithm::from(algorithm)) {
        return Err("its `alg` is not the one of its kind: HS256, RS256, ES256 or EdDSA");
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| "it cannot be decoded")?;
    Ok(Key { id: jwk.common.key_id, algorithm, key, is_secret: false })
}

/// The algorithm of a key, if its kind and its size are accepted.
fn algorithm_of(key: &AlgorithmParameters) -> Result<Algorithm, &'static str> {
    let size = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).map_or(0, |bytes| bytes.len());
    match key {
        AlgorithmParameters::OctetKey(key) if size(&key.value) >= SHORTEST_SECRET => Ok(Algorithm::HS256),
        AlgorithmParameters::OctetKey(_) => Err("the secret has less than 32 bytes"),
        AlgorithmParameters::RSA(key) if RSA_BITS.contains(&bits(&key.n)) => Ok(Algorithm::RS256),
        AlgorithmParameters::RSA(_) => Err("the RSA key has less than 2,048 bits, or more than 8,192"),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            match size(&key.x) == CURVE_BYTES && size(&key.y) == CURVE_BYTES {
                true => Ok(Algorithm::ES256),
                false => Err("its coordinates do not have 32 bytes"),
            }
        }
        AlgorithmParameters::OctetKeyPair(key)
            if key.curve == EllipticCurve::Ed25519 && size(&key.x) == CURVE_BYTES =>
        {
            Ok(Algorithm::EdDSA)
        }
        _ => Err("only RSA, P-256, Ed25519 and oct keys are supported"),
    }
}

/// The number of bits of a number in base64url.
fn bits(number: &str) -> usize {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(number).unwrap_or_default();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros).map_or(0, |first| (bytes.len() - zeros) * 8 - first.leading_zeros() as usize)
}
