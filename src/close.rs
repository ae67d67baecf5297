//! The reasons for which the server closes a connection: the close code, the text, and whether the client may
//! reconnect. All protocols and transports use this one table.
//!
//! The codes are those of RFC 6455, section 7.4. Only a client that is to stay away gets code 1000, because Phoenix
//! clients up to version 1.8.15 do not reconnect after it.

/// Why the server closed a connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Reason {
    /// The close code of RFC 6455. 1005 means a close frame without a code.
    pub code: u16,
    /// The text for the client and the log. It has at most 123 bytes, which is the maximum in a close frame.
    pub text: &'static str,
    /// Whether the client may reconnect without a change.
    pub may_reconnect: bool,
    /// The value of the metrics label.
    pub(crate) name: &'static str,
}

/// Declares the reasons. Each line gives the constant, its documentation, its name in the metrics, the code, the text,
/// and whether the client may reconnect.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $NAME:ident = $name:literal, $code:literal, $text:literal, $may_reconnect:literal;)+) => {
        $(
            $(#[doc = $doc])+
            pub static $NAME: Reason = Reason { code: $code, text: $text, may_reconnect: $may_reconnect, name: $name };
        )+

        /// All reasons.
        pub const ALL: &[&Reason] = &[$(&$NAME),+];
    };
}

reasons! {
    /// The client sent nothing for `socket.idle_timeout`.
    IDLE = "idle", 1001, "idle timeout", true;
    /// Another client joined a name of this one, which did not answer a ping within `limits.contest_timeout`.
    UNRESPONSIVE = "unresponsive", 1001, "no answer to a ping", true;
    /// The client opened a long-polling session and never used it, and its IP reached `limits.sockets_per_ip`.
    UNUSED = "unused", 1001, "never used", true;
    /// The server disconnected this socket by its id, or at the request of a backend.
    DISCONNECTED = "disconnected", 1001, "disconnected by the server", true;
    /// A backend has asked to disconnect the client for good.
    DISMISSED = "dismissed", 1000, "disconnected by the server", false;
    /// A frame violated RFC 6455.
    PROTOCOL = "protocol", 1002, "websocket protocol error", false;
    /// A text message was not valid UTF-8.
    NOT_UTF8 = "not_utf8", 1007, "text is not utf-8", false;
    /// The client joined no topic within `socket.join_timeout`.
    NOT_JOINED = "not_joined", 1008, "no topic joined in time", true;
    /// The client sent far more than `limits.messages_per_second` or `limits.bytes_per_second`.
    FLOOD = "flood", 1008, "too many messages", true;
    /// The client did not read its messages: its queue was full (`limits.queue_bytes`), or it accepted nothing for
    /// `limits.queue_age`, or the node needed the memory (`limits.memory_bytes`).
    SLOW = "slow", 1008, "slow consumer", true;
    /// The client's token has expired, or the session has lasted for `auth.max_session`.
    TOKEN_EXPIRED = "token_expired", 1008, "token expired", false;
    /// The client has connected with a token that is not valid yet.
    TOKEN_NOT_YET_VALID = "token_not_yet_valid", 1008, "token not yet valid", false;
    /// The client's token was revoked.
    TOKEN_REVOKED = "token_revoked", 1008, "token revoked", false;
    /// The client has sent several tokens that were refused.
    TOKENS_REFUSED = "tokens_refused", 1008, "too many refused tokens", false;
    /// The client has sent a token that grants something else than the one before it. It has to connect with it.
    GRANTS_CHANGED = "grants_changed", 1001, "other grants: connect again", true;
    /// A frame or message was larger than `limits.message_bytes`.
    TOO_BIG = "too_big", 1009, "message too big", false;
    /// A message had more fragments than `limits.fragments`.
    FRAGMENTED = "fragmented", 1009, "too many fragments", false;
    /// The protocol could not decode a message.
    MALFORMED = "malformed", 1011, "malformed message", false;
    /// A command that the connection needs was refused, because the registry's queue was full
    /// (`limits.registry_queue_bytes`), or a body, because the node had no memory left (`limits.memory_bytes`).
    OVERLOADED = "overloaded", 1013, "overloaded", true;
    /// The server is shutting down. The client can reconnect to another server, or to this one after its restart.
    RESTART = "restart", 1012, "service restart", true;
    /// The protocol refused the connection and has sent the reason in a message of its own.
    REFUSED = "refused", 1005, "refused", false;
    /// The client has left by a message of its protocol.
    LEFT = "left", 1005, "the client has left", true;
    /// The same client has connected again, and the new connection replaces this one.
    TAKEN_OVER = "taken_over", 1005, "taken over by another connection", false;
    /// The client closed the connection, or the connection was lost. This reason is never sent.
    GONE = "gone", 1006, "the client is gone", true;
    /// The session has panicked, which is a bug of the server. This reason is never sent.
    CRASHED = "crashed", 1006, "the session has crashed", true;
}
