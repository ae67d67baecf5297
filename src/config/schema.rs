//! The declaration of every key of the configuration: its type, default, range and description. Values are checked in
//! `value`, and the macro that reads the declarations is in `sections`.
//!
//! The doc comments of the keys are also the texts of `config/handclasp.toml` and of the table in the documentation.

use std::path::PathBuf;
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use ipnet::IpNet;
use toml::de::DeValue;

use crate::config::api::{ApiHosts, ApiKey, ApiListen};
use crate::config::auth::{AuthMode, KeySource};
use crate::config::cluster::{ClusterUrl, Engine, Isolated, NodeName, Secret};
use crate::config::hosts::PublicUrl;
use crate::config::https_url::HttpsUrl;
use crate::config::ice::IceServer;
use crate::config::listen::ListenAddress;
use crate::config::origin::Origins;
use crate::config::sections::sections;
use crate::config::value::{self, LogFormat};
use crate::config::webhooks::{HookEvent, SigningSecret};

/// The declaration of one key of the configuration.
#[derive(Debug)]
pub struct Setting {
    /// `section.key`.
    pub key: &'static str,
    /// The default, as it is written in a file.
    pub default: &'static str,
    /// The minimum and the maximum of a number or duration.
    pub range: Option<(&'static str, &'static str)>,
    /// The lines of the description.
    pub description: &'static [&'static str],
    pub(crate) set: fn(&mut Config, &DeValue<'_>) -> Result<(), String>,
}

impl Setting {
    /// The environment variable that sets this key: `HANDCLASP_LIMITS_QUEUE_BYTES` for `limits.queue_bytes`.
    pub fn variable(&self) -> String {
        variable(self.key)
    }
}

/// The environment variable of a key.
pub(crate) fn variable(key: &str) -> String {
    format!("HANDCLASP_{}", key.replace('.', "_").to_uppercase())
}

/// Parses the default in a key's declaration.
pub(crate) fn parse_default<T>(written: &str, read: impl FnOnce(&DeValue<'_>) -> Result<T, String>) -> T {
    let value = DeValue::parse(written).expect("a declared default is TOML: tests/server/config.rs reads them all");
    read(value.get_ref()).expect("a declared default is valid: tests/server/config.rs reads them all")
}

sections! {
    /// The public listener.
    server: Server {
        /// IP address or host name, and port, to listen on. Of a host name, all addresses are used: both loopback
        /// addresses for "localhost:4000". Port 0 picks a free port.
        listen: ListenAddress = "127.0.0.1:4000", address;
        /// URLs by which clients reach this node, such as `"https://broker.example.com"`. Requests whose `Host` header
        /// has another host get HTTP 421. Names of loopback, the host of `server.listen`, and the IP address to which
        /// the client has connected need not be listed. An empty list means that only requests to a loopback address
        /// are checked. The first URL is also the address of the picture in previews of links.
        public_urls: Vec<PublicUrl> = [], public_urls;
        /// Number of worker threads. 0 means one per core. With one worker, the registry runs on it; with more, the
        /// registry has its own thread.
        workers: usize = 0, integer from 0 to 256;
        /// Size of the kernel's accept queue.
        backlog: u32 = 1_024, integer from 1 to 65_535;
        /// Maximum number of sockets (WebSocket or long polling) on this node. Further ones get HTTP 503.
        connections: usize = 50_000, integer from 1 to 10_000_000;
        /// Timeout for receiving a request's headers, accurate to 0.5 s.
        header_timeout: Duration = "5s", duration from "1s" to "5m";
        /// Keep-alive timeout of idle HTTP connections, accurate to 0.5 s.
        keep_alive: Duration = "5s", duration from "1s" to "1h";
        /// IP addresses and networks of proxies, such as "10.0.0.0/8", whose `X-Forwarded-For` header is used to find the
        /// client IP, and whose `X-Forwarded-Host` header to find the requested host.
        trusted_proxies: Vec<IpNet> = [], networks;
    }

    /// TLS of the public listener. With a certificate, `server.listen` speaks https and wss alone.
    tls: Tls {
        /// PEM file with the certificate, followed by those that sign it, such as Let's Encrypt's fullchain.pem. "" means
        /// no TLS.
        cert: Option<PathBuf> = "", file;
        /// PEM file with the private key of the certificate: PKCS#8, PKCS#1 or SEC1, not encrypted. Required with
        /// `tls.cert`.
        key: Option<PathBuf> = "", file;
        /// How often the two files are read again. A changed pair is used when it was read twice, without a restart; new
        /// connections get the new certificate. On SIGHUP, the node reads and uses it at once.
        reload_interval: Duration = "1m", duration from "1s" to "24h";
        /// IP address or host name, and port, such as "0.0.0.0:80", where requests over http are redirected to https. ""
        /// means none.
        redirect: Option<ListenAddress> = "", address_or_none;
    }

    /// The web app at `/`.
    page: Page {
        /// Serve the web app.
        enabled: bool = true, boolean;
        /// Serve the files of this folder at `/` instead of the web app inside the binary: a page of your own, or the
        /// web app during its development. "" means the web app inside the binary.
        dir: Option<PathBuf> = "", folder;
        /// The header `Content-Security-Policy` of the page and its files. "" means the web app's own policy, which
        /// allows no inline scripts, and no policy for the files of `page.dir`.
        content_security_policy: Option<HeaderValue> = "", header_value;
        /// Serve the developers' page at `/dev`, the examples at `/examples/` and the documentation at `/docs/`, beside
        /// the web app or the files of `page.dir`.
        dev: bool = true, boolean;
        /// Path, on the page's own origin, where the web app gets its token: `"/app/token"`. The web app requests it with
        /// the page's cookies before each connection and before the token expires, and expects `{"token": "<token>"}`, or
        /// HTTP 401 if nobody is signed in. "" means that the web app has no tokens. It has no effect on the files of
        /// `page.dir`.
        token_url: Option<String> = "", token_path;
    }

    /// Phoenix sockets: where they are mounted, which web pages may connect, and their timeouts.
    socket: Socket {
        /// Path prefixes of the sockets. Clients connect to `<mount>/websocket`, or to `<mount>/longpoll` for long
        /// polling.
        mounts: Vec<String> = ["/socket", "/ws", "/peer"], mounts;
        /// Web pages that may connect, by their `Origin` header: "same" (pages of the requested host), "any", or a list
        /// of origins with or without "same": `"https://example.com"`, `"//example.com:8443"` (any scheme),
        /// `"//*.example.com"` (that domain and its subdomains), `"file://"` (embedded browsers such as Cordova), "null"
        /// (pages that hide where they are from, or opened from a file). "any" does not allow "null": list both.
        /// Requests without an `Origin` header do not come from a web page and are always allowed.
        check_origin: Origins = ["same"], origins;
        /// A client that sends nothing for this long is disconnected.
        idle_timeout: Duration = "60s", duration from "100ms" to "24h";
        /// A client that accepts no bytes for this long is disconnected. A slow client reads in steps: at 20 kB/s the
        /// kernel reports room for more every 6 s, at 5 kB/s every 25 s.
        write_timeout: Duration = "15s", duration from "100ms" to "10m";
        /// How long a closing connection may take: a client that has not answered the close frame and ended its
        /// connection within this time is aborted.
        close_timeout: Duration = "5s", duration from "100ms" to "10m";
        /// Size of the kernel's send buffer of each connection, in bytes. The kernel doubles it for its own use. It is
        /// memory outside of the process, and not a part of `limits.memory_bytes`.
        send_buffer_bytes: usize = 131_072, integer from 4_096 to 67_108_864;
        /// How long a long-polling request waits for messages before it is answered empty. Also the time that the body
        /// of a long-polling request may take to arrive.
        poll_window: Duration = "10s", duration from "100ms" to "10m";
        /// A client that has joined no topic within this time is disconnected.
        join_timeout: Duration = "30s", duration from "100ms" to "24h";
        /// Timeout of a mount's asynchronous `connect`. When it expires, the client gets HTTP 503.
        connect_timeout: Duration = "5s", duration from "10ms" to "10m";
    }

    /// Socket.IO, for clients of versions 0.9 and 1 to 4. The default namespace relays messages between the pages of
    /// one application.
    socketio: SocketIo {
        /// Serve Socket.IO.
        enabled: bool = true, boolean;
        /// Path where clients connect; Socket.IO's `path`.
        path: String = "/socket.io", mount;
        /// Web pages that may use Socket.IO, in the form of `socket.check_origin`. The default allows all, pages opened
        /// from a file included, like the original servers. The relay uses no cookies: a page of another origin has no
        /// more rights than any other client.
        check_origin: Origins = ["any", "null"], origins;
        /// Interval between pings; Socket.IO's `pingInterval`. The server pings clients of version 0.9, and of 3 and
        /// later; others ping the server. A poll of version 0.9 is answered at the latest after this time.
        ping_interval: Duration = "25s", duration from "100ms" to "1h";
        /// A client is disconnected if it sends nothing for this long after `socketio.ping_interval`; Socket.IO's
        /// `pingTimeout`.
        ping_timeout: Duration = "20s", duration from "100ms" to "1h";
        /// Timeout for the upgrade from long polling to WebSocket; Socket.IO's `upgradeTimeout`. When it expires, the
        /// WebSocket is closed and long polling continues.
        upgrade_timeout: Duration = "10s", duration from "100ms" to "1h";
        /// Maximum size of a message and of a request body, in bytes; Socket.IO's `maxHttpBufferSize`, which clients
        /// receive as `maxPayload`.
        max_payload: usize = 524_288, integer from 1_024 to 67_108_864;
        /// A client that has joined no namespace within this time is disconnected; Socket.IO's `connectTimeout`.
        connect_timeout: Duration = "45s", duration from "100ms" to "24h";
        /// Folder with a copy of the Socket.IO client, served as `<path>/socket.io.js` for pages that load it from this
        /// server, such as "node_modules/socket.io/client-dist". "" means none.
        client_dir: Option<PathBuf> = "", folder;
    }

    /// Tokens: signed JWTs by which clients show who they are and what they may do.
    auth: Auth {
        /// "off": tokens are ignored. "turn": clients may connect without a token, and receive no TURN servers that
        /// need credentials then; a token that is sent is checked. "required": clients of Phoenix, PeerJS and Socket.IO, and requests to `ice.path`, need
        /// a valid token. HelloWebRTC, the plain relay and the list of PeerJS ids have no place for one, and are closed.
        mode: AuthMode = "off", auth_mode;
        /// Secrets of tokens that are signed with HS256: up to 4 texts of 32 to 512 bytes. All are accepted; `handclasp
        /// token` signs with the first. `openssl rand -base64 32` makes one. The environment variable
        /// HANDCLASP_AUTH_SECRETS keeps them out of files.
        secrets: Vec<Secret> = [], secrets;
        /// JWK Set: a file, which is read once, at the start; or an `https:` URL (`http:` for loopback alone). RSA keys of
        /// 2,048 to 8,192 bits (RS256), P-256 (ES256), Ed25519 (EdDSA) and, in a file, oct (HS256), at most 32. "" means
        /// none.
        jwks: Option<KeySource> = "", key_source;
        /// How often the JWK Set at a URL is read. An unknown key of a token has it read sooner, at most every 30 s.
        jwks_refresh: Duration = "10m", duration from "1m" to "24h";
        /// The claim `aud` of each token must be or contain this text.
        audience: String = "handclasp", claim;
        /// The claim `iss` of each token must be this text. "" means any.
        issuer: Option<String> = "", claim_or_none;
        /// How much the clock of the machine that signs the tokens may differ from this one.
        leeway: Duration = "10s", duration from "0s" to "5m";
        /// A client is disconnected after this time, even if its token is valid for longer.
        max_session: Duration = "24h", duration from "1m" to "30d";
        /// Maximum number of sockets of one subject (`iss` and `sub`) on this node.
        sockets_per_subject: usize = 64, integer from 1 to 1_000_000;
        /// File that keeps the revocations of tokens over a restart. "" keeps them in memory alone.
        revocations: Option<PathBuf> = "", state_file;
    }

    /// Limits per client IP, socket, topic and message. An IPv6 /64 network counts as one client IP.
    limits: Limits {
        /// Maximum number of sockets (WebSocket or long polling) per client IP. An IPv6 /64 network counts as one IP.
        /// For a further one, the oldest long-polling session that was never used is closed; if there is none, it gets
        /// HTTP 429.
        sockets_per_ip: usize = 256, integer from 1 to 10_000_000;
        /// Maximum number of HTTP connections per client IP that are not (yet) WebSockets: page loads, long polls, idle
        /// connections. They do not count against the limit of sockets. Further ones are closed without a response.
        /// Trusted proxies are exempt.
        http_connections_per_ip: usize = 256, integer from 1 to 10_000_000;
        /// Sustained rate of new sockets per client IP, in sockets per second. Clients of one kind (same `User-Agent`,
        /// `Origin` and mount) may use half of it.
        connects_per_second: u32 = 50, integer from 1 to 1_000_000_000;
        /// Burst of new sockets per client IP. Clients of one kind may use half of it.
        connects_burst: u32 = 512, integer from 1 to 1_000_000_000;
        /// Maximum number of topics that one socket has joined at a time.
        joins_per_socket: usize = 100, integer from 1 to 1_000_000;
        /// Maximum length of a topic name, in bytes. `peer:<uuid>` has 41.
        topic_bytes: usize = 255, integer from 41 to 65_536;
        /// Maximum length of an event name, in bytes.
        event_bytes: usize = 255, integer from 16 to 65_536;
        /// Maximum size of a WebSocket frame, and of a message reassembled from fragments, in bytes.
        message_bytes: usize = 524_288, integer from 1_024 to 67_108_864;
        /// Maximum size of a long-polling request that carries several messages, in bytes.
        batch_bytes: usize = 1_048_576, integer from 1_024 to 1_073_741_824;
        /// Maximum number of fragments of a message.
        fragments: u32 = 1_024, integer from 1 to 1_000_000;
        /// Sustained rate of messages per socket, in messages per second.
        messages_per_second: u32 = 100, integer from 1 to 1_000_000_000;
        /// Burst of messages per socket. A client that exceeds the burst by as much again is disconnected.
        messages_burst: u32 = 500, integer from 1 to 1_000_000_000;
        /// Sustained rate of what one socket sends, in bytes per second: its messages, however they arrive.
        bytes_per_second: u32 = 524_288, integer from 1 to 4_000_000_000;
        /// Burst of bytes per socket. A larger message counts as a whole burst. A client that exceeds the burst by as
        /// much again is disconnected.
        bytes_burst: u32 = 8_388_608, integer from 1 to 4_000_000_000;
        /// Sustained rate of what one socket causes to be sent, in bytes per second: the size of each message to a topic,
        /// for each of the topic's members on this node.
        fanout_bytes_per_second: u32 = 33_554_432, integer from 1 to 4_000_000_000;
        /// Burst of bytes that one socket causes to be sent. Once it is used up, messages to topics are refused until the
        /// sustained rate has made up for what was sent.
        fanout_bytes_burst: u32 = 268_435_456, integer from 1 to 4_000_000_000;
        /// Sustained rate of joins per socket, in joins per second.
        joins_per_second: u32 = 20, integer from 1 to 1_000_000_000;
        /// Burst of joins per socket.
        joins_burst: u32 = 200, integer from 1 to 1_000_000_000;
        /// Sustained rate of not-found requests per socket, per minute: signals to absent peers, watches of absent peers,
        /// and joins of names (peer ids, PeerJS ids) other than the socket's first. A client that sends many of them is
        /// probably guessing ids.
        not_found_per_minute: u32 = 60, integer from 1 to 1_000_000_000;
        /// Burst of not-found requests per socket. The default is enough for `limits.watches_per_socket` absent peers.
        not_found_burst: u32 = 120, integer from 1 to 1_000_000_000;
        /// Sustained rate of not-found requests per client IP, per minute, over all its sockets. Once it is exhausted,
        /// new sockets from that IP start with a budget of one and no burst.
        not_found_per_minute_per_ip: u32 = 600, integer from 1 to 1_000_000_000;
        /// Burst of not-found requests per client IP, over all its sockets.
        not_found_burst_per_ip: u32 = 6_000, integer from 1 to 1_000_000_000;
        /// Sustained rate of requests to `ice.path` per client IP, per minute. Further ones get HTTP 429.
        ice_per_minute_per_ip: u32 = 600, integer from 1 to 1_000_000_000;
        /// Burst of requests to `ice.path` per client IP.
        ice_burst_per_ip: u32 = 512, integer from 1 to 1_000_000_000;
        /// Maximum number of peers that one socket watches at a time.
        watches_per_socket: usize = 100, integer from 0 to 1_000_000;
        /// Maximum number of members of a topic.
        members_per_topic: usize = 100_000, integer from 1 to 10_000_000;
        /// Maximum size of the registry's command queue (joins, watches, presence updates, held signals of all
        /// clients), in bytes. Each command counts 256 bytes plus its strings. When the queue is full, further commands
        /// are refused as `overloaded`. What other nodes send to the registry has a queue of the same size. When that one
        /// is full, the node drops packets and asks the other nodes again. As much may wait of presence lists that other
        /// nodes send in parts.
        registry_queue_bytes: usize = 16_777_216, integer from 65_536 to 1_099_511_627_776;
        /// Maximum size of the data that waits on this node, in bytes: queues, output, bodies, fragments, held
        /// signals. A message that waits for several clients counts once. When 7/8 are in use, the clients that hold most
        /// for the longest time are disconnected; when all is in use, new clients get HTTP 503 and messages are refused
        /// as `overloaded`. 0 means a quarter of the machine's memory (or of its control group's), at most 512 MiB.
        memory_bytes: usize = 0, integer from 0 to 1_099_511_627_776;
        /// Maximum size of the queue of messages to a client that is behind, in bytes. A client is behind while its
        /// connection does not accept all that was written to it. A client whose queue is full is a slow consumer and is
        /// disconnected.
        queue_bytes: usize = 8_388_608, integer from 1_024 to 1_073_741_824;
        /// Maximum time that a client may accept nothing while messages wait for it. After that it is a slow consumer
        /// and is disconnected.
        queue_age: Duration = "15s", duration from "10ms" to "1h";
        /// When a client joins a name (such as `peer:<id>` or a PeerJS id) that another client owns, the owner is pinged.
        /// If it sends nothing for this long, it is disconnected and the name is free. Otherwise the join is refused. It
        /// must be shorter than `socket.poll_window` for long-polling Phoenix clients: a longer join gets status 408.
        contest_timeout: Duration = "2s", duration from "10ms" to "1m";
        /// Maximum number of futures that the channels of one socket run at a time.
        tasks_per_socket: usize = 100, integer from 0 to 1_000_000;
    }

    /// What a peer receives when it joins.
    peer: Peer {
        /// STUN and TURN servers that each peer receives, at most 16, in the form of a browser's `iceServers`: `{ urls
        /// = "stun:stun.example.com:3478" }` or `{ urls = ["turn:turn.example.com"], username = "me", credential =
        /// "secret" }`. For a TURN server with a shared secret (coturn: use-auth-secret), write `{ urls =
        /// ["turn:turn.example.com"], secret = "secret" }`: each peer then receives its own short-lived username and
        /// credential.
        ice_servers: Vec<IceServer> = [], servers;
        /// Lifetime of the credentials that are made from a TURN server's secret.
        turn_lifetime: Duration = "12h", duration from "1m" to "7d";
    }

    /// The servers of `peer.ice_servers` for clients whose protocol has no message for them, such as PeerJS.
    ice: Ice {
        /// Answer `GET` requests to `ice.path`, and the event `ice` of the Socket.IO relay, with `{"iceServers": [...]}`.
        /// Each response has credentials of its own.
        enabled: bool = true, boolean;
        /// Path of these requests.
        path: String = "/ice", mount;
        /// Web pages that receive the servers, in the form of `socket.check_origin`. The default allows only pages of
        /// the requested host, because other sites could otherwise use your TURN servers.
        check_origin: Origins = ["same"], origins;
    }

    /// The PeerServer protocol, for PeerJS clients. Keys have PeerServer's names where PeerServer has them.
    peerjs: PeerJs {
        /// Enable the PeerJS protocol.
        enabled: bool = true, boolean;
        /// Path prefix of all PeerJS paths, such as "/" or "/myapp". Clients connect to `/peerjs` below it.
        path: String = "/", path_prefix;
        /// API key that clients must send. "any" accepts every key.
        key: String = "peerjs", token;
        /// How long an offer, answer or candidate to an absent peer is held.
        expire_timeout: Duration = "5s", duration from "100ms" to "1h";
        /// A client that sends nothing for this long is disconnected. It is pinged three times in this time. A client of
        /// PeerJS 0.3 without a WebSocket opens a new stream every 25 s instead, so less than 30 s disconnects it.
        alive_timeout: Duration = "60s", duration from "100ms" to "24h";
        /// Maximum number of PeerJS clients. Further ones get an error message and are disconnected.
        concurrent_limit: usize = 5_000, integer from 1 to 10_000_000;
        /// Allow clients to list all ids.
        allow_discovery: bool = false, boolean;
        /// Web pages that may use the PeerJS protocol, in the form of `socket.check_origin`. The default allows all,
        /// like PeerServer, but those that hide where they are from or are opened from a file: add "null" for them.
        cors: Origins = ["any"], origins;
    }

    /// The HelloWebRTC protocol, at `/hello` and, for WebSockets, at `/`.
    hello: Hello {
        /// Enable the HelloWebRTC protocol. Any client may use any name, and then receives what is sent to it: turn the
        /// protocol on only for pages that need it.
        enabled: bool = false, boolean;
        /// Web pages that may use the HelloWebRTC protocol, in the form of `socket.check_origin`. The default allows
        /// all, like the original server, but "null".
        check_origin: Origins = ["any"], origins;
        /// Interval between WebSocket pings.
        ping_interval: Duration = "25s", duration from "100ms" to "1h";
        /// A client is disconnected if it sends nothing for this long after `hello.ping_interval`.
        ping_timeout: Duration = "20s", duration from "100ms" to "1h";
        /// A client that has registered no name within this time is disconnected.
        register_timeout: Duration = "10m", duration from "100ms" to "24h";
    }

    /// A plain relay for pages that use a WebSocket without a protocol: each message goes to all other clients of the
    /// relay.
    relay: Relay {
        /// Serve the relay. All its clients receive everything, so turn it on only for pages that need it.
        enabled: bool = false, boolean;
        /// Path where clients connect.
        path: String = "/relay", mount;
        /// Web pages that may use the relay, in the form of `socket.check_origin`. The default allows all, like the
        /// original servers.
        check_origin: Origins = ["any", "null"], origins;
        /// Interval between WebSocket pings.
        ping_interval: Duration = "25s", duration from "100ms" to "1h";
        /// A client is disconnected if it sends nothing for this long after `relay.ping_interval`.
        ping_timeout: Duration = "20s", duration from "100ms" to "1h";
    }

    /// Signals that are held for an absent peer. Only the PeerJS protocol holds signals.
    held_signals: HeldSignals {
        /// Maximum number of signals held for one absent peer.
        signals_per_name: usize = 64, integer from 1 to 1_000_000;
        /// Maximum size of the signals held for one absent peer, in bytes.
        bytes_per_name: usize = 1_048_576, integer from 1_024 to 1_073_741_824;
        /// Maximum size of the held signals from one client IP, in bytes. An IPv6 /64 network counts as one IP.
        bytes_per_ip: usize = 4_194_304, integer from 1_024 to 1_099_511_627_776;
        /// Maximum size of all held signals, in bytes.
        bytes: usize = 16_777_216, integer from 1_024 to 1_099_511_627_776;
    }

    /// Presence lists of rooms.
    presence: Presence {
        /// Changes of a presence list are collected for this long and sent as one `presence_diff`. Watchers of a peer that
        /// comes and goes are notified at most once in this time.
        interval: Duration = "50ms", duration from "1ms" to "1m";
        /// Maximum number of presence entries of a topic.
        entries_per_topic: usize = 1_000, integer from 1 to 1_000_000;
        /// Maximum size of a presence `meta` object, in bytes.
        meta_bytes: usize = 1_024, integer from 2 to 1_048_576;
    }

    /// Several nodes as one broker: clients reach each other whichever node they are connected to. An engine connects the
    /// nodes: a Redis (or Valkey) or NATS server that you run. It sees topics, ids and payloads.
    cluster: Cluster {
        /// The engine: "none", "redis" or "nats". "none" means that this node is alone.
        engine: Engine = "none", engine;
        /// URLs of the engine's servers, at most 16. Redis: `"redis://user:password@host:6379"`, `rediss://` for TLS, or
        /// `"redis+sentinel://host:26379/service"` for each Sentinel. NATS: `"nats://user:password@host:4222"` for each
        /// server of its cluster, `tls://` for TLS. Redis Cluster is not supported.
        urls: Vec<ClusterUrl> = [], cluster_urls;
        /// A secret of 32 to 512 bytes, the same on every node, by which nodes recognise each other's messages. `openssl
        /// rand -base64 32` makes one. The environment variable HANDCLASP_CLUSTER_SECRET keeps it out of files. An engine
        /// requires it; "" means none.
        secret: Option<Secret> = "", secret;
        /// Name of this node in logs and in the list of nodes: letters, digits, `-`, `_` and `.`, at most 64 bytes. ""
        /// means the host's name. Each start adds a random suffix, so that two nodes may have the same name.
        node: NodeName = "", node_name;
        /// First part of every key, channel and subject in the engine: letters, digits, `-` and `_`, at most 64 bytes.
        /// Clusters that share an engine need different prefixes.
        prefix: String = "handclasp", key_prefix;
        /// A node that is silent for this long is dead: its names are free, and its presence entries are removed. At
        /// least four times `cluster.timeout`.
        lease: Duration = "10s", duration from "2s" to "5m";
        /// Timeout for an answer of the engine or of another node.
        timeout: Duration = "500ms", duration from "50ms" to "10s";
        /// Maximum size of what waits to be sent to the engine, in bytes. When it is reached, signals to other nodes and
        /// claims of names are refused, and messages to members on other nodes are dropped and counted.
        queue_bytes: usize = 16_777_216, integer from 65_536 to 1_099_511_627_776;
        /// Which new names this node grants while it has no connection to the engine: "proven" (names that no other
        /// client can take, such as ids of UUID version 8), "all" (another node may grant the same name: one of the two
        /// clients loses it later) or "none".
        isolated: Isolated = "proven", isolated;
    }

    /// The server API: what a backend can ask of this node over HTTP, on a listener of its own.
    api: Api {
        /// Address of the listener: an IP address or host name, and port, such as "127.0.0.1:4001", or a unix socket, such as
        /// "unix:/run/handclasp/api.sock" (mode 0660). "" means off.
        listen: Option<ApiListen> = "", api_listen;
        /// Keys, at most 16: `{ name = "shop", key = "...", permissions = ["read", "publish"] }`. A key has 32 to 512 bytes;
        /// `openssl rand -base64 32` makes one. The permissions are read, publish, disconnect, revoke and drain. A listener
        /// with a port needs a key; on a unix socket, the file's permissions take its place. The environment variable
        /// HANDCLASP_API_KEYS keeps keys out of files.
        keys: Vec<ApiKey> = [], api_keys;
        /// Host names and IP addresses by which requests may name the listener in `Host`. Others get HTTP 421, so that no
        /// web page can reach it by DNS rebinding. Not checked on a unix socket.
        hosts: ApiHosts = ["localhost", "127.0.0.1", "[::1]"], api_hosts;
        /// Sustained rate of requests of one key, in requests per second. As many are allowed at once. Further ones get HTTP
        /// 429.
        requests_per_second: u32 = 1_000, integer from 1 to 1_000_000;
        /// Maximum size of a request's body, in bytes.
        body_bytes: usize = 1_048_576, integer from 1_024 to 67_108_864;
    }

    /// Webhooks: requests that tell a backend when peers come and go, and when rooms fill and empty.
    webhooks: Webhooks {
        /// URL that events are sent to, such as `"https://backend.example.com/hooks"`. `http` is allowed for this machine
        /// alone. It must have no user name. "" means none.
        url: Option<HttpsUrl> = "", https_url_or_none;
        /// Secrets that sign the requests: 1 or 2 texts of `whsec_` and the base64 of 24 to 64 bytes. `echo
        /// "whsec_$(openssl rand -base64 32)"` makes one. All sign, so that a secret can be changed without a break. The
        /// environment variable HANDCLASP_WEBHOOKS_SECRETS keeps them out of files. `webhooks.url` requires them.
        secrets: Vec<SigningSecret> = [], signing_secrets;
        /// The events that are sent. `node_up`, `node_down` and `lost` always are.
        events: Vec<HookEvent> = ["peer_up", "peer_down", "room_occupied", "room_vacated"], hook_events;
        /// The topics of these events, at most 64: names, or beginnings with "*", such as "peer:*" and "room:team-*".
        /// Names of other protocols begin with the protocol: "peerjs:*", "socketio:*".
        topics: Vec<String> = ["*"], patterns;
        /// If a peer or a room comes back within this time, no event is sent. "0s" sends each change.
        grace_period: Duration = "5s", duration from "0s" to "5m";
        /// Events are collected for this long and sent in one request.
        batch_interval: Duration = "100ms", duration from "10ms" to "10s";
        /// Timeout for a request, from the look-up of the host to the end of the response.
        timeout: Duration = "5s", duration from "100ms" to "30s";
        /// When requests have failed for this long, the events that wait are dropped, and an event `lost` says how many.
        give_up_after: Duration = "5m", duration from "1s" to "24h";
        /// Maximum number of events that wait to be sent, including peers and rooms within `webhooks.grace_period`. An
        /// event takes about 256 bytes, its name and its subject, which do not count against `limits.memory_bytes`. Further
        /// ones are dropped, and an event `lost` says how many.
        queue_size: usize = 10_000, integer from 100 to 1_000_000;
    }

    /// Prometheus metrics.
    metrics: Metrics {
        /// IP address or host name, and port, of the metrics listener, which serves `/metrics`. "" means off. There is no
        /// authentication: restrict access to it.
        listen: Option<ListenAddress> = "", address_or_none;
    }

    /// Graceful shutdown on SIGTERM or SIGINT.
    drain: Drain {
        /// Sockets are closed evenly over this time, so that their clients do not all reconnect at once. "0s" closes
        /// all immediately.
        spread: Duration = "5s", duration from "0s" to "1h";
        /// The process exits after this time even if connections are still open. Must not be shorter than
        /// `drain.spread`.
        timeout: Duration = "15s", duration from "100ms" to "2h";
    }

    /// The log, written to stderr.
    log: Log {
        /// off, error, warn, info, debug or trace; or a filter such as "info,handclasp=debug".
        level: String = "info", filter;
        /// "human" (text lines) or "json" (one object per line: ts, level, target, msg).
        format: LogFormat = "human", log_format;
        /// Maximum number of lines per minute about web pages and host names that are refused. The next line says how
        /// many refusals have none. 0 means no such lines.
        refusals_per_minute: u32 = 60, integer from 0 to 1_000_000;
    }
}
