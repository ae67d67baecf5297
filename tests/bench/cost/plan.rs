//! What is measured, with which servers and in which order. Also prints the progress.

use std::collections::BTreeMap;
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::dialect::Dialect;
use crate::files;
use crate::growth::Questions;
use crate::machine::{CpuTime, Machine};
use crate::results::{Finding, Goal, Results, Row};
use crate::server::Kind;
use crate::work::{Figure, Work};

/// The descriptor limit of the clients and of the server: more than any question needs.
const DESCRIPTORS: u64 = 100_000;

/// A run of all rows and questions.
pub struct Plan {
    quick: bool,
    rounds: usize,
    time: Duration,
}

/// A name, the function that measures it, and whether one round is enough: such a question takes long, and compares the
/// server with itself.
type Question = (&'static str, fn(&Questions) -> io::Result<Vec<Finding>>, bool);

const QUESTIONS: [Question; 8] = [
    ("growth: a signal among many peers", Questions::peers, true),
    ("growth: a delivery in a large room", Questions::room, false),
    ("latency: a signal at half load", Questions::half_load, false),
    ("left behind: memory", Questions::left_behind, true),
    ("tokens", Questions::tokens, false),
    ("server API", Questions::api, false),
    ("cluster: Redis", Questions::cluster_on_redis, false),
    ("cluster: NATS", Questions::cluster_on_nats, false),
];

impl Plan {
    pub fn new(quick: bool) -> Self {
        let (rounds, time) = if quick { (1, Duration::from_millis(400)) } else { (3, Duration::from_secs(1)) };
        Self { quick, rounds, time }
    }

    /// The names that `--only` selects from.
    pub fn names(&self) -> Vec<String> {
        let rows = rows().into_iter().map(|(dialect, work, _)| name(dialect, work));
        rows.chain(QUESTIONS.iter().map(|(name, ..)| (*name).to_owned())).collect()
    }

    /// Measures the rows and questions whose names contain one of these words, or all of them.
    pub fn run(&self, only: &[String]) -> io::Result<Results> {
        let is_selected = |name: &str| only.is_empty() || only.iter().any(|word| name.to_lowercase().contains(word));
        let descriptors = rlimit::increase_nofile_limit(DESCRIPTORS)? as usize;
        let started = CpuTime::now()?;
        let (npm, mut left_out) = (npm_available(), Vec::new());
        if let Err(why) = &npm {
            left_out.push(format!("npm’s peer and socket.io, because {why}"));
        }
        let mut results = Results {
            machine: Machine::this(&started)?,
            quick: self.quick,
            rounds: self.rounds,
            seconds: self.time.as_secs_f64(),
            rows: Vec::new(),
            findings: Vec::new(),
            micro: if only.is_empty() { files::steps() } else { Vec::new() },
            left_out,
            faults: Vec::new(),
        };
        for (dialect, work, goal) in rows().into_iter().filter(|(dialect, work, _)| is_selected(&name(*dialect, *work)))
        {
            match self.row(dialect, work, npm.is_ok()) {
                Ok(figures) => {
                    results.rows.push(Row { dialect, work: work.name(), unit: work.unit().to_owned(), figures, goal });
                }
                Err(error) => results.fault(&name(dialect, work), &error),
            }
        }
        let questions = Questions { time: self.time, descriptors };
        for (name, measure, once) in QUESTIONS.into_iter().filter(|(name, ..)| is_selected(name)) {
            let rounds = if once { 1 } else { self.rounds };
            let answers = (1..=rounds).map(|round| {
                eprintln!("{name}, round {round} of {rounds}");
                measure(&questions)
            });
            match answers.collect::<io::Result<Vec<_>>>() {
                Ok(answers) => results.findings.extend(median_findings(answers)),
                Err(error) => results.fault(name, &error),
            }
        }
        results.machine = Machine::this(&started)?;
        Ok(results)
    }

    /// Measures one server after the other in each round, so that a disturbance affects all of them.
    fn row(&self, dialect: Dialect, work: Work, npm: bool) -> io::Result<BTreeMap<Kind, Figure>> {
        let mut measured: BTreeMap<Kind, Vec<Figure>> = BTreeMap::new();
        for round in 1..=self.rounds {
            for kind in [Kind::Handclasp, Kind::Limit, Kind::Npm] {
                if kind == Kind::Npm && (dialect == Dialect::Phoenix || !npm) {
                    continue;
                }
                let figure = work.measure(kind, dialect, self.time)?;
                let (name, unit) = (name(dialect, work), work.unit());
                eprintln!("{name}, {kind:?}, round {round} of {}: {:.1} {unit}", self.rounds, figure.cost);
                measured.entry(kind).or_default().push(figure);
            }
        }
        Ok(measured.into_iter().map(|(kind, figures)| (kind, median(figures))).collect())
    }
}

/// Every row, with its goal.
fn rows() -> Vec<(Dialect, Work, Option<Goal>)> {
    let relay = |pairs: usize| Work::Relay { pairs, in_flight: pairs.clamp(200, 1_000) };
    let fan_out = |members, ahead| Work::FanOut { members, ahead };
    let (handshake, churn) = (Work::Handshake { at_once: 32 }, Work::Churn { at_once: 32 });
    let idle = |after_traffic| Work::Idle { count: 2_000, after_traffic };
    let phoenix = [
        (relay(50), Goal::TimesLimit(1.3)),
        (relay(1_000), Goal::TimesLimit(1.3)),
        (fan_out(100, 4), Goal::TimesLimit(1.3)),
        (fan_out(1_000, 2), Goal::TimesLimit(1.3)),
        (handshake, Goal::TimesLimit(1.3)),
        (churn, Goal::TimesLimit(1.5)),
        (idle(false), Goal::Bytes(8_192.0)),
        (idle(true), Goal::Bytes(8_192.0)),
    ];
    let (cpu, memory) = (Goal::TimesNpm(0.25), Goal::TimesNpm(0.5));
    let peerjs = [(relay(50), cpu), (handshake, cpu), (churn, cpu), (idle(false), memory), (idle(true), memory)];
    let socketio = [
        (relay(50), cpu),
        (fan_out(100, 4), cpu),
        (handshake, cpu),
        (churn, cpu),
        (idle(false), memory),
        (idle(true), memory),
    ];
    let all = [(Dialect::Phoenix, &phoenix[..]), (Dialect::PeerJs, &peerjs), (Dialect::SocketIo, &socketio)];
    all.iter().flat_map(|(dialect, rows)| rows.iter().map(|(work, goal)| (*dialect, *work, Some(*goal)))).collect()
}

fn name(dialect: Dialect, work: Work) -> String {
    format!("{}: {}", dialect.name(), work.name())
}

/// The median, by cost.
fn median(mut figures: Vec<Figure>) -> Figure {
    figures.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    figures[figures.len() / 2]
}

/// The median of each finding.
fn median_findings(rounds: Vec<Vec<Finding>>) -> Vec<Finding> {
    let mut rounds: Vec<_> = rounds.into_iter().map(Vec::into_iter).collect();
    let mut findings = Vec::new();
    loop {
        let mut rounds_of_one: Vec<Finding> = rounds.iter_mut().filter_map(Iterator::next).collect();
        if rounds_of_one.is_empty() {
            return findings;
        }
        rounds_of_one.sort_by(|a, b| a.value.total_cmp(&b.value));
        findings.push(rounds_of_one.swap_remove(rounds_of_one.len() / 2));
    }
}

/// Whether npm's servers can be measured, or the reason why not.
fn npm_available() -> Result<(), &'static str> {
    let node = Command::new("node").arg("--version").stdout(Stdio::null()).status();
    if !node.is_ok_and(|status| status.success()) {
        return Err("Node.js is missing");
    }
    let packages = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/node_modules/socket.io");
    if !std::path::Path::new(packages).is_dir() {
        return Err("their packages are missing: run npm --prefix tests/bench ci");
    }
    Ok(())
}
