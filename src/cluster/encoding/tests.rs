//! Every message arrives as it was sent, and what other releases may send is read or refused.

use proptest::prelude::*;

use super::*;
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
    (any_text(), any::<u64>(), any::<u64>(), joins, leaves)
        .prop_map(|(node, since, version, joins, leaves)| PresencePacket { node, since, version, joins, leaves })
}

fn any_packet() -> impl Strategy<Value = Packet> {
    prop_oneof![
        (any_text(), any_payload()).prop_map(|(event, payload)| Packet::Broadcast { event, payload }),
        any::<u64>().prop_map(Packet::Up),
        any::<u64>().prop_map(Packet::Down),
        any_presence().prop_map(Packet::Presence),
        Just(Packet::PresenceWanted),
    ]
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let census = any::<[usize; 8]>().prop_map(
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
    );
    let metas = prop::collection::vec(any_payload(), 0..4);
    prop_oneof![
        census.prop_map(Answer::Census),
        prop::collection::btree_map(any_text(), metas, 0..4).prop_map(Answer::Presence),
    ]
}

fn any_message() -> impl Strategy<Value = Message> {
    let verdict = prop::sample::select(&[Verdict::Delivered, Verdict::Overloaded, Verdict::Gone, Verdict::Moving][..]);
    let question = prop_oneof![Just(Question::Census), any_topic().prop_map(Question::Presence)];
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
        (wire_version, oldest_wire_version) in any::<(u32, u32)>(), is_retired: bool, secret_check: [u8; 16],
    ) {
        let status = NodeStatus { wire_version, oldest_wire_version, is_retired, secret_check };
        prop_assert_eq!(NodeStatus::decode(&status.encode()), Some(status));
    }
}
