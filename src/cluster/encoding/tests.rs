//! Every message arrives as it was sent, and what other releases may send is read or refused.

use std::time::Duration;

use bytestring::ByteString;
use proptest::prelude::*;

use super::*;
use crate::auth::{Revocation, RevocationsPage, RevokedTokens};
use crate::broker::adapter::{Answer, Packet, PresencePacket, Question};
use crate::broker::{Clients, NodeInfo, PeerInfo, RegistryStats, TopicInfo, TopicsPage, TopicsQuery};
use crate::message::{Payload, PresenceEntry, PresenceList};
use crate::topic::Realm;

fn encode(message: &Message) -> Bytes {
    schema::Content::from(message).encode_to_vec().into()
}

fn any_topic() -> impl Strategy<Value = Topic> {
    (prop::sample::select(Realm::ALL), "[^\\pC]{1,20}")
        .prop_filter_map("a name", |(realm, name)| realm.topic(&name).ok())
}

fn any_text() -> impl Strategy<Value = CompactString> {
    "\\PC{0,40}".prop_map(CompactString::from)
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let json = || "\\PC{0,300}".prop_map(ByteString::from);
    prop_oneof![
        json().prop_map(Payload::Json),
        any_bytes().prop_map(Payload::Binary),
        (json(), prop::collection::vec(any_bytes(), 0..4))
            .prop_map(|(text, attachments)| Payload::Attached(text, attachments.into())),
    ]
}

fn any_presence() -> impl Strategy<Value = PresencePacket> {
    let entry = (any_text(), any_payload()).prop_map(|(key, meta)| PresenceEntry { key, meta });
    let joins = prop::collection::vec((any_text(), entry), 0..4);
    let leaves = prop::collection::vec((any_text(), any_text()), 0..4);
    (any_text(), any::<u64>(), any::<u64>(), joins, leaves, any::<bool>()).prop_map(
        |(node, since, version, joins, leaves, is_continued)| PresencePacket {
            node,
            since,
            version,
            joins,
            leaves,
            is_continued,
        },
    )
}

fn any_packet() -> impl Strategy<Value = Packet> {
    prop_oneof![
        (any_text(), any_payload()).prop_map(|(event, payload)| Packet::Broadcast { event, payload }),
        any::<u64>().prop_map(Packet::Up),
        any::<u64>().prop_map(Packet::Down),
        any_presence().prop_map(Packet::Presence),
        prop::option::of(any_text()).prop_map(Packet::PresenceWanted),
    ]
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let metas = prop::collection::vec(any_payload(), 0..4);
    prop_oneof![
        any_stats().prop_map(Answer::Census),
        any::<bool>().prop_map(Answer::Owns),
        prop::collection::btree_map(any_text(), metas, 0..4).prop_map(Answer::Presence),
        prop::collection::vec(any::<u64>(), 0..4).prop_map(Answer::PresenceVersions),
        Just(Answer::ComparesPresence),
        any_answer_of_the_api(),
    ]
}

fn any_stats() -> impl Strategy<Value = RegistryStats> {
    any::<[usize; 8]>().prop_map(
        |[connections, topics, members, names, watches, presence_entries, held, held_bytes]| RegistryStats {
            connections,
            topics,
            members,
            names,
            watches,
            presence_entries,
            held,
            held_bytes,
        },
    )
}

fn any_answer_of_the_api() -> impl Strategy<Value = Answer> {
    let millis = || any::<u64>().prop_map(Duration::from_millis);
    let texts = (any_text(), any_text(), prop::option::of(any_text()), prop::collection::vec(any_text(), 0..4));
    let peer = (any::<u64>(), any::<usize>(), millis(), texts).prop_map(
        |(connection, queue_bytes, age, (transport, network, subject, topics))| PeerInfo {
            connection,
            transport,
            network,
            subject,
            age,
            topics,
            queue_bytes,
        },
    );
    let page = (prop::collection::vec((any_text(), any::<usize>()), 0..4), any::<bool>())
        .prop_map(|(topics, is_last)| TopicsPage { topics, is_last });
    let presence = prop::collection::btree_map(any_text(), prop::collection::vec(any_payload(), 0..4), 0..4);
    let node = (any_text(), millis(), any::<bool>(), any::<usize>(), any_stats()).prop_map(
        |(version, age, is_ready, connections, stats)| NodeInfo { version, age, is_ready, connections, stats },
    );
    prop_oneof![
        prop::option::of(peer).prop_map(Answer::Peer),
        page.prop_map(Answer::Topics),
        (any::<usize>(), presence).prop_map(|(members, presence)| Answer::Topic(TopicInfo { members, presence })),
        node.prop_map(Answer::Node),
        any::<Option<usize>>().prop_map(Answer::Closed),
        (prop::collection::vec(any_revocation(), 0..4), any::<bool>())
            .prop_map(|(revocations, is_last)| Answer::Revocations(RevocationsPage { revocations, is_last })),
    ]
}

fn any_question_of_the_api() -> impl Strategy<Value = Question> {
    let query = (prop::sample::select(Realm::ALL), any_text(), any_text(), any::<usize>())
        .prop_map(|(realm, prefix, after, limit)| TopicsQuery { realm, prefix, after, limit });
    let clients = prop_oneof![
        any_topic().prop_map(Clients::Members),
        (any_text(), any::<u64>()).prop_map(|(node, number)| Clients::Connection { node, number }),
        any_text().prop_map(Clients::Subject),
    ];
    prop_oneof![
        any_topic().prop_map(Question::Peer),
        query.prop_map(Question::Topics),
        any_topic().prop_map(Question::Topic),
        Just(Question::Node),
        (clients, any::<bool>()).prop_map(|(clients, may_reconnect)| Question::Disconnect { clients, may_reconnect }),
        any_revocation().prop_map(Question::Revoke),
        prop::option::of(any_revoked_tokens()).prop_map(Question::Revocations),
    ]
}

fn any_revoked_tokens() -> impl Strategy<Value = RevokedTokens> {
    prop_oneof![
        any_text().prop_map(|subject| RevokedTokens::Subject(subject.into())),
        any_text().prop_map(|id| RevokedTokens::TokenId(id.into())),
    ]
}

fn any_revocation() -> impl Strategy<Value = Revocation> {
    (any_revoked_tokens(), any::<u64>(), any::<u64>()).prop_map(|(tokens, before, at)| Revocation {
        tokens,
        before,
        at,
    })
}

fn any_message() -> impl Strategy<Value = Message> {
    let verdict = prop::sample::select(&[Verdict::Delivered, Verdict::Overloaded, Verdict::Gone, Verdict::Moving][..]);
    let question = prop_oneof![
        Just(Question::Census),
        Just(Question::ComparePresence),
        any_topic().prop_map(Question::Presence),
        prop::collection::vec(any_topic(), 0..4).prop_map(Question::PresenceVersions),
        any_topic().prop_map(Question::Owns),
        any_question_of_the_api(),
    ];
    let numbers = || (any::<u64>(), any::<u64>());
    prop_oneof![
        (prop::collection::vec(any_topic(), 0..4), any_packet())
            .prop_map(|(topics, packet)| Message::Publish { topics, packet }),
        (numbers(), any_topic(), any_packet()).prop_map(|((request, epoch), name, packet)| Message::Signal {
            request,
            name,
            epoch,
            packet
        }),
        (any::<u64>(), verdict).prop_map(|(request, verdict)| Message::Verdict { request, verdict }),
        (numbers(), any_topic(), any::<Option<[u8; 32]>>())
            .prop_map(|((request, epoch), name, proof)| Message::GiveUp { request, name, epoch, proof }),
        (any::<u64>(), any::<bool>()).prop_map(|(request, is_free)| Message::GivenUp { request, is_free }),
        (any_topic(), any::<u64>()).prop_map(|(name, epoch)| Message::Revoke { name, epoch }),
        (any_topic(), any::<u64>()).prop_map(|(topic, token)| Message::Probe { topic, token }),
        (any_topic(), any::<u64>()).prop_map(|(topic, token)| Message::Heard { topic, token }),
        (any::<u64>(), question).prop_map(|(request, question)| Message::Question { request, question }),
        (any::<u64>(), any_answer()).prop_map(|(request, answer)| Message::Answer { request, answer }),
    ]
}

proptest! {
    #[test]
    fn a_message_arrives_as_it_was_sent(message in any_message()) {
        prop_assert_eq!(decode(encode(&message)), Ok(message));
    }

    #[test]
    fn a_status_arrives_as_it_was_sent(
        (wire_version, oldest_wire_version) in any::<(u32, u32)>(), is_retired: bool, relinks: u64, secret_check: [u8; 16],
    ) {
        let status = NodeStatus { wire_version, oldest_wire_version, is_retired, relinks, secret_check };
        prop_assert_eq!(NodeStatus::decode(&status.encode()), Some(status));
    }
}

/// The bytes of each kind of message are fixed: nodes of other releases read them.
#[test]
fn a_message_has_these_bytes() {
    let topic = |name| Realm::SocketIo.topic(name).unwrap();
    let publish = |packet| Message::Publish { topics: vec![topic("a")], packet };
    let broadcast = |payload| publish(Packet::Broadcast { event: "e".into(), payload });
    let entry = PresenceEntry { key: "k".into(), meta: Payload::empty() };
    let presence = PresencePacket {
        node: "n".into(),
        since: 1,
        version: 2,
        joins: vec![("r".into(), entry)],
        leaves: vec![("q".into(), "k".into())],
        is_continued: false,
    };
    let part = PresencePacket { is_continued: true, ..presence.clone() };
    let attached = Payload::Attached("[]".into(), [Bytes::from_static(b"x"), Bytes::new()].into());
    let stats = RegistryStats {
        connections: 1,
        topics: 2,
        members: 3,
        names: 4,
        watches: 5,
        presence_entries: 6,
        held: 7,
        held_bytes: 8,
    };
    let list = PresenceList::from([("k".into(), vec![Payload::empty()])]);
    let signal = Message::Signal { request: 1, name: topic("a"), epoch: 2, packet: Packet::Up(3) };
    let give_up = |proof| Message::GiveUp { request: 1, name: topic("a"), epoch: 2, proof };
    let verdict = |verdict| Message::Verdict { request: 1, verdict };
    let answer = |answer| Message::Answer { request: 1, answer };
    let expected = [
        (broadcast(Payload::empty()), "22110a020261120b0a090a016512040a027b7d"),
        (broadcast(Payload::binary("b")), "22100a020261120a0a080a01651203120162"),
        (broadcast(attached), "22180a02026112120a100a0165120b1a090a025b5d1201781200"),
        (publish(Packet::Up(0)), "22080a02026112021000"),
        (publish(Packet::Down(9)), "22080a02026112021809"),
        (publish(Packet::PresenceWanted(None)), "22080a02026112022a00"),
        (publish(Packet::PresenceWanted(Some("n".into()))), "220b0a02026112052a030a016e"),
        (
            publish(Packet::Presence(presence)),
            "22250a020261121f221d0a016e10011802220c0a017212016b1a040a027b7d2a060a017112016b",
        ),
        (
            publish(Packet::Presence(part)),
            "22270a0202611221221f0a016e10011802220c0a017212016b1a040a027b7d2a060a017112016b3001",
        ),
        (signal, "2a0c080112020261180222021003"),
        (verdict(Verdict::Delivered), "320408011001"),
        (verdict(Verdict::Overloaded), "320408011002"),
        (verdict(Verdict::Gone), "320408011003"),
        (verdict(Verdict::Moving), "320408011004"),
        (give_up(None), "3a080801120202611802"),
        (
            give_up(Some([b'p'; 32])),
            "3a2a080112020261180222207070707070707070707070707070707070707070707070707070707070707070",
        ),
        (Message::GivenUp { request: 1, is_free: false }, "42020801"),
        (Message::GivenUp { request: 1, is_free: true }, "420408011001"),
        (Message::Revoke { name: topic("a"), epoch: 2 }, "4a060a0202611002"),
        (Message::Probe { topic: topic("a"), token: 2 }, "52060a0202611002"),
        (Message::Heard { topic: topic("a"), token: 2 }, "5a060a0202611002"),
        (Message::Question { request: 1, question: Question::Census }, "620408011200"),
        (Message::Question { request: 1, question: Question::Presence(topic("a")) }, "620608011a020261"),
        (
            Message::Question { request: 1, question: Question::PresenceVersions(vec![topic("a"), topic("b")]) },
            "620c080122080a0202610a020262",
        ),
        (Message::Question { request: 1, question: Question::ComparePresence }, "620408012a00"),
        (answer(Answer::ComparesPresence), "6a0408012a00"),
        (answer(Answer::PresenceVersions(vec![3, 0])), "6a08080122040a020300"),
        (Message::Question { request: 1, question: Question::Owns(topic("a")) }, "6206080132020261"),
        (answer(Answer::Owns(true)), "6a0408013001"),
        (answer(Answer::Census(stats)), "6a140801121008011002180320042805300638074008"),
        (answer(Answer::Presence(list)), "6a0f08011a0b0a090a016b12040a027b7d"),
    ];
    for (message, bytes) in expected {
        let encoded: String = encode(&message).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(encoded, bytes, "{message:?}");
    }
    assert_eq!(
        NodeStatus {
            wire_version: 2,
            oldest_wire_version: 1,
            is_retired: true,
            relinks: 3,
            secret_check: *b"0123456789abcdef"
        }
        .encode(),
        &b"\x08\x02\x10\x01\x18\x01\x22\x100123456789abcdef\x28\x03"[..]
    );
}

/// Whether `part` lies in the memory of `whole`.
fn is_part(part: &[u8], whole: &[u8]) -> bool {
    whole.as_ptr_range().contains(&part.as_ptr())
}

#[test]
fn the_payload_of_a_broadcast_is_not_copied_and_that_of_a_presence_entry_is() {
    let payloads = [
        Payload::from_json_text("[1]"),
        Payload::binary(vec![1; 100]),
        Payload::Attached("[1]".into(), [Bytes::from(vec![1; 100])].into()),
    ];
    let parts = |payload: &Payload| match payload {
        Payload::Json(text) => vec![text.as_bytes().clone()],
        Payload::Binary(bytes) => vec![bytes.clone()],
        Payload::Attached(text, attachments) => [&[text.as_bytes().clone()], &attachments[..]].concat(),
    };
    for payload in payloads {
        let message = |packet| Message::Publish { topics: vec![], packet };
        let sent = encode(&message(Packet::Broadcast { event: "e".into(), payload: payload.clone() }));
        let Ok(Message::Publish { packet: Packet::Broadcast { payload: received, .. }, .. }) = decode(sent.clone())
        else {
            panic!("a broadcast");
        };
        assert!(parts(&received).iter().all(|part| is_part(part, &sent)), "{payload:?}");

        let joins = vec![("r".into(), PresenceEntry { key: "k".into(), meta: payload.clone() })];
        let presence =
            PresencePacket { node: "n".into(), since: 0, version: 1, joins, leaves: vec![], is_continued: false };
        let sent = encode(&message(Packet::Presence(presence)));
        let Ok(Message::Publish { packet: Packet::Presence(received), .. }) = decode(sent.clone()) else {
            panic!("a presence packet");
        };
        assert!(!parts(&received.joins[0].1.meta).iter().any(|part| is_part(part, &sent)), "{payload:?}");
    }
}

fn decode_raw(bytes: &[u8]) -> Result<Message, DecodeError> {
    decode(Bytes::copy_from_slice(bytes))
}

#[test]
fn a_kind_that_a_later_release_adds_is_unknown() {
    for (what, bytes) in [
        ("a message", &b"\x7A\x00"[..]),
        ("no message", b""),
        ("a packet on topics", b"\x22\x08\x0A\x02\x02a\x12\x02\x30\x01"),
        ("a packet to a node", b"\x2A\x08\x12\x02\x02a\x22\x02\x30\x01"),
        ("a payload", b"\x22\x0C\x0A\x02\x02a\x12\x06\x0A\x04\x12\x02\x20\x01"),
        ("the metadata of an entry", b"\x22\x0A\x12\x08\x22\x06\x22\x04\x1A\x02\x20\x01"),
        ("a verdict", b"\x32\x04\x08\x01\x10\x05"),
        ("a question", b"\x62\x04\x08\x01\x7A\x00"),
        ("an answer", b"\x6A\x04\x08\x01\x7A\x00"),
    ] {
        assert_eq!(decode_raw(bytes), Err(DecodeError::Unknown), "{what}");
    }
}

#[test]
fn what_no_release_sends_is_malformed() {
    for (what, bytes) in [
        ("not protobuf", &b"\xFF"[..]),
        ("a length beyond the end", b"\x22\x0F\x0A"),
        ("another type of a field", b"\x20\x01"),
        ("no packet on topics", b"\x22\x04\x0A\x02\x02a"),
        ("no packet to a node", b"\x2A\x04\x12\x02\x02a"),
        ("no payload", b"\x22\x08\x0A\x02\x02a\x12\x02\x0A\x00"),
        ("no metadata", b"\x22\x06\x12\x04\x22\x02\x22\x00"),
        ("no verdict", b"\x32\x02\x08\x01"),
        ("no topic", b"\x52\x00"),
        ("a topic without a name", b"\x52\x03\x0A\x01\x02"),
        ("a topic with a control character", b"\x52\x04\x0A\x02a\x02"),
        ("a topic of no realm", b"\x52\x04\x0A\x02\x1Fa"),
        ("a topic that is not UTF-8", b"\x52\x04\x0A\x02a\xFF"),
        ("an event that is not UTF-8", b"\x22\x09\x12\x07\x0A\x05\x0A\x01\xFF\x12\x00"),
        ("JSON that is not UTF-8", b"\x22\x09\x12\x07\x0A\x05\x12\x03\x0A\x01\xFF"),
        ("a proof of 31 bytes", b"\x3A\x25\x12\x02\x02a\x22\x1Fppppppppppppppppppppppppppppppp"),
        ("a proof without bytes", b"\x3A\x06\x12\x02\x02a\x22\x00"),
    ] {
        assert_eq!(decode_raw(bytes), Err(DecodeError::Malformed), "{what}");
    }
}

/// The messages of a later release of the same version: each has a field more, and texts have the type `string`.
mod later_release {
    use std::collections::BTreeMap;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Content {
        #[prost(message, optional, tag = "5")]
        pub(super) signal: Option<Signal>,
        #[prost(btree_map = "string, string", tag = "100")]
        pub(super) trace: BTreeMap<String, String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Signal {
        #[prost(uint64, tag = "1")]
        pub(super) request: u64,
        #[prost(string, tag = "2")]
        pub(super) name: String,
        #[prost(message, optional, tag = "4")]
        pub(super) packet: Option<Packet>,
        #[prost(fixed64, tag = "5")]
        pub(super) sent_at: u64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Packet {
        #[prost(message, optional, tag = "1")]
        pub(super) broadcast: Option<Broadcast>,
        #[prost(double, tag = "16")]
        pub(super) priority: f64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Broadcast {
        #[prost(string, tag = "1")]
        pub(super) event: String,
        #[prost(message, optional, tag = "2")]
        pub(super) payload: Option<Payload>,
        #[prost(fixed32, tag = "3")]
        pub(super) checksum: u32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Payload {
        #[prost(string, optional, tag = "1")]
        pub(super) json: Option<String>,
        #[prost(bool, tag = "16")]
        pub(super) is_compressed: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Status {
        #[prost(uint32, tag = "1")]
        pub(super) wire_version: u32,
        #[prost(uint32, tag = "2")]
        pub(super) oldest_wire_version: u32,
        #[prost(bytes, tag = "4")]
        pub(super) secret_check: Vec<u8>,
        #[prost(string, repeated, tag = "15")]
        pub(super) features: Vec<String>,
    }
}

#[test]
fn fields_that_a_later_release_adds_are_skipped() {
    let payload = later_release::Payload { json: Some("[1]".into()), is_compressed: true };
    let broadcast = later_release::Broadcast { event: "offer".into(), payload: Some(payload), checksum: 7 };
    let packet = later_release::Packet { broadcast: Some(broadcast), priority: 1.5 };
    let signal =
        later_release::Signal { request: 3, name: "peer:a".into(), packet: Some(packet), sent_at: 1_700_000_000 };
    let trace = [("id".to_owned(), "17".to_owned())].into();
    let content = later_release::Content { signal: Some(signal), trace };
    let packet = Packet::Broadcast { event: "offer".into(), payload: Payload::from_json_text("[1]") };
    let name = Topic::parse("peer:a").unwrap();
    assert_eq!(decode_raw(&content.encode_to_vec()), Ok(Message::Signal { request: 3, name, epoch: 0, packet }));
}

#[test]
fn the_status_of_a_later_version_is_read() {
    let status = |oldest_wire_version| {
        let features = vec!["compression".to_owned()];
        let bytes = later_release::Status { wire_version: 9, oldest_wire_version, secret_check: vec![7; 16], features };
        NodeStatus::decode(&bytes.encode_to_vec()).unwrap()
    };
    let expected =
        NodeStatus { wire_version: 9, oldest_wire_version: 1, is_retired: false, relinks: 0, secret_check: [7; 16] };
    assert_eq!(status(1), expected);
    assert!(status(1).is_compatible());
    assert!(!status(8).is_compatible());
}

#[test]
fn a_malformed_status_is_refused() {
    for bytes in [&b"\xFF"[..], b"", b"\x08\x01\x10\x01\x22\x0F0123456789abcde", b"\x08\x01\x22\x110123456789abcdefg"] {
        assert_eq!(NodeStatus::decode(bytes), None, "{}", bytes.escape_ascii());
    }
}

/// The element that takes most memory for the fewest bytes is an empty presence entry: 2 bytes, a tag and a length. A
/// list that grows has at most twice the elements that it needs, beside the former list of half the size.
#[test]
fn a_message_takes_memory_in_proportion_to_its_length() {
    let largest = [
        size_of::<schema::PresenceJoin>(),
        size_of::<schema::PresenceLeave>(),
        size_of::<schema::PresenceKey>(),
        size_of::<schema::Payload>(),
        size_of::<Bytes>(),
    ];
    let largest = largest.into_iter().max().unwrap();
    assert!((2 + 1) * largest <= 192 * 2, "{largest}");
}
