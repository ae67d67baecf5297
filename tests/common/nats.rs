//! A NATS server of its own for a test, on a free port and with its files in a temporary folder. It is killed when the
//! test ends, also if the test's thread or process is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::TIMEOUT;

/// The oldest and the newest version that the tests run. `make engines` installs both.
pub const OLDEST: &str = "2.10.26";
pub const NEWEST: &str = "2.15.1";

/// How often a server is started on other ports, if another process has taken the first ones meanwhile.
const ATTEMPTS: usize = 5;

/// A running server, or one that was killed.
pub struct NatsServer {
    child: Child,
    program: PathBuf,
    pub port: u16,
    pub folder: PathBuf,
}

impl NatsServer {
    /// The newest server, with JetStream.
    pub fn start() -> Self {
        Self::start_version(NEWEST)
    }

    /// A server of this version, with JetStream.
    pub fn start_version(version: &str) -> Self {
        Self::configured(version, "jetstream { store_dir: $FOLDER }")
    }

    /// A server with this configuration. `$FOLDER` is its folder.
    pub fn configured(version: &str, config: &str) -> Self {
        for _ in 0..ATTEMPTS {
            let mut server = Self::run(version, free_port(), config);
            if server.answers() {
                return server;
            }
        }
        panic!("nats-server does not start");
    }

    /// Several servers that form a cluster.
    pub fn cluster(count: usize) -> Vec<Self> {
        for _ in 0..ATTEMPTS {
            let routes: Vec<u16> = (0..count).map(|_| free_port()).collect();
            let urls: Vec<String> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
            let start = |(n, port): (usize, &u16)| {
                let config = format!(
                    "server_name: s{n}\njetstream {{ store_dir: $FOLDER }}\n\
                     cluster {{ name: test, listen: \"127.0.0.1:{port}\", routes: {urls:?} }}"
                );
                Self::run(NEWEST, free_port(), &config)
            };
            let mut servers: Vec<Self> = routes.iter().enumerate().map(start).collect();
            if servers.iter_mut().all(Self::answers) {
                return servers;
            }
        }
        panic!("the NATS servers do not start");
    }

    fn run(version: &str, port: u16, config: &str) -> Self {
        let (program, folder) = (program(version), new_folder());
        let config = config.replace("$FOLDER", &format!("{folder:?}"));
        fs::write(folder.join("nats.conf"), format!("listen: \"127.0.0.1:{port}\"\n{config}\n")).unwrap();
        Self { child: spawn(&program, &folder), program, port, folder }
    }

    /// Waits until the server answers. `false` if it has exited.
    fn answers(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < TIMEOUT {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.first_line().is_ok_and(|line| line.starts_with("INFO ")) {
                return true;
            }
            thread::sleep(Duration::from_millis(2));
        }
        panic!("nats-server does not answer");
    }

    fn first_line(&self) -> std::io::Result<String> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, for example `STOP`, and waits until a stopped server has stopped.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
        while name == "STOP" && !fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ") {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills the server.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the killed server again, on the same port and with its data.
    pub fn restart(&mut self) {
        self.child = spawn(&self.program, &self.folder);
        assert!(self.answers(), "nats-server does not start again");
    }

    /// Starts the killed server again, on the same port and without its data.
    pub fn restart_empty(&mut self) {
        fs::remove_dir_all(self.folder.join("jetstream")).unwrap();
        self.restart();
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The program of this version: the one that `NATS_SERVER` names, if it is the newest, or else what `make engines` has
/// installed.
fn program(version: &str) -> PathBuf {
    if let Some(program) = std::env::var_os("NATS_SERVER").filter(|_| version == NEWEST) {
        return program.into();
    }
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned();
    let program = target.join("nats").join(version).join("bin/nats-server");
    assert!(program.exists(), "nats-server {version} is missing: run `make engines`");
    program
}

/// Runs the program. The kernel kills it when the thread that started it ends.
fn spawn(program: &PathBuf, folder: &PathBuf) -> Child {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program).arg("-c").arg(folder.join("nats.conf")).current_dir(folder);
    let log = fs::File::create(folder.join("log")).unwrap();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
    child.expect("setpriv of the package util-linux runs")
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn new_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("handclasp-nats-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}
