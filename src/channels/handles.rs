//! Handles with which other code, on any thread, sends messages to a channel or answers one of its requests.
//!
//! What a channel itself can do is in [`context`](crate::channels::context).

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::channels::reply::Reply;
use crate::connections::connection::Connection;
use crate::connections::envelope::SocketEvent;
use crate::message::{Event, JoinId, Payload, RequestRef};

/// Answers one request from any thread. If it is dropped without a reply, the client's request times out.
///
/// ```
/// # use handclasp::{Context, Reply};
/// fn handle_slow(ctx: &mut Context<'_>) -> Reply {
///     let request = ctx.reply_handle();
///     std::thread::spawn(move || request.reply(Reply::ok_with(serde_json::json!({ "sum": 42 }))));
///     Reply::NoReply
/// }
/// ```
#[derive(Debug)]
pub struct ReplyHandle {
    connection: Arc<Connection>,
    request: RequestRef,
}

impl ReplyHandle {
    pub(crate) fn new(connection: Arc<Connection>, request: RequestRef) -> Self {
        Self { connection, request }
    }

    /// Sends the reply. It is dropped if the channel has ended.
    pub fn reply(self, reply: Reply) {
        if let Reply::Reply(status, payload) = reply {
            // if the mailbox is full or closed, the connection is closing and needs no reply
            let _ = self.connection.send_event(SocketEvent::Reply(self.request, status, payload));
        }
    }
}

/// Sends messages to one channel or its client, from any thread. The messages wait in the client's queue and count
/// against `limits.queue_bytes`. When the queue overflows, the client is treated as a slow consumer and its connection
/// closes.
///
/// A handle may outlive its channel. Messages to a channel that has ended are dropped.
#[derive(Clone, Debug)]
pub struct ChannelHandle {
    connection: Arc<Connection>,
    join: JoinId,
}

impl ChannelHandle {
    pub(crate) fn new(connection: Arc<Connection>, join: JoinId) -> Self {
        Self { connection, join }
    }

    /// Sends the channel a message, which [`Channel::handle_info`](crate::Channel::handle_info) receives.
    ///
    /// # Errors
    /// [`SendError`] when the connection has closed, or closes because its queue is full.
    pub fn send<T: Any + Send>(&self, info: T) -> Result<(), SendError> {
        self.send_event(SocketEvent::Info(self.join, Box::new(info)))
    }

    /// Sends a message to the channel's client.
    ///
    /// # Errors
    /// [`SendError`] when the connection has closed, or closes because its queue is full.
    pub fn push(&self, event: impl Into<Event>, payload: impl Into<Payload>) -> Result<(), SendError> {
        self.send_event(SocketEvent::Push(self.join, event.into(), payload.into()))
    }

    fn send_event(&self, event: SocketEvent) -> Result<(), SendError> {
        self.connection.send_event(event).map_err(|_| SendError)
    }
}

/// A message could not be queued because the client's connection has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendError;

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection has closed")
    }
}

impl std::error::Error for SendError {}
