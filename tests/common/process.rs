//! The broker as a process of its own, on a free port: for what belongs to a process, as its signals, its memory, its
//! descriptors and its log.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use super::{PATIENCE, get};

/// The tables that must be empty at the end, as /metrics calls them.
const TABLES: [&str; 9] = [
    "handclasp_connections{",
    "handclasp_topics ",
    "handclasp_members ",
    "handclasp_names ",
    "handclasp_watches ",
    "handclasp_presence_entries ",
    "handclasp_held_signals ",
    "handclasp_held_bytes ",
    "handclasp_queue_bytes ",
];

pub struct Process {
    child: Child,
    pub address: SocketAddr,
    /// Where it tells its numbers, if it was asked to (`metrics.listen`).
    pub metrics: Option<SocketAddr>,
}

impl Process {
    /// With these keys, `section.key=value`; its log goes nowhere.
    pub fn start(sets: &[&str]) -> Self {
        Self::run(Command::new(binary()), sets, Stdio::null())
    }

    /// The same, with its log going to `stderr`.
    pub fn logging_to(stderr: impl Into<Stdio>, sets: &[&str]) -> Self {
        Self::run(Command::new(binary()), sets, stderr.into())
    }

    /// The same, with at most so many descriptors, and its log in a pipe.
    pub fn with_descriptors(most: u32, sets: &[&str]) -> Self {
        let mut command = Command::new("sh");
        let script = format!(r#"ulimit -n {most}; exec "$0" "$@""#);
        command.args(["-c", &script, &binary()]);
        Self::run(command, sets, Stdio::piped())
    }

    fn run(mut command: Command, sets: &[&str], stderr: Stdio) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.args(sets.iter().flat_map(|set| ["--set", set]));
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut place = |what: &str| {
            let line = lines.find(|line| line.starts_with(what)).unwrap();
            line.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap()
        };
        let address = place("page");
        let metrics = sets.iter().any(|set| set.starts_with("metrics.listen")).then(|| place("metrics"));
        Self { child, address, metrics }
    }

    /// Its log, where that is a pipe.
    pub fn log(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    /// Sends a signal, `TERM` or another.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// What it holds in memory, in bytes.
    pub fn resident(&self) -> u64 {
        resident(self.child.id())
    }

    /// The tables that are not empty, as it tells where it was asked to.
    pub async fn left(&self) -> Vec<String> {
        let (_, text) = get(self.metrics.unwrap(), "/metrics").await;
        let is_left = |line: &&str| TABLES.iter().any(|table| line.starts_with(table)) && !line.ends_with(" 0");
        assert!(TABLES.iter().all(|table| text.contains(table)), "{text}");
        text.lines().filter(is_left).map(str::to_owned).collect()
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Waits for its end, and returns its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the process did not end");
    }
}

/// The one that was built with the test, unless the environment names another, as a release build.
fn binary() -> String {
    std::env::var("HANDCLASP_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_handclasp").into())
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process holds in memory, in bytes.
pub fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
