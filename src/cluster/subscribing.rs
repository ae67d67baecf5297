//! How this node subscribes to topics: when a subscription counts as confirmed.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::broker::adapter::NodeId;
use crate::cluster::command::Reply;
use crate::cluster::engine::{Lost, Reach};
use crate::cluster::message::Message;
use crate::cluster::this_node::ThisNode;
use crate::topic::Topic;

/// The first pause before nodes that were not heard on a new subscription are asked again. It doubles with each attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

impl ThisNode {
    /// Subscribes to a topic. Without the engine the topic has members of this node only, so it is confirmed at once.
    pub(super) fn subscribe(self: &Rc<Self>, topic: Topic, (confirmed, permit): Reply<()>) {
        self.subscriptions.borrow_mut().add(topic.clone(), self.is_linked.get());
        self.count_subscriptions();
        if !self.is_linked.get() {
            let _ = confirmed.send(());
            return;
        }
        let subscribed = self.engine.subscribe(topic.key());
        let node = self.clone();
        spawn_local(async move {
            let is_confirmed = async {
                subscribed.await?;
                match node.engine.has_several_servers() {
                    true => node.probe(&topic).await,
                    false => Ok(()),
                }
            };
            if !matches!(timeout(node.options.timeout, is_confirmed).await, Ok(Ok(()))) {
                node.metrics.cluster.unconfirmed_subscriptions.inc();
            }
            let _ = confirmed.send(());
            drop(permit);
        });
    }

    /// Waits until every other node has been heard on a new subscription. The engine's servers tell each other of it
    /// some time after the own server has confirmed it. What a node sends before that is lost, so it is asked again.
    async fn probe(&self, topic: &Topic) -> Result<(), Lost> {
        let nodes = self.members.borrow().ids();
        if nodes.is_empty() {
            return Ok(());
        }
        let (token, mut all_heard) = self.subscriptions.borrow_mut().probe(&nodes);
        let _forget = ForgetProbe { node: self, token };
        let mut pause = FIRST_PAUSE;
        loop {
            let silent = self.subscriptions.borrow().silent(token);
            join_all(silent.iter().map(|node| self.ask_for_probe(node, topic, token))).await;
            match timeout(pause, &mut all_heard).await {
                Ok(heard) => return heard.map_err(|_| Lost),
                Err(_) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }

    /// Asks a node to publish on a topic. A node that has no inbox is not waited for.
    async fn ask_for_probe(&self, node: &NodeId, topic: &Topic, token: u64) {
        let sent = self.send(node, &Message::Probe { topic: topic.clone(), token }).await;
        if sent == Ok(Reach::Nobody) {
            self.subscriptions.borrow_mut().heard(token, node);
        }
    }

    pub(super) fn unsubscribe(&self, topic: &Topic) {
        self.subscriptions.borrow_mut().remove(topic);
        self.engine.unsubscribe(topic.key());
        self.count_subscriptions();
    }

    fn count_subscriptions(&self) {
        self.metrics.cluster.subscriptions.set(self.subscriptions.borrow().count());
    }
}

/// Ends a probe, also when its subscription is not waited for any more.
struct ForgetProbe<'a> {
    node: &'a ThisNode,
    token: u64,
}

impl Drop for ForgetProbe<'_> {
    fn drop(&mut self) {
        self.node.subscriptions.borrow_mut().forget_probe(self.token);
    }
}
