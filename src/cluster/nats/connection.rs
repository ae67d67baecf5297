//! The connection to one server, and how its end is noticed. The client library connects again by itself and silently, so
//! a connection that is lost is given up, and the engine makes a new one.

use std::time::Duration;

use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, rustls};
use tokio::sync::mpsc;

use super::options::Server;
use super::subjects::Subjects;
use crate::cluster::engine::LinkError;

/// The oldest server whose key-value buckets do what this engine needs.
const OLDEST: (i64, i64) = (2, 10);

/// How long connecting to one address of a server may take, including TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How many commands wait for the client's task. Each holds a message that the adapter counts.
const COMMANDS: usize = 256;

/// How many messages of one subscription wait in the client, for the time of one turn of it: a turn reads about 8 MiB, and a
/// message has more than 128 bytes on the wire. One more, and the connection counts as lost, because messages are.
const WAITING_MESSAGES: usize = 65_536;

/// How often the client library checks the connection. The engine's own check is more frequent.
const LIBRARY_PING: Duration = Duration::from_secs(60);

/// Reports that the connection is lost, or messages are.
#[derive(Clone)]
pub(super) struct Alarm(mpsc::Sender<String>);

/// Receives the report.
pub(super) type Alarms = mpsc::Receiver<String>;

impl Alarm {
    pub(super) fn new() -> (Self, Alarms) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    /// Reports it. The first report counts.
    pub(super) fn raise(&self, why: impl Into<String>) {
        let _ = self.0.try_send(why.into());
    }
}

/// Connects to a server. What the server reports later is raised.
pub(super) async fn connect(
    server: &Server,
    subjects: &Subjects,
    node: &str,
    leaves_early: bool,
    alarm: Alarm,
) -> Result<Client, LinkError> {
    let shown = server.to_string();
    let options = ConnectOptions::new()
        .name(format!("handclasp {node}"))
        .custom_inbox_prefix(subjects.inbox())
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(LIBRARY_PING)
        .client_capacity(COMMANDS)
        .subscription_capacity(WAITING_MESSAGES)
        .ignore_discovered_servers()
        // one attempt for the first connection, and one after it is lost, which ends the client
        .max_reconnects(1)
        .event_callback(move |event| {
            let why = match event {
                Event::Disconnected | Event::Closed => Some(format!("the connection to {shown} is lost")),
                Event::SlowConsumer(_) => Some(format!("messages of {shown} are lost: this node is too slow")),
                Event::ServerError(error) => Some(format!("{shown}: {error}")),
                Event::LameDuckMode if leaves_early => Some(format!("{shown} is about to stop")),
                _ => None,
            };
            if let Some(why) = why {
                alarm.raise(why);
            }
            std::future::ready(())
        });
    let client = server.authorize(options).connect(&server.address).await;
    let client = client.map_err(|error| explain(server, &error))?;
    let info = client.server_info();
    if !client.is_server_compatible(OLDEST.0, OLDEST.1, 0) {
        let (major, minor) = OLDEST;
        return Err(LinkError::Unusable(format!(
            "{server} is NATS {}, and the oldest that works is {major}.{minor}",
            info.version
        )));
    }
    Ok(client)
}

fn explain(server: &Server, error: &ConnectError) -> LinkError {
    let unusable = |what: String| LinkError::Unusable(format!("{server} {what}"));
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation => unusable("refuses the user, password, token or nkey".into()),
        ConnectErrorKind::Authentication => unusable("needs an nkey with a valid seed".into()),
        ConnectErrorKind::Tls => unusable(format!("does not accept this node's TLS: {error}")),
        ConnectErrorKind::TimedOut => LinkError::Unreachable(format!("{server} does not answer")),
        _ => match tls_error(error) {
            Some(rustls::Error::InvalidMessage(_)) => unusable("does not speak TLS: set a URL with nats://".into()),
            Some(_) => unusable(format!("has no valid certificate: {error}")),
            None => LinkError::Unreachable(format!("{server}: {error}")),
        },
    }
}

/// Why the TLS handshake failed. Such an error is an I/O error whose cause is one of rustls.
fn tls_error(error: &ConnectError) -> Option<&rustls::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = error.downcast_ref().or_else(|| io.and_then(|inner| inner.downcast_ref()));
        if tls.is_some() {
            return tls;
        }
        cause = error.source();
    }
    None
}
