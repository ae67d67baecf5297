//! The wire formats, each in a file or folder with its HTTP routes.
//!
//! A new protocol is written in five places:
//!
//! 1. its file here, with its `ProtocolMount` and a `mount` for its configuration;
//! 2. its `mod` line below;
//! 3. its line in `mounts.rs`, which mounts it when the configuration enables it;
//! 4. its line in the realms of `topic.rs`, which gives it a namespace of topics and its label in the metrics;
//! 5. its section in `config/schema.rs`.
//!
//! A protocol of the application's own needs none of these: see [`Endpoint::protocol`](crate::Endpoint::protocol) and
//! `tests/examples/lines.rs`.

pub(crate) mod custom;
pub(crate) mod engineio;
pub(crate) mod hello;
pub(crate) mod mounts;
pub(crate) mod peerjs;
pub(crate) mod phoenix;
pub(crate) mod socketio;
mod upgrade;
