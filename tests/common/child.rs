//! Child processes: signals, and servers of other programs, each on a port and in a folder of its own.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::TIMEOUT;

/// A server of another program, running or killed. It is killed and its folder removed when this is dropped.
pub struct ServerProcess {
    child: Child,
    pub port: u16,
    pub folder: PathBuf,
}

impl ServerProcess {
    /// Runs what `command` makes of a free port and a new folder, whose name begins with `name`.
    pub fn run(name: &str, command: impl FnOnce(u16, &Path) -> Command) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("handclasp-{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let port = free_port();
        let child = spawn(command(port, &folder));
        Self { child, port, folder }
    }

    /// Runs the killed server again.
    pub fn run_again(&mut self, command: Command) {
        self.child = spawn(command);
    }

    /// Waits until the server answers as `is_answer` says. `false` if it has exited.
    pub fn answers(&mut self, is_answer: impl Fn(TcpStream) -> io::Result<bool>) -> bool {
        let start = Instant::now();
        let ask = |port| {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            is_answer(stream)
        };
        while start.elapsed() < TIMEOUT {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if ask(self.port).is_ok_and(|is_answer| is_answer) {
                return true;
            }
            thread::sleep(Duration::from_millis(2));
        }
        panic!("the server at port {} does not answer", self.port);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, for example `STOP`, and waits until a stopped server has stopped.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
        while name == "STOP" && !is_stopped(self.pid()) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills the server.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A command for a program that the kernel kills when the thread that started it ends.
pub fn program(path: impl AsRef<Path>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(path.as_ref()).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn spawn(mut command: Command) -> Child {
    command.spawn().expect("setpriv of the package util-linux runs")
}

pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Sends a signal, for example `TERM`, to a process.
pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

/// Whether all threads of a process are stopped.
pub fn is_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")).unwrap()).all(|stat| {
        // the state follows the name, which is in parentheses
        stat.rsplit(") ").next().unwrap().starts_with('T')
    })
}
