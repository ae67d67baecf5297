//! Passes over the tables of the registry, step by step, after a loss, and lookups that are repeated. A part of the
//! registry.

use std::collections::BTreeSet;

use crate::topic::Topic;

/// The maximum number of lookups and questions whose answers are under way.
const REQUESTS: usize = 256;

/// The passes over the tables, and the requests under way.
#[derive(Default)]
pub(super) struct Passes {
    pub(super) watches: Pass,
    pub(super) presence: Pass,
    pub(super) held: Pass,
    pub(super) lookups: RepeatedLookups,
    pub(super) requests: usize,
}

/// The watched names that the directory has not answered about, or whose answer must be confirmed. They are looked up
/// again, all after the same pause.
#[derive(Default)]
pub(super) struct RepeatedLookups {
    waiting: BTreeSet<Topic>,
    /// Those whose pause is over.
    due: BTreeSet<Topic>,
}

/// A pass over the topics of a table, in their order.
#[derive(Default)]
pub(super) enum Pass {
    #[default]
    Idle,
    Running {
        /// The last topic that was handled.
        after: Option<Topic>,
        /// Whether another pass must follow this one.
        again: bool,
    },
}

impl Passes {
    /// How many more requests may be under way.
    pub(super) fn room(&self) -> usize {
        REQUESTS.saturating_sub(self.requests)
    }

    pub(super) fn are_running(&self) -> bool {
        [&self.watches, &self.presence, &self.held].iter().any(|pass| pass.is_running()) || !self.lookups.due.is_empty()
    }
}

impl RepeatedLookups {
    pub(super) fn add(&mut self, name: &Topic) {
        self.waiting.insert(name.clone());
    }

    pub(super) fn remove(&mut self, name: &Topic) {
        self.waiting.remove(name);
        self.due.remove(name);
    }

    /// Whether a name waits for the end of the pause.
    pub(super) fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Ends the pause.
    pub(super) fn start(&mut self) {
        self.due.append(&mut self.waiting);
    }

    /// The next names to look up, at most `limit` of them.
    pub(super) fn step(&mut self, limit: usize) -> Vec<Topic> {
        std::iter::from_fn(|| self.due.pop_first()).take(limit).collect()
    }
}

impl Pass {
    pub(super) fn start(&mut self) {
        match self {
            Self::Idle => *self = Self::Running { after: None, again: false },
            Self::Running { again, .. } => *again = true,
        }
    }

    fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// The next topics of a pass, of those that `list` finds in the table. The pass ends if there are none.
    pub(super) fn step(&mut self, limit: usize, list: impl FnOnce(Option<&Topic>, usize) -> Vec<Topic>) -> Vec<Topic> {
        let Self::Running { after, again } = self else { return Vec::new() };
        if limit == 0 {
            return Vec::new();
        }
        let topics = list(after.as_ref(), limit);
        match (topics.last(), *again) {
            (Some(last), _) => *after = Some(last.clone()),
            (None, true) => *self = Self::Running { after: None, again: false },
            (None, false) => *self = Self::Idle,
        }
        topics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a pass visits of the topics 0 to 9, three a step. Another pass is requested after so many steps.
    fn visited(request_after: Option<usize>) -> Vec<usize> {
        let topics: Vec<Topic> = (0..10).map(|n| Topic::parse(&n.to_string()).unwrap()).collect();
        let (mut pass, mut visited) = (Pass::default(), Vec::new());
        pass.start();
        for step in 0.. {
            if request_after == Some(step) {
                pass.start();
            }
            let after = |topic: &&Topic, last: Option<&Topic>| last.is_none_or(|last| *topic > last);
            let list = |last: Option<&Topic>, limit| {
                topics.iter().filter(|topic| after(topic, last)).take(limit).cloned().collect()
            };
            visited.extend(pass.step(3, list).iter().map(|topic| topic.key().parse::<usize>().unwrap()));
            if !pass.is_running() {
                break;
            }
        }
        visited
    }

    #[test]
    fn a_pass_visits_each_topic_and_starts_again_on_request() {
        let once: Vec<usize> = (0..10).collect();
        assert_eq!(visited(None), once);
        assert_eq!(visited(Some(2)), [&once[..], &once[..]].concat());
    }

    #[test]
    fn a_pass_waits_while_there_is_no_room() {
        let mut pass = Pass::default();
        pass.start();
        assert!(pass.step(0, |_, _| panic!("nothing is listed")).is_empty() && pass.is_running());
    }
}
