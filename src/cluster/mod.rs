//! Several nodes as one broker: the adapter that all engines share, and the engines.

#[cfg_attr(not(test), expect(dead_code, reason = "the adapter, which sends the messages, is not here yet"))]
mod encoding;
pub mod engine;
#[cfg_attr(not(test), expect(dead_code, reason = "the adapter, which sends the messages, is not here yet"))]
mod envelope;
#[cfg_attr(not(test), expect(dead_code, reason = "the adapter, which sends the messages, is not here yet"))]
mod message;
mod replay;
mod schema;
