//! [`TestServer`]: a node in a test that serves one mount and does not listen on the network.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use actix::Arbiter;
use actix_web::test::TestRequest;

use crate::broker::adapter::LocalAdapter;
use crate::broker::pubsub::Pubsub;
use crate::config::schema::Config;
use crate::http::acceptor::Acceptor;
use crate::http::connect_error::ConnectError;
use crate::http::connect_info::ConnectInfo;
use crate::http::mount::Mount;
use crate::http::node_state::NodeState;
use crate::http::token_check::{OfferedToken, auth_token_or_param};
use crate::protocols::phoenix::{V2, routes};
use crate::testing::client::TestClient;
use crate::transports::longpoll::LongPollOptions;
use crate::transports::websocket;

/// Serves one mount to the [`TestClient`]s of a test. It stops with the test's actix system.
///
/// Idle timeouts are not enforced: clients are not disconnected when they send nothing.
pub struct TestServer(Acceptor);

impl TestServer {
    /// Serves `mount` with the default configuration.
    ///
    /// # Panics
    /// Outside of an actix system. `#[actix_web::test]` starts one.
    #[must_use]
    pub fn new(mount: Mount) -> Self {
        Self::with_config(Config::default(), mount)
    }

    /// Like [`new`](Self::new), with the limits of `config`.
    ///
    /// # Panics
    /// Like [`new`](Self::new), outside of an actix system. When tokens are required and their keys cannot be read.
    #[must_use]
    pub fn with_config(config: Config, mount: Mount) -> Self {
        let (pubsub, _) = Pubsub::start(&config, Arc::new(LocalAdapter), &Arbiter::current())
            .expect("a single node needs nothing to start");
        let node = NodeState::new(config, pubsub, None).expect("the keys of `auth` can be read");
        Self(Acceptor::new(Arc::new(node), mount, routes::MOUNT))
    }

    /// The handle with which server code uses the topics.
    #[must_use]
    pub fn pubsub(&self) -> Pubsub {
        self.0.pubsub().clone()
    }

    /// Connects a client without params.
    ///
    /// # Panics
    /// When the mount's `connect` refuses it. Use [`client`](Self::client) if that is expected.
    pub async fn connect(&self) -> TestClient {
        self.client().connect().await.expect("the mount accepts the client")
    }

    /// A client that has not connected yet, to which params and headers can be added.
    #[must_use]
    pub fn client(&self) -> TestConnect<'_> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
        let request = TestRequest::with_uri(&format!("{}/websocket", self.0.path())).peer_addr(address);
        TestConnect { acceptor: &self.0, request, params: Vec::new(), auth_token: None }
    }
}

impl std::fmt::Debug for TestServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestServer").field("path", &self.0.path()).finish_non_exhaustive()
    }
}

/// A client that has not connected yet, with the request that the mount's `connect` will receive.
pub struct TestConnect<'a> {
    acceptor: &'a Acceptor,
    request: TestRequest,
    params: Vec<(String, String)>,
    auth_token: Option<String>,
}

impl TestConnect<'_> {
    /// Adds a connect param.
    #[must_use]
    pub fn param(mut self, name: &str, value: &str) -> Self {
        self.params.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the token of the client's `authToken` option.
    #[must_use]
    pub fn auth_token(mut self, token: &str) -> Self {
        self.auth_token = Some(token.to_owned());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.append_header((name, value));
        self
    }

    /// Connects the client.
    ///
    /// # Errors
    /// The error of the mount's `connect`, that of a connection limit, or that of the token.
    pub async fn connect(self) -> Result<TestClient, ConnectError> {
        let Self { acceptor, request, params, auth_token } = self;
        let request = request.to_http_request();
        let client_ip = acceptor.client_ip(&request)?;
        let token = OfferedToken::new(auth_token_or_param(auth_token.as_deref(), &params));
        let transport = websocket::NAME;
        let info = ConnectInfo { request, params, client_ip, auth_token, token, access: None, transport };
        let (slot, init) = acceptor.admit_longpoll(info, acceptor.timeouts().idle).await?;
        let options = LongPollOptions {
            // no limit, because a test client fetches its frames directly
            drain_after_close: true,
            in_process: true,
            ..LongPollOptions::new(usize::MAX)
        };
        Ok(TestClient::new(acceptor.in_process(slot, init, V2, options)))
    }
}

impl std::fmt::Debug for TestConnect<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestConnect").field("params", &self.params).finish_non_exhaustive()
    }
}
