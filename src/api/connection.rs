//! A connection to the listener: it ends when its client takes too long, is not to be read any more, or has sent no key and
//! its place is needed.
//!
//! The HTTP server limits the time for a request's headers and between two requests. It limits neither the time that a
//! client takes to read a response nor that of a body that nobody reads. A second handle to the socket ends these.

use std::any::Any;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix_web::dev::Extensions;
use actix_web::rt::spawn;
use socket2::{SockRef, Socket};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;

use crate::api::state::CONNECTIONS;

/// The maximum time from a connection's last request to its end, with the request's body, its answer, the time in which
/// the client reads it, and the time for which the connection is kept for the next request.
const LIFETIME: Duration = Duration::from_secs(40);
/// How often it is checked.
const CHECK: Duration = Duration::from_secs(1);
/// The time that a client has to read the answer to a request whose body is not read.
const CLOSE_DELAY: Duration = Duration::from_secs(1);

/// A connection that has been accepted.
pub(super) struct ApiConnection {
    socket: Socket,
    requested: Mutex<Instant>,
    /// Whether a request had a good key, or the connection is being closed to make room.
    keeps_place: AtomicBool,
}

/// The connections that are open, oldest first.
#[derive(Default)]
pub(super) struct ApiConnections(Mutex<Vec<Weak<ApiConnection>>>);

impl ApiConnection {
    fn new(socket: Socket) -> Self {
        Self { socket, requested: Mutex::new(Instant::now()), keeps_place: AtomicBool::new(false) }
    }

    /// A request with a good key has begun.
    pub(super) fn touch(&self) {
        self.keeps_place.store(true, Ordering::Relaxed);
        *self.requested.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ends the connection soon: what its client still sends is not wanted. Until then, the HTTP server reads and discards it.
    pub(super) fn close_soon(self: &Arc<Self>) {
        let connection = Arc::downgrade(self);
        spawn(async move {
            sleep(CLOSE_DELAY).await;
            if let Some(connection) = connection.upgrade() {
                connection.shut_down();
            }
        });
    }

    fn is_over(&self) -> bool {
        self.requested.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= LIFETIME
    }

    fn shut_down(&self) {
        // an error means that it is closed already
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl ApiConnections {
    /// Watches a connection that was just accepted.
    pub(super) fn on_connect(&self, io: &dyn Any, extensions: &mut Extensions) {
        let socket = match (io.downcast_ref::<TcpStream>(), io.downcast_ref::<UnixStream>()) {
            (Some(stream), _) => SockRef::from(stream).try_clone(),
            (_, Some(stream)) => SockRef::from(stream).try_clone(),
            _ => return,
        };
        // without a descriptor left, the HTTP server's own time limits still apply
        let Ok(socket) = socket else { return };
        let connection = Arc::new(ApiConnection::new(socket));
        let watched = Arc::downgrade(&connection);
        self.add(watched.clone());
        extensions.insert(connection);
        spawn(async move {
            loop {
                sleep(CHECK).await;
                match watched.upgrade() {
                    Some(connection) if connection.is_over() => connection.shut_down(),
                    Some(_) => {}
                    None => return,
                }
            }
        });
    }

    /// Adds a connection. If it takes the last place, the oldest other one without a key loses its own: otherwise silent
    /// clients would keep out backends, which send their key at once.
    fn add(&self, newest: Weak<ApiConnection>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| connection.strong_count() > 0);
        if open.len() + 1 >= CONNECTIONS {
            let mut oldest = open.iter().filter_map(Weak::upgrade);
            let silent = oldest.find(|connection| !connection.keeps_place.swap(true, Ordering::Relaxed));
            silent.iter().for_each(|connection| connection.shut_down());
        }
        open.push(newest);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::os::fd::OwnedFd;
    use std::os::unix::net;

    use super::*;

    /// A connection, and the client's end of it.
    fn open(connections: &ApiConnections) -> (Arc<ApiConnection>, net::UnixStream) {
        let (socket, client) = net::UnixStream::pair().unwrap();
        client.set_nonblocking(true).unwrap();
        let connection = Arc::new(ApiConnection::new(OwnedFd::from(socket).into()));
        connections.add(Arc::downgrade(&connection));
        (connection, client)
    }

    fn is_closed(client: &mut net::UnixStream) -> bool {
        match client.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    #[test]
    fn the_last_place_costs_the_oldest_client_without_a_key_its_own() {
        let connections = ApiConnections::default();
        let mut opened: Vec<_> = (0..CONNECTIONS - 1).map(|_| open(&connections)).collect();
        opened[0].0.touch();
        assert!(!opened.iter_mut().any(|(_, client)| is_closed(client)), "a place is free");
        for newest in 1..=2 {
            let last = open(&connections);
            opened.push(last);
            let closed: Vec<usize> = (0..opened.len()).filter(|n| is_closed(&mut opened[*n].1)).collect();
            assert_eq!(closed, (1..=newest).collect::<Vec<_>>());
        }
        opened.truncate(CONNECTIONS - 2);
        opened.push(open(&connections));
        let closed = opened.iter_mut().filter_map(|(_, client)| is_closed(client).then_some(())).count();
        assert_eq!(closed, 2, "a place is free again");
    }
}
