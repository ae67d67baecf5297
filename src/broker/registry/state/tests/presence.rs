//! Presence lists that other nodes have a part of.

use super::*;
use crate::broker::adapter::{Answer, Answers, NodeId, PresencePacket, Question};

fn entry(key: &str) -> PresenceEntry {
    PresenceEntry { key: key.into(), meta: Payload::empty() }
}

/// A packet of another node, with one entry.
fn packet(node: &str, since: u64, version: u64) -> Packet {
    Packet::Presence(PresencePacket {
        node: node.into(),
        since,
        version,
        joins: vec![(format!("{node}{version}").into(), entry(node))],
        leaves: Vec::new(),
        is_continued: false,
    })
}

/// A node with a member that is in the presence list of a room and receives it. The nodes "x" and "y" have sent theirs.
fn listed(room: &Topic) -> Tables {
    let (mut tables, client) = (Tables::new(), client(1));
    let membership = Membership { entry: Some(entry("here")), subscribe_presence: true, ..Membership::default() };
    join(&mut tables.state, &client, room.clone(), membership);
    let (_, confirm) = tables.adapter.requests().subscriptions.pop_front().unwrap();
    confirm.send(()).unwrap();
    tables.settle();
    for (node, version) in [("x", 5), ("y", 7)] {
        tables.state.remote_packet(room, packet(node, 0, version));
    }
    tables.state.flush_presence(client.now());
    tables.adapter.requests().published.clear();
    tables
}

fn resync(tables: &mut Tables) {
    tables.state.resync();
    while tables.state.is_resyncing() {
        tables.state.continue_resync();
    }
}

#[test]
fn after_a_loss_lists_are_compared_and_requested_from_those_that_differ() {
    let room = topic("room:a");
    let mut tables = listed(&room);
    resync(&mut tables);
    assert!(tables.adapter.requests().published.is_empty(), "no entries are sent or requested");
    let (question, answer) = tables.adapter.requests().questions.pop_front().unwrap();
    assert_eq!(question, Question::PresenceVersions(vec![room.clone()]));
    let versions = [("x", 5), ("y", 0), ("z", 9)];
    let answers = versions.map(|(node, version)| (node.into(), Answer::PresenceVersions(vec![version]))).to_vec();
    answer.send(Answers { answers, silent: vec!["w".into()] }).unwrap();
    tables.settle();
    let wanted = |node: &str| Packet::PresenceWanted(Some(node.into()));
    assert_eq!(tables.adapter.requests().published, [wanted("w"), wanted("z")]);
    assert!(tables.state.presence_list(&room).keys().eq(["here", "x"]), "y has no entries any more");
}

/// A node that has sent something after it was asked is not taken to have none.
#[test]
fn an_answer_that_is_older_than_a_packet_removes_nothing() {
    let room = topic("room:a");
    let mut tables = listed(&room);
    resync(&mut tables);
    tables.state.remote_packet(&room, packet("y", 7, 8));
    let (_, answer) = tables.adapter.requests().questions.pop_front().unwrap();
    let none: Vec<(NodeId, Answer)> = vec![("y".into(), Answer::PresenceVersions(vec![0]))];
    answer.send(Answers { answers: none, silent: Vec::new() }).unwrap();
    tables.settle();
    assert!(tables.state.presence_list(&room).keys().eq(["here", "x", "y"]));
}

#[test]
fn many_lists_are_compared_with_few_questions() {
    const ROOMS: u64 = 600;
    let mut tables = listed(&topic("room:a"));
    for n in 1..ROOMS {
        let membership = Membership { subscribe_presence: true, ..Membership::default() };
        join(&mut tables.state, &client(1 + n), topic(&format!("room:{n}")), membership);
    }
    for (_, confirm) in std::mem::take(&mut tables.adapter.requests().subscriptions) {
        confirm.send(()).unwrap();
    }
    tables.settle();
    resync(&mut tables);
    let topics = |(question, _): &(Question, _)| match question {
        Question::PresenceVersions(topics) => topics.len(),
        question => panic!("{question:?}"),
    };
    let questions: Vec<_> = tables.adapter.requests().questions.iter().map(topics).collect();
    assert!(questions.iter().sum::<usize>() == ROOMS as usize && questions.len() <= 4, "{questions:?}");
}

#[test]
fn a_gap_is_asked_of_its_node_alone() {
    let room = topic("room:a");
    let mut tables = listed(&room);
    tables.state.remote_packet(&room, packet("x", 8, 9));
    assert_eq!(tables.adapter.requests().published, [Packet::PresenceWanted(Some("x".into()))]);
    for (wanted, is_asked) in [(Some("x".into()), false), (Some("here".into()), true), (None, true)] {
        tables.state.flush_presence(client(1).now());
        tables.state.remote_packet(&room, Packet::PresenceWanted(wanted));
        assert_eq!(tables.state.has_presence_changes(), is_asked);
    }
}
