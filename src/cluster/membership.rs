//! Which nodes are alive, as the engine says, and what follows from a change.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use log::Level;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use crate::broker::adapter::NodeId;
use crate::cluster::engine::{LiveNode, LocalFuture, Lost};
use crate::cluster::members::{Misfit, Refresh};
use crate::cluster::message::NodeStatus;
use crate::cluster::this_node::ThisNode;

/// The pause between two parts of the directory that are searched for names of dead nodes, so that the engine has time
/// for other requests.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

impl ThisNode {
    /// Whether another node is alive. A node that is not known may have just started, so the list is read again.
    pub(super) async fn is_live(self: &Rc<Self>, id: &str) -> Result<bool, Lost> {
        if !self.members.borrow().is_live(id) {
            self.refresh_members().await?;
        }
        Ok(self.members.borrow().is_live(id))
    }

    /// Reads the list of live nodes. Callers at the same time share one reading, which has begun after each of them.
    pub(super) async fn refresh_members(self: &Rc<Self>) -> Result<(), Lost> {
        if let Some(older) = self.running_refresh() {
            let _ = older.await;
        }
        let refresh = self.running_refresh().unwrap_or_else(|| {
            let node = self.clone();
            let reading: LocalFuture<_> = Box::pin(async move {
                let nodes = node.engine.nodes().await?;
                node.update_members(nodes);
                Ok(())
            });
            let reading = reading.shared();
            *self.refresh.borrow_mut() = Some(reading.clone());
            reading
        });
        refresh.await
    }

    fn running_refresh(&self) -> Option<Refresh> {
        self.refresh.borrow().clone().filter(|refresh| refresh.peek().is_none())
    }

    fn update_members(self: &Rc<Self>, nodes: Vec<LiveNode>) {
        let (mut live, mut unfit) = (BTreeMap::new(), BTreeMap::new());
        for LiveNode { id, status } in nodes.into_iter().filter(|node| node.id != self.options.node) {
            let secret_check = |status| self.sealer.borrow().secret_check(&id, status);
            match NodeStatus::decode(&status) {
                Some(status) if !status.is_compatible() => drop(unfit.insert(id, Misfit::Version)),
                Some(status) if status.secret_check != secret_check(&status) => drop(unfit.insert(id, Misfit::Secret)),
                Some(status) => drop(live.insert(id, status)),
                None => drop(unfit.insert(id, Misfit::Version)),
            }
        }
        if self.grace_until.get().is_some_and(|until| Instant::now() < until) {
            self.members.borrow().keep_missing(&mut live, &unfit);
        }
        let changes = self.members.borrow_mut().update(live, unfit);
        self.state.set_nodes(self.members.borrow().ids());
        self.metrics.cluster.nodes.set(1 + self.members.borrow().count());
        for (id, misfit) in &changes.unfit {
            let line = format_args!("cluster: the node {id} {misfit}, and is refused");
            self.members_log.write(Level::Error, line);
        }
        for id in &changes.up {
            self.opener.borrow_mut().admit(id);
            self.members_log.write(Level::Info, format_args!("cluster: {id} is up"));
        }
        if !changes.up.is_empty() {
            self.open_waiting(0);
            changes.up.iter().for_each(|id| self.inbox.node_up(id));
        }
        for id in &changes.down {
            self.opener.borrow_mut().retire(id);
            self.subscriptions.borrow_mut().node_down(id);
            self.inbox.node_down(id);
            self.members_log.write(Level::Info, format_args!("cluster: {id} is down"));
        }
        if changes.has_relinked {
            self.inbox.resync();
        }
        if !changes.down.is_empty() {
            self.sweep_if_first();
        }
    }

    /// Removes the names of dead nodes from the directory, if this is the first of the live nodes.
    pub(super) fn sweep_if_first(self: &Rc<Self>) {
        if self.members.borrow().is_first(&self.options.node) {
            spawn_local(self.clone().sweep_directory());
        }
    }

    /// Removes the names of dead nodes from the directory, one part after another.
    async fn sweep_directory(self: Rc<Self>) {
        let mut cursor = 0;
        while let Ok(part) = self.engine.scan(cursor).await {
            let holders: BTreeSet<_> = part.entries.iter().map(|(_, holder)| holder.node.clone()).collect();
            let is_known = |id: &NodeId| *id == self.options.node || self.members.borrow().is_live(id);
            // a node says that it is alive before it claims names, so a list that is read now has it
            if !holders.iter().all(&is_known) && self.refresh_members().await.is_err() {
                return;
            }
            let dead = part.entries.iter().filter(|(_, holder)| !is_known(&holder.node));
            join_all(dead.map(|(name, holder)| self.engine.remove(name, holder))).await;
            cursor = part.next;
            if cursor == 0 {
                return;
            }
            sleep(SWEEP_PAUSE).await;
        }
    }
}
