//! Time that the broker loses: its process is stopped (SIGSTOP), as when a machine is suspended, or a worker is blocked.
//! No client loses its connection or its name for that, and what arrived meanwhile is read before anybody is judged.
//!
//! The timeouts are scaled down, and the broker is stopped for longer than each of them.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::{Either, join_all, select, select_all};
use handclasp::{Channel, Context, Endpoint, Mount, Payload, Reply, Router};
use tokio::time::sleep;

use crate::SHORT_TIMEOUTS;
use crate::common::longpoll::{LongPollClient, request};
use crate::common::process::Process;
use crate::common::{self, Client, Received, frame, get, id, metric, wait_until};

/// How long the broker is stopped.
const STOP: Duration = Duration::from_secs(3);
/// How many clients of each kind there are.
const EACH: usize = 10;
const EIO4: &str = "/socket.io/?EIO=4&transport=websocket";
const V2: &str = "/socket/websocket?vsn=2.0.0";
const BEAT: &str = r#"[null,"1","phoenix","heartbeat",{}]"#;

/// Stops the broker, and continues it. Meanwhile `during` runs, which must not wait for the broker.
async fn stop(process: &Process, during: impl Future<Output = ()>) {
    process.signal("STOP");
    wait_until("the broker is stopped", || std::future::ready(process.is_stopped())).await;
    tokio::join!(sleep(STOP), during);
    process.signal("CONT");
}

/// Sends this message now and then, and counts the answers.
async fn beat(mut client: Client, message: &str, answer: &str, count: &Cell<u32>) -> String {
    loop {
        client.send(message).await;
        match client.receive_any().await {
            Received::Text(text) if text.contains(answer) => count.set(count.get() + 1),
            other => return format!("{other:?} instead of {answer}"),
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Answers the pings of the broker, and counts them.
async fn pong(mut client: Client, ping: &Received, pong: &[u8], count: &Cell<u32>) -> String {
    loop {
        match client.receive_any().await {
            received if received == *ping => client.raw(pong).await,
            // what the relay tells of other clients
            Received::Text(text) if text.starts_with("42[") => continue,
            other => return format!("{other:?} instead of {ping:?}"),
        }
        count.set(count.get() + 1);
    }
}

/// A client that behaves well until it is disconnected. Returns what it received instead.
async fn live(address: SocketAddr, kind: usize, number: usize, count: &Cell<u32>) -> String {
    let ping = Received::Ping(vec![]);
    match kind {
        0 => {
            let mut client = Client::open(address, EIO4, &[]).await;
            client.receive_until("0{").await;
            client.send("40").await;
            client.receive_until("40{").await;
            pong(client, &Received::Text("2".into()), &frame(0x81, b"3"), count).await
        }
        1 => {
            let mut client = Client::open(address, "/socket.io/?EIO=3&transport=websocket", &[]).await;
            client.receive_until("0{").await;
            client.receive_until("40").await;
            beat(client, "2", "3", count).await
        }
        2 => poll(address, count).await,
        3 => {
            let mut client = Client::open(address, V2, &[]).await;
            client.join("1", &format!("peer:{}", id(number)), "{}").await;
            beat(client, BEAT, "phx_reply", count).await
        }
        4 => {
            let client = LongPollClient::open(address, "/socket", "2.0.0", &[]).await;
            loop {
                match client.get().await.status() {
                    204 => count.set(count.get() + 1),
                    other => return format!("status {other} instead of 204"),
                }
            }
        }
        5 => {
            let path = format!("/peerjs?key=peerjs&id=p{number}&token=t");
            let mut client = Client::open(address, &path, &[]).await;
            client.receive_until("OPEN").await;
            pong(client, &ping, &frame(0x8A, b""), count).await
        }
        _ => pong(Client::open(address, "/hello", &[]).await, &ping, &frame(0x8A, b""), count).await,
    }
}

/// A Socket.IO client that polls.
async fn poll(address: SocketAddr, count: &Cell<u32>) -> String {
    let path = "/socket.io/?EIO=4&transport=polling";
    let opened = request(address, "GET", path, &[], b"").await.body;
    let sid = opened.split('"').nth(3).unwrap();
    let path = format!("{path}&sid={sid}");
    let ok = request(address, "POST", &path, &[], b"40").await;
    assert_eq!(ok.body, "ok");
    loop {
        let received = request(address, "GET", &path, &[], b"").await;
        for packet in received.body.split('\u{1e}') {
            match packet {
                "2" => assert_eq!(request(address, "POST", &path, &[], b"3").await.body, "ok"),
                // a noop: the poll was answered by its time limit
                "6" => continue,
                text if text.starts_with("4") => continue,
                other => return format!("{other} instead of a ping"),
            }
            count.set(count.get() + 1);
        }
    }
}

#[actix_web::test]
async fn clients_of_all_protocols_outlive_a_stop_of_the_broker_and_a_silent_one_is_closed() {
    let process = Process::start(&[&SHORT_TIMEOUTS[..], &["server.workers=2", "socketio.connect_timeout=1h"]].concat());
    let counts: Vec<Cell<u32>> = (0..7 * EACH).map(|_| Cell::new(0)).collect();
    let clients = counts.iter().enumerate().map(|(number, count)| -> Pin<Box<dyn Future<Output = String>>> {
        Box::pin(live(process.address, number / EACH, number, count))
    });
    let all_count = async |rounds: u32| {
        let goals: Vec<u32> = counts.iter().map(|count| count.get() + rounds).collect();
        let is_alive = || counts.iter().zip(&goals).all(|(count, goal)| count.get() >= *goal);
        wait_until("all clients are alive", || std::future::ready(is_alive())).await;
    };
    let scenario = async {
        all_count(1).await;
        let mut silent = Client::open(process.address, EIO4, &[]).await;
        stop(&process, async {}).await;
        all_count(4).await;
        while let Received::Text(_) = silent.receive_any().await {}
        assert_eq!(silent.receive_any().await, Received::Eof, "a client that is silent is closed after all");
    };
    if let Either::Left(((why, number, _), _)) = select(select_all(clients), Box::pin(scenario)).await {
        panic!("a client of kind {} was disconnected: {why}", number / EACH);
    }
}

#[actix_web::test]
async fn the_owner_of_a_contested_name_keeps_it_if_its_answer_waits() {
    let process = Process::start(&["server.workers=2", "limits.contest_timeout=2s"]);
    let topic = format!("peer:{}", id(1));
    let mut owner = Client::open(process.address, V2, &[]).await;
    owner.join("1", &topic, "{}").await;
    let mut claimant = Client::open(process.address, V2, &[]).await;
    claimant.send(&format!(r#"["1","1","{topic}","phx_join",{{}}]"#)).await;
    assert_eq!(owner.receive_any().await, Received::Ping(vec![]));
    stop(&process, owner.pong()).await;
    assert!(claimant.receive().await.contains("taken"));
    owner.send(BEAT).await;
    owner.receive_until("phx_reply").await;
}

#[actix_web::test]
async fn a_held_signal_reaches_a_peer_that_connects_while_the_broker_is_stopped() {
    let process = Process::start(&["peerjs.expire_timeout=1s"]);
    let path = |id: &str| format!("/peerjs?key=peerjs&id={id}&token=t");
    let mut sender = Client::open(process.address, &path("a"), &[]).await;
    sender.receive_until("OPEN").await;
    sender.send(r#"{"type":"OFFER","dst":"b","payload":{}}"#).await;
    sender.send(r#"{"type":"HEARTBEAT"}"#).await;
    let metrics = async || get(process.address, "/healthz").await.0;
    assert_eq!(metrics().await, 200);
    let mut target = Client::from_stream(tokio::net::TcpStream::connect(process.address).await.unwrap());
    stop(&process, target.raw(common::upgrade(&path("b")).as_bytes())).await;
    assert!(target.head().await.starts_with("HTTP/1.1 101"));
    target.receive_until("OPEN").await;
    assert!(target.receive().await.contains("OFFER"), "not EXPIRE to the sender");
}

#[actix_web::test]
async fn what_a_client_sent_while_the_broker_was_stopped_is_no_flood() {
    let process = Process::start(&["limits.messages_per_second=20", "limits.messages_burst=10"]);
    let mut client = Client::open(process.address, V2, &[]).await;
    let beats = 45; // in 3 s, 60 are allowed
    stop(&process, client.raw(&frame(0x81, BEAT.as_bytes()).repeat(beats))).await;
    for _ in 0..beats {
        assert!(client.receive().await.contains("ok"));
    }
    // what the client could not have sent in that time is one
    client.raw(&frame(0x81, BEAT.as_bytes()).repeat(100)).await;
    while let Received::Text(_) = client.receive_any().await {}
    assert_eq!(client.receive_any().await, Received::Eof);
}

#[actix_web::test]
async fn requests_whose_rest_arrives_while_the_broker_is_stopped_are_answered() {
    let sets = ["server.header_timeout=1s", "server.keep_alive=1s", "socket.write_timeout=500ms"];
    let process =
        Process::start(&[&SHORT_TIMEOUTS[..], &["server.workers=1", "socketio.upgrade_timeout=1s"], &sets].concat());
    let path = "/socket.io/?EIO=4&transport=polling";
    let opened = request(process.address, "GET", path, &[], b"").await.body;
    let path = format!("{path}&sid={}", opened.split('"').nth(3).unwrap());
    let begin = async |bytes: &str| {
        let mut client = Client::from_stream(tokio::net::TcpStream::connect(process.address).await.unwrap());
        client.raw(bytes.as_bytes()).await;
        client
    };
    // a post whose body is not complete, a second request whose head is not, and an upgrade that is probed
    let get_health = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut post = begin(&format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n4")).await;
    let mut second = begin(get_health).await;
    let head = second.head().await;
    second.body(&head).await;
    second.raw(&get_health.as_bytes()[..9]).await;
    let mut probe = Client::open(process.address, &path.replace("polling", "websocket"), &[]).await;
    probe.exchange("2probe", "3probe").await;
    let rest = async {
        tokio::join!(post.raw(b"0"), second.raw(&get_health.as_bytes()[9..]));
    };
    stop(&process, rest).await;
    let head = second.head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let head = post.head().await;
    assert_eq!(post.body(&head).await, b"ok");
    probe.send("5").await;
    assert!(probe.receive().await.starts_with("40{"), "the upgrade is complete");
}

#[actix_web::test]
async fn a_client_that_does_not_read_is_not_slow_while_the_broker_is_stopped() {
    let sets = ["metrics.listen=127.0.0.1:0", "limits.queue_age=2s", "limits.queue_bytes=16777216"];
    let process = Process::start(&[&sets[..], &["limits.messages_burst=100000"]].concat());
    let (topic, pad) = (format!("peer:{}", id(2)), "x".repeat(8_000));
    let mut sender = Client::open(process.address, V2, &[]).await;
    sender.join("1", &format!("peer:{}", id(1)), "{}").await;
    let mut slow = Client::with_small_window(process.address).await;
    slow.join("1", &topic, "{}").await;
    let mut sent = 0;
    let mut offer = async |sent: &mut u32| {
        sender.send(&format!(r#"["1","2","peer:{}","offer",{{"peer_id":"{}","pad":"{pad}"}}]"#, id(1), id(2))).await;
        assert!(sender.receive_until("phx_reply").await.contains("ok"));
        *sent += 1;
    };
    while metric(process.metrics.unwrap(), "handclasp_queue_bytes").await < Some(100_000) {
        offer(&mut sent).await;
    }
    stop(&process, async {}).await;
    offer(&mut sent).await;
    for _ in 0..sent {
        slow.receive_until("offer").await;
    }
}

/// Blocks its worker for a while, as no channel should.
struct Blocking;

impl Channel for Blocking {
    fn handle_in(&mut self, _: &str, _: &Payload, _: &mut Context<'_>) -> Reply {
        std::thread::sleep(STOP);
        Reply::NoReply
    }
}

#[actix_web::test]
async fn clients_of_a_worker_that_is_blocked_outlive_that() {
    let sets = ["socket.idle_timeout=500ms", "server.workers=1"];
    let mount = Mount::new("/block", Router::new().channel("block", |_| Blocking));
    let node = Endpoint::bare(common::config(&sets)).mount(mount).start().unwrap();
    let path = "/block/websocket?vsn=2.0.0";
    let mut blocking = Client::open(node.address(), path, &[]).await;
    blocking.join("1", "block", "{}").await;
    let count = Cell::new(0);
    let others = join_all(
        (0..EACH).map(async |_| beat(Client::open(node.address(), path, &[]).await, BEAT, "phx_reply", &count).await),
    );
    let scenario = async {
        wait_until("all others are connected", || std::future::ready(count.get() >= 20)).await;
        blocking.send(r#"["1","2","block","any",{}]"#).await;
        let before = count.get();
        wait_until("they live on", || std::future::ready(count.get() >= before + 100)).await;
    };
    match select(Box::pin(others), Box::pin(scenario)).await {
        Either::Left((why, _)) => panic!("{why:?}"),
        Either::Right(_) => {}
    }
}
