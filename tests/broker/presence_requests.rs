//! How often a node sends a whole presence list because others request it.

use std::slice::from_ref;
use std::sync::{Arc, OnceLock};

use handclasp::broker::adapter::{Adapter, ClusterInbox, Packet};
use handclasp::{Endpoint, Pubsub, Topic};
use tokio::sync::mpsc;

use crate::common::memory_engine::Knobs;
use crate::common::shared_adapter::EngineCluster;
use crate::common::{Client, TIMEOUT, config, wait_until, wait_until_empty};

/// An adapter that tells the test which presence packets the node sends: the version that each follows.
struct Listener {
    inbox: Arc<OnceLock<Arc<dyn ClusterInbox>>>,
    sent: mpsc::UnboundedSender<u64>,
}

impl Adapter for Listener {
    fn start(&self, inbox: Arc<dyn ClusterInbox>) -> std::io::Result<()> {
        assert!(self.inbox.set(inbox).is_ok());
        Ok(())
    }

    fn publish(&self, _: &[Topic], packet: Packet) {
        if let Packet::Presence(packet) = packet {
            self.sent.send(packet.since).unwrap();
        }
    }
}

#[actix_web::test]
async fn many_requests_for_a_list_are_answered_with_few() {
    let (sent, mut lists) = mpsc::unbounded_channel();
    let inbox = Arc::new(OnceLock::new());
    let node = Endpoint::new(config(&[])).adapter(Listener { inbox: inbox.clone(), sent }).start().unwrap();
    let (mut client, room) = (Client::new(node.address()).await, Topic::parse("room:a").unwrap());
    client.join("1", "room:a", r#"{"meta":{}}"#).await;
    assert_eq!(lists.recv().await, Some(0), "the first list");
    // the second request of a list waits, and so do those that come meanwhile
    for _ in 0..3 {
        for _ in 0..20 {
            inbox.get().unwrap().publish(from_ref(&room), Packet::PresenceWanted(None));
        }
        let list = tokio::time::timeout(TIMEOUT, lists.recv()).await;
        assert_eq!(list.expect("each request is answered"), Some(0));
    }
    assert!(lists.try_recv().is_err(), "once for all of them");
    node.stop().await;
}

/// Nobody is told of what changes at a node while it is cut off from the others.
#[actix_web::test]
async fn entries_of_members_that_have_left_while_their_node_was_cut_off_go() {
    let cluster = EngineCluster::new(Knobs::default());
    let (first, second) = cluster.two_nodes(&[]).await;
    let (mut leaving, mut viewer) = (Client::new(first.address()).await, Client::new(second.address()).await);
    leaving.join("1", "room:a", r#"{"meta":{}}"#).await;
    viewer.join("1", "room:a", r#"{"presence":true}"#).await;
    let other = second.pubsub();
    let entries = |pubsub: Pubsub| async move { pubsub.stats().await.presence_entries };
    wait_until("the entry is known", || async { entries(other.clone()).await == 1 }).await;
    cluster.cut_off("a", &first).await;
    drop(leaving);
    wait_until_empty(&first).await;
    cluster.reconnect("a", &first).await;
    wait_until("the entry is gone", || async { entries(other.clone()).await == 0 }).await;
    assert_eq!(other.metrics().cluster.nodes.get(), 2, "its node was alive all the time");
    for node in [first, second] {
        node.stop().await;
    }
}
