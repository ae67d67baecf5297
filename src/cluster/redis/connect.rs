//! Finds the primary, connects to it, and checks that it can be used: its version, its mode, and each permission that a
//! node needs. So whatever an operator has to change is known when a node links, with the command that was refused.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{ConnectionLike, MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, cmd};
use tokio::time::timeout;

use super::keys::Keys;
use super::scripts::Scripts;
use super::urls::{Server, Servers};
use crate::cluster::engine::LinkError;

/// The oldest version with access lists and HELLO, as in messages.
const OLDEST_VERSION: &str = "6.0";

/// Two connections to the primary, and a subscription to the inbox.
pub(super) struct Connections {
    /// Its host and port.
    pub(super) server: String,
    pub(super) commands: MultiplexedConnection,
    pub(super) subscriptions: PubSubSink,
    pub(super) messages: PubSubStream,
}

/// What is checked, and by which node.
pub(super) struct Checks<'a> {
    pub(super) keys: &'a Keys,
    pub(super) scripts: &'a Scripts,
    pub(super) node: &'a str,
    /// How long one server may take to connect and to answer all checks.
    pub(super) limit: Duration,
}

/// Connects to the first server that is the primary and can be used.
pub(super) async fn connect(servers: &Servers, checks: &Checks<'_>) -> Result<Connections, LinkError> {
    let mut failures = Vec::new();
    match servers {
        Servers::Addresses(addresses) => {
            for server in addresses {
                match within(checks.limit, server, open(server, checks)).await {
                    Ok(connections) => return Ok(connections),
                    Err(failure) => failures.push(failure),
                }
            }
        }
        Servers::Sentinels { sentinels, service } => {
            for sentinel in sentinels {
                let primary = match within(checks.limit, sentinel, primary(sentinel, service)).await {
                    Ok(primary) => within(checks.limit, &primary, open(&primary, checks)).await,
                    Err(failure) => Err(failure),
                };
                match primary {
                    Ok(connections) => return Ok(connections),
                    Err(failure) => failures.push(failure),
                }
            }
        }
    }
    Err(summary(failures))
}

/// All failures as one. What an operator has to change comes before what may end by itself.
fn summary(failures: Vec<LinkError>) -> LinkError {
    let is_unusable = |failure: &LinkError| matches!(failure, LinkError::Unusable(_));
    let any_unusable = failures.iter().any(is_unusable);
    let mut texts: Vec<String> = Vec::new();
    for failure in failures.iter().filter(|failure| is_unusable(failure) == any_unusable) {
        let text = failure.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let text = texts.join("; ");
    if any_unusable { LinkError::Unusable(text) } else { LinkError::Unreachable(text) }
}

async fn within<T>(
    limit: Duration,
    server: &Server,
    work: impl Future<Output = Result<T, LinkError>>,
) -> Result<T, LinkError> {
    let silent =
        || LinkError::Unreachable(format!("{server} does not answer within {}", humantime::format_duration(limit)));
    timeout(limit, work).await.unwrap_or_else(|_| Err(silent()))
}

/// Asks a Sentinel for the primary.
async fn primary(sentinel: &Server, service: &str) -> Result<Server, LinkError> {
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
    let mut result = ask(sentinel, false, &question).await;
    if result.as_ref().is_err_and(|error| error.code() == Some("NOAUTH")) && sentinel.has_password() {
        result = ask(sentinel, true, &question).await;
    }
    let address: Option<(String, u16)> = result.map_err(|error| match is_unknown_command(&error) {
        true => LinkError::Unusable(format!("{sentinel} is not a Sentinel")),
        false => refusal(sentinel, "SENTINEL", &error),
    })?;
    let unknown = || LinkError::Unusable(format!("the Sentinel {sentinel} does not know the service {service:?}"));
    address.map(|(host, port)| sentinel.at(host, port)).ok_or_else(unknown)
}

async fn ask(sentinel: &Server, logs_in: bool, question: &Cmd) -> RedisResult<Option<(String, u16)>> {
    let mut connection = commands(sentinel, logs_in).await?;
    question.query_async(&mut connection).await
}

/// A connection for commands without time limits of its own.
async fn commands(server: &Server, logs_in: bool) -> RedisResult<MultiplexedConnection> {
    let unlimited = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    server.client(logs_in)?.get_multiplexed_async_connection_with_config(&unlimited).await
}

async fn open(server: &Server, checks: &Checks<'_>) -> Result<Connections, LinkError> {
    let failed = |step| move |error: RedisError| refusal(server, step, &error);
    let mut commands = commands(server, true).await.map_err(failed("the login"))?;
    check_server(server, &mut commands).await?;
    check_commands(server, checks, &mut commands).await?;
    let subscriber = server.client(true).map_err(failed("the login"))?;
    let subscriber = subscriber.get_async_pubsub().await.map_err(failed("the login"))?;
    let (mut subscriptions, mut messages) = subscriber.split();
    let channel = checks.keys.check(checks.node);
    subscriptions.subscribe(&channel).await.map_err(failed("SUBSCRIBE"))?;
    let publish = cmd("PUBLISH").arg(&channel).arg("").take();
    if query::<u64>(server, "PUBLISH", publish, &mut commands).await? == 0 || messages.next().await.is_none() {
        let text = format!("{server} leads to several servers: a message from one connection did not reach the other");
        return Err(LinkError::Unreachable(text));
    }
    subscriptions.unsubscribe(&channel).await.map_err(failed("UNSUBSCRIBE"))?;
    subscriptions.ping::<redis::Value>().await.map_err(failed("PING"))?;
    let inbox = checks.keys.inbox(checks.node);
    subscriptions.subscribe(inbox).await.map_err(failed("SUBSCRIBE"))?;
    Ok(Connections { server: server.to_string(), commands, subscriptions, messages })
}

/// Checks the server's version, mode and role, which HELLO returns.
async fn check_server(server: &Server, connection: &mut MultiplexedConnection) -> Result<(), LinkError> {
    let hello: Vec<redis::Value> = match cmd("HELLO").query_async(connection).await {
        Err(error) if is_unknown_command(&error) => {
            let text =
                format!("{server} is older than Redis {OLDEST_VERSION}, which is the oldest version that can be used");
            return Err(LinkError::Unusable(text));
        }
        hello => hello.map_err(|error| refusal(server, "HELLO", &error))?,
    };
    let find = |name: &str| {
        let pairs = hello.chunks_exact(2).map(|pair| (String::from_redis_value_ref(&pair[0]), &pair[1]));
        let value = pairs.into_iter().find_map(|(key, value)| (key.ok()? == name).then_some(value));
        value.and_then(|value| String::from_redis_value_ref(value).ok()).unwrap_or_default()
    };
    match &*find("mode") {
        "cluster" => Err(LinkError::Unusable(format!(
            "{server} runs in cluster mode, which cannot be used: use one primary with Sentinel, or NATS for several servers"
        ))),
        "sentinel" => {
            Err(LinkError::Unusable(format!("{server} is a Sentinel: use redis+sentinel://HOST:PORT/SERVICE")))
        }
        _ if find("role") == "replica" => {
            Err(LinkError::Unreachable(format!("{server} is a replica, and no primary was found")))
        }
        _ => Ok(()),
    }
}

/// Loads the scripts, and runs every command that a node needs.
async fn check_commands(
    server: &Server,
    checks: &Checks<'_>,
    connection: &mut MultiplexedConnection,
) -> Result<(), LinkError> {
    for script in checks.scripts.all() {
        query::<String>(server, "SCRIPT LOAD", script.load(), connection).await?;
    }
    let key = checks.keys.check(checks.node);
    let scan = cmd("SCAN").arg(0).arg("MATCH").arg(checks.keys.names()).arg("COUNT").arg(1).take();
    let commands = [
        ("a script", checks.scripts.check.call(std::slice::from_ref(&key))),
        ("PING", cmd("PING")),
        ("GET", cmd("GET").arg(checks.keys.name("")).take()),
        ("MGET", cmd("MGET").arg(&key).take()),
        ("SCAN", scan),
    ];
    for (step, command) in commands {
        query::<redis::Value>(server, step, command, connection).await?;
    }
    Ok(())
}

async fn query<T: FromRedisValue>(
    server: &Server,
    step: &str,
    command: Cmd,
    connection: &mut impl ConnectionLike,
) -> Result<T, LinkError> {
    command.query_async(connection).await.map_err(|error| refusal(server, step, &error))
}

fn is_unknown_command(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.starts_with("unknown command"))
}

/// Whether the failure may end by itself, and what it is.
fn refusal(server: &Server, step: &str, error: &RedisError) -> LinkError {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
    let refuses = |why: &dyn Display| LinkError::Unusable(format!("{server} refuses {step}: {why}"));
    let source = error.source().and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    let io = source.and_then(|source| source.downcast_ref::<io::Error>());
    match error.kind() {
        // TLS reports a certificate that it does not trust as invalid data
        ErrorKind::Io if io.is_some_and(|io| io.kind() == io::ErrorKind::InvalidData) => {
            LinkError::Unusable(format!("{server}: {error}"))
        }
        ErrorKind::Io => LinkError::Unreachable(format!("{server}: {error}")),
        ErrorKind::AuthenticationFailed => refuses(&"the user or the password is wrong"),
        ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain) => {
            LinkError::Unreachable(format!("{server}: {error}"))
        }
        _ if error.code() == Some("NOAUTH") => refuses(&"it requires a password, and the URL has none"),
        _ if error.detail().is_some_and(|detail| detail.starts_with("max number of clients")) => {
            LinkError::Unreachable(format!("{server}: {error}"))
        }
        _ => refuses(error),
    }
}
