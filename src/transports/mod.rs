//! How a client's bytes travel: the traits between a transport and a session, and the transports themselves.

pub(crate) mod longpoll;
pub(crate) mod transport;
pub(crate) mod websocket;
