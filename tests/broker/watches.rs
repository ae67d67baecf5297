//! Watches while the directory of names does not answer.

use crate::common::memory_engine::Knobs;
use crate::common::shared_adapter::EngineCluster;
use crate::common::{Client, id};

#[actix_web::test]
async fn a_watcher_hears_that_a_peer_is_there_once_the_directory_answers() {
    let cluster = EngineCluster::new(Knobs::default());
    let (first, second) = cluster.two_nodes(&[]).await;
    let (mut watcher, mut peer) = (Client::new(first.address()).await, Client::new(second.address()).await);
    watcher.join("1", &format!("peer:{}", id(1)), "{}").await;
    peer.join("1", &format!("peer:{}", id(2)), "{}").await;
    cluster.hub.hang(true);
    watcher.send(&format!(r#"["1","2","peer:{}","watch",{{"peer_id":"{}"}}]"#, id(1), id(2))).await;
    watcher.receive_until(r#""online":false"#).await;
    cluster.hub.hang(false);
    watcher.receive_until("peer_up").await;
    assert_eq!(first.pubsub().metrics().cluster.links_lost.get(), 0, "the link was there all the time");
    for node in [first, second] {
        node.stop().await;
    }
}
