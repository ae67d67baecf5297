//! Tokens: signed JWTs by which clients show who they are and what they may do.
//!
//! [`Tokens`] checks and signs them, with the keys of the configuration. An accepted token becomes an [`Access`], which
//! the mounts put into the assigns of the socket. Its [`Grants`] say what the client may do. Nothing here knows a
//! protocol: where a token travels and how a refusal is told is in `protocols`.

mod access;
mod claims;
mod error;
mod grants;
mod jwks;
mod key;
mod keys;
mod keys_url;
mod later_tokens;
mod revocation;
pub(crate) mod revocations;
mod revocations_file;
mod subjects;
mod tokens;

pub use access::Access;
pub(crate) use claims::MAX_ID;
pub use error::{InvalidAuth, TokenError};
pub use grants::{GrantLists, Grants};
pub(crate) use later_tokens::{JoinTokens, LaterRefusal, LaterTokens, Refreshed};
pub use revocation::{Revocation, RevocationsPage, RevokedTokens};
pub(crate) use subjects::SubjectSlot;
pub use tokens::{TokenRequest, Tokens};
