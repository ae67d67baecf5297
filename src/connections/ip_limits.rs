//! What one address may take of a node: how many connections at a time, how many sockets a second, and how many
//! signals to nobody. It is remembered for as long as it matters: whoever reconnects goes on where they left.
//!
//! Of IPv6 the network of 64 bits is one address, since one customer usually has it whole.
//!
//! It is our own because the limiters for actix count requests over time: `actix-limitation` in a Redis server,
//! `actix-governor` under the GPL. Neither counts open connections, and both see one only with its first request.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::schema::Limits;
use crate::connections::token_bucket::{Rate, SharedTokenBucket};

/// When so many are known, at about 200 bytes each, those without a connection are forgotten at once: an attack from so
/// many places is not held up by a limit for one.
const REMEMBERED: usize = 65_536;
/// How often those are looked for that need not be remembered any more.
const SWEEP: Duration = Duration::from_secs(1);

/// The addresses that a node knows.
pub(crate) struct IpTable {
    limits: IpLimits,
    state: Mutex<Inner>,
}

struct IpLimits {
    sockets: usize,
    /// TCP connections that are no sockets, or not yet.
    tcp_connections: usize,
    connects: Rate,
    not_found: Rate,
}

struct Inner {
    known: HashMap<IpAddr, IpUsage>,
    swept: Instant,
}

/// What one address has taken.
struct IpUsage {
    sockets: usize,
    tcp_connections: usize,
    connects: SharedTokenBucket,
    not_found: Arc<SharedTokenBucket>,
}

/// What is counted at a time.
#[derive(Clone, Copy)]
enum SlotKind {
    Socket,
    Tcp,
}

/// One of the connections that an address may have; dropping it gives the place back.
pub(crate) struct IpSlot {
    table: Arc<IpTable>,
    network: IpAddr,
    kind: SlotKind,
}

/// Why an address may have no further socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IpLimitError {
    TooMany,
    TooFast,
}

impl IpTable {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        let limits = IpLimits {
            sockets: limits.sockets_per_ip,
            tcp_connections: limits.sockets_per_ip.saturating_add(limits.http_connections_per_ip),
            connects: Rate::per_second(limits.connects_per_second, limits.connects_burst),
            not_found: Rate::per_minute(limits.not_found_per_minute_per_ip, limits.not_found_burst_per_ip),
        };
        let state = Inner { known: HashMap::new(), swept: Instant::now() };
        Arc::new(Self { limits, state: Mutex::new(state) })
    }

    /// A place for a socket, and what the address has left of signals to nobody.
    pub(crate) fn admit_socket(
        self: &Arc<Self>,
        address: IpAddr,
        now: Instant,
    ) -> Result<(IpSlot, Arc<SharedTokenBucket>), IpLimitError> {
        let network = network(address);
        let mut state = self.lock();
        let usage = state.known.entry(network).or_insert_with(|| IpUsage::new(&self.limits, now));
        if usage.sockets >= self.limits.sockets {
            return Err(IpLimitError::TooMany);
        }
        if usage.connects.is_empty(now) {
            return Err(IpLimitError::TooFast);
        }
        usage.connects.take(now);
        usage.sockets += 1;
        let not_found = usage.not_found.clone();
        drop(state);
        Ok((IpSlot { table: self.clone(), network, kind: SlotKind::Socket }, not_found))
    }

    /// A place for a TCP connection, whatever it is for, if there is one.
    pub(crate) fn admit_tcp(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<IpSlot> {
        let network = network(address);
        let mut state = self.lock();
        let usage = state.known.entry(network).or_insert_with(|| IpUsage::new(&self.limits, now));
        if usage.tcp_connections >= self.limits.tcp_connections {
            return None;
        }
        usage.tcp_connections += 1;
        drop(state);
        Some(IpSlot { table: self.clone(), network, kind: SlotKind::Tcp })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for IpSlot {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.table.lock();
        let crowded = state.known.len() > REMEMBERED;
        if let Some(usage) = state.known.get_mut(&self.network) {
            *usage.count(self.kind) -= 1;
            if usage.is_blank(now) || crowded && usage.is_absent() {
                state.known.remove(&self.network);
            }
        }
        state.sweep(now);
    }
}

impl Inner {
    fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept) >= SWEEP {
            self.known.retain(|_, usage| !usage.is_blank(now));
            self.swept = now;
        }
    }
}

impl IpUsage {
    fn new(limits: &IpLimits, now: Instant) -> Self {
        let (connects, not_found) =
            (SharedTokenBucket::full(limits.connects, now), Arc::new(SharedTokenBucket::full(limits.not_found, now)));
        Self { sockets: 0, tcp_connections: 0, connects, not_found }
    }

    fn count(&mut self, kind: SlotKind) -> &mut usize {
        match kind {
            SlotKind::Socket => &mut self.sockets,
            SlotKind::Tcp => &mut self.tcp_connections,
        }
    }

    fn is_absent(&self) -> bool {
        self.sockets == 0 && self.tcp_connections == 0
    }

    /// Whether a new account would be the same.
    fn is_blank(&self, now: Instant) -> bool {
        self.is_absent() && self.connects.is_full(now) && self.not_found.is_full(now)
    }
}

/// What counts as one address: of IPv6 the network.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_remembered_for_as_long_as_it_matters() {
        let limits = Limits { connects_per_second: 1, connects_burst: 2, ..crate::Config::default().limits };
        let addresses = IpTable::new(&limits);
        let (me, start) = (IpAddr::from([192, 0, 2, 1]), Instant::now());
        for _ in 0..2 {
            drop(addresses.admit_socket(me, start).unwrap());
        }
        assert_eq!(addresses.admit_socket(me, start).err(), Some(IpLimitError::TooFast));
        let later = start + Duration::from_secs(1);
        drop(addresses.admit_socket(me, later).unwrap());
        assert_eq!(addresses.admit_socket(me, later).err(), Some(IpLimitError::TooFast));
        assert!(addresses.admit_socket(IpAddr::from([192, 0, 2, 2]), later).is_ok());
        // when all is paid back, there is nothing to remember
        let much_later = later + Duration::from_secs(10);
        let place = addresses.admit_socket(IpAddr::from([192, 0, 2, 3]), much_later).unwrap();
        addresses.lock().sweep(much_later);
        assert_eq!(addresses.lock().known.len(), 1);
        drop(place);
    }
}
