//! What the clients of one run did and saw, in one order, and what of it breaks a guarantee.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::connections::connection::MemberId;
use crate::message::{DeliveryStatus, JoinId};
use crate::topic::Topic;

/// The number of an entry. Later entries have greater numbers.
pub(super) type Moment = u64;

/// A join of a topic: a room, or a name that the client wants to own.
pub(super) struct Join {
    pub(super) node: usize,
    pub(super) topic: Topic,
    pub(super) subscribed: Option<Moment>,
    /// When the client began to leave, or the connection to end.
    pub(super) left: Option<Moment>,
    /// When the client read that the join was refused, or that it has lost the name.
    ended: Option<Moment>,
    has_presence: bool,
}

impl Join {
    pub(super) fn is_open(&self) -> bool {
        self.left.is_none() && self.ended.is_none()
    }

    pub(super) fn is_member(&self) -> bool {
        self.is_open() && self.subscribed.is_some()
    }

    pub(super) fn has_presence(&self) -> bool {
        self.has_presence
    }

    /// Whether it was a member from one moment to another.
    fn was_member(&self, from: Moment, to: Moment) -> bool {
        let is_later = |end: Option<Moment>| end.is_none_or(|end| end > to);
        self.subscribed.is_some_and(|since| since < from) && is_later(self.left) && is_later(self.ended)
    }
}

/// A signal to a name, or a message to a room.
struct Sent {
    from: MemberId,
    node: usize,
    to: Topic,
    sent: Moment,
    at: Instant,
    verdicts: Vec<(Moment, DeliveryStatus)>,
    receipts: Vec<MemberId>,
}

/// A watch of a name.
#[derive(Default)]
struct Watch {
    told: Option<bool>,
    ended: bool,
}

/// The record of one run.
pub(super) struct Record {
    start: Instant,
    now: Moment,
    joins: BTreeMap<MemberId, Join>,
    sent: Vec<Sent>,
    /// Each message that was received, and by whom, in order.
    arrivals: Vec<(usize, MemberId)>,
    watches: BTreeMap<(Topic, MemberId), Watch>,
    /// When the first fault began.
    first_fault: Option<Instant>,
    /// Whether the engine has lost its data, or was away so long that names were granted without it.
    pub(super) may_have_two_owners: bool,
    faults: Vec<String>,
    /// All that happened, for the report.
    pub(super) trace: Vec<String>,
}

impl Record {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            now: 0,
            joins: BTreeMap::new(),
            sent: Vec::new(),
            arrivals: Vec::new(),
            watches: BTreeMap::new(),
            first_fault: None,
            may_have_two_owners: false,
            faults: Vec::new(),
            trace: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, what: String) -> Moment {
        self.now += 1;
        self.trace.push(format!("{:>6} ms  {what}", self.start.elapsed().as_millis()));
        self.now
    }

    pub(super) fn fault_begins(&mut self) {
        self.first_fault.get_or_insert_with(Instant::now);
    }

    pub(super) fn join(&mut self, member: MemberId, node: usize, topic: &Topic, has_presence: bool) {
        self.note(format!("{} joins {topic:?} on node {node}", show(member)));
        let join = Join { node, topic: topic.clone(), subscribed: None, left: None, ended: None, has_presence };
        self.joins.insert(member, join);
    }

    pub(super) fn subscribed(&mut self, member: MemberId) {
        let now = self.note(format!("{} has joined", show(member)));
        let join = self.joins.get_mut(&member).unwrap();
        if join.subscribed.replace(now).is_some() || join.ended.is_some() {
            self.faults.push(format!("{} is confirmed after an earlier answer", show(member)));
        }
    }

    pub(super) fn refused(&mut self, member: MemberId, why: &str) {
        let now = self.note(format!("{} is refused: {why}", show(member)));
        let join = self.joins.get_mut(&member).unwrap();
        if join.ended.replace(now).is_some() || join.subscribed.is_some() {
            self.faults.push(format!("{} is refused after an earlier answer", show(member)));
        }
    }

    pub(super) fn evicted(&mut self, member: MemberId) {
        let now = self.note(format!("{} is evicted", show(member)));
        self.joins.get_mut(&member).unwrap().ended.get_or_insert(now);
    }

    pub(super) fn leave(&mut self, member: MemberId) {
        let now = self.note(format!("{} leaves", show(member)));
        self.joins.get_mut(&member).unwrap().left.get_or_insert(now);
    }

    /// The join of the connection to the topic, unless it has ended.
    pub(super) fn open_join(&self, connection: u64, topic: &Topic) -> Option<JoinId> {
        let mut joins = self.joins.iter().rev();
        let open = joins.find(|(member, join)| member.connection.0 == connection && join.topic == *topic)?;
        open.1.is_open().then_some(open.0.join)
    }

    /// The connection ends, with all that it has.
    pub(super) fn close(&mut self, connection: u64) {
        let now = self.note(format!("{connection} disconnects"));
        for (_, join) in self.joins.iter_mut().filter(|(member, _)| member.connection.0 == connection) {
            join.left.get_or_insert(now);
        }
        for (_, watch) in self.watches.iter_mut().filter(|((_, member), _)| member.connection.0 == connection) {
            watch.ended = true;
        }
    }

    /// Records a message that is about to be sent. Returns its number.
    pub(super) fn send(&mut self, from: MemberId, node: usize, to: &Topic) -> usize {
        let number = self.sent.len();
        let sent = self.note(format!("{} on node {node} sends {number} to {to:?}", show(from)));
        let (verdicts, receipts) = (Vec::new(), Vec::new());
        self.sent.push(Sent { from, node, to: to.clone(), sent, at: Instant::now(), verdicts, receipts });
        number
    }

    pub(super) fn verdict(&mut self, number: usize, status: DeliveryStatus) {
        let now = self.note(format!("{number}: {status:?}"));
        self.sent[number].verdicts.push((now, status));
    }

    pub(super) fn receive(&mut self, member: MemberId, topic: &Topic, number: usize) {
        self.note(format!("{} receives {number}", show(member)));
        let (join, sent) = (&self.joins[&member], &mut self.sent[number]);
        if join.topic != sent.to || *topic != sent.to {
            self.faults.push(format!("{number} was sent to {:?}, and is received on {:?}", sent.to, join.topic));
        }
        if join.subscribed.is_none() || join.ended.is_some() {
            self.faults.push(format!("{} is no member, and receives {number}", show(member)));
        }
        sent.receipts.push(member);
        self.arrivals.push((number, member));
    }

    pub(super) fn watch(&mut self, topic: &Topic, member: MemberId) {
        self.note(format!("{} watches {topic:?}", show(member)));
        self.watches.insert((topic.clone(), member), Watch::default());
    }

    pub(super) fn unwatch(&mut self, topic: &Topic, member: MemberId) {
        self.note(format!("{} unwatches {topic:?}", show(member)));
        self.watches.get_mut(&(topic.clone(), member)).unwrap().ended = true;
    }

    pub(super) fn told(&mut self, topic: &Topic, member: MemberId, online: bool) {
        self.note(format!("{} is told {topic:?}: {online}", show(member)));
        self.watches.get_mut(&(topic.clone(), member)).unwrap().told = Some(online);
    }

    /// The joins that have not ended.
    pub(super) fn open_joins(&self) -> impl Iterator<Item = (MemberId, &Join)> {
        self.joins.iter().filter(|(_, join)| join.is_open()).map(|(member, join)| (*member, join))
    }

    /// The names that are watched, and by whom.
    pub(super) fn open_watches(&self) -> impl Iterator<Item = (&Topic, MemberId, Option<bool>)> {
        let open = self.watches.iter().filter(|(_, watch)| !watch.ended);
        open.map(|((topic, member), watch)| (topic, *member, watch.told))
    }

    /// The first signal that has no verdict. The verdict on the signal of a connection that has ended is lost.
    pub(super) fn unanswered(&self, is_alive: impl Fn(MemberId) -> bool) -> Option<usize> {
        let is_open = |sent: &Sent| is_name(&sent.to) && sent.verdicts.is_empty() && is_alive(sent.from);
        self.sent.iter().position(is_open)
    }

    /// What breaks a guarantee.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = self.faults.clone();
        for (number, sent) in self.sent.iter().enumerate() {
            let what = if is_name(&sent.to) { self.fault_of_signal(sent) } else { self.fault_of_message(sent) };
            faults.extend(what.map(|what| format!("{number}: {what}")));
        }
        faults.extend(self.disorder());
        faults.extend(self.two_owners());
        faults
    }

    fn fault_of_signal(&self, sent: &Sent) -> Option<String> {
        let &[(at, status)] = &sent.verdicts[..] else {
            return (sent.verdicts.len() > 1).then(|| format!("several verdicts: {:?}", sent.verdicts));
        };
        if sent.receipts.len() > 1 {
            return Some(format!("received by {:?}", sent.receipts));
        }
        match status {
            DeliveryStatus::Delivered if sent.receipts.is_empty() => Some("delivered to nobody".to_owned()),
            DeliveryStatus::Absent if !sent.receipts.is_empty() => Some("absent, but received".to_owned()),
            DeliveryStatus::Absent if self.is_calm(sent) => {
                let mut owners = self.joins.iter().filter(|(_, join)| join.topic == sent.to);
                let owner = owners.find(|(_, join)| join.was_member(sent.sent, at))?;
                Some(format!("absent, although {} owned the name all the time", show(*owner.0)))
            }
            DeliveryStatus::Overloaded => Some("overloaded".to_owned()),
            DeliveryStatus::Unreachable if self.is_calm(sent) => Some("unreachable without a fault".to_owned()),
            _ => None,
        }
    }

    fn fault_of_message(&self, sent: &Sent) -> Option<String> {
        let mut receipts = sent.receipts.clone();
        receipts.sort_unstable();
        if receipts.windows(2).any(|two| two[0] == two[1]) {
            return Some(format!("received twice: {:?}", sent.receipts));
        }
        let must_receive = |join: &Join| join.topic == sent.to && join.was_member(sent.sent, Moment::MAX);
        let mut missing = self.joins.iter().filter(|(member, join)| must_receive(join) && !receipts.contains(member));
        let missing = missing.next().filter(|_| self.is_calm(sent))?;
        Some(format!("not received by {}", show(*missing.0)))
    }

    /// Whether no fault can have hit a message.
    fn is_calm(&self, sent: &Sent) -> bool {
        self.first_fault.is_none_or(|fault| sent.at + super::CALM < fault)
    }

    /// Messages that have overtaken others from the same sender to the same member.
    fn disorder(&self) -> Vec<String> {
        let mut last: BTreeMap<(MemberId, MemberId), usize> = BTreeMap::new();
        let mut faults = Vec::new();
        for (number, member) in self.arrivals.iter().copied() {
            let sent = &self.sent[number];
            let later = last.entry((sent.from, member)).or_insert(number);
            // a signal that is under way while its receiver moves may come after a later one
            let is_settled = self.joins[&member].subscribed.is_some_and(|since| since < sent.sent);
            if *later > number && is_settled {
                faults.push(format!("{} receives {number} after {later}", show(member)));
            }
            *later = number.max(*later);
        }
        faults
    }

    /// Owners that receive a signal of another node after a later owner of the name did.
    fn two_owners(&self) -> Vec<String> {
        if self.may_have_two_owners {
            return Vec::new();
        }
        let mut owners: BTreeMap<&Topic, Vec<MemberId>> = BTreeMap::new();
        let mut faults = Vec::new();
        for (number, member) in self.arrivals.iter().copied() {
            let (join, sent) = (&self.joins[&member], &self.sent[number]);
            if !is_name(&sent.to) || join.node == sent.node {
                continue;
            }
            let owners = owners.entry(&sent.to).or_default();
            match owners.iter().position(|owner| *owner == member) {
                Some(place) if place + 1 < owners.len() => {
                    faults.push(format!("{} receives {number} after {:?}", show(member), owners.last()));
                }
                Some(_) => {}
                None => owners.push(member),
            }
        }
        faults
    }
}

pub(super) fn is_name(topic: &Topic) -> bool {
    topic.key().starts_with("peer:")
}

/// The connection and the join.
pub(super) fn show(member: MemberId) -> String {
    format!("{}.{}", member.connection.0, member.join.0)
}
