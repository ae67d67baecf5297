//! The directory of names, and the leases of nodes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use handclasp::cluster::engine::{ClaimResult, DirectoryPart, Epoch, Heartbeat, Holder, Lease, LiveNode, NodeId};
use tokio::time::Instant;

/// How much epochs grow when the directory is lost.
const EPOCHS_AT_RESTART: Epoch = 1_000;

struct Entry {
    holder: Holder,
    /// The entry's place in the order of [`Directory::scan`].
    place: u64,
}

#[derive(Default)]
pub struct Directory {
    entries: HashMap<String, Entry>,
    places: BTreeMap<u64, String>,
    leases: BTreeMap<NodeId, (Instant, Bytes)>,
    epoch: Epoch,
    /// The last number given to an entry's state or place.
    last: u64,
}

impl Directory {
    pub fn names(&self) -> BTreeMap<String, (NodeId, Epoch)> {
        let entries = self.entries.iter();
        entries.map(|(name, entry)| (name.clone(), (entry.holder.node.clone(), entry.holder.epoch))).collect()
    }

    /// Forgets everything except the epochs.
    pub fn lose(&mut self) {
        let epoch = self.epoch + EPOCHS_AT_RESTART;
        *self = Self { epoch, last: self.last, ..Self::default() };
    }

    pub fn find(&self, name: &str) -> Option<Holder> {
        self.entries.get(name).map(|entry| entry.holder.clone())
    }

    pub fn claim(&mut self, name: &str, node: &NodeId) -> ClaimResult {
        match self.find(name) {
            Some(holder) => ClaimResult::Held(holder),
            None => ClaimResult::Granted(self.grant(name, node)),
        }
    }

    pub fn replace(&mut self, name: &str, node: &NodeId, former: &Holder) -> Option<Epoch> {
        (self.find(name).as_ref() == Some(former)).then(|| self.grant(name, node))
    }

    pub fn release(&mut self, name: &str, node: &NodeId, epoch: Epoch) {
        if self.find(name).is_some_and(|holder| holder.node == *node && holder.epoch == epoch) {
            self.drop_entry(name);
        }
    }

    pub fn remove(&mut self, name: &str, former: &Holder) {
        if self.find(name).as_ref() == Some(former) {
            self.drop_entry(name);
        }
    }

    /// Enters names again, and returns the entries that stay or were other nodes'.
    pub fn enter(&mut self, node: &NodeId, names: &[(String, Epoch)]) -> Vec<(usize, Holder)> {
        let mut entries = Vec::new();
        for (place, (name, epoch)) in names.iter().enumerate() {
            self.epoch = self.epoch.max(*epoch);
            match self.find(name) {
                Some(holder) if holder.epoch == *epoch && holder.node == *node => {}
                Some(holder) if (holder.epoch, &holder.node) > (*epoch, node) => entries.push((place, holder)),
                former => {
                    self.put(name, node, *epoch);
                    entries.extend(former.filter(|holder| holder.node != *node).map(|holder| (place, holder)));
                }
            }
        }
        entries
    }

    /// The entries from the place `cursor` on, at most `limit`.
    pub fn scan(&self, cursor: u64, limit: usize) -> DirectoryPart {
        let mut places = self.places.range(cursor..);
        let part = places.by_ref().take(limit);
        let entries = part.map(|(_, name)| (name.clone(), self.entries[name].holder.clone())).collect();
        DirectoryPart { entries, next: places.next().map_or(0, |(place, _)| *place) }
    }

    pub fn heartbeat(&mut self, node: &NodeId, now: Instant, lease: Duration, status: Bytes) -> Heartbeat {
        let lease = match self.leases.insert(node.clone(), (now + lease, status)) {
            Some((until, _)) if until > now => Lease::Kept,
            _ => Lease::New,
        };
        Heartbeat { lease, epoch: self.epoch }
    }

    pub fn end_lease(&mut self, node: &NodeId) {
        self.leases.remove(node);
    }

    pub fn nodes(&self, now: Instant) -> Vec<LiveNode> {
        let live = self.leases.iter().filter(|(_, (until, _))| *until > now);
        live.map(|(id, (_, status))| LiveNode { id: id.clone(), status: status.clone() }).collect()
    }

    fn grant(&mut self, name: &str, node: &NodeId) -> Epoch {
        let epoch = self.epoch + 1;
        self.epoch = epoch;
        self.put(name, node, epoch);
        epoch
    }

    fn put(&mut self, name: &str, node: &NodeId, epoch: Epoch) {
        self.last += 1;
        let holder = Holder { node: node.clone(), epoch, revision: self.last };
        let (last, places) = (self.last, &mut self.places);
        let entry = self.entries.entry(name.to_owned()).and_modify(|entry| entry.holder = holder.clone());
        entry.or_insert_with(|| {
            places.insert(last, name.to_owned());
            Entry { holder, place: last }
        });
    }

    fn drop_entry(&mut self, name: &str) {
        if let Some(entry) = self.entries.remove(name) {
            self.places.remove(&entry.place);
        }
    }
}
