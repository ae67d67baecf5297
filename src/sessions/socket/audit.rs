//! The sizes of a socket's tables, for the fuzz targets that check its guarantees.

use super::Socket;
use crate::sessions::socket::channel_server::QueuedPush;

/// How much a socket holds, and how much it may hold.
pub(crate) struct SocketAudit {
    pub(crate) joins: usize,
    pub(crate) max_joins: usize,
    /// The number of joins whose membership has ended.
    pub(crate) left: usize,
    pub(crate) topics: usize,
    pub(crate) subscriptions_left: usize,
    pub(crate) tasks_left: usize,
    pub(crate) max_tasks: usize,
    pub(crate) pending_effects: usize,
    pub(crate) held_signals: usize,
    pub(crate) waiting_joins: usize,
    /// The presence lists that were requested or wait to be.
    pub(crate) waiting_lists: usize,
    /// The maximum number of older joins that wait with one join, and of messages in one backlog.
    pub(crate) max_superseded: usize,
    pub(crate) max_backlog: usize,
    /// The maximum number of messages that fit into a backlog.
    pub(crate) backlog_room: usize,
}

impl Socket {
    pub(crate) fn audit(&self) -> SocketAudit {
        let limits = &self.settings.limits;
        let servers = || self.joins.values();
        SocketAudit {
            joins: self.joins.len(),
            max_joins: limits.joins_per_socket,
            left: servers().filter(|server| server.has_left).count(),
            topics: self.topics.len(),
            subscriptions_left: self.client.subscriptions_left,
            tasks_left: self.client.tasks_left,
            max_tasks: limits.tasks_per_socket,
            pending_effects: self.effects.len(),
            held_signals: self.waiting.values().sum::<u32>() as usize,
            waiting_joins: servers().filter(|server| server.is_waiting()).count(),
            waiting_lists: self.presence_lists.as_ref().map_or(0, |lists| lists.len()),
            max_superseded: servers().map(|server| server.superseded()).max().unwrap_or(0),
            max_backlog: servers().map(|server| server.backlog_len()).max().unwrap_or(0),
            backlog_room: limits.queue_bytes / size_of::<QueuedPush>() + 1,
        }
    }
}
