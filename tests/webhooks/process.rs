//! Webhooks of the real binary: its end and its restart, signals, its environment, and its secrets.

use std::fs::File;
use std::path::Path;

use crate::common::process::Process;
use crate::common::{Client, certified, get, id, wait_until};
use crate::receiver::{Answer, Known, Receiver, SECRET};

fn start(receiver: &Receiver, sets: &[&str]) -> Process {
    let of_receiver = receiver.sets();
    Process::start(&of_receiver.iter().map(String::as_str).chain(sets.iter().copied()).collect::<Vec<_>>())
}

fn instances(receiver: &Receiver) -> Vec<String> {
    let mut instances: Vec<String> =
        receiver.requests().iter().map(|request| request.json()["instance"].as_str().unwrap().to_owned()).collect();
    instances.dedup();
    instances
}

#[actix_web::test]
async fn a_killed_node_comes_back_as_another_instance() {
    let receiver = Receiver::start();
    let node = start(&receiver, &["cluster.node=a"]);
    let mut client = Client::new(node.address).await;
    client.join("1", &format!("peer:{}", id(1)), "{}").await;
    receiver.wait_for_one(&format!("peer_up {}", id(1))).await;
    drop(node);
    let _again = start(&receiver, &["cluster.node=a"]);
    receiver.wait_for(&["node_up", &format!("peer_up {}", id(1)), "node_up"]).await;
    let mut known = Known::default();
    receiver.requests().iter().for_each(|request| drop(known.accept(request)));
    assert!(known.peers.is_empty(), "what was known of the node is over");
    let instances = instances(&receiver);
    assert!(instances.len() == 2 && instances.iter().all(|name| name.starts_with("a-")), "{instances:?}");
}

#[actix_web::test]
async fn the_last_event_of_a_node_is_its_end() {
    let receiver = Receiver::start();
    let mut node = start(&receiver, &["drain.spread=100ms", "webhooks.grace_period=5m"]);
    let mut clients = Vec::new();
    for _ in 0..10 {
        let (id, secret) = certified();
        let mut client = Client::new(node.address).await;
        client.join("1", &format!("peer:{id}"), &secret.to_string()).await;
        clients.push(client);
    }
    node.signal("TERM");
    for client in &mut clients {
        assert_eq!(client.close_code().await, 1012);
    }
    drop(clients);
    assert_eq!(node.exit_code().await, Some(0));
    let events = receiver.short();
    assert_eq!(events.len(), 12, "{events:?}");
    assert_eq!(events[11], format!("node_down {}", instances(&receiver)[0]));
}

/// A client that does not answer its close frame does not take the time of the last event.
#[actix_web::test]
async fn a_connection_that_stays_open_does_not_keep_the_end_from_being_told() {
    let receiver = Receiver::start();
    let mut node = start(&receiver, &["drain.spread=0s", "drain.timeout=1s", "socket.close_timeout=1m"]);
    let mut client = Client::new(node.address).await;
    client.join("1", "room:a", "{}").await;
    node.signal("TERM");
    assert_eq!(node.exit_code().await, Some(0));
    assert_eq!(receiver.short().pop(), Some(format!("node_down {}", instances(&receiver)[0])));
}

#[actix_web::test]
async fn a_receiver_that_is_gone_is_asked_again_after_sighup() {
    let receiver = Receiver::start();
    let node = start(&receiver, &["webhooks.grace_period=0s", "metrics.listen=127.0.0.1:0"]);
    receiver.wait_for(&["node_up"]).await;
    receiver.answer(|| Answer::Status(410));
    let mut client = Client::new(node.address).await;
    client.join("1", "room:a", "{}").await;
    let metrics = node.metrics.unwrap();
    let refused = || async { get(metrics, "/metrics").await.1.contains("requests_total{outcome=\"refused\"} 1\n") };
    wait_until("a refused request", refused).await;
    receiver.answer(|| Answer::Status(200));
    for topic in ["room:b", "room:c"] {
        client.join("2", topic, "{}").await;
    }
    assert_eq!(receiver.tries().len(), 2, "it wants no more");
    node.signal("HUP");
    receiver.wait_for(&["node_up", "lost 3"]).await;
    client.join("3", "room:d", "{}").await;
    receiver.wait_for(&["node_up", "lost 3", "room_occupied d"]).await;
}

/// The receiver is where the operator says, whatever the environment says about proxies.
#[actix_web::test]
async fn no_proxy_of_the_environment_is_used() {
    let receiver = Receiver::start();
    let variables = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"];
    let of_receiver = receiver.sets();
    let sets: Vec<&str> = of_receiver.iter().map(String::as_str).collect();
    let _node = Process::with_environment(&variables.map(|name| (name, "http://127.0.0.1:1")), &sets);
    receiver.wait_for(&["node_up"]).await;
}

/// The log has one line when requests begin to fail, one when they succeed again, and none in between; and no secret.
#[actix_web::test]
async fn the_log_tells_when_requests_fail_and_no_secret() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("webhooks.log");
    let receiver = Receiver::start();
    receiver.answer(|| Answer::Status(500));
    let of_receiver = receiver.sets();
    let url = format!("{}?key=hunter2", of_receiver[0]);
    let sets: Vec<&str> = [url.as_str()]
        .into_iter()
        .chain(of_receiver[1..].iter().map(String::as_str))
        .chain(["log.level=trace", "metrics.listen=127.0.0.1:0"])
        .collect();
    let node = Process::logging_to(File::create(&path).unwrap(), &sets);
    wait_until("three tries", || async { receiver.tries().len() >= 3 }).await;
    receiver.answer(|| Answer::Status(200));
    receiver.wait_for(&["node_up"]).await;
    let log = || std::fs::read_to_string(&path).unwrap();
    wait_until("the second line", || async { log().contains("accepts requests again") }).await;
    let log = log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("webhooks: ")).collect();
    assert!(lines.iter().all(|line| !line.contains("/hooks")), "a path may be a secret: {lines:?}");
    assert!(lines.len() == 2 && lines[0].contains("the status of the response is 500"), "{lines:?}");
    let (_, metrics) = get(node.metrics.unwrap(), "/metrics").await;
    let signatures = receiver.tries().into_iter().map(|request| request.headers["webhook-signature"].clone());
    for secret in signatures.chain(["hunter2", SECRET, &SECRET[6..]].map(str::to_owned)) {
        assert!(!log.contains(&secret) && !metrics.contains(&secret), "{secret} in the log or the metrics");
    }
}
