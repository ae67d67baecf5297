//! The state that all workers of a node share: configuration, pubsub, connections, and whether the node accepts
//! clients. Starting and stopping a node is in [`server`](crate::server).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::StatusCode;
use tokio::sync::Notify;

use crate::auth::revocations::RevokeError;
use crate::auth::{InvalidAuth, Revocation, RevocationsPage, RevokedTokens, Tokens};
use crate::broker::pubsub::Pubsub;
use crate::broker::respondent::NodeControl;
use crate::config::schema::Config;
use crate::connections::connection::{Connection, ConnectionId};
use crate::connections::hub::{Hub, HubLimits};
use crate::connections::ip_limits::IpTable;
use crate::connections::walk::Walk;
use crate::http::connect_error::ConnectError;
use crate::http::idle_connections::IdleConnections;
use crate::http::learning::Learning;
use crate::http::refusal_log::RefusalLog;
use crate::refusal::ConnectRefusal;
use crate::tls::ServerTls;

/// The state that all workers share.
pub(crate) struct NodeState {
    pub(crate) config: Config,
    pub(crate) pubsub: Pubsub,
    pub(crate) ip_table: Arc<IpTable>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) idle_connections: IdleConnections,
    pub(crate) refusal_log: RefusalLog,
    /// Checks the tokens of clients, unless they are ignored.
    pub(crate) tokens: Option<Arc<Tokens>>,
    /// The certificate of the public listener, if it speaks TLS.
    pub(crate) tls: Option<Arc<ServerTls>>,
    /// Whether the other nodes have said which tokens are revoked.
    pub(crate) learning: Learning,
    accepts_clients: AtomicBool,
    drain_request: Notify,
    /// Whether the adapter was ready when it was asked last.
    adapter_was_ready: AtomicBool,
}

impl NodeState {
    /// # Errors
    /// When clients need tokens, and the keys cannot be read.
    pub(crate) fn new(config: Config, pubsub: Pubsub, tls: Option<ServerTls>) -> Result<Self, InvalidAuth> {
        let mut tokens = config.auth.is_on().then(|| Tokens::from_config(&config.auth)).transpose()?;
        if let Some(tokens) = &mut tokens {
            tokens.open_revocations(&config.auth)?;
            tokens.start_reading_keys(&config.auth)?;
        }
        let tokens = tokens.map(Arc::new);
        tokens.iter().flat_map(|tokens| tokens.warnings()).for_each(|warning| log::warn!("{warning}"));
        let limits = HubLimits { connections: config.server.connections, close_timeout: config.socket.close_timeout };
        let ip_table = IpTable::new(&config.limits);
        let hub = Hub::new(limits, ip_table.clone());
        let idle_connections = IdleConnections::new(&config, pubsub.shared_metrics(), pubsub.clock().clone());
        let refusal_log = RefusalLog::new(config.log.refusals_per_minute);
        let (accepts_clients, adapter_was_ready) = (AtomicBool::new(true), AtomicBool::new(true));
        Ok(Self {
            config,
            pubsub,
            ip_table,
            hub,
            idle_connections,
            refusal_log,
            tokens,
            tls: tls.map(Arc::new),
            learning: Learning::default(),
            accepts_clients,
            drain_request: Notify::new(),
            adapter_was_ready,
        })
    }

    /// Revokes tokens, and closes the connections of this node that have one of them. Returns how many. Where
    /// tokens are ignored, no client has one.
    ///
    /// # Errors
    /// When there are too many revocations, or they cannot be kept.
    pub(crate) fn revoke(&self, revocations: &[Revocation]) -> Result<usize, RevokeError> {
        let Some(tokens) = &self.tokens else { return Ok(0) };
        match tokens.revocations().add(revocations) {
            Ok(false) => Ok(0),
            added => {
                let closed = self.hub.close_revoked();
                added.map(|_| closed)
            }
        }
    }

    /// Asks the node to drain, as SIGTERM does.
    pub(crate) fn request_drain(&self) {
        self.drain_request.notify_one();
    }

    /// Waits for a request to drain.
    pub(crate) async fn drain_requested(&self) {
        self.drain_request.notified().await;
    }

    /// Whether the node accepts new clients: it does until it drains.
    pub(crate) fn accepts_clients(&self) -> bool {
        self.accepts_clients.load(Ordering::Relaxed)
    }

    /// Whether a load balancer should send clients to this node, as `/readyz` reports it. The first answer after the
    /// adapter's has changed is logged.
    ///
    /// # Errors
    /// Why it should not. The node still accepts clients if only its adapter is not ready.
    pub(crate) fn readiness(&self) -> Result<(), String> {
        if !self.accepts_clients() {
            return Err("draining".into());
        }
        let linked = self.pubsub.ready();
        if linked.is_err() {
            self.learning.interrupt();
        }
        let ready = linked.and_then(|()| self.can_check_tokens());
        let was_ready = self.adapter_was_ready.swap(ready.is_ok(), Ordering::Relaxed);
        match &ready {
            Ok(()) if !was_ready => log::info!("ready again"),
            Err(why) if was_ready => log::warn!("not ready: {why}"),
            _ => {}
        }
        ready
    }

    fn can_check_tokens(&self) -> Result<(), String> {
        let Some(tokens) = &self.tokens else { return Ok(()) };
        match tokens.are_required() && tokens.have_no_keys() {
            true => Err("the keys at the URL of auth.jwks could not be read yet".into()),
            false => self.learning.readiness(),
        }
    }

    /// # Errors
    /// When the node has just started, and does not know yet which tokens were revoked at other nodes.
    pub(crate) fn accepts_tokens(&self) -> Result<(), ConnectError> {
        match self.learning.accepts_tokens() {
            true => Ok(()),
            false => Err(ConnectError::new(StatusCode::SERVICE_UNAVAILABLE, "this server is starting")
                .with_reason(ConnectRefusal::Starting)),
        }
    }

    /// Makes the node report that it is not ready, and reject new clients.
    pub(crate) fn start_draining(&self) {
        self.accepts_clients.store(false, Ordering::Relaxed);
    }
}

impl NodeControl for NodeState {
    fn connections(&self) -> Walk {
        self.hub.walk()
    }

    fn connection(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.hub.connection(id)
    }

    fn connection_count(&self) -> usize {
        self.hub.len()
    }

    fn is_ready(&self) -> bool {
        self.readiness().is_ok()
    }

    fn revoke_here(&self, revocation: &Revocation) -> Option<usize> {
        let revoked = self.revoke(std::slice::from_ref(revocation));
        revoked.inspect_err(|error| log::error!("{error}")).ok()
    }

    fn revocations(&self, after: Option<RevokedTokens>) -> RevocationsPage {
        self.tokens.as_ref().map_or(RevocationsPage::EMPTY, |tokens| tokens.revocations().page(after))
    }

    fn ask_again(&self) {
        self.learning.ask_again();
    }
}
