//! Clients that read, but slowly: no burst of one stranger disconnects them.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncReadExt;
use tokio::time::interval;

use crate::common::Client;
use crate::common::process::Process;

const READERS: usize = 20;
/// How fast each of them reads, in bytes a second.
const RATE: usize = 500_000;
/// What the stranger sends: 5 MB, as fast as it can.
const MESSAGES: usize = 20;
const MESSAGE_BYTES: usize = 250_000;

async fn member(address: SocketAddr) -> Client {
    let mut client = Client::with_receive_buffer(address, 32_768).await;
    client.join("1", "room:busy", "{}").await;
    client
}

/// Reads at a steady rate until this many bytes have arrived. Returns how many did.
async fn read_slowly(client: Client, bytes: usize) -> usize {
    let (mut stream, mut read, mut chunk) = (client.stream, 0, vec![0; RATE / 50]);
    let mut turns = interval(Duration::from_millis(20));
    while read < bytes {
        turns.tick().await;
        let mut turn = 0;
        while turn < chunk.len() {
            match stream.read(&mut chunk[turn..]).await {
                Ok(count @ 1..) => turn += count,
                _ => return read + turn,
            }
        }
        read += turn;
    }
    read
}

#[actix_web::test]
async fn a_burst_of_a_stranger_disconnects_no_client_that_reads() {
    let process = Process::start(&[]);
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(member(process.address).await);
    }
    let mut stranger = member(process.address).await;
    let pad = "x".repeat(MESSAGE_BYTES);
    let reading =
        actix_web::rt::spawn(join_all(readers.into_iter().map(|reader| read_slowly(reader, MESSAGES * MESSAGE_BYTES))));
    for n in 0..MESSAGES {
        stranger.send(&format!(r#"["1","{n}","room:busy","msg",{{"pad":"{pad}"}}]"#)).await;
        let reply = stranger.receive_until("phx_reply").await;
        assert!(reply.contains(r#""status":"ok""#), "{reply}");
    }
    let received = reading.await.unwrap();
    assert!(received.iter().all(|bytes| *bytes >= MESSAGES * MESSAGE_BYTES), "{received:?}");
}
