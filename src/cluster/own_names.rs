//! What this node knows about the entries of its own names in the directory.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::Shared;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::broker::adapter::Epoch;
use crate::cluster::engine::{Holder, LocalFuture, Lost};
use crate::topic::Topic;

/// How many former holders are remembered that could not be told.
const UNSENT_REVOKES: usize = 65_536;

/// A release of a name that is under way.
pub(super) type Release = Shared<LocalFuture<Result<(), Lost>>>;

/// The entries of this node's names.
pub(super) struct OwnNames {
    /// Whether all names are in the directory, as far as this node knows.
    pub(super) are_entered: Cell<bool>,
    /// Whether all names have to be entered again.
    pub(super) must_enter: Cell<bool>,
    /// How many releases and claims have had no answer. Each may have left an entry that no client of this node uses.
    pub(super) unanswered: Cell<u64>,
    /// How many of these the last search for such entries has covered.
    pub(super) searched: Cell<u64>,
    /// When the last of these was noted. What was asked may still take effect.
    unanswered_at: Cell<Instant>,
    /// Notified when names have to be entered, or entries searched for.
    pub(super) work: Notify,
    /// Until when a name may have an owner although the directory has no entry of it. The engine may have returned without
    /// its data, and the other nodes need time to enter their names again.
    pub(super) grace_until: Cell<Option<Instant>>,
    /// The releases that are under way.
    pub(super) releases: RefCell<HashMap<Topic, Release>>,
    /// The names that were released while others are listed and entered.
    released_meanwhile: RefCell<Option<HashSet<(Topic, Epoch)>>>,
    /// The names that this node has got, with the former holders that could not be told because the link was lost.
    pub(super) unsent_revokes: RefCell<Vec<(Holder, Topic)>>,
    /// The highest epoch that this node has seen.
    pub(super) highest_epoch: Cell<Epoch>,
}

impl Default for OwnNames {
    fn default() -> Self {
        Self {
            are_entered: Cell::new(false),
            must_enter: Cell::new(false),
            unanswered: Cell::new(0),
            searched: Cell::new(0),
            unanswered_at: Cell::new(Instant::now()),
            work: Notify::new(),
            grace_until: Cell::new(None),
            releases: RefCell::default(),
            released_meanwhile: RefCell::default(),
            unsent_revokes: RefCell::default(),
            highest_epoch: Cell::new(0),
        }
    }
}

impl OwnNames {
    pub(super) fn saw_epoch(&self, epoch: Epoch) {
        self.highest_epoch.set(self.highest_epoch.get().max(epoch));
    }

    /// Notes that all names have to be entered again.
    pub(super) fn enter_again(&self) {
        self.are_entered.set(false);
        self.must_enter.set(true);
        self.work.notify_one();
    }

    /// Notes that a name's former holder could not be told that it has lost the name.
    pub(super) fn note_unsent_revoke(&self, holder: Holder, name: Topic) {
        let mut unsent = self.unsent_revokes.borrow_mut();
        if unsent.len() < UNSENT_REVOKES {
            unsent.push((holder, name));
        }
    }

    /// Notes that a release or a claim has had no answer.
    pub(super) fn note_unanswered(&self) {
        self.unanswered.set(self.unanswered.get() + 1);
        self.unanswered_at.set(Instant::now());
        self.work.notify_one();
    }

    /// When entries have to be searched for that no client of this node uses, if they have to: `pause` after the last request
    /// without an answer.
    pub(super) fn search_at(&self, pause: Duration) -> Option<Instant> {
        (self.searched.get() != self.unanswered.get()).then(|| self.unanswered_at.get() + pause)
    }

    /// Notes the names that are released from now on, until the result is dropped.
    pub(super) fn note_releases(&self) -> NotedReleases<'_> {
        *self.released_meanwhile.borrow_mut() = Some(HashSet::new());
        NotedReleases(self)
    }

    /// Notes that a name is released.
    pub(super) fn note_release(&self, name: &Topic, epoch: Epoch) {
        if let Some(released) = &mut *self.released_meanwhile.borrow_mut() {
            released.insert((name.clone(), epoch));
        }
    }

    /// Whether a name has been released since [`note_releases`](Self::note_releases).
    pub(super) fn was_released(&self, name: &(Topic, Epoch)) -> bool {
        self.released_meanwhile.borrow().as_ref().is_some_and(|released| released.contains(name))
    }
}

/// Releases are noted while this exists.
pub(super) struct NotedReleases<'a>(&'a OwnNames);

impl Drop for NotedReleases<'_> {
    fn drop(&mut self) {
        self.0.released_meanwhile.take();
    }
}
