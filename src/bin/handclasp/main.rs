//! The command line, and nothing else: what it says is read here, what it means is in `config`, what it starts is
//! in `endpoint`.

#![forbid(unsafe_code)]

mod logging;

use clap::{Args, Parser, Subcommand};
use handclasp::Endpoint;
use handclasp::config::Config;
use mimalloc::MiMalloc;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Each signal is a dozen small allocations, half of them freed on another thread than their own.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const EXAMPLES: &str = "\
Examples:
  handclasp serve                                        the page on http://127.0.0.1:4000/
  handclasp serve --listen 0.0.0.0:8080 --set socket.check_origin=https://example.com
  handclasp check --config handclasp.toml                what is wrong with it, line by line
  HANDCLASP_LIMITS_QUEUE_BYTES=100_000 handclasp serve   one key, from the environment

Configuration: flags come before the environment, that before the file, that before the defaults.
The variable of section.key is HANDCLASP_SECTION_KEY; values are TOML, or plain text where that
is no TOML (5s, 127.0.0.1:4000). config/handclasp.toml, beside the source, documents every key.";

/// A topic broker in the style of Phoenix Channels: the handshake proxy for WebRTC
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the broker; SIGTERM or SIGINT drains and ends it, a second one ends it at once
    #[command(after_help = EXAMPLES)]
    Serve(Options),
    /// Say what is wrong with a configuration, or what it would start
    #[command(after_help = EXAMPLES)]
    Check(Options),
}

#[derive(Args)]
struct Options {
    /// File to read the configuration from [default: what HANDCLASP_CONFIG names, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:4000]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Set one key of the configuration; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(options) => options.read().and_then(|config| serve(&config)),
        Command::Check(options) => options.read().map(|config| check(&config)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(errors) => {
            errors.lines().for_each(|line| eprintln!("handclasp: {line}"));
            ExitCode::FAILURE
        }
    }
}

impl Options {
    fn read(&self) -> Result<Config, String> {
        Config::from_environment(self.config.as_deref(), &self.set, self.listen.as_deref())
            .map_err(|errors| errors.to_string())
    }
}

/// Among the metrics, what the log itself cannot tell while nobody reads it.
const DROPPED: &str = "handclasp_log_lines_dropped_total";

fn serve(config: &Config) -> Result<(), String> {
    let logging = logging::start(&config.log).map_err(|error| format!("cannot start the log: {error}"))?;
    let dropped = logging.dropped();
    let descriptors = raise_descriptor_limit(config.server.connections);
    actix_web::rt::System::new().block_on(async {
        let endpoint = Endpoint::new(config.clone()).counter(DROPPED, "Lines of the log that were dropped.", dropped);
        let running = endpoint.start().map_err(|error| error.to_string())?;
        announce(config, running.address(), running.metrics_address());
        warn_descriptor_limit(descriptors, config.server.connections);
        running.run_until_signal().await.map_err(|error| error.to_string())
    })
}

/// What the process itself may have open, its page and its log included.
const OWN_DESCRIPTORS: u64 = 100;

/// Asks for the file descriptors that so many connections may take, two each while they are no WebSockets; a shell gives
/// 1,024 at first.
fn raise_descriptor_limit(connections: usize) -> std::io::Result<u64> {
    rlimit::increase_nofile_limit(2 * connections as u64 + OWN_DESCRIPTORS)
}

fn warn_descriptor_limit(descriptors: std::io::Result<u64>, connections: usize) {
    match descriptors {
        Ok(limit) if limit >= connections as u64 + OWN_DESCRIPTORS => {}
        Ok(limit) => log::warn!(
            "{limit} file descriptors are enough for about {} WebSockets, or half as many clients that poll, \
             not for {connections}: raise the hard limit (ulimit -Hn), or lower server.connections",
            limit.saturating_sub(OWN_DESCRIPTORS)
        ),
        Err(error) => log::warn!("the limit of file descriptors stays as it is: {error}"),
    }
}

fn check(config: &Config) {
    say("ok");
    announce(config, config.server.listen, config.metrics.listen);
    say(&format!("origins  {}", config.socket.check_origin));
}

/// Where the page and the sockets are: two lines that people and scripts may rely on, and a third where there are
/// metrics.
fn announce(config: &Config, address: SocketAddr, metrics: Option<SocketAddr>) {
    match config.page.enabled {
        true if cfg!(feature = "page") => say(&format!("page     http://{address}/")),
        true => say("page     not in this build: it was compiled without the feature \"page\""),
        false => say("page     off"),
    }
    say(&format!("sockets  ws://{address}/{}/websocket", mounts(config)));
    if let Some(metrics) = metrics {
        say(&format!("metrics  http://{metrics}/metrics"));
    }
}

/// `{socket,ws,peer}`, or the one.
fn mounts(config: &Config) -> String {
    let names: Vec<&str> = config.socket.mounts.iter().map(|path| path.trim_start_matches('/')).collect();
    match names[..] {
        [one] => one.to_owned(),
        _ => format!("{{{}}}", names.join(",")),
    }
}

/// Nobody may be listening to stdout any more, which is no reason to end as `println!` does.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
