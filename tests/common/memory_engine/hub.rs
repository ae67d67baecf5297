//! What happens in the hub, and when: calls that are on their way from a node, answers and messages that are on their way
//! to one, and who is subscribed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use handclasp::cluster::engine::{DirectoryPart, NodeId, Reach};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::rng::Rng;
use super::Knobs;
use super::directory::Directory;

/// How much later than its own node the others reach a subscription, at most, with several servers.
const INTEREST_DELAY: Duration = Duration::from_millis(15);

/// One of so many parts of the directory is empty.
const EMPTY_PARTS: u64 = 8;

/// The number of one connection of a node.
pub type LinkId = u64;

pub type Fault = Box<dyn FnOnce() + Send>;

pub type Effect = Box<dyn FnOnce(&mut Hub) + Send>;

/// What keeps its order. With reordering, nothing else does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// All of a node, without reordering.
    Node,
    Link,
    Name(String),
    Scan,
    Lease,
    Subscription(String),
    Topic(String),
    Inbox(NodeId),
    /// What a sender has sent to the node on one channel.
    Arrivals(NodeId, Box<Lane>),
}

/// Something on its way from or to a node.
struct Event {
    node: NodeId,
    link: LinkId,
    what: What,
}

enum What {
    /// A call reaches the hub.
    Call(Effect),
    /// An answer reaches the node.
    Answer(Box<dyn FnOnce() + Send>),
    /// A message reaches the node.
    Message(Bytes),
    /// The connection breaks.
    Break(&'static str),
}

struct Link {
    node: NodeId,
    works: bool,
    /// Messages that have arrived, and that the node has not been given yet.
    arrived: Vec<Bytes>,
    lost: Option<String>,
    wakes: Arc<Notify>,
}

struct Subscription {
    node: NodeId,
    confirmed: Instant,
    /// When each other node reaches it.
    reached: HashMap<NodeId, Instant>,
}

/// What a node's driver does next.
pub struct Step {
    pub messages: Vec<Bytes>,
    pub lost: Option<String>,
    /// When the next event is due.
    pub due: Option<Instant>,
}

pub struct Hub {
    pub knobs: Knobs,
    pub directory: Directory,
    /// The time of the event that takes place.
    pub now: Instant,
    rng: Rng,
    events: BTreeMap<(Instant, u64), Event>,
    /// When the last event of each lane is due.
    lanes: HashMap<(NodeId, Lane), Instant>,
    links: BTreeMap<LinkId, Link>,
    topics: BTreeMap<String, BTreeMap<LinkId, Subscription>>,
    inboxes: BTreeMap<NodeId, (LinkId, Subscription)>,
    frozen: BTreeMap<NodeId, Vec<Event>>,
    losing: HashSet<LinkId>,
    refused: HashSet<NodeId>,
    hangs: bool,
    /// Whether the servers elect a leader.
    pub elects: bool,
    /// What the thread of a node does at its next call in a lane.
    pub faults: HashMap<(NodeId, Lane), Fault>,
    /// The last number given to a link or an event.
    last: u64,
}

impl Hub {
    pub fn new(knobs: Knobs) -> Self {
        Self {
            rng: Rng(knobs.seed),
            knobs,
            directory: Directory::default(),
            now: Instant::now(),
            events: BTreeMap::new(),
            lanes: HashMap::new(),
            links: BTreeMap::new(),
            topics: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            frozen: BTreeMap::new(),
            losing: HashSet::new(),
            refused: HashSet::new(),
            hangs: false,
            elects: false,
            faults: HashMap::new(),
            last: 0,
        }
    }

    /// A new link of `node`, which does not work before the hub has accepted it.
    pub fn open(&mut self, node: &NodeId) -> (LinkId, Arc<Notify>) {
        self.last += 1;
        let wakes = Arc::new(Notify::new());
        let link =
            Link { node: node.clone(), works: false, arrived: Vec::new(), lost: None, wakes: Arc::clone(&wakes) };
        self.links.insert(self.last, link);
        (self.last, wakes)
    }

    /// Accepts a link, unless it is refused or closed.
    pub fn accept(&mut self, id: LinkId) -> bool {
        let Some(link) = self.links.get_mut(&id).filter(|link| !self.refused.contains(&link.node)) else {
            return false;
        };
        link.works = true;
        let node = link.node.clone();
        let subscription = self.subscription(&node);
        self.inboxes.insert(node, (id, subscription));
        true
    }

    pub fn works(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|link| link.works)
    }

    pub fn is_open(&self, id: LinkId) -> bool {
        self.links.contains_key(&id)
    }

    /// Ends a link. Its node is told nothing more.
    pub fn close(&mut self, id: LinkId) {
        self.forget_subscriptions(id);
        self.links.remove(&id);
        self.wake_all();
    }

    /// Sends a call of a node on its way. It arrives after those of the same lanes.
    pub fn call(&mut self, link: LinkId, lanes: Vec<Lane>, effect: Effect) {
        let Some(node) = self.links.get(&link).map(|link| link.node.clone()) else { return };
        let now = Instant::now();
        let lanes = if self.knobs.reorders { lanes } else { vec![Lane::Node] };
        let due = self.due(&node, now, lanes);
        self.push(due, Event { node, link, what: What::Call(effect) });
        self.run(now);
        self.wake_all();
    }

    /// Sends an answer on its way to a node, unless the link does not work any more.
    pub fn answer(&mut self, link: LinkId, answer: Box<dyn FnOnce() + Send>) {
        let link_that_works = self.links.get(&link).filter(|link| link.works);
        let Some(node) = link_that_works.map(|link| link.node.clone()) else { return };
        let lanes =
            if self.knobs.reorders { Vec::new() } else { vec![Lane::Arrivals(node.clone(), Box::new(Lane::Node))] };
        let due = self.due(&node, self.now, lanes);
        self.push(due, Event { node, link, what: What::Answer(answer) });
    }

    /// Sends a message on its way to the inbox of `to`.
    pub fn send(&mut self, from: &NodeId, to: &NodeId, message: Bytes) -> Reach {
        let Some((link, mut subscription)) = self.inboxes.remove(to) else { return Reach::Nobody };
        let reached = self.reaches(from, &mut subscription);
        self.inboxes.insert(to.clone(), (link, subscription));
        if !reached {
            return Reach::Nobody;
        }
        self.transmit(from, to.clone(), link, Lane::Inbox(to.clone()), message);
        Reach::Accepted
    }

    /// Sends a message on its way to all that are subscribed to `topic`.
    pub fn publish(&mut self, from: &NodeId, topic: &str, message: &Bytes) {
        let Some(mut subscriptions) = self.topics.remove(topic) else { return };
        for (link, subscription) in &mut subscriptions {
            if self.reaches(from, subscription) {
                let lane = Lane::Topic(topic.to_owned());
                self.transmit(from, subscription.node.clone(), *link, lane, message.clone());
            }
        }
        self.topics.insert(topic.to_owned(), subscriptions);
    }

    /// A part of the directory. Some are empty, as with Redis.
    pub fn scan(&mut self, cursor: u64) -> DirectoryPart {
        match self.rng.below(EMPTY_PARTS) {
            0 => DirectoryPart { entries: Vec::new(), next: cursor.max(1) },
            _ => self.directory.scan(cursor, self.knobs.part),
        }
    }

    pub fn subscribe(&mut self, link: LinkId, node: &NodeId, topic: &str) {
        if self.works(link) {
            let subscription = self.subscription(node);
            self.topics.entry(topic.to_owned()).or_default().entry(link).or_insert(subscription);
        }
    }

    pub fn unsubscribe(&mut self, link: LinkId, topic: &str) {
        let Some(subscriptions) = self.topics.get_mut(topic) else { return };
        subscriptions.remove(&link);
        if subscriptions.is_empty() {
            self.topics.remove(topic);
        }
    }

    pub fn subscriptions(&self) -> BTreeMap<String, BTreeSet<NodeId>> {
        let topics = self.topics.iter();
        topics.map(|(topic, all)| (topic.clone(), all.values().map(|one| one.node.clone()).collect())).collect()
    }

    /// Lets everything take place that is due, and returns what the driver of `link` has to do. `None` if it is closed.
    pub fn step(&mut self, link: LinkId) -> Option<Step> {
        self.run(Instant::now());
        let due = if self.hangs { None } else { self.events.keys().next().map(|(due, _)| *due) };
        let link = self.links.get_mut(&link)?;
        if self.frozen.contains_key(&link.node) {
            return Some(Step { messages: Vec::new(), lost: None, due });
        }
        Some(Step { messages: std::mem::take(&mut link.arrived), lost: link.lost.take(), due })
    }

    pub fn freeze(&mut self, node: &str) {
        self.frozen.entry(node.into()).or_default();
    }

    pub fn thaw(&mut self, node: &str) {
        let now = Instant::now();
        for event in self.frozen.remove(node).into_iter().flatten() {
            self.push(now, event);
        }
        self.wake_all();
    }

    pub fn hang(&mut self, hangs: bool) {
        self.hangs = hangs;
        self.now = Instant::now();
        self.wake_all();
    }

    pub fn lose(&mut self, node: &str, time: Duration) {
        for link in self.links_of(node) {
            self.losing.insert(link);
            let event = Event { node: node.into(), link, what: What::Break("messages were lost") };
            self.push(Instant::now() + time, event);
        }
        self.wake_all();
    }

    pub fn unlink(&mut self, node: &str, why: &'static str) {
        for link in self.links_of(node) {
            self.break_link(link, why);
        }
    }

    pub fn refuse(&mut self, node: &str, refuses: bool) {
        if refuses {
            self.refused.insert(node.into())
        } else {
            self.refused.remove(node)
        };
    }

    pub fn restart_empty(&mut self) {
        self.directory.lose();
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.break_link(link, "the engine was restarted");
        }
        self.events.clear();
        self.frozen.values_mut().for_each(Vec::clear);
    }

    fn links_of(&self, node: &str) -> Vec<LinkId> {
        self.links.iter().filter(|(_, link)| link.node == node).map(|(id, _)| *id).collect()
    }

    /// Breaks a connection. Of the calls on their way, the later ones are lost.
    fn break_link(&mut self, id: LinkId, why: &'static str) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.works = false;
        link.lost = Some(why.to_owned());
        self.losing.remove(&id);
        self.forget_subscriptions(id);
        let cut = Instant::now() + self.delay();
        self.events.retain(|(due, _), event| event.link != id || matches!(event.what, What::Call(_)) && *due <= cut);
        for held in self.frozen.values_mut() {
            held.retain(|event| event.link != id);
        }
        self.wake_all();
    }

    fn forget_subscriptions(&mut self, id: LinkId) {
        self.inboxes.retain(|_, (link, _)| *link != id);
        self.topics.retain(|_, subscriptions| {
            subscriptions.remove(&id);
            !subscriptions.is_empty()
        });
    }

    fn subscription(&self, node: &NodeId) -> Subscription {
        Subscription { node: node.clone(), confirmed: self.now + *self.knobs.delay.end(), reached: HashMap::new() }
    }

    /// Whether what `from` sends reaches a subscription already.
    fn reaches(&mut self, from: &NodeId, subscription: &mut Subscription) -> bool {
        if !self.knobs.has_several_servers || *from == subscription.node {
            return true;
        }
        let later = Duration::from_micros(self.rng.below(INTEREST_DELAY.as_micros() as u64 + 1));
        *subscription.reached.entry(from.clone()).or_insert(subscription.confirmed + later) <= self.now
    }

    fn transmit(&mut self, from: &NodeId, to: NodeId, link: LinkId, lane: Lane, message: Bytes) {
        let lane = if self.knobs.reorders { lane } else { Lane::Node };
        let from = if self.knobs.reorders { from } else { &to };
        let due = self.due(&to, self.now, vec![Lane::Arrivals(from.clone(), Box::new(lane))]);
        self.push(due, Event { node: to, link, what: What::Message(message) });
    }

    /// When something that is sent at `start` arrives.
    fn due(&mut self, node: &NodeId, start: Instant, lanes: Vec<Lane>) -> Instant {
        let delayed = start + self.delay();
        let lanes: Vec<_> = lanes.into_iter().map(|lane| (node.clone(), lane)).collect();
        let earlier = lanes.iter().filter_map(|lane| self.lanes.get(lane)).max();
        let due = earlier.map_or(delayed, |earlier| delayed.max(*earlier));
        self.lanes.extend(lanes.into_iter().map(|lane| (lane, due)));
        due
    }

    fn delay(&mut self) -> Duration {
        let (least, most) = (*self.knobs.delay.start(), *self.knobs.delay.end());
        least + Duration::from_micros(self.rng.below((most - least).as_micros() as u64 + 1))
    }

    fn push(&mut self, due: Instant, event: Event) {
        self.last += 1;
        self.events.insert((due, self.last), event);
    }

    /// Lets everything take place that is due.
    fn run(&mut self, now: Instant) {
        while !self.hangs
            && let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= now)
        {
            let ((due, _), event) = entry.remove_entry();
            self.now = self.now.max(due);
            match self.frozen.get_mut(&event.node) {
                Some(held) => held.push(event),
                None => self.happen(event),
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event.what {
            What::Call(effect) => effect(self),
            What::Answer(answer) => answer(),
            What::Break(why) => self.break_link(event.link, why),
            What::Message(message) => {
                if let Some(link) = self.links.get_mut(&event.link).filter(|_| !self.losing.contains(&event.link)) {
                    link.arrived.push(message);
                    link.wakes.notify_one();
                }
            }
        }
    }

    fn wake_all(&self) {
        self.links.values().for_each(|link| link.wakes.notify_one());
    }
}
