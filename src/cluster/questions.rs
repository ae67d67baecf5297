//! Questions to all other nodes, and the answers to theirs.

use std::rc::Rc;

use futures_util::future::join_all;
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::broker::adapter::{Answers, NodeId, Question};
use crate::cluster::message::Message;
use crate::cluster::requests::Response;
use crate::cluster::this_node::ThisNode;

/// How many questions that look through tables are answered at a time.
const SEARCHES: usize = 8;

impl ThisNode {
    /// Asks all other nodes, each for at most `cluster.timeout`.
    pub(super) async fn ask(self: Rc<Self>, question: Question) -> Answers {
        let nodes = self.members.borrow().ids();
        let responses = join_all(nodes.iter().map(|node| self.ask_one(node, question.clone()))).await;
        let mut answers = Answers::default();
        for (node, response) in nodes.into_iter().zip(responses) {
            match response {
                Some(Response::Answer(answer)) => answers.answers.push((node, answer)),
                _ => answers.silent.push(node),
            }
        }
        answers
    }

    async fn ask_one(&self, node: &NodeId, question: Question) -> Option<Response> {
        let mut waiter = self.requests.open();
        let sent = self.send(node, &Message::Question { request: waiter.id, question });
        let response = async {
            sent.await.ok()?;
            waiter.response().await
        };
        timeout(self.options.timeout, response).await.ok().flatten()
    }

    /// Answers another node's question. Of those that look through tables, some are answered at a time: the others get no
    /// answer, because signals pass through this thread.
    pub(super) fn answer_question(self: &Rc<Self>, from: &str, request: u64, question: Question) {
        let searches = matches!(question, Question::Topics(_) | Question::Topic(_) | Question::Disconnect { .. });
        if searches && self.searches.get() >= SEARCHES {
            return;
        }
        self.searches.update(|running| running + usize::from(searches));
        let (node, from) = (self.clone(), from.to_owned());
        spawn_local(async move {
            let answer = node.inbox.answer(question).await;
            node.searches.update(|running| running - usize::from(searches));
            node.send_answer(&from, &Message::Answer { request, answer });
        });
    }
}
