//! Every reason for which we end a connection: the code on the wire, the words, and whether the client
//! may come back. One table for all protocols and transports.
//!
//! Codes are those of RFC 6455, section 7.4. Nothing here is 1000: clients of Phoenix up to 1.8.15
//! never come back after it.

/// Why a connection was ended by us.
#[derive(Debug, PartialEq, Eq)]
pub struct Reason {
    /// The close code of RFC 6455; 1005 stands for a close frame without one.
    pub code: u16,
    /// What the client and the log are told; at most 123 bytes, as a close frame has no more room.
    pub words: &'static str,
    /// Whether the same client may simply connect again.
    pub again: bool,
    /// What it is called where ends are counted.
    pub(crate) name: &'static str,
}

const fn reason(name: &'static str, code: u16, words: &'static str, again: bool) -> Reason {
    Reason { code, words, again, name }
}

/// All of them.
pub const ALL: &[&Reason] = &[
    &IDLE,
    &DISCONNECTED,
    &PROTOCOL,
    &NOT_UTF8,
    &NOT_JOINED,
    &FLOOD,
    &SLOW,
    &TOO_BIG,
    &FRAGMENTED,
    &MALFORMED,
    &RESTART,
    &REFUSED,
    &LEFT,
    &TAKEN_OVER,
    &GONE,
    &CRASHED,
];

/// Nothing came from the client for `socket.idle_timeout`.
pub static IDLE: Reason = reason("idle", 1001, "idle timeout", true);
/// The server told this socket to go, by its id.
pub static DISCONNECTED: Reason = reason("disconnected", 1001, "disconnected by the server", true);
/// A frame that breaks RFC 6455.
pub static PROTOCOL: Reason = reason("protocol", 1002, "websocket protocol error", false);
/// A text message that is not UTF-8.
pub static NOT_UTF8: Reason = reason("not_utf8", 1007, "text is not utf-8", false);
/// Nothing was joined within `socket.join_within`.
pub static NOT_JOINED: Reason = reason("not_joined", 1008, "no topic joined in time", true);
/// The client sends far more than `limits.messages_per_second`.
pub static FLOOD: Reason = reason("flood", 1008, "too many messages", true);
/// The client takes its messages more slowly than they come: its queue is full, or too old.
pub static SLOW: Reason = reason("slow", 1008, "slow consumer", true);
/// A frame or message above `limits.message_bytes`.
pub static TOO_BIG: Reason = reason("too_big", 1009, "message too big", false);
/// A message in more pieces than `limits.fragments`.
pub static FRAGMENTED: Reason = reason("fragmented", 1009, "too many fragments", false);
/// A message that the wire protocol cannot read.
pub static MALFORMED: Reason = reason("malformed", 1011, "malformed message", false);
/// This server is going down; another one, or the same one soon, will answer.
pub static RESTART: Reason = reason("restart", 1012, "service restart", true);
/// The protocol has said why in a message of its own.
pub static REFUSED: Reason = reason("refused", 1005, "refused", false);
/// The client has said goodbye in a message of its protocol.
pub static LEFT: Reason = reason("left", 1005, "the client has left", true);
/// The same client has come back on another connection.
pub static TAKEN_OVER: Reason = reason("taken_over", 1005, "taken over by another connection", false);
/// The client closed the connection, or it broke; this is for our own tables, and never sent.
pub static GONE: Reason = reason("gone", 1006, "the client is gone", true);
/// The session has panicked, which is our fault; this too is never sent.
pub static CRASHED: Reason = reason("crashed", 1006, "the session has crashed", true);
