//! What a running node reads again: on SIGHUP, and at intervals the files of its certificate.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::http::node_state::NodeState;
use crate::metrics::labels::ReloadOutcome;
use crate::tls::{InvalidTls, Reloaded, ServerTls};

/// Reads again what a node may change without a restart: SIGHUP.
pub(super) async fn reload(node: &NodeState) {
    if let Some(webhooks) = node.pubsub.webhooks() {
        webhooks.resume();
    }
    match &node.tls {
        Some(tls) => read_certificate(node, tls, ServerTls::reload).await,
        None if node.pubsub.webhooks().is_none() => {
            log::warn!("SIGHUP changes nothing: the configuration is read once, at the start");
        }
        None => {}
    }
}

/// Reads the certificate every `tls.reload_interval`.
pub(super) async fn watch_certificate(node: Arc<NodeState>) {
    let Some(tls) = &node.tls else { return };
    loop {
        tokio::time::sleep(node.config.tls.reload_interval).await;
        read_certificate(&node, tls, ServerTls::reload_if_settled).await;
    }
}

async fn read_certificate(
    node: &NodeState,
    tls: &Arc<ServerTls>,
    read: fn(&ServerTls) -> Result<Reloaded, InvalidTls>,
) {
    let tls = tls.clone();
    // the files may lie on another machine
    let Ok(reloaded) = spawn_blocking(move || read(&tls)).await else { return };
    match &reloaded {
        Ok(Reloaded::Unchanged | Reloaded::Awaited) => return,
        Ok(Reloaded::Replaced) => log::info!("new connections get the new certificate of tls.cert"),
        Err(error) => log::error!("the old certificate stays in use: {error}"),
    }
    let outcome = if reloaded.is_ok() { ReloadOutcome::Replaced } else { ReloadOutcome::Refused };
    node.pubsub.metrics().tls_reloads.inc(outcome);
}
