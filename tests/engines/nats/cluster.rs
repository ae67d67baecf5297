//! Three servers that form a cluster.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::future::join;
use handclasp::cluster::engine::{ClaimResult, Engine, Holder};
use handclasp::cluster::nats::Nats;

use super::{PATIENT, engine, link_again};
use crate::common::nats::NatsServer;
use crate::common::wait_until;
use crate::suite::{Recorder, block_on};

/// Names that are claimed on two servers at the same time.
const NAMES: usize = 200;

async fn linked(servers: &[NatsServer]) -> (Nats, Rc<Recorder>) {
    let urls: Vec<String> = servers.iter().map(NatsServer::url).collect();
    let (engine, events) = (engine(&urls, PATIENT), Rc::default());
    link_again(&engine, &events).await;
    (engine, events)
}

/// Claims until the servers have chosen a leader.
async fn claim(engine: &Nats, name: &str) -> ClaimResult {
    let result = Cell::new(None);
    wait_until("an answer to a claim", || async {
        result.set(engine.claim(name).await.ok());
        let answer = result.take();
        result.set(answer.clone());
        answer.is_some()
    })
    .await;
    result.take().unwrap()
}

async fn replicas(server: &NatsServer) -> usize {
    let client = async_nats::connect(server.url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    context.get_stream("KV_handclasp-names").await.unwrap().cached_info().config.num_replicas
}

#[test]
fn one_of_two_nodes_is_granted_a_name_and_a_killed_server_takes_nothing_away() {
    block_on(async {
        let mut servers = NatsServer::cluster(3);
        let (a, events) = linked(&servers[..1]).await;
        let (b, _) = linked(&servers[1..2]).await;
        assert!(a.has_several_servers());
        assert_eq!(replicas(&servers[0]).await, 3);
        let mut holders: Vec<Holder> = Vec::new();
        for n in 0..NAMES {
            let name = format!("x{n}");
            let (one, other) = join(a.claim(&name), b.claim(&name)).await;
            match (one.unwrap(), other.unwrap()) {
                (ClaimResult::Granted(epoch), ClaimResult::Held(holder))
                | (ClaimResult::Held(holder), ClaimResult::Granted(epoch)) => {
                    assert_eq!(holder.epoch, epoch);
                    holders.push(holder);
                }
                both => panic!("{name}: {both:?}"),
            }
        }
        servers[0].kill();
        events.expect_lost().await;
        let last = claim(&b, "last").await;
        assert!(matches!(last, ClaimResult::Granted(epoch) if holders.iter().all(|holder| epoch > holder.epoch)));
        let (c, _) = linked(&servers[2..]).await;
        for (n, holder) in holders.into_iter().enumerate() {
            assert_eq!(claim(&c, &format!("x{n}")).await, ClaimResult::Held(holder));
        }
    });
}

#[test]
fn a_node_links_while_one_of_the_servers_is_dead() {
    block_on(async {
        let mut servers = NatsServer::cluster(3);
        let (a, events) = linked(&servers).await;
        for n in [0, 1] {
            servers[n].kill();
            link_again(&a, &events).await;
            servers[n].restart();
        }
        assert!(matches!(claim(&a, "x").await, ClaimResult::Granted(_)));
    });
}
