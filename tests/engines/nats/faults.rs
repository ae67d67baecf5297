//! Servers that die, hang, or lose what they stored.

use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::join_all;
use handclasp::cluster::engine::{ClaimResult, Engine, EngineEvents, Epoch, Lease, Lost};
use handclasp::cluster::nats::Nats;

use super::{LEASE, LONG_LEASE, SHORT, engine, engine_of, link_again};
use crate::common::nats::NatsServer;
use crate::suite::{Recorder, block_on};

async fn linked(server: &NatsServer) -> (Nats, Rc<Recorder>) {
    let (engine, events) = (engine(&[server.url()], SHORT), Rc::new(Recorder::default()));
    engine.link(&"a-1".into(), Rc::clone(&events) as Rc<dyn EngineEvents>).await.unwrap();
    (engine, events)
}

async fn with_long_lease(server: &NatsServer) -> (Nats, Rc<Recorder>) {
    let (engine, events) = (engine_of(&[server.url()], SHORT, LONG_LEASE), Rc::new(Recorder::default()));
    engine.link(&"a-1".into(), Rc::clone(&events) as Rc<dyn EngineEvents>).await.unwrap();
    (engine, events)
}

async fn granted(engine: &Nats, name: &str) -> Epoch {
    match engine.claim(name).await.unwrap() {
        ClaimResult::Granted(epoch) => epoch,
        ClaimResult::Held(holder) => panic!("{name} is held by {holder:?}"),
    }
}

async fn expect_that_all_calls_fail(engine: &Nats) {
    assert_eq!(engine.find("x").await, Err(Lost));
    assert_eq!(engine.claim("x").await, Err(Lost));
    assert_eq!(engine.scan(0).await, Err(Lost));
    assert_eq!(engine.subscribe("t").await, Err(Lost));
    assert_eq!(engine.publish("t", Bytes::new()).await, Err(Lost));
    assert_eq!(engine.send("a-1", Bytes::new()).await, Err(Lost));
    assert_eq!(engine.nodes().await, Err(Lost));
}

#[test]
fn a_killed_server_is_noticed_and_keeps_the_names() {
    block_on(async {
        let mut server = NatsServer::start();
        let (engine, events) = linked(&server).await;
        let first = granted(&engine, "x").await;
        server.kill();
        events.expect_lost().await;
        expect_that_all_calls_fail(&engine).await;
        server.restart();
        link_again(&engine, &events).await;
        let holder = engine.find("x").await.unwrap().unwrap();
        assert_eq!((&*holder.node, holder.epoch), ("a-1", first));
        let second = granted(&engine, "y").await;
        assert!(second > first, "{second} > {first}");
    });
}

#[test]
fn a_server_that_hangs_is_noticed_and_confirms_nothing() {
    block_on(async {
        let server = NatsServer::start();
        let (engine, events) = linked(&server).await;
        server.signal("STOP");
        // more than the buffers of the sockets take
        let message = Bytes::from(vec![0; 1 << 20]);
        let published = join_all((0..32).map(|_| engine.publish("t", message.clone())));
        let claimed = engine.claim("x");
        assert!(published.await.into_iter().all(|result| result == Err(Lost)));
        assert_eq!(claimed.await, Err(Lost));
        events.expect_lost().await;
        expect_that_all_calls_fail(&engine).await;
        server.signal("CONT");
        link_again(&engine, &events).await;
        engine.publish("t", message).await.unwrap();
    });
}

/// There are so many calls that most wait for the first ones, and those on one name for each other.
#[test]
fn all_calls_end_while_the_server_hangs() {
    block_on(async {
        let server = NatsServer::start();
        let (engine, events) = with_long_lease(&server).await;
        let epoch = granted(&engine, "x").await;
        let holder = engine.find("x").await.unwrap().unwrap();
        server.signal("STOP");
        let names: Vec<String> = (0..4_000).map(|n| format!("x{n}")).collect();
        let claims = names.iter().chain([&"x".to_owned(); 100]).map(|name| engine.claim(name)).collect::<Vec<_>>();
        let replacements = (0..100).map(|_| engine.replace("x", &holder)).collect::<Vec<_>>();
        let releases = names.iter().map(|name| engine.release(name, epoch)).collect::<Vec<_>>();
        let entered: Vec<_> = names.iter().map(|name| (&**name, epoch)).collect();
        let (entered, removed) = (engine.enter(&entered), engine.remove("x", &holder));
        let (found, parts, nodes) = (engine.find("x"), engine.scan(0), engine.nodes());
        let (sent, published) = (engine.send("a-1", Bytes::new()), engine.publish("t", Bytes::new()));
        let (subscribed, ended) = (engine.subscribe("t"), engine.end_lease());
        assert!(join_all(claims).await.into_iter().all(|result| result == Err(Lost)));
        assert!(join_all(replacements).await.into_iter().all(|result| result == Err(Lost)));
        assert!(join_all(releases).await.into_iter().all(|result| result == Err(Lost)));
        assert_eq!((entered.await, removed.await), (Err(Lost), Err(Lost)));
        assert_eq!((found.await, parts.await, nodes.await), (Err(Lost), Err(Lost), Err(Lost)));
        assert_eq!((sent.await, published.await), (Err(Lost), Err(Lost)));
        assert_eq!((subscribed.await, ended.await), (Err(Lost), Err(Lost)));
        assert_eq!(events.take_lost(), [""; 0], "the calls end although the link is not lost yet");
    });
}

#[test]
fn a_server_that_hangs_is_noticed_by_an_idle_node() {
    block_on(async {
        let server = NatsServer::start();
        let (_engine, events) = linked(&server).await;
        server.signal("STOP");
        events.expect_lost().await;
    });
}

#[test]
fn epochs_grow_when_the_server_returns_empty() {
    block_on(async {
        let mut server = NatsServer::start();
        let (engine, events) = linked(&server).await;
        let mut first = 0;
        for n in 0..100 {
            first = granted(&engine, &format!("x{n}")).await;
        }
        server.kill();
        events.expect_lost().await;
        server.restart_empty();
        link_again(&engine, &events).await;
        assert_eq!(engine.find("x0").await, Ok(None));
        let second = granted(&engine, "y").await;
        assert!(second > first, "{second} > {first}");
        assert_eq!(engine.enter(&[("x99", first), ("y", first)]).await.unwrap().len(), 1);
        let holder = engine.find("x99").await.unwrap().unwrap();
        assert_eq!(holder.epoch, first);
        let third = engine.replace("x99", &holder).await.unwrap().unwrap();
        assert!(third > second, "{third} > {second}");
    });
}

/// Another node may create the bucket again while the connection of this one holds.
#[test]
fn a_bucket_that_is_created_again_is_noticed() {
    block_on(async {
        let server = NatsServer::start();
        let ((a, events), (b, _)) = (linked(&server).await, linked(&server).await);
        let mut first = 0;
        for n in 0..10 {
            first = granted(&a, &format!("x{n}")).await;
        }
        let client = async_nats::connect(server.url()).await.unwrap();
        async_nats::jetstream::new(client).delete_stream("KV_handclasp-names").await.unwrap();
        link_again(&b, &Rc::default()).await;
        assert!(granted(&b, "y").await > first);
        assert_eq!(a.claim("z").await, Err(Lost));
        events.expect_lost().await;
        link_again(&a, &events).await;
        assert!(granted(&a, "x").await > first);
    });
}

async fn beat(engine: &Nats) -> Lease {
    engine.heartbeat(LEASE, Bytes::new()).await.unwrap().lease
}

/// Whatever a bucket has lost, others may have considered the node dead, or have got its names.
#[test]
fn a_lease_is_new_when_a_bucket_was_emptied_or_created_again() {
    block_on(async {
        let server = NatsServer::start();
        let ((a, events), (b, _)) = (linked(&server).await, linked(&server).await);
        let client = async_nats::connect(server.url()).await.unwrap();
        let jetstream = async_nats::jetstream::new(client);
        for bucket in ["KV_handclasp-nodes", "KV_handclasp-names"] {
            for is_deleted in [false, true] {
                granted(&a, &format!("of {bucket}, {is_deleted}")).await;
                beat(&a).await;
                link_again(&a, &events).await;
                assert_eq!(beat(&a).await, Lease::Kept, "{bucket}");
                match is_deleted {
                    true => drop(jetstream.delete_stream(bucket).await.unwrap()),
                    false => drop(jetstream.get_stream(bucket).await.unwrap().purge().await.unwrap()),
                }
                // another node creates it again
                link_again(&b, &Rc::default()).await;
                link_again(&a, &events).await;
                assert_eq!(beat(&a).await, Lease::New, "{bucket} {is_deleted}");
                assert_eq!(beat(&a).await, Lease::Kept, "{bucket} {is_deleted}");
            }
        }
    });
}

#[test]
fn a_lease_is_kept_when_the_answer_to_a_heartbeat_was_lost() {
    block_on(async {
        let server = NatsServer::start();
        let (engine, events) = linked(&server).await;
        granted(&engine, "x").await;
        assert_eq!(beat(&engine).await, Lease::New);
        // the server has written the entry, and the node does not know
        let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
        // the key is base64 of `a-1`
        jetstream.publish("$KV.handclasp-nodes.YS0x", Bytes::new()).await.unwrap().await.unwrap();
        link_again(&engine, &events).await;
        assert_eq!(beat(&engine).await, Lease::Kept);
    });
}
