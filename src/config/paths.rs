//! The paths of the node's services. Two enabled services cannot have the same one.

use crate::config::schema::Config;

/// Where clients of HelloWebRTC connect, besides `/`.
pub(crate) const HELLO: &str = "/hello";
/// Where a load balancer asks whether the process runs, and whether it is ready for clients.
pub(crate) const HEALTH: &str = "/healthz";
pub(crate) const READINESS: &str = "/readyz";

/// Finds two enabled services with the same path.
pub(super) fn conflict(config: &Config) -> Option<String> {
    let services = services(config);
    services.iter().enumerate().find_map(|(at, (name, path))| {
        let (other, _) = services[..at].iter().find(|(_, earlier)| earlier == path)?;
        Some(format!("{name}: {path:?} is taken by {other}"))
    })
}

/// The enabled services, each with its name and path. Those whose paths are fixed come first.
fn services(config: &Config) -> Vec<(&'static str, String)> {
    let Config { socket, hello, peerjs, socketio, relay, ice, .. } = config;
    let enabled = |is_enabled: bool, name, path: String| is_enabled.then_some((name, path));
    [
        enabled(true, "the health check", HEALTH.into()),
        enabled(true, "the readiness check", READINESS.into()),
        enabled(hello.enabled, "HelloWebRTC", HELLO.into()),
        enabled(peerjs.enabled, "PeerJS", format!("{}/peerjs", peerjs.path)),
    ]
    .into_iter()
    .chain(socket.mounts.iter().map(|path| enabled(true, "socket.mounts", path.clone())))
    .chain([
        enabled(socketio.enabled, "socketio.path", socketio.path.clone()),
        enabled(relay.enabled, "relay.path", relay.path.clone()),
        enabled(ice.enabled, "ice.path", ice.path.clone()),
    ])
    .flatten()
    .collect()
}
