//! A server under measurement. It runs on a core of its own, and the kernel reports the resources that it uses.

use std::fs;
use std::io::{self, BufRead, BufReader, Error};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::dialect::Dialect;

/// Ticks per second of the kernel's clock, the unit of CPU time in /proc. The same on every Linux.
const TICKS: f64 = 100.0;

/// The servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// This broker, with `tests/bench/handclasp.toml`.
    Handclasp,
    /// npm's `peer` or `socket.io`.
    Npm,
    /// The lower bound: see `limit`.
    Limit,
}

/// A server on core 0. The load comes from another core. Dropping it kills the server.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(kind: Kind, dialect: Dialect) -> io::Result<Self> {
        Self::start_with(kind, dialect, &[])
    }

    /// A server with further settings, `section.key=value`. Only Handclasp has any.
    pub fn start_with(kind: Kind, dialect: Dialect, settings: &[String]) -> io::Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", "0"]);
        let bench = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench");
        match kind {
            Kind::Handclasp => {
                command.arg(env!("CARGO_BIN_EXE_handclasp")).args(["serve", "--listen", "127.0.0.1:0", "--config"]);
                // at another level it warns that a million connections need more descriptors; the limit is only meant
                // to be out of reach
                command.arg(bench.join("handclasp.toml")).args(["--set", "log.level=error"]);
                command.args(settings.iter().flat_map(|setting| ["--set", setting]));
            }
            Kind::Npm => {
                let name = if dialect == Dialect::PeerJs { "peer" } else { "socket.io" };
                command.arg("node").arg(bench.join("servers.mjs")).arg(name);
            }
            Kind::Limit => drop(command.arg(std::env::current_exe()?).arg("limit")),
        }
        let child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let mut child = child.map_err(|error| Error::other(format!("taskset of util-linux cannot be run: {error}")))?;
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        match lines.map_while(Result::ok).find_map(|line| port(&line)) {
            Some(port) => Ok(Self { child, address: ([127, 0, 0, 1], port).into() }),
            None => Err(Error::other(format!("{kind:?} exited before it listened: {}", child.wait()?))),
        }
    }

    /// The CPU time of all threads so far, in microseconds.
    pub fn cpu(&self) -> io::Result<f64> {
        let stat = self.proc("stat")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // user and system time are fields 14 and 15 of proc(5); the first two come before the end of the name
        let ticks =
            fields.get(11..13).and_then(|ticks| ticks.iter().map(|tick| tick.parse::<f64>().ok()).sum::<Option<f64>>());
        Ok(ticks.ok_or_else(|| Error::other("no CPU time in /proc"))? * 1e6 / TICKS)
    }

    /// Resident memory, in bytes.
    pub fn resident(&self) -> io::Result<f64> {
        let rollup = self.proc("smaps_rollup")?;
        let resident =
            rollup.lines().find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB")?.parse().ok());
        resident.map(|kib: f64| kib * 1024.0).ok_or_else(|| Error::other("no Rss in /proc"))
    }

    /// The number of open descriptors.
    pub fn descriptors(&self) -> io::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    fn proc(&self, name: &str) -> io::Result<String> {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port in a line such as `4000`, or `listening on http://127.0.0.1:4000`.
fn port(line: &str) -> Option<u16> {
    line.trim().trim_end_matches('/').rsplit(':').next()?.parse().ok()
}
