//! The connections of a node: the mailbox and the limits of each one, the hub that tracks all of them, and the write
//! side of their sockets. Reading from the sockets belongs to `transports`.

pub(crate) mod activity;
pub(crate) mod client_kinds;
pub(crate) mod client_stream;
pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod envelope;
pub(crate) mod flusher;
mod held_token;
pub(crate) mod hub;
pub(crate) mod incomplete;
pub(crate) mod ip_limits;
pub(crate) mod limits;
pub(crate) mod line_limit;
pub(crate) mod mailbox;
pub(crate) mod mailbox_stream;
pub(crate) mod output;
pub(crate) mod pace;
pub(crate) mod ready_queue;
pub(crate) mod relief;
pub(crate) mod token_bucket;
pub(crate) mod walk;
pub(crate) mod writer;
