//! The events, and their JSON. Names are told as clients know them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use compact_str::CompactString;
use serde::Serialize;

use crate::metrics::labels::EventType;
use crate::topic::{Realm, Topic};

/// The prefixes of names and rooms of the standard channels, which their clients know without them.
const PEER: &str = "peer:";
const ROOM: &str = "room:";
/// The default namespace of Socket.IO, and what separates a namespace from the rest of an internal topic.
const NAMESPACE: &str = "/";
const PART: char = '#';
/// The kinds of internal topics of the Socket.IO relay.
const PARTS: [&str; 2] = ["sid:", ROOM];
/// The last time that has a text with four digits for the year.
const LAST_TIME: Duration = Duration::from_millis(253_402_300_799_999);

/// What a receiver is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    PeerUp { topic: Topic, subject: Option<CompactString> },
    PeerDown { topic: Topic, reason: &'static str },
    RoomOccupied { topic: Topic },
    RoomVacated { topic: Topic },
    NodeUp { nodes: Vec<CompactString> },
    NodeDown { gone: CompactString },
    Lost { count: u64 },
}

impl Event {
    pub(crate) fn kind(&self) -> EventType {
        match self {
            Self::PeerUp { .. } => EventType::PeerUp,
            Self::PeerDown { .. } => EventType::PeerDown,
            Self::RoomOccupied { .. } => EventType::RoomOccupied,
            Self::RoomVacated { .. } => EventType::RoomVacated,
            Self::NodeUp { .. } => EventType::NodeUp,
            Self::NodeDown { .. } => EventType::NodeDown,
            Self::Lost { .. } => EventType::Lost,
        }
    }

    /// The event as an object of a request, with its number and its time.
    pub(crate) fn json(&self, seq: u64, time: SystemTime) -> String {
        let empty = Fields {
            seq,
            time: humantime::format_rfc3339_millis(with_text(time)).to_string(),
            kind: self.kind().name(),
            protocol: None,
            peer: None,
            room: None,
            subject: None,
            reason: None,
            nodes: None,
            gone: None,
            count: None,
        };
        let of = |topic: &Topic| Some(topic.realm().name());
        let fields = match self {
            Self::PeerUp { topic, subject } => {
                Fields { protocol: of(topic), peer: Some(peer_name(topic)), subject: subject.as_deref(), ..empty }
            }
            Self::PeerDown { topic, reason } => {
                Fields { protocol: of(topic), peer: Some(peer_name(topic)), reason: Some(reason), ..empty }
            }
            Self::RoomOccupied { topic } | Self::RoomVacated { topic } => {
                Fields { protocol: of(topic), room: room_name(topic), ..empty }
            }
            Self::NodeUp { nodes } => Fields { nodes: Some(nodes), ..empty },
            Self::NodeDown { gone } => Fields { gone: Some(gone), ..empty },
            Self::Lost { count } => Fields { count: Some(*count), ..empty },
        };
        serde_json::to_string(&fields).expect("numbers and texts are JSON")
    }
}

/// The members of an event's object.
#[derive(Serialize)]
struct Fields<'a> {
    seq: u64,
    time: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<&'a [CompactString]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

/// A time that has a text. The machine's clock may be wrong by centuries.
fn with_text(time: SystemTime) -> SystemTime {
    time.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST_TIME)
}

/// The name of a topic that has one owner, as its clients know it.
pub(crate) fn peer_name(topic: &Topic) -> &str {
    let name = topic.as_str();
    match topic.realm() {
        Realm::Phoenix => name.strip_prefix(PEER).unwrap_or(name),
        Realm::SocketIo => part_of_namespace(name).unwrap_or(name),
        _ => name,
    }
}

/// The name of a topic that may have any number of members, as its clients know it. `None` if it is no room: a namespace
/// of Socket.IO, and what clients of HelloWebRTC and of the plain relay share.
pub(crate) fn room_name(topic: &Topic) -> Option<&str> {
    let name = topic.as_str();
    match topic.realm() {
        Realm::Phoenix => Some(name.strip_prefix(ROOM).unwrap_or(name)),
        Realm::SocketIo => part_of_namespace(name),
        Realm::EngineIo | Realm::Custom => Some(name),
        Realm::PeerJs | Realm::Hello | Realm::Relay => None,
    }
}

/// The sid or the room that an internal topic stands for. A part of another namespace than the default one keeps the
/// namespace, as two of them may have rooms of one name.
fn part_of_namespace(name: &str) -> Option<&str> {
    let (namespace, part) = name.split_once(PART)?;
    if namespace != NAMESPACE {
        return Some(name);
    }
    Some(PARTS.iter().find_map(|kind| part.strip_prefix(kind)).unwrap_or(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(realm: Realm, name: &str) -> Topic {
        realm.topic(name).unwrap()
    }

    #[test]
    fn names_are_those_that_clients_know() {
        for (realm, name, peer) in [
            (Realm::Phoenix, "peer:a", "a"),
            (Realm::Phoenix, "user:a", "user:a"),
            (Realm::PeerJs, "peer:mai", "peer:mai"),
            (Realm::SocketIo, "/#sid:1f", "1f"),
            (Realm::Hello, "mai", "mai"),
        ] {
            assert_eq!(peer_name(&topic(realm, name)), peer);
        }
        for (realm, name, room) in [
            (Realm::Phoenix, "room:a:b", Some("a:b")),
            (Realm::Phoenix, "lobby", Some("lobby")),
            (Realm::SocketIo, "/#room:a#b", Some("a#b")),
            (Realm::SocketIo, "/#own", Some("own")),
            (Realm::SocketIo, "/chat#room:a", Some("/chat#room:a")),
            (Realm::SocketIo, "/", None),
            (Realm::Custom, "room:a", Some("room:a")),
            (Realm::Hello, "everybody", None),
            (Realm::Relay, "relay", None),
        ] {
            assert_eq!(room_name(&topic(realm, name)), room, "{name}");
        }
    }

    #[test]
    fn an_event_has_the_members_of_its_type() {
        let json = |event: Event| event.json(41, UNIX_EPOCH + Duration::from_millis(1_764_338_587_512));
        let common = r#"{"seq":41,"time":"2025-11-28T14:03:07.512Z","type":"#;
        let (peer, room) = (topic(Realm::Phoenix, "peer:a"), topic(Realm::Phoenix, "room:\"lobby\""));
        for (event, rest) in [
            (
                Event::PeerUp { topic: peer.clone(), subject: Some("u7".into()) },
                r#""peer_up","protocol":"phoenix","peer":"a","subject":"u7"}"#,
            ),
            (Event::PeerUp { topic: peer.clone(), subject: None }, r#""peer_up","protocol":"phoenix","peer":"a"}"#),
            (
                Event::PeerDown { topic: peer, reason: "slow" },
                r#""peer_down","protocol":"phoenix","peer":"a","reason":"slow"}"#,
            ),
            (
                Event::RoomOccupied { topic: room.clone() },
                r#""room_occupied","protocol":"phoenix","room":"\"lobby\""}"#,
            ),
            (Event::RoomVacated { topic: room }, r#""room_vacated","protocol":"phoenix","room":"\"lobby\""}"#),
            (Event::NodeUp { nodes: vec!["b-1".into()] }, r#""node_up","nodes":["b-1"]}"#),
            (Event::NodeDown { gone: "a-1".into() }, r#""node_down","gone":"a-1"}"#),
            (Event::Lost { count: 7 }, r#""lost","count":7}"#),
        ] {
            assert_eq!(json(event), format!("{common}{rest}"));
        }
    }

    /// A clock may be wrong by centuries.
    #[test]
    fn a_time_without_a_text_is_the_nearest_one_that_has_one() {
        for (time, text) in [
            (UNIX_EPOCH - Duration::from_millis(1), "1970-01-01T00:00:00.000Z"),
            (UNIX_EPOCH + Duration::from_secs(253_402_300_800), "9999-12-31T23:59:59.999Z"),
        ] {
            let json = Event::Lost { count: 1 }.json(1, time);
            assert!(json.contains(text), "{json}");
        }
    }
}
