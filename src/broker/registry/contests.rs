//! Contested names: a client of this node owns the name, and others claim it.
//!
//! The owner is pinged, and the claims wait for its answer. An owner that answers keeps the name. One that does not
//! answer within `limits.contest_timeout` has lost its network, and the first of the claims gets the name. An owner
//! that has answered is not pinged again for the same time, so that claims cannot flood it with pings. A connection is
//! pinged once for all of its names.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::broker::adapter::Epoch;
use crate::broker::registry::command::Subscribe;
use crate::connections::connection::{Connection, ConnectionId};
use crate::topic::Topic;

/// The maximum number of claims of one name that wait. One is enough for a client that returns; the others are for
/// clients that gave up or were too early. Each holds a pending join.
pub(super) const CLAIMS: usize = 4;

/// A claim of a name that another client owns.
pub(super) enum Contender {
    /// A join of this node.
    Join(Subscribe),
    /// A claim of another node, which has found a grant of this epoch. The sender tells that node whether the name is
    /// free.
    Remote(Epoch, oneshot::Sender<bool>),
}

/// What has become of a claim.
pub(super) enum Contest {
    /// It waits for the owner's answer.
    Waiting,
    /// The owner is alive, or too many other claims wait.
    Refused(Contender),
    /// The owner's connection is closing, so it cannot be pinged.
    OwnerClosing(Contender),
}

/// What has become known of an owner.
pub(super) struct Finding {
    pub(super) owner: Arc<Connection>,
    pub(super) is_alive: bool,
    /// Its names that were claimed since it was pinged.
    pub(super) names: Vec<Topic>,
}

/// A ping of an owner, or the answer to it.
struct OwnerPing {
    owner: Arc<Connection>,
    /// When it was pinged, or when it was found to have answered.
    since: Instant,
    has_answered: bool,
    /// Its names that are claimed, until it has answered.
    names: Vec<Topic>,
}

/// The owners that are pinged or have just answered, and the claims that wait.
pub(super) struct Contests {
    timeout: Duration,
    pings: HashMap<ConnectionId, OwnerPing>,
    /// The waiting claims of each name, oldest first. A name without claims has no entry.
    claims: HashMap<Topic, Vec<Contender>>,
}

impl Contests {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, pings: HashMap::new(), claims: HashMap::new() }
    }

    /// Whether [`findings`](Self::findings) has to be called again.
    pub(super) fn is_empty(&self) -> bool {
        self.pings.is_empty()
    }

    /// Adds a claim of `name`, and pings the name's owner if it was not pinged a short time ago. Claims that are not
    /// `wanted` any more make room for it.
    pub(super) fn add(
        &mut self,
        name: &Topic,
        owner: &Arc<Connection>,
        contender: Contender,
        wanted: impl Fn(&Contender) -> bool,
        now: Instant,
    ) -> Contest {
        let ping = match self.pings.entry(owner.id) {
            Entry::Occupied(ping) => ping.into_mut(),
            Entry::Vacant(_) if !owner.probe(now) => return Contest::OwnerClosing(contender),
            Entry::Vacant(entry) => {
                entry.insert(OwnerPing { owner: owner.clone(), since: now, has_answered: false, names: Vec::new() })
            }
        };
        if ping.has_answered {
            return Contest::Refused(contender);
        }
        let claims = self.claims.entry(name.clone()).or_default();
        if claims.is_empty() {
            ping.names.push(name.clone());
        }
        if claims.len() >= CLAIMS {
            claims.retain(wanted);
        }
        if claims.len() >= CLAIMS {
            return Contest::Refused(contender);
        }
        claims.push(contender);
        Contest::Waiting
    }

    /// Removes and returns the claims of a name, oldest first.
    pub(super) fn take(&mut self, name: &Topic) -> Vec<Contender> {
        self.claims.remove(name).unwrap_or_default()
    }

    /// Records that an owner is alive, without waiting for its answer.
    pub(super) fn answered(&mut self, owner: ConnectionId) -> Option<Finding> {
        let ping = self.pings.get_mut(&owner).filter(|ping| !ping.has_answered)?;
        let now = ping.owner.now();
        Some(ping.answered(now))
    }

    /// Forgets a connection that has closed.
    pub(super) fn forget(&mut self, owner: ConnectionId) {
        self.pings.remove(&owner);
    }

    /// What has become known since the last call. `now` is the time that the node's clock has judged.
    pub(super) fn findings(&mut self, now: Instant) -> Vec<Finding> {
        let timeout = self.timeout;
        let mut findings = Vec::new();
        self.pings.retain(|_, ping| {
            let is_over = now.saturating_duration_since(ping.since) >= timeout;
            match ping.has_answered {
                true => !is_over,
                false if ping.owner.activity.has_answered() => {
                    findings.push(ping.answered(now));
                    true
                }
                false if is_over => {
                    findings.push(ping.finding(false));
                    false
                }
                false => true,
            }
        });
        findings
    }
}

impl OwnerPing {
    fn answered(&mut self, now: Instant) -> Finding {
        self.has_answered = true;
        self.since = now;
        self.finding(true)
    }

    fn finding(&mut self, is_alive: bool) -> Finding {
        Finding { owner: self.owner.clone(), is_alive, names: std::mem::take(&mut self.names) }
    }
}

#[cfg(test)]
mod tests;
