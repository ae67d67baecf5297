//! [`Subjects`]: counts the sockets of each subject on this node, and limits them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

/// The SHA-256 of issuer and subject.
pub(super) type Owner = [u8; 32];

/// The number of sockets of each subject that has some.
#[derive(Debug)]
pub(super) struct Subjects {
    most: usize,
    counts: Mutex<HashMap<Owner, usize>>,
}

/// The place of one socket of a subject. Dropping it frees the place.
pub(crate) struct SubjectSlot {
    owner: Owner,
    subjects: Arc<Subjects>,
}

impl Subjects {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, counts: Mutex::default() })
    }

    /// Counts one more socket of a subject, unless it has the maximum number.
    pub(super) fn admit(self: &Arc<Self>, owner: Owner) -> Option<SubjectSlot> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(owner).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(SubjectSlot { owner, subjects: self.clone() })
    }
}

impl Drop for SubjectSlot {
    fn drop(&mut self) {
        let mut counts = self.subjects.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.owner) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl std::fmt::Debug for SubjectSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubjectSlot").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_has_a_limit_of_its_own() {
        let subjects = Subjects::new(2);
        let slots: Vec<_> = (0..2).map(|_| subjects.admit([1; 32]).unwrap()).collect();
        assert!(subjects.admit([1; 32]).is_none() && subjects.admit([2; 32]).is_some());
        drop(slots);
        assert!(subjects.admit([1; 32]).is_some());
        assert!(subjects.counts.lock().unwrap().is_empty());
    }
}
