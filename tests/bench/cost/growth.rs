//! How costs grow with the number of peers and members, and the latency when the server is not saturated: questions
//! with a goal.

use std::io;
use std::time::Duration;

use actix_web::rt::System;
use actix_web::rt::time::sleep;
use futures_util::future::try_join_all;
use tokio::task::yield_now;

use crate::client::Client;
use crate::dialect::{Dialect, Position, now};
use crate::load::{Pairs, Target};
use crate::meter::Meter;
use crate::results::{Finding, thousands};
use crate::server::{Kind, Server};
use crate::work::{Figure, SETTLE, Work, measure};

/// Small and large numbers of joined peers.
const FEW: usize = 100;
const MANY: usize = 15_000;
/// Signals in flight, whatever the number of peers.
const IN_FLIGHT: usize = 200;
/// Descriptors that a process needs besides its connections.
const OTHER_DESCRIPTORS: usize = 200;
/// Clients in each wave, the number of waves before the measurement, while the allocator finds its size, and of all
/// waves.
const WAVE_CLIENTS: usize = 2_500;
const WARM_UP_WAVES: usize = 6;
const WAVES: usize = 12;

/// The questions, for one server with one protocol.
pub struct Questions {
    pub time: Duration,
    /// The descriptor limit of a process.
    pub descriptors: usize,
}

/// The cost of a signal with few peers, with many peers of which few send, and with many that send.
struct Signals {
    peers: usize,
    connections: usize,
    few: Figure,
    many: Figure,
    all_send: Figure,
}

impl Questions {
    /// How the cost of a signal grows with the number of peers.
    pub fn peers(&self) -> io::Result<Vec<Finding>> {
        let (handclasp, limit) = (self.signals(Kind::Handclasp)?, self.signals(Kind::Limit)?);
        let peers_text = match handclasp.connections {
            all if all == handclasp.peers => format!("{} joined peers", thousands(handclasp.peers)),
            some => format!("{} peers, on the {} connections that fit", thousands(handclasp.peers), thousands(some)),
        };
        let finding = |question: String, of: fn(&Signals) -> f64, goal| {
            let (few, more) = (handclasp.few.cost, of(&handclasp));
            let seen = format!("{few:.1} → {more:.1} µs of CPU");
            Finding {
                question,
                seen,
                value: more / few,
                limit: Some(of(&limit) / limit.few.cost),
                goal,
                unit: "times".into(),
            }
        };
        Ok(vec![
            finding(
                format!("signal between 100 peers: with {peers_text}, compared with those 100 alone"),
                |it| it.many.cost,
                Some(1.2),
            ),
            finding(format!("signal between all peers: {peers_text}, compared with 100"), |it| it.all_send.cost, None),
        ])
    }

    fn signals(&self, kind: Kind) -> io::Result<Signals> {
        System::new().block_on(async {
            let server = Server::start(kind, Dialect::Phoenix)?;
            let target = Target::new(server.address, Dialect::Phoenix);
            let meter = Meter::new();
            let pairs = Pairs::new(target.dialect, 0, u64::MAX);
            let own = server.descriptors()?;
            pairs.add_clients(target.connect_all(0..FEW, Position::Pair).await?, &meter);
            let each = (server.descriptors()? - own) as f64 / FEW as f64;
            let connections = MANY.min(((self.descriptors - OTHER_DESCRIPTORS) as f64 / each) as usize);
            pairs.begin(IN_FLIGHT).await?;
            let few = measure(&server, &meter, self.time).await?;

            let mut others = target.connect_all(FEW..connections, Position::Pair).await?;
            let extra = extra_members(connections);
            try_join_all(
                others.iter_mut().zip(&extra).map(|(client, members)| join_all(target.dialect, client, members)),
            )
            .await?;
            let many = measure(&server, &meter, self.time).await?;

            pairs.add_clients(others, &meter);
            for member in connections..MANY {
                pairs.add_member(pairs.sender(FEW + (member - connections) % (connections - FEW)));
            }
            let all_send = measure(&server, &meter, self.time).await?;
            Ok(Signals { peers: MANY, connections, few, many, all_send })
        })
    }

    /// How the cost of a delivery grows with the size of the room, with one message in flight, and with several, which
    /// the server can write together.
    pub fn room(&self) -> io::Result<Vec<Finding>> {
        [1, 4].into_iter().map(|ahead| self.room_with(ahead)).collect()
    }

    fn room_with(&self, ahead: u64) -> io::Result<Finding> {
        let costs = |kind| {
            let small = Work::FanOut { members: 100, ahead }.measure(kind, Dialect::Phoenix, self.time)?;
            let large = Work::FanOut { members: 5_000, ahead }.measure(kind, Dialect::Phoenix, self.time)?;
            io::Result::Ok((small.cost, large.cost))
        };
        let (handclasp, limit) = (costs(Kind::Handclasp)?, costs(Kind::Limit)?);
        Ok(Finding {
            question: format!("delivery in a room of 5,000, compared with a room of 100: {ahead} in flight"),
            seen: format!("{:.1} → {:.1} µs of CPU", handclasp.0, handclasp.1),
            value: handclasp.1 / handclasp.0,
            limit: Some(limit.1 / limit.0),
            goal: Some(1.2),
            unit: "times".into(),
        })
    }

    /// The latency of a signal at half of the saturating load.
    pub fn half_load(&self) -> io::Result<Vec<Finding>> {
        System::new().block_on(async {
            let server = Server::start(Kind::Handclasp, Dialect::Phoenix)?;
            let target = Target::new(server.address, Dialect::Phoenix);
            let full = Meter::new();
            target.relay(FEW / 2, IN_FLIGHT, &full).await?;
            let saturated = measure(&server, &full, self.time).await?.per_second.expect("it was timed");
            drop(server);

            let server = Server::start(Kind::Handclasp, Dialect::Phoenix)?;
            let target = Target::new(server.address, Dialect::Phoenix);
            let (half, rate) = (Meter::new(), saturated / 2.0);
            let pairs = Pairs::new(target.dialect, 0, 0);
            pairs.add_clients(target.connect_all(0..FEW, Position::Pair).await?, &half);
            half.run(async move { send_evenly(&pairs, rate).await });
            let seen = measure(&server, &half, self.time).await?;
            let (p50, p99) = (seen.p50.expect("it was timed"), seen.p99.expect("it was timed"));
            let arrived = thousands(seen.per_second.expect("it was timed") as usize);
            Ok(vec![Finding {
                question: "p99 latency of a signal at half of the saturating load".into(),
                seen: format!("{arrived} of {} signals per second, p50 {:.2} ms", thousands(rate as usize), p50 / 1e3),
                value: p99 / 1e3,
                limit: None,
                goal: Some(5.0),
                unit: "ms".into(),
            }])
        })
    }

    /// The memory that remains once members and their topics are gone.
    pub fn left_behind(&self) -> io::Result<Vec<Finding>> {
        System::new().block_on(async {
            let server = Server::start(Kind::Handclasp, Dialect::Phoenix)?;
            let target = Target::new(server.address, Dialect::Phoenix);
            let mut resident = Vec::new();
            for wave in 0..WAVES {
                let clients =
                    target.connect_all(wave * WAVE_CLIENTS..(wave + 1) * WAVE_CLIENTS, Position::Pair).await?;
                try_join_all(clients.into_iter().map(Client::close)).await?;
                sleep(SETTLE).await;
                resident.push(server.resident()?);
            }
            let (before, after) = (resident[WARM_UP_WAVES - 1], resident[WAVES - 1]);
            let more = WAVE_CLIENTS * (WAVES - WARM_UP_WAVES);
            let mib = |bytes: f64| bytes / (1024.0 * 1024.0);
            let (before_mib, after_mib) = (mib(before), mib(after));
            let (first, more_words) = (thousands(WAVE_CLIENTS * WARM_UP_WAVES), thousands(more));
            Ok(vec![Finding {
                question: "memory left behind by a disconnected peer".into(),
                seen: format!(
                    "{before_mib:.1} MiB resident after {first} peers, {after_mib:.1} MiB after {more_words} more"
                ),
                value: ((after - before) / more as f64).max(0.0),
                limit: None,
                goal: Some(128.0),
                unit: "bytes".into(),
            }])
        })
    }
}

/// The members without a connection of their own, by the connection that joins for them as well.
fn extra_members(connections: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); connections - FEW];
    for member in connections..MANY {
        members[(member - connections) % (connections - FEW)].push(member);
    }
    members
}

async fn join_all(dialect: Dialect, client: &mut Client, members: &[usize]) -> io::Result<()> {
    for member in members {
        dialect.join(client, Position::Pair(*member)).await?;
    }
    Ok(())
}

/// Sends this many signals per second, whether earlier ones have arrived or not.
async fn send_evenly(pairs: &Pairs, rate: f64) -> io::Result<()> {
    let (started, mut sent) = (now(), 0.0);
    loop {
        // the latency counts from when the signal was due, not from when it was sent
        let due = started + (sent / rate * 1e9) as u64;
        if due <= now() {
            pairs.signal(due).await?;
            sent += 1.0;
        } else {
            // timers are only accurate to a millisecond
            yield_now().await;
        }
    }
}
