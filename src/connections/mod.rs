//! The connections of a node: each with its mailbox and its limits, all of them together, and the writing half of their
//! sockets.

pub(crate) mod connection;
pub(crate) mod envelope;
pub(crate) mod flusher;
pub(crate) mod hub;
pub(crate) mod ip_limits;
pub(crate) mod limits;
pub(crate) mod mailbox;
pub(crate) mod ready_queue;
pub(crate) mod token_bucket;
pub(crate) mod writer;
