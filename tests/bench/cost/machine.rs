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
    /// Processes that wanted to run in the minute before, on average.
    pub load_before: f64,
    /// The day, in UTC.
    pub date: String,
}

impl Machine {
    /// This one, now.
    pub fn this() -> io::Result<Self> {
        let (cpu, memory, load) = (read("cpuinfo")?, read("meminfo")?, read("loadavg")?);
        let kib: f64 =
            after(&memory, "MemTotal").and_then(|it| it.strip_suffix(" kB")?.parse().ok()).unwrap_or_default();
        Ok(Self {
            cores: cpu.lines().filter(|line| line.starts_with("processor")).count(),
            cpu: after(&cpu, "model name").unwrap_or("unknown CPU").to_owned(),
            memory: kib / 1024.0 / 1024.0,
            load_before: load.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or_default(),
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string()[..10].to_owned(),
        })
    }
}

fn read(name: &str) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{name}"))
}

/// What a line `key : value` says.
fn after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.split_once(':')?.1.trim()))
}
