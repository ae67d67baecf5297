//! The broker under load, in figures: the latency of a well-behaved pair while other clients flood the server, and how
//! long 10,000 clients take to reconnect after all are disconnected at once. `make pressure`.
//!
//! The times depend on the machine and its other load, so nothing here fails for being slow: `floods.rs`, `stall.rs` and
//! `admission.rs` test what must hold at any speed. The load comes from IP addresses of its own, such as 127.0.0.2.

#[path = "../../common/mod.rs"]
mod common;
mod storm;

use std::io::ErrorKind::WouldBlock;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::process::Process;
use common::{Client, frame, upgrade};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

/// How long each pressure is kept up.
const TIME: Duration = Duration::from_secs(5);
const SOCKET: &str = "/socket/websocket?vsn=2.0.0";
/// The load's own addresses.
const ADDRESSES: u8 = 4;

/// Connects from the `n`th address of the load.
async fn connect(to: SocketAddr, n: u8) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 2 + n % ADDRESSES], 0).into())?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A socket that has said `words` and reads on, whatever comes, until `over` or its end.
async fn speaker(to: SocketAddr, n: u8, words: &str, times: usize, over: &AtomicBool) -> std::io::Result<()> {
    let mut bytes = upgrade(SOCKET).into_bytes();
    bytes.extend(frame(0x81, br#"["1","1","room:flood","phx_join",{"meta":{}}]"#));
    bytes.extend(frame(0x81, words.as_bytes()).repeat(times));
    let (mut reader, mut writer) = connect(to, n).await?.into_split();
    let mut heard = vec![0; 65_536];
    let say = writer.write_all(&bytes);
    let hear = async {
        while !over.load(Ordering::Relaxed)
            && matches!(tokio::time::timeout(TIME, reader.read(&mut heard)).await, Ok(Ok(1..)))
        {}
    };
    let (said, ()) = tokio::join!(say, hear);
    said
}

/// Floods of one message over and over, by sockets that are closed for it and come back.
async fn flood(to: SocketAddr, words: &str, over: &AtomicBool) -> usize {
    let come_again = async |n: u8| {
        let mut times = 0;
        while !over.load(Ordering::Relaxed) {
            let _ = speaker(to, n, words, 2_000, over).await;
            times += 1;
        }
        times
    };
    join_all((0..40).map(come_again)).await.into_iter().sum()
}

/// Connections that ask for a socket and are reset, as fast as they come.
async fn churn(to: SocketAddr, over: &AtomicBool) -> usize {
    let come_and_go = async |n: u8| {
        let mut times = 0;
        while !over.load(Ordering::Relaxed) {
            if let Ok(mut stream) = connect(to, n).await {
                let _ = stream.write_all(upgrade(SOCKET).as_bytes()).await;
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                times += 1;
            }
        }
        times
    };
    join_all((0..64).map(come_and_go)).await.into_iter().sum()
}

/// Connections of one network that say nothing; how many of them are let stay.
async fn silence(to: SocketAddr, over: &AtomicBool) -> usize {
    let mut all = Vec::new();
    while all.len() < storm::CLIENTS {
        match connect(to, 0).await {
            Ok(stream) => all.push(stream),
            Err(_) => break,
        }
    }
    sleep(Duration::from_millis(200)).await;
    let stays = |stream: &&TcpStream| matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == WouldBlock);
    let staying = all.iter().filter(stays).count();
    while !over.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(50)).await;
    }
    staying
}

/// Two who signal each other, a hundred times a second, and how long each signal took to be heard and answered.
struct Pair {
    a: Client,
    b: Client,
}

impl Pair {
    const IDS: [&str; 2] = ["00000000-0000-4000-8000-aaaaaaaaaaaa", "00000000-0000-4000-8000-bbbbbbbbbbbb"];

    async fn new(to: SocketAddr) -> Self {
        let (mut a, mut b) = (Client::new(to).await, Client::new(to).await);
        a.join("1", &format!("peer:{}", Self::IDS[0]), "{}").await;
        b.join("1", &format!("peer:{}", Self::IDS[1]), "{}").await;
        Self { a, b }
    }

    async fn signal(&mut self, over: &AtomicBool) -> Vec<Duration> {
        let (until, mut times) = (Instant::now() + TIME, Vec::new());
        while Instant::now() < until {
            let said = Instant::now();
            self.a
                .send(&format!(r#"["1","2","peer:{}","offer",{{"peer_id":"{}"}}]"#, Self::IDS[0], Self::IDS[1]))
                .await;
            self.b.receive_until("offer").await;
            assert!(self.a.receive_until("phx_reply").await.contains(r#""status":"ok""#), "every signal is delivered");
            times.push(said.elapsed());
            sleep(Duration::from_millis(10)).await;
        }
        over.store(true, Ordering::Relaxed);
        times.sort_unstable();
        times
    }
}

/// One line: what the pair saw while `load` was there.
async fn under(what: &str, load: impl AsyncFnOnce(SocketAddr, &AtomicBool) -> usize) {
    let process = Process::start(&[]);
    let (to, before, over) = (process.address, process.resident(), Arc::new(AtomicBool::new(false)));
    // in a thread of its own, so that it does not wait for those who make the load
    let pair = std::thread::spawn({
        let over = over.clone();
        move || actix_web::rt::System::new().block_on(async { Pair::new(to).await.signal(&over).await })
    });
    let count = load(to, &over).await;
    let times = pair.join().expect("a pair that is served");
    let p = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let grown = process.resident().saturating_sub(before) / 1024;
    println!("{what:<44}{count:>9}{:>12.2?}{:>12.2?}{:>12.2?}{grown:>12}", p(0.5), p(0.99), p(1.0));
}

fn main() {
    rlimit::increase_nofile_limit(u64::MAX).expect("descriptors");
    actix_web::rt::System::new().block_on(async {
        println!("{:<44}{:>9}{:>12}{:>12}{:>12}{:>12}", "load", "count", "median", "p99", "max", "KiB more");
        under("none", async |_, _| 0).await;
        let own = r#"["1","2","room:flood","update_meta",{"n":1}]"#;
        under("presence updates in one room", async |to, over| flood(to, own, over).await).await;
        let beat = r#"[null,"2","phoenix","heartbeat",{}]"#;
        under("heartbeats", async |to, over| flood(to, beat, over).await).await;
        let join = r#"["1","3","room:flood","phx_join",{"meta":{}}]"#;
        under("joins and rejoins of one room", async |to, over| flood(to, join, over).await).await;
        under("connect, upgrade, reset", async |to, over| churn(to, over).await).await;
        under("idle connections from one client IP", async |to, over| silence(to, over).await).await;
        for jitter in [Duration::ZERO, Duration::from_secs(5)] {
            storm::reconnect(jitter).await;
        }
    });
}
