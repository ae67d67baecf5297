//! [`Walk`]: all connections of a node, in steps, so that neither the hub's lock nor a thread is held for a whole walk.

use std::sync::Arc;

use crate::connections::connection::{Connection, ConnectionId};

/// How many connections one step has at most.
pub(crate) const CONNECTIONS_OF_A_STEP: usize = 256;

/// What a [`Walk`] goes through.
pub(super) trait Connections: Send + Sync {
    /// The first connections behind `after`, up to `last`, and at most `limit` of them.
    fn connections_after(&self, after: ConnectionId, last: ConnectionId, limit: usize) -> Vec<Arc<Connection>>;
}

/// Goes through the connections of a hub, oldest first. Each step locks the hub for itself. Connections that come after
/// the walk has begun are not in it, so a walk that disconnects clients does not meet those that connect again.
pub(crate) struct Walk {
    hub: Arc<dyn Connections>,
    after: ConnectionId,
    last: ConnectionId,
}

impl Walk {
    /// Goes through the connections of `hub` up to `last`.
    pub(super) fn new(hub: Arc<dyn Connections>, last: ConnectionId) -> Self {
        Self { hub, after: ConnectionId(0), last }
    }
}

impl Iterator for Walk {
    /// One step.
    type Item = Vec<Arc<Connection>>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.hub.connections_after(self.after, self.last, CONNECTIONS_OF_A_STEP);
        self.after = step.last()?.id;
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::*;
    use crate::config::schema::Config;
    use crate::connections::client_kinds::ClientKind;
    use crate::connections::hub::{ClientIdentity, ConnectionSlot, Hub, HubLimits};
    use crate::connections::ip_limits::IpTable;
    use crate::connections::limits::{ConnectionLimits, QueueLimit, Timeouts};
    use crate::memory::MemoryBudget;

    /// Admits a client of an IP of its own.
    fn admit(hub: &Arc<Hub>, n: u32) -> ConnectionSlot {
        let timeouts = Timeouts { idle: Duration::MAX, join: Duration::MAX, ping_interval: None };
        let (queue, memory) = (QueueLimit { bytes: 0, age: Duration::MAX }, MemoryBudget::new(usize::MAX));
        let limits = Arc::new(ConnectionLimits { timeouts, queue, clock: Arc::default(), memory });
        let kind = ClientKind::new(&RandomState::new(), b"", b"", "");
        let client = ClientIdentity { address: IpAddr::V4(Ipv4Addr::from_bits(n)), kind, polls: false };
        hub.admit(client, limits).unwrap()
    }

    #[test]
    fn a_walk_meets_those_who_are_there_and_none_who_come_later() {
        const STEP: u64 = CONNECTIONS_OF_A_STEP as u64;
        let limits = HubLimits { connections: usize::MAX, close_timeout: Duration::MAX };
        let hub = Hub::new(limits, IpTable::new(&Config::default().limits));
        let mut slots: Vec<_> = (0..3 * CONNECTIONS_OF_A_STEP as u32).map(|n| admit(&hub, n)).collect();
        // the first one leaves before the walk, and some of the second step during it
        slots.remove(0);
        let (mut walk, mut seen) = (hub.walk(), Vec::new());
        let first = walk.next().unwrap();
        assert_eq!(first.len(), CONNECTIONS_OF_A_STEP);
        seen.extend(first.iter().map(|connection| connection.id.0));
        // the hub is free between two steps
        slots.drain(CONNECTIONS_OF_A_STEP..CONNECTIONS_OF_A_STEP + 10);
        let late = admit(&hub, u32::MAX);
        seen.extend(walk.flatten().map(|connection| connection.id.0));
        let gone = STEP + 2..STEP + 12;
        let expected: Vec<u64> = (2..=3 * STEP).filter(|id| !gone.contains(id)).collect();
        assert_eq!(seen, expected);
        assert_eq!(hub.walk().flatten().last().map(|connection| connection.id), Some(late.connection.id));
    }
}
