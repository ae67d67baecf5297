//! What more of everything costs, and how long a signal takes when there is room to breathe: questions with a goal.

use std::io;
use std::time::Duration;

use actix_web::rt::System;
use actix_web::rt::time::sleep;
use futures_util::future::try_join_all;
use tokio::task::yield_now;

use crate::client::Client;
use crate::dialect::{Dialect, Seat, now};
use crate::load::{Pairs, Target};
use crate::meter::Meter;
use crate::results::{Finding, thousands};
use crate::server::{Kind, Server};
use crate::work::{Figure, SETTLE, Work, watch};

/// Joined peers, few and many.
const FEW: usize = 100;
const MANY: usize = 15_000;
/// Signals on their way, however many peers there are.
const ON_THEIR_WAY: usize = 200;
/// Descriptors that a process needs for itself.
const SPARE: usize = 200;
/// Members that come and go, how often before it counts, since the allocator finds its size first, and how often then.
const COMERS: usize = 2_500;
const FIRST_WAVES: usize = 6;
const WAVES: usize = 12;

/// What one server, by one protocol, has to say to all of it.
pub struct Questions {
    pub time: Duration,
    /// How many descriptors a process may have.
    pub descriptors: usize,
}

/// What a signal costs: few are there; many are there, and few talk; many talk.
struct Signals {
    peers: usize,
    connections: usize,
    few: Figure,
    many: Figure,
    all_talk: Figure,
}

impl Questions {
    /// How a signal's cost grows with those who are there.
    pub fn peers(&self) -> io::Result<Vec<Finding>> {
        let (ours, limit) = (self.signals(Kind::Handclasp)?, self.signals(Kind::Limit)?);
        let there = match ours.connections {
            all if all == ours.peers => format!("{} joined peers", thousands(ours.peers)),
            some => format!("{} peers, on the {} connections that fit", thousands(ours.peers), thousands(some)),
        };
        let finding = |question: String, of: fn(&Signals) -> f64, goal| {
            let (few, more) = (ours.few.cost, of(&ours));
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
                format!("signal between 100 peers: with {there}, compared with those 100 alone"),
                |it| it.many.cost,
                Some(1.2),
            ),
            finding(format!("signal between all peers: {there}, compared with 100"), |it| it.all_talk.cost, None),
        ])
    }

    fn signals(&self, kind: Kind) -> io::Result<Signals> {
        System::new().block_on(async {
            let server = Server::start(kind, Dialect::Phoenix)?;
            let target = Target { server: server.address, dialect: Dialect::Phoenix };
            let meter = Meter::new();
            let pairs = Pairs::new(target.dialect, 0, u64::MAX);
            let own = server.descriptors()?;
            pairs.admit(target.crowd(0..FEW, Seat::Pair).await?, &meter);
            let each = (server.descriptors()? - own) as f64 / FEW as f64;
            let connections = MANY.min(((self.descriptors - SPARE) as f64 / each) as usize);
            pairs.begin(ON_THEIR_WAY).await?;
            let few = watch(&server, &meter, self.time).await?;

            let mut others = target.crowd(FEW..connections, Seat::Pair).await?;
            let further = further_seats(connections);
            try_join_all(others.iter_mut().zip(&further).map(|(client, seats)| take(target.dialect, client, seats)))
                .await?;
            let many = watch(&server, &meter, self.time).await?;

            pairs.admit(others, &meter);
            for seat in connections..MANY {
                pairs.seat(pairs.voice(FEW + (seat - connections) % (connections - FEW)));
            }
            let all_talk = watch(&server, &meter, self.time).await?;
            Ok(Signals { peers: MANY, connections, few, many, all_talk })
        })
    }

    /// How a delivery's cost grows with the room, where one message is on its way at a time, and where more are, which
    /// are written together.
    pub fn room(&self) -> io::Result<Vec<Finding>> {
        [1, 4].into_iter().map(|ahead| self.room_with(ahead)).collect()
    }

    fn room_with(&self, ahead: u64) -> io::Result<Finding> {
        let costs = |kind| {
            let small = Work::FanOut { members: 100, ahead }.measure(kind, Dialect::Phoenix, self.time)?;
            let large = Work::FanOut { members: 5_000, ahead }.measure(kind, Dialect::Phoenix, self.time)?;
            io::Result::Ok((small.cost, large.cost))
        };
        let (ours, limit) = (costs(Kind::Handclasp)?, costs(Kind::Limit)?);
        Ok(Finding {
            question: format!("delivery in a room of 5,000, compared with a room of 100: {ahead} in flight"),
            seen: format!("{:.1} → {:.1} µs of CPU", ours.0, ours.1),
            value: ours.1 / ours.0,
            limit: Some(limit.1 / limit.0),
            goal: Some(1.2),
            unit: "times".into(),
        })
    }

    /// How long a signal takes at half of what the server can do.
    pub fn half_load(&self) -> io::Result<Vec<Finding>> {
        System::new().block_on(async {
            let server = Server::start(Kind::Handclasp, Dialect::Phoenix)?;
            let target = Target { server: server.address, dialect: Dialect::Phoenix };
            let full = Meter::new();
            target.relay(FEW / 2, ON_THEIR_WAY, &full).await?;
            let saturated = watch(&server, &full, self.time).await?.per_second.expect("it was timed");
            drop(server);

            let server = Server::start(Kind::Handclasp, Dialect::Phoenix)?;
            let target = Target { server: server.address, dialect: Dialect::Phoenix };
            let (half, rate) = (Meter::new(), saturated / 2.0);
            let pairs = Pairs::new(target.dialect, 0, 0);
            pairs.admit(target.crowd(0..FEW, Seat::Pair).await?, &half);
            half.run(async move { evenly(&pairs, rate).await });
            let seen = watch(&server, &half, self.time).await?;
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

    /// What is left of members, and of their topics, when all have gone.
    pub fn left_behind(&self) -> io::Result<Vec<Finding>> {
        System::new().block_on(async {
            let server = Server::start(Kind::Handclasp, Dialect::Phoenix)?;
            let target = Target { server: server.address, dialect: Dialect::Phoenix };
            let mut resident = Vec::new();
            for wave in 0..WAVES {
                let clients = target.crowd(wave * COMERS..(wave + 1) * COMERS, Seat::Pair).await?;
                try_join_all(clients.into_iter().map(Client::leave)).await?;
                sleep(SETTLE).await;
                resident.push(server.resident()?);
            }
            let (before, after) = (resident[FIRST_WAVES - 1], resident[WAVES - 1]);
            let more = COMERS * (WAVES - FIRST_WAVES);
            let mib = |bytes: f64| bytes / (1024.0 * 1024.0);
            let (before_mib, after_mib) = (mib(before), mib(after));
            let (first, more_words) = (thousands(COMERS * FIRST_WAVES), thousands(more));
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

/// The seats for which there is no connection, by the connection after the first few that has them as well.
fn further_seats(connections: usize) -> Vec<Vec<usize>> {
    let mut seats = vec![Vec::new(); connections - FEW];
    for seat in connections..MANY {
        seats[(seat - connections) % (connections - FEW)].push(seat);
    }
    seats
}

async fn take(dialect: Dialect, client: &mut Client, seats: &[usize]) -> io::Result<()> {
    for seat in seats {
        dialect.join(client, Seat::Pair(*seat)).await?;
    }
    Ok(())
}

/// Sends so many signals a second, whether those before have arrived or not.
async fn evenly(pairs: &Pairs, rate: f64) -> io::Result<()> {
    let (begun, mut sent) = (now(), 0.0);
    loop {
        // it was due at its own time, and not when we came to it
        let due = begun + (sent / rate * 1e9) as u64;
        if due <= now() {
            pairs.signal(due).await?;
            sent += 1.0;
        } else {
            // a timer's milliseconds are too coarse
            yield_now().await;
        }
    }
}
