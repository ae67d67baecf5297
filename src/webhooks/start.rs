//! Starts the thread that sends.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use compact_str::CompactString;

use super::delivery::Delivery;
use super::handle::{Shared, Webhooks};
use crate::config::schema::Config;
use crate::connections::clock::Clock;
use crate::http_client::HttpClient;
use crate::metrics::families::Metrics;

/// Starts the webhooks of a node, if `webhooks.url` is set. `instance` is the name of this life of the node.
///
/// # Errors
/// When the system has no thread left.
pub(crate) fn start(
    config: &Config,
    instance: CompactString,
    clock: Arc<Clock>,
    metrics: Arc<Metrics>,
) -> io::Result<Option<Webhooks>> {
    let Some(url) = config.webhooks.url.clone() else { return Ok(None) };
    let config = (&config.webhooks, config.cluster.node.get());
    let (sender, inbox) = channel();
    let shared = Arc::new(Shared::new(config.0, clock, metrics));
    let client = HttpClient::new(config.0.timeout);
    let delivery = Delivery::new(inbox, shared.clone(), client.clone(), url, config.0, (config.1, instance));
    let webhooks = Webhooks { shared: shared.clone(), sender, client };
    thread::Builder::new().name("webhooks".into()).spawn(move || shared.watch(|| delivery.run()))?;
    Ok(Some(webhooks))
}
