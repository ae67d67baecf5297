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
use crate::connections::token_bucket::{Pool, Rate};

/// When so many are known, at about 200 bytes each, those without a connection are forgotten at once: an attack from so
/// many places is not held up by a limit for one.
const REMEMBERED: usize = 65_536;
/// How often those are looked for that need not be remembered any more.
const SWEEP: Duration = Duration::from_secs(1);

/// The addresses that a node knows.
pub(crate) struct Addresses {
    terms: Terms,
    state: Mutex<State>,
}

struct Terms {
    sockets: usize,
    /// TCP connections that are no sockets, or not yet.
    wires: usize,
    arrivals: Rate,
    misses: Rate,
}

struct State {
    known: HashMap<IpAddr, Account>,
    swept: Instant,
}

/// What one address has taken.
struct Account {
    sockets: usize,
    wires: usize,
    arrivals: Pool,
    misses: Arc<Pool>,
}

/// What is counted at a time.
#[derive(Clone, Copy)]
enum Kind {
    Socket,
    Wire,
}

/// One of the connections that an address may have; dropping it gives the place back.
pub(crate) struct Place {
    addresses: Arc<Addresses>,
    network: IpAddr,
    kind: Kind,
}

/// Why an address may have no further socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    TooMany,
    TooFast,
}

impl Addresses {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        let terms = Terms {
            sockets: limits.connections_per_address,
            wires: limits.connections_per_address.saturating_add(limits.requests_per_address),
            arrivals: Rate::per_second(limits.connects_per_second, limits.connects_burst),
            misses: Rate::per_minute(limits.address_misses_per_minute, limits.address_misses_burst),
        };
        let state = State { known: HashMap::new(), swept: Instant::now() };
        Arc::new(Self { terms, state: Mutex::new(state) })
    }

    /// A place for a socket, and what the address has left of signals to nobody.
    pub(crate) fn open(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<(Place, Arc<Pool>), Denied> {
        let network = network(address);
        let mut state = self.lock();
        let account = state.known.entry(network).or_insert_with(|| Account::new(&self.terms, now));
        if account.sockets >= self.terms.sockets {
            return Err(Denied::TooMany);
        }
        if account.arrivals.is_empty(now) {
            return Err(Denied::TooFast);
        }
        account.arrivals.take(now);
        account.sockets += 1;
        let misses = account.misses.clone();
        drop(state);
        Ok((Place { addresses: self.clone(), network, kind: Kind::Socket }, misses))
    }

    /// A place for a TCP connection, whatever it is for, if there is one.
    pub(crate) fn plug_in(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Place> {
        let network = network(address);
        let mut state = self.lock();
        let account = state.known.entry(network).or_insert_with(|| Account::new(&self.terms, now));
        if account.wires >= self.terms.wires {
            return None;
        }
        account.wires += 1;
        drop(state);
        Some(Place { addresses: self.clone(), network, kind: Kind::Wire })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.addresses.lock();
        let crowded = state.known.len() > REMEMBERED;
        if let Some(account) = state.known.get_mut(&self.network) {
            *account.count(self.kind) -= 1;
            if account.is_blank(now) || crowded && account.is_absent() {
                state.known.remove(&self.network);
            }
        }
        state.sweep(now);
    }
}

impl State {
    fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept) >= SWEEP {
            self.known.retain(|_, account| !account.is_blank(now));
            self.swept = now;
        }
    }
}

impl Account {
    fn new(terms: &Terms, now: Instant) -> Self {
        let (arrivals, misses) = (Pool::full(terms.arrivals, now), Arc::new(Pool::full(terms.misses, now)));
        Self { sockets: 0, wires: 0, arrivals, misses }
    }

    fn count(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Socket => &mut self.sockets,
            Kind::Wire => &mut self.wires,
        }
    }

    fn is_absent(&self) -> bool {
        self.sockets == 0 && self.wires == 0
    }

    /// Whether a new account would be the same.
    fn is_blank(&self, now: Instant) -> bool {
        self.is_absent() && self.arrivals.is_full(now) && self.misses.is_full(now)
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
        let addresses = Addresses::new(&limits);
        let (me, start) = (IpAddr::from([192, 0, 2, 1]), Instant::now());
        for _ in 0..2 {
            drop(addresses.open(me, start).unwrap());
        }
        assert_eq!(addresses.open(me, start).err(), Some(Denied::TooFast));
        let later = start + Duration::from_secs(1);
        drop(addresses.open(me, later).unwrap());
        assert_eq!(addresses.open(me, later).err(), Some(Denied::TooFast));
        assert!(addresses.open(IpAddr::from([192, 0, 2, 2]), later).is_ok());
        // when all is paid back, there is nothing to remember
        let much_later = later + Duration::from_secs(10);
        let place = addresses.open(IpAddr::from([192, 0, 2, 3]), much_later).unwrap();
        addresses.lock().sweep(much_later);
        assert_eq!(addresses.lock().known.len(), 1);
        drop(place);
    }
}
