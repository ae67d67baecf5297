//! The life of the link to the engine: made, kept by heartbeats, lost, made again.
//!
//! A new link has four steps: the other nodes are read, and must fit; this node says that it is alive; its topics are
//! subscribed again; its names are entered in the directory again. From the third step on the node counts as linked. Until
//! the fourth it delivers nothing as an owner, unless its lease was never over. The fourth may take longer than a lease, so
//! heartbeats go on meanwhile ([`names_again`](crate::cluster::names_again)).

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::try_join_all;
use log::Level;
use tokio::time::{Instant, sleep, timeout};

use crate::cluster::engine::{Heartbeat, Lease, LinkError, Lost};
use crate::cluster::lease_end::LeaseEnd;
use crate::cluster::message::NodeStatus;
use crate::cluster::receiving::Receiver;
use crate::cluster::this_node::ThisNode;

/// A node says that it is alive so many times within one lease.
const HEARTBEATS_PER_LEASE: u32 = 4;
/// A heartbeat that was lost is sent again so many times sooner.
const ATTEMPTS_PER_INTERVAL: u32 = 5;
/// The first pause before the engine is tried again. It doubles with each attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How many topics are subscribed at a time after the link was lost.
const TOPICS_AT_A_TIME: usize = 256;

impl ThisNode {
    /// Keeps the node linked until the task is aborted.
    pub(super) async fn keep_linked(self: Rc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.link().await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    self.stay_linked().await;
                }
                Err(error) => self.note_problem(&error),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE).min(self.options.lease / 2);
        }
    }

    async fn link(self: &Rc<Self>) -> Result<(), LinkError> {
        let lost = |Lost| LinkError::Unreachable("the engine does not answer".to_owned());
        self.link_number.update(|number| number + 1);
        let link_number = self.link_number.get();
        let receiver = Receiver { node: Rc::downgrade(self), link_number };
        self.engine.link(&self.options.node, Rc::new(receiver)).await?;
        self.spare_missing_nodes(self.options.lease);
        self.refresh_members().await.map_err(lost)?;
        self.check_members()?;
        self.beat().await.map_err(lost)?;
        self.refresh_members().await.map_err(lost)?;
        if let Err(error) = self.check_members() {
            let _ = self.engine.end_lease().await;
            return Err(error);
        }
        self.subscribe_again().await.map_err(lost)?;
        // no other task runs from here on until the node is linked
        if self.link_number.get() != link_number {
            return Err(lost(Lost));
        }
        self.is_linked.set(true);
        if self.was_linked.replace(true) {
            // what was published before this moment is lost: a heartbeat that follows at once tells the other nodes
            self.relinks.update(|number| number + 1);
            self.link_changed.notify_one();
        }
        self.state.set_linked();
        self.metrics.cluster.linked.set(1);
        let (node, others) = (&self.options.node, self.members.borrow().count());
        let line = format_args!("linked to the cluster as {node}, with {others} other nodes");
        self.link_log.write(Level::Info, line);
        self.names.must_enter.set(true);
        // names of nodes that died before this link were not removed, if no other node has seen it
        self.sweep_if_first();
        Ok(())
    }

    /// Whether all live nodes have this node's secret and a version that it understands. Only a node that starts has to
    /// give way to those that are there.
    fn check_members(&self) -> Result<(), LinkError> {
        match self.members.borrow().misfit() {
            Some(misfit) if !self.was_linked.get() => Err(LinkError::Unusable(misfit)),
            _ => Ok(()),
        }
    }

    /// Keeps the lease, and this node's names in the directory, until the link is lost.
    async fn stay_linked(self: &Rc<Self>) {
        tokio::select! {
            () = self.send_heartbeats() => {}
            () = self.keep_names_entered() => {}
        }
    }

    /// Sends heartbeats until the link is lost.
    async fn send_heartbeats(self: &Rc<Self>) {
        let interval = self.options.lease / HEARTBEATS_PER_LEASE;
        let mut pause = interval;
        while self.is_linked.get() {
            tokio::select! {
                () = self.link_changed.notified() => {}
                () = sleep(pause) => {}
            }
            if !self.is_linked.get() {
                return;
            }
            let sent = Instant::now();
            let beaten = self.beat().await;
            pause = if beaten.is_ok() { interval } else { interval / ATTEMPTS_PER_INTERVAL };
            if beaten.is_err() || sent.elapsed() > interval {
                self.spare_missing_nodes(self.options.lease / 2);
            }
            let beaten = match beaten {
                Ok(()) => self.refresh_members().await,
                lost => lost,
            };
            if beaten == Err(Lost) && self.is_lease_over() {
                self.link_lost("no heartbeat has reached the engine for a whole lease".to_owned());
            }
        }
    }

    /// For this time nodes whose lease is over count as alive: the engine may have answered them as late as this node.
    fn spare_missing_nodes(&self, time: Duration) {
        self.grace_until.set(self.grace_until.get().max(Some(Instant::now() + time)));
    }

    /// Says that this node is alive.
    async fn beat(&self) -> Result<(), Lost> {
        let mut status = NodeStatus::new(self.is_retired.get(), self.relinks.get());
        status.secret_check = self.sealer.borrow().secret_check(&self.options.node, &status);
        // the lease is shorter here than in the engine
        let (end, was_over) = (LeaseEnd::after(self.options.lease), self.is_lease_over());
        let Heartbeat { lease, epoch } = self.engine.heartbeat(self.options.lease, status.encode()).await?;
        self.names.saw_epoch(epoch);
        // the answer to an earlier heartbeat, which began a new lease, may have been lost
        if lease == Lease::New || was_over {
            if self.was_linked.get() {
                self.names.grace_until.set(Some(Instant::now() + self.options.lease));
            }
            self.names.enter_again();
        }
        self.lease_end.set(Some(end));
        Ok(())
    }

    fn is_lease_over(&self) -> bool {
        self.lease_end.get().is_none_or(LeaseEnd::is_over)
    }

    /// Whether this node may deliver as the owner of names: no other node can have taken them since it said that it is
    /// alive.
    pub(super) fn may_own(&self) -> bool {
        self.names.are_entered.get() && !self.is_lease_over()
    }

    /// Whether the directory may lack names of live nodes. A node that links again does not know yet whether the engine has
    /// kept its data, although the engine answers.
    pub(super) fn may_directory_lack_names(&self) -> bool {
        let is_linking_again = self.was_linked.get() && !self.is_linked.get();
        is_linking_again || self.names.grace_until.get().is_some_and(|until| Instant::now() < until)
    }

    /// Subscribes to all topics again, also to those that are added meanwhile.
    async fn subscribe_again(&self) -> Result<(), Lost> {
        self.subscriptions.borrow_mut().forget_engine();
        loop {
            let missing = self.subscriptions.borrow_mut().take_missing(TOPICS_AT_A_TIME);
            if missing.is_empty() {
                return Ok(());
            }
            try_join_all(missing.iter().map(|topic| self.engine.subscribe(topic.key()))).await?;
        }
    }

    /// The engine has lost the link, or messages.
    pub(super) fn link_lost(&self, why: String) {
        self.link_number.update(|number| number + 1);
        if self.is_linked.replace(false) {
            self.metrics.cluster.linked.set(0);
            self.metrics.cluster.links_lost.inc();
            self.requests.clear();
            self.note_problem(&LinkError::Unreachable(why));
            self.link_changed.notify_one();
        }
    }

    fn note_problem(&self, error: &LinkError) {
        if self.state.set_problem(format!("the cluster's engine: {error}")) {
            match error {
                LinkError::Unreachable(what) => {
                    self.link_log.write(Level::Warn, format_args!("not linked to the cluster: {what}; trying again"));
                }
                LinkError::Unusable(what) => {
                    self.link_log.write(Level::Error, format_args!("not linked to the cluster: {what}"));
                }
            }
        }
    }

    /// Announces that this node is about to stop.
    pub(super) fn retire(&self) {
        self.is_retired.set(true);
        self.link_changed.notify_one();
    }

    /// Ends the lease, so that the other nodes need not wait for its end, and closes the connections.
    pub(super) async fn leave(&self) {
        let left = async {
            if self.is_linked.replace(false) {
                let _ = self.engine.end_lease().await;
            }
            self.engine.close().await;
        };
        // an engine that hangs delays no exit
        let _ = timeout(self.options.timeout, left).await;
    }
}
