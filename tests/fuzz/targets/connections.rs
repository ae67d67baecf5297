//! Whole connections from the first byte on. Arbitrary bytes go over sockets to the node's own accept loop and HTTP
//! server, split where the input says; after an upgrade they may be framed as WebSocket messages.
//!
//! The first byte of an input selects how it is split, and how its clients close. The rest consists of parts, each
//! after a separator and a letter: see [`World::act`]. `SID` stands for the id of the last session that was opened.
//!
//! The target checks that nothing panics, that a well-behaved client is served meanwhile, that each connection closes
//! in time, that the server sends only HTTP and frames, and that the node is empty afterwards.

use std::cell::Cell;
use std::panic;
use std::sync::{Arc, LazyLock, Once};
use std::time::{Duration, Instant};

use actix_service::ServiceFactory;
use actix_web::rt::System;
use tokio::net::TcpListener;
use tokio::task::yield_now;

use super::app::app;
use super::client::Client;
use super::connection_input::{large, parts, seeds};
use super::responses;
use super::websocket::{framed, split};
use super::{SMALL, Target};
use crate::broker::RegistryStats;
use crate::config::schema::Config;
use crate::http::node_state::NodeState;
use crate::server::workers::{AcceptLimit, accept};

/// A little more than the limit on a request's headers (128 KiB in `actix_http`). A message's 64 KiB are below it.
const MAX_INPUT: usize = 140_000;
/// The maximum number of clients, and of pieces that a part is split into.
const MAX_CLIENTS: usize = 6;
const MAX_PIECES: usize = 8;
/// How often all runnable tasks run before the next piece is sent.
const YIELDS: usize = 5;
/// By how much one part advances the clock, and how often that may happen: together less than any timeout of a
/// well-behaved client.
const PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSES: u32 = 8;
/// The longest time until a connection closes, measured from silence after its first byte or from a close frame: a
/// minute, and the timeouts that may follow.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(180);
const STEP: Duration = Duration::from_secs(5);
/// How long to wait for the kernel, on a machine that is busy with other work. The tests cannot pause the clock of the
/// broker's timers.
const KERNEL_TIMEOUT: Duration = Duration::from_secs(60);

const WORDS: &[&str] = &[
    "\0=c",
    "\0=0",
    "\0=1",
    "\0=m",
    "\0=b",
    "\0=f",
    "\0=t",
    "\0=h",
    "\0=r",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    "\r\n\r\n",
    "\r\nHost: localhost",
    "\r\nConnection: Upgrade",
    "\r\nConnection: close",
    "\r\nUpgrade: websocket",
    "\r\nSec-WebSocket-Version: 13",
    "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "\r\nSec-WebSocket-Protocol: phoenix",
    "\r\nContent-Length: ",
    "\r\nTransfer-Encoding: chunked",
    "\r\nExpect: 100-continue",
    "\r\nOrigin: http://localhost",
    "\r\n0\r\n\r\n",
    "GET /socket/websocket?vsn=2.0.0",
    "GET /socket/longpoll?vsn=2.0.0",
    "GET /socket.io/?EIO=4&transport=polling",
    "GET /socket.io/?EIO=4&transport=websocket&sid=SID",
    "POST /socket.io/?EIO=4&transport=polling&sid=SID",
    "GET /peerjs?key=peerjs&id=a&token=b",
    "GET /hello",
    "2probe",
    "[null,\"1\",\"room:a\",\"phx_join\",{}]",
];

pub(super) const TARGETS: &[Target] = &[
    Target { name: "connections", run, seeds, dictionary: WORDS, max_len: SMALL },
    // a target of its own, because each input takes ten times as long
    Target { name: "connections_large", run, seeds: large, dictionary: WORDS, max_len: MAX_INPUT },
];

/// Limits that the clients here can reach. No proxy is trusted.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let sets = ["peerjs.allow_discovery=true", "limits.batch_bytes=100_000", "socketio.max_payload=80_000"];
    let mut config = Config::load(None, [], &sets.map(str::to_owned), None).expect("the settings are valid");
    // shorter than the configuration allows: it is measured with the system's clock, which this target cannot advance
    config.peerjs.expire_timeout = Duration::from_millis(5);
    config
});

fn run(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let before = panics();
    System::new().block_on(async {
        let mut world = World::new().await;
        for (letter, bytes) in parts(rest) {
            world.act(letter, &bytes, *mode).await;
        }
        world.check_serves_others().await;
        world.end(*mode).await;
    });
    assert_eq!(panics(), before, "a task has panicked");
}

/// How many panics there were on this thread. Those in spawned tasks are caught by the runtime.
fn panics() -> usize {
    thread_local!(static PANICS: Cell<usize> = const { Cell::new(0) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            before(panic);
        }));
    });
    PANICS.get()
}

/// A node that listens, and its clients.
struct World {
    node: Arc<NodeState>,
    address: std::net::SocketAddr,
    clients: Vec<Client>,
    current: usize,
    session: String,
    /// By how much the broker's clock is ahead of the system's.
    clock_offset: Duration,
}

impl World {
    async fn new() -> Self {
        #[cfg(feature = "fuzzing")]
        tokio::time::pause();
        let factory = app(CONFIG.clone());
        let node = factory.node.clone();
        let service = factory.service().new_service(()).await.ok().expect("a service");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let limit = AcceptLimit::new(2 * MAX_CLIENTS, node.pubsub.shared_metrics());
        actix_web::rt::spawn(async move { accept(listener, &limit, &service).await });
        let clients = vec![Client::new(address)];
        Self { node, address, clients, current: 0, session: "none".to_owned(), clock_offset: Duration::ZERO }
    }

    /// Runs one part. Its letter selects what happens:
    ///
    /// - `c`: a further client connects and sends the bytes; a digit: this client sends them.
    /// - `m`, `b`, `f`: the current client sends the bytes as a text message, as a binary message, or as a frame with
    ///   the given first byte.
    /// - `h`: the client sends the bytes and shuts down its write side; `r`: it sends them and closes the connection.
    /// - `t`: the client sends the bytes, and time passes.
    async fn act(&mut self, letter: u8, bytes: &[u8], mode: u8) {
        let bytes = match (letter, bytes) {
            (b'm', text) => framed(0x81, text),
            (b'b', bytes) => framed(0x82, bytes),
            (b'f', [first, payload @ ..]) => framed(*first, payload),
            _ => self.with_session(bytes),
        };
        match letter {
            b'c' if self.clients.len() < MAX_CLIENTS => {
                self.current = self.clients.len();
                self.clients.push(Client::new(self.address));
            }
            b'0'..=b'9' => self.current = usize::from(letter - b'0') % self.clients.len(),
            _ => {}
        }
        self.send(&bytes, mode).await;
        let client = &mut self.clients[self.current];
        match letter {
            b'h' => client.shut_down_write(),
            b'r' => client.close(),
            b't' if self.clock_offset < PAUSE * MAX_PAUSES => self.pass(PAUSE).await,
            _ => {}
        }
        self.check();
    }

    /// Replaces `SID` with the session id, if the bytes are text.
    fn with_session(&self, bytes: &[u8]) -> Vec<u8> {
        str::from_utf8(bytes).map_or(bytes.to_vec(), |text| text.replace("SID", &self.session).into_bytes())
    }

    async fn send(&mut self, bytes: &[u8], mode: u8) {
        let pieces = split(mode, bytes);
        let (several, last) = pieces.split_at(pieces.len().min(MAX_PIECES));
        for piece in several.iter().cloned().chain([last.concat().into()]) {
            self.clients[self.current].send(&piece);
            self.settle().await;
        }
    }

    /// Lets every runnable task run.
    async fn settle(&mut self) {
        for _ in 0..YIELDS {
            yield_now().await;
        }
        if let Some(session) = self.clients.iter_mut().filter_map(Client::receive).last() {
            self.session = session;
        }
    }

    /// Advances the clock by `time`: for timers, where their clock can be paused, and for the periodic sweeps.
    async fn pass(&mut self, time: Duration) {
        #[cfg(feature = "fuzzing")]
        tokio::time::sleep(time).await;
        self.clock_offset += time;
        self.settle().await;
        let now = Instant::now() + self.clock_offset;
        self.node.hub.sweep(now).iter().for_each(|closed| self.node.pubsub.down(closed));
        self.node.idle_connections.sweep(now);
        self.settle().await;
    }

    // ---- the guarantees

    fn check(&self) {
        let limit = self.node.config.limits.queue_bytes;
        let waiting = self.node.hub.queue_totals();
        assert!(waiting.most_bytes <= 2 * limit, "{} bytes are queued for one client", waiting.most_bytes);
        let metrics = self.node.pubsub.metrics();
        assert_eq!(metrics.channel_crashes.get(), 0, "a channel has panicked");
    }

    /// A well-behaved client gets its response immediately, whatever the others do.
    async fn check_serves_others(&mut self) {
        self.clients.push(Client::new(self.address));
        self.current = self.clients.len() - 1;
        self.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 7).await;
        let is_served = |client: &Client| client.received.starts_with(b"HTTP/1.1 200 OK\r\n");
        let started = Instant::now();
        while !is_served(&self.clients[self.current]) {
            assert!(
                started.elapsed() < KERNEL_TIMEOUT,
                "another client is not served: {:?}",
                self.clients[self.current]
            );
            self.settle().await;
        }
    }

    /// All clients close, or fall silent until they are disconnected. Then nothing of them may remain.
    async fn end(&mut self, mode: u8) {
        match mode >> 6 {
            // where the clock cannot be paused, do not wait for timers, only for the sweeps
            0 | 1 if cfg!(feature = "fuzzing") => {}
            0 | 1 => {
                self.pass(CLOSE_TIMEOUT).await;
                self.clients.iter_mut().for_each(Client::close);
            }
            2 if cfg!(feature = "fuzzing") => self.clients.iter_mut().for_each(Client::shut_down_write),
            _ => self.clients.iter_mut().for_each(Client::close),
        }
        let (started, mut waited) = (Instant::now(), Duration::ZERO);
        while let Some(remaining) = self.remaining().await {
            assert!(waited < CLOSE_TIMEOUT || started.elapsed() < KERNEL_TIMEOUT, "{remaining}");
            self.pass(STEP).await;
            waited += STEP;
        }
        self.check();
        self.clients.iter().for_each(|client| responses::check(&client.received));
    }

    /// What should be gone by now, if anything.
    async fn remaining(&self) -> Option<String> {
        if let Some(client) = self.clients.iter().find(|client| !client.is_closed) {
            return Some(format!("a connection does not close: {client:?}"));
        }
        // the node and its connection hub hold one reference each; every connection and every socket adds one
        let slots = Arc::strong_count(&self.node.ip_table) - 2;
        let (sockets, stats) = (self.node.hub.len(), self.node.pubsub.stats().await);
        let is_empty = (slots, sockets, stats) == (0, 0, RegistryStats::default());
        (!is_empty).then(|| format!("{slots} IP slots, {sockets} sockets and {stats:?} are left"))
    }
}
