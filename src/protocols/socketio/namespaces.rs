//! The namespaces of one client: which it has joined or requested, and the requests to join and leave them.
//!
//! A namespace is a topic of the realm. The formats of the packets that ask for it are in the codecs of the revisions.

use std::borrow::Cow;

use compact_str::{CompactString, format_compact};

use crate::message::{Inbound, Payload, Ref, Request};
use crate::protocol::Decoded;
use crate::topic::{Realm, Topic};

pub(super) const REALM: Realm = Realm::SocketIo;
/// The character between a namespace and the name of a room in it.
pub(super) const ROOM_SEPARATOR: char = '#';
/// The reason for which the broker refuses the join of a namespace that does not exist.
pub(super) const UNMATCHED: &str = "unmatched topic";
/// The prefix of the `ref` of a join. The `ref` of an event is its acknowledgement id.
const JOIN_PREFIX: char = 'j';

/// The namespaces of one client.
#[derive(Default)]
pub(super) struct Namespaces {
    list: Vec<Namespace>,
    last_join: u32,
}

/// One namespace that the client has joined or requested.
struct Namespace {
    /// The key of the topic: the realm's prefix and the name of the namespace.
    key: CompactString,
    /// The number of the join, unique in this connection.
    join: u32,
}

impl Namespaces {
    /// The key of a namespace's topic, if the client has joined or requested it.
    pub(super) fn key(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|namespace| namespace.name() == name).map(|namespace| &*namespace.key)
    }

    /// A request to join a namespace that the client has neither joined nor requested.
    pub(super) fn join(&mut self, name: &str, auth: Payload) -> Decoded<'static> {
        self.last_join = self.last_join.wrapping_add(1);
        let (key, join) = (format_compact!("{}{name}", REALM.prefix()), self.last_join);
        let inbound = Inbound {
            topic: Cow::Owned(key.to_string()),
            join_ref: Some(format_compact!("{join}")),
            reference: Some(format_compact!("{JOIN_PREFIX}{join}")),
            request: Request::Join(auth),
        };
        self.list.push(Namespace { key, join });
        Decoded::Request(inbound)
    }

    /// A request to leave a namespace, if the client has joined or requested it.
    pub(super) fn leave(&mut self, name: &str) -> Option<Decoded<'static>> {
        let at = self.list.iter().position(|namespace| namespace.name() == name)?;
        let topic = Cow::Owned(self.list.swap_remove(at).key.into_string());
        Some(Decoded::Request(Inbound { topic, join_ref: None, reference: None, request: Request::Leave }))
    }

    /// Whether the client is in the namespace by this join. A client that has left again is not.
    pub(super) fn is_of_join(&self, topic: &Topic, join: &str) -> bool {
        self.position(topic, Some(join)).is_some()
    }

    /// Removes a namespace from the list. If `join` is given, it must be the join that opened the namespace. Returns
    /// whether it was removed.
    pub(super) fn remove(&mut self, topic: &Topic, join: Option<&str>) -> bool {
        self.position(topic, join).map(|at| self.list.swap_remove(at)).is_some()
    }

    fn position(&self, topic: &Topic, join: Option<&str>) -> Option<usize> {
        self.list.iter().position(|namespace| {
            namespace.name() == topic.as_str() && join.is_none_or(|join| join.parse() == Ok(namespace.join))
        })
    }
}

impl Namespace {
    fn name(&self) -> &str {
        &self.key[REALM.prefix().len()..]
    }
}

/// An event of the client in a namespace. `reference` is its acknowledgement id.
pub(super) fn push<'a>(key: &'a str, reference: Option<Ref>, event: Cow<'a, str>, payload: Payload) -> Decoded<'a> {
    Decoded::Request(Inbound {
        topic: Cow::Borrowed(key),
        join_ref: None,
        reference,
        request: Request::Push(event, payload),
    })
}

/// The number of the join that a reply's `ref` stands for. `None` if the reply answers an event.
pub(super) fn join_of(reference: &str) -> Option<&str> {
    reference.strip_prefix(JOIN_PREFIX)
}

/// The namespace of a topic: its name without a room.
pub(super) fn namespace_of(topic: &Topic) -> &str {
    let name = topic.as_str();
    name.split_once(ROOM_SEPARATOR).map_or(name, |(namespace, _)| namespace)
}
