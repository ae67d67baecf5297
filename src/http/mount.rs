//! A mount: the path where clients connect, the channels that answer there, and who may come in.

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::http::uri::Uri;
use compact_str::CompactString;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::channels::assigns::Assigns;
use crate::channels::channel::Router;
use crate::config::origin::Origins;
use crate::http::client_ip::ClientIp;
use crate::refusal::ConnectRefusal;
use crate::topic::Topic;

/// One place where clients connect: `<path>/websocket`, or `<path>/longpoll` when they poll.
///
/// What is not set here follows the node's configuration.
///
/// ```
/// use handclasp::{SocketInit, Mount, ConnectError, Router};
///
/// struct User(String);
///
/// let mount = Mount::new("/live", Router::new()).joins_per_socket(10).connect(|info| match info.param("user") {
///     Some(name) => Ok(SocketInit::default().assign(User(name.to_owned()))),
///     None => Err(ConnectError::forbidden()),
/// });
/// ```
#[derive(Clone)]
pub struct Mount {
    pub(crate) path: String,
    pub(crate) router: Arc<Router>,
    pub(crate) origins: Option<Origins>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) join_timeout: Option<Duration>,
    pub(crate) ping_interval: Option<Duration>,
    pub(crate) joins_per_socket: Option<usize>,
    pub(crate) message_bytes: Option<usize>,
    pub(crate) poll_window: Option<Duration>,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) connect: Connect,
}

type ConnectResult = Result<SocketInit, ConnectError>;
type SyncConnect = dyn Fn(&ConnectInfo) -> ConnectResult + Send + Sync;
pub(crate) type AsyncConnect = dyn Fn(ConnectInfo) -> LocalBoxFuture<'static, ConnectResult> + Send + Sync;

/// How a mount decides who may connect.
#[derive(Clone)]
pub(crate) enum Connect {
    Sync(Arc<SyncConnect>),
    Async(Arc<AsyncConnect>),
}

impl Mount {
    /// Clients that connect below `path`, such as `/socket`, get their channels from `router`. Several
    /// mounts may share one router.
    #[must_use]
    pub fn new(path: &str, router: impl Into<Arc<Router>>) -> Self {
        Self {
            path: path.trim_end_matches('/').to_owned(),
            router: router.into(),
            origins: None,
            idle_timeout: None,
            join_timeout: None,
            ping_interval: None,
            joins_per_socket: None,
            message_bytes: None,
            poll_window: None,
            subprotocols: Vec::new(),
            connect: Connect::Sync(Arc::new(|_| Ok(SocketInit::default()))),
        }
    }

    /// Which web pages may connect, instead of `socket.check_origin`.
    #[must_use]
    pub fn check_origin(mut self, origins: Origins) -> Self {
        self.origins = Some(origins);
        self
    }

    /// After how much silence a client is closed, instead of `socket.idle_timeout`; on a mount of Engine.IO or
    /// Socket.IO after how much more than the [interval](Self::ping_interval), instead of `socketio.ping_timeout`.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// After how long a client is closed that has joined nothing, instead of `socket.join_timeout`. Socket.IO calls
    /// it `connectTimeout`, and it stands in for `socketio.connect_timeout` there.
    #[must_use]
    pub fn join_timeout(mut self, time: Duration) -> Self {
        self.join_timeout = Some(time);
        self
    }

    /// How often the server asks for a sign of life, where it is the server who asks: Engine.IO's
    /// `pingInterval`, `socketio.ping_interval` unless set. A client is closed after that and
    /// [`idle_timeout`](Self::idle_timeout), its `pingTimeout`, without one.
    #[must_use]
    pub fn ping_interval(mut self, time: Duration) -> Self {
        self.ping_interval = Some(time);
        self
    }

    /// How long a message may be, instead of `limits.message_bytes`. Engine.IO calls it `maxPayload`.
    #[must_use]
    pub fn message_bytes(mut self, bytes: usize) -> Self {
        self.message_bytes = Some(bytes);
        self
    }

    /// How long a request of a client that polls is kept open when there is nothing to say, instead of
    /// `socket.poll_window`. A client that does not ask for one and a half times as long is gone.
    #[must_use]
    pub fn poll_window(mut self, time: Duration) -> Self {
        self.poll_window = Some(time);
        self
    }

    /// How many topics a socket may join, instead of `limits.joins_per_socket`.
    #[must_use]
    pub fn joins_per_socket(mut self, joins: usize) -> Self {
        self.joins_per_socket = Some(joins);
        self
    }

    /// Subprotocols (RFC 6455, 1.9) of which a client that offers any must offer one; the first of ours
    /// that it offers is answered. Without a list, every offer is let in, and `phoenix` is answered.
    #[must_use]
    pub fn subprotocols(mut self, names: &[&str]) -> Self {
        self.subprotocols = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Decides who may connect, before anything is joined; without this, everybody may. It runs after
    /// origin and version are found good, on the thread that serves the connection, and must not block.
    /// A panic in it is answered with 500.
    #[must_use]
    pub fn connect<F>(mut self, connect: F) -> Self
    where
        F: Fn(&ConnectInfo) -> Result<SocketInit, ConnectError> + Send + Sync + 'static,
    {
        self.connect = Connect::Sync(Arc::new(connect));
        self
    }

    /// As [`connect`](Self::connect), by a future: one that asks a database or another server. Of the two, the last
    /// that is set decides.
    ///
    /// The future runs on the thread that serves the connection; it may await, but not block, and need not be `Send`.
    /// The client has its place among the connections of the node and of its address before the future starts, so
    /// that no more clients wait than may be connected. The future is dropped when the client hangs up; when it takes
    /// longer than `socket.connect_timeout`, it is dropped and the client is answered with 503.
    ///
    /// ```
    /// use handclasp::{ConnectError, Mount, Router, SocketInit};
    ///
    /// # async fn user_of(token: &str) -> Option<u64> { (token == "secret").then_some(7) }
    /// struct UserId(u64);
    ///
    /// let mount = Mount::new("/live", Router::new()).connect_async(|info| async move {
    ///     let token = info.auth_token().ok_or(ConnectError::forbidden())?;
    ///     match user_of(token).await {
    ///         Some(id) => Ok(SocketInit::default().assign(UserId(id))),
    ///         None => Err(ConnectError::forbidden()),
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn connect_async<F, Fut>(mut self, connect: F) -> Self
    where
        F: Fn(ConnectInfo) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<SocketInit, ConnectError>> + 'static,
    {
        self.connect = Connect::Async(Arc::new(move |info| connect(info).boxed_local()));
        self
    }
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount").field("path", &self.path).field("router", &self.router).finish_non_exhaustive()
    }
}

/// What a client says of itself when it connects. All of it is the client's own word, but the address.
#[derive(Debug)]
pub struct ConnectInfo {
    pub(crate) request: HttpRequest,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) client_ip: ClientIp,
    pub(crate) auth_token: Option<String>,
    pub(crate) transport: &'static str,
}

impl ConnectInfo {
    /// A connect param. Of several with one name the last counts; a nested one has the name that is on
    /// the wire, `user[name]`.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().rev().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// All connect params, in order.
    pub fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.params.iter().map(|(name, value)| (&**name, &**value))
    }

    /// A header's value, when it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// The client's address, as the trusted proxies tell it.
    #[must_use]
    pub fn client_address(&self) -> IpAddr {
        self.client_ip.address
    }

    /// The other end of the TCP connection.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.request.peer_addr()
    }

    /// The request's path and query.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.request.uri()
    }

    /// Scheme of the request, `http` or `https`. TLS ends at a proxy: one that is trusted says so in
    /// `X-Forwarded-Proto`, and nobody else is believed.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.forwarded("x-forwarded-proto").unwrap_or("http")
    }

    /// Host (and port) that the client asked for, in a trusted proxy's word or its own.
    #[must_use]
    pub fn host(&self) -> &str {
        self.forwarded("x-forwarded-host").or_else(|| self.header("host")).unwrap_or("")
    }

    fn forwarded(&self, name: &str) -> Option<&str> {
        if self.client_ip.is_proxied { self.header(name) } else { None }
    }

    /// How the client's bytes travel: `websocket`, or `longpoll` for one that polls.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        self.transport
    }

    /// The token of the client's `authToken` option, decoded; it came as a subprotocol or a header, not in the URL.
    #[must_use]
    pub fn auth_token(&self) -> Option<&str> {
        self.auth_token.as_deref()
    }
}

/// A client that may come in.
#[derive(Debug, Default)]
pub struct SocketInit {
    pub(crate) id: Option<Topic>,
    pub(crate) assigns: Assigns,
}

impl SocketInit {
    /// Gives the socket an id: a topic, such as `users:7`, on which a broadcast of
    /// [`DISCONNECT`](crate::message::DISCONNECT) ends it. Several sockets may have the same one. Nothing
    /// else that is said on it is heard, and a client that may join a topic of that name hears that too:
    /// let no pattern of the router match it.
    #[must_use]
    pub fn id(mut self, id: Topic) -> Self {
        self.id = Some(id);
        self
    }

    /// Puts a value where the socket's channels find it, one of each type.
    #[must_use]
    pub fn assign<T: Any>(mut self, value: T) -> Self {
        self.assigns.insert(value);
        self
    }
}

/// A client that may not come in: what it is answered instead of the upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError {
    pub(crate) status: StatusCode,
    pub(crate) body: CompactString,
    /// Under which reason it is counted.
    pub(crate) reason: ConnectRefusal,
}

impl ConnectError {
    /// 403, with nothing more to say: what Phoenix answers.
    #[must_use]
    pub const fn forbidden() -> Self {
        Self { status: StatusCode::FORBIDDEN, body: CompactString::const_new(""), reason: ConnectRefusal::Mount }
    }

    /// A status of the 400s or 500s, and plain text. A browser sees neither.
    #[must_use]
    pub fn new(status: StatusCode, body: impl Into<CompactString>) -> Self {
        Self { status, body: body.into(), reason: ConnectRefusal::Mount }
    }

    /// It is not the mount's own word.
    pub(crate) fn with_reason(self, reason: ConnectRefusal) -> Self {
        Self { reason, ..self }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused with {}", self.status.as_u16())
    }
}

impl std::error::Error for ConnectError {}
