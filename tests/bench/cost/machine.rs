//! The machine and the date of a measurement: enough to compare results, and nothing that identifies a person.

use std::fs;
use std::io;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// A machine, and its other load.
#[derive(Debug, Serialize, Deserialize)]
pub struct Machine {
    pub cores: usize,
    pub cpu: String,
    /// Memory in GiB.
    pub memory: f64,
    /// The share of the CPU time that went to other processes, from 0 to 1.
    pub others: f64,
    /// The day, in UTC.
    pub date: String,
}

impl Machine {
    /// Describes this machine, with the other load since `since`.
    pub fn this(since: &CpuTime) -> io::Result<Self> {
        let (cpu, memory) = (read("cpuinfo")?, read("meminfo")?);
        let kib: f64 =
            after(&memory, "MemTotal").and_then(|it| it.strip_suffix(" kB")?.parse().ok()).unwrap_or_default();
        Ok(Self {
            cores: cpu.lines().filter(|line| line.starts_with("processor")).count(),
            cpu: after(&cpu, "model name").unwrap_or("unknown CPU").to_owned(),
            memory: kib / 1024.0 / 1024.0,
            others: CpuTime::now()?.by_others(since),
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string()[..10].to_owned(),
        })
    }
}

/// The CPU time spent so far, in ticks of the kernel's clock, over all cores.
pub struct CpuTime {
    /// Including idle time.
    all: f64,
    busy: f64,
    /// By this process and its finished children, the servers.
    own: f64,
}

impl CpuTime {
    pub fn now() -> io::Result<Self> {
        let (machine, process) = (read("stat")?, read("self/stat")?);
        let all = numbers(machine.lines().next().unwrap_or_default());
        let own = numbers(process.rsplit(')').next().unwrap_or_default());
        // user, nice and system of proc(5); for the process: user and system, then the same for its children
        Ok(Self { all: all.iter().sum(), busy: all.iter().take(3).sum(), own: own.iter().skip(10).take(4).sum() })
    }

    fn by_others(&self, since: &Self) -> f64 {
        let others = (self.busy - since.busy) - (self.own - since.own);
        (others / (self.all - since.all)).clamp(0.0, 1.0)
    }
}

/// The numbers in a line, without its other text.
fn numbers(line: &str) -> Vec<f64> {
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn read(name: &str) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{name}"))
}

/// The value in a line `key : value`.
fn after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.split_once(':')?.1.trim()))
}
