//! A key by which signatures are checked. It has one algorithm, which follows from the key and never from a token.

use jsonwebtoken::{Algorithm, DecodingKey};

/// The minimum size of a shared secret, in bytes: that of a key for HMAC-SHA-256.
pub(super) const SHORTEST_SECRET: usize = 32;

/// A key that signatures are checked with.
#[derive(Debug)]
pub(super) struct Key {
    /// The `kid` by which a token can name it.
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
    /// Whether it is one of `auth.secrets`.
    pub(super) is_secret: bool,
}
