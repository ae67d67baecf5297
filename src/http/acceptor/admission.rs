//! Whether a client may connect: the check of its request and its token, the limits, and the mount's `connect`.

use std::convert::Infallible;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use futures_util::FutureExt;
use futures_util::future::{Either, select};

use super::{Acceptor, http_connection_of, mark_upgraded};
use crate::connections::hub::{AdmissionError, ClientIdentity, ConnectionSlot};
use crate::connections::ip_limits::IpLimitError;
use crate::connections::limits::ConnectionLimits;
use crate::http::connect_error::ConnectError;
use crate::http::connect_info::ConnectInfo;
use crate::http::idle_connections::hung_up;
use crate::http::mount::{AsyncConnect, Connect, SocketInit, SyncConnect};
use crate::http::request::check_upgrade;
use crate::refusal::{ConnectRefusal, TokenRefusal};

impl Acceptor {
    /// Admits a WebSocket client, if its token is valid, `connect` accepts it and the limits allow it. Returns its
    /// connection slot, whose TCP connection can be aborted, and the initial state of its socket.
    pub(crate) async fn admit(&self, info: ConnectInfo) -> Result<(ConnectionSlot, SocketInit), ConnectError> {
        let (slot, init, _) = self.admit_or_tell(info, |_| None::<Infallible>).await?;
        Ok((slot, init))
    }

    /// Like [`admit`](Self::admit). A client whose token is refused is admitted, too, if `tell` returns the protocol that
    /// tells it why over the WebSocket.
    pub(crate) async fn admit_or_tell<P>(
        &self,
        info: ConnectInfo,
        tell: impl FnOnce(TokenRefusal) -> Option<P>,
    ) -> Result<(ConnectionSlot, SocketInit, Option<P>), ConnectError> {
        let request = info.request.clone();
        let limits = self.0.connection_limits.clone();
        let (slot, init) = self.admit_checked(info, limits, false, || check_upgrade(&request)).await?;
        let (init, refused) = match init {
            Ok(init) => (init, None),
            Err(refusal) => (SocketInit::default(), Some((refusal, tell(refusal).ok_or(refusal)?))),
        };
        slot.connection.set_write_side(mark_upgraded(&request)?);
        let protocol = refused.map(|(refusal, protocol)| {
            self.count_refused(refusal.into());
            protocol
        });
        Ok((slot, init, protocol))
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
        if self.0.tokens.is_on() {
            node.accepts_tokens()?;
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
}

fn run_connect(connect: &SyncConnect, info: &ConnectInfo) -> Result<SocketInit, ConnectError> {
    catch_unwind(AssertUnwindSafe(|| connect(info))).unwrap_or_else(|_| Err(ConnectError::crashed()))
}
