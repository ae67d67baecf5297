//! How much memory one hostile client can make the node use. Each test runs several clients of one kind, and compares
//! the growth of the process with a limit per client.

use tokio::net::TcpStream;

use crate::common::longpoll::{BATCH, LongPollClient};
use crate::common::process::Process;
use crate::common::{Client, frame};

const ALICE: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";

/// A node, and two clients that can signal each other whatever the others do.
struct Siege {
    process: Process,
    pair: [Client; 2],
}

impl Siege {
    async fn start() -> Self {
        let limits = ["limits.sockets_per_ip=100000", "limits.messages_burst=1000000"];
        let process = Process::start(&[
            limits[0],
            limits[1],
            "server.header_timeout=1m",
            "socket.poll_window=1m",
            "server.workers=1",
        ]);
        let mut pair = [Client::new(process.address).await, Client::new(process.address).await];
        for (client, id) in pair.iter_mut().zip([ALICE, BOB]) {
            client.join("1", &format!("peer:{id}"), "{}").await;
        }
        Self { process, pair }
    }

    async fn signal(&mut self) {
        let [alice, bob] = &mut self.pair;
        alice.send(&format!(r#"["1","2","peer:{ALICE}","offer",{{"peer_id":"{BOB}"}}]"#)).await;
        bob.receive_until("offer").await;
        alice.receive_until(r#""status":"ok""#).await;
    }

    /// Creates this many clients. They may use at most this many KiB each, and the two clients can signal meanwhile.
    async fn expect_memory_per_client(
        mut self,
        max_kib: usize,
        count: usize,
        mut new_client: impl AsyncFnMut(&Process, usize) -> Client,
    ) {
        self.signal().await;
        let before = self.process.resident();
        let mut clients = Vec::new();
        for n in 0..count {
            clients.push(new_client(&self.process, n).await);
        }
        self.signal().await;
        // nothing reports when everything has been read, so wait until memory no longer changes
        let mut last = 0;
        while last != self.process.resident() {
            last = self.process.resident();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let each = last.saturating_sub(before) as usize / count / 1024;
        println!("{each} KiB per client, limit {max_kib}");
        assert!(each <= max_kib, "{each} KiB per client, limit {max_kib}");
        self.signal().await;
    }
}

async fn connect(process: &Process) -> Client {
    Client::from_stream(TcpStream::connect(process.address).await.unwrap())
}

#[actix_web::test]
async fn half_of_a_request_head() {
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(130_000));
    let new_client = async |process: &Process, _| {
        let mut client = connect(process).await;
        client.raw(head.as_bytes()).await;
        client
    };
    Siege::start().await.expect_memory_per_client(200, 30, new_client).await;
}

/// Opens a WebSocket, and sends the bytes.
async fn socket(process: &Process, bytes: &[u8]) -> Client {
    let mut client = Client::open(process.address, "/socket/websocket?vsn=2.0.0", &[]).await;
    client.raw(bytes).await;
    client
}

#[actix_web::test]
async fn half_of_a_frame() {
    let whole = frame(0x81, &[b' '; 65_536]);
    Siege::start()
        .await
        .expect_memory_per_client(100, 30, async |process, _| socket(process, &whole[..whole.len() - 1]).await)
        .await;
}

#[actix_web::test]
async fn half_of_a_message_and_half_of_a_frame() {
    let fragments = [frame(0x01, &[b' '; 64]), frame(0x00, &[b' '; 64]).repeat(1_020)].concat();
    let bytes = [&*fragments, &frame(0x00, &[b' '; 65_536])[..60_000]].concat();
    Siege::start().await.expect_memory_per_client(200, 30, async |process, _| socket(process, &bytes).await).await;
}

#[actix_web::test]
async fn a_tebibyte_declared_and_a_mebibyte_sent() {
    let bytes = [&[0x82, 0xFF][..], &(1_u64 << 40).to_be_bytes(), &vec![0; 1 << 20]].concat();
    Siege::start().await.expect_memory_per_client(50, 30, async |process, _| socket(process, &bytes).await).await;
}

/// Twice as many topics as a client may join, with names and refs of the maximum length.
#[actix_web::test]
async fn two_hundred_topics() {
    let (reference, name) = ("9".repeat(1_000), "x".repeat(240));
    let new_client = async |process: &Process, n| {
        let mut client = socket(process, b"").await;
        for batch in [0, 100] {
            let join = |topic| format!(r#"["{reference}","1","room:{n}-{}-{name}","phx_join",{{}}]"#, topic + batch);
            let joins: Vec<u8> = (0..100).flat_map(|topic: usize| frame(0x81, join(topic).as_bytes())).collect();
            client.raw(&joins).await;
            for _ in 0..100 {
                client.receive().await;
            }
        }
        client
    };
    Siege::start().await.expect_memory_per_client(500, 5, new_client).await;
}

#[actix_web::test]
async fn half_of_a_long_polling_body() {
    let new_client = async |process: &Process, _| {
        let path = LongPollClient::open(process.address, "/socket", "2.0.0", &[]).await.with_token();
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{BATCH}\r\nContent-Length: 1048576\r\n\r\n");
        let mut client = connect(process).await;
        client.raw(&[head.as_bytes(), &vec![b' '; 1_048_575]].concat()).await;
        client
    };
    Siege::start().await.expect_memory_per_client(2_000, 30, new_client).await;
}
