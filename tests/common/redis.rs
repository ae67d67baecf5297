//! A Redis server of its own for a test, on a free port and in a temporary folder. It keeps nothing on disk, and is killed
//! when the test ends, also if the test's thread or process is.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::TIMEOUT;

/// How often a server is started on another port, if another process has taken the first one meanwhile.
const ATTEMPTS: usize = 5;

/// A running server, or one that was stopped.
pub struct RedisServer {
    child: Child,
    pub port: u16,
    pub folder: PathBuf,
    args: Vec<String>,
}

impl RedisServer {
    /// Starts a server with these arguments, each an option or a value: `["--requirepass", "x"]`.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(|_| args.iter().map(ToString::to_string).collect())
    }

    /// Starts a server with arguments that depend on its folder.
    pub fn start_with(args: impl Fn(&Path) -> Vec<String>) -> Self {
        for _ in 0..ATTEMPTS {
            let (port, folder) = (free_port(), new_folder());
            let args = args(&folder);
            let mut server = Self { child: run(&folder, port, &args), port, folder, args };
            if server.answers() {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    /// Waits until the server answers. `false` if it has exited.
    fn answers(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < TIMEOUT {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.ping().is_ok_and(|first| b"+-".contains(&first)) {
                return true;
            }
            thread::sleep(Duration::from_millis(2));
        }
        panic!("redis-server does not answer");
    }

    /// The first byte of the answer to a PING. A server that requires a password answers with an error.
    fn ping(&self) -> std::io::Result<u8> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(b"PING\r\n")?;
        let mut first = [0];
        stream.read_exact(&mut first)?;
        Ok(first[0])
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection of the test's own.
    pub fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// Runs a command, given as words.
    pub fn run<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query(&mut self.connection()).unwrap()
    }

    /// A number of `INFO`.
    pub fn info(&self, name: &str) -> u64 {
        let info: String = self.run(&["INFO", "all"]);
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("INFO has no {name}")).parse().unwrap()
    }

    /// Sends a signal, for example `STOP`, and waits until a stopped server has stopped.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
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

    /// Starts the killed server again, on the same port and without its data.
    pub fn restart_empty(&mut self) {
        self.child = run(&self.folder, self.port, &self.args);
        assert!(self.answers(), "redis-server does not start again");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs the program. The kernel kills it when the thread that started it ends.
fn run(folder: &Path, port: u16, args: &[String]) -> Child {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "redis-server"]);
    // a configuration file comes first
    let (file, options) = args.split_at(usize::from(args.first().is_some_and(|arg| !arg.starts_with("--"))));
    command.args(file).args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--dir", folder.to_str().unwrap(), "--repl-diskless-sync-delay", "0"]).args(options);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let is_installed = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    if is_installed.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        panic!("redis-server is missing: install the package redis-server (apt-get install redis-server)");
    }
    child.expect("setpriv of the package util-linux runs")
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn new_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("handclasp-redis-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}
