//! An overloaded registry: when its command queue is full, each kind of request gets its own error, no request is
//! dropped silently, freed capacity is used, and clients that need no registry continue.
//!
//! An adapter blocks the registry, or delays it; a real adapter must not block.
//!
//! This is a binary of its own, because the last test measures the memory of this process, which includes the node.

mod common;

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use common::process::resident;
use common::{Client, config, frame, metric, wait_until, wait_until_empty};
use futures_util::future::join_all;
use handclasp::broker::adapter::{Adapter, BoxFuture, Epoch, LocalAdapter, Unreachable};
use handclasp::message::DeliveryStatus;
use handclasp::metrics::{JoinRefusal, PushRefusal};
use handclasp::{Endpoint, Mount, Node, Router, SocketInit, Topic, close};

/// The capacity of the command queue, in bytes: about 200 commands.
const QUEUE_BYTES: u64 = 65_536;
/// How much memory a flood of commands may add to the process, in bytes.
const MAX_GROWTH: u64 = 32 * 1024 * 1024;
/// The largest command in these tests, in bytes.
const MAX_COMMAND: u64 = 256 + 1_024;
const BLOCKED: &str = "room:held";
const ME: &str = "00000000-0000-4000-8000-00000000000a";
const YOU: &str = "00000000-0000-4000-8000-00000000000b";
const THIRD: &str = "00000000-0000-4000-8000-00000000000c";

/// Whether the registry is blocked, and whether it must stay so.
#[derive(Default)]
struct Gate {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    fn block(&self) {
        let mut state = self.state.lock().unwrap();
        *state = (true, true);
        drop(self.changed.wait_while(state, |(_, closed)| *closed).unwrap());
    }

    fn is_blocked(&self) -> bool {
        self.state.lock().unwrap().0
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = false;
        self.changed.notify_all();
    }
}

/// An adapter for one node. It blocks the registry when a client joins [`BLOCKED`], and delays it at each watch.
struct BlockingAdapter(Arc<Gate>, Duration);

impl Adapter for BlockingAdapter {
    fn whereis(&self, name: &Topic) -> BoxFuture<Result<Option<Epoch>, Unreachable>> {
        std::thread::sleep(self.1);
        LocalAdapter.whereis(name)
    }

    fn subscribe(&self, topic: &Topic) -> BoxFuture<()> {
        if topic.as_str() == BLOCKED {
            self.0.block();
        }
        LocalAdapter.subscribe(topic)
    }
}

/// A node, and the clients that keep its registry full.
struct BusyNode {
    node: Node,
    gate: Arc<Gate>,
    clients: Vec<Client>,
}

impl BusyNode {
    fn new() -> Self {
        Self::slow_at_watches(Duration::ZERO, &["limits.watches_per_socket=2"])
    }

    /// A node whose registry takes this long for each watch, with further settings.
    fn slow_at_watches(each: Duration, more: &[&str]) -> Self {
        let gate = Arc::new(Gate::default());
        let named = Mount::new("/named", Router::new())
            .connect(|_| Ok(SocketInit::default().id(Topic::parse("user:1").unwrap())));
        let sets = [
            "server.workers=2",
            "metrics.listen=127.0.0.1:0",
            "socket.write_timeout=200ms",
            "hello.enabled=true",
            "socket.close_timeout=200ms",
            &format!("limits.registry_queue_bytes={QUEUE_BYTES}"),
        ];
        let sets = [&sets[..], more].concat();
        let node =
            Endpoint::new(config(&sets)).adapter(BlockingAdapter(gate.clone(), each)).mount(named).start().unwrap();
        Self { node, gate, clients: Vec::new() }
    }

    async fn client(&self) -> Client {
        Client::new(self.node.address()).await
    }

    async fn peer(&self, id: &str) -> Client {
        let mut client = self.client().await;
        client.join("1", &format!("peer:{id}"), "{}").await;
        client
    }

    /// Fills the queue with the commands of one client.
    async fn fill(&mut self) {
        let mut watcher = self.peer(THIRD).await;
        let mut first = self.client().await;
        first.send(&format!(r#"["1","1","{BLOCKED}","phx_join",{{}}]"#)).await;
        wait_until("the registry is blocked", || async { self.gate.is_blocked() }).await;
        for n in 0..150 {
            watcher.send(&format!(r#"["1","{n}","peer:{THIRD}","watch",{{"peer_id":"{ME}"}}]"#)).await;
            watcher.send(&format!(r#"["1","not {n}","peer:{THIRD}","unwatch",{{"peer_id":"{ME}"}}]"#)).await;
        }
        watcher.receive_until("overloaded").await;
        // all of them are counted before the test counts its own
        watcher.send(r#"[null,"all","phoenix","heartbeat",{}]"#).await;
        watcher.receive_until(r#""all","phoenix""#).await;
        self.clients.extend([watcher, first]);
    }

    fn rejected_messages(&self) -> u64 {
        self.node.pubsub().metrics().messages_refused.of(PushRefusal::Overloaded)
    }

    fn rejected_joins(&self) -> u64 {
        self.node.pubsub().metrics().joins_refused.of(JoinRefusal::Overloaded)
    }

    /// Unblocks the registry, which then runs all queued commands.
    async fn open(&self) {
        self.gate.open();
        wait_until("the queue is empty", || async { waiting(self.node.metrics_address().unwrap()).await == 0 }).await;
    }

    /// All clients leave. Then nothing is left, and a new client can join.
    async fn end(self, clients: Vec<Client>) {
        drop(clients);
        let Self { node, clients, .. } = self;
        drop(clients);
        wait_until_empty(&node).await;
        let mut client = Client::new(node.address()).await;
        client.join("1", "room:after", "{}").await;
    }
}

/// The size of the registry's queue, in bytes.
async fn waiting(metrics: SocketAddr) -> u64 {
    metric(metrics, "handclasp_registry_queue_bytes").await.unwrap()
}

fn reply(join: &str, topic: &str, status: &str, response: &str) -> String {
    format!(r#"["{join}","9","{topic}","phx_reply",{{"status":"{status}","response":{response}}}]"#)
}

const REASON: &str = r#"{"reason":"overloaded"}"#;

#[actix_web::test]
async fn a_join_is_rejected_and_closes_the_older_join_of_its_topic() {
    let mut busy = BusyNode::new();
    let mut client = busy.client().await;
    client.join("1", "room:a", "{}").await;
    busy.fill().await;
    let refused = busy.rejected_joins();
    client.exchange(r#"["2","9","room:b","phx_join",{}]"#, &reply("2", "room:b", "error", REASON)).await;
    client.exchange(r#"["3","9","room:a","phx_join",{}]"#, &reply("3", "room:a", "error", REASON)).await;
    client.expect(r#"["1","1","room:a","phx_close",{}]"#).await;
    client
        .exchange(
            r#"["1","9","room:a","msg",{}]"#,
            r#"[null,"9","room:a","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]"#,
        )
        .await;
    assert_eq!(busy.rejected_joins(), refused + 2);
    busy.open().await;
    let pubsub = busy.node.pubsub();
    wait_until("the topic has no member", || async { pubsub.count("room:a") == 0 }).await;
    client.join("4", "room:a", "{}").await;
    assert_eq!((pubsub.count("room:a"), pubsub.count("room:b")), (1, 0));
    busy.end(vec![client]).await;
}

#[actix_web::test]
async fn a_watch_and_an_unwatch_are_rejected_and_change_nothing() {
    let mut busy = BusyNode::new();
    let mut me = busy.peer(ME).await;
    let own = format!("peer:{ME}");
    let (watch, unwatch) = (
        |id: &str| format!(r#"["1","9","{own}","watch",{{"peer_id":"{id}"}}]"#),
        |id: &str| format!(r#"["1","9","{own}","unwatch",{{"peer_id":"{id}"}}]"#),
    );
    me.exchange(&watch(YOU), &reply("1", &own, "ok", r#"{"online":false}"#)).await;
    busy.fill().await;
    let refused = busy.rejected_messages();
    me.exchange(&watch(THIRD), &reply("1", &own, "error", REASON)).await;
    me.exchange(&watch(YOU), &reply("1", &own, "error", REASON)).await;
    me.exchange(&unwatch(YOU), &reply("1", &own, "error", REASON)).await;
    me.exchange(&unwatch(THIRD), &reply("1", &own, "ok", "{}")).await;
    assert_eq!(busy.rejected_messages(), refused + 3);
    busy.open().await;
    let you = busy.peer(YOU).await;
    me.expect(&format!(r#"["1",null,"{own}","peer_up",{{"peer_id":"{YOU}"}}]"#)).await;
    me.exchange(&unwatch(YOU), &reply("1", &own, "ok", "{}")).await;
    for id in [THIRD, ME] {
        me.exchange(&watch(id), &reply("1", &own, "ok", r#"{"online":true}"#)).await;
    }
    drop(you);
    me.expect_nothing().await;
    busy.end(vec![me]).await;
}

#[actix_web::test]
async fn a_presence_update_is_rejected_and_the_list_stays_as_it_was() {
    let mut busy = BusyNode::new();
    let mut client = busy.client().await;
    client.join("1", "room:list", r#"{"meta":{"n":1}}"#).await;
    client.receive_until("presence_diff").await;
    busy.fill().await;
    let refused = busy.rejected_messages();
    let update = |n: u8| format!(r#"["1","9","room:list","update_meta",{{"n":{n}}}]"#);
    client.exchange(&update(2), &reply("1", "room:list", "error", REASON)).await;
    assert_eq!(busy.rejected_messages(), refused + 1);
    busy.open().await;
    let mut other = busy.client().await;
    other.join("1", "room:list", r#"{"presence":true}"#).await;
    let state = other.receive_until("presence_state").await;
    assert!(state.contains(r#""n":1"#), "{state}");
    client.exchange(&update(3), &reply("1", "room:list", "ok", "{}")).await;
    let diff = client.receive_until("presence_diff").await;
    assert!(diff.contains(r#""n":3"#), "{diff}");
    busy.end(vec![client, other]).await;
}

#[actix_web::test]
async fn a_held_signal_is_rejected_and_counted() {
    let mut busy = BusyNode::new();
    let mut peer = Client::open(busy.node.address(), "/peerjs?key=peerjs&id=me&token=t", &[]).await;
    peer.expect(r#"{"type":"OPEN"}"#).await;
    let offer = |dst: &str| format!(r#"{{"type":"OFFER","dst":"{dst}","payload":{{}}}}"#);
    busy.fill().await;
    let (pubsub, first) = (busy.node.pubsub(), 1);
    let signals = || pubsub.metrics().signals.of(DeliveryStatus::Overloaded);
    peer.send(&offer("you")).await;
    wait_until("the signal is counted", || async { signals() == first }).await;
    // a client that joins an id receives an error
    let mut late = Client::open(busy.node.address(), "/peerjs?key=peerjs&id=you&token=t", &[]).await;
    late.expect(r#"{"type":"ERROR","payload":{"msg":"This id cannot be had now"}}"#).await;
    busy.open().await;
    let mut you = Client::open(busy.node.address(), "/peerjs?key=peerjs&id=you&token=t", &[]).await;
    you.expect(r#"{"type":"OPEN"}"#).await;
    peer.send(&offer("you")).await;
    you.expect(r#"{"type":"OFFER","src":"me","dst":"you","payload":{}}"#).await;
    assert_eq!(signals(), first, "the second signal was sent directly");
    busy.end(vec![peer, late, you]).await;
}

#[actix_web::test]
async fn a_socketio_room_and_a_namespace_are_rejected() {
    let mut busy = BusyNode::new();
    let open = async || {
        let mut client = Client::open(busy.node.address(), "/socket.io/?EIO=4&transport=websocket", &[]).await;
        client.receive().await;
        client
    };
    let (mut client, mut late) = (open().await, open().await);
    client.send("40").await;
    client.receive_until("40{").await;
    busy.fill().await;
    let (rejected_messages, rejected_joins) = (busy.rejected_messages(), busy.rejected_joins());
    client.exchange(r#"421["join","a"]"#, r#"431[{"reason":"overloaded"}]"#).await;
    late.exchange("40", r#"44{"message":"overloaded"}"#).await;
    assert_eq!((busy.rejected_messages(), busy.rejected_joins()), (rejected_messages + 1, rejected_joins + 1));
    busy.open().await;
    client.exchange(r#"421["join","a"]"#, "431[{}]").await;
    late.send("40").await;
    late.receive_until("40{").await;
    busy.end(vec![client, late]).await;
}

#[actix_web::test]
async fn a_hello_client_can_register_with_its_next_message() {
    let mut busy = BusyNode::new();
    let mut ann = Client::open(busy.node.address(), "/hello", &[]).await;
    let (message, expected) = (r#"{"_messageType":"broadcast","_from":"ann"}"#, r#"{"_from":"ann"}"#);
    busy.fill().await;
    let refused = busy.rejected_joins();
    ann.send(message).await;
    wait_until("the join is counted", || async { busy.rejected_joins() == refused + 1 }).await;
    busy.open().await;
    ann.exchange(message, expected).await;
    busy.end(vec![ann]).await;
}

/// Without its registration it could not be disconnected by its id, so it is closed. It may reconnect.
#[actix_web::test]
async fn a_socket_with_an_id_is_closed_immediately() {
    let mut busy = BusyNode::new();
    busy.fill().await;
    let mut client = Client::open(busy.node.address(), "/named/websocket?vsn=2.0.0", &[]).await;
    assert_eq!(client.close_code().await, 1013);
    let path = "/named/longpoll?vsn=2.0.0";
    let opened = common::longpoll::request(busy.node.address(), "GET", path, &[], b"").await.json();
    let poll = format!("{path}&token={}", opened["token"].as_str().unwrap());
    assert_eq!(common::longpoll::request(busy.node.address(), "GET", &poll, &[], b"").await.status(), 410);
    // a poll that finds its session closed opens a new one
    let pubsub = busy.node.pubsub();
    let closed = || pubsub.metrics().connections_closed.of(&close::OVERLOADED);
    wait_until("three connections are closed", || async { closed() == 3 }).await;
    busy.open().await;
    let mut client = Client::open(busy.node.address(), "/named/websocket?vsn=2.0.0", &[]).await;
    client.expect_nothing().await;
    busy.end(vec![client]).await;
}

#[actix_web::test]
async fn clients_that_need_no_registry_continue_and_can_leave() {
    let mut busy = BusyNode::new();
    let (mut me, mut you) = (busy.peer(ME).await, busy.peer(YOU).await);
    let mut member = busy.client().await;
    member.join("1", "room:a", "{}").await;
    busy.fill().await;
    for n in 0..50 {
        me.send(&format!(r#"["1","9","peer:{ME}","offer",{{"peer_id":"{YOU}","n":{n}}}]"#)).await;
        you.expect(&format!(r#"[null,null,"peer:{YOU}","offer",{{"peer_id":"{ME}","n":{n}}}]"#)).await;
        me.expect(&reply("1", &format!("peer:{ME}"), "ok", "{}")).await;
    }
    member.exchange(r#"["1","9","room:a","phx_leave",{}]"#, &reply("1", "room:a", "ok", "{}")).await;
    member.expect(r#"["1","1","room:a","phx_close",{}]"#).await;
    // ten more flooding clients: their joins are rejected at once
    for n in 0..10 {
        let mut client = busy.client().await;
        for m in 0..100 {
            client.send(&format!(r#"["1","{m}","room:{n}-{m}","phx_join",{{"meta":{{}}}}]"#)).await;
        }
        for _ in 0..100 {
            client.receive_until("overloaded").await;
        }
        busy.clients.push(client);
    }
    let waiting = waiting(busy.node.metrics_address().unwrap()).await;
    assert!((QUEUE_BYTES..QUEUE_BYTES + MAX_COMMAND).contains(&waiting), "{waiting}");
    busy.open().await;
    let pubsub = busy.node.pubsub();
    wait_until("the client has left", || async { pubsub.count("room:a") == 0 }).await;
    busy.end(vec![me, you, member]).await;
}

/// The registry can run fewer commands than one client sends.
#[actix_web::test]
async fn part_of_a_flood_is_rejected_and_a_pair_can_still_signal() {
    // a flooding client sends everything before it reads, and must not be disconnected for that
    let limits = [
        "limits.messages_burst=1000000",
        "limits.watches_per_socket=1000",
        "limits.not_found_burst=1000000",
        "limits.queue_bytes=10000000",
        "limits.queue_age=1h",
    ];
    let busy = BusyNode::slow_at_watches(Duration::from_micros(200), &limits);
    let (mut me, mut you) = (busy.peer(ME).await, busy.peer(YOU).await);
    let mut clients = Vec::new();
    for n in 0..6 {
        clients.push((n, busy.peer(&common::id(n)).await));
    }
    let (before, finished) = (resident(std::process::id()), Cell::new(false));
    let flood = async |(n, mut client): (usize, Client)| {
        let name = common::id(n);
        let watch = |target| format!(r#"["1","w","peer:{name}","watch",{{"peer_id":"{}"}}]"#, common::id(target));
        let messages: Vec<u8> = (1_000..2_000).flat_map(|target| frame(0x81, watch(target).as_bytes())).collect();
        client.raw(&messages).await;
        client.receive_until("overloaded").await;
        client.receive_until(r#"{"online":false}"#).await;
    };
    let flooding = async {
        join_all(clients.into_iter().map(flood)).await;
        finished.set(true);
    };
    let metrics = busy.node.metrics_address().unwrap();
    let pair = async {
        while !finished.get() {
            me.send(&format!(r#"["1","2","peer:{ME}","offer",{{"peer_id":"{YOU}"}}]"#)).await;
            you.receive_until("offer").await;
            me.receive_until(r#""status":"ok""#).await;
            let waiting = waiting(metrics).await;
            assert!(waiting < QUEUE_BYTES + MAX_COMMAND, "{waiting} bytes are queued");
            let grown = resident(std::process::id()).saturating_sub(before);
            assert!(grown < MAX_GROWTH, "memory grew by {grown} bytes");
        }
    };
    tokio::join!(flooding, pair);
    busy.end(vec![me, you]).await;
}
