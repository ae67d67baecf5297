//! [`TaskTable`]: the running tasks of a socket, each with the join that it belongs to.

use std::collections::HashMap;

use crate::channels::context::Task;
use crate::message::{JoinId, TaskId};

/// The running tasks of a socket. It is created with the socket's first task.
#[derive(Default)]
pub(crate) struct TaskTable {
    last: u32,
    running: HashMap<TaskId, (JoinId, Task)>,
}

impl TaskTable {
    /// Adds a task of a join, under a new id.
    pub(super) fn add(&mut self, join: JoinId, task: Task) -> TaskId {
        self.last += 1;
        let id = TaskId(self.last);
        self.running.insert(id, (join, task));
        id
    }

    /// Removes a task that is done. Returns it with its join.
    pub(super) fn remove(&mut self, id: TaskId) -> Option<(JoinId, Task)> {
        self.running.remove(&id)
    }

    /// Drops the tasks of a join, which aborts their futures, and returns how many there were.
    pub(super) fn abort(&mut self, join: JoinId) -> usize {
        self.running.extract_if(|_, (owner, _)| *owner == join).count()
    }
}
