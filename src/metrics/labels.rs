//! What counters are told apart by: transports, and the reasons for which something did not happen. Every
//! list is closed, so that no client can make a series of its own.
//!
//! Why a connection ended is [`close`]'s to say, and whose protocol it was is [`Realm`]'s.

use actix_web::http::StatusCode;

use crate::close::{self, Reason};
use crate::message::DeliveryStatus;
use crate::metrics::instruments::Label;
use crate::topic::Realm;

/// Declares a list: from each line come the variant, its documentation and its name.
macro_rules! labels {
    ($($(#[doc = $about:literal])+ $Label:ident: $key:literal { $(#[doc = $says:literal] $variant:ident = $name:literal;)+ })+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Label {
            $(#[doc = $says] $variant,)+
        }

        impl Label for $Label {
            const KEY: &'static str = $key;
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            fn at(self) -> usize {
                self as usize
            }
        }
    )+};
}

labels! {
    /// How a client's bytes travelled when it came.
    Transport: "transport" {
        /// By a WebSocket.
        WebSocket = "websocket";
        /// By polling; a client of Engine.IO that changes to a WebSocket later stays here.
        LongPoll = "longpoll";
    }

    /// What kind of answer an HTTP request got.
    StatusClass: "code" {
        /// The connection becomes a WebSocket.
        Upgrade = "1xx";
        /// It was understood and answered.
        Fine = "2xx";
        /// The page that the client has is still good, or is elsewhere.
        Elsewhere = "3xx";
        /// Something is wrong with the request, or there is no such page.
        Wrong = "4xx";
        /// There is no room, or something is wrong here.
        Failed = "5xx";
    }

    /// Why somebody was not let in.
    ConnectRefusal: "reason" {
        /// The request cannot be one for a socket: its method, its query, its version of HTTP.
        Request = "request";
        /// A web page of an origin that is not let in.
        Origin = "origin";
        /// The headers of a WebSocket's upgrade are missing or wrong.
        Upgrade = "upgrade";
        /// None of the subprotocols that the mount wants is offered.
        Subprotocol = "subprotocol";
        /// The token that came as a subprotocol cannot be read.
        Token = "token";
        /// A version of the protocol that is not spoken here.
        Version = "version";
        /// A session of one who polls that is over, or never was.
        Session = "session";
        /// The mount's own `connect` has said no.
        Mount = "mount";
        /// The mount's own `connect` has panicked.
        Crash = "crash";
        /// The mount's own `connect` has awaited for too long, or longer than its client.
        Timeout = "timeout";
        /// The node has all the connections that it may have.
        Full = "full";
        /// The client's address has all the connections that it may have.
        Address = "address";
        /// The client's address opens connections too fast.
        RateLimited = "rate_limited";
        /// The node is going down.
        Draining = "draining";
    }

    /// Why a join was refused.
    JoinRefusal: "reason" {
        /// The topic's name is too long.
        TooLong = "too_long";
        /// No channel answers for the topic.
        Unmatched = "unmatched";
        /// The socket has joined all the topics that it may.
        TooMany = "too_many";
        /// The join's payload is no object.
        Payload = "payload";
        /// Joins come too fast.
        RateLimited = "rate_limited";
        /// The channel has said no, or has stopped meanwhile.
        Channel = "channel";
        /// The channel has panicked.
        Crash = "crash";
        /// Somebody else has the name.
        Taken = "taken";
        /// The topic has all the members, or rows of presence, that it may have.
        Full = "full";
        /// The directory of names does not answer.
        Unreachable = "unreachable";
        /// Too much waits for the registry.
        Overloaded = "overloaded";
    }

    /// Why what a client said was answered with an error, but for joins and for signals to named peers.
    PushRefusal: "reason" {
        /// The client sends too fast: joins that were not even looked at are among them.
        RateLimited = "rate_limited";
        /// The client has not joined the topic.
        NotJoined = "not_joined";
        /// The event's name is too long.
        TooLong = "too_long";
        /// Too much was said to a topic whose join is not answered yet, or waits for the registry.
        Overloaded = "overloaded";
        /// The channel's own answer is an error.
        Channel = "channel";
    }

    /// Why a message was lost without a word to whoever sent it.
    DropReason: "reason" {
        /// The client's format has no words for it.
        Unencodable = "unencodable";
        /// It could not be read, in a format that passes over such.
        Ignored = "ignored";
        /// It waited for a peer that did not come in time.
        Expired = "expired";
        /// It was in the queue of a client that took its messages too slowly.
        SlowConsumer = "slow_consumer";
    }
}

impl StatusClass {
    pub(crate) fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            ..200 => Self::Upgrade,
            200..300 => Self::Fine,
            300..400 => Self::Elsewhere,
            400..500 => Self::Wrong,
            500.. => Self::Failed,
        }
    }
}

impl Label for &'static Reason {
    const KEY: &'static str = "reason";
    const ALL: &'static [Self] = close::ALL;

    fn name(self) -> &'static str {
        self.name
    }

    fn at(self) -> usize {
        let at = Self::ALL.iter().position(|reason| *reason == self);
        at.expect("reasons come from the list alone")
    }
}

impl Label for DeliveryStatus {
    const KEY: &'static str = "verdict";
    const ALL: &'static [Self] = &[Self::Delivered, Self::Absent, Self::Overloaded, Self::Unreachable];

    fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Absent => "peer_not_found",
            Self::Overloaded => "overloaded",
            Self::Unreachable => "unreachable",
        }
    }

    fn at(self) -> usize {
        self as usize
    }
}

impl Label for Realm {
    const KEY: &'static str = "protocol";
    const ALL: &'static [Self] = &[Self::Phoenix, Self::PeerJs, Self::SocketIo, Self::EngineIo, Self::Hello];

    fn name(self) -> &'static str {
        match self {
            Self::Phoenix => "phoenix",
            Self::PeerJs => "peerjs",
            Self::SocketIo => "socketio",
            Self::EngineIo => "engineio",
            Self::Hello => "hello",
        }
    }

    fn at(self) -> usize {
        self as usize
    }
}

impl Label for () {
    const KEY: &'static str = "";
    const ALL: &'static [Self] = &[()];

    fn name(self) -> &'static str {
        ""
    }

    fn at(self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in_order<L: Label>() -> bool {
        L::ALL.iter().enumerate().all(|(n, label)| label.at() == n)
    }

    #[test]
    fn every_list_is_in_order() {
        assert!(
            is_in_order::<StatusClass>()
                && is_in_order::<Transport>()
                && is_in_order::<ConnectRefusal>()
                && is_in_order::<JoinRefusal>()
        );
        assert!(is_in_order::<PushRefusal>() && is_in_order::<DropReason>() && is_in_order::<()>());
        assert!(is_in_order::<&'static Reason>() && is_in_order::<DeliveryStatus>() && is_in_order::<Realm>());
    }
}
