//! The clocks of the broker. The wall clock may jump, so the broker measures time with the monotonic clock only. That one
//! runs on while the broker does not, so clients are judged by the node's clock (`connections/clock.rs`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::files;

/// The files that may read the wall clock: TURN credentials expire at a time that another machine checks, and tokens at
/// one that another machine has written, and so does a pause that a server asks for. The server API and webhooks tell times to
/// backends.
const EXEMPT: [&str; 9] = [
    "src/api/times.rs",
    "src/config/ice.rs",
    "src/http_client.rs",
    "src/wall_clock.rs",
    "src/webhooks/delivery/tests.rs",
    "src/webhooks/delivery.rs",
    "src/webhooks/event.rs",
    "src/webhooks/outbox/tests.rs",
    "src/webhooks/outbox.rs",
];
/// What reads the wall clock: its type, its epoch, and the times of files.
const WALL_CLOCK: [&str; 5] = ["SystemTime", "UNIX_EPOCH", ".modified()", ".accessed()", ".created()"];

/// The files that may read the monotonic clock or use a timer of the runtime, since they judge no client by it.
const UNJUDGED: [(&str, &str); 36] = [
    ("api/ask.rs", "the time of other nodes"),
    ("api/batch.rs", "the time of a batch"),
    ("api/connection.rs", "connections of backends, which send a request again"),
    ("api/dispatch.rs", "rate limits, and the time of a backend's body"),
    ("api/keys.rs", "rate limits"),
    ("api/signal.rs", "the time of another node"),
    ("auth/keys_url.rs", "when the keys at a URL are read"),
    ("auth/tokens.rs", "the time of a token, which runs on while the process is stopped"),
    ("bin/handclasp/token.rs", "the rest of a token's time, to show it"),
    ("broker/registry.rs", "pauses in which changes are collected"),
    ("broker/respondent.rs", "how long the node has been running"),
    ("broker/subscription.rs", "a rate limit"),
    ("connections/clock.rs", "the clock itself"),
    ("connections/held_token.rs", "the time of a token, which runs on while the process is stopped"),
    (
        "connections/hub.rs",
        "rate limits, the steps of a drain, and tokens, whose time runs on while the process is stopped",
    ),
    ("connections/ip_limits.rs", "rate limits"),
    ("connections/line_limit.rs", "a rate limit"),
    ("http/acceptor.rs", "rate limits"),
    ("http/ice.rs", "a rate limit, and the rest of a token's time"),
    ("http/upgraded_socket.rs", "a rate limit"),
    ("protocols/engineio/upgrade.rs", "a rate limit"),
    ("http/idle_connections.rs", "the steps of a drain"),
    ("protocols/peerjs/stream.rs", "pauses between messages"),
    ("server/endpoint.rs", "the interval of the sweep, and the wait for the link to other nodes"),
    ("server/handshake.rs", "rate limits"),
    ("server/learn_revocations.rs", "a pause before other nodes are asked again"),
    ("server/node.rs", "the notice before a drain, and what of its time is kept for webhooks"),
    ("server/reload.rs", "when the files of the certificate are read"),
    ("server/turns.rs", "the ticks of the clock"),
    ("server/workers.rs", "pauses after a failure"),
    ("sessions/session.rs", "rate limits"),
    ("testing/client.rs", "the patience of a test"),
    ("transports/longpoll.rs", "a pause before a poll is answered"),
    ("transports/longpoll/handle.rs", "a rate limit, and the time limit of a poll, after which the client polls again"),
    ("webhooks/delivery.rs", "the pauses between requests"),
    ("webhooks/handle.rs", "the time limit of the last requests"),
];
/// The part that judges other nodes and servers, and no client.
const NODES: &str = "cluster";
/// What reads the monotonic clock, or waits by it.
const MONOTONIC_CLOCK: [&str; 8] = [
    "Instant::now",
    ".elapsed()",
    "run_later(",
    "run_interval(",
    "time::timeout",
    "time::sleep",
    "time::interval",
    "use tokio::time",
];

fn uses_wall_clock(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap();
    WALL_CLOCK.iter().any(|name| text.contains(name))
}

#[test]
fn only_turn_credentials_and_tokens_use_the_wall_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: Vec<PathBuf> = files(&root.join("src")).into_iter().filter(|path| uses_wall_clock(path)).collect();
    found.sort();
    assert_eq!(found, EXEMPT.map(|path| root.join(path)), "use Instant, which cannot jump");
}

#[test]
fn clients_are_judged_by_the_clock_of_the_node() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let uses_clock = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        !path.ends_with("tests.rs")
            && !path.starts_with(src.join(NODES))
            && MONOTONIC_CLOCK.iter().any(|name| code.contains(name))
    };
    let found: BTreeSet<PathBuf> = files(&src).into_iter().filter(uses_clock).collect();
    let expected: BTreeSet<PathBuf> = UNJUDGED.iter().map(|(path, _)| src.join(path)).collect();
    let difference: Vec<_> = found.symmetric_difference(&expected).collect();
    assert!(difference.is_empty(), "judge clients by `Clock`, or say why it need not be: {difference:?}");
}
