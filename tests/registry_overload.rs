//! More than may wait for the registry: whoever asks for more is told so in words of its own, nothing is lost without
//! a word, what is given back is taken, and those who ask for nothing go on.
//!
//! The registry is kept from its work by a backplane that does not return, as none should, or takes its time.
//!
//! A binary of its own: the last test measures the memory of this process, which holds the node too.

mod common;

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use common::process::resident;
use common::{Client, config, frame, get, wait_until, wait_until_empty};
use compact_str::CompactString;
use futures_util::future::join_all;
use handclasp::broker::adapter::{Adapter, BoxFuture, Claimed, ClusterInbox, Epoch, LocalAdapter, Packet};
use handclasp::message::{DeliveryStatus, Proof};
use handclasp::metrics::{JoinRefusal, PushRefusal};
use handclasp::{Endpoint, Mount, Node, Router, SocketInit, Topic, close};

/// What may wait, in bytes: some two hundred orders.
const BOUND: u64 = 65_536;
/// What a flood of it may add to the memory of a process, in bytes.
const CEILING: u64 = 32 * 1024 * 1024;
/// The largest order that is sent here, in bytes.
const ORDER: u64 = 256 + 1_024;
const HELD: &str = "room:held";
const ME: &str = "00000000-0000-4000-8000-00000000000a";
const YOU: &str = "00000000-0000-4000-8000-00000000000b";
const THIRD: &str = "00000000-0000-4000-8000-00000000000c";

/// Whether the registry is held, and whether it is to be.
#[derive(Default)]
struct Gate {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        *state = (true, true);
        drop(self.changed.wait_while(state, |(_, shut)| *shut).unwrap());
    }

    fn is_held(&self) -> bool {
        self.state.lock().unwrap().0
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = false;
        self.changed.notify_all();
    }
}

/// A node alone, whose registry is held once somebody enters [`HELD`], and has to wait for so long at each watch.
struct Holding(Arc<Gate>, Duration);

impl Adapter for Holding {
    fn start(&self, inbox: Arc<dyn ClusterInbox>) {
        LocalAdapter.start(inbox);
    }

    fn node(&self) -> CompactString {
        LocalAdapter.node()
    }

    fn claim(&self, name: &Topic, proof: Option<Proof>) -> BoxFuture<Claimed> {
        LocalAdapter.claim(name, proof)
    }

    fn release(&self, name: &Topic, epoch: Epoch) {
        LocalAdapter.release(name, epoch);
    }

    fn whereis(&self, name: &Topic) -> BoxFuture<bool> {
        std::thread::sleep(self.1);
        LocalAdapter.whereis(name)
    }

    fn deliver(&self, name: &Topic, packet: Packet) -> BoxFuture<DeliveryStatus> {
        LocalAdapter.deliver(name, packet)
    }

    fn publish(&self, topic: &Topic, packet: Packet) {
        LocalAdapter.publish(topic, packet);
    }

    fn interest(&self, topic: &Topic, on: bool) {
        if on && topic.as_str() == HELD {
            self.0.pass();
        }
    }
}

/// A node, and those who keep its registry from taking anything more.
struct Busy {
    node: Node,
    gate: Arc<Gate>,
    crowd: Vec<Client>,
}

impl Busy {
    fn new() -> Self {
        Self::slow_at_watches(Duration::ZERO, &["limits.watches_per_socket=2"])
    }

    /// One whose registry takes so long for each watch, with further settings.
    fn slow_at_watches(each: Duration, more: &[&str]) -> Self {
        let gate = Arc::new(Gate::default());
        let named = Mount::new("/named", Router::new())
            .connect(|_| Ok(SocketInit::default().id(Topic::parse("user:1").unwrap())));
        let sets = [
            "server.workers=2",
            "metrics.listen=127.0.0.1:0",
            "socket.write_timeout=200ms",
            &format!("limits.registry_queue_bytes={BOUND}"),
        ];
        let sets = [&sets[..], more].concat();
        let node = Endpoint::new(config(&sets)).adapter(Holding(gate.clone(), each)).mount(named).start().unwrap();
        Self { node, gate, crowd: Vec::new() }
    }

    async fn client(&self) -> Client {
        Client::new(self.node.address()).await
    }

    async fn peer(&self, id: &str) -> Client {
        let mut client = self.client().await;
        client.join("1", &format!("peer:{id}"), "{}").await;
        client
    }

    /// Fills the queue, with what one client may say at once.
    async fn fill(&mut self) {
        let mut watcher = self.peer(THIRD).await;
        let mut first = self.client().await;
        first.send(&format!(r#"["1","1","{HELD}","phx_join",{{}}]"#)).await;
        wait_until("the registry is held", || async { self.gate.is_held() }).await;
        for n in 0..150 {
            watcher.send(&format!(r#"["1","{n}","peer:{THIRD}","watch",{{"peer_id":"{ME}"}}]"#)).await;
            watcher.send(&format!(r#"["1","not {n}","peer:{THIRD}","unwatch",{{"peer_id":"{ME}"}}]"#)).await;
        }
        watcher.receive_until("overloaded").await;
        self.crowd.extend([watcher, first]);
    }

    fn unheard(&self) -> u64 {
        self.node.pubsub().metrics().messages_refused.of(PushRefusal::Overloaded)
    }

    fn unjoined(&self) -> u64 {
        self.node.pubsub().metrics().joins_refused.of(JoinRefusal::Overloaded)
    }

    /// The registry goes on, and does all that has waited.
    async fn open(&self) {
        self.gate.open();
        wait_until("nothing waits", || async { waiting(self.node.metrics_address().unwrap()).await == 0 }).await;
    }

    /// Everybody leaves: nothing is left, and there is room.
    async fn end(self, clients: Vec<Client>) {
        drop(clients);
        let Self { node, crowd, .. } = self;
        drop(crowd);
        wait_until_empty(&node).await;
        let mut client = Client::new(node.address()).await;
        client.join("1", "room:after", "{}").await;
    }
}

/// What waits for the registry, in bytes.
async fn waiting(metrics: SocketAddr) -> u64 {
    let (_, text) = get(metrics, "/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix("handclasp_registry_queue_bytes ")).unwrap();
    line.parse().unwrap()
}

fn reply(join: &str, topic: &str, status: &str, response: &str) -> String {
    format!(r#"["{join}","9","{topic}","phx_reply",{{"status":"{status}","response":{response}}}]"#)
}

const REASON: &str = r#"{"reason":"overloaded"}"#;

#[actix_web::test]
async fn a_join_is_refused_and_the_older_one_of_its_topic_is_over() {
    let mut busy = Busy::new();
    let mut client = busy.client().await;
    client.join("1", "room:a", "{}").await;
    busy.fill().await;
    let refused = busy.unjoined();
    client.exchange(r#"["2","9","room:b","phx_join",{}]"#, &reply("2", "room:b", "error", REASON)).await;
    client.exchange(r#"["3","9","room:a","phx_join",{}]"#, &reply("3", "room:a", "error", REASON)).await;
    client.expect(r#"["1","1","room:a","phx_close",{}]"#).await;
    client
        .exchange(
            r#"["1","9","room:a","msg",{}]"#,
            r#"[null,"9","room:a","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]"#,
        )
        .await;
    assert_eq!(busy.unjoined(), refused + 2);
    busy.open().await;
    let pubsub = busy.node.pubsub();
    wait_until("nobody is there any more", || async { pubsub.count("room:a") == 0 }).await;
    client.join("4", "room:a", "{}").await;
    assert_eq!((pubsub.count("room:a"), pubsub.count("room:b")), (1, 0));
    busy.end(vec![client]).await;
}

#[actix_web::test]
async fn a_watch_is_refused_and_its_end_too_which_leaves_it_as_it_was() {
    let mut busy = Busy::new();
    let mut me = busy.peer(ME).await;
    let own = format!("peer:{ME}");
    let (watch, unwatch) = (
        |id: &str| format!(r#"["1","9","{own}","watch",{{"peer_id":"{id}"}}]"#),
        |id: &str| format!(r#"["1","9","{own}","unwatch",{{"peer_id":"{id}"}}]"#),
    );
    me.exchange(&watch(YOU), &reply("1", &own, "ok", r#"{"online":false}"#)).await;
    busy.fill().await;
    let refused = busy.unheard();
    me.exchange(&watch(THIRD), &reply("1", &own, "error", REASON)).await;
    me.exchange(&watch(YOU), &reply("1", &own, "error", REASON)).await;
    me.exchange(&unwatch(YOU), &reply("1", &own, "error", REASON)).await;
    me.exchange(&unwatch(THIRD), &reply("1", &own, "ok", "{}")).await;
    assert_eq!(busy.unheard(), refused + 3);
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
async fn a_change_of_presence_is_refused_and_the_list_says_what_it_said() {
    let mut busy = Busy::new();
    let mut client = busy.client().await;
    client.join("1", "room:list", r#"{"meta":{"n":1}}"#).await;
    client.receive_until("presence_diff").await;
    busy.fill().await;
    let refused = busy.unheard();
    let update = |n: u8| format!(r#"["1","9","room:list","update_meta",{{"n":{n}}}]"#);
    client.exchange(&update(2), &reply("1", "room:list", "error", REASON)).await;
    assert_eq!(busy.unheard(), refused + 1);
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
async fn a_signal_that_is_to_wait_is_overloaded_and_counted() {
    let mut busy = Busy::new();
    let mut peer = Client::open(busy.node.address(), "/peerjs?key=peerjs&id=me&token=t", &[]).await;
    peer.expect(r#"{"type":"OPEN"}"#).await;
    let offer = |dst: &str| format!(r#"{{"type":"OFFER","dst":"{dst}","payload":{{}}}}"#);
    busy.fill().await;
    let (pubsub, one) = (busy.node.pubsub(), 1);
    let signals = || pubsub.metrics().signals.of(DeliveryStatus::Overloaded);
    peer.send(&offer("you")).await;
    wait_until("it is counted", || async { signals() == one }).await;
    // who asks for an id hears that it cannot be had
    let mut late = Client::open(busy.node.address(), "/peerjs?key=peerjs&id=you&token=t", &[]).await;
    late.expect(r#"{"type":"ERROR","payload":{"msg":"This id cannot be had now"}}"#).await;
    busy.open().await;
    let mut you = Client::open(busy.node.address(), "/peerjs?key=peerjs&id=you&token=t", &[]).await;
    you.expect(r#"{"type":"OPEN"}"#).await;
    peer.send(&offer("you")).await;
    you.expect(r#"{"type":"OFFER","src":"me","dst":"you","payload":{}}"#).await;
    assert_eq!(signals(), one, "the second has not waited for the first");
    busy.end(vec![peer, late, you]).await;
}

#[actix_web::test]
async fn a_room_of_socketio_is_refused_and_a_namespace_too() {
    let mut busy = Busy::new();
    let open = async || {
        let mut client = Client::open(busy.node.address(), "/socket.io/?EIO=4&transport=websocket", &[]).await;
        client.receive().await;
        client
    };
    let (mut client, mut late) = (open().await, open().await);
    client.send("40").await;
    client.receive_until("40{").await;
    busy.fill().await;
    let (unheard, unjoined) = (busy.unheard(), busy.unjoined());
    client.exchange(r#"421["join","a"]"#, r#"431[{"reason":"overloaded"}]"#).await;
    late.exchange("40", r#"44{"message":"overloaded"}"#).await;
    assert_eq!((busy.unheard(), busy.unjoined()), (unheard + 1, unjoined + 1));
    busy.open().await;
    client.exchange(r#"421["join","a"]"#, "431[{}]").await;
    late.send("40").await;
    late.receive_until("40{").await;
    busy.end(vec![client, late]).await;
}

#[actix_web::test]
async fn a_name_of_hello_is_had_by_speaking_again() {
    let mut busy = Busy::new();
    let mut ann = Client::open(busy.node.address(), "/hello", &[]).await;
    let (words, heard) = (r#"{"_messageType":"broadcast","_from":"ann"}"#, r#"{"_from":"ann"}"#);
    busy.fill().await;
    let refused = busy.unjoined();
    ann.send(words).await;
    wait_until("it is counted", || async { busy.unjoined() == refused + 1 }).await;
    busy.open().await;
    ann.exchange(words, heard).await;
    busy.end(vec![ann]).await;
}

/// It could not be told to go by its id: so it goes, and may come back.
#[actix_web::test]
async fn a_socket_with_an_id_is_closed_at_once() {
    let mut busy = Busy::new();
    busy.fill().await;
    let mut client = Client::open(busy.node.address(), "/named/websocket?vsn=2.0.0", &[]).await;
    assert_eq!(client.close_code().await, 1013);
    let path = "/named/longpoll?vsn=2.0.0";
    let opened = common::longpoll::request(busy.node.address(), "GET", path, &[], b"").await.json();
    let poll = format!("{path}&token={}", opened["token"].as_str().unwrap());
    assert_eq!(common::longpoll::request(busy.node.address(), "GET", &poll, &[], b"").await.status(), 410);
    // a poll that finds its session gone begins the next one
    let pubsub = busy.node.pubsub();
    let closed = || pubsub.metrics().connections_closed.of(&close::OVERLOADED);
    wait_until("three are closed", || async { closed() == 3 }).await;
    busy.open().await;
    let mut client = Client::open(busy.node.address(), "/named/websocket?vsn=2.0.0", &[]).await;
    client.expect_nothing().await;
    busy.end(vec![client]).await;
}

#[actix_web::test]
async fn clients_that_request_nothing_go_on_and_may_leave() {
    let mut busy = Busy::new();
    let (mut me, mut you) = (busy.peer(ME).await, busy.peer(YOU).await);
    let mut guest = busy.client().await;
    guest.join("1", "room:a", "{}").await;
    busy.fill().await;
    for n in 0..50 {
        me.send(&format!(r#"["1","9","peer:{ME}","offer",{{"peer_id":"{YOU}","n":{n}}}]"#)).await;
        you.expect(&format!(r#"[null,null,"peer:{YOU}","offer",{{"peer_id":"{ME}","n":{n}}}]"#)).await;
        me.expect(&reply("1", &format!("peer:{ME}"), "ok", "{}")).await;
    }
    guest.exchange(r#"["1","9","room:a","phx_leave",{}]"#, &reply("1", "room:a", "ok", "{}")).await;
    guest.expect(r#"["1","1","room:a","phx_close",{}]"#).await;
    // ten more who would flood, and the queue is no longer for them
    for n in 0..10 {
        let mut client = busy.client().await;
        for word in 0..100 {
            client.send(&format!(r#"["1","{word}","room:{n}-{word}","phx_join",{{"meta":{{}}}}]"#)).await;
        }
        for _ in 0..100 {
            client.receive_until("overloaded").await;
        }
        busy.crowd.push(client);
    }
    let waiting = waiting(busy.node.metrics_address().unwrap()).await;
    assert!((BOUND..BOUND + ORDER).contains(&waiting), "{waiting}");
    busy.open().await;
    let pubsub = busy.node.pubsub();
    wait_until("it has left", || async { pubsub.count("room:a") == 0 }).await;
    busy.end(vec![me, you, guest]).await;
}

/// Its registry can do less than one client asks for.
#[actix_web::test]
async fn a_flood_is_refused_in_part_and_a_pair_goes_on() {
    // whoever floods has said all of it before it reads a word, and is to be let
    let patient = [
        "limits.messages_burst=1000000",
        "limits.watches_per_socket=1000",
        "limits.queue_bytes=10000000",
        "limits.queue_age=1h",
    ];
    let busy = Busy::slow_at_watches(Duration::from_micros(200), &patient);
    let (mut me, mut you) = (busy.peer(ME).await, busy.peer(YOU).await);
    let mut crowd = Vec::new();
    for n in 0..6 {
        crowd.push((n, busy.peer(&common::id(n)).await));
    }
    let (before, over) = (resident(std::process::id()), Cell::new(false));
    let flood = async |(n, mut client): (usize, Client)| {
        let name = common::id(n);
        let watch = |whom| format!(r#"["1","w","peer:{name}","watch",{{"peer_id":"{}"}}]"#, common::id(whom));
        let said: Vec<u8> = (1_000..2_000).flat_map(|whom| frame(0x81, watch(whom).as_bytes())).collect();
        client.raw(&said).await;
        client.receive_until("overloaded").await;
        client.receive_until(r#"{"online":false}"#).await;
    };
    let flooding = async {
        join_all(crowd.into_iter().map(flood)).await;
        over.set(true);
    };
    let metrics = busy.node.metrics_address().unwrap();
    let pair = async {
        while !over.get() {
            me.send(&format!(r#"["1","2","peer:{ME}","offer",{{"peer_id":"{YOU}"}}]"#)).await;
            you.receive_until("offer").await;
            me.receive_until(r#""status":"ok""#).await;
            let waiting = waiting(metrics).await;
            assert!(waiting < BOUND + ORDER, "{waiting} bytes wait");
            let grown = resident(std::process::id()).saturating_sub(before);
            assert!(grown < CEILING, "{grown} bytes more");
        }
    };
    tokio::join!(flooding, pair);
    busy.end(vec![me, you]).await;
}
