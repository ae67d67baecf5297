//! A poll over HTTP: waits for the frames of a long-polling session, and notices when the client abandons the request.
//! The formats of requests and responses are in `protocols`, the sessions in
//! [`longpoll`](crate::transports::longpoll).

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use actix_web::HttpRequest;
use futures_util::future::{Either, select};

use crate::close;
use crate::http::acceptor::http_connection_of;
use crate::http::idle_connections::hung_up;
use crate::transports::longpoll::handle::{Fetched, LongPollHandle};

/// Waits for frames to the client, for at most `window`. If the client closes the request's connection before they
/// come, its session ends.
pub(crate) async fn fetch(request: &HttpRequest, session: &LongPollHandle, window: Duration) -> Fetched {
    match select(pin!(session.fetch(window)), pin!(abandoned(request))).await {
        Either::Left((fetched, _)) => fetched,
        Either::Right(_) => {
            session.end(&close::GONE);
            Fetched::Gone
        }
    }
}

/// Completes when the client closes the request's connection.
pub(crate) async fn abandoned(request: &HttpRequest) {
    match http_connection_of(request) {
        Ok(connection) => hung_up(connection.socket()).await,
        Err(_) => pending().await,
    }
}
