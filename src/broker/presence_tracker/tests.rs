//! Lists as their subscribers and the other nodes see them.

use super::series::PACKET_BYTES;
use super::*;
use crate::broker::topic_table::tests::crowd;
use crate::connections::connection::tests::numbered;
use crate::message::JoinId;

fn tracker(node: &str) -> PresenceTracker {
    PresenceTracker::new(node.into(), usize::MAX)
}

fn subscriber() -> Member {
    Member { join: JoinId(1), connection: Arc::new(numbered(1, usize::MAX)) }
}

#[test]
fn a_list_without_entries_and_subscribers_is_removed() {
    let (crowd, topic) = (crowd(3), Topic::parse("room:a").unwrap());
    let entry = || PresenceEntry { key: "k".into(), meta: Payload::empty() };
    let mut presence = tracker("a");
    assert_eq!(
        crowd.iter().filter(|subscriber| presence.subscribe(&topic, (*subscriber).clone())).count(),
        1,
        "only the first"
    );
    for _ in 0..2 {
        crowd.iter().for_each(|member| presence.put(&topic, member.id(), entry()));
    }
    assert_eq!(presence.len(&topic), crowd.len(), "one entry for each member, however often it changes");
    crowd.iter().for_each(|subscriber| presence.leave(&topic, subscriber.id()));
    presence.flush(now());
    assert!(presence.topics.is_empty());
}

/// A sender with a list that no engine takes as one message, and a receiver with a subscriber.
fn with_long_list(topic: &Topic) -> (PresenceTracker, PresenceTracker) {
    const ENTRY: usize = 1_000;
    let (mut sender, mut receiver) = (tracker("a"), tracker("b"));
    receiver.subscribe(topic, subscriber());
    for (n, member) in crowd(1_000).iter().enumerate() {
        let meta = Payload::from(&serde_json::json!({ "text": "x".repeat(ENTRY) }));
        sender.put(topic, member.id(), PresenceEntry { key: format_compact!("{n}"), meta });
    }
    (sender, receiver)
}

fn now() -> Instant {
    subscriber().connection.now()
}

/// The sender's next packets.
fn flushed(sender: &mut PresenceTracker) -> Vec<Packet> {
    sender.flush(now()).into_iter().map(|(_, packet)| packet).collect()
}

/// All of the sender's entries.
fn requested(sender: &mut PresenceTracker, topic: &Topic) -> Vec<Packet> {
    sender.topics.get_mut(topic).unwrap().answered = None;
    sender.request(topic);
    flushed(sender)
}

fn presence(packet: Packet) -> PresencePacket {
    assert!(packet.size() < 2 * PACKET_BYTES, "{} bytes", packet.size());
    let Packet::Presence(packet) = packet else { panic!("{packet:?}") };
    packet
}

#[test]
fn a_long_list_is_sent_in_several_packets_that_change_nothing_before_the_last() {
    let topic = Topic::parse("room:a").unwrap();
    let (mut sender, mut receiver) = with_long_list(&topic);
    for packets in [flushed(&mut sender), requested(&mut sender, &topic)] {
        let (before, last) = (receiver.len(&topic), packets.len() - 1);
        assert!(last > 0);
        for (n, packet) in packets.into_iter().enumerate() {
            assert!(!receiver.merge(&topic, presence(packet)), "no packet is missing");
            assert_eq!(receiver.len(&topic), if n == last { sender.len(&topic) } else { before });
            assert_eq!(receiver.has_changed(), n == last);
        }
        receiver.flush(now());
    }
    assert_eq!((receiver.parts.bytes(), receiver.list(&topic).len()), (0, 1_000));
    let members: Vec<_> = sender.topics[&topic].own.keys().copied().collect();
    members.iter().for_each(|member| sender.untrack(&topic, *member));
    for (_, packet) in sender.flush(now()) {
        receiver.merge(&topic, presence(packet));
    }
    assert_eq!(receiver.len(&topic), 0);
}

#[test]
fn parts_are_given_up_with_their_node_and_with_the_list() {
    let topic = Topic::parse("room:a").unwrap();
    let (mut sender, mut receiver) = with_long_list(&topic);
    sender.flush(now());
    for is_node_down in [true, false] {
        let first = presence(requested(&mut sender, &topic).swap_remove(0));
        let size = first.content_size();
        receiver.merge(&topic, first);
        assert!(receiver.parts.bytes() > size);
        match is_node_down {
            true => receiver.node_down("a"),
            false => receiver.leave(&topic, subscriber().id()),
        }
        receiver.flush(now());
        assert_eq!((receiver.parts.bytes(), receiver.count()), (0, 0));
    }
}

#[test]
fn requests_within_the_pause_are_answered_together_at_its_end() {
    let (mut sender, topic, start) = (tracker("a"), Topic::parse("room:a").unwrap(), now());
    let (early, end) = (start + REQUEST_PAUSE - Duration::from_millis(1), start + REQUEST_PAUSE);
    let entry = || PresenceEntry { key: "k".into(), meta: Payload::empty() };
    let sends_all = |sender: &mut PresenceTracker, at| -> Vec<bool> {
        sender.flush(at).into_iter().map(|(_, packet)| presence(packet).since == 0).collect()
    };
    sender.put(&topic, subscriber().id(), entry());
    assert_eq!(sends_all(&mut sender, start), [true], "it was not sent before");
    for (at, expected) in [(start, &[true][..]), (start, &[]), (early, &[])] {
        (0..3).for_each(|_| sender.request(&topic));
        assert_eq!(sends_all(&mut sender, at), expected);
    }
    sender.put(&topic, subscriber().id(), entry());
    assert_eq!(sends_all(&mut sender, early), [false], "changes do not wait");
    assert!(sender.has_waiting_requests());
    sender.check_requests();
    assert_eq!(sends_all(&mut sender, end), [true]);
    assert!(!sender.has_waiting_requests() && !sender.has_changed());
}
