//! One server under measurement: started on a core of its own, and asked of the kernel what it has taken.

use std::fs;
use std::io::{self, BufRead, BufReader, Error};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::dialect::Dialect;

/// Ticks of the kernel's clock a second, in which it tells CPU time: the same on every Linux.
const TICKS: f64 = 100.0;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// This broker, with `tests/bench/handclasp.toml`.
    Handclasp,
    /// npm's `peer` or `socket.io`.
    Npm,
    /// The least that the work takes: see `limit`.
    Limit,
}

/// A server on core 0; the load comes from another. Dropping it ends it.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(kind: Kind, dialect: Dialect) -> io::Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", "0"]);
        let bench = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench");
        match kind {
            Kind::Handclasp => {
                command.arg(env!("CARGO_BIN_EXE_handclasp")).args(["serve", "--listen", "127.0.0.1:0", "--config"]);
                // it warns that a million connections do not fit, which only has to be no limit here
                command.arg(bench.join("handclasp.toml")).args(["--set", "log.level=error"]);
            }
            Kind::Npm => {
                let name = if dialect == Dialect::PeerJs { "peer" } else { "socket.io" };
                command.arg("node").arg(bench.join("servers.mjs")).arg(name);
            }
            Kind::Limit => drop(command.arg(std::env::current_exe()?).arg("limit")),
        }
        let child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let mut child = child.map_err(|error| Error::other(format!("taskset of util-linux cannot be run: {error}")))?;
        let said = BufReader::new(child.stdout.take().expect("its output was asked for")).lines();
        match said.map_while(Result::ok).find_map(|line| port(&line)) {
            Some(port) => Ok(Self { child, address: ([127, 0, 0, 1], port).into() }),
            None => Err(Error::other(format!("{kind:?} has ended before it listened: {}", child.wait()?))),
        }
    }

    /// CPU time of all its threads so far, in microseconds.
    pub fn cpu(&self) -> io::Result<f64> {
        let stat = self.proc("stat")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // time in user mode and in the kernel: fields 14 and 15 of proc(5), two of them before the name's end
        let ticks =
            fields.get(11..13).and_then(|ticks| ticks.iter().map(|tick| tick.parse::<f64>().ok()).sum::<Option<f64>>());
        Ok(ticks.ok_or_else(|| Error::other("no CPU time in /proc"))? * 1e6 / TICKS)
    }

    /// What it holds in memory, in bytes.
    pub fn resident(&self) -> io::Result<f64> {
        let rollup = self.proc("smaps_rollup")?;
        let resident =
            rollup.lines().find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB")?.parse().ok());
        resident.map(|kib: f64| kib * 1024.0).ok_or_else(|| Error::other("no Rss in /proc"))
    }

    /// How many descriptors it has open.
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
