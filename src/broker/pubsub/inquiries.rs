//! What this node and the others know: presence lists, the sizes of their tables, and the answers for the server API.

use std::sync::Weak;

use super::Pubsub;
#[cfg(test)]
use crate::broker::adapter::Epoch;
use crate::broker::adapter::{Answer, Answers, BoxFuture, Question};
use crate::broker::census::{Census, ClusterPresence};
use crate::broker::registry::command::{GetOwnPresence, GetPresence, GetStats};
use crate::broker::registry_stats::RegistryStats;
use crate::broker::respondent::NodeControl;
use crate::message::PresenceList;
use crate::topic::Topic;

impl Pubsub {
    /// The topic's presence list, as this node knows it: the `meta` objects of each key. It has the entries of this
    /// node's members. It has those of other nodes while a member on this node subscribes to the list, some moments
    /// after they change. [`presence_on_all_nodes`](Self::presence_on_all_nodes) asks the other nodes.
    ///
    /// ```no_run
    /// # async fn show(pubsub: handclasp::Pubsub) -> Result<(), Box<dyn std::error::Error>> {
    /// for (key, metas) in pubsub.presence(&handclasp::Topic::parse("room:lobby")?).await {
    ///     println!("{key} is here {} times", metas.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn presence(&self, topic: &Topic) -> PresenceList {
        self.0.registry.send(GetPresence { topic: topic.clone() }).await.unwrap_or_default()
    }

    /// The sizes of the registry's tables. All are zero if the registry has died.
    pub async fn stats(&self) -> RegistryStats {
        self.0.registry.send(GetStats).await.unwrap_or_default()
    }

    /// The names that clients of this node own, with their epochs.
    #[cfg(test)]
    pub(crate) async fn names(&self) -> Vec<(Topic, Epoch)> {
        self.0
            .registry
            .send(crate::broker::registry::command::GetNames { after: None, limit: usize::MAX })
            .await
            .unwrap_or_default()
    }

    /// The topic's presence list on all nodes, and the nodes that did not answer in time.
    pub async fn presence_on_all_nodes(&self, topic: &Topic) -> ClusterPresence {
        let question = Question::Presence(topic.clone());
        let own = self.0.registry.send(GetOwnPresence { topic: topic.clone() });
        let (own, answers) = futures_util::future::join(own, self.0.adapter.ask(question)).await;
        let mut list: PresenceList = own.unwrap_or_default();
        let lists = answers.answers.into_iter().filter_map(|(_, answer)| match answer {
            Answer::Presence(list) => Some(list),
            _ => None,
        });
        for (key, metas) in lists.flatten() {
            list.entry(key).or_default().extend(metas);
        }
        ClusterPresence { list, silent: answers.silent }
    }

    /// The sizes of the tables of every node, this one first, and the nodes that did not answer in time.
    pub async fn census(&self) -> Census {
        let (own, answers) = futures_util::future::join(self.stats(), self.0.adapter.ask(Question::Census)).await;
        let others = answers.answers.into_iter().filter_map(|(node, answer)| match answer {
            Answer::Census(stats) => Some((node, stats)),
            _ => None,
        });
        Census { nodes: std::iter::once((self.node_name(), own)).chain(others).collect(), silent: answers.silent }
    }

    /// From now on, questions about the node's connections are answered.
    pub(crate) fn set_control(&self, control: Weak<dyn NodeControl>) {
        self.0.respondent.set_control(control);
    }

    /// This node's answer to a question of the server API.
    pub(crate) fn answer(&self, question: Question) -> BoxFuture<Answer> {
        self.0.respondent.answer(question)
    }

    /// The answers of the other nodes.
    pub(crate) fn ask_others(&self, question: Question) -> BoxFuture<Answers> {
        self.0.adapter.ask(question)
    }
}
