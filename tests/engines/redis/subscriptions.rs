//! How many commands the changes of subscriptions take.

use bytes::Bytes;
use futures_util::future::join_all;

use crate::common::redis::RedisServer;
use crate::suite::{Member, block_on, pair};

const TOPICS: usize = 10_000;

/// How many SUBSCRIBE and UNSUBSCRIBE the server has run.
fn commands(server: &RedisServer) -> u64 {
    let stats: String = server.run(&["INFO", "commandstats"]);
    let calls = stats.lines().filter_map(|line| {
        let calls = line.strip_prefix("cmdstat_subscribe:").or(line.strip_prefix("cmdstat_unsubscribe:"))?;
        calls.strip_prefix("calls=")?.split(',').next()?.parse::<u64>().ok()
    });
    calls.sum()
}

/// The server runs commands of one connection in their order, so this one comes after all changes before it.
async fn settle(member: &Member) {
    member.engine.subscribe("room:last").await.unwrap();
    member.engine.unsubscribe("room:last");
    member.engine.subscribe("room:later").await.unwrap();
}

#[test]
fn many_topics_are_subscribed_with_few_commands_and_each_is_confirmed() {
    block_on(async {
        let server = RedisServer::start(&[]);
        let (a, b) = pair(&server).await;
        let before = commands(&server);
        let topics: Vec<String> = (0..TOPICS).map(|n| format!("room:{n}")).collect();
        let joined = join_all(topics.iter().map(|topic| async {
            b.engine.subscribe(topic).await.unwrap();
            a.engine.publish(topic, Bytes::from(topic.clone())).await.unwrap();
        }));
        joined.await;
        b.heard.expect(TOPICS).await;
        // the first one travels alone
        let subscribed = commands(&server) - before;
        assert!(subscribed < 30, "{subscribed} commands");
        for topic in &topics {
            b.engine.unsubscribe(topic);
        }
        settle(&b).await;
        let all = commands(&server) - before;
        assert!(all < 60, "{all} commands");
        a.publish("room:0", b"x").await;
        a.publish("room:later", b"last").await;
        assert_eq!(b.heard.expect(1).await, ["last"]);
    });
}

#[test]
fn a_topic_that_is_joined_and_left_in_a_loop_costs_next_to_nothing() {
    block_on(async {
        let server = RedisServer::start(&[]);
        let (a, b) = pair(&server).await;
        let before = commands(&server);
        let joins: Vec<_> = (0..TOPICS)
            .map(|_| {
                let joined = b.engine.subscribe("room:x");
                b.engine.unsubscribe("room:x");
                joined
            })
            .collect();
        assert!(join_all(joins).await.into_iter().all(|joined| joined == Ok(())));
        settle(&b).await;
        let commands = commands(&server) - before;
        assert!(commands < 10, "{commands} commands");
        a.publish("room:x", b"x").await;
        a.publish("room:later", b"last").await;
        assert_eq!(b.heard.expect(1).await, ["last"]);
        b.subscribe("room:x").await;
        a.publish("room:x", b"back").await;
        assert_eq!(b.heard.expect(1).await, ["back"]);
    });
}
