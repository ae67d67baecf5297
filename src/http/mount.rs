//! [`Mount`]: a path where clients connect, the channels that serve it, and the decision which clients may connect.
//!
//! How a mount accepts a client is in [`acceptor`](crate::http::acceptor).

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::uri::Uri;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use compact_str::CompactString;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::auth::Access;
use crate::channels::assigns::Assigns;
use crate::channels::channel::Router;
use crate::config::origin::Origins;
use crate::http::client_ip::ClientIp;
use crate::http::hosts;
use crate::http::token_check::OfferedToken;
use crate::refusal::{ConnectRefusal, TokenRefusal};
use crate::topic::Topic;

/// After how many seconds a client that a limit has refused may try again. The buckets of the limits refill all the time.
pub(crate) const RETRY_AFTER: &str = "1";

/// A path where clients connect: `<path>/websocket` for WebSockets, and `<path>/longpoll` for long polling.
///
/// Options that are not set here have the values of the node's configuration.
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
    pub(crate) checks_tokens: bool,
    pub(crate) connect: Connect,
}

type ConnectResult = Result<SocketInit, ConnectError>;
pub(crate) type SyncConnect = dyn Fn(&ConnectInfo) -> ConnectResult + Send + Sync;
pub(crate) type AsyncConnect = dyn Fn(ConnectInfo) -> LocalBoxFuture<'static, ConnectResult> + Send + Sync;

/// The function with which a mount decides whether a client may connect.
#[derive(Clone)]
pub(crate) enum Connect {
    Sync(Arc<SyncConnect>),
    Async(Arc<AsyncConnect>),
}

impl Mount {
    /// A mount at `path`, such as `/socket`, whose clients get their channels from `router`. Several mounts may share
    /// one router.
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
            checks_tokens: false,
            connect: Connect::Sync(Arc::new(|_| Ok(SocketInit::default()))),
        }
    }

    /// Sets the origins of web pages that may connect, instead of `socket.check_origin`. This holds for every mount of
    /// the application, also for Socket.IO: `socketio.check_origin` applies only to the built-in relay, which uses no
    /// cookies. A mount's [`connect`](Self::connect) may read them, and a page of any origin could then act as its
    /// visitor.
    #[must_use]
    pub fn check_origin(mut self, origins: Origins) -> Self {
        self.origins = Some(origins);
        self
    }

    /// Sets the time without a message after which a connection is closed, instead of `socket.idle_timeout`. On an
    /// Engine.IO or Socket.IO mount, it is added to the [ping interval](Self::ping_interval) and replaces
    /// `socketio.ping_timeout`.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// Sets the time after which a client that has joined no topic is disconnected, instead of `socket.join_timeout`.
    /// On a Socket.IO mount, this is `connectTimeout` and replaces `socketio.connect_timeout`.
    #[must_use]
    pub fn join_timeout(mut self, time: Duration) -> Self {
        self.join_timeout = Some(time);
        self
    }

    /// Sets the interval of the server's pings, in protocols where the server sends them: Engine.IO's `pingInterval`,
    /// instead of `socketio.ping_interval`. A client is disconnected when it sends nothing for this interval plus
    /// [`idle_timeout`](Self::idle_timeout), which is its `pingTimeout`.
    #[must_use]
    pub fn ping_interval(mut self, time: Duration) -> Self {
        self.ping_interval = Some(time);
        self
    }

    /// Sets the maximum size of a message, instead of `limits.message_bytes`. Engine.IO calls it `maxPayload`.
    #[must_use]
    pub fn message_bytes(mut self, bytes: usize) -> Self {
        self.message_bytes = Some(bytes);
        self
    }

    /// Sets how long a long-polling request is kept open when there is nothing to send, instead of
    /// `socket.poll_window`. A client that makes no request for one and a half times as long is disconnected.
    #[must_use]
    pub fn poll_window(mut self, time: Duration) -> Self {
        self.poll_window = Some(time);
        self
    }

    /// Sets the maximum number of topics that a socket may join, instead of `limits.joins_per_socket`.
    #[must_use]
    pub fn joins_per_socket(mut self, joins: usize) -> Self {
        self.joins_per_socket = Some(joins);
        self
    }

    /// Sets the accepted subprotocols (RFC 6455, section 1.9). A client that offers subprotocols must offer one of
    /// them. The response selects the first name of this list that the client offers. Without a list, a client may
    /// offer any subprotocols, and the response selects `phoenix` if it is offered.
    #[must_use]
    pub fn subprotocols(mut self, names: &[&str]) -> Self {
        self.subprotocols = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Checks the tokens of clients, unless `auth.mode` is "off". If it is "required", only clients with a valid token can
    /// connect. The standard mounts of [`Endpoint::new`](crate::Endpoint::new) do so. [`connect`](Self::connect) runs only
    /// for clients that pass, and [`ConnectInfo::access`] says what the token permits. Channels find the same [`Access`] in
    /// the assigns, and have to obey its grants.
    ///
    /// A Socket.IO client may send the token with its join. Then `connect` runs before, and sees no access.
    #[must_use]
    pub fn check_tokens(mut self) -> Self {
        self.checks_tokens = true;
        self
    }

    /// Sets the function that decides whether a client may connect. Without one, every client may. It runs after the
    /// checks of origin and protocol version, on the thread that serves the connection, and must not block. If it
    /// panics, the response is 500.
    #[must_use]
    pub fn connect<F>(mut self, connect: F) -> Self
    where
        F: Fn(&ConnectInfo) -> Result<SocketInit, ConnectError> + Send + Sync + 'static,
    {
        self.connect = Connect::Sync(Arc::new(connect));
        self
    }

    /// Like [`connect`](Self::connect), but with a future, for example one that queries a database or another server.
    /// If both are set, the last one counts.
    ///
    /// The future runs on the thread that serves the connection. It may await but must not block, and does not need to
    /// be `Send`. The client is counted as a connection of the node and of its IP address before the future starts, so
    /// waiting clients cannot exceed the connection limits. The future is dropped when the client disconnects. When it
    /// takes longer than `socket.connect_timeout`, it is dropped and the response is 503.
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

/// A client's request to connect. All of it comes from the client and is unverified, except the addresses.
pub struct ConnectInfo {
    pub(crate) request: HttpRequest,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) client_ip: ClientIp,
    pub(crate) auth_token: Option<String>,
    pub(crate) token: OfferedToken,
    /// What the token permits, once it is checked.
    pub(crate) access: Option<Access>,
    pub(crate) transport: &'static str,
}

/// Without what the client has sent: tokens may be in it.
impl fmt::Debug for ConnectInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectInfo")
            .field("client_ip", &self.client_ip)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl ConnectInfo {
    /// The value of a connect param. If several have the same name, the last one counts. A nested param has its name as
    /// in the URL, such as `user[name]`.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().rev().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// All connect params, in order.
    pub fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.params.iter().map(|(name, value)| (&**name, &**value))
    }

    /// A header's value, if it is visible ASCII text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// The client's IP address. Behind a trusted proxy, it is the address that the proxy forwards.
    #[must_use]
    pub fn client_address(&self) -> IpAddr {
        self.client_ip.address
    }

    /// The address of the other end of the TCP connection: the client's, or that of a proxy.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.request.peer_addr()
    }

    /// The request's path and query.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.request.uri()
    }

    /// The scheme of the request, `http` or `https`: a trusted proxy's `X-Forwarded-Proto`, or else `http`. The proxy
    /// terminates TLS.
    #[must_use]
    pub fn scheme(&self) -> &str {
        let forwarded = if self.client_ip.is_proxied { self.header("x-forwarded-proto") } else { None };
        forwarded.unwrap_or("http")
    }

    /// The host (and port) of the request: the last `X-Forwarded-Host` of a trusted proxy, or else the
    /// `Host` header.
    #[must_use]
    pub fn host(&self) -> &str {
        hosts::requested(&self.request).unwrap_or("")
    }

    /// The client's transport: `websocket` or `longpoll`.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        self.transport
    }

    /// What the client's token permits, if the mount [checks tokens](Mount::check_tokens), `auth.mode` is not "off", and
    /// the client has sent one.
    #[must_use]
    pub fn access(&self) -> Option<&Access> {
        self.access.as_ref()
    }

    /// The decoded token of the client's `authToken` option. The client sends it as a subprotocol or a header, never in
    /// the URL.
    #[must_use]
    pub fn auth_token(&self) -> Option<&str> {
        self.auth_token.as_deref()
    }
}

/// The initial state of an accepted client's socket: its id and assigns.
#[derive(Debug, Default)]
pub struct SocketInit {
    pub(crate) id: Option<Topic>,
    pub(crate) assigns: Assigns,
}

impl SocketInit {
    /// Gives the socket an id: a topic, such as `users:7`. A broadcast of [`DISCONNECT`](crate::message::DISCONNECT) on
    /// it disconnects the socket. Several sockets may have the same id. Other broadcasts on the topic do not reach the
    /// socket. No pattern of the router should match the id: a client that joins the topic would receive its
    /// broadcasts.
    #[must_use]
    pub fn id(mut self, id: Topic) -> Self {
        self.id = Some(id);
        self
    }

    /// Inserts a value into the socket's [`Assigns`], which hold one value of each type.
    #[must_use]
    pub fn assign<T: Any>(mut self, value: T) -> Self {
        self.assigns.insert(value);
        self
    }
}

/// The refusal of a client: the response that it receives instead of the upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError {
    pub(crate) status: StatusCode,
    pub(crate) body: CompactString,
    /// The reason under which the refusal is counted.
    pub(crate) reason: ConnectRefusal,
}

impl ConnectError {
    /// 403 with an empty body, as Phoenix responds.
    #[must_use]
    pub const fn forbidden() -> Self {
        Self { status: StatusCode::FORBIDDEN, body: CompactString::const_new(""), reason: ConnectRefusal::Mount }
    }

    /// A status from 400 to 599, and a plain-text body. A browser shows neither to the page that opens the WebSocket.
    #[must_use]
    pub fn new(status: StatusCode, body: impl Into<CompactString>) -> Self {
        Self { status, body: body.into(), reason: ConnectRefusal::Mount }
    }

    /// The mount's `connect` has panicked.
    pub(crate) fn crashed() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "").with_reason(ConnectRefusal::Crash)
    }

    /// The node has no room for another connection.
    pub(crate) fn full() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "this server is full").with_reason(ConnectRefusal::Full)
    }

    /// The status of the response, and for a limit per client IP when to try again. No cache stores it, because it
    /// depends on the client.
    pub(crate) fn response(&self) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if matches!(self.reason, ConnectRefusal::Address | ConnectRefusal::RateLimited) {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER));
        }
        response
    }

    /// The response with the body. It may show a value from the client, so no browser may take it for a page.
    pub(crate) fn text_response(&self) -> HttpResponse {
        let mut response = self.response();
        response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        response.content_type("text/plain; charset=utf-8").body(self.body.to_string())
    }

    /// Sets the reason of a refusal that does not come from the mount's `connect`.
    pub(crate) fn with_reason(self, reason: ConnectRefusal) -> Self {
        Self { reason, ..self }
    }
}

impl From<TokenRefusal> for ConnectError {
    fn from(refusal: TokenRefusal) -> Self {
        let status = match refusal {
            TokenRefusal::TooManySockets => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::FORBIDDEN,
        };
        Self::new(status, refusal.text()).with_reason(refusal.into())
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused with {}", self.status.as_u16())
    }
}

impl std::error::Error for ConnectError {}
