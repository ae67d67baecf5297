//! How a socket starts the tasks of its channels, hands them their results, and aborts them.

use super::Socket;
use crate::channels::context::NewTask;
use crate::channels::effect::Effect;
use crate::message::{JoinId, TaskId};
use crate::topic::Topic;

impl Socket {
    /// Starts a task for the join of `owner`, unless the join has ended.
    pub(crate) fn start_task(&mut self, owner: &Topic, NewTask { task, future }: NewTask) {
        let Some(server) = self.joins.get_mut(owner) else {
            self.client.tasks_left += 1;
            return;
        };
        if task.is_ordered {
            server.await_task();
        }
        let id = self.tasks.get_or_insert_default().add(server.id, task);
        self.effects.push_back(Effect::Spawn { id, future });
    }

    /// Handles a future that is ready: the channel receives its output, and then the messages that have waited for it.
    pub(crate) fn task_done(&mut self, id: TaskId) {
        let Some((join, task)) = self.tasks.as_mut().and_then(|tasks| tasks.remove(id)) else { return };
        self.client.tasks_left += 1;
        let (Some(topic), Some(completion)) = (self.topic_of(join), task.take_result()) else { return };
        self.run_and_reply(&topic, &task.reference, |channel, ctx| completion(channel, ctx));
        if !task.is_ordered {
            return;
        }
        let Some(server) = self.joins.get_mut(&topic).filter(|server| server.id == join) else { return };
        let backlog = server.task_awaited();
        self.replay.extend(backlog.into_iter().map(|queued| (topic.clone(), queued)));
    }

    /// Drops the futures of a join that has ended.
    pub(crate) fn abort_tasks(&mut self, join: JoinId) {
        let Some(tasks) = &mut self.tasks else { return };
        self.client.tasks_left += tasks.abort(join);
    }
}
