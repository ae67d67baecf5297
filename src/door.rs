//! A mount as its protocol sees it: who may come in here, and what they then are.
//!
//! A protocol decides in its own order and answers in its own words; what all of them need for that is
//! here once: the caller's address, the mount's own word, room for one more, and the session itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use socket2::Socket as RawSocket;

use crate::address::Caller;
use crate::connection::Patience;
use crate::connections::{NoRoom, Seat};
use crate::mailbox::Bound;
use crate::mount::{ConnectInfo, Connected, Mount, Refusal};
use crate::node::Node;
use crate::origin::Origins;
use crate::protocol::Protocol;
use crate::rules::Rules;
use crate::session::Session;
use crate::socket::Socket;
use crate::transports::websocket::{self, Size};

/// What a protocol adds to the routes of the server, for one of its mounts.
pub(crate) type AddRoutes = fn(&Door, &mut ServiceConfig);

/// A mount, with the configuration's word wherever it has none of its own. Cloning copies a pointer.
#[derive(Clone)]
pub(crate) struct Door(Arc<Place>);

struct Place {
    node: Arc<Node>,
    mount: Mount,
    rules: Arc<Rules>,
    origins: Origins,
    patience: Patience,
}

impl Door {
    pub(crate) fn new(node: Arc<Node>, mount: Mount) -> Self {
        let config = &node.config;
        let mut limits = config.limits.clone();
        limits.joins_per_socket = mount.joins_per_socket.unwrap_or(limits.joins_per_socket);
        let idle = mount.idle_timeout.unwrap_or(config.socket.idle_timeout);
        Self(Arc::new(Place {
            rules: Arc::new(Rules::new(mount.router.clone(), limits)),
            origins: mount.origins.clone().unwrap_or_else(|| config.socket.check_origin.clone()),
            patience: Patience { idle, unjoined: config.socket.join_within },
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

    /// How long a client of this mount may be silent.
    pub(crate) fn idle(&self) -> Duration {
        self.0.patience.idle
    }

    pub(crate) fn caller(&self, request: &HttpRequest) -> Result<Caller, Refusal> {
        let peer = request.peer_addr().ok_or(Refusal::new(StatusCode::BAD_REQUEST, "no address"))?;
        let forwarded: Vec<&str> =
            request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok()).collect();
        Ok(Caller::new(peer.ip(), forwarded.into_iter(), &self.0.node.config.server.trusted_proxies))
    }

    /// Asks the mount's own `connect`.
    pub(crate) fn connect(&self, info: &ConnectInfo<'_>) -> Result<Connected, Refusal> {
        catch_unwind(AssertUnwindSafe(|| (self.0.mount.connect)(info)))
            .unwrap_or_else(|_| Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "")))
    }

    /// Makes room for one more, whose wire can be cut.
    pub(crate) fn enter(&self, request: &HttpRequest, caller: Caller) -> Result<Seat, Refusal> {
        let Place { node, patience, .. } = &*self.0;
        if !node.is_ready() {
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server is going down"));
        }
        let bound = Bound { bytes: node.config.limits.queue_bytes, age: node.config.limits.queue_age };
        let Some(wire) = request.conn_data::<Arc<RawSocket>>() else {
            // what cannot be cut could stay for ever
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server is full"));
        };
        let seat = node.connections.enter(caller.address, *patience, bound).map_err(|no_room| match no_room {
            NoRoom::Node => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server is full"),
            NoRoom::Address => Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many connections from this address"),
        })?;
        seat.connection.attach(wire.clone());
        Ok(seat)
    }

    /// Answers the upgrade, and makes of it a session over a WebSocket.
    pub(crate) fn websocket<P: Protocol>(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        subprotocol: Option<&str>,
        seat: Seat,
        connected: Connected,
        protocol: P,
    ) -> HttpResponse {
        let limits = &self.0.rules.limits;
        let size = Size { bytes: limits.message_bytes, fragments: limits.fragments };
        let session = self.session(seat, connected, protocol, websocket::NAME);
        websocket::start(request, payload, subprotocol, session, size)
    }

    fn session<P: Protocol>(
        &self,
        seat: Seat,
        connected: Connected,
        protocol: P,
        transport: &'static str,
    ) -> Session<P> {
        let Place { node, rules, mount, .. } = &*self.0;
        node.pubsub.metrics().connections.add(1);
        log::debug!("{}: connected from {} to {}", seat.connection.id, seat.connection.address, mount.path);
        let (metrics, connection) = (node.pubsub.shared_metrics(), seat.connection.clone());
        let socket = Socket::new(rules.clone(), metrics, connection, transport, connected.assigns, Instant::now());
        let session = Session::new(socket, protocol, node.pubsub.clone(), seat);
        if let Some(id) = connected.id {
            session.listen(id);
        }
        session
    }

    /// Counts one who may not come in, and answers.
    pub(crate) fn refuse(&self, refusal: Refusal) -> HttpResponse {
        log::debug!("refused with {}: {}", refusal.status.as_u16(), refusal.body);
        self.0.node.pubsub.metrics().connections_refused.add(1);
        HttpResponse::build(refusal.status).content_type("text/plain; charset=utf-8").body(refusal.body.into_string())
    }
}
