//! The rows of the table: each is a piece of work, measured with one server after the other.

use std::io;
use std::mem;
use std::ops::Range;
use std::time::Duration;

use actix_web::rt::System;
use actix_web::rt::time::sleep;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::dialect::{Dialect, Position, now};
use crate::load::{Pairs, Target};
use crate::meter::Meter;
use crate::results::thousands;
use crate::server::{Kind, Server};

/// A piece of work.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Signals between pairs, with this many in flight.
    Relay { pairs: usize, in_flight: usize },
    /// Messages to a room, with this many in flight.
    FanOut { members: usize, ahead: u64 },
    /// Whole handshakes, this many at a time.
    Handshake { at_once: usize },
    /// Connections that open and close, this many at a time.
    Churn { at_once: usize },
    /// Idle connections, with or without earlier traffic.
    Idle { count: usize, after_traffic: bool },
}

/// The result of one server.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// CPU time in microseconds, or memory in bytes, per unit of work.
    pub cost: f64,
    /// Units of work per second, if they were timed.
    pub per_second: Option<f64>,
    /// Latencies in microseconds, if they were measured.
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
            Self::Idle { after_traffic: false, .. } => "idle connection".to_owned(),
            Self::Idle { after_traffic: true, .. } => "idle after traffic".to_owned(),
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

    /// Measures the work with a fresh server, so that an earlier measurement has no influence.
    pub fn measure(self, kind: Kind, dialect: Dialect, time: Duration) -> io::Result<Figure> {
        System::new().block_on(async {
            let server = Server::start(kind, dialect)?;
            let target = Target::new(server.address, dialect);
            let meter = Meter::new();
            match self {
                Self::Relay { pairs, in_flight } => target.relay(pairs, in_flight, &meter).await?,
                Self::FanOut { members, ahead } => target.fan_out(members, ahead, &meter).await?,
                Self::Handshake { at_once } => target.handshakes(at_once, &meter),
                Self::Churn { at_once } => target.churn(at_once, &meter),
                Self::Idle { count, after_traffic } => return idle(&server, target, count, after_traffic).await,
            }
            measure(&server, &meter, time).await
        })
    }
}

/// Measures the server while the load runs, after a warm-up.
pub async fn measure(server: &Server, meter: &Meter, time: Duration) -> io::Result<Figure> {
    measure_all(std::slice::from_ref(server), meter, time).await
}

/// Measures several servers, which share the load.
pub async fn measure_all(servers: &[Server], meter: &Meter, time: Duration) -> io::Result<Figure> {
    let used = || servers.iter().map(Server::cpu).sum::<io::Result<f64>>();
    sleep(time / 4).await;
    meter.reset();
    let (cpu, started) = (used()?, now());
    sleep(time).await;
    let (cpu, elapsed, done) = (used()? - cpu, now() - started, meter.done());
    meter.check()?;
    if done == 0 {
        return Err(io::Error::other("nothing was done"));
    }
    Ok(Figure {
        cost: cpu / done as f64,
        per_second: Some(done as f64 * 1e9 / elapsed as f64),
        p50: Some(meter.latency(0.5)),
        p99: Some(meter.latency(0.99)),
    })
}

/// How long memory may settle before it is measured.
pub const SETTLE: Duration = Duration::from_millis(500);
/// The number of clients that connect before the measurement.
const FIRST: usize = 100;
/// How many signals each client sends before it is idle.
const SIGNALS: usize = 20;

async fn idle(server: &Server, target: Target, count: usize, after_traffic: bool) -> io::Result<Figure> {
    let _first = connect_idle(target, 0..FIRST, after_traffic).await?;
    let before = server.resident()?;
    let _more = connect_idle(target, FIRST..FIRST + count, after_traffic).await?;
    let cost = (server.resident()? - before) / count as f64;
    Ok(Figure { cost, per_second: None, p50: None, p99: None })
}

/// Connects clients, which exchange signals if `traffic` is set, and are idle for as long as the returned clients are
/// kept.
async fn connect_idle(target: Target, numbers: Range<usize>, traffic: bool) -> io::Result<Vec<Client>> {
    let mut clients = target.connect_all(numbers.clone(), Position::Pair).await?;
    if traffic {
        let (meter, all) = (Meter::new(), numbers.len() * SIGNALS);
        let pairs = Pairs::new(target.dialect, numbers.start, (all - FIRST) as u64);
        pairs.add_clients(mem::take(&mut clients), &meter);
        pairs.begin(FIRST).await?;
        while meter.all() < all as u64 {
            meter.check()?;
            meter.change().await;
        }
    }
    sleep(SETTLE).await;
    Ok(clients)
}
