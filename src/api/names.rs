//! How a request names a peer and a topic of one of the protocols.

use serde::Deserialize;

use crate::api::answer::ApiError;
use crate::channels::builtin::peer;
use crate::config::schema::Limits;
use crate::topic::{Realm, Topic};

/// What the names of Socket.IO clients begin with: the main namespace of the relay.
const SID: &str = "/#sid:";

/// The protocols whose clients and topics can be named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Protocol {
    #[default]
    Phoenix,
    PeerJs,
    SocketIo,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Phoenix, Self::PeerJs, Self::SocketIo];

    pub(super) const fn realm(self) -> Realm {
        match self {
            Self::Phoenix => Realm::Phoenix,
            Self::PeerJs => Realm::PeerJs,
            Self::SocketIo => Realm::SocketIo,
        }
    }

    /// The protocol of a query's parameter.
    pub(super) fn of_param(value: Option<&str>) -> Result<Self, ApiError> {
        let Some(value) = value else { return Ok(Self::default()) };
        let found = Self::ALL.into_iter().find(|protocol| protocol.realm().name() == value);
        found.ok_or_else(|| ApiError::malformed("protocol must be phoenix, peerjs or socketio"))
    }

    /// A topic, under the limits of clients.
    pub(super) fn topic(self, name: &str, limits: &Limits) -> Result<Topic, ApiError> {
        match self.realm().topic(name) {
            Ok(topic) if name.len() <= limits.topic_bytes => Ok(topic),
            Ok(_) => Err(ApiError::invalid("topic too long")),
            Err(_) => Err(ApiError::invalid("invalid topic")),
        }
    }

    /// The name that a client with this id owns.
    pub(super) fn peer(self, id: &str, limits: &Limits) -> Result<Topic, ApiError> {
        let name = match self {
            Self::Phoenix => peer::topic_of(id),
            Self::PeerJs => self.topic(id, limits).ok(),
            Self::SocketIo => self.topic(&format!("{SID}{id}"), limits).ok(),
        };
        name.ok_or_else(|| ApiError::invalid("invalid peer id"))
    }
}

/// Whether a topic is the name of one client. With several nodes, its node is not subscribed to it.
pub(super) fn is_peer(topic: &Topic) -> bool {
    match topic.realm() {
        Realm::Phoenix => topic.as_str().starts_with("peer:"),
        _ => topic.as_str().contains("#sid:"),
    }
}
