//! [`Acceptor`]: a mount together with its node. It checks a connecting client, counts it against the limits, and
//! starts its session.
//!
//! The protocols call these steps in their own order and write their own responses. What an application can set for a
//! mount is in [`mount`](crate::http::mount).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use compact_str::CompactString;
use futures_util::FutureExt;
use futures_util::future::{Either, pending, select};

use crate::broker::pubsub::Pubsub;
use crate::config::origin::Origins;
use crate::config::schema::{Config, Limits};
use crate::connections::connection::WriteSide;
use crate::connections::hub::{AdmissionError, ClientIdentity, ConnectionSlot};
use crate::connections::ip_limits::IpLimitError;
use crate::connections::limits::{ConnectionLimits, QueueLimit, Timeouts};
use crate::http::client_ip::ClientIp;
use crate::http::connect_error::ConnectError;
use crate::http::connect_info::ConnectInfo;
use crate::http::cors::CorsRule;
use crate::http::guarded_body::with_guard;
use crate::http::idle_connections::{HttpConnection, hung_up};
use crate::http::mount::{AsyncConnect, Connect, Mount, SocketInit, SyncConnect};
use crate::http::node_state::NodeState;
use crate::http::request::check_upgrade;
use crate::http::token_check::TokenCheck;
use crate::metrics::labels::Transport;
use crate::protocol::Protocol;
use crate::refusal::{ConnectRefusal, TokenRefusal};
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

    /// Admits a WebSocket client, if its token is valid, `connect` accepts it and the limits allow it. Returns its
    /// connection slot, whose TCP connection can be aborted, and the initial state of its socket.
    pub(crate) async fn admit(&self, info: ConnectInfo) -> Result<(ConnectionSlot, SocketInit), ConnectError> {
        match self.admit_or_tell(info).await? {
            (slot, Ok(init)) => Ok((slot, init)),
            (_, Err(refusal)) => Err(refusal.into()),
        }
    }

    /// Like [`admit`](Self::admit). A client whose token is refused gets a connection slot, too: its protocol may
    /// [tell](Self::upgrade_refused) it why over the WebSocket.
    pub(crate) async fn admit_or_tell(
        &self,
        info: ConnectInfo,
    ) -> Result<(ConnectionSlot, Result<SocketInit, TokenRefusal>), ConnectError> {
        let request = info.request.clone();
        let limits = self.0.connection_limits.clone();
        let (slot, init) = self.admit_checked(info, limits, false, || check_upgrade(&request)).await?;
        if init.is_ok() {
            slot.connection.set_write_side(mark_upgraded(&request)?);
        }
        Ok((slot, init))
    }

    /// Prepares a client whose token is refused for the upgrade after which it is told why.
    pub(crate) fn upgrade_refused(
        &self,
        request: &HttpRequest,
        slot: &ConnectionSlot,
        refusal: TokenRefusal,
    ) -> Result<(), ConnectError> {
        slot.connection.set_write_side(mark_upgraded(request)?);
        self.count_refused(refusal.into());
        Ok(())
    }

    /// Checks the token of a request that asks for no upgrade: a page learns in this way why it is refused. It counts as
    /// a new socket in the limits of the client IP, so that no client can make the node check more signatures.
    pub(crate) fn check_token(&self, info: &ConnectInfo) -> Result<(), ConnectError> {
        if self.0.tokens.is_on() {
            let _slot = self.take_slot(self.identity(info, false), self.0.connection_limits.clone())?;
            self.0.tokens.check(&info.token)?;
        }
        Ok(())
    }

    /// Admits a long-polling client, with `idle` as its idle timeout.
    pub(crate) async fn admit_longpoll(
        &self,
        info: ConnectInfo,
        idle: Duration,
    ) -> Result<(ConnectionSlot, SocketInit), ConnectError> {
        let mut limits = (*self.0.connection_limits).clone();
        limits.timeouts.idle = idle;
        let (slot, init) = self.admit_checked(info, Arc::new(limits), true, || Ok(())).await?;
        Ok((slot, init?))
    }

    /// Runs the mount's `connect`, checks the request, and takes a slot. A token is checked and an asynchronous `connect`
    /// runs last: otherwise any number of clients could make the node check signatures, or wait for `connect`.
    async fn admit_checked(
        &self,
        mut info: ConnectInfo,
        limits: Arc<ConnectionLimits>,
        polls: bool,
        check: impl FnOnce() -> Result<(), ConnectError>,
    ) -> Result<(ConnectionSlot, Result<SocketInit, TokenRefusal>), ConnectError> {
        let client = self.identity(&info, polls);
        let connect = match &self.0.mount.connect {
            Connect::Sync(connect) if !self.0.tokens.is_on() => {
                let init = run_connect(&**connect, &info)?;
                check()?;
                return Ok((self.take_slot(client, limits)?, Ok(init)));
            }
            connect => connect,
        };
        check()?;
        let slot = self.take_slot(client, limits)?;
        let token = match self.0.tokens.check(&info.token) {
            Ok(token) => token,
            Err(refusal) => return Ok((slot, Err(refusal))),
        };
        info.access = token.access();
        let mut init = match connect {
            Connect::Sync(connect) => run_connect(&**connect, &info)?,
            Connect::Async(connect) => self.await_connect(&**connect, info).await?,
        };
        token.apply(&mut init.assigns, &slot.connection);
        Ok((slot, Ok(init)))
    }

    async fn await_connect(&self, connect: &AsyncConnect, info: ConnectInfo) -> Result<SocketInit, ConnectError> {
        let socket = http_connection_of(&info.request).ok().map(|connection| connection.socket().clone());
        let decision = AssertUnwindSafe(async { connect(info).await }).catch_unwind();
        let decision = pin!(self.pubsub().clock().timeout(self.config().socket.connect_timeout, decision));
        let client_gone = pin!(async {
            match &socket {
                Some(socket) => hung_up(socket).await,
                None => pending().await,
            }
        });
        match select(decision, client_gone).await {
            Either::Left((Ok(decided), _)) => decided.unwrap_or_else(|_| Err(ConnectError::crashed())),
            Either::Left((Err(_), _)) | Either::Right(_) => {
                Err(ConnectError::new(StatusCode::SERVICE_UNAVAILABLE, "").with_reason(ConnectRefusal::Timeout))
            }
        }
    }

    fn identity(&self, info: &ConnectInfo, polls: bool) -> ClientIdentity {
        let header = |name| info.headers().get(name).map_or(&b""[..], HeaderValue::as_bytes);
        let kind = self.0.node.hub.ip_table().kind(header(header::USER_AGENT), header(header::ORIGIN), self.path());
        ClientIdentity { address: info.client_ip.address, kind, polls }
    }

    fn take_slot(
        &self,
        client: ClientIdentity,
        connection_limits: Arc<ConnectionLimits>,
    ) -> Result<ConnectionSlot, ConnectError> {
        let node = &self.0.node;
        if !node.accepts_clients() {
            let body = "this server is going down";
            return Err(ConnectError::new(StatusCode::SERVICE_UNAVAILABLE, body).with_reason(ConnectRefusal::Draining));
        }
        node.hub.admit(client, connection_limits).map_err(|error| match error {
            AdmissionError::Node => ConnectError::full(),
            AdmissionError::Memory => ConnectError::new(StatusCode::SERVICE_UNAVAILABLE, "this server is overloaded")
                .with_reason(ConnectRefusal::Memory),
            AdmissionError::Address(IpLimitError::TooMany) => {
                ConnectError::new(StatusCode::TOO_MANY_REQUESTS, "too many connections from this address")
                    .with_reason(ConnectRefusal::Address)
            }
            AdmissionError::Address(IpLimitError::TooFast) => {
                ConnectError::new(StatusCode::TOO_MANY_REQUESTS, "too many new connections from this address")
                    .with_reason(ConnectRefusal::RateLimited)
            }
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

fn run_connect(connect: &SyncConnect, info: &ConnectInfo) -> Result<SocketInit, ConnectError> {
    catch_unwind(AssertUnwindSafe(|| connect(info))).unwrap_or_else(|_| Err(ConnectError::crashed()))
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
