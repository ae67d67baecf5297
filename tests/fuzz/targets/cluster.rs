//! Messages between the nodes of a cluster: any bytes from the engine, and authentic ones with any content.

use bytes::Bytes;

use super::{SMALL, Target};
use crate::auth::{Revocation, RevocationsPage, RevokedTokens};
use crate::broker::adapter::{Answer, Packet, PresencePacket, Question};
use crate::broker::{Clients, NodeInfo, PeerInfo, TopicInfo, TopicsPage, TopicsQuery};
use crate::cluster::envelope::{Destination, Opened, Opener, Refused, Sealer};
use crate::cluster::message::{Message, NodeStatus, Verdict};
use crate::message::{Payload, PresenceEntry, PresenceList};
use crate::topic::{Realm, Topic};

pub(super) const TARGETS: &[Target] = &[
    Target { name: "cluster_envelope", run: envelope, seeds: envelopes, dictionary: DICTIONARY, max_len: SMALL },
    Target { name: "cluster_message", run: body, seeds: bodies, dictionary: DICTIONARY, max_len: SMALL },
    Target { name: "cluster_status", run: status, seeds: statuses, dictionary: &[], max_len: SMALL },
];

/// Fields of a body: the sender, the receiver, the first topic of a publication, and a payload.
const DICTIONARY: &[&str] = &["\n\u{3}a.1", "\u{1a}\u{3}b.1", "\n\u{6}room:a", "\u{12}\u{4}\n\u{2}{}"];

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The bytes of an envelope before its body.
const PREFIX: usize = 17;

/// The node `b.1`, which has admitted the node `a.1`.
fn opener() -> Opener {
    let mut opener = Opener::new(SECRET, "b.1".into());
    opener.admit("a.1");
    opener
}

/// Without the secret, nobody can make an envelope other than those that the node has sent.
fn envelope(data: &[u8]) {
    let mut opener = opener();
    let first = opener.open(Bytes::copy_from_slice(data));
    let again = opener.open(Bytes::copy_from_slice(data));
    match &first {
        Err(Refused::Version(version)) => assert!(data[0] != 1 && *version == u32::from(data[0])),
        Err(Refused::Forged) => {}
        _ => assert!(envelopes().iter().any(|sealed| sealed == data), "a forged envelope: {first:?}"),
    }
    assert_eq!(again, if first.is_ok() { Err(Refused::Repeated) } else { first });
}

/// A message that a node accepts is what another one would send, takes no more than its bytes, and is accepted once.
fn body(data: &[u8]) {
    let mut opener = opener();
    let body = Bytes::copy_from_slice(data);
    let first = opener.open_body(body.clone());
    let again = opener.open_body(body.clone());
    let Ok(Opened { from, message }) = first else {
        let is_counted = matches!(first, Err(Refused::Malformed | Refused::Unknown)) && again == Err(Refused::Repeated);
        return assert!(first == again || is_counted, "{first:?}, then {again:?}");
    };
    assert_eq!((&*from, again), ("a.1", Err(Refused::Repeated)));
    assert!(size(&message) <= data.len(), "{message:?} has more bytes than were sent");
    opener.retire("a.1");
    assert_eq!(opener.open_body(body.clone()), Err(Refused::Stranger("a.1".into())));
    opener.admit("a.1");
    assert_eq!(opener.open_body(body), Err(Refused::Repeated));

    let mut sealer = Sealer::new(SECRET, "c.1".into());
    opener.admit("c.1");
    for destination in [Destination::Topics, Destination::Node("b.1")] {
        let sealed = sealer.seal(destination, &message);
        assert_eq!(opener.open(sealed), Ok(Opened { from: "c.1".into(), message: message.clone() }));
    }
    assert_eq!(opener.open(sealer.seal(Destination::Node("a.1"), &message)), Err(Refused::Misdirected));
}

/// The bytes of its texts and payloads.
fn size(message: &Message) -> usize {
    match message {
        Message::Publish { topics, packet } => topics.iter().map(topic_size).sum::<usize>() + packet_size(packet),
        Message::Signal { name, packet, .. } => topic_size(name) + packet_size(packet),
        Message::GiveUp { name, proof, .. } => topic_size(name) + proof.map_or(0, |proof| proof.len()),
        Message::Revoke { name, .. } => topic_size(name),
        Message::Probe { topic, .. } | Message::Heard { topic, .. } => topic_size(topic),
        Message::Question { question, .. } => question_size(question),
        Message::Answer { answer, .. } => answer_size(answer),
        Message::Verdict { .. } | Message::GivenUp { .. } => 0,
    }
}

fn question_size(question: &Question) -> usize {
    match question {
        Question::Presence(topic) | Question::Owns(topic) | Question::Peer(topic) | Question::Topic(topic) => {
            topic_size(topic)
        }
        Question::PresenceVersions(topics) => topics.iter().map(topic_size).sum(),
        Question::Topics(TopicsQuery { prefix, after, .. }) => prefix.len() + after.len(),
        Question::Disconnect { clients: Clients::Members(topic), .. } => topic_size(topic),
        Question::Disconnect { clients: Clients::Connection { node: text, .. } | Clients::Subject(text), .. } => {
            text.len()
        }
        Question::Revoke(Revocation { tokens, .. }) | Question::Revocations(Some(tokens)) => tokens.text().len(),
        Question::Census | Question::ComparePresence | Question::Node | Question::Revocations(None) => 0,
    }
}

fn answer_size(answer: &Answer) -> usize {
    match answer {
        Answer::PresenceVersions(versions) => versions.len(),
        Answer::Presence(list) => list_size(list),
        Answer::Peer(Some(PeerInfo { transport, network, subject, topics, .. })) => {
            let subject = subject.as_ref().map_or(0, |subject| subject.len());
            transport.len() + network.len() + subject + topics.iter().map(|topic| topic.len()).sum::<usize>()
        }
        Answer::Topics(TopicsPage { topics, .. }) => topics.iter().map(|(name, _)| name.len()).sum(),
        Answer::Topic(TopicInfo { presence, .. }) => list_size(presence),
        Answer::Node(NodeInfo { version, .. }) => version.len(),
        Answer::Revocations(RevocationsPage { revocations, .. }) => {
            revocations.iter().map(|Revocation { tokens, .. }| tokens.text().len()).sum()
        }
        Answer::Census(_) | Answer::ComparesPresence | Answer::Owns(_) | Answer::Peer(None) | Answer::Closed(_) => 0,
    }
}

fn list_size(list: &PresenceList) -> usize {
    list.iter().map(|(key, metas)| key.len() + metas.iter().map(Payload::len).sum::<usize>()).sum()
}

fn topic_size(topic: &Topic) -> usize {
    assert_eq!(topic.realm().topic(topic.as_str()).as_ref(), Ok(topic), "no client can name it");
    topic.key().len()
}

fn packet_size(packet: &Packet) -> usize {
    match packet {
        Packet::Broadcast { event, payload } => event.len() + payload.len(),
        Packet::Presence(PresencePacket { node, joins, leaves, .. }) => {
            let joins = joins.iter().map(|(reference, entry)| reference.len() + entry.key.len() + entry.meta.len());
            let leaves = leaves.iter().map(|(reference, key)| reference.len() + key.len());
            node.len() + joins.chain(leaves).sum::<usize>()
        }
        Packet::PresenceWanted(node) => node.as_ref().map_or(0, |node| node.len()),
        Packet::Up(_) | Packet::Down(_) => 0,
    }
}

fn status(data: &[u8]) {
    let Some(status) = NodeStatus::decode(data) else { return };
    assert_eq!(NodeStatus::decode(&status.encode()), Some(status));
}

fn messages() -> Vec<Message> {
    let topic = Realm::SocketIo.topic("room:a").expect("a name");
    let name = Realm::Phoenix.topic("peer:a").expect("a name");
    let entry = PresenceEntry { key: "ann".into(), meta: Payload::empty() };
    let presence = PresencePacket {
        node: "a.1".into(),
        since: 1,
        version: 2,
        joins: vec![("r1".into(), entry)],
        leaves: vec![("r0".into(), "ann".into())],
        is_continued: true,
    };
    let broadcast = |payload| Packet::Broadcast { event: "offer".into(), payload };
    let attached = Payload::Attached("[]".into(), [Bytes::from_static(b"a"), Bytes::from_static(b"b")].into());
    let packets = [
        broadcast(Payload::empty()),
        broadcast(Payload::binary("bytes")),
        broadcast(attached),
        Packet::Up(1),
        Packet::Down(2),
        Packet::Presence(presence),
        Packet::PresenceWanted(None),
        Packet::PresenceWanted(Some("a.1".into())),
    ];
    let publications = packets.map(|packet| Message::Publish { topics: vec![topic.clone(), name.clone()], packet });
    let signal = Message::Signal { request: 1, name: name.clone(), epoch: 2, packet: broadcast(Payload::empty()) };
    let list = PresenceList::from([("ann".into(), vec![Payload::empty(), Payload::empty()])]);
    let others = [
        signal,
        Message::Verdict { request: 1, verdict: Verdict::Gone },
        Message::GiveUp { request: 1, name: name.clone(), epoch: 2, proof: Some([7; 32]) },
        Message::GivenUp { request: 1, is_free: true },
        Message::Revoke { name, epoch: 2 },
        Message::Probe { topic: topic.clone(), token: 3 },
        Message::Heard { topic: topic.clone(), token: 3 },
        Message::Question { request: 1, question: Question::Census },
        Message::Question { request: 1, question: Question::Owns(topic.clone()) },
        Message::Answer { request: 1, answer: Answer::Owns(true) },
        Message::Question { request: 1, question: Question::Presence(topic.clone()) },
        Message::Question { request: 1, question: Question::PresenceVersions(vec![topic]) },
        Message::Answer {
            request: 1,
            answer: Answer::Census(crate::RegistryStats { topics: 1, ..Default::default() }),
        },
        Message::Answer { request: 1, answer: Answer::Presence(list) },
        Message::Question { request: 1, question: Question::ComparePresence },
        Message::Answer { request: 1, answer: Answer::PresenceVersions(vec![0, 1 << 40]) },
        Message::Answer { request: 1, answer: Answer::ComparesPresence },
    ];
    publications.into_iter().chain(others).chain(questions_and_answers_of_the_api()).collect()
}

fn questions_and_answers_of_the_api() -> Vec<Message> {
    let room = Realm::SocketIo.topic("room:a").expect("a name");
    let subject = || RevokedTokens::Subject("u7".into());
    let revocation = || Revocation { tokens: subject(), before: 1, at: 2 };
    let query = TopicsQuery { realm: Realm::Phoenix, prefix: "room:".into(), after: "room:a".into(), limit: 10 };
    let peer = PeerInfo {
        connection: 1,
        transport: "websocket".into(),
        network: "10.0.0.0/24".into(),
        subject: Some("u7".into()),
        age: std::time::Duration::from_secs(1),
        topics: vec!["room:a".into()],
        queue_bytes: 1,
    };
    let questions = [
        Question::Peer(room.clone()),
        Question::Topics(query),
        Question::Topic(room.clone()),
        Question::Node,
        Question::Disconnect { clients: Clients::Members(room), may_reconnect: true },
        Question::Disconnect { clients: Clients::Subject("u7".into()), may_reconnect: false },
        Question::Revoke(revocation()),
        Question::Revocations(Some(subject())),
    ];
    let list = PresenceList::from([("ann".into(), vec![Payload::empty()])]);
    let answers = [
        Answer::Peer(Some(peer)),
        Answer::Topics(TopicsPage { topics: vec![("room:a".into(), 1)], is_last: true }),
        Answer::Topic(TopicInfo { members: 1, presence: list }),
        Answer::Node(NodeInfo { version: "1".into(), ..NodeInfo::default() }),
        Answer::Closed(Some(1)),
        Answer::Revocations(RevocationsPage { revocations: vec![revocation()], is_last: true }),
    ];
    let questions = questions.map(|question| Message::Question { request: 1, question });
    questions.into_iter().chain(answers.map(|answer| Message::Answer { request: 1, answer })).collect()
}

/// What `a.1` has sent.
fn envelopes() -> Vec<Vec<u8>> {
    let mut sealer = Sealer::new(SECRET, "a.1".into());
    let messages = messages();
    let to_topics = messages.iter().map(|message| sealer.seal(Destination::Topics, message).to_vec()).collect();
    let to_nodes = ["b.1", "b.0"].map(|node| sealer.seal(Destination::Node(node), &messages[0]).to_vec());
    [to_topics, to_nodes.to_vec()].concat()
}

fn bodies() -> Vec<Vec<u8>> {
    envelopes().iter().map(|sealed| sealed[PREFIX..].to_vec()).collect()
}

fn statuses() -> Vec<Vec<u8>> {
    [false, true].map(|is_retired| NodeStatus::new(is_retired, 3).encode().to_vec()).to_vec()
}
