//! What was measured on, and when: enough to compare, and nobody's name.

use std::fs;
use std::io;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// A machine, and what else it had to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Machine {
    pub cores: usize,
    pub cpu: String,
    /// Memory in GiB.
    pub memory: f64,
    /// The part of its time that went to processes which had nothing to do with it, from 0 to 1.
    pub others: f64,
    /// The day, in UTC.
    pub date: String,
}

impl Machine {
    /// This one, which has been watched since.
    pub fn this(since: &Spent) -> io::Result<Self> {
        let (cpu, memory) = (read("cpuinfo")?, read("meminfo")?);
        let kib: f64 =
            after(&memory, "MemTotal").and_then(|it| it.strip_suffix(" kB")?.parse().ok()).unwrap_or_default();
        Ok(Self {
            cores: cpu.lines().filter(|line| line.starts_with("processor")).count(),
            cpu: after(&cpu, "model name").unwrap_or("unknown CPU").to_owned(),
            memory: kib / 1024.0 / 1024.0,
            others: Spent::now()?.by_others(since),
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string()[..10].to_owned(),
        })
    }
}

/// What the machine has spent so far, in ticks of the kernel's clock on all cores.
pub struct Spent {
    /// On anything, and on nothing.
    all: f64,
    busy: f64,
    /// On us and on the servers that we have ended.
    ours: f64,
}

impl Spent {
    pub fn now() -> io::Result<Self> {
        let (machine, process) = (read("stat")?, read("self/stat")?);
        let all = numbers(machine.lines().next().unwrap_or_default());
        let own = numbers(process.rsplit(')').next().unwrap_or_default());
        // user, nice and system of proc(5); of the process user, system, and the same of its children
        Ok(Self { all: all.iter().sum(), busy: all.iter().take(3).sum(), ours: own.iter().skip(10).take(4).sum() })
    }

    fn by_others(&self, since: &Self) -> f64 {
        let others = (self.busy - since.busy) - (self.ours - since.ours);
        (others / (self.all - since.all)).clamp(0.0, 1.0)
    }
}

/// The numbers in a line, without its words.
fn numbers(line: &str) -> Vec<f64> {
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn read(name: &str) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{name}"))
}

/// What a line `key : value` says.
fn after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.split_once(':')?.1.trim()))
}
