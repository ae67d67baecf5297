//! Everybody is cut off at once, since the broker was killed, and comes back to its successor.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::common::process::Process;
use crate::common::{frame, upgrade};

/// How many clients there are. Each takes one descriptor here, and one of the broker's.
pub const CLIENTS: usize = 10_000;
/// How long a client waits before it tries again, and for an answer.
const AGAIN: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client's connection, joined to a topic of its own; and how often it has tried.
async fn join(to: SocketAddr, n: usize) -> (TcpStream, usize) {
    let mut tries = 1;
    loop {
        match timeout(TIMEOUT, once(to, n)).await {
            Ok(Ok(stream)) => return (stream, tries),
            _ => {
                tries += 1;
                sleep(AGAIN).await;
            }
        }
    }
}

async fn once(to: SocketAddr, n: usize) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await?;
    let mut bytes = upgrade(crate::SOCKET).into_bytes();
    let join = format!(r#"["1","1","peer:00000000-0000-4000-8000-{n:012}","phx_join",{{}}]"#);
    bytes.extend(frame(0x81, join.as_bytes()));
    stream.write_all(&bytes).await?;
    let mut heard = Vec::new();
    while memchr::memmem::find(&heard, br#""status":"ok""#).is_none() {
        if stream.read_buf(&mut heard).await? == 0 {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
    }
    Ok(stream)
}

/// Cuts all clients off, and has each come back at some time within `jitter`.
pub async fn reconnect(jitter: Duration) {
    let sets = ["limits.sockets_per_ip=20000", "limits.connects_burst=20000", "server.backlog=16384"];
    let first = Process::start(&sets);
    let clients = join_all((0..CLIENTS).map(|n| join(first.address, n))).await;
    let second = Process::start(&sets);
    drop(first); // by SIGKILL
    drop(clients);
    let cut = Instant::now();
    let back = join_all((0..CLIENTS).map(|n| {
        // spread evenly, as chance does on the whole
        let wait = jitter.mul_f64((n * 7_919 % CLIENTS) as f64 / CLIENTS as f64);
        let to = second.address;
        async move {
            sleep(wait).await;
            let (stream, tries) = join(to, n).await;
            (stream, tries, cut.elapsed() - wait)
        }
    }));
    let back = back.await;
    let all = cut.elapsed();
    let mut times: Vec<Duration> = back.iter().map(|(_, _, time)| *time).collect();
    times.sort_unstable();
    let (tries, p99) = (back.iter().map(|(_, tries, _)| tries).sum::<usize>(), times[CLIENTS * 99 / 100]);
    println!(
        "{CLIENTS} clients disconnected at once, reconnecting within {jitter:?}: all joined after {all:.2?}, \
         median wait {:.2?} (p99 {p99:.2?}), {tries} attempts, {} KiB resident",
        times[CLIENTS / 2],
        second.resident() / 1024
    );
}
