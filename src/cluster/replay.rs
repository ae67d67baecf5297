//! [`ReplayWindows`]: which messages of other nodes have arrived, so that none is accepted twice.

use std::collections::HashMap;

use lru::LruCache;

use crate::broker::adapter::NodeId;

/// How far behind the highest number of its node a message may be.
pub(super) const WINDOW: u64 = 1_024;

/// The number of dead nodes whose windows are kept.
const RETIRED_NODES: usize = 4_096;

/// The numbers of one node's messages that have arrived, as in RFC 6479: a ring of bits for the highest number and at
/// least [`WINDOW`] numbers before it.
#[derive(Debug, Default)]
pub(super) struct Window {
    highest: u64,
    /// The bit of `number` is the `number % 64`th of the word `number / 64 % WORDS`.
    seen: [u64; Self::WORDS as usize],
}

impl Window {
    const WORDS: u64 = WINDOW / 64 + 1;

    /// Whether it is the first time that the number arrives. A number too far behind may have arrived before.
    pub(super) fn accept(&mut self, number: u64) -> bool {
        if number > self.highest {
            let word = self.highest / 64;
            let skipped = (number / 64 - word).min(Self::WORDS);
            (1..=skipped).for_each(|n| *self.word(word + n) = 0);
            self.highest = number;
        } else if self.highest - number >= WINDOW {
            return false;
        }
        let bit = 1 << (number % 64);
        let word = self.word(number / 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    fn word(&mut self, n: u64) -> &mut u64 {
        &mut self.seen[(n % Self::WORDS) as usize]
    }
}

/// The windows of the live nodes, and of the nodes that died last: a dead node's messages are refused, but it may turn
/// out to be alive.
pub(super) struct ReplayWindows {
    live: HashMap<NodeId, Window>,
    retired: LruCache<NodeId, Window>,
}

impl ReplayWindows {
    pub(super) fn new() -> Self {
        Self { live: HashMap::new(), retired: LruCache::unbounded() }
    }

    pub(super) fn admit(&mut self, node: &str) {
        if !self.live.contains_key(node) {
            let window = self.retired.pop(node).unwrap_or_default();
            self.live.insert(node.into(), window);
        }
    }

    pub(super) fn retire(&mut self, node: &str) {
        if let Some((node, window)) = self.live.remove_entry(node) {
            self.retired.put(node, window);
        }
        if self.retired.len() > RETIRED_NODES {
            self.retired.pop_lru();
        }
    }

    /// The window of a live node.
    pub(super) fn live(&mut self, node: &str) -> Option<&mut Window> {
        self.live.get_mut(node)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_window_accepts_each_number_once_unless_it_is_too_late(
            steps in prop::collection::vec((0..3 * WINDOW, prop::bool::ANY), 1..400),
        ) {
            let (mut window, mut seen, mut highest) = (Window::default(), HashSet::new(), 0_u64);
            for (distance, is_ahead) in steps {
                let distance = if is_ahead { distance / 32 } else { distance };
                let number = if is_ahead { highest + distance } else { highest.saturating_sub(distance) }.max(1);
                let is_late = number + WINDOW <= highest;
                prop_assert_eq!(window.accept(number), !is_late && seen.insert(number), "{} after {}", number, highest);
                highest = highest.max(number);
            }
        }
    }

    #[test]
    fn a_window_reaches_the_last_number() {
        let mut window = Window::default();
        let first = u64::MAX - WINDOW + 1;
        assert!([1, u64::MAX, first].map(|number| window.accept(number)).iter().all(|is_new| *is_new));
        assert!(![1, u64::MAX, first, first - 1].map(|number| window.accept(number)).iter().any(|is_new| *is_new));
    }

    #[test]
    fn the_node_that_was_retired_first_is_forgotten_first() {
        let mut windows = ReplayWindows::new();
        for n in 0..=RETIRED_NODES {
            let node = format!("node.{n}");
            windows.admit(&node);
            assert!(windows.live(&node).unwrap().accept(1));
            windows.retire(&node);
        }
        assert_eq!(windows.retired.len(), RETIRED_NODES);
        windows.admit("node.0");
        windows.admit("node.1");
        assert!(windows.live("node.0").unwrap().accept(1), "forgotten");
        assert!(!windows.live("node.1").unwrap().accept(1), "kept");
    }
}
