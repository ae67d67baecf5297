//! Single connections: how many are admitted, their timeouts, and how they close;
//! with and without TLS.

#[path = "../common/mod.rs"]
mod common;

mod closing;
mod connection_limits;
mod disconnects;
mod lost_time;
mod slow_client;
mod timeouts;
mod tls;

/// Timeouts of clients that send nothing, short enough for tests.
const SHORT_TIMEOUTS: [&str; 8] = [
    "socket.idle_timeout=1s",
    "socket.poll_window=1s",
    "peerjs.alive_timeout=1s",
    "hello.enabled=true",
    "hello.ping_interval=500ms",
    "hello.ping_timeout=500ms",
    "socketio.ping_interval=500ms",
    "socketio.ping_timeout=500ms",
];
