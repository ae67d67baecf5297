//! The rows of the table: a piece of work, measured with one server after the other.

use std::io;
use std::mem;
use std::ops::Range;
use std::time::Duration;

use actix_web::rt::System;
use actix_web::rt::time::sleep;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::dialect::{Dialect, Seat, now};
use crate::load::{Pairs, Target};
use crate::meter::Meter;
use crate::results::thousands;
use crate::server::{Kind, Server};

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Signals between so many pairs, so many on their way.
    Relay { pairs: usize, on_their_way: usize },
    /// Messages to a room of so many, of which so many are on their way.
    FanOut { members: usize, ahead: u64 },
    /// Whole handshakes, so many at a time.
    Handshake { at_once: usize },
    /// Connections that come and go, so many at a time.
    Churn { at_once: usize },
    /// Connections that sit there, after they have said something or not.
    Idle { count: usize, have_talked: bool },
}

/// What one server has shown.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// CPU time in microseconds, or bytes of memory, for each unit of work.
    pub cost: f64,
    /// Units of work a second; none where nothing was timed.
    pub per_second: Option<f64>,
    /// Delays in microseconds; none where nothing was timed.
    pub p50: Option<f64>,
    pub p99: Option<f64>,
}

impl Work {
    pub fn name(self) -> String {
        match self {
            Self::Relay { pairs, .. } => format!("relay, {} pairs", thousands(pairs)),
            Self::FanOut { members, .. } => format!("fan-out, room of {}", thousands(members)),
            Self::Handshake { .. } => "whole handshake".to_owned(),
            Self::Churn { .. } => "connect, join, close".to_owned(),
            Self::Idle { have_talked: false, .. } => "idle connection".to_owned(),
            Self::Idle { have_talked: true, .. } => "idle after traffic".to_owned(),
        }
    }

    pub fn unit(self) -> &'static str {
        match self {
            Self::Relay { .. } => "µs of CPU per signal",
            Self::FanOut { .. } => "µs of CPU per delivery",
            Self::Handshake { .. } => "µs of CPU per handshake",
            Self::Churn { .. } => "µs of CPU per connection",
            Self::Idle { .. } => "bytes resident",
        }
    }

    /// Has a fresh server do it for so long, so that no figure rests on what an earlier one has left behind.
    pub fn measure(self, kind: Kind, dialect: Dialect, time: Duration) -> io::Result<Figure> {
        System::new().block_on(async {
            let server = Server::start(kind, dialect)?;
            let target = Target { server: server.address, dialect };
            let meter = Meter::new();
            match self {
                Self::Relay { pairs, on_their_way } => target.relay(pairs, on_their_way, &meter).await?,
                Self::FanOut { members, ahead } => target.fan_out(members, ahead, &meter).await?,
                Self::Handshake { at_once } => target.handshakes(at_once, &meter),
                Self::Churn { at_once } => target.churn(at_once, &meter),
                Self::Idle { count, have_talked } => return idle(&server, target, count, have_talked).await,
            }
            watch(&server, &meter, time).await
        })
    }
}

/// What the server spends while the load runs, after a while in which it warms up.
pub async fn watch(server: &Server, meter: &Meter, time: Duration) -> io::Result<Figure> {
    sleep(time / 4).await;
    meter.reset();
    let (cpu, begun) = (server.cpu()?, now());
    sleep(time).await;
    let (cpu, passed, done) = (server.cpu()? - cpu, now() - begun, meter.done());
    meter.check()?;
    if done == 0 {
        return Err(io::Error::other("nothing was done"));
    }
    Ok(Figure {
        cost: cpu / done as f64,
        per_second: Some(done as f64 * 1e9 / passed as f64),
        p50: Some(meter.delay(0.5)),
        p99: Some(meter.delay(0.99)),
    })
}

/// How long memory is given to settle.
pub const SETTLE: Duration = Duration::from_millis(500);
/// Who comes before it is measured what one more takes.
const FIRST: usize = 100;
/// How many signals each says before it sits still.
const TALK: usize = 20;

async fn idle(server: &Server, target: Target, count: usize, have_talked: bool) -> io::Result<Figure> {
    let _first = come(target, 0..FIRST, have_talked).await?;
    let before = server.resident()?;
    let _more = come(target, FIRST..FIRST + count, have_talked).await?;
    let cost = (server.resident()? - before) / count as f64;
    Ok(Figure { cost, per_second: None, p50: None, p99: None })
}

/// Lets members in, who talk or not, and then sit still for as long as what is returned is kept.
async fn come(target: Target, seats: Range<usize>, talk: bool) -> io::Result<Vec<Client>> {
    let mut clients = target.crowd(seats.clone(), Seat::Pair).await?;
    if talk {
        let (meter, all) = (Meter::new(), seats.len() * TALK);
        let pairs = Pairs::new(target.dialect, seats.start, (all - FIRST) as u64);
        pairs.admit(mem::take(&mut clients), &meter);
        pairs.begin(FIRST).await?;
        while meter.all() < all as u64 {
            meter.check()?;
            meter.change().await;
        }
    }
    sleep(SETTLE).await;
    Ok(clients)
}
