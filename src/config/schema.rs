//! Every key of the configuration, declared once: its type, default, range and a sentence.
//!
//! The texts of `config/handclasp.toml` are these doc comments.

use crate::config::ice::IceServer;
use crate::config::origin::Origins;
use crate::config::value::LogFormat;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use toml::de::DeValue;

/// One key of the configuration, as it was declared.
#[derive(Debug)]
pub struct Setting {
    /// `section.key`.
    pub key: &'static str,
    /// The default, as one would write it in a file.
    pub default: &'static str,
    /// The least and the most that it may be, where it has an order.
    pub range: Option<(&'static str, &'static str)>,
    /// What it is for, line by line.
    pub says: &'static [&'static str],
    pub(crate) put: fn(&mut Config, &DeValue<'_>) -> Result<(), String>,
}

impl Setting {
    /// The environment variable that sets it: `HANDCLASP_LIMITS_QUEUE_BYTES` for `limits.queue_bytes`.
    pub fn variable(&self) -> String {
        format!("HANDCLASP_{}", self.key.replace('.', "_").to_uppercase())
    }
}

/// Declares the sections of [`Config`]: from each line come the field, its documentation, its default, the reader
/// that checks it and its entry in the list of settings.
macro_rules! sections {
    ($(
        $(#[doc = $about:literal])+
        $section:ident: $Section:ident {
            $(
                $(#[doc = $says:literal])+
                $field:ident: $type:ty = $default:tt, $kind:ident $(from $low:tt to $high:tt)?;
            )+
        }
    )+) => {
        $(
            $(#[doc = $about])+
            #[derive(Debug, Clone, PartialEq)]
            pub struct $Section {
                $(
                    $(#[doc = $says])+
                    #[doc = ""]
                    #[doc = concat!("Default `", stringify!($default), "`" $(, ", from `", stringify!($low), "` to `", stringify!($high), "`")?, ".")]
                    pub $field: $type,
                )+
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self {
                        $($field: $crate::config::schema::standard(stringify!($default), |value| {
                            $crate::config::value::$kind(value $(, $low, $high)?)
                        }),)+
                    }
                }
            }
        )+

        /// The whole configuration, checked. See the [module](crate::config) for where it comes from.
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct Config {
            $($(#[doc = $about])+ pub $section: $Section,)+
        }

        /// Every key there is, in the order of their declaration.
        pub const SETTINGS: &[Setting] = &[$($(Setting {
            key: concat!(stringify!($section), ".", stringify!($field)),
            default: stringify!($default),
            range: [$(Some((stringify!($low), stringify!($high))),)? None][0],
            says: &[$($says),+],
            put: |config, value| {
                config.$section.$field = $crate::config::value::$kind(value $(, $low, $high)?)?;
                Ok(())
            },
        },)+)+];
    };
}

/// Reads a default off its declaration.
pub(crate) fn standard<T>(written: &str, read: impl FnOnce(&DeValue<'_>) -> Result<T, String>) -> T {
    let value = DeValue::parse(written).expect("a declared default is TOML: tests/server/config.rs reads them all");
    read(value.get_ref()).expect("a declared default is valid: tests/server/config.rs reads them all")
}

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
        join_timeout: Duration = "30s", span from "100ms" to "24h";
        /// An asynchronous `connect` of a mount that takes longer than this is given up, and its client refused.
        connect_timeout: Duration = "5s", span from "10ms" to "10m";
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
        /// Futures that the channels of one socket run at a time.
        tasks_per_socket: usize = 100, whole from 0 to 1_000_000;
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
