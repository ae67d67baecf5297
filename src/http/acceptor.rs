//! [`Acceptor`]: a mount together with its node. It admits a connecting client (`admission`), starts its session, and
//! counts the clients that it refuses.
//!
//! The protocols call these steps in their own order and write their own responses. What an application can set for a
//! mount is in [`mount`](crate::http::mount).

mod admission;

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use compact_str::CompactString;

use crate::broker::pubsub::Pubsub;
use crate::config::origin::Origins;
use crate::config::schema::{Config, Limits};
use crate::connections::connection::WriteSide;
use crate::connections::hub::ConnectionSlot;
use crate::connections::limits::{ConnectionLimits, QueueLimit, Timeouts};
use crate::http::client_ip::ClientIp;
use crate::http::connect_error::ConnectError;
use crate::http::cors::CorsRule;
use crate::http::guarded_body::with_guard;
use crate::http::idle_connections::HttpConnection;
use crate::http::mount::{Mount, SocketInit};
use crate::http::node_state::NodeState;
use crate::http::token_check::TokenCheck;
use crate::metrics::labels::Transport;
use crate::protocol::Protocol;
use crate::refusal::ConnectRefusal;
use crate::sessions::session::Session;
use crate::sessions::settings::SocketSettings;
use crate::sessions::socket::Socket;
use crate::topic::Realm;
use crate::transports::longpoll::handle::LongPollHandle;
use crate::transports::longpoll::{LongPollOptions, LongPollSessions};
use crate::transports::transport::TransportHandler;
use crate::transports::websocket::io;
use crate::transports::websocket::{self, MessageLimits};

/// What a protocol defines for its mounts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProtocolMount {
    /// The namespace of its topics.
    pub(crate) realm: Realm,
    /// The timeouts of its clients.
    pub(crate) timeouts: fn(&Mount, &Config) -> Timeouts,
    /// Adds the routes of one mount to the server.
    pub(crate) routes: fn(&Acceptor, &mut ServiceConfig),
    /// Which pages may read the responses of one mount. `None` for a protocol of WebSockets alone: browsers hide the
    /// responses to their handshakes.
    pub(crate) cors: Option<fn(&Acceptor) -> CorsRule>,
}

/// The timeouts of a protocol whose clients send heartbeats by themselves, so that the server sends no pings.
pub(crate) fn default_timeouts(mount: &Mount, config: &Config) -> Timeouts {
    Timeouts {
        idle: mount.idle_timeout.unwrap_or(config.socket.idle_timeout),
        join: mount.join_timeout.unwrap_or(config.socket.join_timeout),
        ping_interval: None,
    }
}

/// The timeouts of a protocol in which the server pings. A client may send nothing but answers to the pings, so its idle
/// timeout is the ping interval plus the time for an answer. What the mount does not set has the given value.
pub(crate) fn pinged_timeouts(
    mount: &Mount,
    ping_interval: Duration,
    ping_timeout: Duration,
    join_timeout: Duration,
) -> Timeouts {
    let ping = mount.ping_interval.unwrap_or(ping_interval);
    Timeouts {
        idle: ping + mount.idle_timeout.unwrap_or(ping_timeout),
        join: mount.join_timeout.unwrap_or(join_timeout),
        ping_interval: Some(ping),
    }
}

/// A mount whose unset options are filled in from the configuration. Cloning copies a pointer.
#[derive(Clone)]
pub(crate) struct Acceptor(Arc<Inner>);

struct Inner {
    node: Arc<NodeState>,
    mount: Mount,
    settings: Arc<SocketSettings>,
    origins: Origins,
    connection_limits: Arc<ConnectionLimits>,
    poll_window: Duration,
    clients: AtomicUsize,
    /// The mount's long-polling sessions. A token is valid only at the mount that issued it.
    sessions: Arc<LongPollSessions>,
    protocol_state: OnceLock<Arc<dyn Any + Send + Sync>>,
    tokens: TokenCheck,
}

/// Counts one client of a mount until it is dropped.
pub(crate) struct ClientCount(Acceptor);

impl Drop for ClientCount {
    fn drop(&mut self) {
        self.0.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Acceptor {
    pub(crate) fn new(node: Arc<NodeState>, mount: Mount, protocol: ProtocolMount) -> Self {
        let config = &node.config;
        let mut limits = config.limits.clone();
        limits.joins_per_socket = mount.joins_per_socket.unwrap_or(limits.joins_per_socket);
        limits.message_bytes = mount.message_bytes.unwrap_or(limits.message_bytes);
        Self(Arc::new(Inner {
            settings: Arc::new(SocketSettings::new(protocol.realm, mount.router.clone(), limits)),
            origins: mount.origins.clone().unwrap_or_else(|| config.socket.check_origin.clone()),
            connection_limits: Arc::new(ConnectionLimits {
                timeouts: (protocol.timeouts)(&mount, config),
                queue: QueueLimit { bytes: config.limits.queue_bytes, age: config.limits.queue_age },
                clock: node.pubsub.clock().clone(),
                memory: node.pubsub.memory().clone(),
            }),
            poll_window: mount.poll_window.unwrap_or(config.socket.poll_window),
            clients: AtomicUsize::new(0),
            sessions: Arc::default(),
            protocol_state: OnceLock::new(),
            tokens: TokenCheck::new(node.tokens.clone().filter(|_| mount.checks_tokens)),
            mount,
            node,
        }))
    }

    pub(crate) fn path(&self) -> &str {
        &self.0.mount.path
    }

    pub(crate) fn origins(&self) -> &Origins {
        &self.0.origins
    }

    pub(crate) fn subprotocols(&self) -> &[String] {
        &self.0.mount.subprotocols
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.0.connection_limits.timeouts
    }

    pub(crate) fn poll_window(&self) -> Duration {
        self.0.poll_window
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.settings.limits
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.node.config
    }

    /// Counts one more client of the mount. Returns how many there were before.
    pub(crate) fn count_client(&self) -> (usize, ClientCount) {
        (self.0.clients.fetch_add(1, Ordering::Relaxed), ClientCount(self.clone()))
    }

    /// What the mount's protocol keeps for all workers. It is created at the first call, and has one type.
    pub(crate) fn protocol_state<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let state = self.0.protocol_state.get_or_init(|| Arc::<T>::default()).clone();
        state.downcast().expect("a mount has one protocol, which uses one type")
    }

    pub(crate) fn pubsub(&self) -> &Pubsub {
        &self.0.node.pubsub
    }

    pub(crate) fn client_ip(&self, request: &HttpRequest) -> Result<ClientIp, ConnectError> {
        ClientIp::of(request, &self.config().server.trusted_proxies).ok_or_else(|| {
            ConnectError::new(StatusCode::BAD_REQUEST, "no address").with_reason(ConnectRefusal::Request)
        })
    }

    /// Accepts the upgrade and starts a session over the WebSocket.
    pub(crate) fn websocket<P: Protocol>(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        subprotocol: Option<&str>,
        slot: ConnectionSlot,
        init: SocketInit,
        protocol: P,
    ) -> HttpResponse {
        let session = self.session(slot, init, protocol, Transport::WebSocket);
        websocket::start(request, payload, subprotocol, session, self.size())
    }

    /// Starts a long-polling session. Returns its token, with which the client's later requests find it, and its
    /// handle. The token ends with `suffix`, which tells the formats of a mount apart: a request in another format does
    /// not find the session.
    pub(crate) fn longpoll<P: Protocol>(
        &self,
        suffix: &str,
        slot: ConnectionSlot,
        init: SocketInit,
        protocol: P,
        options: LongPollOptions,
    ) -> (CompactString, LongPollHandle) {
        let session = self.session(slot, init, protocol, Transport::LongPoll);
        self.0.sessions.start(&self.0.node.pubsub.node_name(), suffix, session, options)
    }

    /// Starts the session of a client in this process, which sends and receives through the handle.
    pub(crate) fn in_process<P: Protocol>(
        &self,
        slot: ConnectionSlot,
        init: SocketInit,
        protocol: P,
        options: LongPollOptions,
    ) -> LongPollHandle {
        let session = self.session(slot, init, protocol, Transport::WebSocket);
        self.0.sessions.start(&self.0.node.pubsub.node_name(), "", session, options).1
    }

    /// The long-polling session with this token, if it exists on this node and belongs to this mount.
    pub(crate) fn longpoll_session(&self, token: &str) -> Option<LongPollHandle> {
        self.0.sessions.find(token)
    }

    /// Accepts the upgrade of a long-polling session, and runs `handler` over the WebSocket from then on.
    pub(crate) fn upgrade<T: TransportHandler>(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        handler: T,
    ) -> HttpResponse {
        let slot = self.0.node.hub.add_upgraded();
        websocket::start(request, payload, None, handler, self.size()).map_body(|_, body| with_guard(body, slot))
    }

    fn size(&self) -> MessageLimits {
        let limits = &self.0.settings.limits;
        MessageLimits { bytes: limits.message_bytes, fragments: limits.fragments }
    }

    fn session<P: Protocol>(
        &self,
        mut slot: ConnectionSlot,
        init: SocketInit,
        protocol: P,
        transport: Transport,
    ) -> Session<P> {
        let Inner { node, settings, mount, .. } = &*self.0;
        let metrics = node.pubsub.metrics();
        metrics.connections_opened.add(settings.realm, transport, 1);
        slot.counted = Some(metrics.connections.one(settings.realm, transport));
        log::debug!("{}: connected from {} to {}", slot.connection.id, slot.connection.address, mount.path);
        let (metrics, connection, now) = (node.pubsub.shared_metrics(), slot.connection.clone(), Instant::now());
        let budget = node.pubsub.budget().clone();
        let socket = Socket::new(settings.clone(), metrics, budget, connection, transport.name(), init.assigns, now);
        let mut session = Session::new(socket, protocol, node.pubsub.clone(), slot);
        if let Some(id) = init.id {
            session.subscribe_to_own_id(id);
        }
        session
    }

    /// Counts and logs a refusal.
    pub(crate) fn count_refusal(&self, refusal: &ConnectError) {
        if refusal.reason == ConnectRefusal::Origin {
            self.0.node.refusal_log.write(&refusal.body);
        }
        // other bodies are not logged: they may contain text from the client
        log::debug!("refused with {}: {}", refusal.status.as_u16(), refusal.reason.name());
        self.count_refused(refusal.reason);
    }

    pub(crate) fn count_refused(&self, reason: ConnectRefusal) {
        self.0.node.pubsub.metrics().connections_refused.add(self.0.settings.realm, reason, 1);
    }

    /// Counts a refusal and returns its response.
    pub(crate) fn refuse(&self, refusal: ConnectError) -> HttpResponse {
        self.count_refusal(&refusal);
        refusal.text_response()
    }
}

/// The HTTP connection of a request, if it can be aborted. Otherwise the client is refused, because the server could
/// never close its connection.
pub(crate) fn http_connection_of(request: &HttpRequest) -> Result<&HttpConnection, ConnectError> {
    request.conn_data::<Arc<HttpConnection>>().map(|connection| &**connection).ok_or_else(ConnectError::full)
}

/// Marks the HTTP connection of an upgrade request as a WebSocket, and returns its write side.
pub(crate) fn mark_upgraded(request: &HttpRequest) -> Result<Arc<WriteSide>, ConnectError> {
    let upgraded = io::of(request).ok_or_else(ConnectError::full)?;
    http_connection_of(request)?.mark_upgraded();
    Ok(upgraded)
}
