//! The protocols, message by message: Phoenix, PeerJS, Engine.IO, Socket.IO and HelloWebRTC.

#[path = "../common/mod.rs"]
mod common;
/// The server of the example `phoenix_conformance`.
#[path = "../examples/conformance/mod.rs"]
mod conformance_server;

mod conformance_longpoll;
mod conformance_websocket;
mod custom_protocol;
mod echo;
mod engineio_polling;
mod hello;
mod isolation;
mod peerjs_http;
mod peerjs_streaming;
mod phoenix_longpoll;
mod relay;
mod socketio_0_9;
mod transcripts;
