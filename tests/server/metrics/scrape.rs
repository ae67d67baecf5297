//! The metrics as Prometheus scrapes them: over HTTP, and read by an independent parser.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use handclasp::{Channel, Endpoint, Mount, Node, Payload, Router, Topic};
use prometheus_parse::{Scrape, Value};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::{ABSENT, ALICE};
use crate::common::{
    self, Client, WEBHOOKS, config, get, node, node_with_engine, wait_until, wait_until_registry_empty,
};
use crate::{check_generated, with_table};

const ON: &str = "metrics.listen=127.0.0.1:0";

/// Scrapes the node.
async fn scrape(node: &Node) -> Scrape {
    let (status, text) = get(node.metrics_address().unwrap(), "/metrics").await;
    assert_eq!(status, 200, "{text}");
    Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap()
}

/// The sum of the series of a family that have all these labels. For a histogram: its number of observations.
fn sum(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> f64 {
    let matches = |sample: &&prometheus_parse::Sample| {
        sample.metric == name && labels.iter().all(|(key, value)| sample.labels.get(key) == Some(value))
    };
    let samples: Vec<_> = scrape.samples.iter().filter(matches).collect();
    assert!(!samples.is_empty(), "no {name} {labels:?}");
    let number = |value: &Value| match value {
        Value::Counter(number) | Value::Gauge(number) | Value::Untyped(number) => *number,
        other => panic!("{name} is {other:?}"),
    };
    samples.iter().map(|sample| number(&sample.value)).sum()
}

/// Every series, by its name and labels.
fn series(scrape: &Scrape) -> BTreeSet<String> {
    scrape.samples.iter().map(|sample| format!("{}{{{}}}", sample.metric, sample.labels)).collect()
}

async fn wait_for_value(node: &Node, name: &str, labels: &[(&str, &str)], number: f64) {
    let what = format!("{name} {labels:?} is {number}");
    wait_until(&what, || async { sum(&scrape(node).await, name, labels) == number }).await;
}

#[actix_web::test]
async fn the_metrics_are_served_on_their_own_address_only() {
    let node = node(&[ON]);
    let own = node.metrics_address().unwrap();
    assert_ne!(own, node.address());
    let (status, text) = get(own, "/metrics").await;
    assert!(status == 200 && text.contains("# TYPE handclasp_connections gauge\n"), "{text}");
    for (address, path) in [(node.address(), "/metrics"), (own, "/"), (own, "/healthz"), (own, "/socket/websocket")] {
        assert_eq!(get(address, path).await.0, 404, "{path}");
    }
    assert_eq!(common::node(&[]).metrics_address(), None, "metrics are off by default");
}

#[actix_web::test]
async fn the_metrics_show_what_happens() {
    let (one, other) = (node(&[ON]), node(&[ON]));
    let mut alice = Client::new(one.address()).await;
    alice.join("1", &format!("peer:{ALICE}"), "{}").await;
    alice.join("2", "room:a", r#"{"meta":{"name":"alice"}}"#).await;
    alice.receive_until("presence_diff").await;
    alice
        .exchange(
            &format!(r#"["1","3","peer:{ALICE}","watch",{{"peer_id":"{ABSENT}"}}]"#),
            &format!(r#"["1","3","peer:{ALICE}","phx_reply",{{"status":"ok","response":{{"online":false}}}}]"#),
        )
        .await;
    let mut peer = Client::open(one.address(), "/peerjs?key=peerjs&id=me&token=t", &[]).await;
    peer.expect(r#"{"type":"OPEN"}"#).await;
    peer.send(r#"{"type":"OFFER","dst":"you","payload":{}}"#).await;
    wait_for_value(&one, "handclasp_held_signals", &[], 1.0).await;
    let scraped = scrape(&one).await;
    for (name, labels, number) in [
        ("handclasp_connections", &[("protocol", "phoenix"), ("transport", "websocket")][..], 1.0),
        ("handclasp_connections", &[("protocol", "peerjs")], 1.0),
        ("handclasp_connections_opened_total", &[], 2.0),
        ("handclasp_joins_total", &[("protocol", "phoenix")], 2.0),
        ("handclasp_joins_total", &[("protocol", "peerjs")], 1.0),
        ("handclasp_join_duration_seconds_count", &[("protocol", "phoenix")], 2.0),
        ("handclasp_messages_received_total", &[("protocol", "phoenix")], 3.0),
        ("handclasp_topics", &[], 3.0),
        ("handclasp_members", &[], 3.0),
        ("handclasp_names", &[], 2.0),
        ("handclasp_watches", &[], 1.0),
        ("handclasp_presence_entries", &[], 1.0),
        ("handclasp_ready", &[], 1.0),
        ("handclasp_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
    ] {
        assert_eq!(sum(&scraped, name, labels), number, "{name} {labels:?}");
    }
    for name in ["handclasp_held_bytes", "process_resident_memory_bytes", "process_open_fds"] {
        assert!(sum(&scraped, name, &[]) > 0.0, "{name}");
    }
    assert!(sum(&scraped, "handclasp_queue_wait_seconds_count", &[("protocol", "phoenix")]) >= 1.0);
    let other_node = scrape(&other).await;
    assert_eq!(sum(&other_node, "handclasp_joins_total", &[]), 0.0, "each node counts its own");
    drop((alice, peer));
    wait_for_value(&one, "handclasp_connections", &[], 0.0).await;
    wait_for_value(&one, "handclasp_connections_closed_total", &[("reason", "gone")], 2.0).await;
    wait_until_registry_empty(&one.pubsub()).await;
    for name in ["topics", "members", "names", "watches", "presence_entries", "held_signals", "held_bytes"] {
        wait_for_value(&one, &format!("handclasp_{name}"), &[], 0.0).await;
    }
}

#[actix_web::test]
async fn custom_channels_are_counted() {
    struct Mine;
    impl Channel for Mine {}
    let own = Mount::new("/own", Router::new().channel("mine:*", |_| Mine));
    let node = Endpoint::new(config(&[ON])).mount(own).start().unwrap();
    let mut client = Client::open(node.address(), "/own/websocket?vsn=2.0.0", &[]).await;
    client.join("1", "mine:a", "{}").await;
    let scraped = scrape(&node).await;
    assert_eq!(sum(&scraped, "handclasp_joins_total", &[("protocol", "phoenix")]), 1.0);
    assert_eq!(sum(&scraped, "handclasp_connections", &[("protocol", "phoenix")]), 1.0);
}

#[actix_web::test]
async fn the_queue_of_a_client_that_does_not_read_is_measured() {
    let patient = ["limits.queue_bytes=100000000", "limits.queue_age=1h", "socket.write_timeout=10m"];
    let node = node(&[&[ON][..], &patient].concat());
    let mut slow = Client::new(node.address()).await;
    slow.join("1", "room:a", "{}").await;
    let (pubsub, topic) = (node.pubsub(), Topic::parse("room:a").unwrap());
    let payload = Payload::json(&"x".repeat(100_000)).unwrap();
    wait_until("messages are queued", || async {
        pubsub.broadcast(&topic, "e", payload.clone());
        sum(&scrape(&node).await, "handclasp_queue_messages", &[]) > 1.0
    })
    .await;
    let scraped = scrape(&node).await;
    assert_eq!(sum(&scraped, "handclasp_queue_connections", &[]), 1.0);
    assert!(sum(&scraped, "handclasp_queue_bytes", &[]) > 100_000.0);
    assert!(sum(&scraped, "handclasp_queue_max_bytes", &[]) > 100_000.0);
    assert!(sum(&scraped, "handclasp_queue_oldest_seconds", &[]) > 0.0);
    drop(slow);
    for name in ["handclasp_queue_connections", "handclasp_queue_bytes", "handclasp_queue_oldest_seconds"] {
        wait_for_value(&node, name, &[], 0.0).await;
    }
}

#[actix_web::test]
async fn no_client_can_create_a_series() {
    let node = node(&[ON, "hello.enabled=true"]);
    let before = series(&scrape(&node).await);
    let address = node.address();
    for (path, header) in [
        ("/socket/websocket?vsn=made.up", "x: y"),
        ("/made/up", "user-agent: made up"),
        ("/socket/websocket", "origin: https://made-up.example"),
        ("/socket/websocket?vsn=2.0.0", "sec-websocket-protocol: made-up"),
        ("/peerjs?key=made&id=up&token=t", "x: y"),
        ("/socket.io/?EIO=4&transport=made-up", "x: y"),
        ("/hello", "x-forwarded-for: 192.0.2.1"),
    ] {
        Client::try_open(address, path, &[header]).await;
    }
    let mut client = Client::new(address).await;
    for n in 0..50 {
        client.send(&format!(r#"["{n}","{n}","room:made up {n}","phx_join",{{}}]"#)).await;
        client.send(&format!(r#"["{n}","m{n}","room:made up {n}","made\"up{n}",{{}}]"#)).await;
        client.send(&format!(r#"[null,"{n}","made:{n}","phx_join",{{}}]"#)).await;
    }
    client.send(r#"[null,"end","phoenix","heartbeat",{}]"#).await;
    client.receive_until(r#""end","phoenix""#).await;
    client.send("made up").await;
    client.close_code().await;
    wait_for_value(&node, "handclasp_connections_closed_total", &[("reason", "malformed")], 1.0).await;
    assert_eq!(series(&scrape(&node).await), before);
}

#[actix_web::test]
async fn idle_connections_do_not_block_other_scrapes() {
    let node = node(&[ON]);
    let address = node.metrics_address().unwrap();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    scrape(&node).await;
    let many: Vec<String> = (0..200).map(|n| format!("x-{n}: y")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (_, response) = Client::try_open(address, "/metrics", &many).await;
    assert!(response.starts_with("HTTP/1.1 431"), "{response}");
}

#[actix_web::test]
async fn silent_clients_lose_their_places_before_their_time_is_over() {
    let node = node(&[ON]);
    let address = node.metrics_address().unwrap();
    wait_until("a client is closed without the answer that its time is over", || async {
        let mut silent = Vec::new();
        for _ in 0..16 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut received = String::new();
        silent[0].read_to_string(&mut received).await.unwrap();
        scrape(&node).await;
        received.is_empty()
    })
    .await;
}

#[actix_web::test]
async fn the_metrics_are_served_until_the_node_has_drained() {
    let node = node(&[ON, "drain.spread=0s", "socket.write_timeout=1m"]);
    let address = node.metrics_address().unwrap();
    let mut client = Client::new(node.address()).await;
    client.expect_nothing().await;
    let draining = actix_web::rt::spawn(node.drain());
    wait_until("the metrics show that the node is draining", || async {
        get(address, "/metrics").await.1.contains("\nhandclasp_ready 0\n")
    })
    .await;
    assert_eq!(client.close_code().await, 1012);
    drop(client);
    draining.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the listener closes with the node");
}

/// The table of all metrics in web/docs/metrics.md, without the standard process metrics.
fn table(text: &str) -> String {
    let mut rows = Vec::new();
    let mut help = "";
    for line in text.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text.split_once(' ').unwrap().1;
        }
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else { continue };
        if name.starts_with("handclasp_") {
            rows.push(format!("| `{name}` | {kind} | {} | {help} |", labels(text, name)));
        }
    }
    rows.sort();
    format!("| metric | type | labels | what it is |\n|---|---|---|---|\n{}\n", rows.join("\n"))
}

/// The labels of a family. For labels with a fixed set of values, also the values.
fn labels(text: &str, name: &str) -> String {
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let starts = [format!("{name}{{"), format!("{name}_sum{{")];
    for line in text.lines() {
        let Some(rest) = starts.iter().find_map(|start| line.strip_prefix(start.as_str())) else { continue };
        let pairs = rest.split_once('}').unwrap().0.split(',').map(|pair| pair.split_once('=').unwrap());
        for (key, value) in pairs {
            labels.entry(key).or_default().insert(value.trim_matches('"'));
        }
    }
    let display = |(key, values): (&str, BTreeSet<&str>)| match key {
        "code" | "outcome" | "reason" | "source" | "status" | "type" => {
            format!("{key}: {}", values.into_iter().collect::<Vec<_>>().join(", "))
        }
        key => key.to_owned(),
    };
    labels.into_iter().map(display).collect::<Vec<_>>().join("; ")
}

#[actix_web::test]
async fn the_page_lists_every_metric() {
    let node = node_with_engine(&[&WEBHOOKS[..], &[ON]].concat());
    let expected = table(&get(node.metrics_address().unwrap(), "/metrics").await.1);
    check_generated("web/docs/metrics.md", |page| with_table(page, "metrics", &expected));
}

#[actix_web::test]
async fn only_a_node_with_an_engine_has_metrics_of_the_cluster() {
    let (alone, with_engine) = (node(&[ON]), node_with_engine(&[ON]));
    with_engine.pubsub().metrics().cluster.nodes.set(3);
    assert_eq!(sum(&scrape(&with_engine).await, "handclasp_cluster_nodes", &[]), 3.0);
    let series = series(&scrape(&alone).await);
    assert!(!series.iter().any(|name| name.contains("cluster") || name.contains("webhook")), "{series:?}");
}

#[actix_web::test]
async fn an_application_can_add_its_own_counters() {
    let (orders, start_with) = (Arc::new(AtomicU64::new(7)), |name: &str| {
        Endpoint::new(config(&[ON])).counter(name, "Orders.", || 1).counter("shop_bills_total", "Bills.", || 1).start()
    });
    let read = orders.clone();
    let endpoint = Endpoint::new(config(&[ON])).counter("shop_orders_total", "Orders.", move || read.load(Relaxed));
    let node = endpoint.start().unwrap();
    wait_for_value(&node, "shop_orders_total", &[], 7.0).await;
    orders.store(9, Relaxed);
    wait_for_value(&node, "shop_orders_total", &[], 9.0).await;
    for name in ["", "no name", "shop_bills_total"] {
        assert!(start_with(name).is_err(), "{name:?}");
    }
}
