//! The servers that a test runs over: Redis or NATS.

use futures_util::future::join;

use crate::common::nats::NatsServer;
use crate::common::redis::RedisServer;

/// Runs a scenario over each engine, at the same time: it mostly waits.
pub async fn on_both<F: Future<Output = ()>>(scenario: impl Fn(Engine) -> F) {
    // the futures are large, and a test's stack is small
    let (over_redis, over_nats) = (Box::pin(scenario(Engine::redis())), Box::pin(scenario(Engine::nats())));
    join(over_redis, over_nats).await;
}

/// One running server.
pub enum Engine {
    Redis(RedisServer),
    Nats(NatsServer),
}

impl Engine {
    pub fn redis() -> Self {
        Self::Redis(RedisServer::start(&[]))
    }

    pub fn nats() -> Self {
        Self::Nats(NatsServer::start())
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Redis(_) => "redis",
            Self::Nats(_) => "nats",
        }
    }

    pub fn port(&self) -> u16 {
        match self {
            Self::Redis(server) => server.port,
            Self::Nats(server) => server.port,
        }
    }

    pub fn url(&self) -> String {
        self.url_at(self.port())
    }

    /// The server's URL at another port of this host, for a proxy.
    pub fn url_at(&self, port: u16) -> String {
        format!("{}://127.0.0.1:{port}", self.name())
    }

    pub fn signal(&self, name: &str) {
        match self {
            Self::Redis(server) => server.signal(name),
            Self::Nats(server) => server.signal(name),
        }
    }

    pub fn kill(&mut self) {
        match self {
            Self::Redis(server) => server.kill(),
            Self::Nats(server) => server.kill(),
        }
    }

    /// Starts the killed server again, on the same port and without its data.
    pub fn restart_empty(&mut self) {
        match self {
            Self::Redis(server) => server.restart_empty(),
            Self::Nats(server) => server.restart_empty(),
        }
    }
}
