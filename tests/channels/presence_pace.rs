//! Presence lists come as fast as their client reads: large lists, many at once, and lists that change meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use futures_util::future::join_all;
use handclasp::broker::adapter::{Adapter, ClusterInbox, Packet, PresencePacket};
use handclasp::message::PresenceEntry;
use handclasp::{Endpoint, Node, Payload, Topic};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::common::{Client, TIMEOUT, config, frame, node, wait_until_empty};

/// A second node, whose members are in every list.
#[derive(Clone)]
struct Crowd(Arc<State>);

struct State {
    members: usize,
    inbox: OnceLock<Arc<dyn ClusterInbox>>,
    /// How often all members have changed, and the topics that they are in.
    generation: Mutex<usize>,
    topics: Mutex<BTreeSet<Topic>>,
}

impl Crowd {
    fn of(members: usize) -> Self {
        let (inbox, generation, topics) = (OnceLock::new(), Mutex::new(0), Mutex::default());
        Self(Arc::new(State { members, inbox, generation, topics }))
    }

    fn node(&self, sets: &[&str]) -> Node {
        Endpoint::new(config(&[&["server.workers=2"], sets].concat())).adapter(self.clone()).start().unwrap()
    }

    fn refs(&self, generation: usize) -> impl Iterator<Item = (usize, String)> {
        (0..self.0.members).map(move |n| (n, format!("{generation}.{n}")))
    }

    /// Replaces all members of all topics.
    fn change(&self) {
        let mut generation = self.0.generation.lock().unwrap();
        *generation += 1;
        for topic in self.0.topics.lock().unwrap().iter() {
            self.publish_generation(topic, *generation, *generation as u64);
        }
    }

    /// Publishes the entries of a generation, which follow the packet `since`. If that is 0, they replace all others.
    fn publish_generation(&self, topic: &Topic, generation: usize, since: u64) {
        let meta = Payload::from(&serde_json::json!({ "name": "x".repeat(180) }));
        let joins = self.refs(generation).map(|(n, reference)| {
            (reference.into(), PresenceEntry { key: format!("member {n}").into(), meta: meta.clone() })
        });
        let leaves = generation.checked_sub(1).into_iter().flat_map(|before| self.refs(before));
        let leaves = leaves.map(|(n, reference)| (reference.into(), format!("member {n}").into())).collect();
        let packet = Packet::Presence(PresencePacket {
            node: "far".into(),
            since,
            version: generation as u64 + 1,
            joins: joins.collect(),
            leaves,
            is_continued: false,
        });
        self.0.inbox.get().unwrap().publish(std::slice::from_ref(topic), packet);
    }

    /// Every list, as the client is to know it in the end.
    fn expected(&self) -> BTreeSet<String> {
        self.refs(*self.0.generation.lock().unwrap()).map(|(_, reference)| reference).collect()
    }
}

impl Adapter for Crowd {
    fn start(&self, inbox: Arc<dyn ClusterInbox>) -> std::io::Result<()> {
        assert!(self.0.inbox.set(inbox).is_ok());
        Ok(())
    }
    fn publish(&self, topics: &[Topic], packet: Packet) {
        if matches!(packet, Packet::PresenceWanted(_)) {
            let generation = *self.0.generation.lock().unwrap();
            self.0.topics.lock().unwrap().extend(topics.iter().cloned());
            topics.iter().for_each(|topic| self.publish_generation(topic, generation, 0));
        }
    }
}

/// A client that keeps the presence lists as phoenix.js does.
struct Member {
    client: Client,
    bytes: Vec<u8>,
    joined: usize,
    /// The `phx_ref`s of each topic's list.
    lists: BTreeMap<String, BTreeSet<String>>,
}

impl Member {
    fn new(client: Client) -> Self {
        Self { client, bytes: Vec::new(), joined: 0, lists: BTreeMap::new() }
    }

    /// Joins all rooms in one segment.
    async fn join(&mut self, rooms: usize, payload: &str) {
        let join = |n| frame(0x81, format!(r#"["{n}","{n}","room:{n}","phx_join",{payload}]"#).as_bytes());
        self.client.raw(&(0..rooms).flat_map(join).collect::<Vec<u8>>()).await;
    }

    /// Reads until the client has joined all rooms, and each list has these entries.
    async fn read_until(&mut self, rooms: usize, is_complete: impl Fn(&BTreeSet<String>) -> bool) {
        while self.joined < rooms || self.lists.len() < rooms || !self.lists.values().all(&is_complete) {
            if let Some(text) = self.take_message() {
                self.apply(&text);
                continue;
            }
            let read = timeout(6 * TIMEOUT, self.client.stream.read_buf(&mut self.bytes)).await;
            assert_ne!(read.expect("more to read").unwrap(), 0, "the connection was closed");
        }
    }

    /// The next whole text message that has arrived.
    fn take_message(&mut self) -> Option<String> {
        let (first, short) = (*self.bytes.first()?, usize::from(*self.bytes.get(1)?));
        let (length, header) = match short {
            126 => (usize::from(u16::from_be_bytes(*self.bytes.get(2..)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*self.bytes.get(2..)?.first_chunk()?) as usize, 10),
            short => (short, 2),
        };
        let payload = self.bytes.get(header..header + length)?.to_vec();
        assert_eq!(first, 0x81, "instead of a text: {:?}", String::from_utf8_lossy(&payload));
        self.bytes.drain(..header + length);
        Some(String::from_utf8(payload).unwrap())
    }

    fn apply(&mut self, text: &str) {
        let [_, _, topic, event, payload] = text.splitn(5, ',').collect::<Vec<_>>()[..] else { panic!("{text}") };
        match event {
            r#""phx_reply""# => {
                assert!(payload.starts_with(r#"{"status":"ok""#), "{text}");
                self.joined += 1;
            }
            r#""presence_state""# => drop(self.lists.insert(topic.to_owned(), refs(payload).collect())),
            r#""presence_diff""# => {
                let list = self.lists.get_mut(topic).expect("a list before its changes");
                let (joins, leaves) = payload.split_once(r#","leaves":"#).unwrap();
                list.extend(refs(joins));
                refs(leaves).for_each(|reference| assert!(list.remove(&reference), "{reference} was not in the list"));
            }
            other => panic!("an unexpected {other}"),
        }
    }
}

/// The `phx_ref`s in a list. A parser of JSON would take longer than everything else in these tests.
fn refs(list: &str) -> impl Iterator<Item = String> {
    list.split(r#""phx_ref":""#).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned())
}

#[actix_web::test]
async fn a_client_joins_many_rooms_with_large_lists_at_the_first_try() {
    for (rooms, members) in [(10, 100), (100, 1_000)] {
        let crowd = Crowd::of(members);
        let node = crowd.node(&[]);
        let is_complete = |list: &BTreeSet<String>| *list == crowd.expected();
        let mut host = Member::new(Client::new(node.address()).await);
        host.join(rooms, r#"{"presence":true}"#).await;
        host.read_until(rooms, is_complete).await;
        for client in [Client::new(node.address()).await, Client::with_small_window(node.address()).await] {
            let mut newcomer = Member::new(client);
            newcomer.join(rooms, r#"{"presence":true}"#).await;
            newcomer.read_until(rooms, is_complete).await;
        }
    }
}

/// The changes of the lists do not wait for it in the meantime: it gets the lists again.
#[actix_web::test]
async fn a_client_that_pauses_knows_the_lists_in_the_end() {
    const ROOMS: usize = 20;
    let crowd = Crowd::of(1_000);
    let node = crowd.node(&["limits.queue_age=1m", "socket.write_timeout=1m"]);
    let mut slow = Member::new(Client::with_small_window(node.address()).await);
    slow.join(ROOMS, r#"{"presence":true}"#).await;
    slow.read_until(ROOMS, |list| *list == crowd.expected()).await;
    let mut reader = Member::new(Client::new(node.address()).await);
    reader.join(ROOMS, r#"{"presence":true}"#).await;
    reader.read_until(ROOMS, |list| *list == crowd.expected()).await;
    for _ in 0..5 {
        crowd.change();
        // a client that reads knows them meanwhile
        reader.read_until(ROOMS, |list| *list == crowd.expected()).await;
    }
    slow.read_until(ROOMS, |list| *list == crowd.expected()).await;
}

#[actix_web::test]
async fn a_crowd_that_reconnects_at_once_gets_in_at_the_first_try() {
    const ROOMS: usize = 10;
    const CLIENTS: usize = 100;
    let node = node(&["server.workers=2"]);
    let payload = format!(r#"{{"meta":{{"name":"{}"}}}}"#, "x".repeat(180));
    for _ in 0..2 {
        let mut members = Vec::new();
        for _ in 0..CLIENTS {
            members.push(Member::new(Client::new(node.address()).await));
        }
        join_all(members.iter_mut().map(|member| member.join(ROOMS, &payload))).await;
        join_all(members.iter_mut().map(|member| member.read_until(ROOMS, |list| list.len() == CLIENTS))).await;
        drop(members);
        wait_until_empty(&node).await;
    }
}
