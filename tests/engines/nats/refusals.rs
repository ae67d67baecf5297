//! Servers that a node cannot use, and what it says about them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::rc::Rc;
use std::thread;

use bytes::Bytes;
use handclasp::cluster::engine::{ClaimResult, Engine, LinkError, Reach};

use super::{LEASE, SHORT, engine, link};
use crate::common::nats::{NEWEST, NatsServer};
use crate::suite::{Recorder, block_on};

/// The documentation, which has the permissions that suffice.
const DOCS: &str = include_str!("../../../web/docs/cluster.md");

fn unusable(url: &str) -> String {
    match link(url) {
        Err(LinkError::Unusable(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn unreachable(url: &str) -> String {
    match link(url) {
        Err(LinkError::Unreachable(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_without_jetstream_is_unusable() {
    let server = NatsServer::configured(NEWEST, "");
    assert!(unusable(&server.url()).starts_with("JetStream is off: start nats-server with -js"));
}

#[test]
fn an_old_server_is_unusable() {
    let port = pretend(r#"{"server_id":"x","version":"2.9.25","headers":true,"max_payload":1048576}"#);
    let why = unusable(&format!("nats://127.0.0.1:{port}"));
    assert_eq!(why, format!("127.0.0.1:{port} is NATS 2.9.25, and the oldest that works is 2.10"));
}

#[test]
fn a_server_that_does_not_run_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(unreachable(&format!("nats://127.0.0.1:{port}")).starts_with(&format!("127.0.0.1:{port}: ")));
}

#[test]
fn a_server_that_says_nothing_is_unreachable() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    assert_eq!(unreachable(&format!("nats://127.0.0.1:{port}")), format!("127.0.0.1:{port} does not answer"));
}

#[test]
fn wrong_credentials_are_refused_and_not_shown() {
    for (accounts, right, wrong) in [
        ("authorization { user: u, password: \"p@ss\" }", "u:p%40ss@", "u:hidden@"),
        ("authorization { token: t }", "t@", "hidden@"),
        (
            "authorization { users: [ { nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4 } ] }",
            "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY@",
            "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y@",
        ),
    ] {
        let server = NatsServer::configured(NEWEST, &format!("jetstream {{ store_dir: $FOLDER }}\n{accounts}"));
        let url = |credentials| format!("nats://{credentials}127.0.0.1:{}", server.port);
        assert_eq!(link(&url(right)), Ok(()), "{accounts}");
        for credentials in [wrong, ""] {
            let why = unusable(&url(credentials));
            let expected = format!("127.0.0.1:{} refuses the user, password, token or nkey", server.port);
            assert_eq!(why, expected, "{accounts}");
        }
    }
}

/// A server for a user with these permissions.
fn with_permissions(permissions: &str) -> NatsServer {
    let user = format!("{{ user: handclasp, password: secret, permissions: {{ {permissions} }} }}");
    NatsServer::configured(
        NEWEST,
        &format!("jetstream {{ store_dir: $FOLDER }}\nauthorization {{ users: [ {user} ] }}"),
    )
}

fn url(server: &NatsServer) -> String {
    format!("nats://handclasp:secret@127.0.0.1:{}", server.port)
}

/// The block in the documentation.
fn documented_permissions() -> &'static str {
    let text = DOCS.split("The user of NATS needs these:").nth(1).unwrap();
    text.split("```text\n").nth(1).unwrap().split("```").next().unwrap()
}

#[test]
fn the_documented_permissions_suffice() {
    block_on(async {
        let server = with_permissions(documented_permissions());
        let (engine, events) = (engine(&[url(&server)], SHORT), Rc::new(Recorder::default()));
        engine.link(&"a-1".into(), events.clone()).await.unwrap();
        let ClaimResult::Granted(first) = engine.claim("x").await.unwrap() else { panic!("x is free") };
        let holder = engine.find("x").await.unwrap().unwrap();
        assert_eq!(engine.claim("x").await, Ok(ClaimResult::Held(holder.clone())));
        let second = engine.replace("x", &holder).await.unwrap().unwrap();
        assert_eq!(engine.enter(&[("y", first)]).await, Ok(vec![]));
        assert_eq!(engine.scan(0).await.unwrap().entries.len(), 2);
        engine.release("x", second).await.unwrap();
        assert_eq!(engine.find("x").await, Ok(None));
        engine.heartbeat(LEASE, Bytes::new()).await.unwrap();
        assert_eq!(engine.nodes().await.unwrap().len(), 1);
        engine.end_lease().await.unwrap();
        engine.subscribe("t").await.unwrap();
        engine.publish("t", "on a topic".into()).await.unwrap();
        assert_eq!(engine.send("a-1", "to a node".into()).await, Ok(Reach::Accepted));
        assert_eq!(engine.send("b-1", Bytes::new()).await, Ok(Reach::Nobody));
        events.until_all(&["on a topic", "to a node"]).await;
        // the bucket exists now
        engine.link(&"a-1".into(), events).await.unwrap();
    });
}

#[test]
fn a_missing_permission_is_named() {
    for (permissions, named) in [
        (r#"publish: "handclasp.>", subscribe: "handclasp.>""#, "$JS.API.STREAM.INFO.KV_handclasp-names"),
        (r#"publish: ["handclasp.inbox.>", "$JS.API.>"], subscribe: "handclasp.inbox.>""#, "handclasp.node."),
        (r#"publish: "$JS.API.>", subscribe: ">""#, "handclasp.inbox."),
    ] {
        let server = with_permissions(permissions);
        let why = unusable(&url(&server));
        assert!(why.contains("Permissions Violation") && why.contains(named), "{why}");
    }
}

/// A server that says this in its INFO, and answers one PING.
fn pretend(info: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(format!("INFO {info}\r\n").as_bytes()).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| line != "PING")) {}
        let _ = stream.write_all(b"PONG\r\n");
    });
    port
}
