//! Tests of server code that subscribes to a topic and reads its presence list, and of presence entries that are added
//! and removed after a join.

use handclasp::channels::Info;
use handclasp::message::PresenceUpdate;
use handclasp::testing::{TestClient, TestServer};
use handclasp::{Channel, Config, Context, Join, Mount, Payload, Reply, Router, SubscribeError, Topic};
use serde_json::{Value, json};

use super::standard_server;
use crate::common::{wait_until, wait_until_registry_empty};

const PEER: &str = "20dd48ca-fdcf-41c9-9a3b-2a1ab2a0f1c4";
const OTHER: &str = "20dd48ca-fdcf-41c9-9a3b-2a1ab2a0f1c5";

fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

#[actix_web::test]
async fn a_subscription_receives_all_broadcasts_until_it_is_dropped() {
    let server = standard_server(&[]);
    let pubsub = server.pubsub();
    let (mut news, mut others) =
        (pubsub.subscribe(&topic("room:a")).await.unwrap(), pubsub.subscribe(&topic("room:b")).await.unwrap());
    let mut client = server.connect().await;
    client.join("room:a", json!({})).await;
    client.push("room:a", "said", json!({ "n": 1 })).await;
    pubsub.broadcast(&topic("room:a"), "said", json!({ "n": 2 }));
    pubsub.broadcast(&topic("room:b"), "other", &());
    for n in [1, 2] {
        let heard = news.next().await.unwrap();
        assert_eq!((&*heard.event, heard.payload), ("said", json!({ "n": n }).into()));
    }
    assert_eq!(others.next().await.unwrap().event, "other");
    assert_eq!((pubsub.count("room:a"), pubsub.count("room:b")), (2, 1));
    drop((news, others));
    client.disconnect().await;
    wait_until_registry_empty(&server.pubsub()).await;
}

#[actix_web::test]
async fn the_stream_of_a_slow_subscriber_ends_and_delays_no_other_member() {
    let server = standard_server(&["limits.queue_bytes=1024"]);
    let pubsub = server.pubsub();
    let (mut slow, mut quick) =
        (pubsub.subscribe(&topic("room:a")).await.unwrap(), pubsub.subscribe(&topic("room:a")).await.unwrap());
    for n in 0..100 {
        pubsub.broadcast(&topic("room:a"), "n", &n);
        assert_eq!(quick.next().await.unwrap().payload, Payload::from(&n));
    }
    assert_eq!(slow.next().await, None);
    drop((slow, quick));
    wait_until_registry_empty(&server.pubsub()).await;
}

#[actix_web::test]
async fn a_full_topic_refuses_a_subscriber() {
    let server = standard_server(&["limits.members_per_topic=1"]);
    let first = server.pubsub().subscribe(&topic("room:a")).await.unwrap();
    let second = server.pubsub().subscribe(&topic("room:a")).await;
    assert_eq!(second.unwrap_err(), SubscribeError::TopicFull);
    drop(first);
    wait_until_registry_empty(&server.pubsub()).await;
}

/// Otherwise the sender would learn that its signal was delivered.
#[actix_web::test]
async fn a_subscriber_is_not_the_peer_whose_topic_it_subscribes_to() {
    let server = standard_server(&[]);
    let mut tap = server.pubsub().subscribe(&topic(&format!("peer:{OTHER}"))).await.unwrap();
    let (mine, offer) = (format!("peer:{PEER}"), json!({ "peer_id": OTHER }));
    let mut peer = server.connect().await;
    peer.join(&mine, json!({})).await;
    let push = peer.push(&mine, "offer", offer.clone()).await;
    peer.assert_reply(push, "error", json!({ "reason": "peer_not_found" })).await;
    assert_eq!(tap.next().await.unwrap().event, "offer");
    let mut other = server.connect().await;
    other.join(&format!("peer:{OTHER}"), json!({})).await;
    let push = peer.push(&mine, "offer", offer).await;
    peer.assert_reply(push, "ok", json!({})).await;
    assert_eq!(tap.next().await.unwrap().payload, json!({ "peer_id": PEER }).into());
}

/// Adds its client to the presence list when the client asks for it.
struct Listed;

impl Channel for Listed {
    fn join(&mut self, _: &Payload, _: &mut Context<'_>) -> Join {
        Join::ok().subscribe_presence()
    }

    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        let changed = match event {
            "track" => ctx.track_presence("ann", payload.clone()),
            "update" => ctx.update_presence(payload.clone()),
            _ => ctx.untrack_presence(),
        };
        changed.map_or_else(|error| Reply::error(error.reason()), |()| Reply::ok())
    }

    fn handle_info(&mut self, info: Info, ctx: &mut Context<'_>) {
        let update = info.downcast::<PresenceUpdate>().unwrap();
        ctx.push("listed", &update.listed);
    }
}

/// The list as the server's code sees it: the moods under the one key.
async fn moods(server: &TestServer) -> Vec<u64> {
    let list = server.pubsub().presence(&topic("list:a")).await;
    assert!(list.keys().all(|key| key == "ann"), "{list:?}");
    let metas = list.into_values().flatten().map(|meta| meta.parse::<Value>().unwrap());
    let mut moods: Vec<u64> = metas.map(|meta| meta["mood"].as_u64().unwrap()).collect();
    moods.sort_unstable();
    moods
}

async fn listed(server: &TestServer) -> TestClient {
    let mut client = server.connect().await;
    client.join("list:a", json!({})).await;
    client
}

#[actix_web::test]
async fn a_row_comes_and_goes_after_the_join() {
    let mut config = Config::default();
    config.presence.entries_per_topic = 2;
    let mount = Mount::new("/socket", Router::new().channel("list:*", |_| Listed));
    let server = TestServer::with_config(config, mount);
    let (mut one, mut two, mut three) = (listed(&server).await, listed(&server).await, listed(&server).await);
    one.push("list:a", "update", json!({ "mood": 0 })).await;
    assert!(moods(&server).await.is_empty(), "only an existing entry can be updated");
    for (client, mood, has_room) in [(&mut one, 1, true), (&mut two, 2, true), (&mut three, 3, false)] {
        client.push("list:a", "track", json!({ "mood": mood })).await;
        client.assert_push("list:a", "listed", &has_room).await;
    }
    assert_eq!(moods(&server).await, [1, 2]);
    let diff = three.next_broadcast("list:a", "presence_diff").await.parse::<Value>().unwrap();
    assert_eq!(diff["joins"]["ann"]["metas"].as_array().unwrap().len(), 2);
    one.push("list:a", "track", json!({ "mood": 4 })).await;
    one.assert_push("list:a", "listed", &true).await;
    two.push("list:a", "untrack", json!({})).await;
    assert_eq!(moods(&server).await, [4]);
    three.push("list:a", "track", json!({ "mood": 5 })).await;
    three.assert_push("list:a", "listed", &true).await;
    one.push("list:a", "update", json!({ "mood": 6 })).await;
    three.leave("list:a").await;
    wait_until("the entry is removed with its client", || async { moods(&server).await == [6] }).await;
    for client in [one, two, three] {
        client.disconnect().await;
    }
    wait_until_registry_empty(&server.pubsub()).await;
}
