//! A server that dies, hangs, forgets or closes a connection, and races for one name.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use handclasp::cluster::engine::{ClaimResult, Engine, Lost, Reach};
use handclasp::cluster::redis::{Redis, RedisOptions};

use super::{PATIENT, SHORT, engine, link_again};
use crate::common::redis::RedisServer;
use crate::common::wait_until;
use crate::suite::{Member, Recorder, block_on};

/// A linked engine that notices soon that its server is lost.
async fn linked(server: &RedisServer) -> (Redis, Rc<Recorder>) {
    let (engine, events) = (engine(&[server.url()], SHORT), Rc::new(Recorder::default()));
    link_again(&engine, &events).await;
    engine.subscribe("room:x").await.unwrap();
    (engine, events)
}

/// Waits until the engine has reported once that the link is lost, and checks that all calls fail.
async fn expect_lost(engine: &impl Engine, events: &Recorder) -> String {
    let mut reasons = Vec::new();
    wait_until("the link is lost", || {
        reasons.extend(events.take_lost());
        std::future::ready(!reasons.is_empty())
    })
    .await;
    assert_eq!(engine.find("x").await, Err(Lost));
    assert_eq!(engine.publish("room:x", Bytes::from_static(b"x")).await, Err(Lost));
    assert_eq!(engine.subscribe("room:x").await, Err(Lost));
    assert_eq!(engine.nodes().await, Err(Lost));
    assert_eq!(events.take_lost(), [""; 0], "reported once");
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    reasons.remove(0)
}

#[test]
fn a_killed_server_is_lost_and_its_epochs_grow_after_it_returns_empty() {
    block_on(async {
        let mut server = RedisServer::start(&[]);
        let (engine, events) = linked(&server).await;
        // so many grants within a moment that the counter runs ahead of a clock in milliseconds
        let names: Vec<String> = (0..3_000).map(|n| format!("peer:{n}")).collect();
        let claims = join_all(names.iter().map(|name| engine.claim(name))).await;
        let epochs = claims.into_iter().map(|claim| match claim.unwrap() {
            ClaimResult::Granted(epoch) => epoch,
            ClaimResult::Held(holder) => panic!("{holder:?}"),
        });
        let highest = epochs.max().unwrap();
        server.kill();
        let why = expect_lost(&engine, &events).await;
        assert!(why.contains(&server.port.to_string()), "{why}");
        server.restart_empty();
        link_again(&engine, &events).await;
        let again = engine.claim("peer:0").await.unwrap();
        assert!(matches!(again, ClaimResult::Granted(epoch) if epoch > highest), "{again:?} > {highest}");
        // an epoch that is entered moves the counter
        let ahead = highest + (1 << 40);
        assert_eq!(engine.enter(&[("peer:1", ahead)]).await.unwrap(), []);
        let next = engine.claim("peer:2").await.unwrap();
        assert!(matches!(next, ClaimResult::Granted(epoch) if epoch > ahead), "{next:?} > {ahead}");
    });
}

#[test]
fn a_server_that_hangs_is_lost() {
    block_on(async {
        let server = RedisServer::start(&[]);
        let (engine, events) = linked(&server).await;
        server.signal("STOP");
        // each request has its own time limit, also before the link is lost
        assert_eq!(engine.find("x").await, Err(Lost));
        assert_eq!(engine.subscribe("room:y").await, Err(Lost));
        expect_lost(&engine, &events).await;
        server.signal("CONT");
        link_again(&engine, &events).await;
        engine.find("x").await.unwrap();
    });
}

#[test]
fn a_closed_connection_is_noticed_whichever_it_is() {
    block_on(async {
        let server = RedisServer::start(&[]);
        for kind in ["normal", "pubsub"] {
            let (engine, events) = linked(&server).await;
            let _: u64 = server.run(&["CLIENT", "KILL", "TYPE", kind]);
            expect_lost(&engine, &events).await;
        }
    });
}

#[test]
fn a_server_that_forgets_the_scripts_is_linked_again() {
    block_on(async {
        let server = RedisServer::start(&[]);
        let (engine, events) = linked(&server).await;
        let _: String = server.run(&["SCRIPT", "FLUSH"]);
        assert_eq!(engine.claim("peer:x").await, Err(Lost));
        expect_lost(&engine, &events).await;
        link_again(&engine, &events).await;
        assert!(matches!(engine.claim("peer:x").await, Ok(ClaimResult::Granted(_))));
    });
}

#[test]
fn a_primary_that_becomes_a_replica_is_lost() {
    block_on(async {
        let (server, other) = (RedisServer::start(&[]), RedisServer::start(&[]));
        let (engine, events) = linked(&server).await;
        let _: String = server.run(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
        assert_eq!(engine.claim("peer:x").await, Err(Lost));
        expect_lost(&engine, &events).await;
    });
}

#[test]
fn an_entry_of_another_program_is_no_answer() {
    block_on(async {
        let server = RedisServer::start(&[]);
        let (engine, _events) = linked(&server).await;
        for entry in ["", "x", "x y", "x 1.5", "x -1", "x 99999999999999999999999"] {
            let _: String = server.run(&["SET", "handclasp:name:peer:x", entry]);
            assert_eq!(engine.claim("peer:x").await, Err(Lost), "{entry:?}");
            assert_eq!(engine.find("peer:x").await, Err(Lost), "{entry:?}");
            assert_eq!(engine.scan(0).await.unwrap().entries, [], "{entry:?}");
        }
        // a name that is not text, and a value that is not a string
        let command = redis::cmd("SET").arg(b"handclasp:name:\xFF").arg("x 1").take();
        let _: String = command.query(&mut server.connection()).unwrap();
        let _: u64 = server.run(&["RPUSH", "handclasp:name:peer:y", "x"]);
        assert_eq!(engine.claim("peer:y").await, Err(Lost));
        assert_eq!(engine.scan(0).await.unwrap().entries, []);
        assert_eq!(engine.enter(&[("peer:x", 7)]).await.unwrap(), []);
        assert_eq!(engine.find("peer:x").await.unwrap().unwrap().epoch, 7);
    });
}

#[test]
fn clusters_with_different_prefixes_share_a_server() {
    block_on(async {
        let server = RedisServer::start(&[]);
        let other = |prefix: &str| {
            let options = RedisOptions { urls: vec![server.url()], prefix: prefix.into(), timeout: PATIENT };
            Rc::new(Redis::new(options).unwrap())
        };
        let mut members = Vec::new();
        // the last ones would match each other's keys if they were patterns
        for prefix in ["handclasp", "handclasp2", "h*", "h[a]*", "h\\*"] {
            let member = Member { id: "a-1".into(), engine: other(prefix), heard: Rc::default() };
            member.link_again().await;
            member.granted(&format!("of {prefix}")).await;
            members.push((prefix, member));
        }
        for (prefix, member) in members {
            let part = member.engine.scan(0).await.unwrap();
            let names: Vec<String> = part.entries.into_iter().map(|(name, _)| name).collect();
            assert_eq!((names, part.next), (vec![format!("of {prefix}")], 0));
            assert_eq!(member.engine.send("a-1", Bytes::from_static(b"x")).await, Ok(Reach::Accepted));
            assert_eq!(member.heard.expect(1).await, [Bytes::from_static(b"x")]);
        }
    });
}

#[test]
fn a_dead_node_is_forgotten_after_ten_leases() {
    block_on(async {
        let server = RedisServer::start(&[]);
        let (a, b) = (Member::link(&server, "a-1").await, Member::link(&server, "b-1").await);
        let lease = Duration::from_millis(20);
        b.engine.heartbeat(lease, Bytes::from_static(b"b")).await.unwrap();
        wait_until("b is forgotten", || async {
            a.engine.heartbeat(lease, Bytes::from_static(b"a")).await.unwrap();
            server.run::<Vec<String>>(&["HKEYS", "handclasp:status"]) == ["a-1"]
        })
        .await;
        assert_eq!(server.run::<u64>(&["ZCARD", "handclasp:nodes"]), 1);
    });
}

#[test]
fn a_hundred_thousand_claims_of_one_name_have_one_owner() {
    const TURNS: usize = 50_000;
    const AT_ONCE: usize = 500;
    block_on(async {
        let server = RedisServer::start(&[]);
        let (a, b) = (Member::link(&server, "a-1").await, Member::link(&server, "b-1").await);
        let mut granted = Vec::new();
        for _ in 0..TURNS / AT_ONCE {
            let claims = (0..AT_ONCE).flat_map(|_| [a.engine.claim("peer:x"), b.engine.claim("peer:x")]);
            for result in join_all(claims).await {
                match result.unwrap() {
                    ClaimResult::Granted(epoch) => granted.push(epoch),
                    ClaimResult::Held(holder) => assert_eq!(Some(&holder.epoch), granted.last()),
                }
            }
        }
        assert_eq!(granted.len(), 1);
        assert_eq!(b.engine.find("peer:x").await.unwrap().unwrap().epoch, granted[0]);
    });
}

#[test]
fn what_is_sent_leaves_in_order_also_if_nobody_waits_for_it() {
    const COUNT: u32 = 10_000;
    block_on(async {
        let server = RedisServer::start(&[]);
        let (a, b) = (Member::link(&server, "a-1").await, Member::link(&server, "b-1").await);
        b.subscribe("room:x").await;
        // more bytes than one pipeline takes, and futures that are dropped unpolled or polled backwards
        let padding = "x".repeat(1_000);
        let mut futures = Vec::new();
        for n in 0..COUNT {
            let future = a.engine.publish("room:x", format!("{n} {padding}").into());
            if n % 3 == 0 {
                futures.push(future);
            }
        }
        futures.reverse();
        assert!(join_all(futures).await.into_iter().all(|result| result == Ok(())));
        let messages = b.heard.expect(COUNT as usize).await;
        let numbers = messages.iter().map(|message| {
            let text = std::str::from_utf8(message).unwrap();
            text.split(' ').next().unwrap().parse::<u32>().unwrap()
        });
        assert!(numbers.eq(0..COUNT));
    });
}
