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

/// Declares the reasons: name, what it is called where ends are counted, code, words, may the client come back.
macro_rules! reasons {
    ($($(#[doc = $says:literal])+ $NAME:ident = $name:literal, $code:literal, $words:literal, $again:literal;)+) => {
        $(
            $(#[doc = $says])+
            pub static $NAME: Reason = Reason { code: $code, words: $words, again: $again, name: $name };
        )+

        /// All of them.
        pub const ALL: &[&Reason] = &[$(&$NAME),+];
    };
}

reasons! {
    /// Nothing came from the client for `socket.idle_timeout`.
    IDLE = "idle", 1001, "idle timeout", true;
    /// The server told this socket to go, by its id.
    DISCONNECTED = "disconnected", 1001, "disconnected by the server", true;
    /// A frame that breaks RFC 6455.
    PROTOCOL = "protocol", 1002, "websocket protocol error", false;
    /// A text message that is not UTF-8.
    NOT_UTF8 = "not_utf8", 1007, "text is not utf-8", false;
    /// Nothing was joined within `socket.join_timeout`.
    NOT_JOINED = "not_joined", 1008, "no topic joined in time", true;
    /// The client sends far more than `limits.messages_per_second`.
    FLOOD = "flood", 1008, "too many messages", true;
    /// The client takes its messages more slowly than they come: its queue is full, or too old.
    SLOW = "slow", 1008, "slow consumer", true;
    /// A frame or message above `limits.message_bytes`.
    TOO_BIG = "too_big", 1009, "message too big", false;
    /// A message in more pieces than `limits.fragments`.
    FRAGMENTED = "fragmented", 1009, "too many fragments", false;
    /// A message that the wire protocol cannot read.
    MALFORMED = "malformed", 1011, "malformed message", false;
    /// What a connection needs cannot be had: more waits for the registry than `limits.registry_queue_bytes`.
    OVERLOADED = "overloaded", 1013, "overloaded", true;
    /// This server is going down; another one, or the same one soon, will answer.
    RESTART = "restart", 1012, "service restart", true;
    /// The protocol has said why in a message of its own.
    REFUSED = "refused", 1005, "refused", false;
    /// The client has said goodbye in a message of its protocol.
    LEFT = "left", 1005, "the client has left", true;
    /// The same client has come back on another connection.
    TAKEN_OVER = "taken_over", 1005, "taken over by another connection", false;
    /// The client closed the connection, or it broke; this is for our own tables, and never sent.
    GONE = "gone", 1006, "the client is gone", true;
    /// The session has panicked, which is our fault; this too is never sent.
    CRASHED = "crashed", 1006, "the session has crashed", true;
}
