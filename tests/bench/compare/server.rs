//! One server under measurement: started on one core, and asked of the kernel what it has taken.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Which server, and by which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This broker.
    Handclasp,
    /// npm's `peer`.
    Peer,
    /// npm's `socket.io`.
    SocketIo,
}

/// A server on core 0; the load comes from the others. Dropping it ends it.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(kind: Kind) -> Self {
        let bench = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench");
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", "0"]);
        match kind {
            Kind::Handclasp => {
                let config = bench.join("handclasp.toml");
                command.arg(env!("CARGO_BIN_EXE_handclasp")).args(["serve", "--listen", "127.0.0.1:0", "--config"]);
                command.arg(config);
            }
            Kind::Peer => drop(command.arg("node").arg(bench.join("servers.mjs")).arg("peer")),
            Kind::SocketIo => drop(command.arg("node").arg(bench.join("servers.mjs")).arg("socket.io")),
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("taskset, and node");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let port = lines.map_while(Result::ok).find_map(|line| port(&line)).expect("the port that it listens on");
        Self { child, address: ([127, 0, 0, 1], port).into() }
    }

    /// CPU time of all its threads so far, in microseconds.
    pub fn cpu(&self) -> f64 {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let ticks: f64 = [11, 12].iter().map(|at| fields[*at].parse::<f64>().expect("a number of ticks")).sum();
        ticks * 1e6 / 100.0
    }

    /// What it holds in memory, in bytes.
    pub fn resident(&self) -> f64 {
        let rollup = self.proc("smaps_rollup");
        let rss = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a line Rss");
        rss.trim().trim_end_matches(" kB").parse::<f64>().expect("a number of kB") * 1024.0
    }

    fn proc(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("a process that lives")
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
    let digits = line.trim().trim_end_matches('/').rsplit(':').next()?;
    digits.parse().ok()
}
