//! Every reason for which a connection, a join, a push or a packet is refused, or a message dropped. Each list is closed, so that
//! no client can create a series in the metrics. Why a connection is closed is in [`close`](crate::close).

/// The reason that a client receives when another client owns the name that it claims.
pub(crate) const TAKEN: &str = "taken";

/// The reason that a client receives when its token does not grant what it asks for.
pub(crate) const NOT_ALLOWED: &str = "not allowed";

/// Declares lists of reasons. Each line gives the variant, its documentation and its name in the metrics.
macro_rules! reasons {
    ($($(#[doc = $about:literal])+ $Reason:ident { $(#[doc = $says:literal] $variant:ident = $name:literal;)+ })+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Reason {
            $(#[doc = $says] $variant,)+
        }

        impl $Reason {
            /// All reasons, in the order of their declaration.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value of the label `reason` in the metrics.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    )+};
}

reasons! {
    /// Why a connection is refused.
    ConnectRefusal {
        /// The request cannot open a socket: its method, its query, its version of HTTP.
        Request = "request";
        /// The origin of the web page is not allowed.
        Origin = "origin";
        /// The headers of a WebSocket's upgrade are missing or wrong.
        Upgrade = "upgrade";
        /// The client offers none of the subprotocols of the mount.
        Subprotocol = "subprotocol";
        /// The token that came as a subprotocol cannot be decoded.
        Token = "token";
        /// There is no token, but `auth.mode` requires one.
        TokenMissing = "token_missing";
        /// The signature, the form, the audience or the issuer of the token is wrong.
        TokenInvalid = "token_invalid";
        /// The token has expired.
        TokenExpired = "token_expired";
        /// The token is not valid yet.
        TokenNotYetValid = "token_not_yet_valid";
        /// The token was revoked.
        TokenRevoked = "token_revoked";
        /// The token names a key that the node does not have.
        TokenKeyUnknown = "token_key_unknown";
        /// The subject of the token has reached `auth.sockets_per_subject`.
        Subject = "subject";
        /// The version of the protocol is not supported.
        Version = "version";
        /// The long-polling session has ended, or never existed.
        Session = "session";
        /// The mount's `connect` has refused.
        Mount = "mount";
        /// The mount's `connect` has panicked.
        Crash = "crash";
        /// The mount's asynchronous `connect` took longer than `socket.connect_timeout`, or than its client waited.
        Timeout = "timeout";
        /// The node has reached `server.connections`.
        Full = "full";
        /// The node has used up `limits.memory_bytes`.
        Memory = "memory";
        /// The client IP has reached `limits.sockets_per_ip`.
        Address = "address";
        /// The client IP, or its clients of one kind, open sockets too fast.
        RateLimited = "rate_limited";
        /// The node is draining.
        Draining = "draining";
        /// The node has just started, and does not know yet which tokens are revoked.
        Starting = "starting";
    }

    /// Why a join is refused.
    JoinRefusal {
        /// The topic's name is too long.
        TooLong = "too_long";
        /// No channel serves the topic.
        Unmatched = "unmatched";
        /// The socket has reached its limit of topics.
        TooMany = "too_many";
        /// The payload is not an object.
        Payload = "payload";
        /// The client joins too fast.
        RateLimited = "rate_limited";
        /// The join has no valid token, in a protocol that sends the token with the join.
        Token = "token";
        /// The channel has refused, or stopped before the answer.
        Channel = "channel";
        /// The channel has panicked.
        Crash = "crash";
        /// Another client owns the name.
        Taken = "taken";
        /// The topic has reached its limit of members or of presence entries.
        Full = "full";
        /// The directory of names does not answer in time, or too many joins wait for the name.
        Unreachable = "unreachable";
        /// The registry's command queue is full.
        Overloaded = "overloaded";
    }

    /// Why a push is answered with an error. Joins and signals to named peers have reasons of their own.
    PushRefusal {
        /// The client sends messages too fast. Joins above that rate count here too.
        RateLimited = "rate_limited";
        /// The client has not joined the topic.
        NotJoined = "not_joined";
        /// The event's name is too long.
        TooLong = "too_long";
        /// A pending join's backlog, the registry's command queue or the node's memory (`limits.memory_bytes`) is full.
        Overloaded = "overloaded";
        /// A fresh token is refused.
        Token = "token";
        /// The channel has replied with an error.
        Channel = "channel";
    }

    /// Why a message is lost without an answer to its sender.
    DropReason {
        /// The client's format cannot express the message.
        Unencodable = "unencodable";
        /// The message could not be decoded, in a format that ignores such messages.
        Ignored = "ignored";
        /// The message was held for a peer that did not come in time.
        Expired = "expired";
        /// The message was in the queue of a client that read too slowly.
        SlowConsumer = "slow_consumer";
    }

    /// Why a packet from the engine is refused. It has no effect.
    PacketRefusal {
        /// Its signature is wrong: the sender does not know `cluster.secret`.
        Forged = "forged";
        /// It has arrived before, as the further copies of a message to several rooms do, or it is far too late.
        Repeated = "repeated";
        /// Its format is of another version.
        Version = "version";
        /// It cannot be decoded.
        Malformed = "malformed";
        /// Its sender is not a node that is alive.
        Stranger = "stranger";
        /// It is addressed to another node, or to an earlier life of this one.
        Misdirected = "misdirected";
        /// It is of a kind that this version does not know.
        Unknown = "unknown";
    }

    /// Why a message to a topic is not sent to the other nodes.
    PacketDrop {
        /// `cluster.queue_bytes` wait already.
        Overloaded = "overloaded";
        /// The node is not linked to its engine.
        Unlinked = "unlinked";
    }
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenRefusal {
    Missing,
    /// Its signature, algorithm, audience, issuer or form is wrong: one word for all, because it helps only attackers to
    /// tell them apart.
    Invalid,
    Expired,
    NotYetValid,
    Revoked,
    KeyUnknown,
    /// Its subject has too many sockets already.
    TooManySockets,
}

impl TokenRefusal {
    /// The reason as clients receive it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Missing => "token missing",
            Self::Invalid => "token invalid",
            Self::Expired => "token expired",
            Self::NotYetValid => "token not yet valid",
            Self::Revoked => "token revoked",
            Self::KeyUnknown => "token key unknown",
            Self::TooManySockets => "too many sockets",
        }
    }
}

impl From<TokenRefusal> for ConnectRefusal {
    fn from(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::Missing => Self::TokenMissing,
            TokenRefusal::Invalid => Self::TokenInvalid,
            TokenRefusal::Expired => Self::TokenExpired,
            TokenRefusal::NotYetValid => Self::TokenNotYetValid,
            TokenRefusal::Revoked => Self::TokenRevoked,
            TokenRefusal::KeyUnknown => Self::TokenKeyUnknown,
            TokenRefusal::TooManySockets => Self::Subject,
        }
    }
}
