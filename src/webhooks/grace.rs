//! The grace period: what is told when, given what has happened. It has no clock of its own, and sends nothing.
//!
//! A peer or a room that is gone is told only when it has not come back in time. The order of what happened decides, by
//! the times at which it happened, so it does not matter how late the thread looks.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use compact_str::CompactString;

use crate::topic::Topic;

/// After events were lost, the receiver reads the state of the node. It sees a peer within its grace period as absent, and
/// would never hear of its return. So for this long, returns are told.
const SETTLING: Duration = Duration::from_secs(60);

/// What may come and go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// The owner of a name.
    Peer(Topic),
    /// The members of a topic.
    Room(Topic),
}

/// What has happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is there, with the subject of its client's token.
    Up(Option<CompactString>),
    /// It is gone, for this reason.
    Down(Gone),
}

/// Something that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) reason: &'static str,
    pub(super) subject: Option<CompactString>,
}

/// A change that is told now, with the time at which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) at: Instant,
    pub(super) subject: Subject,
    pub(super) change: Change,
}

/// Everything that is gone and not told yet.
pub(super) struct Grace {
    period: Duration,
    gone: HashMap<Subject, (Ticket, Gone)>,
    /// When each of them is told. Times may be equal, so they are numbered.
    due: BTreeMap<Ticket, (Instant, Subject)>,
    last_number: u64,
    /// Until when returns are told.
    settled: Option<Instant>,
}

/// When something is told, and a number.
type Ticket = (Instant, u64);

impl Grace {
    pub(super) fn new(period: Duration) -> Self {
        Self { period, gone: HashMap::new(), due: BTreeMap::new(), last_number: 0, settled: None }
    }

    /// How many wait for the end of their grace period.
    pub(super) fn len(&self) -> usize {
        self.gone.len()
    }

    /// When the next grace period ends.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(due, _)| *due)
    }

    /// Something has happened, not before what was applied last. Adds to `told` what is told because of it.
    pub(super) fn apply(&mut self, at: Instant, subject: Subject, change: Change, told: &mut Vec<Told>) {
        self.expire(at, told);
        let before = self.take(&subject);
        match change {
            Change::Up(client) => match before {
                Some((_, gone)) if gone.subject == client && self.settled.is_none_or(|until| at >= until) => {}
                // another client, or a receiver that has read the state meanwhile
                Some((since, gone)) => {
                    told.push(Told { at: since, subject: subject.clone(), change: Change::Down(gone) });
                    told.push(Told { at, subject, change: Change::Up(client) });
                }
                None => told.push(Told { at, subject, change: Change::Up(client) }),
            },
            Change::Down(gone) if self.period.is_zero() => told.push(Told { at, subject, change: Change::Down(gone) }),
            Change::Down(gone) => {
                self.last_number += 1;
                let ticket = (at + self.period, self.last_number);
                self.due.insert(ticket, (at, subject.clone()));
                self.gone.insert(subject, (ticket, gone));
            }
        }
    }

    /// Adds to `told` what is gone for good at `now`.
    pub(super) fn expire(&mut self, now: Instant, told: &mut Vec<Told>) {
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let (at, subject) = entry.remove();
            if let Some((_, gone)) = self.gone.remove(&subject) {
                told.push(Told { at, subject, change: Change::Down(gone) });
            }
        }
    }

    /// Forgets everything, because events were lost. What comes back is not known to be back.
    pub(super) fn forget(&mut self, now: Instant) {
        self.gone.clear();
        self.due.clear();
        self.settle(now);
    }

    /// The receiver learns now that events were lost.
    pub(super) fn settle(&mut self, now: Instant) {
        self.settled = Some(now + SETTLING);
    }

    fn take(&mut self, subject: &Subject) -> Option<(Instant, Gone)> {
        let (ticket, gone) = self.gone.remove(subject)?;
        let (since, _) = self.due.remove(&ticket)?;
        Some((since, gone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(5);

    fn peer(name: &str) -> Subject {
        Subject::Peer(Topic::parse(name).unwrap())
    }

    fn up() -> Change {
        Change::Up(None)
    }

    fn down() -> Change {
        Change::Down(Gone { reason: "gone", subject: None })
    }

    /// Applies the changes, each at its number of seconds, and returns what is told until the end, and when it happened.
    fn told(grace: &mut Grace, start: Instant, changes: &[(u64, Change)], end: u64) -> Vec<(u64, bool)> {
        let mut told = Vec::new();
        for (at, change) in changes {
            grace.apply(start + Duration::from_secs(*at), peer("peer:a"), change.clone(), &mut told);
        }
        grace.expire(start + Duration::from_secs(end), &mut told);
        told.iter().map(|told| ((told.at - start).as_secs(), matches!(told.change, Change::Up(_)))).collect()
    }

    #[test]
    fn a_return_in_time_is_not_told() {
        let (mut grace, start) = (Grace::new(PERIOD), Instant::now());
        assert_eq!(
            told(&mut grace, start, &[(0, up()), (1, down()), (5, up()), (6, down()), (10, up())], 99),
            [(0, true)]
        );
        assert_eq!((grace.len(), grace.next()), (0, None));
    }

    #[test]
    fn a_return_too_late_is_told_however_late_the_thread_looks() {
        let (mut grace, start) = (Grace::new(PERIOD), Instant::now());
        let changes = [(0, up()), (1, down()), (6, up()), (7, down())];
        assert_eq!(told(&mut grace, start, &changes, 11), [(0, true), (1, false), (6, true)]);
        assert_eq!((grace.len(), grace.next()), (1, Some(start + Duration::from_secs(12))));
        assert_eq!(told(&mut grace, start, &[], 12), [(7, false)]);
        assert_eq!((grace.len(), grace.next()), (0, None));
    }

    #[test]
    fn without_a_grace_period_each_change_is_told() {
        let (mut grace, start) = (Grace::new(Duration::ZERO), Instant::now());
        let changes = [(0, up()), (1, down()), (1, up()), (2, down())];
        assert_eq!(told(&mut grace, start, &changes, 2), [(0, true), (1, false), (1, true), (2, false)]);
    }

    /// The receiver knows the name with the subject of the former owner.
    #[test]
    fn another_client_with_the_same_name_is_another_peer() {
        let (mut grace, start) = (Grace::new(PERIOD), Instant::now());
        let of = |subject: &str| Some(CompactString::new(subject));
        let changes = [
            (0, Change::Up(of("ann"))),
            (1, Change::Down(Gone { reason: "gone", subject: of("ann") })),
            (2, Change::Up(of("bob"))),
        ];
        assert_eq!(told(&mut grace, start, &changes, 99), [(0, true), (1, false), (2, true)]);
    }

    #[test]
    fn a_room_and_a_peer_of_one_topic_are_two_things() {
        let (mut grace, start, mut told) = (Grace::new(PERIOD), Instant::now(), Vec::new());
        let topic = Topic::parse("peer:a").unwrap();
        grace.apply(start, Subject::Peer(topic.clone()), down(), &mut told);
        grace.apply(start, Subject::Room(topic.clone()), up(), &mut told);
        assert_eq!(told, [Told { at: start, subject: Subject::Room(topic), change: up() }]);
        assert_eq!(grace.len(), 1);
    }

    /// A receiver that reads the state within the grace period finds the peer absent.
    #[test]
    fn returns_are_told_for_a_while_after_a_loss() {
        let (mut grace, start) = (Grace::new(PERIOD), Instant::now());
        assert_eq!(told(&mut grace, start, &[(0, up()), (1, down())], 1), [(0, true)]);
        grace.forget(start + Duration::from_secs(1));
        assert_eq!(
            told(&mut grace, start, &[(2, up()), (3, down()), (4, up())], 59),
            [(2, true), (3, false), (4, true)]
        );
        assert_eq!(told(&mut grace, start, &[(60, down()), (61, up()), (62, down())], 99), [(62, false)]);
    }
}
