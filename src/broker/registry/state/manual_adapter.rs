//! An adapter for tests of the registry's steps: the test answers each request, and sees what was sent.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::{Pending, State};
use crate::broker::adapter::{Adapter, Answers, BoxFuture, Claimed, Epoch, NodeId, Packet, Question, Unreachable};
use crate::broker::topic_table::TopicTable;
use crate::config::schema::Config;
use crate::message::{DeliveryStatus, NameClaim};
use crate::topic::Topic;

/// Where the answer to a lookup goes.
type Lookup = oneshot::Sender<Result<Option<Epoch>, Unreachable>>;

/// The requests that wait for the test's answer, oldest first, and what was sent.
#[derive(Default)]
pub(super) struct Requests {
    pub(super) claims: VecDeque<oneshot::Sender<Claimed>>,
    pub(super) subscriptions: VecDeque<(Topic, oneshot::Sender<()>)>,
    pub(super) lookups: VecDeque<(Topic, Lookup)>,
    pub(super) questions: VecDeque<(Question, oneshot::Sender<Answers>)>,
    pub(super) signals: VecDeque<oneshot::Sender<DeliveryStatus>>,
    pub(super) subscribed: BTreeSet<Topic>,
    pub(super) released: Vec<Epoch>,
    pub(super) published: Vec<Packet>,
}

#[derive(Clone, Default)]
pub(super) struct ManualAdapter(Arc<Mutex<Requests>>);

impl ManualAdapter {
    pub(super) fn requests(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap()
    }
}

impl Adapter for ManualAdapter {
    fn node(&self) -> NodeId {
        "here".into()
    }

    fn claim(&self, _: &Topic, _: NameClaim) -> BoxFuture<Claimed> {
        let (answer, answered) = oneshot::channel();
        self.requests().claims.push_back(answer);
        Box::pin(answered.map(|answer| answer.unwrap_or(Claimed::Unreachable)))
    }

    fn release(&self, _: &Topic, epoch: Epoch) {
        self.requests().released.push(epoch);
    }

    fn whereis(&self, name: &Topic) -> BoxFuture<Result<Option<Epoch>, Unreachable>> {
        let (answer, answered) = oneshot::channel();
        self.requests().lookups.push_back((name.clone(), answer));
        Box::pin(answered.map(|found| found.unwrap_or(Err(Unreachable))))
    }

    fn deliver(&self, _: &Topic, _: Packet) -> BoxFuture<DeliveryStatus> {
        let (answer, answered) = oneshot::channel();
        self.requests().signals.push_back(answer);
        Box::pin(answered.map(|answer| answer.unwrap_or(DeliveryStatus::Unreachable)))
    }

    fn publish(&self, _: &[Topic], packet: Packet) {
        self.requests().published.push(packet);
    }

    fn ask(&self, question: Question) -> BoxFuture<Answers> {
        let (answer, answered) = oneshot::channel();
        self.requests().questions.push_back((question, answer));
        Box::pin(answered.map(Result::unwrap_or_default))
    }

    fn subscribe(&self, topic: &Topic) -> BoxFuture<()> {
        let (answer, answered) = oneshot::channel();
        let mut requests = self.requests();
        assert!(requests.subscribed.insert(topic.clone()), "{topic} is subscribed twice");
        requests.subscriptions.push_back((topic.clone(), answer));
        Box::pin(answered.map(|_| ()))
    }

    fn unsubscribe(&self, topic: &Topic) {
        assert!(self.requests().subscribed.remove(topic), "{topic} is not subscribed");
    }
}

/// The tables of a node with a [`ManualAdapter`], and the steps that wait for it.
pub(super) struct Tables {
    pub(super) state: State,
    pub(super) adapter: ManualAdapter,
    pending: Vec<Pending>,
}

impl Tables {
    pub(super) fn new() -> Self {
        let adapter = ManualAdapter::default();
        let table = Arc::new(TopicTable::new());
        let state = State::new(&Config::default(), table, Arc::new(adapter.clone()), Arc::default());
        Self { state, adapter, pending: Vec::new() }
    }

    /// Continues the steps that have their answer, as the registry would.
    pub(super) fn settle(&mut self) {
        loop {
            self.pending.extend(self.state.take_pending());
            let mut resumed = Vec::new();
            self.pending.retain_mut(|pending| match pending.now_or_never() {
                Some(resume) => {
                    resumed.push(resume);
                    false
                }
                None => true,
            });
            if resumed.is_empty() {
                return;
            }
            resumed.into_iter().for_each(|resume| resume(&mut self.state));
        }
    }
}
