//! The results of a run, as JSON and as Markdown tables. `chart` draws the chart.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::dialect::Dialect;
use crate::machine::Machine;
use crate::server::Kind;
use crate::work::Figure;

/// The share of other processes' CPU time above which the numbers are unreliable.
const BUSY: f64 = 0.1;

/// The results of a run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Results {
    pub machine: Machine,
    /// Whether this was a short run, with rough numbers.
    pub quick: bool,
    pub rounds: usize,
    /// The duration of each measurement, in seconds.
    pub seconds: f64,
    pub rows: Vec<Row>,
    pub findings: Vec<Finding>,
    /// The results of the micro benches, if they ran before.
    pub micro: Vec<Step>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
    /// What could not be measured, and why.
    pub faults: Vec<String>,
}

/// One piece of work, by each server that does it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub dialect: Dialect,
    pub work: String,
    pub unit: String,
    pub figures: BTreeMap<Kind, Figure>,
    pub goal: Option<Goal>,
}

/// The most that Handclasp should need.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    TimesLimit(f64),
    TimesNpm(f64),
    Bytes(f64),
}

/// The answer to one question.
#[derive(Debug, Serialize, Deserialize)]
pub struct Finding {
    pub question: String,
    pub seen: String,
    pub value: f64,
    /// The same for the bare loop, where that is useful.
    pub limit: Option<f64>,
    pub goal: Option<f64>,
    pub unit: String,
}

/// One step inside the broker.
#[derive(Debug, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    /// Nanoseconds, the median.
    pub nanos: f64,
}

impl Row {
    /// The cost of Handclasp, divided by that of another server.
    pub fn ratio(&self, other: Kind) -> Option<f64> {
        Some(self.figures.get(&Kind::Handclasp)?.cost / self.figures.get(&other)?.cost)
    }

    fn line(&self) -> String {
        let cost = |kind| self.figures.get(&kind).map_or("–".to_owned(), |figure| amount(figure.cost));
        let ratio = |kind| self.ratio(kind).map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
        let latencies = self.figures.get(&Kind::Handclasp).and_then(|it| Some((it.p50?, it.p99?)));
        let latencies =
            latencies.map_or("–".to_owned(), |(p50, p99)| format!("{:.1}, {:.1} ms", p50 / 1e3, p99 / 1e3));
        let [handclasp, limit, npm] = [Kind::Handclasp, Kind::Limit, Kind::Npm].map(cost);
        let (to_limit, to_npm) = match self.unit.as_str() {
            // the bare loop keeps almost no state per connection, so a ratio would be meaningless
            "bytes resident" => ("–".to_owned(), ratio(Kind::Npm)),
            _ => (ratio(Kind::Limit), ratio(Kind::Npm)),
        };
        let goal = self.goal.map_or("–".to_owned(), Goal::words);
        let (name, work, unit) = (self.dialect.name(), &self.work, &self.unit);
        format!(
            "| {name}: {work} | {handclasp} | {limit} | {npm} | {to_limit} | {to_npm} | {goal} | {latencies} | {unit} |\n"
        )
    }
}

impl Goal {
    fn words(self) -> String {
        match self {
            Self::TimesLimit(times) => format!("{times} × limit"),
            Self::TimesNpm(times) => format!("{times} × npm"),
            Self::Bytes(bytes) => amount(bytes),
        }
    }
}

impl Results {
    /// Records a failed measurement. The others continue.
    pub fn fault(&mut self, name: &str, error: &io::Error) {
        eprintln!("{name}: {error}");
        self.faults.push(format!("{name}: {error}"));
    }

    /// The table, in Markdown.
    pub fn table(&self) -> String {
        let mut text = format!("{}\n", self.caption());
        if !self.rows.is_empty() {
            text += "\n| work | Handclasp | limit | npm | ÷ limit | ÷ npm | goal | p50, p99 | unit |\n|---|--:|--:|--:|--:|--:|--:|--:|---|\n";
            text.extend(self.rows.iter().map(Row::line));
        }
        if !self.findings.is_empty() {
            text += "\n| question | Handclasp | limit | goal | measured |\n|---|--:|--:|--:|---|\n";
            text.extend(self.findings.iter().map(Finding::line));
        }
        if !self.micro.is_empty() {
            text += "\n| step inside the broker | ns |\n|---|--:|\n";
            text.extend(self.micro.iter().map(|step| format!("| {} | {} |\n", step.name, amount(step.nanos))));
        }
        text.extend(self.left_out.iter().map(|what| format!("\nLeft out: {what}.\n")));
        text.extend(self.faults.iter().map(|what| format!("\nNot measured: {what}.\n")));
        text
    }

    /// The machine, the date, and how it was measured.
    pub fn caption(&self) -> String {
        let Machine { cores, cpu, memory, others, date } = &self.machine;
        let (rounds, seconds) = (self.rounds, self.seconds);
        let short = if self.quick { "A quick run: the figures are rough. " } else { "" };
        let busy = if *others > BUSY { " (too much: the figures are higher than on an idle machine)" } else { "" };
        format!(
            "{short}{date}, {cores} cores of {cpu}, {memory:.0} GiB. Other processes used {:.0} % of the CPU time{busy}. \
             Each server ran on one core, the clients on another. Medians of {rounds} runs of {seconds} s.",
            others * 100.0
        )
    }
}

impl Finding {
    fn line(&self) -> String {
        let Self { question, seen, value, unit, .. } = self;
        let limit = self.limit.map_or("–".to_owned(), |limit| format!("{limit:.2}"));
        let goal = self.goal.map_or("–".to_owned(), |goal| goal.to_string());
        format!("| {question} | {value:.2} {unit} | {limit} | {goal} | {seen} |\n")
    }
}

/// A number with a useful number of digits.
pub fn amount(number: f64) -> String {
    match number {
        small if small < 100.0 => format!("{small:.1}"),
        large => thousands(large.round() as usize),
    }
}

/// A whole number with commas.
pub fn thousands(number: usize) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", thousands(number / 1_000), number % 1_000) }
}
