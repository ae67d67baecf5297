//! Finds values of `[cluster]` that contradict each other. Without an engine, the others have no effect.

use crate::config::cluster::{ClusterScheme, ClusterUrl, Engine};
use crate::config::schema::{Cluster, Config};

/// A node that is silent for `cluster.lease` is dead. It must be able to fail to reach the engine and try again before.
const TIMEOUTS_IN_A_LEASE: u32 = 4;

pub(super) fn conflict(Config { cluster, .. }: &Config) -> Option<String> {
    let Cluster { engine, urls, secret, lease, timeout, .. } = cluster;
    let name = engine.name();
    if *engine == Engine::None {
        return None;
    }
    if secret.is_none() {
        return Some(format!(
            "cluster.secret: missing, but cluster.engine is {name:?}: set the same secret on every node"
        ));
    }
    if *lease < *timeout * TIMEOUTS_IN_A_LEASE {
        let shown = humantime::format_duration;
        return Some(format!(
            "cluster.lease: {} is shorter than {TIMEOUTS_IN_A_LEASE} times cluster.timeout, {}: a node could not try again \
             before it counts as dead",
            shown(*lease),
            shown(*timeout)
        ));
    }
    conflict_of_urls(*engine, urls)
}

fn conflict_of_urls(engine: Engine, urls: &[ClusterUrl]) -> Option<String> {
    let name = engine.name();
    let is_of_other = |(_, url): &(usize, &ClusterUrl)| url.scheme().engine() != engine;
    if let Some((i, url)) = urls.iter().enumerate().find(is_of_other) {
        return Some(format!("cluster.urls: entry {}, {url}, does not fit cluster.engine, which is {name:?}", i + 1));
    }
    match urls {
        [] => Some(format!("cluster.urls: empty, but cluster.engine is {name:?}")),
        [_] => None,
        [first, ..] if engine == Engine::Redis => conflict_of_sentinels(first, urls),
        _ => None,
    }
}

/// Several Redis servers do not know each other: two nodes that use different ones would not meet.
fn conflict_of_sentinels(first: &ClusterUrl, urls: &[ClusterUrl]) -> Option<String> {
    let service = |url: &ClusterUrl| url.reveal().path().to_owned();
    if urls.iter().any(|url| url.scheme() != ClusterScheme::Sentinel) {
        return Some("cluster.urls: several URLs must all begin with redis+sentinel://, one for each Sentinel".into());
    }
    let other = urls.iter().find(|url| service(url) != service(first))?;
    Some(format!("cluster.urls: {first} and {other} name different services"))
}
