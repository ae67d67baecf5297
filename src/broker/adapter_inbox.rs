//! The core as the adapter calls it: broadcasts and signals of other nodes go to the local members, everything else to
//! the registry.
//!
//! What waits for the registry is limited in bytes, like the commands of clients. A packet that has no room is dropped,
//! and the registry asks the other nodes again once it has handled those before it.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::Addr;
use bytes::Bytes;
use compact_str::CompactString;
use futures_util::FutureExt;

use crate::broker::adapter::{Answer, BoxFuture, ClusterInbox, Epoch, Packet, Question};
use crate::broker::local_delivery::LocalDelivery;
use crate::broker::registry::Registry;
use crate::broker::registry::command::{
    ComparePresence, GetNames, GetOwnPresence, GetPresenceVersions, GetStale, GetStats, GiveUp, NodeDown, NodeUp,
    RemotePacket, Resync, Revoke,
};
use crate::broker::registry::permits::CommandBudget;
use crate::broker::respondent::Respondent;
use crate::memory::MemoryBudget;
use crate::message::{Broadcast, DeliveryStatus, Proof};
use crate::metrics::families::Metrics;
use crate::protocol::Delivery;
use crate::topic::Topic;

/// The interface for the adapter.
pub(super) struct AdapterInbox {
    local: LocalDelivery,
    memory: Arc<MemoryBudget>,
    registry: Addr<Registry>,
    /// For what other nodes send to the registry.
    budget: Arc<CommandBudget>,
    is_resync_queued: Arc<AtomicBool>,
    respondent: Respondent,
}

impl AdapterInbox {
    pub(super) fn new(
        local: LocalDelivery,
        memory: Arc<MemoryBudget>,
        registry: Addr<Registry>,
        budget: Arc<CommandBudget>,
        respondent: Respondent,
    ) -> Self {
        Self { local, memory, registry, budget, is_resync_queued: Arc::default(), respondent }
    }

    fn send_to_registry(&self, topic: Topic, packet: Packet) {
        match self.budget.take(topic.key().len() + packet.size()) {
            Some(permit) => self.registry.do_send(RemotePacket { topic, packet, permit }),
            None => self.resync(),
        }
    }
}

impl ClusterInbox for AdapterInbox {
    fn deliver(&self, name: &Topic, packet: Packet) -> DeliveryStatus {
        let Packet::Broadcast { event, payload } = packet else { return DeliveryStatus::Absent };
        let broadcast = Broadcast { topic: name.clone(), event, payload };
        let delivery = Arc::new(Delivery::new(broadcast).counted(&self.memory));
        self.local.deliver(name, &delivery, None, self.local.clock.now()).unwrap_or(DeliveryStatus::Absent)
    }

    fn publish(&self, topics: &[Topic], packet: Packet) {
        match (packet, topics) {
            (_, []) => {}
            (packet @ Packet::Broadcast { .. }, [topic]) => drop(self.deliver(topic, packet)),
            (Packet::Broadcast { event, payload }, [topic, ..]) => {
                let broadcast = Broadcast { topic: topic.clone(), event, payload };
                let delivery = Delivery::to_any(broadcast, topics.into()).counted(&self.memory);
                self.local.publish(&Arc::new(delivery), None, self.local.clock.now());
            }
            (packet, topics) => topics.iter().for_each(|topic| self.send_to_registry(topic.clone(), packet.clone())),
        }
    }

    fn give_up(&self, name: &Topic, epoch: Epoch, proof: Option<Proof>) -> BoxFuture<bool> {
        // without room, the name stays with its owner
        let Some(permit) = self.budget.take(name.key().len()) else { return Box::pin(ready(false)) };
        let is_free = self.registry.send(GiveUp { name: name.clone(), epoch, proof, permit });
        // an error means that the registry has died: its node exits, which frees the name
        Box::pin(is_free.map(|answer| answer.unwrap_or(true)))
    }

    fn revoke(&self, name: &Topic, epoch: Epoch) {
        self.registry.do_send(Revoke { name: name.clone(), epoch });
    }

    fn stale(&self, grants: Vec<(Topic, Epoch)>) -> BoxFuture<Option<Vec<(Topic, Epoch)>>> {
        let bytes = grants.iter().map(|(name, _)| size_of::<(Topic, Epoch)>() + name.key().len()).sum();
        let Some(permit) = self.budget.take(bytes) else { return Box::pin(ready(None)) };
        Box::pin(self.registry.send(GetStale { grants, permit }).map(Result::ok))
    }

    fn names(&self, after: Option<Topic>, limit: usize) -> BoxFuture<Vec<(Topic, Epoch)>> {
        Box::pin(self.registry.send(GetNames { after, limit }).map(Result::unwrap_or_default))
    }

    fn resync(&self) {
        self.respondent.ask_again();
        if !self.is_resync_queued.swap(true, Ordering::AcqRel) {
            self.registry.do_send(Resync { is_queued: self.is_resync_queued.clone() });
        }
    }

    fn node_up(&self, node: &str) {
        self.respondent.ask_again();
        self.registry.do_send(NodeUp { node: CompactString::new(node) });
    }

    fn node_down(&self, node: &str) {
        self.registry.do_send(NodeDown { node: CompactString::new(node) });
    }

    fn answer(&self, question: Question) -> BoxFuture<Answer> {
        match question {
            Question::Census => {
                Box::pin(self.registry.send(GetStats).map(|stats| Answer::Census(stats.unwrap_or_default())))
            }
            Question::Owns(name) => {
                let members = self.local.table.members(name.key());
                let owns = members.is_some_and(|members| members.iter().any(|member| member.join.is_client()));
                Box::pin(ready(Answer::Owns(owns)))
            }
            Question::Presence(topic) => {
                let list = self.registry.send(GetOwnPresence { topic });
                Box::pin(list.map(|list| Answer::Presence(list.unwrap_or_default())))
            }
            Question::ComparePresence => {
                self.registry.do_send(ComparePresence);
                Box::pin(ready(Answer::ComparesPresence))
            }
            Question::PresenceVersions(topics) => {
                let versions = self.registry.send(GetPresenceVersions { topics });
                Box::pin(versions.map(|versions| Answer::PresenceVersions(versions.unwrap_or_default())))
            }
            of_the_api => self.respondent.answer(of_the_api),
        }
    }

    fn metrics(&self) -> Arc<Metrics> {
        self.local.metrics.clone()
    }

    fn count_memory(&self, bytes: Bytes) -> Bytes {
        self.memory.hold(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;
    use std::time::Duration;

    use actix::{Actor, Arbiter};
    use tokio::sync::oneshot;

    use super::*;
    use crate::broker::adapter::{Adapter, Unreachable};
    use crate::broker::registry::ExitSignal;
    use crate::broker::registry::command::{Admitted, Command, Watch};
    use crate::broker::topic_table::TopicTable;
    use crate::config::schema::Config;
    use crate::connections::connection::Member;
    use crate::connections::connection::tests::numbered;
    use crate::message::JoinId;

    /// Counts the lookups of names.
    #[derive(Default)]
    struct Directory(AtomicUsize);

    impl Adapter for Directory {
        fn whereis(&self, _: &Topic) -> BoxFuture<Result<Option<Epoch>, Unreachable>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(ready(Ok(None)))
        }
    }

    #[actix_web::test]
    async fn packets_without_room_are_dropped_and_the_registry_asks_again() {
        const BYTES: usize = 10_000;
        let local =
            LocalDelivery { table: Arc::new(TopicTable::new()), metrics: Arc::default(), clock: Arc::default() };
        let (config, directory, budget) =
            (Config::default(), Arc::new(Directory::default()), CommandBudget::new(BYTES));
        let (table, adapter, arbiter) = (local.table.clone(), directory.clone(), Arbiter::new());
        let (exit, _died) = oneshot::channel();
        let registry = Registry::start_in_arbiter(&arbiter.handle(), move |_| {
            Registry::new(&config, table, adapter, Arc::default(), Arc::default(), ExitSignal(exit))
        });
        let topic = Topic::parse("peer:a").unwrap();
        let member = Member { join: JoinId(1), connection: Arc::new(numbered(1, usize::MAX)) };
        let command = Command::Watch(Watch { member, topic: topic.clone(), on: true });
        registry.send(Admitted { command, permit: budget.take(0).unwrap() }).await.unwrap();
        assert_eq!(directory.0.load(Ordering::Relaxed), 1);
        // while the registry's thread is busy
        let (go_on, busy) = mpsc::channel::<()>();
        arbiter.spawn_fn(move || {
            let _ = busy.recv();
        });
        let respondent = Respondent::new(local.table.clone(), registry.clone(), "a".into());
        let inbox = AdapterInbox::new(local, MemoryBudget::new(usize::MAX), registry, budget.clone(), respondent);
        for n in 0..1_000 {
            inbox.publish(std::slice::from_ref(&topic), Packet::Up(n));
        }
        assert!(!inbox.give_up(&topic, 1, None).await, "an overloaded node gives up nothing");
        assert!((BYTES..BYTES + 1_000).contains(&budget.bytes()), "{} bytes wait", budget.bytes());
        drop(go_on);
        let asked_again = async {
            while directory.0.load(Ordering::Relaxed) == 1 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), asked_again).await.expect("the name is looked up again");
        assert_eq!(budget.bytes(), 0);
        arbiter.stop();
    }
}
