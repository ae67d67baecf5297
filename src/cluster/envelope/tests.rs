//! Each reason to refuse a message, and what a refused message leaves behind.

use super::*;
use crate::broker::adapter::Packet;
use crate::cluster::replay::WINDOW;
use crate::cluster::schema::{self, Kind};
use crate::message::Payload;
use crate::topic::Topic;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn publish() -> Message {
    let packet = Packet::Broadcast { event: "offer".into(), payload: Payload::empty() };
    Message::Publish { topics: vec![Topic::parse("room:a").unwrap(), Topic::parse("room:b").unwrap()], packet }
}

/// The node `a.1` that sends, and the node `b.1` that has admitted it.
fn pair() -> (Sealer, Opener) {
    let mut opener = Opener::new(SECRET, "b.1".into());
    opener.admit("a.1");
    (Sealer::new(SECRET, "a.1".into()), opener)
}

fn opened(message: Message) -> Result<Opened, Refused> {
    Ok(Opened { from: "a.1".into(), message })
}

/// An authentic envelope with any content.
fn authentic(number: u64, content: &impl prost::Message) -> Bytes {
    let head = Head { from: Bytes::from_static(b"a.1"), number, to: Bytes::new() };
    seal(&key(SECRET, MESSAGE_DOMAIN), 1, &head, content)
}

/// An authentic envelope with any body.
fn authentic_body(body: &[u8]) -> Bytes {
    let tag = tag(&key(SECRET, MESSAGE_DOMAIN), &[&[1], body]);
    [&[1], &tag[..], body].concat().into()
}

/// The format is fixed: nodes of other releases read it. The tag is what
/// `printf 'handclasp cluster message\0\x01...' | openssl dgst -sha256 -hmac SECRET` prints.
#[test]
fn an_envelope_has_these_bytes() {
    let (mut sealer, _) = pair();
    let question = Message::Probe { topic: Topic::parse("room:a").unwrap(), token: 300 };
    let sealed = sealer.seal(Destination::Node("b.1"), &question);
    let (prefix, body) = sealed.split_at(PREFIX);
    assert_eq!(body, b"\x0A\x03a.1\x10\x01\x1A\x03b.1\x52\x0B\x0A\x06room:a\x10\xAC\x02");
    assert_eq!(prefix[0], 1);
    assert_eq!(prefix[1..], 0x355b619af9a74eac34f3d3040cea404e_u128.to_be_bytes());
}

#[test]
fn a_message_to_several_topics_is_opened_once() {
    let (mut sealer, mut opener) = pair();
    let sealed = sealer.seal(Destination::Topics, &publish());
    assert_eq!(opener.open(sealed.clone()), opened(publish()));
    assert_eq!(opener.open(sealed.clone()), Err(Refused::Repeated));
    assert_eq!(opener.open(sealed), Err(Refused::Repeated));
}

#[test]
fn a_message_that_is_changed_anywhere_is_forged_and_leaves_nothing_behind() {
    let (mut sealer, mut opener) = pair();
    let sealed = sealer.seal(Destination::Node("b.1"), &publish());
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1 << bit;
            let expected = if at == 0 { Refused::Version(changed[0].into()) } else { Refused::Forged };
            let refused = opener.open(changed.into()).unwrap_err();
            // what claims to be this node's own message has no effect, so its signature is not checked
            assert!(refused == expected || refused == Refused::Own, "bit {bit} of byte {at}: {refused:?}");
        }
        assert_eq!(opener.open(sealed.slice(..at)), Err(Refused::Forged), "the first {at} bytes");
    }
    assert_eq!(opener.open([&sealed[..], b"\0"].concat().into()), Err(Refused::Forged));
    assert_eq!(opener.open(sealed), opened(publish()));
}

#[test]
fn a_message_sealed_with_another_secret_is_forged_and_leaves_nothing_behind() {
    let (mut sealer, mut opener) = pair();
    let mut forger = Sealer::new(b"another secret", "a.1".into());
    for _ in 0..=2 * WINDOW {
        let forged = forger.seal(Destination::Topics, &publish());
        assert_eq!(opener.open(forged), Err(Refused::Forged));
    }
    assert_eq!(opener.open(sealer.seal(Destination::Topics, &publish())), opened(publish()));
}

/// The tag of a node's id is published, so it must not be a message's tag.
#[test]
fn the_check_of_a_secret_is_no_message_s_tag() {
    let (sealer, mut opener) = pair();
    let head = Head { from: Bytes::from_static(b"a.1"), number: 1, to: Bytes::new() };
    let body = [head.encode_to_vec(), Content::from(&publish()).encode_to_vec()].concat();
    let forged = [&[1], &tag(&sealer.node_key, &[&[1], &body])[..], &body].concat();
    assert_eq!(opener.open(forged.into()), Err(Refused::Forged));
    let status = NodeStatus::new(false, 1);
    let check = sealer.secret_check("a.1", &status);
    assert_ne!(check, sealer.secret_check("b.1", &status));
    assert_eq!(check, Sealer::new(SECRET, "b.1".into()).secret_check("a.1", &status));
    assert_ne!(check, Sealer::new(b"another secret", "a.1".into()).secret_check("a.1", &status));
    let altered = [
        NodeStatus { is_retired: true, ..status.clone() },
        NodeStatus { relinks: 2, ..status.clone() },
        NodeStatus { wire_version: 9, ..status.clone() },
        NodeStatus { oldest_wire_version: 9, ..status.clone() },
    ];
    assert!(altered.iter().all(|altered| sealer.secret_check("a.1", altered) != check), "each field is covered");
}

#[test]
fn another_version_is_refused_before_anything_else_is_read() {
    let (_, mut opener) = pair();
    for version in [0, 2, 255_u8] {
        assert_eq!(opener.open(vec![version].into()), Err(Refused::Version(version.into())));
    }
}

#[test]
fn a_node_s_own_message_comes_back() {
    let (_, mut opener) = pair();
    let mut own = Sealer::new(SECRET, "b.1".into());
    assert_eq!(opener.open(own.seal(Destination::Topics, &publish())), Err(Refused::Own));
    assert_eq!(opener.open(own.seal(Destination::Node("a.1"), &publish())), Err(Refused::Own));
}

/// Also a message for an earlier life of the node.
#[test]
fn a_message_for_another_node_is_misdirected_and_leaves_nothing_behind() {
    let (mut sealer, mut opener) = pair();
    let sealed = sealer.seal(Destination::Node("b.0"), &publish());
    assert_eq!(opener.open(sealed.clone()), Err(Refused::Misdirected));
    assert_eq!(opener.open(sealed.clone()), Err(Refused::Misdirected));
    let mut other = Opener::new(SECRET, "b.0".into());
    other.admit("a.1");
    assert_eq!(other.open(sealed), opened(publish()));
}

#[test]
fn a_stranger_s_message_is_opened_after_its_node_is_admitted() {
    let (mut sealer, _) = pair();
    let mut opener = Opener::new(SECRET, "b.1".into());
    let sealed = sealer.seal(Destination::Node("b.1"), &publish());
    for _ in 0..3 {
        assert_eq!(opener.open(sealed.clone()), Err(Refused::Stranger("a.1".into())));
    }
    opener.admit("a.1");
    assert_eq!(opener.open(sealed), opened(publish()));
}

#[test]
fn a_retired_node_is_a_stranger_and_its_messages_cannot_be_repeated_when_it_returns() {
    let (mut sealer, mut opener) = pair();
    let [first, second] = [(); 2].map(|()| sealer.seal(Destination::Topics, &publish()));
    assert_eq!(opener.open(first.clone()), opened(publish()));
    opener.retire("a.1");
    opener.retire("a.1");
    for sealed in [&first, &second] {
        assert_eq!(opener.open(sealed.clone()), Err(Refused::Stranger("a.1".into())));
    }
    opener.admit("a.1");
    opener.admit("a.1");
    assert_eq!(opener.open(first), Err(Refused::Repeated));
    assert_eq!(opener.open(second), opened(publish()));
}

#[test]
fn messages_may_overtake_each_other_within_the_window() {
    let (mut sealer, mut opener) = pair();
    let sealed: Vec<Bytes> = (0..=WINDOW).map(|_| sealer.seal(Destination::Topics, &publish())).collect();
    assert_eq!(opener.open(sealed[WINDOW as usize].clone()), opened(publish()));
    for sealed in &sealed[1..WINDOW as usize] {
        assert_eq!(opener.open(sealed.clone()), opened(publish()));
    }
    assert_eq!(opener.open(sealed[0].clone()), Err(Refused::Repeated), "too late");
}

#[test]
fn an_authentic_message_that_cannot_be_read_is_malformed() {
    let (mut sealer, mut opener) = pair();
    let sealed = |head: &Head, content: &Content| seal(&sealer.message_key, 1, head, content);
    let head = Head { from: Bytes::from_static(b"a.1"), number: 1, to: Bytes::new() };
    let content = Content::from(&publish());
    let no_packet = Content { kind: Some(Kind::Publish(schema::Publish::default())) };
    for (what, envelope) in [
        ("no body", authentic_body(b"")),
        ("not protobuf", authentic_body(b"\x0A\xFFa.1")),
        ("no sender", sealed(&Head { from: Bytes::new(), ..head.clone() }, &content)),
        ("no number", sealed(&Head { number: 0, ..head.clone() }, &content)),
        ("a sender that is not UTF-8", sealed(&Head { from: Bytes::from_static(b"\xFF"), ..head.clone() }, &content)),
        ("a message without a packet", sealed(&head, &no_packet)),
    ] {
        assert_eq!(opener.open(envelope), Err(Refused::Malformed), "{what}");
    }
    assert_eq!(opener.open(sealer.seal(Destination::Topics, &publish())), Err(Refused::Repeated));
    assert_eq!(opener.open(sealer.seal(Destination::Topics, &publish())), opened(publish()));
}

/// What a node of a later release may send with the same version.
#[test]
fn a_kind_of_message_of_a_later_release_is_unknown_and_its_further_fields_are_skipped() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Next {
        #[prost(string, tag = "14")]
        kind: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct Extended {
        #[prost(message, optional, tag = "10")]
        probe: Option<ExtendedProbe>,
        #[prost(message, optional, tag = "100")]
        trace: Option<Next>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct ExtendedProbe {
        #[prost(string, tag = "1")]
        topic: String,
        #[prost(fixed64, tag = "3")]
        sent_at: u64,
    }
    let (_, mut opener) = pair();
    assert_eq!(opener.open(authentic(1, &Next { kind: "a new kind".into() })), Err(Refused::Unknown));
    assert_eq!(opener.open(authentic(1, &Next { kind: "a new kind".into() })), Err(Refused::Repeated));
    let probe = ExtendedProbe { topic: "room:a".into(), sent_at: 7 };
    let extended = Extended { probe: Some(probe), trace: Some(Next { kind: "trace".into() }) };
    let probe = Message::Probe { topic: Topic::parse("room:a").unwrap(), token: 0 };
    assert_eq!(opener.open(authentic(2, &extended)), opened(probe));
}
