//! Several nodes over one engine in memory, each with its clients, all on one thread. The nodes are those of the program:
//! registry, adapter and mailboxes. Only the clients' sockets are missing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Arbiter;
use compact_str::format_compact;
use futures_util::StreamExt;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::memory_engine::{Knobs, MemoryHub};
use super::record::{Record, is_name, show};
use super::{Fault, Step};
use crate::broker::adapter::{Epoch, NodeId};
use crate::broker::pubsub::Pubsub;
use crate::broker::registry::command::{Subscribe, Watch};
use crate::close;
use crate::cluster::adapter::Cluster;
use crate::cluster::options::ClusterOptions;
use crate::config::{Config, Isolated};
use crate::connections::connection::{Connection, ConnectionId, Member, MemberId};
use crate::connections::envelope::{Envelope, SocketEvent};
use crate::connections::limits::{ConnectionLimits, QueueLimit, Timeouts};
use crate::connections::mailbox_stream::MailboxStream;
use crate::connections::token_bucket::{Rate, SharedTokenBucket};
use crate::message::{
    Broadcast, JoinId, Membership, NameClaim, OnlineStatus, Payload, PresenceEntry, RequestRef, Signal,
};
use crate::protocol::Delivery;
use crate::topic::{Realm, Topic};

pub(super) const NODES: usize = 3;
pub(super) const CLIENTS: usize = 6;
pub(super) const NAMES: usize = 3;
pub(super) const ROOMS: usize = 2;
/// The name that only one secret can prove.
const SELF_CERTIFYING: usize = 0;
/// The room whose members are listed.
const LISTED: usize = 0;

const LEASE: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the nodes may take to agree once nothing disturbs them.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long they must go on to agree.
const CALM: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(250);

struct Node {
    id: NodeId,
    pubsub: Pubsub,
    /// Its registry reports here that it has died.
    _registry_died: oneshot::Receiver<()>,
}

/// A client of the node `number % NODES`.
struct Client {
    connection: Arc<Connection>,
    last_join: u32,
    watches: BTreeMap<Topic, JoinId>,
}

/// The nodes, their clients, and what connects them.
pub(super) struct World {
    hub: MemoryHub,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    record: Rc<RefCell<Record>>,
    /// The nodes that were killed.
    killed: Rc<RefCell<BTreeSet<NodeId>>>,
    lives: u32,
    last_connection: u64,
}

fn name(n: usize) -> Topic {
    Topic::parse(&format!("peer:{n}")).unwrap()
}

fn room(n: usize) -> Topic {
    Topic::parse(&format!("room:{n}")).unwrap()
}

impl World {
    /// Nodes that know each other, and clients without joins.
    pub(super) async fn new(knobs: Knobs) -> Self {
        let mut world = Self {
            hub: MemoryHub::new(knobs),
            nodes: Vec::new(),
            clients: Vec::new(),
            record: Rc::new(RefCell::new(Record::new())),
            killed: Rc::default(),
            lives: 0,
            last_connection: 0,
        };
        for n in 0..NODES {
            let node = world.start_node(n);
            world.nodes.push(node);
        }
        for n in 0..CLIENTS {
            let client = world.connect(n % NODES);
            world.clients.push(client);
        }
        while !world.are_acquainted().await {
            sleep(LOOK_EVERY).await;
        }
        world
    }

    async fn are_acquainted(&self) -> bool {
        for node in &self.nodes {
            if node.pubsub.ready().is_err() || node.pubsub.census().await.nodes.len() < NODES {
                return false;
            }
        }
        true
    }

    fn start_node(&mut self, n: usize) -> Node {
        self.lives += 1;
        let id: NodeId = format_compact!("{}.{}", ["a", "b", "c"][n], self.lives);
        let options = ClusterOptions {
            node: id.clone(),
            secret: b"a secret that all nodes of the test share".to_vec(),
            lease: LEASE,
            timeout: ANSWER_TIMEOUT,
            contest_timeout: Duration::from_secs(1),
            queue_bytes: 16 << 20,
            isolated: Isolated::Proven,
        };
        let (hub, arbiter) = (self.hub.clone(), Arbiter::current());
        let adapter = Cluster::new(options, move || Box::new(hub.engine())).on(arbiter.clone());
        let mut config = Config::default();
        // contests are judged by the real clock: an owner that answers its ping is not pinged again in this run
        config.limits.contest_timeout = Duration::from_secs(3_600);
        let (pubsub, registry_died) = Pubsub::start(&config, Arc::new(adapter), &arbiter).unwrap();
        Node { id, pubsub, _registry_died: registry_died }
    }

    /// A new client of a node.
    fn connect(&mut self, node: usize) -> Client {
        self.last_connection += 1;
        let pubsub = &self.nodes[node].pubsub;
        let time = Duration::MAX;
        let limits = ConnectionLimits {
            timeouts: Timeouts { idle: time, join: time, ping_interval: None },
            queue: QueueLimit { bytes: usize::MAX, age: time },
            clock: pubsub.clock().clone(),
            memory: pubsub.memory().clone(),
        };
        let unused = Arc::new(SharedTokenBucket::full(Rate::per_second(1, 1), pubsub.clock().now()));
        let id = ConnectionId(self.last_connection);
        let connection = Arc::new(Connection::new(id, Ipv4Addr::LOCALHOST.into(), Arc::new(limits), unused));
        let mailbox = MailboxStream::new(connection.clone(), pubsub.shared_metrics(), Realm::Phoenix);
        spawn_local(read(mailbox, connection.clone(), self.record.clone()));
        Client { connection, last_join: 0, watches: BTreeMap::new() }
    }

    pub(super) async fn run(&mut self, step: &Step) {
        match *step {
            Step::Claim { client, name: n, secret } => {
                let is_self_certifying = n == SELF_CERTIFYING;
                let proof = Some([if is_self_certifying { 0 } else { secret }; 32]);
                let claim = Some(NameClaim { proof, is_self_certifying });
                self.join(client, &name(n), Membership { claim, ..Membership::default() });
            }
            Step::Release { client, name: n } => self.leave(client, &name(n)),
            Step::Signal { client, name: n } => self.signal(client, &name(n)),
            Step::Watch { client, name: n } => self.watch(client, &name(n)),
            Step::Unwatch { client, name: n } => self.unwatch(client, &name(n)),
            Step::Join { client, room: n } => {
                let entry = PresenceEntry { key: format_compact!("{client}"), meta: Payload::empty() };
                let is_listed = n == LISTED;
                let membership =
                    Membership { claim: None, subscribe_presence: is_listed, entry: is_listed.then_some(entry) };
                self.join(client, &room(n), membership);
            }
            Step::Leave { client, room: n } => self.leave(client, &room(n)),
            Step::Shout { client, room: n } => self.shout(client, &room(n)),
            Step::Reconnect { client } => {
                self.disconnect(client);
                self.clients[client] = self.connect(client % NODES);
            }
            Step::Fault(fault) => {
                self.record.borrow_mut().note(format!("{fault:?}"));
                self.record.borrow_mut().fault_begins();
                self.cause(fault).await;
            }
        }
    }

    async fn cause(&mut self, fault: Fault) {
        let hub = self.hub.clone();
        match fault {
            Fault::Freeze { node, time } => {
                let id = self.nodes[node].id.clone();
                hub.freeze(&id);
                let killed = self.killed.clone();
                later(time, move || {
                    if !killed.borrow().contains(&id) {
                        hub.thaw(&id);
                    }
                });
            }
            Fault::Lose { node, time } => hub.lose(&self.nodes[node].id, time),
            Fault::Refuse { node, time } => {
                let id = self.nodes[node].id.clone();
                hub.refuse(&id, true);
                hub.unlink(&id);
                later(time, move || hub.refuse(&id, false));
            }
            Fault::Hang { time } => {
                hub.hang(true);
                later(time, move || hub.hang(false));
            }
            Fault::Elect { time } => {
                hub.elect(true);
                later(time, move || hub.elect(false));
            }
            Fault::Empty => {
                self.record.borrow_mut().may_have_two_owners = true;
                hub.restart_empty();
            }
            Fault::Crash { node } => {
                // nothing that the node sends from now on leaves it
                hub.freeze(&self.nodes[node].id);
                self.killed.borrow_mut().insert(self.nodes[node].id.clone());
                self.replace(node, |client, _| {
                    client.connection.close(&close::GONE);
                });
            }
            Fault::Restart { node } => {
                self.nodes[node].pubsub.retire();
                sleep(LOOK_EVERY).await;
                self.replace(node, |client, pubsub| {
                    client.connection.close(&close::GONE);
                    pubsub.down(&client.connection);
                });
            }
        }
    }

    /// Replaces a node, whose clients end in this way and connect to the new one.
    fn replace(&mut self, node: usize, end: impl Fn(&Client, &Pubsub)) {
        let former = self.start_node(node);
        let former = std::mem::replace(&mut self.nodes[node], former);
        for n in (node..CLIENTS).step_by(NODES) {
            self.record.borrow_mut().close(self.clients[n].connection.id.0);
            end(&self.clients[n], &former.pubsub);
            self.clients[n] = self.connect(node);
        }
        // after what its registry has still to do
        spawn_local(async move {
            former.pubsub.stats().await;
            former.pubsub.leave_cluster().await;
        });
    }

    fn disconnect(&mut self, client: usize) {
        let connection = &self.clients[client].connection;
        self.record.borrow_mut().close(connection.id.0);
        connection.close(&close::GONE);
        self.nodes[client % NODES].pubsub.down(connection);
    }

    fn next_join(&mut self, client: usize) -> Member {
        let client = &mut self.clients[client];
        client.last_join += 1;
        Member { join: JoinId(client.last_join), connection: client.connection.clone() }
    }

    fn join(&mut self, client: usize, topic: &Topic, membership: Membership) {
        let Member { join, connection } = self.next_join(client);
        let member = MemberId { connection: connection.id, join };
        let mut record = self.record.borrow_mut();
        let replaces = record.open_join(connection.id.0, topic);
        if let Some(join) = replaces {
            record.leave(MemberId { join, ..member });
        }
        record.join(member, client % NODES, topic, membership.entry.is_some());
        drop(record);
        let pubsub = &self.nodes[client % NODES].pubsub;
        let permit = pubsub.budget().take(0).unwrap();
        pubsub.add_member(Subscribe { connection, join, topic: topic.clone(), membership, replaces }, permit);
    }

    fn leave(&mut self, client: usize, topic: &Topic) {
        let connection = self.clients[client].connection.id;
        let mut record = self.record.borrow_mut();
        if let Some(join) = record.open_join(connection.0, topic) {
            let member = MemberId { connection, join };
            record.leave(member);
            self.nodes[client % NODES].pubsub.unsubscribe(member);
        }
    }

    /// The next message to a topic, with its number.
    fn message(&self, client: usize, topic: &Topic) -> (usize, Arc<Delivery>) {
        let from = MemberId { connection: self.clients[client].connection.id, join: JoinId::SOCKET };
        let number = self.record.borrow_mut().send(from, client % NODES, topic);
        let (event, payload) = (format_compact!("{number}"), Payload::empty());
        let broadcast = Broadcast { topic: topic.clone(), event, payload };
        (number, Arc::new(self.nodes[client % NODES].pubsub.delivery(broadcast)))
    }

    fn signal(&self, client: usize, name: &Topic) {
        let (number, delivery) = self.message(client, name);
        let (connection, pubsub) = (&self.clients[client].connection, &self.nodes[client % NODES].pubsub);
        let event = delivery.broadcast.event.clone();
        let request = RequestRef { topic: name.clone(), join: JoinId::SOCKET, reference: None };
        let signal = Signal { to: name.clone(), event, request, hold: None };
        if let Some((_, status)) = pubsub.signal(signal, &delivery, connection, pubsub.clock().now()) {
            self.record.borrow_mut().verdict(number, status);
        }
    }

    fn shout(&self, client: usize, room: &Topic) {
        let (_, delivery) = self.message(client, room);
        let pubsub = &self.nodes[client % NODES].pubsub;
        pubsub.publish(&delivery, None, pubsub.clock().now());
    }

    fn watch(&mut self, client: usize, name: &Topic) {
        if self.clients[client].watches.contains_key(name) {
            return;
        }
        let member = self.next_join(client);
        self.record.borrow_mut().watch(name, member.id());
        self.clients[client].watches.insert(name.clone(), member.join);
        self.send_watch(client, member, name, true);
    }

    fn unwatch(&mut self, client: usize, name: &Topic) {
        let Some(join) = self.clients[client].watches.remove(name) else { return };
        let member = Member { join, connection: self.clients[client].connection.clone() };
        self.record.borrow_mut().unwatch(name, member.id());
        self.send_watch(client, member, name, false);
    }

    fn send_watch(&self, client: usize, member: Member, name: &Topic, on: bool) {
        let pubsub = &self.nodes[client % NODES].pubsub;
        pubsub.watch(Watch { member, topic: name.clone(), on }, pubsub.budget().take(0).unwrap());
    }

    /// Waits until nothing disturbs the nodes any more, and they agree. Returns what is wrong.
    pub(super) async fn settle(&self) -> Vec<String> {
        sleep(super::LONGEST_FAULT).await;
        let mut looks = PATIENCE.as_millis() / LOOK_EVERY.as_millis();
        while let Some(problem) = self.problem().await {
            looks -= 1;
            if looks == 0 {
                return vec![problem];
            }
            sleep(LOOK_EVERY).await;
        }
        self.record.borrow_mut().note("the nodes agree".to_owned());
        sleep(CALM).await;
        let problem = self.problem().await.map(|problem| format!("the nodes have agreed, but then: {problem}"));
        problem.into_iter().chain(self.record.borrow().faults()).collect()
    }

    /// Ends all clients and nodes. Returns what is left of them.
    pub(super) async fn end(&mut self) -> Vec<String> {
        (0..CLIENTS).for_each(|client| self.disconnect(client));
        let mut looks = PATIENCE.as_millis() / LOOK_EVERY.as_millis();
        while !self.hub.is_empty() && looks > 0 {
            looks -= 1;
            sleep(LOOK_EVERY).await;
        }
        for node in self.nodes.drain(..) {
            node.pubsub.leave_cluster().await;
        }
        if self.hub.is_empty() {
            return Vec::new();
        }
        vec![format!("without clients, there are {:?} and {:?}", self.hub.names(), self.hub.subscriptions())]
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.record.borrow().trace.clone()
    }

    /// What does not match yet.
    async fn problem(&self) -> Option<String> {
        let owners = match self.owners().await {
            Ok(owners) => owners,
            Err(problem) => return Some(problem),
        };
        let directory = self.hub.names();
        if directory != owners {
            return Some(format!("the directory has {directory:?}, the nodes own {owners:?}"));
        }
        if let Some(problem) = self.wrong_presence().await {
            return Some(problem);
        }
        let record = self.record.borrow();
        let (subscriptions, wanted) = (self.hub.subscriptions(), self.wanted_subscriptions(&record));
        if subscriptions != wanted {
            return Some(format!("there are the subscriptions {subscriptions:?}, the clients need {wanted:?}"));
        }
        if let Some((member, _)) = record.open_joins().find(|(_, join)| !join.is_member()) {
            return Some(format!("{} waits for the answer to its join", show(member)));
        }
        let mut names: Vec<_> = record.open_joins().filter(|(_, join)| is_name(&join.topic)).collect();
        names.sort_unstable_by_key(|(_, join)| join.topic.clone());
        let of_clients: Vec<_> =
            names.iter().map(|(_, join)| (join.topic.key().to_owned(), self.nodes[join.node].id.clone())).collect();
        if !of_clients.iter().cloned().eq(owners.iter().map(|(name, (node, _))| (name.clone(), node.clone()))) {
            return Some(format!("the clients own {of_clients:?}, the nodes say {owners:?}"));
        }
        let is_true = |name: &Topic, told: Option<bool>| told == Some(owners.contains_key(name.key()));
        if let Some((name, member, told)) = record.open_watches().find(|(name, _, told)| !is_true(name, *told)) {
            return Some(format!("{} watches {name:?}, and was told {told:?}; {owners:?}", show(member)));
        }
        let is_alive = |member: MemberId| self.clients.iter().any(|client| client.connection.id == member.connection);
        record.unanswered(is_alive).map(|number| format!("{number} has no verdict"))
    }

    /// The names that the nodes' registries hold.
    async fn owners(&self) -> Result<BTreeMap<String, (NodeId, Epoch)>, String> {
        let mut owners = BTreeMap::new();
        for node in &self.nodes {
            for (name, epoch) in node.pubsub.names().await {
                if let Some(other) = owners.insert(name.key().to_owned(), (node.id.clone(), epoch)) {
                    let directory = self.hub.names();
                    return Err(format!("{name:?} is owned by {:?} and {other:?}: {directory:?}", (&node.id, epoch)));
                }
            }
        }
        Ok(owners)
    }

    fn wanted_subscriptions(&self, record: &Record) -> BTreeMap<String, BTreeSet<NodeId>> {
        let rooms = record.open_joins().filter(|(_, join)| !is_name(&join.topic));
        let rooms = rooms.map(|(_, join)| (&join.topic, join.node));
        let node_of = |member: MemberId| {
            let client = self.clients.iter().position(|client| client.connection.id == member.connection);
            client.expect("the watches of other connections have ended") % NODES
        };
        let watches = record.open_watches().map(|(name, member, _)| (name, node_of(member)));
        let mut wanted: BTreeMap<String, BTreeSet<NodeId>> = BTreeMap::new();
        for (topic, node) in rooms.chain(watches) {
            wanted.entry(topic.key().to_owned()).or_default().insert(self.nodes[node].id.clone());
        }
        wanted
    }

    /// A node whose list of a room's members is not that of its members on all nodes.
    async fn wrong_presence(&self) -> Option<String> {
        let topic = room(LISTED);
        let mut listed: BTreeMap<String, usize> = BTreeMap::new();
        for (member, _) in self.record.borrow().open_joins().filter(|(_, join)| join.has_presence()) {
            let client = self.clients.iter().position(|client| client.connection.id == member.connection);
            *listed.entry(client.unwrap().to_string()).or_default() += 1;
        }
        for node in self.nodes.iter().filter(|node| node.pubsub.count(topic.key()) > 0) {
            let list = node.pubsub.presence(&topic).await;
            let counts: BTreeMap<String, usize> =
                list.iter().map(|(key, metas)| (key.to_string(), metas.len())).collect();
            if counts != listed {
                return Some(format!("{} lists {counts:?}, and the clients are {listed:?}", node.id));
            }
        }
        None
    }
}

/// Does something after a time.
fn later(time: Duration, what: impl FnOnce() + 'static) {
    spawn_local(async move {
        sleep(time).await;
        what();
    });
}

/// Reads what a client receives.
async fn read(mut mailbox: MailboxStream, connection: Arc<Connection>, record: Rc<RefCell<Record>>) {
    let id = |join| MemberId { connection: connection.id, join };
    while let Some(envelope) = mailbox.next().await {
        let mut record = record.borrow_mut();
        match envelope {
            Envelope::Delivery(join, delivery) => {
                let Broadcast { topic, event, .. } = &delivery.broadcast;
                if let Ok(number) = event.parse() {
                    record.receive(id(join), topic, number);
                }
            }
            Envelope::SocketEvent(event) => match *event {
                SocketEvent::Subscribed(join) => record.subscribed(id(join)),
                SocketEvent::Refused(join, why) => record.refused(id(join), why),
                SocketEvent::Evicted(join) => record.evicted(id(join)),
                SocketEvent::DeliveryStatus(signal, status) => {
                    record.verdict(signal.event.parse().unwrap(), status);
                }
                SocketEvent::Info(join, info) => {
                    let OnlineStatus { topic, online } = *info.downcast().unwrap();
                    record.told(&topic, id(join), online);
                }
                _ => {}
            },
            Envelope::Probe => connection.activity.mark(),
            Envelope::Posted(..) | Envelope::Ping | Envelope::Close(_) => {}
        }
    }
}
