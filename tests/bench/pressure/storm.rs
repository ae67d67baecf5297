//! All clients are disconnected at once because the broker was killed, and reconnect to another one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::common::process::Process;
use crate::common::{frame, upgrade};

/// The number of clients. Each takes one descriptor in this process, and one in the broker's.
pub const CLIENTS: usize = 10_000;
/// How long a client waits before the next attempt, and for a reply.
const RETRY_AFTER: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Connects a client, and joins a topic of its own. Returns the connection and the number of attempts.
async fn join(to: SocketAddr, n: usize) -> (TcpStream, usize) {
    let mut attempts = 1;
    loop {
        match timeout(TIMEOUT, try_join(to, n)).await {
            Ok(Ok(stream)) => return (stream, attempts),
            _ => {
                attempts += 1;
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

async fn try_join(to: SocketAddr, n: usize) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await?;
    let mut bytes = upgrade(crate::SOCKET).into_bytes();
    let join = format!(r#"["1","1","peer:00000000-0000-4000-8000-{n:012}","phx_join",{{}}]"#);
    bytes.extend(frame(0x81, join.as_bytes()));
    stream.write_all(&bytes).await?;
    let mut received = Vec::new();
    while memchr::memmem::find(&received, br#""status":"ok""#).is_none() {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
    }
    Ok(stream)
}

/// Disconnects all clients. Each reconnects at some time within `jitter`.
pub async fn reconnect(jitter: Duration) {
    let sets = ["limits.sockets_per_ip=20000", "limits.connects_burst=40000", "server.backlog=16384"];
    let first = Process::start(&sets);
    let clients = join_all((0..CLIENTS).map(|n| join(first.address, n))).await;
    let second = Process::start(&sets);
    drop(first); // by SIGKILL
    drop(clients);
    let disconnected = Instant::now();
    let reconnected = join_all((0..CLIENTS).map(|n| {
        // spread evenly, as random delays are on average
        let wait = jitter.mul_f64((n * 7_919 % CLIENTS) as f64 / CLIENTS as f64);
        let to = second.address;
        async move {
            sleep(wait).await;
            let (stream, attempts) = join(to, n).await;
            (stream, attempts, disconnected.elapsed() - wait)
        }
    }));
    let reconnected = reconnected.await;
    let total = disconnected.elapsed();
    let mut times: Vec<Duration> = reconnected.iter().map(|(_, _, time)| *time).collect();
    times.sort_unstable();
    let (attempts, p99) =
        (reconnected.iter().map(|(_, attempts, _)| attempts).sum::<usize>(), times[CLIENTS * 99 / 100]);
    println!(
        "{CLIENTS} clients disconnected at once, reconnecting within {jitter:?}: all joined after {total:.2?}, \
         median wait {:.2?} (p99 {p99:.2?}), {attempts} attempts, {} KiB resident",
        times[CLIENTS / 2],
        second.resident() / 1024
    );
}
