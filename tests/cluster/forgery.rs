//! Messages that somebody else puts into the engine: refused, counted, and without effect.

use std::time::Duration;

use crate::common::redis::RedisServer;
use crate::node::Node;
use crate::peer::Peer;
use crate::wait_until;

#[actix_web::test]
async fn forged_and_repeated_messages_are_refused_and_counted() {
    let server = RedisServer::start(&[]);
    let nodes = [Node::linked_to(&server.url(), &[]).await, Node::linked_to(&server.url(), &[]).await];
    for node in &nodes {
        node.wait_for_nodes(2).await;
    }
    let (mut one, mut other) = (Peer::new(nodes[0].address()).await, Peer::new(nodes[1].address()).await);
    // what an eavesdropper sees
    let mut connection = server.connection();
    let mut channels = connection.as_pubsub();
    channels.psubscribe("handclasp:node:n*").unwrap();
    channels.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    one.signal(&other.id.clone(), 1).await.unwrap();
    other.hear_number(1).await;
    let message = channels.get_message().unwrap();
    let (inbox, genuine) = (message.get_channel_name().to_owned(), message.get_payload_bytes().to_vec());
    assert!(genuine.windows(6).any(|part| part == b"signal"), "the message is the signal");
    drop(channels);

    let mut altered = genuine.clone();
    *altered.last_mut().unwrap() ^= 1;
    let mut later = genuine.clone();
    later[0] = 9;
    let inputs: [(&str, &[u8], u64); 6] = [
        ("repeated", &genuine, 1),
        ("forged", &altered, 1),
        ("forged", b"", 2),
        ("forged", &[1; 40], 3),
        ("version", &later, 1),
        ("repeated", &genuine, 2),
    ];
    let mut sender = server.connection();
    for (reason, bytes, count) in inputs {
        redis::cmd("PUBLISH").arg(&inbox).arg(bytes).query::<u64>(&mut sender).unwrap();
        let series = format!("cluster_packets_refused_total{{reason=\"{reason}\"}}");
        wait_until(&series, || async { nodes[1].metric(&series).await == count }).await;
    }
    // in the other node's inbox it is misdirected: it was for this one
    let back = inbox.replace(&inbox[inbox.rfind(':').unwrap() + 1..], &name_of(&nodes[0]));
    redis::cmd("PUBLISH").arg(&back).arg(&genuine).query::<u64>(&mut sender).unwrap();
    assert_eq!(other.heard().await, [], "nothing has arrived");
    one.signal(&other.id.clone(), 2).await.unwrap();
    other.hear_number(2).await;
}

/// The name of a node's present life, from its log.
fn name_of(node: &Node) -> String {
    let log = node.log();
    let name = log.split("linked to the cluster as ").nth(1).unwrap();
    name.split(',').next().unwrap().to_owned()
}
