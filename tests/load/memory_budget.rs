//! The budget of a node for what waits (`limits.memory_bytes`): clients that do not read, halves of requests, and
//! messages to hundreds of them. In each test hostile clients of one address want far more than the budget. The process
//! must stay within it, and a pair of clients that behave must not notice.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::process::Process;
use crate::common::{self, Client, frame, get, metric};

const ALICE: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";
/// How many hostile clients there are.
const HOSTILE: usize = 250;
/// The budget, in MiB, and what a process may grow by: the budget, 128 KiB of state and HTTP buffers for each connection,
/// and what the allocator keeps.
const BUDGET: u64 = 48;
const GROWTH: u64 = BUDGET + HOSTILE as u64 / 8 + BUDGET / 2 + 16;
/// The address space of the process, in KiB.
const ADDRESS_SPACE: u64 = 3_000_000;
const SETS: [&str; 9] = [
    "limits.memory_bytes=50331648",
    "limits.sockets_per_ip=1000",
    "limits.http_connections_per_ip=2000",
    "limits.connects_burst=10000",
    "limits.messages_burst=1000000",
    "limits.messages_per_second=1000000",
    "metrics.listen=127.0.0.1:0",
    // only the size must disconnect a client here
    "limits.queue_age=1h",
    "socket.write_timeout=10m",
];

/// A node, and two clients that behave.
struct Scene {
    process: Process,
    pair: [Client; 2],
    before: u64,
}

impl Scene {
    async fn start(sets: &[&str]) -> Self {
        rlimit::increase_nofile_limit(4_096).unwrap();
        let process = Process::with_address_space(ADDRESS_SPACE, &[&SETS, sets].concat());
        let mut pair = [Client::new(process.address).await, Client::new(process.address).await];
        for (client, id) in pair.iter_mut().zip([ALICE, BOB]) {
            client.join("1", &format!("peer:{id}"), "{}").await;
        }
        let before = process.resident();
        Self { process, pair, before }
    }

    fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// Both clients can signal each other, and the process has not grown too much.
    async fn check(&mut self) {
        let [alice, bob] = &mut self.pair;
        loop {
            alice.send(&format!(r#"["1","2","peer:{ALICE}","offer",{{"peer_id":"{BOB}"}}]"#)).await;
            if alice.receive_until("phx_reply").await.contains(r#""status":"ok""#) {
                break;
            }
            // while the node frees memory, messages are refused with a reason
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bob.receive_until("offer").await;
        let grown = self.process.resident().saturating_sub(self.before) >> 20;
        assert!(grown <= GROWTH, "the process grew by {grown} MiB; the budget is {BUDGET} MiB");
    }

    async fn disconnected(&self) -> u64 {
        metric(
            self.process.metrics.unwrap(),
            r#"handclasp_connections_closed_total{protocol="socketio",reason="slow"}"#,
        )
        .await
        .unwrap_or_default()
    }

    /// Once all hostile clients are gone, nothing is counted any more.
    async fn finish(self) {
        drop(self.pair);
        let process = self.process;
        common::wait_until("an empty node", || async { process.remaining().await.is_empty() }).await;
    }
}

/// A client of the Socket.IO relay that reads nothing after its join.
async fn relay_client(address: SocketAddr, revision: u8) -> Client {
    let path = format!("/socket.io/?EIO={revision}&transport=websocket");
    let mut client = Client::open_with_small_window(address, &path).await;
    client.receive().await;
    if revision == 4 {
        client.send("40").await;
    }
    client.receive_until("40").await;
    client
}

/// Most of the issue's gigabytes were private copies of the frame.
async fn a_large_message_to_clients_that_do_not_read(revision: u8) {
    let mut scene = Scene::start(&[]).await;
    let mut hostile = Vec::new();
    for _ in 0..HOSTILE {
        hostile.push(relay_client(scene.address(), revision).await);
    }
    let message = format!(r#"42["message","{}"]"#, "é".repeat(60_000));
    let mut sender = hostile.pop().unwrap();
    for _ in 0..40 {
        sender.send(&message).await;
        scene.check().await;
    }
    drop((hostile, sender));
    scene.finish().await;
}

#[actix_web::test]
async fn a_large_message_to_clients_of_engineio_4() {
    a_large_message_to_clients_that_do_not_read(4).await;
}

/// In this revision, each byte of a text is a character.
#[actix_web::test]
async fn a_large_message_to_clients_of_engineio_3() {
    a_large_message_to_clients_that_do_not_read(3).await;
}

#[actix_web::test]
async fn small_messages_to_clients_that_do_not_read() {
    let mut scene = Scene::start(&["limits.queue_bytes=1073741824"]).await;
    let mut hostile = Vec::new();
    for _ in 0..HOSTILE {
        hostile.push(relay_client(scene.address(), 4).await);
    }
    let mut sender = hostile.pop().unwrap();
    let messages = frame(0x81, br#"42["message","small"]"#).repeat(1_000);
    // their envelopes alone need several times the budget
    let mut rounds = 0;
    while scene.disconnected().await == 0 {
        sender.raw(&messages).await;
        scene.check().await;
        rounds += 1;
        assert!(rounds < 100, "nobody was disconnected");
    }
    drop((hostile, sender));
    scene.finish().await;
}

/// Opens a polling session of the relay. Returns the path of its requests.
async fn polling_session(address: SocketAddr) -> String {
    let path = "/socket.io/?EIO=4&transport=polling";
    loop {
        let (status, body) = get(address, path).await;
        if let Some(rest) = body.split(r#""sid":""#).nth(1) {
            return format!("{path}&sid={}", rest.split('"').next().unwrap());
        }
        // newcomers are refused while the node frees memory
        assert_eq!(status, 503, "{body}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn post(address: SocketAddr, path: &str, body: &str) -> String {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    );
    Client::request(address, &(head + body)).await.1
}

#[actix_web::test]
async fn answers_to_polls_that_are_not_read() {
    let mut scene = Scene::start(&[]).await;
    let address = scene.address();
    let mut paths = Vec::new();
    for _ in 0..HOSTILE {
        let path = polling_session(address).await;
        assert!(post(address, &path, "40").await.starts_with("HTTP/1.1 200"));
        paths.push(path);
    }
    let mut sender = relay_client(address, 4).await;
    let message = format!(r#"42["message","{}"]"#, "é".repeat(60_000));
    let mut unread = Vec::new();
    for round in 0..40 {
        sender.send(&message).await;
        if round % 10 == 0 {
            for path in &paths {
                let mut poll = Client::tcp_with_small_window(address);
                poll.raw(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
                unread.push(poll);
            }
        }
        scene.check().await;
    }
    drop((unread, sender));
}

/// Sends `bytes` on `HOSTILE` connections that end in the middle.
async fn halves(scene: &mut Scene, mut bytes: impl AsyncFnMut(SocketAddr) -> (Client, Vec<u8>)) {
    let mut hostile = Vec::new();
    for n in 0..HOSTILE {
        let (mut client, bytes) = bytes(scene.address()).await;
        client.raw(&bytes).await;
        hostile.push(client);
        if n % 10 == 0 {
            scene.check().await;
        }
    }
    scene.check().await;
}

#[actix_web::test]
async fn halves_of_bodies() {
    let mut scene = Scene::start(&[]).await;
    let half = |path: &str| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 262144\r\n\r\n"
        );
        [head.as_bytes(), &vec![b'4'; 262_000]].concat()
    };
    halves(&mut scene, async |address| {
        let path = polling_session(address).await;
        (Client::tcp_with_small_window(address), half(&path))
    })
    .await;
}

#[actix_web::test]
async fn halves_of_frames_and_messages() {
    let mut scene = Scene::start(&[]).await;
    let fragment = frame(0x01, &vec![b' '; 200_000]);
    let half = [&fragment[..], &frame(0x00, &vec![b' '; 60_000])[..59_000]].concat();
    halves(&mut scene, async |address| (Client::open(address, "/socket/websocket?vsn=2.0.0", &[]).await, half.clone()))
        .await;
    scene.finish().await;
}

/// A client that does not read. It tries again while the node frees memory.
async fn newcomer(address: SocketAddr) -> Client {
    loop {
        let mut client = Client::tcp_with_small_window(address);
        client.raw(common::upgrade("/socket/websocket?vsn=2.0.0").as_bytes()).await;
        let head = client.head().await;
        if head.starts_with("HTTP/1.1 101") {
            return client;
        }
        assert!(head.starts_with("HTTP/1.1 503"), "{head}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A presence list is encoded for each client. It waits in the output of the connection, where other clients cannot share
/// it.
#[actix_web::test]
async fn presence_lists_that_are_not_read() {
    let mut scene = Scene::start(&["presence.meta_bytes=262144"]).await;
    let meta = "x".repeat(200_000);
    let mut members = Vec::new();
    for n in 0..5 {
        let mut member = Client::new(scene.address()).await;
        member.join("1", "room:list", &format!(r#"{{"meta":{{"n":{n},"x":"{meta}"}}}}"#)).await;
        members.push(member);
    }
    let mut hostile = Vec::new();
    for n in 0..HOSTILE {
        let mut client = newcomer(scene.address()).await;
        client.send(r#"["1","1","room:list","phx_join",{"presence":true}]"#).await;
        hostile.push(client);
        if n % 10 == 0 {
            scene.check().await;
        }
    }
    scene.check().await;
    drop((hostile, members));
    scene.finish().await;
}
