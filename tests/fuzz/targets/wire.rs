//! Whole connections from their first byte on: any bytes, over sockets, to the node's own accept loop and HTTP server,
//! cut where the input says; and what follows an upgrade, with its frames in between.
//!
//! The input's first byte says how it is cut, and how its clients end. The rest is in parts, each behind a mark and a
//! letter: see [`World::act`]. `SID` stands for the name of the last session that was opened.
//!
//! No fault must be left: nothing panics, a client that behaves is served meanwhile, each connection ends by its time,
//! what it was told is HTTP and frames, and the node is then as empty as it was before.

use std::cell::Cell;
use std::panic;
use std::sync::{Arc, LazyLock, Once};
use std::time::{Duration, Instant};

use actix_service::ServiceFactory;
use actix_web::rt::System;
use tokio::net::TcpListener;
use tokio::task::yield_now;

use super::answers;
use super::callers::{large, parts, seeds};
use super::client::Client;
use super::site::site;
use super::websocket::{cut, framed};
use super::{SMALL, Target};
use crate::broker::registry::command::RegistryStats;
use crate::config::schema::Config;
use crate::http::node_state::NodeState;
use crate::server::workers::{AcceptLimit, accept};

/// Just above what a request's headers may take in all (`actix_http`'s 128 KiB); a message's 64 KiB are below.
const MOST: usize = 140_000;
/// How many clients there are at most, and in how many pieces one part comes.
const CLIENTS: usize = 6;
const PIECES: usize = 8;
/// How often all tasks that can go on have their turn before the next piece comes.
const TURNS: usize = 5;
/// How far one part lets the time pass, and all of them together: less than what one who behaves may take.
const MOMENT: Duration = Duration::from_millis(500);
const MOMENTS: u32 = 8;
/// How long a connection takes to end at most, silent from the first byte on, or said goodbye to at its last: a minute,
/// and all that is waited for besides.
const PATIENCE: Duration = Duration::from_secs(180);
const STEP: Duration = Duration::from_secs(5);
/// For how long the kernel is waited for at most, on a machine that is busy with other things, and without a clock that
/// can be stopped for the broker's own times.
const GRACE: Duration = Duration::from_secs(60);

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
    Target { name: "wire", run, seeds, words: WORDS, most: SMALL },
    // apart, for each input takes ten times as long
    Target { name: "wire_large", run, seeds: large, words: WORDS, most: MOST },
];

/// What a node takes that the clients here can bring, and no proxy that is believed.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let sets = ["peerjs.allow_discovery=true", "limits.batch_bytes=100_000", "socketio.max_payload=80_000"];
    let mut config = Config::load(None, [], &sets.map(str::to_owned), None).expect("what is set here is allowed");
    // shorter than it may be: what is held has the world's time for it, which does not pass by itself here
    config.peerjs.expire_timeout = Duration::from_millis(5);
    config
});

fn run(data: &[u8]) {
    let Some((how, tape)) = data.split_first() else { return };
    let before = panics();
    System::new().block_on(async {
        let mut world = World::new().await;
        for (letter, bytes) in parts(tape) {
            world.act(letter, &bytes, *how).await;
        }
        world.serves_others().await;
        world.end(*how).await;
    });
    assert_eq!(panics(), before, "something has panicked, and was caught");
}

/// How often something has panicked on this thread: what does in a task of its own is caught there.
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
    speaking: usize,
    session: String,
    /// By how much the broker's clock is ahead of the world's.
    ahead: Duration,
}

impl World {
    async fn new() -> Self {
        #[cfg(feature = "fuzzing")]
        tokio::time::pause();
        let site = site(CONFIG.clone());
        let node = site.node.clone();
        let service = site.service().new_service(()).await.ok().expect("a service");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let entry = AcceptLimit::new(2 * CLIENTS, node.pubsub.shared_metrics());
        actix_web::rt::spawn(async move { accept(listener, &entry, service).await });
        let clients = vec![Client::new(address)];
        Self { node, address, clients, speaking: 0, session: "none".to_owned(), ahead: Duration::ZERO }
    }

    /// - `c`: a further client comes, and says this; a digit: that client does.
    /// - `m`, `b`, `f`: the client says this as a message of text or of bytes, or as a frame with this for its first
    ///   byte.
    /// - `h`: it says this, and nothing more; `r`: it says this, and hangs up.
    /// - `t`: it says this, and time passes.
    async fn act(&mut self, letter: u8, bytes: &[u8], how: u8) {
        let bytes = match (letter, bytes) {
            (b'm', text) => framed(0x81, text),
            (b'b', bytes) => framed(0x82, bytes),
            (b'f', [first, payload @ ..]) => framed(*first, payload),
            _ => self.named(bytes),
        };
        match letter {
            b'c' if self.clients.len() < CLIENTS => {
                self.speaking = self.clients.len();
                self.clients.push(Client::new(self.address));
            }
            b'0'..=b'9' => self.speaking = usize::from(letter - b'0') % self.clients.len(),
            _ => {}
        }
        self.say(&bytes, how).await;
        let client = &mut self.clients[self.speaking];
        match letter {
            b'h' => client.says_no_more(),
            b'r' => client.hangs_up(),
            b't' if self.ahead < MOMENT * MOMENTS => self.pass(MOMENT).await,
            _ => {}
        }
        self.check();
    }

    /// What is text, with the session's name in it.
    fn named(&self, bytes: &[u8]) -> Vec<u8> {
        str::from_utf8(bytes).map_or(bytes.to_vec(), |text| text.replace("SID", &self.session).into_bytes())
    }

    async fn say(&mut self, bytes: &[u8], how: u8) {
        let pieces = cut(how, bytes);
        let (several, last) = pieces.split_at(pieces.len().min(PIECES));
        for piece in several.iter().cloned().chain([last.concat().into()]) {
            self.clients[self.speaking].say(&piece);
            self.settle().await;
        }
    }

    /// Lets everybody go on who can.
    async fn settle(&mut self) {
        for _ in 0..TURNS {
            yield_now().await;
        }
        if let Some(session) = self.clients.iter_mut().filter_map(Client::hear).last() {
            self.session = session;
        }
    }

    /// Lets `time` pass: for timers, if their clock can be stopped, and for those who look at all connections.
    async fn pass(&mut self, time: Duration) {
        #[cfg(feature = "fuzzing")]
        tokio::time::sleep(time).await;
        self.ahead += time;
        self.settle().await;
        let now = Instant::now() + self.ahead;
        self.node.hub.sweep(now).iter().for_each(|closed| self.node.pubsub.down(closed));
        self.node.idle_connections.sweep(now);
        self.settle().await;
    }

    // ---- what must hold

    fn check(&self) {
        let most = self.node.config.limits.queue_bytes;
        let waiting = self.node.hub.queue_totals();
        assert!(waiting.most_bytes <= 2 * most, "{} bytes wait for one client", waiting.most_bytes);
        let metrics = self.node.pubsub.metrics();
        assert_eq!(metrics.channel_crashes.get(), 0, "a channel has panicked");
    }

    /// One who behaves is answered at once, whatever the others do.
    async fn serves_others(&mut self) {
        self.clients.push(Client::new(self.address));
        self.speaking = self.clients.len() - 1;
        self.say(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 7).await;
        let is_served = |client: &Client| client.heard.starts_with(b"HTTP/1.1 200 OK\r\n");
        let started = Instant::now();
        while !is_served(&self.clients[self.speaking]) {
            assert!(started.elapsed() < GRACE, "nobody else is served: {:?}", self.clients[self.speaking]);
            self.settle().await;
        }
    }

    /// All clients end, or fall silent, which ends them too; then nothing is left of them.
    async fn end(&mut self, how: u8) {
        match how >> 6 {
            // without a clock that can be stopped they are not waited for, but for those that the sweep cuts
            0 | 1 if cfg!(feature = "fuzzing") => {}
            0 | 1 => {
                self.pass(PATIENCE).await;
                self.clients.iter_mut().for_each(Client::hangs_up);
            }
            2 if cfg!(feature = "fuzzing") => self.clients.iter_mut().for_each(Client::says_no_more),
            _ => self.clients.iter_mut().for_each(Client::hangs_up),
        }
        let (started, mut waited) = (Instant::now(), Duration::ZERO);
        while let Some(left) = self.left().await {
            assert!(waited < PATIENCE || started.elapsed() < GRACE, "{left}");
            self.pass(STEP).await;
            waited += STEP;
        }
        self.check();
        self.clients.iter().for_each(|client| answers::check(&client.heard));
    }

    /// What there still is that should be gone.
    async fn left(&self) -> Option<String> {
        if let Some(client) = self.clients.iter().find(|client| !client.is_over) {
            return Some(format!("a connection that does not end: {client:?}"));
        }
        // the node's own, and that of its connections; each connection and each socket has one more
        let places = Arc::strong_count(&self.node.ip_table) - 2;
        let (sockets, stats) = (self.node.hub.len(), self.node.pubsub.stats().await);
        let is_empty = (places, sockets, stats) == (0, 0, RegistryStats::default());
        (!is_empty).then(|| format!("{places} places, {sockets} sockets and {stats:?} are left"))
    }
}
