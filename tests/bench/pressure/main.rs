//! The broker under load: the latency of a well-behaved pair while other clients flood the server, that of 50 pairs while a
//! backend lists 100,000 topics, and how long 10,000 clients take to reconnect after all are disconnected at once.
//! `make pressure`.
//!
//! The times depend on the machine and its other load, so nothing here fails for being slow: `tests/load`,
//! `tests/hostile` and `tests/connections` test what must hold at any speed. The load comes from IP addresses of its
//! own, such as 127.0.0.2.

#[path = "../../common/mod.rs"]
mod common;
mod listing;
mod storm;

use std::io::ErrorKind::WouldBlock;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::process::Process;
use common::{Client, frame, id, upgrade};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

/// How long each load lasts.
const TIME: Duration = Duration::from_secs(5);
const SOCKET: &str = "/socket/websocket?vsn=2.0.0";
/// The number of source addresses of the load.
const ADDRESSES: u8 = 4;

/// Connects from the `n`th source address.
async fn connect(to: SocketAddr, n: u8) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 2 + n % ADDRESSES], 0).into())?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A WebSocket that sends `message` repeatedly, and reads until `finished` or until it closes.
async fn flooding_client(
    to: SocketAddr,
    n: u8,
    message: &str,
    times: usize,
    finished: &AtomicBool,
) -> std::io::Result<()> {
    let mut bytes = upgrade(SOCKET).into_bytes();
    bytes.extend(frame(0x81, br#"["1","1","room:flood","phx_join",{"meta":{}}]"#));
    bytes.extend(frame(0x81, message.as_bytes()).repeat(times));
    let (mut reader, mut writer) = connect(to, n).await?.into_split();
    let mut buffer = vec![0; 65_536];
    let sending = writer.write_all(&bytes);
    let receiving = async {
        while !finished.load(Ordering::Relaxed)
            && matches!(tokio::time::timeout(TIME, reader.read(&mut buffer)).await, Ok(Ok(1..)))
        {}
    };
    let (result, ()) = tokio::join!(sending, receiving);
    result
}

/// Floods the server with one message, from clients that are disconnected for it and reconnect.
async fn flood(to: SocketAddr, message: &str, finished: &AtomicBool) -> usize {
    let reconnect = async |n: u8| {
        let mut times = 0;
        while !finished.load(Ordering::Relaxed) {
            let _ = flooding_client(to, n, message, 2_000, finished).await;
            times += 1;
        }
        times
    };
    join_all((0..40).map(reconnect)).await.into_iter().sum()
}

/// Connections that request an upgrade and are reset, as fast as possible.
async fn churn(to: SocketAddr, finished: &AtomicBool) -> usize {
    let connect_and_reset = async |n: u8| {
        let mut times = 0;
        while !finished.load(Ordering::Relaxed) {
            if let Ok(mut stream) = connect(to, n).await {
                let _ = stream.write_all(upgrade(SOCKET).as_bytes()).await;
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                times += 1;
            }
        }
        times
    };
    join_all((0..64).map(connect_and_reset)).await.into_iter().sum()
}

/// Idle connections of one address. Returns how many of them the server keeps.
async fn idle_connections(to: SocketAddr, finished: &AtomicBool) -> usize {
    let mut all = Vec::new();
    while all.len() < storm::CLIENTS {
        match connect(to, 0).await {
            Ok(stream) => all.push(stream),
            Err(_) => break,
        }
    }
    sleep(Duration::from_millis(200)).await;
    let is_open = |stream: &&TcpStream| matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == WouldBlock);
    let open = all.iter().filter(is_open).count();
    while !finished.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(50)).await;
    }
    open
}

/// Two clients that signal each other, a hundred times per second. Measures the latency of each signal and its reply.
struct Pair {
    a: Client,
    b: Client,
    ids: [String; 2],
}

impl Pair {
    /// The pair with this number.
    async fn new(to: SocketAddr, number: usize) -> Self {
        let (mut a, mut b) = (Client::new(to).await, Client::new(to).await);
        let ids = [id(2 * number), id(2 * number + 1)];
        a.join("1", &format!("peer:{}", ids[0]), "{}").await;
        b.join("1", &format!("peer:{}", ids[1]), "{}").await;
        Self { a, b, ids }
    }

    async fn signal(&mut self, finished: &AtomicBool) -> Vec<Duration> {
        let (until, mut times) = (Instant::now() + TIME, Vec::new());
        while Instant::now() < until {
            let result = Instant::now();
            self.a.send(&format!(r#"["1","2","peer:{}","offer",{{"peer_id":"{}"}}]"#, self.ids[0], self.ids[1])).await;
            self.b.receive_until("offer").await;
            assert!(self.a.receive_until("phx_reply").await.contains(r#""status":"ok""#), "a signal was rejected");
            times.push(result.elapsed());
            sleep(Duration::from_millis(10)).await;
        }
        finished.store(true, Ordering::Relaxed);
        times.sort_unstable();
        times
    }
}

/// Prints one line: the latency of the pair under `load`.
async fn measure(name: &str, load: impl AsyncFnOnce(SocketAddr, &AtomicBool) -> usize) {
    let process = Process::start(&[]);
    let (to, before, finished) = (process.address, process.resident(), Arc::new(AtomicBool::new(false)));
    // a thread of its own, so that the pair does not wait for the load's clients
    let pair = std::thread::spawn({
        let finished = finished.clone();
        move || actix_web::rt::System::new().block_on(async { Pair::new(to, 0).await.signal(&finished).await })
    });
    let count = load(to, &finished).await;
    let times = pair.join().expect("the pair is served");
    print_line(name, count, &times, process.resident().saturating_sub(before));
}

/// Prints how often the load was done, the latencies, which are in order, and how many bytes the broker has grown.
fn print_line(name: &str, count: usize, times: &[Duration], grown: u64) {
    let p = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let kib = grown / 1024;
    println!("{name:<44}{count:>9}{:>12.2?}{:>12.2?}{:>12.2?}{kib:>12}", p(0.5), p(0.99), p(1.0));
}

fn main() {
    rlimit::increase_nofile_limit(u64::MAX).expect("descriptors");
    actix_web::rt::System::new().block_on(async {
        println!("{:<44}{:>9}{:>12}{:>12}{:>12}{:>12}", "load", "count", "median", "p99", "max", "KiB more");
        measure("none", async |_, _| 0).await;
        let own = r#"["1","2","room:flood","update_meta",{"n":1}]"#;
        measure("presence updates in one room", async |to, finished| flood(to, own, finished).await).await;
        let heartbeat = r#"[null,"2","phoenix","heartbeat",{}]"#;
        measure("heartbeats", async |to, finished| flood(to, heartbeat, finished).await).await;
        let join = r#"["1","3","room:flood","phx_join",{"meta":{}}]"#;
        measure("joins and rejoins of one room", async |to, finished| flood(to, join, finished).await).await;
        measure("connect, upgrade, reset", async |to, finished| churn(to, finished).await).await;
        measure("idle connections from one client IP", async |to, finished| idle_connections(to, finished).await).await;
        listing::measure().await;
        for jitter in [Duration::ZERO, Duration::from_secs(5)] {
            storm::reconnect(jitter).await;
        }
    });
}
