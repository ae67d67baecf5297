//! The limits per client IP: open connections, new sockets per second, signals to absent peers, and requests for ICE
//! servers. An entry is kept as long as it affects a limit, so that reconnecting does not reset the limits.
//!
//! An IPv6 /64 network counts as one IP, because one customer usually has all of it.
//!
//! The limiters for actix do not fit: `actix-limitation` (which needs a Redis server) and `actix-governor` (under the
//! GPL) count requests over time. Neither counts open connections, and both see a connection only at its first request.

use std::collections::{BTreeSet, HashMap};
use std::hash::RandomState;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::schema::Limits;
use crate::connections::client_kinds::{ClientKind, KindBuckets, share};
use crate::connections::connection::ConnectionId;
use crate::connections::token_bucket::{Rate, SharedTokenBucket};

/// When the table has more entries than this (about 300 bytes each, and 300 more while many kinds of clients connect),
/// an entry is removed as soon as its last connection closes. A limit per IP does not stop an attack from that many IPs.
const REMEMBERED: usize = 65_536;
/// How often entries that no longer affect a limit are removed.
const SWEEP: Duration = Duration::from_secs(1);

/// The usage of all client IPs of a node.
pub(crate) struct IpTable {
    limits: IpLimits,
    /// The random keys of the hash that a client kind is.
    kind_keys: RandomState,
    state: Mutex<Inner>,
}

struct IpLimits {
    sockets: usize,
    /// All TCP connections: HTTP connections and WebSockets together.
    tcp_connections: usize,
    connects: Rate,
    /// The share of each kind of client in `connects`.
    kind_connects: Rate,
    not_found: Rate,
    ice: Rate,
}

struct Inner {
    known: HashMap<IpAddr, IpUsage>,
    swept: Instant,
}

/// The usage of one IP.
struct IpUsage {
    sockets: usize,
    tcp_connections: usize,
    connects: SharedTokenBucket,
    kinds: KindBuckets,
    /// Its long-polling sessions, oldest first, without those that were found in use.
    maybe_unused: BTreeSet<ConnectionId>,
    not_found: Arc<SharedTokenBucket>,
    ice: SharedTokenBucket,
}

/// What a slot counts.
#[derive(Clone, Copy)]
enum SlotKind {
    Socket(ConnectionId),
    Tcp,
}

/// One of the connections that an IP may have. Dropping it frees the slot.
pub(crate) struct IpSlot {
    table: Arc<IpTable>,
    network: IpAddr,
    kind: SlotKind,
}

/// A client that wants a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newcomer {
    pub(crate) id: ConnectionId,
    pub(crate) address: IpAddr,
    pub(crate) kind: ClientKind,
    /// Whether it is a long-polling session, which stays open without a connection of its own.
    pub(crate) polls: bool,
}

/// Why an IP may not open another socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IpLimitError {
    TooMany,
    TooFast,
}

impl IpTable {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        let connects = Rate::per_second(limits.connects_per_second, limits.connects_burst);
        let limits = IpLimits {
            sockets: limits.sockets_per_ip,
            tcp_connections: limits.sockets_per_ip.saturating_add(limits.http_connections_per_ip),
            connects,
            kind_connects: share(connects),
            not_found: Rate::per_minute(limits.not_found_per_minute_per_ip, limits.not_found_burst_per_ip),
            ice: Rate::per_minute(limits.ice_per_minute_per_ip, limits.ice_burst_per_ip),
        };
        let state = Inner { known: HashMap::new(), swept: Instant::now() };
        Arc::new(Self { limits, kind_keys: RandomState::new(), state: Mutex::new(state) })
    }

    /// The kind of a client with these headers.
    pub(crate) fn kind(&self, user_agent: &[u8], origin: &[u8], path: &str) -> ClientKind {
        ClientKind::new(&self.kind_keys, user_agent, origin, path)
    }

    /// Takes a slot for a socket. Returns it with the IP's budget of signals to absent peers. A refusal takes no token.
    pub(crate) fn admit_socket(
        self: &Arc<Self>,
        Newcomer { id, address, kind, polls }: Newcomer,
        now: Instant,
    ) -> Result<(IpSlot, Arc<SharedTokenBucket>), IpLimitError> {
        let network = network(address);
        let limits = &self.limits;
        let mut state = self.lock();
        let usage = state.known.entry(network).or_insert_with(|| IpUsage::new(limits, now));
        if usage.connects.is_empty(now) || usage.kinds.is_empty(kind, &limits.kind_connects, now) {
            return Err(IpLimitError::TooFast);
        }
        if usage.sockets >= limits.sockets {
            return Err(IpLimitError::TooMany);
        }
        usage.connects.take(now);
        usage.kinds.take(kind, &limits.kind_connects, now);
        usage.sockets += 1;
        if polls {
            usage.maybe_unused.insert(id);
        }
        let not_found = usage.not_found.clone();
        drop(state);
        Ok((IpSlot { table: self.clone(), network, kind: SlotKind::Socket(id) }, not_found))
    }

    /// The oldest long-polling session of an address that may be unused. The next call returns the one after it.
    pub(crate) fn take_maybe_unused(&self, address: IpAddr) -> Option<ConnectionId> {
        self.lock().known.get_mut(&network(address))?.maybe_unused.pop_first()
    }

    /// Takes a slot for a TCP connection of any kind, if one is free.
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

    /// Whether the IP may request the ICE servers once more. Behind a proxy, the IP may have no connection here, so the
    /// entry is removed by the sweep alone, and none is made in a table that is full.
    pub(crate) fn admit_ice(&self, address: IpAddr, now: Instant) -> bool {
        let network = network(address);
        let mut state = self.lock();
        state.sweep(&self.limits, now);
        if state.known.len() > REMEMBERED && !state.known.contains_key(&network) {
            return true;
        }
        let usage = state.known.entry(network).or_insert_with(|| IpUsage::new(&self.limits, now));
        let is_allowed = !usage.ice.is_empty(now);
        if is_allowed {
            usage.ice.take(now);
        }
        is_allowed
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
        let limits = &self.table.limits;
        if let Some(usage) = state.known.get_mut(&self.network) {
            usage.release(self.kind);
            if usage.is_blank(limits, now) || crowded && usage.has_no_connections() {
                state.known.remove(&self.network);
            }
        }
        state.sweep(limits, now);
    }
}

impl Inner {
    fn sweep(&mut self, limits: &IpLimits, now: Instant) {
        if now.saturating_duration_since(self.swept) >= SWEEP {
            self.known.retain(|_, usage| !usage.is_blank(limits, now));
            self.swept = now;
        }
    }
}

impl IpUsage {
    fn new(limits: &IpLimits, now: Instant) -> Self {
        Self {
            sockets: 0,
            tcp_connections: 0,
            connects: SharedTokenBucket::full(limits.connects, now),
            kinds: KindBuckets::default(),
            maybe_unused: BTreeSet::new(),
            not_found: Arc::new(SharedTokenBucket::full(limits.not_found, now)),
            ice: SharedTokenBucket::full(limits.ice, now),
        }
    }

    fn release(&mut self, kind: SlotKind) {
        match kind {
            SlotKind::Socket(id) => {
                self.sockets -= 1;
                self.maybe_unused.remove(&id);
            }
            SlotKind::Tcp => self.tcp_connections -= 1,
        }
    }

    fn has_no_connections(&self) -> bool {
        self.sockets == 0 && self.tcp_connections == 0
    }

    /// Whether a new entry would be identical, so that this one can be removed.
    fn is_blank(&mut self, limits: &IpLimits, now: Instant) -> bool {
        let is_full = self.connects.is_full(now) && self.not_found.is_full(now) && self.ice.is_full(now);
        self.has_no_connections() && is_full && self.kinds.forget_full(&limits.kind_connects, now)
    }
}

/// The key under which an address is counted: an IPv4 address itself, or the /64 network of an IPv6 address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A WebSocket client of one kind.
    fn newcomer(id: u64, address: [u8; 4], table: &IpTable) -> Newcomer {
        let (address, kind) = (IpAddr::from(address), table.kind(b"", b"", ""));
        Newcomer { id: ConnectionId(id), address, kind, polls: false }
    }

    #[test]
    fn requests_for_ice_servers_are_limited_without_a_connection() {
        let limits = Limits { ice_per_minute_per_ip: 60, ice_burst_per_ip: 2, ..crate::Config::default().limits };
        let table = IpTable::new(&limits);
        let (client, other, start) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]), Instant::now());
        let admitted = |client, now| (0..5).filter(|_| table.admit_ice(client, now)).count();
        assert_eq!((admitted(client, start), admitted(other, start)), (2, 2));
        assert_eq!(admitted(client, start + Duration::from_secs(1)), 1);
        assert_eq!(table.lock().known.len(), 2);
        // a request sweeps the entries whose buckets are full again
        assert!(table.admit_ice(client, start + Duration::from_secs(10)));
        assert_eq!(table.lock().known.len(), 1);
    }

    #[test]
    fn an_ip_is_remembered_while_it_affects_a_limit() {
        let limits = Limits { connects_per_second: 2, connects_burst: 4, ..crate::Config::default().limits };
        let table = IpTable::new(&limits);
        let (client, start) = (newcomer(1, [192, 0, 2, 1], &table), Instant::now());
        for _ in 0..2 {
            drop(table.admit_socket(client, start).unwrap());
        }
        assert_eq!(table.admit_socket(client, start).err(), Some(IpLimitError::TooFast));
        let later = start + Duration::from_secs(1);
        drop(table.admit_socket(client, later).unwrap());
        assert_eq!(table.admit_socket(client, later).err(), Some(IpLimitError::TooFast));
        assert!(table.admit_socket(newcomer(2, [192, 0, 2, 2], &table), later).is_ok());
        // once all buckets are full again, the entry is removed
        let much_later = later + Duration::from_secs(10);
        let slot = table.admit_socket(newcomer(3, [192, 0, 2, 3], &table), much_later).unwrap();
        table.lock().sweep(&table.limits, much_later);
        assert_eq!(table.lock().known.len(), 1);
        drop(slot);
    }

    #[test]
    fn a_refusal_takes_no_token_from_others() {
        let limits = Limits { connects_per_second: 2, connects_burst: 4, ..crate::Config::default().limits };
        let table = IpTable::new(&limits);
        let (looping, now) = (newcomer(1, [192, 0, 2, 1], &table), Instant::now());
        let other = Newcomer { kind: table.kind(b"other", b"", ""), ..looping };
        let admitted = |client| table.admit_socket(client, now).is_ok();
        assert_eq!((0..1_000).filter(|_| admitted(looping)).count(), 2);
        assert_eq!((0..1_000).filter(|_| admitted(other)).count(), 2);
    }
}
