//! Config: what was written (file, environment, flags) and what it means, checked in one place.
//!
//! Every key is declared once, below: its type, default, range and a sentence. A value is looked for in the flags
//! first (`--listen`, `--set limits.queue_bytes=100_000`), then in the environment
//! (`HANDCLASP_LIMITS_QUEUE_BYTES`), then in the file, and else is the default. Whatever is wrong, unknown keys
//! included, is reported, all at once; see [`Errors`].
//!
//! ```
//! use handclasp::config::Config;
//!
//! let config = Config::load(None, [], &["limits.queue_bytes=100_000".into()], Some("127.0.0.1:0"))?;
//! assert_eq!(config.limits.queue_bytes, 100_000);
//! assert_eq!(config.server.listen.port(), 0);
//! # Ok::<(), handclasp::config::Errors>(())
//! ```
//!
//! No other file reads the environment. What a kind of value looks like is in `setting`, where it stands in `written`.

pub use crate::ice::IceServer;
use crate::origin::Origins;
pub use crate::setting::Setting;
use crate::setting::sections;
use crate::written::{self, Place, Written};
use ipnet::IpNet;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

sections! {
    /// Where the node listens, and whom it believes.
    server: Server {
        /// IP address and port to listen on; port 0 takes one that is free.
        listen: SocketAddr = "127.0.0.1:4000", address;
        /// Worker threads; 0 is one for each core. The registry is with the only one, or has a thread of its own.
        workers: usize = 0, whole from 0 to 256;
        /// Connections that the kernel holds until we accept them.
        backlog: u32 = 1_024, whole from 1 to 65_535;
        /// Connections of the whole node; the next ones are turned away.
        connections: usize = 50_000, whole from 1 to 10_000_000;
        /// A request's headers must have arrived within this time, which is kept to half a second.
        header_timeout: Duration = "5s", span from "1s" to "5m";
        /// A connection that is no socket is closed when it asks for nothing for this long, kept to half a second.
        keep_alive: Duration = "5s", span from "1s" to "1h";
        /// Addresses and networks of proxies whose X-Forwarded-For is believed, such as "10.0.0.0/8".
        trusted_proxies: Vec<IpNet> = [], networks;
    }

    /// The web page at `/`.
    page: Page {
        /// Whether the page is served.
        enabled: bool = true, truth;
        /// Serve the page from this folder instead of the one inside the binary, for development; "" is the binary's.
        dir: Option<PathBuf> = "", folder;
    }

    /// Where sockets are mounted, who may open one, and when an unused one ends.
    socket: Socket {
        /// Paths below which clients connect, at PATH/websocket and, when they poll, PATH/longpoll.
        mounts: Vec<String> = ["/socket", "/ws", "/peer"], mounts;
        /// Web pages that may open a socket: `same` (pages from this host), `any`, or a list of origins beside or
        /// instead of `same`: `https://example.com`, `//example.com:8443`, `//*.example.com` (it and all below it).
        /// Clients that send no Origin are no browsers and always pass.
        check_origin: Origins = ["same"], origins;
        /// A client that sends nothing for this long is closed.
        idle_timeout: Duration = "60s", span from "100ms" to "24h";
        /// A client that takes no bytes for this long is cut off.
        write_timeout: Duration = "5s", span from "100ms" to "10m";
        /// A request of a client that polls is kept open for this long when there is nothing to say.
        poll_window: Duration = "10s", span from "100ms" to "10m";
        /// A client that has joined nothing within this time is closed.
        join_within: Duration = "30s", span from "100ms" to "24h";
    }

    /// Socket.IO, for its clients of version 1 to 4, which find here a relay between the pages of one application.
    socketio: SocketIo {
        /// Whether it is served.
        enabled: bool = true, truth;
        /// Path below which clients connect, Socket.IO's `path`.
        path: String = "/socket.io", mount;
        /// How often a client is asked for a sign of life, or asks itself before version 3; Socket.IO's `pingInterval`.
        ping_interval: Duration = "25s", span from "100ms" to "1h";
        /// A client that does not give one for this long after is closed; Socket.IO's `pingTimeout`.
        ping_timeout: Duration = "20s", span from "100ms" to "1h";
        /// A client that polls and opens a WebSocket to go on with has changed to it within this time, or loses it and
        /// polls on; Socket.IO's `upgradeTimeout`.
        upgrade_timeout: Duration = "10s", span from "100ms" to "1h";
        /// Bytes of a message, and of a request's body; Socket.IO's `maxHttpBufferSize`, which clients are told as
        /// `maxPayload`.
        max_payload: usize = 1_000_000, whole from 1_024 to 67_108_864;
        /// A client that is in no namespace by then is closed; Socket.IO's `connectTimeout`.
        connect_timeout: Duration = "45s", span from "100ms" to "24h";
        /// Folder with a copy of the client, served as PATH/socket.io.js for pages that load it from here, such as
        /// "node_modules/socket.io/client-dist"; "" is none.
        client_dir: Option<PathBuf> = "", folder;
    }

    /// What one address, one socket, one topic and one message may take.
    limits: Limits {
        /// Sockets of one address, by WebSocket or polling. Of IPv6, a network of 64 bits is one address.
        connections_per_address: usize = 256, whole from 1 to 10_000_000;
        /// Connections of one address that are no sockets, or not yet, beside as many as it may have sockets: for pages,
        /// for polls, and for those that never say what they want. The next ones are closed unanswered. Trusted proxies
        /// may have any number.
        requests_per_address: usize = 256, whole from 1 to 10_000_000;
        /// Sockets a second that one address may open, in the long run.
        connects_per_second: u32 = 50, whole from 1 to 1_000_000_000;
        /// Sockets that one address may open at once.
        connects_burst: u32 = 512, whole from 1 to 1_000_000_000;
        /// Topics that one socket has joined at a time.
        joins_per_socket: usize = 100, whole from 1 to 1_000_000;
        /// Bytes of a topic's name; peer:UUID has 41.
        topic_bytes: usize = 255, whole from 41 to 65_536;
        /// Bytes of an event's name.
        event_bytes: usize = 255, whole from 16 to 65_536;
        /// Bytes of a frame, and of a message assembled from fragments.
        message_bytes: usize = 65_536, whole from 1_024 to 67_108_864;
        /// Bytes of a request that brings several messages, of a client that polls.
        batch_bytes: usize = 1_048_576, whole from 1_024 to 1_073_741_824;
        /// Fragments of a message.
        fragments: u32 = 1_024, whole from 1 to 1_000_000;
        /// Messages a second that one socket may send, in the long run.
        messages_per_second: u32 = 100, whole from 1 to 1_000_000_000;
        /// Messages that one socket may send at once.
        messages_burst: u32 = 500, whole from 1 to 1_000_000_000;
        /// Joins a second of one socket, in the long run.
        joins_per_second: u32 = 20, whole from 1 to 1_000_000_000;
        /// Joins of one socket at once.
        joins_burst: u32 = 200, whole from 1 to 1_000_000_000;
        /// Signals a minute to peers that are not there, in the long run: many of them are a search for ids.
        misses_per_minute: u32 = 60, whole from 1 to 1_000_000_000;
        /// Signals at once to peers that are not there.
        misses_burst: u32 = 60, whole from 1 to 1_000_000_000;
        /// Signals a minute to peers that are not there, of all sockets of one address, in the long run. After more of
        /// them, a new socket of that address has one such signal at once, and no burst.
        address_misses_per_minute: u32 = 600, whole from 1 to 1_000_000_000;
        /// Signals at once to peers that are not there, of all sockets of one address.
        address_misses_burst: u32 = 1_200, whole from 1 to 1_000_000_000;
        /// Peers that one socket watches at a time.
        watches_per_socket: usize = 100, whole from 0 to 1_000_000;
        /// Members of a topic.
        members_per_topic: usize = 100_000, whole from 1 to 10_000_000;
        /// Bytes of what all clients have asked of the registry and it has not taken up yet: joins, watches, changes of
        /// presence, signals that are to wait for a peer. Each takes 256 and its texts; with more waiting, the next ones
        /// are refused as overloaded.
        registry_queue_bytes: usize = 16_777_216, whole from 65_536 to 1_099_511_627_776;
        /// Bytes that wait for one client; with more it is a slow consumer, and is disconnected.
        queue_bytes: usize = 65_536, whole from 1_024 to 1_073_741_824;
        /// Time that a message waits for its client; after that it is a slow consumer, and is disconnected.
        queue_age: Duration = "5s", span from "10ms" to "1h";
    }

    /// What the peers that shake hands are told.
    peer: Peer {
        /// STUN and TURN servers, at most 16, as browsers take them: a list of
        /// `{ urls = "stun:stun.example.com:3478" }` or
        /// `{ urls = ["turn:turn.example.com"], username = "me", credential = "secret" }`; or, for a TURN server that
        /// shares a secret with us (coturn: use-auth-secret), `{ urls = ["turn:turn.example.com"], secret = "secret" }`:
        /// each peer is then told a username and credential of its own, which end.
        ice_servers: Vec<IceServer> = [], servers;
        /// How long credentials made from a TURN server's secret hold.
        turn_lifetime: Duration = "12h", span from "1m" to "7d";
    }

    /// PeerServer's protocol, for clients of PeerJS. The keys are PeerServer's own where it has them.
    peerjs: PeerJs {
        /// Whether it is spoken.
        enabled: bool = true, truth;
        /// What all its paths begin with: a client connects to PATHpeerjs.
        path: String = "/", base;
        /// The key that clients must name; "any" lets them name what they like.
        key: String = "peerjs", word;
        /// Offers, answers and candidates wait this long for a peer that is not there.
        expire_timeout: Duration = "5s", span from "100ms" to "1h";
        /// A client that sends nothing for this long is closed.
        alive_timeout: Duration = "60s", span from "100ms" to "24h";
        /// PeerJS clients at a time; the next ones are told that there are too many.
        concurrent_limit: usize = 5_000, whole from 1 to 10_000_000;
        /// Whether clients may ask for the list of all ids.
        allow_discovery: bool = false, truth;
        /// Web pages that may use it, written as `socket.check_origin`. PeerServer lets all of them.
        cors: Origins = ["any"], origins;
    }

    /// HelloWebRTC's protocol, at /hello and, for WebSockets, at /.
    hello: Hello {
        /// Whether it is spoken.
        enabled: bool = true, truth;
        /// Web pages that may use it, written as `socket.check_origin`. The original lets all of them.
        check_origin: Origins = ["any"], origins;
        /// How often a client is asked for a sign of life, by a WebSocket's ping.
        ping_interval: Duration = "25s", span from "100ms" to "1h";
        /// A client that does not give one for this long after is closed.
        ping_timeout: Duration = "20s", span from "100ms" to "1h";
        /// A client that has not spoken within this time, and so has no name, is closed.
        register_within: Duration = "10m", span from "100ms" to "24h";
    }

    /// What waits for a peer that is not there yet, where the protocol has it so (PeerJS).
    hold: Hold {
        /// Signals that wait for one peer.
        signals_per_name: usize = 64, whole from 1 to 1_000_000;
        /// Bytes that wait for one peer.
        bytes_per_name: usize = 262_144, whole from 1_024 to 1_073_741_824;
        /// Bytes of one address that wait, whoever they are for. Of IPv6, a network of 64 bits is one address.
        bytes_per_address: usize = 1_048_576, whole from 1_024 to 1_099_511_627_776;
        /// Bytes that wait in all.
        bytes: usize = 16_777_216, whole from 1_024 to 1_099_511_627_776;
    }

    /// Who is in a room, told to those who ask.
    presence: Presence {
        /// Changes of a room are gathered for this long and told as one.
        interval: Duration = "50ms", span from "1ms" to "1m";
        /// Rows of one topic.
        rows_per_topic: usize = 1_000, whole from 1 to 1_000_000;
        /// Bytes of what a client says of itself.
        meta_bytes: usize = 1_024, whole from 2 to 1_048_576;
    }

    /// Numbers for Prometheus.
    metrics: Metrics {
        /// IP address and port where they are read, at /metrics, and nowhere else; "" is none. Whoever can reach it
        /// can read it: keep it off the internet.
        listen: Option<SocketAddr> = "", address_or_none;
    }

    /// How the node ends when it is told to (SIGTERM, SIGINT).
    drain: Drain {
        /// Sockets are told to come back elsewhere, spread over this time; "0s" tells all at once.
        spread: Duration = "5s", span from "0s" to "1h";
        /// After this time the process ends all the same; not shorter than spread.
        timeout: Duration = "15s", span from "100ms" to "2h";
    }

    /// What is logged, to stderr.
    log: Log {
        /// off, error, warn, info, debug or trace; or a filter such as "info,handclasp=debug".
        level: String = "info", filter;
        /// "human" (lines to read) or "json" (an object a line: ts, level, target, msg).
        format: LogFormat = "human", log_format;
    }
}

/// What a line of the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Everything that is wrong with a configuration, a line each: where it is written, the key, the value, what is
/// allowed. Contents of `peer.ice_servers` are never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(Vec<String>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Errors {}

impl Config {
    /// The configuration of this process: like [`load`](Self::load), with the process's own environment.
    pub fn from_environment(file: Option<&Path>, sets: &[String], listen: Option<&str>) -> Result<Self, Errors> {
        // whatever is not UTF-8 is some other program's variable, or is refused with its odd characters replaced
        let text = |text: OsString| text.to_string_lossy().into_owned();
        let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        Self::load(file, variables, sets, listen)
    }

    /// Reads `file` (else the one that `HANDCLASP_CONFIG` names, else none), then `environment`, then `sets`
    /// (`section.key=value`), then `listen`; what comes later wins.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        sets: &[String],
        listen: Option<&str>,
    ) -> Result<Self, Errors> {
        let variables: Vec<(String, String)> = environment.into_iter().collect();
        let named = variables.iter().find(|(name, path)| name == "HANDCLASP_CONFIG" && !path.is_empty());
        let path = file.or_else(|| named.map(|(_, path)| Path::new(path)));

        let mut wrong = Vec::new();
        let text = path.map_or_else(String::new, |path| text_of(path, &mut wrong));
        let mut all = written::in_file(path.unwrap_or(Path::new("")), &text, &mut wrong);
        all.extend(written::in_environment(&variables));
        all.extend(written::in_sets(sets, &mut wrong));
        all.extend(listen.map(written::in_listen));
        Self::of(&all, wrong)
    }

    pub(crate) fn of(all: &[Written<'_>], mut wrong: Vec<String>) -> Result<Self, Errors> {
        let mut config = Self::default();
        wrong.extend(all.iter().filter_map(|written| config.put(written).err()));
        if wrong.is_empty() {
            wrong.extend(config.contradiction());
        }
        match wrong.is_empty() {
            true => Ok(config),
            false => Err(Errors(wrong)),
        }
    }

    fn put(&mut self, Written { name, value, place }: &Written<'_>) -> Result<(), String> {
        let setting = SETTINGS.iter().find(|setting| place.names(setting) == *name);
        match setting {
            Some(setting) => (setting.put)(self, value).map_err(|what| format!("{place}: {}: {what}", setting.key)),
            None => Err(format!("{}: no such key{}", place.of(name), nearest(name, place))),
        }
    }

    /// What is wrong only in the light of another value.
    fn contradiction(&self) -> Option<String> {
        let SocketIo { enabled, path, .. } = &self.socketio;
        if *enabled && self.socket.mounts.contains(path) {
            return Some(format!("socketio.path: {path:?} is one of socket.mounts too"));
        }
        if self.metrics.listen == Some(self.server.listen) && self.server.listen.port() != 0 {
            return Some(format!("metrics.listen: {} is server.listen too", self.server.listen));
        }
        let Drain { spread, timeout } = self.drain;
        let shown = humantime::format_duration;
        (spread > timeout).then(|| {
            format!(
                "drain.spread: {} is longer than drain.timeout, {}: some sockets would never be told",
                shown(spread),
                shown(timeout)
            )
        })
    }
}

fn text_of(path: &Path, wrong: &mut Vec<String>) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| {
        wrong.push(format!("{}: cannot be read: {error}", path.display()));
        String::new()
    })
}

/// The key that was probably meant, if one is near.
fn nearest(name: &str, place: &Place<'_>) -> String {
    let bare = |full: &str| full.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |full: &String| {
        let whole = strsim::osa_distance(full, name);
        // `[server]` forgotten, or the key written below another section
        if bare(full) == bare(name) { whole.min(1) } else { whole }
    };
    let names = SETTINGS.iter().map(|setting| place.names(setting));
    match names.min_by_key(distance) {
        Some(near) if distance(&near) <= 3 => format!("; did you mean {near}?"),
        _ => String::new(),
    }
}
