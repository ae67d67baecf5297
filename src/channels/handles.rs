//! How other code reaches a channel, or answers one of its requests, from any thread.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::channels::reply::Reply;
use crate::connections::connection::Connection;
use crate::connections::envelope::SocketEvent;
use crate::message::{Event, JoinId, Payload, RequestRef};

/// A request that is still owed an answer. Dropping it leaves the client to its own timeout.
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

    /// Answers. Nobody hears it when the channel has ended meanwhile.
    pub fn reply(self, reply: Reply) {
        if let Reply::Reply(status, payload) = reply {
            // a mailbox that is full or closed belongs to a client on its way out
            let _ = self.connection.send_event(SocketEvent::Reply(self.request, status, payload));
        }
    }
}

/// A channel, seen from other code. What it is sent counts against the bound of its client's queue: who
/// sends more than that makes it a slow consumer, and its connection ends.
///
/// It may be kept for as long as one likes; what it says to a channel that has ended goes nowhere.
#[derive(Clone, Debug)]
pub struct ChannelHandle {
    connection: Arc<Connection>,
    join: JoinId,
}

impl ChannelHandle {
    pub(crate) fn new(connection: Arc<Connection>, join: JoinId) -> Self {
        Self { connection, join }
    }

    /// Hands the channel a message for [`Channel::handle_info`](crate::Channel::handle_info).
    ///
    /// # Errors
    /// [`SendError`] when the connection has ended, or ends because its queue is full.
    pub fn send<T: Any + Send>(&self, info: T) -> Result<(), SendError> {
        self.send_event(SocketEvent::Info(self.join, Box::new(info)))
    }

    /// Tells the channel's client.
    ///
    /// # Errors
    /// [`SendError`] when the connection has ended, or ends because its queue is full.
    pub fn push(&self, event: impl Into<Event>, payload: impl Into<Payload>) -> Result<(), SendError> {
        self.send_event(SocketEvent::Push(self.join, event.into(), payload.into()))
    }

    fn send_event(&self, event: SocketEvent) -> Result<(), SendError> {
        self.connection.send_event(event).map_err(|_| SendError)
    }
}

/// The client's queue did not take a message: its connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendError;

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection has ended")
    }
}

impl std::error::Error for SendError {}
