//! The places of a listener for few connections: when the last one is taken, the oldest silent client loses its own.
//! Otherwise silent clients would keep out those that send their request at once.

use std::any::Any;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use socket2::{SockRef, Socket};
use tokio::net::{TcpStream, UnixStream};

/// The place of a connection. It is free again when this is dropped.
pub(crate) struct Place {
    /// A second handle to the connection's socket.
    socket: Socket,
    /// Whether the client has sent what the listener expects, or the connection is being closed to make room.
    is_kept: AtomicBool,
}

/// The places of a listener.
pub(crate) struct Places {
    number: usize,
    /// Those that are taken, oldest first.
    taken: Mutex<Vec<Weak<Place>>>,
}

impl Place {
    /// The client is not silent: its connection keeps its place.
    pub(crate) fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }

    /// Ends the connection.
    pub(crate) fn shut_down(&self) {
        // an error means that it is closed already
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Places {
    /// The places of a listener that serves this number of connections at a time.
    pub(crate) fn new(number: usize) -> Self {
        Self { number, taken: Mutex::default() }
    }

    /// Takes a place for a connection that was just accepted. `None` if no descriptor is left.
    pub(crate) fn take(&self, io: &dyn Any) -> Option<Arc<Place>> {
        let socket = match (io.downcast_ref::<TcpStream>(), io.downcast_ref::<UnixStream>()) {
            (Some(stream), _) => SockRef::from(stream).try_clone(),
            (_, Some(stream)) => SockRef::from(stream).try_clone(),
            _ => return None,
        };
        Some(self.add(socket.ok()?))
    }

    /// Takes a place. If it is the last one, the oldest other client that is silent loses its own.
    fn add(&self, socket: Socket) -> Arc<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|place| place.strong_count() > 0);
        if taken.len() + 1 >= self.number {
            let mut oldest = taken.iter().filter_map(Weak::upgrade);
            let silent = oldest.find(|place| !place.is_kept.swap(true, Ordering::Relaxed));
            silent.iter().for_each(|place| place.shut_down());
        }
        let place = Arc::new(Place { socket, is_kept: AtomicBool::new(false) });
        taken.push(Arc::downgrade(&place));
        place
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::os::fd::OwnedFd;
    use std::os::unix::net;

    use super::*;

    const PLACES: usize = 8;

    /// The place of a connection, and the client's end of it.
    fn open(places: &Places) -> (Arc<Place>, net::UnixStream) {
        let (socket, client) = net::UnixStream::pair().unwrap();
        client.set_nonblocking(true).unwrap();
        (places.add(OwnedFd::from(socket).into()), client)
    }

    fn is_closed(client: &mut net::UnixStream) -> bool {
        match client.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    #[test]
    fn the_last_place_costs_the_oldest_silent_client_its_own() {
        let places = Places::new(PLACES);
        let mut opened: Vec<_> = (0..PLACES - 1).map(|_| open(&places)).collect();
        opened[0].0.keep();
        assert!(!opened.iter_mut().any(|(_, client)| is_closed(client)), "a place is free");
        for newest in 1..=2 {
            let last = open(&places);
            opened.push(last);
            let closed: Vec<usize> = (0..opened.len()).filter(|n| is_closed(&mut opened[*n].1)).collect();
            assert_eq!(closed, (1..=newest).collect::<Vec<_>>());
        }
        opened.truncate(PLACES - 2);
        opened.push(open(&places));
        let closed = opened.iter_mut().filter_map(|(_, client)| is_closed(client).then_some(())).count();
        assert_eq!(closed, 2, "a place is free again");
    }
}
