//! [`Mount`]: a path where clients connect, the channels that serve it, and the decision which clients may connect.
//!
//! What the function that decides is told is in [`connect_info`](crate::http::connect_info), and how it refuses in
//! [`connect_error`](crate::http::connect_error). How a mount accepts a client is in
//! [`acceptor`](crate::http::acceptor).

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::channels::assigns::Assigns;
use crate::channels::channel::Router;
use crate::config::origin::Origins;
use crate::http::connect_error::ConnectError;
use crate::http::connect_info::ConnectInfo;
use crate::topic::Topic;

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
    /// for clients that pass, and [`ConnectInfo::access`] says what the token permits. Channels find the same
    /// [`Access`](crate::auth::Access) in
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
