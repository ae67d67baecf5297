//! The clients that may use PeerServer's HTTP transport, by id and token, so that their requests find their sessions.
//!
//! A client of PeerJS 0.3 opens two transports side by side for one id and token: an HTTP stream and a WebSocket. The
//! first of the two that arrives opens the session. If that is the stream, the WebSocket takes the session over. If it
//! is the WebSocket, the stream is not needed. Each attempt to connect has one WebSocket, and one stream with index 0.
//! So a second one of its kind shows that the client has reconnected: it gets a session of its own, which takes the id
//! over. A stream with a higher index replaces the one before it in the same session.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::Mutex as AsyncMutex;

use crate::connections::connection::Connection;
use crate::protocol::Frame;
use crate::transports::longpoll::handle::{Gone, LongPollHandle, Via};

/// Identifies a client by its id and its token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ClientKey([u8; 32]);

impl ClientKey {
    pub(super) fn new(id: &str, token: &str) -> Self {
        // the length separates the id from the token
        let digest = Sha256::new().chain_update(id.len().to_le_bytes()).chain_update(id).chain_update(token);
        Self(digest.finalize().into())
    }
}

/// All such clients of a mount that are connected. There is at most one entry per connection.
#[derive(Default)]
pub(super) struct HttpClients {
    clients: Mutex<HashMap<ClientKey, HttpClient>>,
    last_number: AtomicU64,
}

struct HttpClient {
    /// Distinguishes it from earlier and later clients of the same key.
    number: u64,
    /// `None` while its WebSocket is being admitted.
    connection: Option<Arc<Connection>>,
    posts: Arc<AsyncMutex<()>>,
    /// Its session, if that began with a stream.
    streams: Option<Streams>,
    /// Whether its WebSocket has arrived.
    has_socket: bool,
    /// Whether its stream with index 0 has arrived.
    has_stream: bool,
}

/// The session of a client that began with a stream, and its streams, of which only the latest one is used.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) session: LongPollHandle,
    latest: Arc<AtomicU64>,
    /// Locked by the stream that is being written.
    pub(super) writing: Arc<AsyncMutex<()>>,
}

/// The number that no stream has: the session uses a WebSocket.
const UPGRADED: u64 = 0;

impl Streams {
    fn new(session: LongPollHandle) -> Self {
        Self { session, latest: Arc::new(AtomicU64::new(UPGRADED)), writing: Arc::default() }
    }

    /// The number of a new stream, which is the latest one from now on.
    pub(super) fn next_number(&self) -> u64 {
        self.latest.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(super) fn is_latest(&self, number: u64) -> bool {
        self.latest.load(Ordering::Acquire) == number
    }
}

/// Where the posts of a client go.
pub(super) struct PostTarget {
    pub(super) connection: Arc<Connection>,
    /// The session, if it began with a stream.
    pub(super) session: Option<LongPollHandle>,
    /// Locked by the post that is being read.
    pub(super) lock: Arc<AsyncMutex<()>>,
}

impl PostTarget {
    /// Passes a message of the client to its session, and returns once the session has handled it. So a message that the
    /// client sends after the response comes after this one, even if it takes another transport.
    pub(super) async fn post(&self, frame: Frame) -> Result<(), Gone> {
        match &self.session {
            Some(session) => session.post(Via::Beside, vec![frame]).await,
            None => self.connection.receive_posted(frame).map_err(|_| Gone)?.await.map_err(|_| Gone),
        }
    }
}

/// What is to be done with a stream.
pub(super) enum StreamRole {
    /// It opens a session.
    Opens,
    /// It continues this session.
    Continues(Streams),
    /// The client's session uses a WebSocket.
    Unneeded,
}

impl HttpClients {
    /// Registers a client whose WebSocket opens a session. If a stream has opened one, returns that session instead: the
    /// WebSocket takes it over.
    pub(super) fn add_socket(self: &Arc<Self>, key: ClientKey) -> Result<Registration, LongPollHandle> {
        let mut clients = self.lock();
        if let Some(session) = clients.get_mut(&key).and_then(HttpClient::upgrade) {
            return Err(session);
        }
        Ok(self.insert(&mut clients, key, |client| client.has_socket = true))
    }

    /// What is to be done with a stream of this index.
    pub(super) fn role(&self, key: ClientKey, index: u64) -> StreamRole {
        self.lock().get_mut(&key).map_or(StreamRole::Opens, |client| client.role(index))
    }

    /// Adds the session that a stream opens by `start`, unless another request has opened one meanwhile. `start` must
    /// not drop the registration: the clients are locked.
    pub(super) fn add_stream(
        self: &Arc<Self>,
        key: ClientKey,
        index: u64,
        connection: &Arc<Connection>,
        start: impl FnOnce(Registration) -> LongPollHandle,
    ) -> StreamRole {
        let mut clients = self.lock();
        match clients.get_mut(&key).map_or(StreamRole::Opens, |client| client.role(index)) {
            StreamRole::Opens => {}
            other => return other,
        }
        let registration = self.insert(&mut clients, key, |client| {
            client.connection = Some(connection.clone());
            client.has_stream = true;
        });
        let streams = Streams::new(start(registration));
        if let Some(client) = clients.get_mut(&key) {
            client.streams = Some(streams.clone());
        }
        StreamRole::Continues(streams)
    }

    /// Where the posts of a client go.
    pub(super) fn find(&self, key: ClientKey) -> Option<PostTarget> {
        let clients = self.lock();
        let client = clients.get(&key).filter(|client| client.is_open())?;
        let session = client.streams.as_ref().map(|streams| streams.session.clone());
        Some(PostTarget { connection: client.connection.clone()?, session, lock: client.posts.clone() })
    }

    fn insert(
        self: &Arc<Self>,
        clients: &mut HashMap<ClientKey, HttpClient>,
        key: ClientKey,
        set: impl FnOnce(&mut HttpClient),
    ) -> Registration {
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let mut client = HttpClient {
            number,
            connection: None,
            posts: Arc::default(),
            streams: None,
            has_socket: false,
            has_stream: false,
        };
        set(&mut client);
        clients.insert(key, client);
        Registration { clients: self.clone(), key, number }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientKey, HttpClient>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpClient {
    fn is_open(&self) -> bool {
        !self.connection.as_ref().is_some_and(|connection| connection.mailbox.is_closed())
    }

    fn role(&mut self, index: u64) -> StreamRole {
        let reconnects = index == 0 && self.has_stream;
        if reconnects || !self.is_open() {
            return StreamRole::Opens;
        }
        self.has_stream = true;
        match &self.streams {
            Some(streams) if !self.has_socket => StreamRole::Continues(streams.clone()),
            _ => StreamRole::Unneeded,
        }
    }

    /// Marks the session of a stream as upgraded, if it is not yet.
    fn upgrade(&mut self) -> Option<LongPollHandle> {
        let streams = self.streams.as_ref().filter(|_| !self.has_socket && self.is_open())?;
        streams.latest.store(UPGRADED, Ordering::Release);
        self.has_socket = true;
        Some(streams.session.clone())
    }
}

/// Removes a client when its session ends.
pub(crate) struct Registration {
    clients: Arc<HttpClients>,
    key: ClientKey,
    number: u64,
}

impl Registration {
    /// The client has been admitted, with this connection.
    pub(super) fn admitted(&self, connection: &Arc<Connection>) {
        if let Some(client) = self.clients.lock().get_mut(&self.key).filter(|client| client.number == self.number) {
            client.connection = Some(connection.clone());
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut clients = self.clients.lock();
        if clients.get(&self.key).is_some_and(|client| client.number == self.number) {
            clients.remove(&self.key);
        }
    }
}
