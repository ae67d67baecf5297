//! The command line of the binary. Settings are parsed in `config`, and the server is in `server`.

#![forbid(unsafe_code)]

mod logging;
mod token;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use handclasp::auth::Tokens;
use handclasp::config::{ApiListen, Engine, ListenAddress};
use handclasp::tls::ServerTls;
use handclasp::{Config, Endpoint, Node};
use mimalloc::MiMalloc;
use token::TokenArgs;

/// Each signal makes a dozen small allocations, and half of them are freed on another thread. mimalloc is fast at that.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const EXAMPLES: &str = "\
Examples:
  handclasp serve                                        serve the page on http://127.0.0.1:4000/
  handclasp serve --listen 0.0.0.0:8080 --set socket.check_origin=https://example.com
  handclasp serve --listen 0.0.0.0:443 --tls-cert fullchain.pem --tls-key privkey.pem
  handclasp check --config handclasp.toml                list all errors of a configuration file
  HANDCLASP_LIMITS_QUEUE_BYTES=100_000 handclasp serve   set one key by an environment variable

Configuration: flags override environment variables, which override the file, which overrides
the defaults. The variable of section.key is HANDCLASP_SECTION_KEY. Values are TOML; a value that
is not valid TOML is a string (5s, 127.0.0.1:4000). config/handclasp.toml in the source repository
documents every key.";

/// A topic broker in the style of Phoenix Channels: the handshake proxy for WebRTC
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the broker. On SIGTERM or SIGINT it drains and exits; on a second signal it exits immediately
    #[command(after_help = EXAMPLES)]
    Serve(Options),
    /// Check a configuration: list its errors, or show what it would start, and warn of what it leaves open
    #[command(after_help = EXAMPLES)]
    Check(Options),
    /// Sign a token with the first of auth.secrets, or say what a token permits
    Token(Box<TokenArgs>),
}

#[derive(Args)]
struct Options {
    /// Configuration file [default: the file named by HANDCLASP_CONFIG, if set]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// IP address or host name, and port, to listen on; port 0 picks a free port [default: 127.0.0.1:4000]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Speak https and wss with this certificate: a PEM file with the certificates above it; tls.cert
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<String>,
    /// The private key of the certificate, a PEM file; tls.key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<String>,
    /// Set one configuration key; can be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(options) => options.read().and_then(|config| serve(&config)),
        Command::Check(options) => options.read().and_then(|config| check(&config)),
        Command::Token(args) => args.run(),
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
        let files = [("tls.cert", &self.tls_cert), ("tls.key", &self.tls_key)].into_iter();
        let files = files.filter_map(|(key, path)| Some(format!("{key}={}", toml::Value::from(path.as_deref()?))));
        let sets: Vec<String> = self.set.iter().cloned().chain(files).collect();
        Config::from_environment(self.config.as_deref(), &sets, self.listen.as_deref())
            .map_err(|errors| errors.to_string())
    }
}

/// The metric that counts dropped log lines. The log itself cannot report them while stderr is blocked.
const DROPPED: &str = "handclasp_log_lines_dropped_total";
const DROPPED_HELP: &str = "Log lines dropped because stderr was blocked or could not be written.";

fn serve(config: &Config) -> Result<(), String> {
    let logging = logging::start(&config.log).map_err(|error| format!("cannot start the log: {error}"))?;
    let dropped = logging.dropped();
    let descriptors = raise_descriptor_limit(config.server.connections);
    actix_web::rt::System::new().block_on(async {
        let endpoint = Endpoint::new(config.clone()).counter(DROPPED, DROPPED_HELP, dropped);
        let node = endpoint.start().map_err(|error| error.to_string())?;
        announce(config, Some(&node));
        warn_descriptor_limit(descriptors, config.server.connections);
        node.run_until_signal().await.map_err(|error| error.to_string())
    })
}

/// File descriptors for everything but client connections, such as listeners and the log.
const OWN_DESCRIPTORS: u64 = 100;

/// Raises the process's limit of file descriptors for this many connections, because a shell's default is 1,024. A
/// connection that is not a WebSocket takes two.
fn raise_descriptor_limit(connections: usize) -> std::io::Result<u64> {
    rlimit::increase_nofile_limit(2 * connections as u64 + OWN_DESCRIPTORS)
}

fn warn_descriptor_limit(descriptors: std::io::Result<u64>, connections: usize) {
    match descriptors {
        Ok(limit) if limit >= connections as u64 + OWN_DESCRIPTORS => {}
        Ok(limit) => log::warn!(
            "{limit} file descriptors are enough for about {} WebSockets or half as many long-polling clients, \
             not for {connections}: raise the hard limit (ulimit -Hn), or lower server.connections",
            limit.saturating_sub(OWN_DESCRIPTORS)
        ),
        Err(error) => log::warn!("cannot raise the limit of file descriptors: {error}"),
    }
}

fn check(config: &Config) -> Result<(), String> {
    let tokens = Tokens::from_config(&config.auth).map_err(|error| error.to_string())?;
    ServerTls::from_config(&config.tls).map_err(|error| error.to_string())?;
    print("ok");
    announce(config, None);
    print(&format!("origins  {}", config.socket.check_origin));
    let warnings = config.warnings();
    tokens.warnings().iter().chain(&warnings).for_each(|warning| eprintln!("handclasp: warning: {warning}"));
    Ok(())
}

/// Prints the addresses of the page, the sockets and, if enabled, HelloWebRTC, the plain relay, the redirect, the metrics and
/// the API, a line each, and the engine of the cluster. Scripts may rely on these lines. Before the node runs, a free port
/// is shown as 0.
fn announce(config: &Config, node: Option<&Node>) {
    let bound = |listen: &ListenAddress, address: Option<SocketAddr>| match address {
        Some(address) => listen.with_port(address.port()),
        None => listen.clone(),
    };
    let address = bound(&config.server.listen, node.map(Node::address));
    let s = if config.tls.is_on() { "s" } else { "" };
    match config.page.enabled {
        true if cfg!(feature = "page") => print(&format!("page     http{s}://{address}/")),
        true => print("page     not in this build: it was compiled without the feature \"page\""),
        false => print("page     off"),
    }
    print(&format!("sockets  ws{s}://{address}/{}/websocket", mounts(config)));
    if config.is_hello_open() {
        print(&format!("hello    ws{s}://{address}/hello"));
    }
    if config.is_relay_open() {
        print(&format!("relay    ws{s}://{address}{}", config.relay.path));
    }
    if let Some(listen) = &config.tls.redirect {
        print(&format!("redirect http://{}/", bound(listen, node.and_then(Node::redirect_address))));
    }
    if let Some(listen) = &config.metrics.listen {
        print(&format!("metrics  http://{}/metrics", bound(listen, node.and_then(Node::metrics_address))));
    }
    match &config.api.listen {
        Some(ApiListen::Tcp(listen)) => {
            print(&format!("api      http://{}", bound(listen, node.and_then(Node::api_address))));
        }
        Some(socket) => print(&format!("api      {socket}")),
        None => {}
    }
    // before the start, the node may have no name
    let cluster = &config.cluster;
    if node.is_some() && cluster.engine != Engine::None {
        print(&format!("cluster  {}, node {}", cluster.engine.name(), cluster.node.get()));
    }
}

/// The socket mounts as `{socket,ws,peer}`, or just `socket` if there is only one.
fn mounts(config: &Config) -> String {
    let names: Vec<&str> = config.socket.mounts.iter().map(|path| path.trim_start_matches('/')).collect();
    match names[..] {
        [one] => one.to_owned(),
        _ => format!("{{{}}}", names.join(",")),
    }
}

/// Prints a line to stdout. Unlike `println!`, it does not panic if stdout is closed.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
