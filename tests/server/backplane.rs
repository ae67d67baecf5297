//! What the server asks of its adapter: whether the node is ready, and to retire before it drains.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};

use handclasp::broker::adapter::{Adapter, ClusterInbox};
use handclasp::{Endpoint, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{Client, TIMEOUT, config, get, wait_until};

/// What a test sets and reads of its adapter.
#[derive(Default)]
struct State {
    /// What is wrong, if the adapter is not ready.
    wrong: Mutex<Option<String>>,
    inbox: OnceLock<Arc<dyn ClusterInbox>>,
    /// The number of connected clients at each call of `retire`.
    retired_with: Mutex<Vec<i64>>,
}

struct TestAdapter(Arc<State>);

impl Adapter for TestAdapter {
    fn start(&self, inbox: Arc<dyn ClusterInbox>) -> std::io::Result<()> {
        assert!(self.0.inbox.set(inbox).is_ok(), "it is started once");
        Ok(())
    }

    fn retire(&self) {
        let connections = self.0.inbox.get().unwrap().metrics().connections.get();
        self.0.retired_with.lock().unwrap().push(connections);
    }

    fn ready(&self) -> Result<(), String> {
        self.0.wrong.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

fn start() -> (Node, Arc<State>) {
    let state = Arc::new(State::default());
    let config = config(&["drain.spread=0s", "metrics.listen=127.0.0.1:0"]);
    (Endpoint::new(config).adapter(TestAdapter(state.clone())).start().unwrap(), state)
}

/// Keeps what this process logs, that of other tests included.
#[derive(Default)]
struct KeptLog(Mutex<Vec<String>>);

impl log::Log for KeptLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

static LOG: KeptLog = KeptLog(Mutex::new(Vec::new()));

async fn is_ready(address: SocketAddr) -> (u16, String) {
    get(address, "/readyz").await
}

#[actix_web::test]
async fn a_node_is_not_ready_while_its_adapter_is_not() {
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let (node, adapter) = start();
    let address = node.address();
    let set = |wrong: Option<&str>| *adapter.wrong.lock().unwrap() = wrong.map(str::to_owned);
    assert_eq!(is_ready(address).await, (200, "ready\n".into()));
    set(Some("the test took it away"));
    for _ in 0..2 {
        assert_eq!(is_ready(address).await, (503, "the test took it away\n".into()));
    }
    set(Some("the test still has it"));
    assert_eq!(is_ready(address).await, (503, "the test still has it\n".into()));
    assert_eq!(get(address, "/healthz").await, (200, "ok\n".into()), "a restart would not help");
    let mut client = Client::new(address).await;
    client.join("1", "room:r", "{}").await;
    let (_, metrics) = get(node.metrics_address().unwrap(), "/metrics").await;
    assert!(metrics.contains("\nhandclasp_ready 1\n"), "it accepts clients");
    set(None);
    for _ in 0..2 {
        assert_eq!(is_ready(address).await, (200, "ready\n".into()));
    }
    let lines: Vec<String> = LOG.0.lock().unwrap().clone();
    let about_it: Vec<_> =
        lines.iter().filter(|line| line.contains("ready again") || line.contains("the test")).collect();
    assert_eq!(about_it, ["WARN not ready: the test took it away", "INFO ready again"]);
}

#[actix_web::test]
async fn a_node_retires_before_it_drains() {
    let (node, adapter) = start();
    let mut client = Client::new(node.address()).await;
    client.expect_nothing().await;
    let draining = actix_web::rt::spawn(node.drain());
    assert_eq!(client.close_code().await, 1012);
    drop(client);
    draining.await.unwrap();
    assert_eq!(*adapter.retired_with.lock().unwrap(), [1], "once, while the client was connected");
}

#[actix_web::test]
async fn a_draining_node_says_so_whatever_its_adapter_says() {
    let (node, adapter) = start();
    let address = node.address();
    *adapter.wrong.lock().unwrap() = Some("gone".into());
    let mut client = Client::new(address).await;
    client.expect_nothing().await;
    // the node accepts no new connections then
    let mut probe = TcpStream::connect(address).await.unwrap();
    tokio::join!(node.drain(), async {
        wait_until("the adapter has retired", || async { !adapter.retired_with.lock().unwrap().is_empty() }).await;
        probe.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut response = String::new();
        timeout(TIMEOUT, probe.read_to_string(&mut response)).await.expect("a response").unwrap();
        assert!(response.starts_with("HTTP/1.1 503") && response.ends_with("\r\n\r\ndraining\n"), "{response}");
        assert_eq!(client.close_code().await, 1012);
        drop(client);
    });
}
