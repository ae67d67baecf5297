//! Two nodes over an engine: how long a verdict takes, what a room costs, and how many clients join in a second. Each is
//! compared with one node alone, which the column `limit` shows.
//!
//! The nodes share core 0 with each other. The engine runs where the kernel puts it.

use std::io;
use std::time::Duration;

use actix_web::rt::System;
use tokio::time::{sleep, timeout};

use crate::dialect::{Dialect, Position};
use crate::engines::nats::NatsServer;
use crate::engines::redis::RedisServer;
use crate::growth::Questions;
use crate::load::Target;
use crate::meter::Meter;
use crate::results::{Finding, thousands};
use crate::server::{Kind, Server};
use crate::work::{Figure, measure_all};

/// Clients that wait for a verdict at the same time: the nodes are not saturated.
const SENDERS: usize = 8;
/// Members of the room on each node.
const MEMBERS: usize = 500;
/// Messages in flight in the room.
const AHEAD: u64 = 2;
/// Clients that join at the same time on each node.
const JOINS_AT_ONCE: usize = 16;
/// More clients than join at one node during a measurement.
const NUMBERS_OF_A_NODE: usize = 100_000_000;
/// How long the nodes may take to know each other.
const LINK_TIMEOUT: Duration = Duration::from_secs(20);

impl Questions {
    pub fn cluster_on_redis(&self) -> io::Result<Vec<Finding>> {
        let engine = RedisServer::start(&[]);
        self.cluster("Redis", &settings("redis", &engine.url()))
    }

    pub fn cluster_on_nats(&self) -> io::Result<Vec<Finding>> {
        let engine = NatsServer::start();
        self.cluster("NATS", &settings("nats", &engine.url()))
    }

    fn cluster(&self, engine: &str, settings: &[String]) -> io::Result<Vec<Finding>> {
        let two = |load: Load| load.measure(2, settings, self.time);
        let one = |load: Load| load.measure(1, &[], self.time);
        let (verdict, alone) = (two(Load::Verdicts)?, one(Load::Verdicts)?);
        let milliseconds = |time: Option<f64>| time.unwrap_or_default() / 1e3;
        let rate = |figure: &Figure| thousands(figure.per_second.unwrap_or_default() as usize);
        let verdicts = Finding {
            question: format!("p99 of the verdict on a signal across two nodes, {engine}"),
            seen: format!(
                "p50 {:.2} ms, alone {:.2} ms; {} in a second, {:.0} µs of CPU each",
                milliseconds(verdict.p50),
                milliseconds(alone.p50),
                rate(&verdict),
                verdict.cost
            ),
            value: milliseconds(verdict.p99),
            limit: Some(milliseconds(alone.p99)),
            goal: Some(5.0),
            unit: "ms".into(),
        };
        let (room, alone) = (two(Load::Room)?, one(Load::Room)?);
        let rooms = Finding {
            question: format!("delivery in a room of 2 × {MEMBERS}, {engine}"),
            seen: format!(
                "p50 {:.1} ms, p99 {:.1} ms; alone {:.1} ms and {:.1} ms",
                milliseconds(room.p50),
                milliseconds(room.p99),
                milliseconds(alone.p50),
                milliseconds(alone.p99)
            ),
            value: room.cost,
            limit: Some(alone.cost),
            goal: None,
            unit: "µs of CPU".into(),
        };
        let (joins, alone) = (two(Load::Joins)?, one(Load::Joins)?);
        let joins = Finding {
            question: format!("clients that connect, join and close in a second, two nodes, {engine}"),
            seen: format!("{:.0} µs of CPU each, alone {:.0}", joins.cost, alone.cost),
            value: joins.per_second.unwrap_or_default(),
            limit: alone.per_second,
            goal: None,
            unit: "a second".into(),
        };
        Ok(vec![verdicts, rooms, joins])
    }
}

/// A load on one node or two.
#[derive(Clone, Copy)]
enum Load {
    Verdicts,
    Room,
    Joins,
}

impl Load {
    fn measure(self, nodes: usize, settings: &[String], time: Duration) -> io::Result<Figure> {
        System::new().block_on(async {
            let start = |_| Server::start_with(Kind::Handclasp, Dialect::Phoenix, settings);
            let nodes = (0..nodes).map(start).collect::<io::Result<Vec<_>>>()?;
            let targets: Vec<_> = nodes.iter().map(|node| Target::new(node.address, Dialect::Phoenix)).collect();
            let (first, last) = (targets[0], targets[targets.len() - 1]);
            timeout(LINK_TIMEOUT, meet(first, last)).await.map_err(|_| io::Error::other("the nodes do not meet"))??;
            let meter = Meter::new();
            match self {
                Self::Verdicts => verdicts(first, last, &meter).await?,
                Self::Room => {
                    let mut members = first.connect_all(0..MEMBERS, |_| Position::Room(0)).await?;
                    members.extend(last.connect_all(0..MEMBERS + 1, |_| Position::Room(0)).await?);
                    first.talk(members, AHEAD, &meter);
                }
                Self::Joins => {
                    for (number, target) in targets.iter().enumerate() {
                        let at_once = JOINS_AT_ONCE * 2 / targets.len();
                        target.churn_from((number + 1) * NUMBERS_OF_A_NODE, at_once, &meter);
                    }
                }
            }
            measure_all(&nodes, &meter, time).await
        })
    }
}

/// Senders on the first node signal receivers on the last.
async fn verdicts(first: Target, last: Target, meter: &Meter) -> io::Result<()> {
    let senders = first.connect_all(0..SENDERS, |number| Position::Pair(number * 2)).await?;
    let receivers = last.connect_all(0..SENDERS, |number| Position::Pair(number * 2 + 1)).await?;
    first.ask(senders.into_iter().enumerate().map(|(number, client)| (number * 2, client)).collect(), meter);
    for mut receiver in receivers {
        meter.run(async move {
            loop {
                receiver.receive().await?;
            }
        });
    }
    Ok(())
}

/// Waits until a signal from one node reaches the other.
async fn meet(first: Target, last: Target) -> io::Result<()> {
    let pair = NUMBERS_OF_A_NODE * 10;
    loop {
        if let Ok(mut sender) = first.connect(Position::Pair(pair)).await
            && let Ok(_receiver) = last.connect(Position::Pair(pair + 1)).await
            && sender.send(&first.dialect.message(Position::Pair(pair), 1, 0)).await.is_ok()
            && first.dialect.verdict(&mut sender).await.is_ok()
        {
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// The settings of a node.
fn settings(engine: &str, url: &str) -> Vec<String> {
    [
        format!("cluster.engine={engine}"),
        format!("cluster.urls={url}"),
        "cluster.secret=a-secret-that-only-the-bench-uses".to_owned(),
    ]
    .into()
}
