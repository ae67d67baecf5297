//! A NATS server of its own for a test, on a free port and with its files in a temporary folder. It is killed when the
//! test ends, also if the test's thread or process is.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::certificate;
use super::child::{ServerProcess, free_port, program};

/// The oldest and the newest version that the tests run. `make engines` installs both.
pub const OLDEST: &str = "2.10.26";
pub const NEWEST: &str = "2.15.1";

/// How often a server is started on other ports, if another process has taken the first ones meanwhile.
const ATTEMPTS: usize = 5;

/// A running server, or one that was killed.
pub struct NatsServer {
    process: ServerProcess,
    program: PathBuf,
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
            let mut server = Self::run(version, config, |_| {});
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
                Self::run(NEWEST, &config, |_| {})
            };
            let mut servers: Vec<Self> = routes.iter().enumerate().map(start).collect();
            if servers.iter_mut().all(Self::answers) {
                return servers;
            }
        }
        panic!("the NATS servers do not start");
    }

    /// The newest server, which requires TLS. Its certificate is in its folder, and signed by itself.
    pub fn with_tls() -> Self {
        let config = format!(
            "jetstream {{ store_dir: $FOLDER }}\ntls {{ cert_file: {:?}, key_file: {:?} }}",
            certificate::CERTIFICATE,
            certificate::KEY
        );
        for _ in 0..ATTEMPTS {
            let mut server = Self::run(NEWEST, &config, certificate::create);
            if server.answers() {
                return server;
            }
        }
        panic!("nats-server does not start");
    }

    fn run(version: &str, config: &str, prepare: impl FnOnce(&Path)) -> Self {
        let program = installed(version);
        let process = ServerProcess::run("nats", |port, folder| {
            prepare(folder);
            let config = config.replace("$FOLDER", &format!("{folder:?}"));
            fs::write(folder.join("nats.conf"), format!("listen: \"127.0.0.1:{port}\"\n{config}\n")).unwrap();
            command(&program, folder)
        });
        Self { process, program }
    }

    /// Waits until the server greets. `false` if it has exited.
    fn answers(&mut self) -> bool {
        self.process.answers(|stream| {
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            Ok(line.starts_with("INFO "))
        })
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts the killed server again, on the same port and with its data.
    pub fn restart(&mut self) {
        let command = command(&self.program, &self.folder);
        self.process.run_again(command);
        assert!(self.answers(), "nats-server does not start again");
    }

    /// Starts the killed server again, on the same port and without its data.
    pub fn restart_empty(&mut self) {
        fs::remove_dir_all(self.folder.join("jetstream")).unwrap();
        self.restart();
    }
}

impl Deref for NatsServer {
    type Target = ServerProcess;

    fn deref(&self) -> &ServerProcess {
        &self.process
    }
}

impl DerefMut for NatsServer {
    fn deref_mut(&mut self) -> &mut ServerProcess {
        &mut self.process
    }
}

/// The program of this version: the one that `NATS_SERVER` names, if it is the newest, or else what `make engines` has
/// installed.
fn installed(version: &str) -> PathBuf {
    if let Some(program) = std::env::var_os("NATS_SERVER").filter(|_| version == NEWEST) {
        return program.into();
    }
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned();
    let program = target.join("nats").join(version).join("bin/nats-server");
    assert!(program.exists(), "nats-server {version} is missing: run `make engines`");
    program
}

fn command(path: &Path, folder: &Path) -> Command {
    let mut command = program(path);
    command.arg("-c").arg(folder.join("nats.conf")).current_dir(folder);
    command.stderr(File::create(folder.join("log")).unwrap());
    command
}
