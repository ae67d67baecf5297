//! One node's connection to the hub.

use std::cell::{Cell, RefCell};
use std::future::ready;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use handclasp::cluster::engine::{
    ClaimResult, DirectoryPart, Engine, EngineEvents, Epoch, Heartbeat, Holder, LinkError, LiveNode, LocalFuture, Lost,
    NodeId, Reach,
};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::MemoryHub;
use super::hub::{Effect, Hub, Lane, LinkId};

pub struct MemoryEngine {
    hub: MemoryHub,
    link: Cell<Option<LinkId>>,
    node: RefCell<NodeId>,
}

impl MemoryEngine {
    pub fn new(hub: MemoryHub) -> Self {
        Self { hub, link: Cell::new(None), node: RefCell::default() }
    }

    /// Sends a call to the hub, and waits for what it returns there.
    fn call<T: Send + 'static>(
        &self,
        lanes: Vec<Lane>,
        effect: impl FnOnce(&mut Hub, LinkId, &NodeId) -> T + Send + 'static,
    ) -> LocalFuture<Result<T, Lost>> {
        let node = self.node.borrow().clone();
        let fault = lanes.iter().find_map(|lane| self.hub.hub().faults.remove(&(node.clone(), lane.clone())));
        if let Some(fault) = fault {
            fault();
        }
        let mut hub = self.hub.hub();
        let Some(link) = self.link.get().filter(|link| hub.works(*link)) else {
            return Box::pin(ready(Err(Lost)));
        };
        let deadline = Instant::now() + hub.knobs.timeout;
        let needs_leader = |lane| matches!(lane, &Lane::Name(_) | &Lane::Scan | &Lane::Lease);
        if hub.elects && lanes.iter().any(needs_leader) {
            return Box::pin(sleep_until(deadline).map(|()| Err(Lost)));
        }
        let (effect, answer) = answered(link, move |hub| effect(hub, link, &node));
        hub.call(link, lanes, effect);
        Box::pin(async move { timeout_at(deadline, answer).await.map_err(|_| Lost)?.map_err(|_| Lost) })
    }

    /// Ends the connection.
    fn end(&self) {
        if let Some(link) = self.link.take() {
            self.hub.hub().close(link);
        }
    }
}

/// A process that is killed closes its connection.
impl Drop for MemoryEngine {
    fn drop(&mut self) {
        self.end();
    }
}

/// The effect, followed by an answer with its result.
fn answered<T: Send + 'static>(
    link: LinkId,
    effect: impl FnOnce(&mut Hub) -> T + Send + 'static,
) -> (Effect, oneshot::Receiver<T>) {
    let (answer, answered) = oneshot::channel();
    let effect = move |hub: &mut Hub| {
        let result = effect(hub);
        // nobody waits any longer if the call has timed out
        hub.answer(link, Box::new(move || drop(answer.send(result))));
    };
    (Box::new(effect), answered)
}

/// Lets the hub run, and tells a node what has arrived, until its link ends.
async fn drive(hub: MemoryHub, link: LinkId, wakes: Arc<Notify>, events: Rc<dyn EngineEvents>) {
    loop {
        let Some(step) = hub.hub().step(link) else { return };
        for message in step.messages {
            let is_open = hub.hub().is_open(link);
            if !is_open {
                return;
            }
            events.message(message);
        }
        if let Some(why) = step.lost {
            events.lost(why);
        }
        match step.due {
            Some(due) => drop(timeout_at(due, wakes.notified()).await),
            None => wakes.notified().await,
        }
    }
}

fn name_lane(name: &str) -> Vec<Lane> {
    vec![Lane::Name(name.to_owned())]
}

impl Engine for MemoryEngine {
    fn link(&self, node: &NodeId, events: Rc<dyn EngineEvents>) -> LocalFuture<Result<(), LinkError>> {
        self.end();
        node.clone_into(&mut self.node.borrow_mut());
        let mut hub = self.hub.hub();
        let (link, wakes) = hub.open(node);
        self.link.set(Some(link));
        tokio::task::spawn_local(drive(self.hub.clone(), link, wakes, events));
        let deadline = Instant::now() + hub.knobs.timeout;
        let (effect, answer) = answered(link, move |hub| hub.accept(link));
        hub.call(link, vec![Lane::Link], effect);
        let shared = self.hub.clone();
        Box::pin(async move {
            if let Ok(Ok(true)) = timeout_at(deadline, answer).await {
                return Ok(());
            }
            shared.hub().close(link);
            Err(LinkError::Unreachable("the hub does not answer".to_owned()))
        })
    }

    fn close(&self) -> LocalFuture<()> {
        self.end();
        Box::pin(ready(()))
    }

    fn claim(&self, name: &str) -> LocalFuture<Result<ClaimResult, Lost>> {
        let lanes = name_lane(name);
        let name = name.to_owned();
        self.call(lanes, move |hub, _, node| hub.directory.claim(&name, node))
    }

    fn replace(&self, name: &str, former: &Holder) -> LocalFuture<Result<Option<Epoch>, Lost>> {
        let lanes = name_lane(name);
        let (name, former) = (name.to_owned(), former.clone());
        self.call(lanes, move |hub, _, node| hub.directory.replace(&name, node, &former))
    }

    fn release(&self, name: &str, epoch: Epoch) -> LocalFuture<Result<(), Lost>> {
        let lanes = name_lane(name);
        let name = name.to_owned();
        self.call(lanes, move |hub, _, node| hub.directory.release(&name, node, epoch))
    }

    fn remove(&self, name: &str, former: &Holder) -> LocalFuture<Result<(), Lost>> {
        let lanes = name_lane(name);
        let (name, former) = (name.to_owned(), former.clone());
        self.call(lanes, move |hub, _, _| hub.directory.remove(&name, &former))
    }

    fn find(&self, name: &str) -> LocalFuture<Result<Option<Holder>, Lost>> {
        let lanes = name_lane(name);
        let name = name.to_owned();
        self.call(lanes, move |hub, _, _| hub.directory.find(&name))
    }

    fn enter(&self, names: &[(&str, Epoch)]) -> LocalFuture<Result<Vec<(usize, Holder)>, Lost>> {
        let names: Vec<(String, Epoch)> = names.iter().map(|(name, epoch)| ((*name).to_owned(), *epoch)).collect();
        let lanes = names.iter().map(|(name, _)| Lane::Name(name.clone())).collect();
        self.call(lanes, move |hub, _, node| hub.directory.enter(node, &names))
    }

    fn scan(&self, cursor: u64) -> LocalFuture<Result<DirectoryPart, Lost>> {
        self.call(vec![Lane::Scan], move |hub, _, _| hub.scan(cursor))
    }

    fn heartbeat(&self, lease: Duration, status: Bytes) -> LocalFuture<Result<Heartbeat, Lost>> {
        self.call(vec![Lane::Lease], move |hub, _, node| hub.directory.heartbeat(node, hub.now, lease, status))
    }

    fn end_lease(&self) -> LocalFuture<Result<(), Lost>> {
        self.call(vec![Lane::Lease], |hub, _, node| hub.directory.end_lease(node))
    }

    fn nodes(&self) -> LocalFuture<Result<Vec<LiveNode>, Lost>> {
        self.call(vec![Lane::Lease], |hub, _, _| hub.directory.nodes(hub.now))
    }

    fn send(&self, node: &str, message: Bytes) -> LocalFuture<Result<Reach, Lost>> {
        let to = NodeId::from(node);
        self.call(vec![Lane::Inbox(to.clone())], move |hub, _, node| hub.send(node, &to, message))
    }

    fn publish(&self, topic: &str, message: Bytes) -> LocalFuture<Result<(), Lost>> {
        let topic = topic.to_owned();
        self.call(vec![Lane::Topic(topic.clone())], move |hub, _, node| hub.publish(node, &topic, &message))
    }

    fn subscribe(&self, topic: &str) -> LocalFuture<Result<(), Lost>> {
        let topic = topic.to_owned();
        let lanes = vec![Lane::Subscription(topic.clone())];
        self.call(lanes, move |hub, link, node| hub.subscribe(link, node, &topic))
    }

    fn unsubscribe(&self, topic: &str) {
        let topic = topic.to_owned();
        let lanes = vec![Lane::Subscription(topic.clone())];
        drop(self.call(lanes, move |hub, link, _| hub.unsubscribe(link, &topic)));
    }

    fn has_several_servers(&self) -> bool {
        self.hub.hub().knobs.has_several_servers
    }
}
