//! A Redis server of its own for a test, on a free port and in a temporary folder. It keeps nothing on disk, and is killed
//! when the test ends, also if the test's thread or process is.

use std::io::{ErrorKind, Read, Write};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::{Command, Stdio};

use super::child::{ServerProcess, program};

/// How often a server is started on another port, if another process has taken the first one meanwhile.
const ATTEMPTS: usize = 5;

/// A running server, or one that was killed.
pub struct RedisServer {
    process: ServerProcess,
    args: Vec<String>,
}

impl RedisServer {
    /// Starts a server with these arguments, each an option or a value: `["--requirepass", "x"]`.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(|_| args.iter().map(ToString::to_string).collect())
    }

    /// Starts a server with arguments that depend on its folder.
    pub fn start_with(args: impl Fn(&Path) -> Vec<String>) -> Self {
        assert_installed();
        for _ in 0..ATTEMPTS {
            let mut given = Vec::new();
            let process = ServerProcess::run("redis", |port, folder| {
                given = args(folder);
                command(folder, port, &given)
            });
            let mut server = Self { process, args: given };
            if server.answers() {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    /// A Sentinel that watches the server at `primary`, and acts fast.
    pub fn sentinel(primary: u16) -> Self {
        Self::start_with(|folder| {
            let file = folder.join("sentinel.conf");
            let config = format!(
                "sentinel monitor primary 127.0.0.1 {primary} 2\n\
                 sentinel down-after-milliseconds primary 500\n\
                 sentinel failover-timeout primary 5000\n"
            );
            std::fs::write(&file, config).unwrap();
            vec![file.to_str().unwrap().to_owned(), "--sentinel".to_owned()]
        })
    }

    /// Whether a Sentinel knows all others and all replicas, so many each.
    pub fn knows_others(&self, count: u64) -> bool {
        let facts: Vec<String> = self.run(&["SENTINEL", "MASTER", "primary"]);
        let known = |what: &str| facts.chunks_exact(2).find(|fact| fact[0] == what).unwrap()[1].parse::<u64>().unwrap();
        (known("num-other-sentinels"), known("num-slaves")) == (count, count)
    }

    /// Waits until the server answers a PING. One that requires a password answers with an error.
    fn answers(&mut self) -> bool {
        self.process.answers(|mut stream| {
            stream.write_all(b"PING\r\n")?;
            let mut first = [0];
            stream.read_exact(&mut first)?;
            Ok(b"+-".contains(&first[0]))
        })
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

    /// Starts the killed server again, on the same port and without its data.
    pub fn restart_empty(&mut self) {
        let command = command(&self.folder, self.port, &self.args);
        self.process.run_again(command);
        assert!(self.answers(), "redis-server does not start again");
    }
}

impl Deref for RedisServer {
    type Target = ServerProcess;

    fn deref(&self) -> &ServerProcess {
        &self.process
    }
}

impl DerefMut for RedisServer {
    fn deref_mut(&mut self) -> &mut ServerProcess {
        &mut self.process
    }
}

fn command(folder: &Path, port: u16, args: &[String]) -> Command {
    let mut command = program("redis-server");
    // a configuration file comes first
    let (file, options) = args.split_at(usize::from(args.first().is_some_and(|arg| !arg.starts_with("--"))));
    command.args(file).args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--dir", folder.to_str().unwrap(), "--repl-diskless-sync-delay", "0"]).args(options);
    command.stderr(Stdio::null());
    command
}

fn assert_installed() {
    let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    if version.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        panic!("redis-server is missing: install the package redis-server (apt-get install redis-server)");
    }
}
