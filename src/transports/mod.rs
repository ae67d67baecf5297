//! The transports, which carry frames between clients and sessions: WebSocket and long polling, and the traits between
//! a transport and a session. The formats of the messages in the frames are in `protocols`.

pub(crate) mod longpoll;
pub(crate) mod transport;
pub(crate) mod websocket;
