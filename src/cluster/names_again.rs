//! How the directory and this node's names are made to agree again. After each link, and when its lease was over, the node
//! enters its names again. When a release or a claim has had no answer, it searches the directory for entries of its own
//! that no client of this node uses.

use std::collections::HashSet;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until};

use crate::broker::adapter::{Epoch, Packet, Question};
use crate::cluster::engine::Lost;
use crate::cluster::this_node::ThisNode;
use crate::topic::Topic;

/// How many names are entered again at a time.
const NAMES_AT_A_TIME: usize = 1_000;
/// The pause for so many names, so that the engine has time for other nodes: 20,000 names a second.
const NAMES_PAUSE: Duration = Duration::from_millis(50);
/// The pause between two parts of the directory that are searched, so that the engine has time for other requests.
const SEARCH_PAUSE: Duration = Duration::from_millis(50);
/// The pause before a new attempt.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

impl ThisNode {
    /// Makes the directory agree with this node's names whenever it may not, until this is dropped.
    pub(super) async fn keep_names_entered(self: &Rc<Self>) {
        let mut again = None;
        loop {
            if self.names.must_enter.replace(false) {
                self.enter_names().await;
                // another node may enter a later grant of a name after this one; then it is found out
                again = self.names.grace_until.get().filter(|until| *until > Instant::now());
                continue;
            }
            let search = self.names.search_at(self.options.timeout * 2);
            if search.is_some_and(|at| at <= Instant::now()) {
                if self.release_stale_entries().await == Err(Lost) {
                    sleep(RETRY_PAUSE).await;
                }
                continue;
            }
            let next = async {
                match [again, search].into_iter().flatten().min() {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = self.names.work.notified() => {}
                () = next => {}
            }
            if again.take_if(|at| *at <= Instant::now()).is_some() {
                self.names.must_enter.set(true);
            }
        }
    }

    /// Enters all names, unless it has to begin again meanwhile. Then this node asks the others for what it may have missed,
    /// and they ask it.
    async fn enter_names(self: &Rc<Self>) {
        for (holder, name) in self.names.unsent_revokes.take() {
            self.revoke_at(holder, name);
        }
        let mut last = None;
        loop {
            let next = Instant::now() + NAMES_PAUSE;
            let released = self.names.note_releases();
            let names = self.inbox.names(last.clone(), NAMES_AT_A_TIME).await;
            let Some((name, _)) = names.last() else { break };
            match self.enter_part(&names).await {
                Ok(()) => last = Some(name.clone()),
                Err(Lost) => sleep(RETRY_PAUSE).await,
            }
            drop(released);
            if self.names.must_enter.get() {
                return;
            }
            sleep_until(next).await;
        }
        self.names.are_entered.set(true);
        self.inbox.resync();
        drop(spawn_local(self.clone().ask(Question::ComparePresence)));
    }

    /// Enters some names. One that another node has got meanwhile is taken away from its client; one that another node had
    /// before is taken away from that node's client. The names are announced to their watchers, for whom this node may have
    /// been dead.
    async fn enter_part(self: &Rc<Self>, names: &[(Topic, Epoch)]) -> Result<(), Lost> {
        // a name that has been released since would stay in the directory
        let names: Vec<_> = names.iter().filter(|name| !self.names.was_released(name)).collect();
        let keys: Vec<_> = names.iter().map(|(name, epoch)| (name.key(), *epoch)).collect();
        let entries = self.engine.enter(&keys).await?;
        self.metrics.cluster.names_entered.add(names.len() as u64);
        let mut lost = HashSet::new();
        for (place, holder) in entries {
            let Some(&entry) = names.get(place) else { continue };
            let (name, epoch) = entry;
            if (holder.epoch, &holder.node) < (*epoch, &self.options.node) {
                self.revoke_at(holder, name.clone());
            } else if holder.node != self.options.node && self.is_live(&holder.node).await? {
                self.inbox.revoke(name, holder.epoch);
                lost.insert(name);
            } else {
                // an entry of a dead node, or of a claim of this node whose answer was lost
                self.engine.remove(name.key(), &holder).await?;
                if !self.names.was_released(entry) {
                    self.engine.enter(&[(name.key(), *epoch)]).await?;
                }
            }
        }
        self.metrics.cluster.names_revoked.add(lost.len() as u64);
        for (name, epoch) in names.iter().filter(|(name, _)| !lost.contains(name)) {
            self.publish(Box::from([name.clone()]), Packet::Up(*epoch), self.budget.take_anyway(name.key().len()));
        }
        Ok(())
    }

    /// Searches the directory for entries of this node that none of its clients uses, and releases them.
    async fn release_stale_entries(self: &Rc<Self>) -> Result<(), Lost> {
        let unanswered = self.names.unanswered.get();
        let mut cursor = 0;
        loop {
            let next = Instant::now() + SEARCH_PAUSE;
            let part = self.engine.scan(cursor).await?;
            let own = part.entries.iter().filter(|(_, holder)| holder.node == self.options.node);
            let own = own.filter_map(|(name, holder)| Some((Topic::parse(name).ok()?, holder.epoch))).collect();
            self.release_stale(own).await.ok_or(Lost)?;
            cursor = part.next;
            if cursor == 0 {
                break;
            }
            sleep_until(next).await;
        }
        self.names.searched.set(unanswered);
        Ok(())
    }

    /// Releases those of this node's entries that none of its clients uses, and returns how many they are. `None`: the
    /// registry has too much to do to say. Watchers, also those of this node, may not have heard of the owner's end.
    pub(super) async fn release_stale(self: &Rc<Self>, entries: Vec<(Topic, Epoch)>) -> Option<usize> {
        let stale = self.inbox.stale(entries).await?;
        for (name, epoch) in &stale {
            self.release(name.clone(), *epoch);
            let permit = self.budget.take_anyway(name.key().len());
            self.publish(Box::from([name.clone()]), Packet::Down(*epoch), permit);
            self.inbox.publish(std::slice::from_ref(name), Packet::Down(*epoch));
        }
        Some(stale.len())
    }
}
