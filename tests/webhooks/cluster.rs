//! Several nodes: each tells of its own peers, and the others tell of a dead node, and when it is not dead after all.

use handclasp::Node;
use serde_json::json;

use crate::common::cluster::MemoryCluster;
use crate::common::{Client, certified, config, wait_until};
use crate::receiver::{Known, Receiver};

fn node(cluster: &MemoryCluster, name: &str, receiver: &Receiver, sets: &[&str]) -> Node {
    let of_receiver = receiver.sets();
    let own = format!("cluster.node={}", name.split('-').next().unwrap());
    let all: Vec<&str> =
        of_receiver.iter().map(String::as_str).chain([own.as_str()]).chain(sets.iter().copied()).collect();
    cluster.node(name, config(&all))
}

fn known(receiver: &Receiver) -> Known {
    let mut known = Known::default();
    receiver.requests().iter().for_each(|request| drop(known.accept(request)));
    known
}

#[actix_web::test]
async fn a_node_knows_the_others_and_tells_which_one_is_dead() {
    let (cluster, receiver) = (MemoryCluster::default(), Receiver::start());
    let nodes = ["a-1", "b-1"];
    let mut running = Vec::new();
    for name in nodes {
        running.push(node(&cluster, name, &receiver, &[]));
        wait_until("node_up", || async { receiver.requests().len() == running.len() }).await;
    }
    let first = |n: usize| receiver.requests()[n].json();
    assert_eq!(
        (&first(0)["node"], &first(0)["instance"], &first(0)["events"][0]["nodes"]),
        (&json!("a"), &json!("a-1"), &json!([]))
    );
    assert_eq!(
        (&first(1)["node"], &first(1)["instance"], &first(1)["events"][0]["nodes"]),
        (&json!("b"), &json!("b-1"), &json!(["a-1"]))
    );
    let mut clients = Vec::new();
    for node in &running {
        let (id, secret) = certified();
        let mut client = Client::new(node.address()).await;
        client.join("1", &format!("peer:{id}"), &secret.to_string()).await;
        client.join("2", "room:lobby", "{}").await;
        clients.push(client);
    }
    wait_until("both know their peers", || async { known(&receiver).peers.len() == 2 }).await;
    wait_until("a room on two nodes", || async { known(&receiver).rooms.values().any(|nodes| nodes.len() == 2) }).await;
    cluster.remove_node("a-1");
    receiver.wait_for_one("node_down a-1").await;
    let known = known(&receiver);
    assert_eq!(known.peers.values().flatten().collect::<Vec<_>>(), ["b-1"]);
    assert_eq!(known.rooms.len(), 1, "the other member is on a living node");
    for node in running {
        node.stop().await;
    }
}

/// Both nodes tell of it: if the new one dies before it has told, nobody keeps a peer that is gone.
#[actix_web::test]
async fn a_peer_that_moves_is_told_by_both_nodes() {
    for takes_over in [true, false] {
        let (cluster, receiver) = (MemoryCluster::default(), Receiver::start());
        let running = ["a-1", "b-1"].map(|name| node(&cluster, name, &receiver, &["webhooks.grace_period=300ms"]));
        let (id, secret) = certified();
        let (topic, secret) = (format!("peer:{id}"), secret.to_string());
        let mut before = Client::new(running[0].address()).await;
        before.join("1", &topic, &secret).await;
        receiver.wait_for_one(&format!("peer_up {id}")).await;
        let reason = if takes_over { "taken" } else { "gone" };
        if !takes_over {
            drop(before);
            wait_until("a free name", || async { !cluster.has_owner(&topic) }).await;
        }
        let mut moved = Client::new(running[1].address()).await;
        moved.join("1", &topic, &secret).await;
        receiver.wait_for_one(&format!("peer_down {id} {reason}")).await;
        let known_peers = || known(&receiver).peers.into_iter().map(|((_, id), nodes)| (id, nodes)).collect::<Vec<_>>();
        let expected = [(id.clone(), ["b-1".to_owned()].into())];
        wait_until("a peer of the other node", || async { known_peers() == expected }).await;
        drop(moved);
        wait_until("no peer", || async { known_peers().is_empty() }).await;
        for node in running {
            node.stop().await;
        }
    }
}

/// The receiver has forgotten its peers, and must read them.
#[actix_web::test]
async fn a_node_that_was_told_dead_and_is_not_is_a_loss() {
    let (cluster, receiver) = (MemoryCluster::default(), Receiver::start());
    let running = ["a-1", "b-1", "c-1"].map(|name| node(&cluster, name, &receiver, &[]));
    wait_until("node_up of all", || async { receiver.requests().len() == 3 }).await;
    cluster.report_up("b-1");
    cluster.report_down("b-1");
    cluster.report_up("b-1");
    cluster.report_up("b-1");
    cluster.report_down("c-1");
    wait_until("all events", || async { receiver.short().contains(&"node_down c-1".to_owned()) }).await;
    let of_a = || -> Vec<String> {
        let requests = receiver.requests();
        let of_a = requests.iter().map(crate::receiver::Request::json).filter(|json| json["instance"] == "a-1");
        of_a.flat_map(|json| json["events"].as_array().unwrap().iter().map(crate::receiver::short).collect::<Vec<_>>())
            .collect()
    };
    wait_until("all events of a", || async { of_a().last().is_some_and(|event| event == "node_down c-1") }).await;
    assert_eq!(of_a(), ["node_up", "node_down b-1", "lost 0", "node_down c-1"]);
    for node in running {
        node.stop().await;
    }
}
