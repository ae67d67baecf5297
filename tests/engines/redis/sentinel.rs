//! Three Sentinels, a primary and two replicas: a fail-over is noticed, and the new primary is found.

use std::rc::Rc;

use handclasp::cluster::engine::{ClaimResult, Engine, LinkError};

use super::{PATIENT, SHORT, engine, link, link_again};
use crate::common::redis::RedisServer;
use crate::common::wait_until;
use crate::suite::{Recorder, block_on};

#[test]
fn a_fail_over_is_noticed_and_the_new_primary_is_found() {
    let mut primary = RedisServer::start(&[]);
    let port = primary.port.to_string();
    let replica = || RedisServer::start(&["--replicaof", "127.0.0.1", &port]);
    let replicas = [replica(), replica()];
    let sentinel = || RedisServer::sentinel(primary.port);
    let sentinels = [sentinel(), sentinel(), sentinel()];
    let hosts: Vec<String> = sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();

    let why = link(&format!("redis://127.0.0.1:{}", sentinels[0].port)).unwrap_err();
    assert!(matches!(&why, LinkError::Unusable(why) if why.contains("redis+sentinel://")), "{why}");
    let why = link(&format!("redis+sentinel://{}/other", hosts.join(","))).unwrap_err();
    assert!(matches!(&why, LinkError::Unusable(why) if why.contains("\"other\"")), "{why}");

    block_on(async move {
        for sentinel in &sentinels {
            wait_until("each Sentinel knows the others and the replicas", || async { sentinel.knows_others(2) }).await;
        }
        for replica in &replicas {
            wait_until("the replica has its copy", || async {
                replica.run::<String>(&["INFO", "replication"]).contains("master_link_status:up")
            })
            .await;
        }
        // the first Sentinel of the URL is one that is not there
        let gone = RedisServer::start(&[]).port;
        let url = format!("redis+sentinel://127.0.0.1:{gone},{}/primary", hosts.join(","));
        let (engine, events) = (engine(&[url], SHORT), Rc::new(Recorder::default()));
        link_again(&engine, &events).await;
        let ClaimResult::Granted(first) = engine.claim("peer:x").await.unwrap() else { panic!("the name is free") };
        let copies: Vec<u64> = vec![primary.run(&["WAIT", "2", &PATIENT.as_millis().to_string()])];
        assert_eq!(copies, [2]);
        primary.kill();
        wait_until("the link is lost", || async { !events.take_lost().is_empty() }).await;
        link_again(&engine, &events).await;
        assert_eq!(engine.find("peer:x").await.unwrap().unwrap().epoch, first);
        let ClaimResult::Granted(next) = engine.claim("peer:y").await.unwrap() else { panic!("the name is free") };
        assert!(next > first, "{next} > {first}");
    });
}
