//! What a handshake, a delivery and an idle connection cost here, beside npm's `peer` and `socket.io` doing the
//! same: `make bench`. Each server has core 0 for itself, the load comes from the other; what is counted is the
//! server's own CPU time and memory, so that a busy machine changes little. Medians of three rounds.

#[path = "../common/mod.rs"]
mod common;
#[path = "compare/dialect.rs"]
mod dialect;
#[path = "compare/server.rs"]
mod server;

use dialect::Dialect;
use futures_util::future::join_all;
use server::{Kind, Server};

const ROUNDS: usize = 3;
/// Handshakes at a time, and in all.
const PAIRS: usize = 25;
const HANDSHAKES: usize = 500;
const CANDIDATES: usize = 16;
const OFFER_BYTES: usize = 1_500;
const CANDIDATE_BYTES: usize = 150;
/// Members of the room of Socket.IO, and what each hears.
const MEMBERS: usize = 100;
const SAYINGS: usize = 200;
const IDLE: usize = 1_000;

fn main() {
    actix_web::rt::System::new().block_on(async {
        println!("{:<34}{:>12}{:>12}{:>8}  {:<16}goal", "work", "handclasp", "npm", "ratio", "unit");
        for (dialect, rival, name) in
            [(Dialect::PeerJs, Kind::Peer, "PeerJS"), (Dialect::SocketIo, Kind::SocketIo, "Socket.IO")]
        {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                ours.push(round(Kind::Handclasp, dialect).await);
                theirs.push(round(rival, dialect).await);
            }
            row(&format!("{name}: whole handshake"), &ours, &theirs, |costs| costs.handshake, "us of CPU", 0.25);
            row(&format!("{name}: delivery"), &ours, &theirs, |costs| costs.delivery, "us of CPU", 0.25);
            row(&format!("{name}: idle connection"), &ours, &theirs, |costs| costs.idle, "bytes", 0.5);
        }
    });
}

/// What one round has shown.
struct Costs {
    handshake: f64,
    delivery: f64,
    idle: f64,
}

fn row(work: &str, ours: &[Costs], theirs: &[Costs], of: fn(&Costs) -> f64, unit: &str, goal: f64) {
    let median = |costs: &[Costs]| {
        let mut values: Vec<f64> = costs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (ours, theirs) = (median(ours), median(theirs));
    println!("{work:<34}{ours:>12.1}{theirs:>12.1}{:>8.2}  {unit:<16}{goal}", ours / theirs);
}

async fn round(kind: Kind, dialect: Dialect) -> Costs {
    let server = Server::start(kind);
    shake(&server, dialect, "warm up", PAIRS).await;
    let before = server.cpu();
    shake(&server, dialect, "measured", HANDSHAKES).await;
    let handshake = (server.cpu() - before) / HANDSHAKES as f64;
    let delivery = match dialect {
        Dialect::PeerJs => relay(&server).await,
        Dialect::SocketIo => fan_out(&server).await,
    };
    drop(server);
    Costs { handshake, delivery, idle: idle(kind, dialect).await }
}

/// Pairs come, exchange an offer, an answer and candidates, and leave.
async fn shake(server: &Server, dialect: Dialect, name: &str, count: usize) {
    for batch in 0..count / PAIRS {
        let pairs = (0..PAIRS).map(|n| pair(server, dialect, format!("{}-{batch}-{n}", &name[..4])));
        join_all(pairs).await;
    }
}

async fn pair(server: &Server, dialect: Dialect, name: String) {
    let (name_a, name_b) = (format!("{name}-a"), format!("{name}-b"));
    let mut a = dialect.enter(server.address, &name_a, &name).await;
    let mut b = dialect.enter(server.address, &name_b, &name).await;
    a.say("OFFER", &name_b, OFFER_BYTES).await;
    b.hear("OFFER").await;
    b.say("ANSWER", &name_a, OFFER_BYTES).await;
    a.hear("ANSWER").await;
    for _ in 0..CANDIDATES / 2 {
        a.say("CANDIDATE", &name_b, CANDIDATE_BYTES).await;
        b.say("CANDIDATE", &name_a, CANDIDATE_BYTES).await;
    }
    for _ in 0..CANDIDATES / 2 {
        a.hear("CANDIDATE").await;
        b.hear("CANDIDATE").await;
    }
    for speaker in [&mut a, &mut b] {
        speaker.client.raw(&common::frame(0x88, &1000_u16.to_be_bytes())).await;
        speaker.client.closed().await;
    }
}

/// PeerJS: pairs that say candidates to each other.
async fn relay(server: &Server) -> f64 {
    let pairs = join_all((0..PAIRS).map(|n| async move {
        let (name_a, name_b) = (format!("relay-{n}-a"), format!("relay-{n}-b"));
        let a = Dialect::PeerJs.enter(server.address, &name_a, "").await;
        let b = Dialect::PeerJs.enter(server.address, &name_b, "").await;
        (a, b, name_b)
    }))
    .await;
    let before = server.cpu();
    join_all(pairs.into_iter().map(|(mut a, mut b, name_b)| async move {
        for _ in 0..SAYINGS * 4 {
            a.say("CANDIDATE", &name_b, CANDIDATE_BYTES).await;
            b.hear("CANDIDATE").await;
        }
    }))
    .await;
    (server.cpu() - before) / (PAIRS * SAYINGS * 4) as f64
}

/// Socket.IO: one speaks to a room.
async fn fan_out(server: &Server) -> f64 {
    let room = join_all((0..MEMBERS).map(|_| Dialect::SocketIo.enter(server.address, "", "hall"))).await;
    let mut room = room.into_iter();
    let mut speaker = room.next().expect("a member");
    let mut others: Vec<_> = room.collect();
    let before = server.cpu();
    for _ in 0..SAYINGS {
        speaker.say("CANDIDATE", "", CANDIDATE_BYTES).await;
        join_all(others.iter_mut().map(|other| other.hear("CANDIDATE"))).await;
    }
    (server.cpu() - before) / (SAYINGS * (MEMBERS - 1)) as f64
}

/// What one connection that says nothing adds to the memory of a server that has seen some before.
async fn idle(kind: Kind, dialect: Dialect) -> f64 {
    let server = Server::start(kind);
    shake(&server, dialect, "warm up", PAIRS).await;
    let before = server.resident();
    let mut kept = Vec::new();
    for n in 0..IDLE {
        kept.push(dialect.enter(server.address, &format!("idle-{n}"), &format!("room-{n}")).await);
    }
    let each = (server.resident() - before) / IDLE as f64;
    drop(kept);
    each
}
