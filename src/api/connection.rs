//! A connection to the listener: it ends when its client takes too long, is not to be read any more, or has sent no key and
//! its [place](Places) is needed.
//!
//! The HTTP server limits the time for a request's headers and between two requests. It limits neither the time that a
//! client takes to read a response nor that of a body that nobody reads. A second handle to the socket ends these.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::Extensions;
use actix_web::rt::spawn;
use tokio::time::sleep;

use crate::http::places::{Place, Places};

/// The maximum time from a connection's last request to its end, with the request's body, its answer, the time in which
/// the client reads it, and the time for which the connection is kept for the next request.
const LIFETIME: Duration = Duration::from_secs(40);
/// How often it is checked.
const CHECK: Duration = Duration::from_secs(1);
/// The time that a client has to read the answer to a request whose body is not read.
const CLOSE_DELAY: Duration = Duration::from_secs(1);

/// A connection that has been accepted.
pub(super) struct ApiConnection {
    place: Arc<Place>,
    requested: Mutex<Instant>,
}

impl ApiConnection {
    /// Watches a connection that was just accepted.
    pub(super) fn watch(places: &Places, io: &dyn Any, extensions: &mut Extensions) {
        // without a descriptor left, the HTTP server's own time limits still apply
        let Some(place) = places.take(io) else { return };
        let connection = Arc::new(Self { place, requested: Mutex::new(Instant::now()) });
        let watched = Arc::downgrade(&connection);
        extensions.insert(connection);
        spawn(async move {
            loop {
                sleep(CHECK).await;
                match watched.upgrade() {
                    Some(connection) if connection.is_over() => connection.place.shut_down(),
                    Some(_) => {}
                    None => return,
                }
            }
        });
    }

    /// A request with a good key has begun.
    pub(super) fn touch(&self) {
        self.place.keep();
        *self.requested.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ends the connection soon: what its client still sends is not wanted. Until then, the HTTP server reads and discards it.
    pub(super) fn close_soon(self: &Arc<Self>) {
        let connection = Arc::downgrade(self);
        spawn(async move {
            sleep(CLOSE_DELAY).await;
            if let Some(connection) = connection.upgrade() {
                connection.place.shut_down();
            }
        });
    }

    fn is_over(&self) -> bool {
        self.requested.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= LIFETIME
    }
}
