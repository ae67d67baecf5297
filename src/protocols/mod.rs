//! The wire formats. Each has a file, and a folder of the same name for its channel and its HTTP routes.
//!
//! Transports, sessions and channels know no wire format; they do not belong here.
//!
//! A new built-in protocol needs five changes:
//!
//! 1. its file here, with its `ProtocolMount` and a `mount` function for its configuration;
//! 2. its `mod` declaration below;
//! 3. its entry in `mounts.rs`, which mounts it when the configuration enables it;
//! 4. its realm in `topic.rs`, which gives it a namespace of topics and a label in the metrics;
//! 5. its section in `config/schema.rs`.
//!
//! An application can add a protocol without any of these changes: see
//! [`Endpoint::protocol`](crate::Endpoint::protocol) and `tests/examples/lines.rs`.

pub(crate) mod custom;
pub(crate) mod engineio;
pub(crate) mod hello;
pub(crate) mod mounts;
mod next_steps;
pub(crate) mod peerjs;
pub(crate) mod phoenix;
mod refused;
pub(crate) mod relay;
pub(crate) mod socketio;
mod upgrade;
