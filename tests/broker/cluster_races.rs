//! What goes wrong between nodes when each request and message takes its time: claims that cross, messages sent while a
//! subscription is under way, and lost messages.

use std::net::SocketAddr;

use handclasp::{Node, Topic};

use crate::common::cluster::{MemoryCluster, seeds};
use crate::common::{Client, config, id, wait_until};

/// The number of seeds that are tried without `CLUSTER_SEEDS`.
const SEEDS: u64 = 2;
/// Limits that these few clients never reach.
const LIMITS: [&str; 4] = [
    "limits.joins_burst=100000",
    "limits.joins_per_socket=10000",
    "limits.messages_burst=1000000",
    "limits.not_found_burst=1000000",
];

struct Cluster {
    memory: MemoryCluster,
    a: Node,
    b: Node,
}

impl Cluster {
    fn new(seed: u64, slowness: u64) -> Self {
        let memory = MemoryCluster::new(seed, slowness).reordering();
        let (a, b) = (memory.node("a", config(&LIMITS)), memory.node("b", config(&LIMITS)));
        Self { memory, a, b }
    }

    async fn clients(&self) -> (Client, Client) {
        (Client::new(self.a.address()).await, Client::new(self.b.address()).await)
    }

    /// Waits until each node owns the names that the directory says it does.
    async fn wait_for_names(&self, names: usize) {
        wait_until("the directory says who owns the names", || async {
            let held = self.memory.names();
            let of = |node: &str| held.get(node).copied().unwrap_or_default();
            let owned = [self.a.pubsub().stats().await.names, self.b.pubsub().stats().await.names];
            owned == [of("a"), of("b")] && owned[0] + owned[1] == names
        })
        .await;
    }
}

/// Joins many names in one burst, with one secret.
async fn claim_all(address: SocketAddr, names: usize) -> Client {
    let mut client = Client::new(address).await;
    for n in 0..names {
        let id = id(n);
        client.send(&format!(r#"["{n}","{n}","peer:{id}","phx_join",{{"secret":"AAAAAAAAAAAAAAAAAAAAAA"}}]"#)).await;
    }
    client
}

#[actix_web::test]
async fn a_name_that_two_nodes_claim_at_once_has_one_owner() {
    const NAMES: usize = 300;
    for seed in seeds(SEEDS) {
        let cluster = Cluster::new(seed, 4);
        let (mut a, mut b) = tokio::join!(claim_all(cluster.a.address(), NAMES), claim_all(cluster.b.address(), NAMES));
        for client in [&mut a, &mut b] {
            for _ in 0..NAMES {
                client.receive_until("phx_reply").await;
            }
        }
        cluster.wait_for_names(NAMES).await;
    }
}

#[actix_web::test]
async fn a_message_sent_elsewhere_after_the_ok_of_a_join_arrives() {
    for seed in seeds(SEEDS) {
        let cluster = Cluster::new(seed, 3);
        let (mut sender, mut receiver) = cluster.clients().await;
        for n in 0..40 {
            sender.join("1", &format!("room:{n}"), "{}").await;
            receiver.join("1", &format!("room:{n}"), "{}").await;
            sender.send(&format!(r#"["1","2","room:{n}","msg",{{"n":{n}}}]"#)).await;
            receiver.receive_until(&format!(r#"[null,null,"room:{n}","msg",{{"n":{n}}}]"#)).await;
        }
    }
}

#[actix_web::test]
async fn a_peer_that_comes_elsewhere_after_the_answer_to_a_watch_is_reported() {
    for seed in seeds(SEEDS) {
        let cluster = Cluster::new(seed, 3);
        let (mut watcher, mut peer) = cluster.clients().await;
        let own = id(999);
        watcher.join("w", &format!("peer:{own}"), "{}").await;
        for n in 0..40 {
            let other = id(n);
            watcher.send(&format!(r#"["w","{n}","peer:{own}","watch",{{"peer_id":"{other}"}}]"#)).await;
            watcher.receive_until(r#""online":false"#).await;
            peer.join("1", &format!("peer:{other}"), "{}").await;
            watcher.receive_until(&format!(r#"peer_up",{{"peer_id":"{other}"}}"#)).await;
        }
    }
}

#[actix_web::test]
async fn a_new_member_sees_the_presence_entries_of_all_nodes() {
    for seed in seeds(SEEDS) {
        let cluster = Cluster::new(seed, 3);
        let (mut listed, mut viewer) = cluster.clients().await;
        for n in 0..15 {
            listed.join("1", &format!("room:{n}"), &format!(r#"{{"meta":{{"n":"entry {n}"}}}}"#)).await;
            viewer.join("1", &format!("room:{n}"), r#"{"presence":true}"#).await;
            viewer.receive_until(&format!("entry {n}\"")).await;
        }
    }
}

#[actix_web::test]
async fn a_presence_entry_goes_even_if_the_message_about_it_was_lost() {
    for seed in seeds(SEEDS) {
        let cluster = Cluster::new(seed, 1);
        let (mut listed, mut viewer) = cluster.clients().await;
        let mut stays = Client::new(cluster.a.address()).await;
        stays.join("1", "room:shared", r#"{"meta":{"n":"stays"}}"#).await;
        for room in ["room:own", "room:shared"] {
            listed.join("1", room, r#"{"meta":{"n":"leaves"}}"#).await;
            viewer.join("1", room, r#"{"presence":true}"#).await;
            viewer.receive_until("leaves").await;
        }
        cluster.memory.make_deaf("b");
        drop(listed);
        let own = Topic::parse("room:own").unwrap();
        wait_until("both changes are lost, and nobody is left to ask in one room", || async {
            cluster.memory.lost() == 2 && cluster.memory.subscribers(&own).len() == 1
        })
        .await;
        cluster.memory.cure("b");
        let pubsub = cluster.b.pubsub();
        wait_until("the entries are gone here", || async { pubsub.stats().await.presence_entries == 1 }).await;
        drop((stays, viewer));
    }
}
