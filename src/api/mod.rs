//! The server API: what a backend can ask of the node over HTTP, on a listener and a thread of its own (`[api]`).
//!
//! `listener` accepts connections, and `dispatch` leads a request through the checks that all routes share: host, key,
//! permission, rate, body. The table of routes is in `routes`, and each group of routes has a file. `openapi.json`
//! describes them for programs, and a test compares the two.

mod answer;
mod ask;
pub(crate) mod batch;
mod call;
mod connection;
mod disconnect;
mod dispatch;
mod keys;
pub(crate) mod listener;
mod names;
mod node;
mod peers;
mod publish;
mod remembered;
mod revoke;
mod routes;
mod signal;
mod state;
mod times;
mod topics;
pub(crate) mod unix_socket;
