//! The ways in which bytes travel, one a file.

pub(crate) mod frames;
pub(crate) mod longpoll;
pub(crate) mod pipe;
pub(crate) mod poller;
pub(crate) mod websocket;
