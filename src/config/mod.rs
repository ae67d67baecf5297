//! The configuration: every key with its unit, range and default, checked in one place.
//!
//! A value is looked for in the flags first (`--listen`, `--set limits.queue_bytes=100_000`), then in the environment
//! (`HANDCLASP_LIMITS_QUEUE_BYTES`), then in the file; else the default holds. All mistakes are reported together,
//! unknown keys included; see [`Errors`].
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
//! No other part reads the environment.

pub(crate) mod ice;
pub(crate) mod load;
pub(crate) mod origin;
pub(crate) mod schema;
pub(crate) mod source;
pub(crate) mod value;

pub use ice::IceServer;
pub use load::Errors;
pub use origin::Origins;
pub use schema::*;
pub use value::LogFormat;
