//! What the clients of one round did and saw, in one order.
//!
//! A client records a request before it writes it, and an answer after it has read it. So the server has acted on the
//! request between these two moments, and whatever the model concludes from them holds on every schedule.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The number of an entry. Later entries have greater numbers.
pub type Moment = u64;

/// Later than all entries.
pub const NEVER: Moment = Moment::MAX;

/// A name has one member at most, a group any number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    Name(String),
    Group(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Ok,
    Taken,
    /// Refused because a later join of the same client replaced it and was refused, or the client was too late.
    Ended,
}

/// A join of a place.
#[derive(Debug)]
pub struct Join {
    pub client: usize,
    pub place: Place,
    /// Joins with the same secret take a name from each other.
    pub secret: Option<u64>,
    pub sent: Moment,
    pub answered: Option<(Moment, Answer)>,
    /// Whether the protocol tells the client that it has joined.
    pub is_answered: bool,
    /// When the client began to leave, or to end its connection.
    pub released: Moment,
    /// When the client read the join's end. Nothing may follow.
    pub ended: Moment,
    /// Whether its client has ended the connection, so that nobody knows what it was sent last.
    pub is_killed: bool,
    /// Whether a later join of the same client has replaced it.
    pub is_replaced: bool,
}

impl Join {
    pub fn is_ok(&self) -> bool {
        matches!(self.answered, Some((_, Answer::Ok)))
    }

    pub fn is_refused(&self) -> bool {
        self.answered.is_some_and(|(_, answer)| answer != Answer::Ok)
    }

    /// When the answer was read.
    pub fn answered_at(&self) -> Moment {
        self.answered.map_or(NEVER, |(at, _)| at)
    }

    /// Whether its client is a member once all is quiet.
    pub fn is_open(&self) -> bool {
        self.is_ok() && self.released == NEVER && self.ended == NEVER && !self.is_killed
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    Absent,
    /// The sender was no member.
    NotJoined,
}

#[derive(Debug)]
pub struct Message {
    pub client: usize,
    /// The join that sent it, and the place that its receivers see as its sender.
    pub join: usize,
    pub to: Place,
    pub sent: Moment,
    /// Whether the protocol gives a verdict.
    pub is_answered: bool,
    pub verdict: Option<(Moment, Verdict)>,
    /// The joins that received it.
    pub receipts: Vec<usize>,
}

#[derive(Debug)]
pub struct Watch {
    pub join: usize,
    pub place: Place,
    pub sent: Moment,
    /// What the watcher was told: first the answer, then each change.
    pub told: Vec<(Moment, bool)>,
    pub ended: Moment,
}

/// The presence list as one member sees it: the client of each entry, by the entry's `phx_ref`.
pub type PresenceView = BTreeMap<String, u64>;

#[derive(Default)]
pub struct Record {
    now: Moment,
    /// The number of the round. Its clients have names and rooms of their own, because polling sessions of an earlier
    /// round may still be there.
    pub round: usize,
    /// The number of nodes that the clients are spread over.
    nodes: usize,
    pub clients: usize,
    pub joins: Vec<Join>,
    pub messages: Vec<Message>,
    pub watches: Vec<Watch>,
    /// The list of each join that asked for it, once it has arrived.
    pub presence: HashMap<usize, PresenceView>,
    /// The joins that ask for the list. All are in it.
    pub listed: Vec<usize>,
    /// Clients that do not poll any more. The server notices that late.
    pub abandoned: BTreeSet<u64>,
    /// The place of each Socket.IO client, by its id, in the order of their arrival.
    pub ids: Vec<(String, Place)>,
    /// The ids that clients of PeerJS have asked for.
    pub peerjs_ids: Vec<String>,
    /// The names of the clients of HelloWebRTC, and of those that use its binary dialect.
    pub hello_names: Vec<String>,
    pub hello_binary_names: Vec<String>,
    /// Each message that has arrived with the id of its sender.
    pub claims: Vec<(usize, String)>,
    /// Each message that has arrived, and the join that received it, in order.
    pub arrivals: Vec<(usize, usize)>,
    /// When a client was told that messages to a name were held in vain.
    pub expired: Vec<(usize, Place, Moment)>,
    /// What is wrong, whatever follows.
    pub faults: Vec<String>,
    /// What was written and read, for the report.
    pub trace: Vec<(Moment, usize, String)>,
}

impl Record {
    pub fn new(round: usize, nodes: usize) -> Self {
        Self { round, nodes, ..Self::default() }
    }

    pub fn tick(&mut self) -> Moment {
        self.now += 1;
        self.now
    }

    pub fn note(&mut self, client: usize, what: String) {
        self.trace.push((self.now, client, what));
    }

    pub fn fault(&mut self, client: usize, what: String) {
        self.faults.push(format!("client {client} at {}: {what}", self.now));
    }

    pub fn add_client(&mut self) -> usize {
        self.clients += 1;
        self.clients
    }

    pub fn has_several_nodes(&self) -> bool {
        self.nodes > 1
    }

    pub fn join(&mut self, client: usize, place: Place, secret: Option<u64>) -> usize {
        let sent = self.tick();
        // the server does not answer an earlier join apart from this one
        let is_pending = |join: &&mut Join| join.client == client && join.place == place && join.answered.is_none();
        self.joins.iter_mut().filter(is_pending).for_each(|join| join.is_replaced = true);
        self.joins.push(Join {
            client,
            place,
            secret,
            sent,
            answered: None,
            is_answered: true,
            released: NEVER,
            ended: NEVER,
            is_killed: false,
            is_replaced: false,
        });
        self.joins.len() - 1
    }

    /// A join that gets no answer.
    pub fn join_silently(&mut self, client: usize, place: Place) -> usize {
        let join = self.join(client, place, None);
        self.joins[join].is_answered = false;
        join
    }

    pub fn answer(&mut self, join: usize, answer: Answer) {
        let now = self.tick();
        if self.joins[join].answered.replace((now, answer)).is_some() {
            self.fault(self.joins[join].client, format!("join {join} is answered twice"));
        }
    }

    pub fn release(&mut self, join: usize) {
        let now = self.tick();
        let join = &mut self.joins[join];
        join.released = join.released.min(now);
    }

    pub fn end(&mut self, join: usize) {
        let now = self.tick();
        if self.joins[join].ended != NEVER {
            self.fault(self.joins[join].client, format!("join {join} ends twice"));
        }
        self.joins[join].ended = now;
        self.watches.iter_mut().filter(|watch| watch.join == join).for_each(|watch| watch.ended = watch.ended.min(now));
    }

    /// The client ends its connection.
    pub fn release_client(&mut self, client: usize) {
        let now = self.tick();
        for join in self.joins.iter_mut().filter(|join| join.client == client) {
            join.released = join.released.min(now);
            join.is_killed = true;
        }
        let joins = &self.joins;
        self.watches
            .iter_mut()
            .filter(|watch| joins[watch.join].client == client)
            .for_each(|watch| watch.ended = watch.ended.min(now));
    }

    /// A message that `join` is about to send. Returns its number.
    pub fn send(&mut self, client: usize, join: usize, to: Place, is_answered: bool) -> usize {
        let sent = self.tick();
        self.messages.push(Message { client, join, to, sent, is_answered, verdict: None, receipts: Vec::new() });
        self.messages.len() - 1
    }

    pub fn verdict(&mut self, number: usize, verdict: Verdict) {
        let now = self.tick();
        self.messages[number].verdict = Some((now, verdict));
    }

    /// A client has read the message `number`, which names `from` as its sender, if the protocol tells it.
    pub fn receive(&mut self, join: usize, number: u64, from: Option<&Place>) {
        self.tick();
        let client = self.joins[join].client;
        let Some(message) = self.messages.get_mut(number as usize) else {
            return self.fault(client, format!("message {number} was never sent"));
        };
        message.receipts.push(join);
        self.arrivals.push((number as usize, join));
        let sender = &self.joins[message.join].place;
        if from.is_some_and(|from| from != sender) {
            self.fault(client, format!("message {number} says it is from {from:?}"));
        }
    }

    pub fn watch(&mut self, join: usize, place: Place) -> usize {
        let sent = self.tick();
        self.watches.push(Watch { join, place, sent, told: Vec::new(), ended: NEVER });
        self.watches.len() - 1
    }

    pub fn tell(&mut self, watch: usize, online: bool) {
        let now = self.tick();
        let (client, told) = (self.joins[self.watches[watch].join].client, &mut self.watches[watch].told);
        let is_repeated = told.last().is_some_and(|(_, last)| *last == online);
        told.push((now, online));
        if is_repeated {
            self.fault(client, format!("watch {watch} is told {online} twice in a row"));
        }
    }
}
