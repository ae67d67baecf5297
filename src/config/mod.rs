//! The configuration: every key with its type, range and default, and where its value comes from.
//!
//! Flags (`--listen`, `--set limits.queue_bytes=100_000`) override environment variables
//! (`HANDCLASP_LIMITS_QUEUE_BYTES`), which override the file, which overrides the defaults. All errors are reported
//! together, including unknown keys; see [`Errors`].
//!
//! ```
//! use handclasp::Config;
//!
//! let config = Config::load(None, [], &["limits.queue_bytes=100_000".into()], Some("127.0.0.1:0"))?;
//! assert_eq!(config.limits.queue_bytes, 100_000);
//! assert_eq!(config.server.listen.port(), 0);
//! # Ok::<(), handclasp::config::Errors>(())
//! ```
//!
//! No other module reads environment variables.

pub(crate) mod api;
mod api_checks;
pub(crate) mod auth;
mod auth_checks;
pub(crate) mod cluster;
mod cluster_checks;
mod entries;
pub(crate) mod hosts;
pub(crate) mod https_url;
pub(crate) mod ice;
pub(crate) mod listen;
pub(crate) mod load;
pub(crate) mod origin;
pub(crate) mod paths;
mod peerjs;
pub(crate) mod schema;
pub(crate) mod sections;
pub(crate) mod source;
mod tls_checks;
pub(crate) mod value;
mod warnings;
mod webhook_checks;
pub(crate) mod webhooks;

pub use api::{ApiHosts, ApiKey, ApiListen, Permission};
pub use auth::{AuthMode, KeySource};
pub use cluster::{ClusterScheme, ClusterUrl, Engine, InvalidClusterUrl, InvalidNodeName, Isolated, NodeName, Secret};
pub use hosts::{InvalidPublicUrl, PublicUrl};
pub use https_url::{HttpsUrl, InvalidHttpsUrl};
pub use ice::IceServer;
pub use listen::{InvalidListenAddress, ListenAddress};
pub use load::Errors;
pub use origin::{InvalidOrigin, Origins};
pub use schema::*;
pub use value::LogFormat;
pub use webhooks::{HookEvent, SigningSecret};
