//! The adapter that a configuration asks for.

use std::io;
use std::sync::Arc;

use crate::broker::adapter::{Adapter, LocalAdapter};
use crate::cluster::adapter::Cluster;
use crate::cluster::engine::Engine;
#[cfg(feature = "nats")]
use crate::cluster::nats::{Nats, NatsOptions};
use crate::cluster::options::ClusterOptions;
#[cfg(feature = "redis")]
use crate::cluster::redis::{Redis, RedisOptions};
use crate::config::{self, Config};

/// The adapter for `config.cluster`.
///
/// # Errors
/// When the configuration can never work: an engine that was not compiled in, a URL that the engine does not accept, no
/// secret.
pub(crate) fn adapter(config: &Config) -> io::Result<Arc<dyn Adapter>> {
    match config.cluster.engine {
        config::Engine::None => Ok(Arc::new(LocalAdapter)),
        #[cfg(feature = "redis")]
        config::Engine::Redis => {
            let options = RedisOptions {
                urls: urls(config),
                prefix: config.cluster.prefix.clone(),
                timeout: config.cluster.timeout,
            };
            cluster(config, move || Redis::new(options.clone()))
        }
        #[cfg(feature = "nats")]
        config::Engine::Nats => {
            let options = NatsOptions {
                urls: urls(config),
                prefix: config.cluster.prefix.clone(),
                timeout: config.cluster.timeout,
                lease: config.cluster.lease,
            };
            cluster(config, move || Nats::new(options.clone()))
        }
        #[cfg(not(all(feature = "redis", feature = "nats")))]
        engine => Err(invalid(format!("this program was built without the feature {}", engine.name()))),
    }
}

/// A cluster over the engine that `engine` makes. It is made once here, to find errors in its options, and once more on
/// the cluster's thread.
fn cluster<E: Engine + 'static>(
    config: &Config,
    engine: impl Fn() -> Result<E, String> + Send + 'static,
) -> io::Result<Arc<dyn Adapter>> {
    drop(engine().map_err(|error| invalid(format!("cluster.urls: {error}")))?);
    let secret = config.cluster.secret.as_ref().ok_or_else(|| invalid("cluster.secret: missing".to_owned()))?;
    let options = ClusterOptions {
        node: config.cluster.node.of_new_life(),
        secret: secret.reveal().to_vec(),
        lease: config.cluster.lease,
        timeout: config.cluster.timeout,
        contest_timeout: config.limits.contest_timeout,
        queue_bytes: config.cluster.queue_bytes,
        isolated: config.cluster.isolated,
    };
    let make = move || -> Box<dyn Engine> { Box::new(engine().expect("these options have made an engine before")) };
    Ok(Arc::new(Cluster::new(options, make)))
}

fn urls(config: &Config) -> Vec<String> {
    config.cluster.urls.iter().map(|url| url.reveal().to_string()).collect()
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
