//! The broker as a child process on a free port, for tests of process-wide properties: signals, memory, descriptors,
//! log.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use super::{TIMEOUT, child, get};

/// The gauges in `/metrics` that must be 0 once all clients are gone.
const GAUGES: [&str; 10] = [
    "handclasp_connections{",
    "handclasp_topics ",
    "handclasp_members ",
    "handclasp_names ",
    "handclasp_watches ",
    "handclasp_presence_entries ",
    "handclasp_held_signals ",
    "handclasp_held_bytes ",
    "handclasp_queue_bytes ",
    "handclasp_memory_bytes ",
];

pub struct Process {
    child: Child,
    pub address: SocketAddr,
    /// The address of `/metrics`, if `metrics.listen` was set.
    pub metrics: Option<SocketAddr>,
    /// The address of the server API, if `api.listen` was set to one with a port.
    pub api: Option<SocketAddr>,
}

impl Process {
    /// Starts the broker with these settings (`section.key=value`). Its log is discarded.
    pub fn start(sets: &[&str]) -> Self {
        Self::run(Command::new(binary()), sets, Stdio::null())
    }

    /// Starts the broker with its log written to `stderr`.
    pub fn logging_to(stderr: impl Into<Stdio>, sets: &[&str]) -> Self {
        Self::run(Command::new(binary()), sets, stderr.into())
    }

    /// Starts the broker with these environment variables. Its log is discarded.
    pub fn with_environment(variables: &[(&str, &str)], sets: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.envs(variables.iter().copied());
        Self::run(command, sets, Stdio::null())
    }

    /// Starts the broker with at most this many descriptors. Its log is a pipe, see [`Process::log`].
    pub fn with_descriptors(most: u32, sets: &[&str]) -> Self {
        let mut command = Command::new("sh");
        let script = format!(r#"ulimit -n {most}; exec "$0" "$@""#);
        command.args(["-c", &script, &binary()]);
        Self::run(command, sets, Stdio::piped())
    }

    /// Starts the broker with at most this much address space, in KiB. Its log is discarded.
    pub fn with_address_space(kib: u64, sets: &[&str]) -> Self {
        let mut command = Command::new("sh");
        let script = format!(r#"ulimit -v {kib}; exec "$0" "$@""#);
        command.args(["-c", &script, &binary()]);
        Self::run(command, sets, Stdio::null())
    }

    fn run(mut command: Command, sets: &[&str], stderr: Stdio) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.args(sets.iter().flat_map(|set| ["--set", set]));
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut find_address = |what: &str| {
            let line = lines.find(|line| line.starts_with(what)).unwrap();
            line.split("://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap()
        };
        let has = |key: &str| sets.iter().any(|set| set.starts_with(key));
        let address = find_address("page");
        let metrics = has("metrics.listen=").then(|| find_address("metrics"));
        let api = has("api.listen=").then(|| find_address("api"));
        Self { child, address, metrics, api }
    }

    /// The broker's log, if it is a pipe.
    pub fn log(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    /// Sends a signal, for example `TERM`.
    pub fn signal(&self, name: &str) {
        child::signal(self.child.id(), name);
    }

    /// Whether all of its threads are stopped.
    pub fn is_stopped(&self) -> bool {
        child::is_stopped(self.child.id())
    }

    /// Resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        resident(self.child.id())
    }

    /// The gauges of [`GAUGES`] that are not 0, as `/metrics` reports them.
    pub async fn remaining(&self) -> Vec<String> {
        let (_, text) = get(self.metrics.unwrap(), "/metrics").await;
        let is_left = |line: &&str| GAUGES.iter().any(|table| line.starts_with(table)) && !line.ends_with(" 0");
        assert!(GAUGES.iter().all(|table| text.contains(table)), "{text}");
        text.lines().filter(is_left).map(str::to_owned).collect()
    }

    /// The number of open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Waits for the process to exit, and returns its exit code.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the process did not exit");
    }
}

/// The binary built with the test, or the one that `HANDCLASP_BIN` names, such as a release build.
fn binary() -> String {
    std::env::var("HANDCLASP_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_handclasp").into())
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of a process, in bytes.
pub fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
