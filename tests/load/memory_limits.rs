//! What one connection can make the node keep, at most: a crowd of each kind of hostile client, and the memory
//! of the process, which must stay below so many times what one of them is allowed.

use tokio::net::TcpStream;

use crate::common::longpoll::{BATCH, LongPollClient};
use crate::common::process::Process;
use crate::common::{Client, frame};

const ALICE: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";

/// A node, and two who go on signalling whatever the others do.
struct Siege {
    process: Process,
    pair: [Client; 2],
}

impl Siege {
    async fn start() -> Self {
        let free = ["limits.sockets_per_ip=100000", "limits.messages_burst=1000000"];
        let process = Process::start(&[
            free[0],
            free[1],
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

    /// So many clients, each made by `one`, take at most so many KiB each; the two are heard meanwhile.
    async fn costs(mut self, most: usize, crowd: usize, mut one: impl AsyncFnMut(&Process, usize) -> Client) {
        self.signal().await;
        let before = self.process.resident();
        let mut clients = Vec::new();
        for n in 0..crowd {
            clients.push(one(&self.process, n).await);
        }
        self.signal().await;
        // nothing tells when all has been read; it is quickly, and then nothing changes any more
        let mut last = 0;
        while last != self.process.resident() {
            last = self.process.resident();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let each = last.saturating_sub(before) as usize / crowd / 1024;
        println!("{each} KiB each, of {most}");
        assert!(each <= most, "{each} KiB each, of {most}");
        self.signal().await;
    }
}

async fn connect(process: &Process) -> Client {
    Client::from_stream(TcpStream::connect(process.address).await.unwrap())
}

#[actix_web::test]
async fn half_a_head() {
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(130_000));
    let one = async |process: &Process, _| {
        let mut client = connect(process).await;
        client.raw(head.as_bytes()).await;
        client
    };
    Siege::start().await.costs(200, 30, one).await;
}

/// Opens a socket, and says this.
async fn socket(process: &Process, bytes: &[u8]) -> Client {
    let mut client = Client::open(process.address, "/socket/websocket?vsn=2.0.0", &[]).await;
    client.raw(bytes).await;
    client
}

#[actix_web::test]
async fn half_a_frame() {
    let whole = frame(0x81, &[b' '; 65_536]);
    Siege::start().await.costs(100, 30, async |process, _| socket(process, &whole[..whole.len() - 1]).await).await;
}

#[actix_web::test]
async fn half_a_message_and_half_a_frame() {
    let pieces = [frame(0x01, &[b' '; 64]), frame(0x00, &[b' '; 64]).repeat(1_020)].concat();
    let bytes = [&*pieces, &frame(0x00, &[b' '; 65_536])[..60_000]].concat();
    Siege::start().await.costs(200, 30, async |process, _| socket(process, &bytes).await).await;
}

#[actix_web::test]
async fn a_tebibyte_declared_and_a_mebibyte_sent() {
    let bytes = [&[0x82, 0xFF][..], &(1_u64 << 40).to_be_bytes(), &vec![0; 1 << 20]].concat();
    Siege::start().await.costs(50, 30, async |process, _| socket(process, &bytes).await).await;
}

/// Twice as many as it may have, with names and marks as long as they may be.
#[actix_web::test]
async fn two_hundred_topics() {
    let (mark, name) = ("9".repeat(1_000), "x".repeat(240));
    let one = async |process: &Process, n| {
        let mut client = socket(process, b"").await;
        for batch in [0, 100] {
            let join = |topic| format!(r#"["{mark}","1","room:{n}-{}-{name}","phx_join",{{}}]"#, topic + batch);
            let joins: Vec<u8> = (0..100).flat_map(|topic: usize| frame(0x81, join(topic).as_bytes())).collect();
            client.raw(&joins).await;
            for _ in 0..100 {
                client.receive().await;
            }
        }
        client
    };
    Siege::start().await.costs(500, 5, one).await;
}

#[actix_web::test]
async fn half_a_body_of_a_polling_client() {
    let one = async |process: &Process, _| {
        let path = LongPollClient::open(process.address, "/socket", "2.0.0", &[]).await.with_token();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{BATCH}\r\nContent-Length: 1048576\r\n\r\n");
        let mut client = connect(process).await;
        client.raw(&[head.as_bytes(), &vec![b' '; 1_048_575]].concat()).await;
        client
    };
    Siege::start().await.costs(2_000, 30, one).await;
}
