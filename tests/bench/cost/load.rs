//! The loads: signals between pairs, messages to a room, whole handshakes, and connections that open and close. Each
//! runs for the whole measurement, and counts its work on a [`Meter`].

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;

use futures_util::{StreamExt, TryStreamExt, future, stream};

use crate::client::{Client, Sender};
use crate::dialect::{Dialect, Position, now, sent_at};
use crate::meter::Meter;

/// Sizes of a message in the relay and the room, of an offer, and of a candidate, in bytes.
const MESSAGE: usize = 200;
const OFFER: usize = 2_400;
const CANDIDATE: usize = 150;
/// Candidates on each side of a handshake.
const CANDIDATES: usize = 8;
/// How many clients connect at the same time.
const CONCURRENT_CONNECTS: usize = 64;

/// A server, and the protocol of its clients.
#[derive(Clone, Copy)]
pub struct Target {
    pub server: SocketAddr,
    pub dialect: Dialect,
    /// The token of each client, for Phoenix alone.
    pub token: Option<&'static str>,
}

impl Target {
    pub fn new(server: SocketAddr, dialect: Dialect) -> Self {
        Self { server, dialect, token: None }
    }

    pub async fn connect(self, position: Position) -> io::Result<Client> {
        self.dialect.connect(self.server, position, self.token).await
    }

    /// Connects clients with these numbers.
    pub async fn connect_all(
        self,
        numbers: Range<usize>,
        position: impl Fn(usize) -> Position,
    ) -> io::Result<Vec<Client>> {
        stream::iter(numbers.map(|number| self.connect(position(number))))
            .buffered(CONCURRENT_CONNECTS)
            .try_collect()
            .await
    }

    /// Pairs of clients signal each other, with this many signals in flight at any time.
    pub async fn relay(self, pairs: usize, in_flight: usize, meter: &Meter) -> io::Result<()> {
        let clients = self.connect_all(0..pairs * 2, Position::Pair).await?;
        let pairs = Pairs::new(self.dialect, 0, u64::MAX);
        pairs.add_clients(clients, meter);
        pairs.begin(in_flight).await
    }

    /// One client sends to a room, at most `ahead` messages before all members have received the last.
    pub async fn fan_out(self, members: usize, ahead: u64, meter: &Meter) -> io::Result<()> {
        self.talk(self.connect_all(0..members + 1, |_| Position::Room(0)).await?, ahead, meter);
        Ok(())
    }

    /// The last of these members of one room sends to the others.
    pub fn talk(self, mut clients: Vec<Client>, ahead: u64, meter: &Meter) {
        let sending_client = clients.pop().expect("there is one client more than members");
        let (sender, received, members) = (sending_client.sender(), meter.clone(), clients.len() as u64);
        meter.run(async move {
            let mut sent = 0;
            loop {
                while sent < received.all() / members + ahead {
                    sender.send(&self.dialect.message(Position::Room(0), MESSAGE, now())).await?;
                    sent += 1;
                }
                received.change().await;
            }
        });
        // the sender receives replies, which do not count
        self.listen(clients.into_iter().chain([sending_client]), meter);
    }

    /// What these clients receive from others counts.
    pub fn listen(self, clients: impl IntoIterator<Item = Client>, meter: &Meter) {
        for mut client in clients {
            let meter = meter.clone();
            meter.clone().run(async move {
                loop {
                    meter.record(signal(self.dialect, &mut client).await?);
                }
            });
        }
    }

    /// Each of these clients sends to its other, and waits for the verdict before it sends again.
    pub fn ask(self, clients: Vec<(usize, Client)>, meter: &Meter) {
        for (number, mut client) in clients {
            let meter = meter.clone();
            meter.clone().run(async move {
                loop {
                    let at = now();
                    client.send(&self.dialect.message(Position::Pair(number), MESSAGE, at)).await?;
                    self.dialect.verdict(&mut client).await?;
                    meter.record(at);
                }
            });
        }
    }

    /// Pairs, this many at a time, connect, exchange offer, answer and candidates, and close.
    pub fn handshakes(self, at_once: usize, meter: &Meter) {
        self.repeat(at_once, meter, move |number| self.handshake(number));
    }

    /// Connections, this many at a time, open, join and close.
    pub fn churn(self, at_once: usize, meter: &Meter) {
        self.churn_from(0, at_once, meter);
    }

    /// The same, with clients numbered from `first`.
    pub fn churn_from(self, first: usize, at_once: usize, meter: &Meter) {
        self.repeat(at_once, meter, move |number| async move {
            self.connect(Position::Pair(first + number)).await?.close().await
        });
    }

    fn repeat<F>(self, at_once: usize, meter: &Meter, work: impl Fn(usize) -> F + Clone + 'static)
    where
        F: Future<Output = io::Result<()>> + 'static,
    {
        let next = Rc::new(Cell::new(0));
        for _ in 0..at_once {
            let (meter, next, work) = (meter.clone(), next.clone(), work.clone());
            meter.clone().run(async move {
                loop {
                    let number = next.get();
                    next.set(number + 1);
                    let started = now();
                    work(number).await?;
                    meter.record(started);
                }
            });
        }
    }

    async fn handshake(self, number: usize) -> io::Result<()> {
        let (a, b) = (Position::Pair(number * 2), Position::Pair(number * 2 + 1));
        let (mut at_a, mut at_b) = future::try_join(self.connect(a), self.connect(b)).await?;
        let dialect = self.dialect;
        at_a.send(&dialect.message(a, OFFER, now())).await?;
        signal(dialect, &mut at_b).await?;
        at_b.send(&dialect.message(b, OFFER, now())).await?;
        for _ in 0..CANDIDATES {
            at_a.send(&dialect.message(a, CANDIDATE, now())).await?;
            at_b.send(&dialect.message(b, CANDIDATE, now())).await?;
        }
        for _ in 0..CANDIDATES {
            signal(dialect, &mut at_a).await?;
            signal(dialect, &mut at_b).await?;
        }
        // the WebRTC answer
        signal(dialect, &mut at_a).await?;
        future::try_join(at_a.close(), at_b.close()).await.map(drop)
    }
}

/// Waits for a message from another client, ignoring the server's replies, and returns when it was sent. Replies to
/// pings.
pub async fn signal(dialect: Dialect, client: &mut Client) -> io::Result<u64> {
    loop {
        let received = client.receive().await?;
        if let Some(at) = sent_at(received) {
            return Ok(at);
        }
        if let Some(pong) = dialect.pong(received) {
            client.send(pong).await?;
        }
    }
}

/// Pairs of members. Each member signals the other when it is its turn.
pub struct Pairs {
    dialect: Dialect,
    /// The number of the first member.
    first: usize,
    /// The sender of each member.
    senders: RefCell<Vec<Sender>>,
    turn: Cell<usize>,
    /// How many signals are still sent because another one has arrived.
    echoes: Cell<u64>,
}

impl Pairs {
    /// No members yet; their numbers start at `first`. Each signal that arrives makes the next member send, up to
    /// `echoes` times.
    pub fn new(dialect: Dialect, first: usize, echoes: u64) -> Rc<Self> {
        let (senders, turn) = Default::default();
        Rc::new(Self { dialect, first, senders, turn, echoes: Cell::new(echoes) })
    }

    /// Adds clients as members. What they receive counts.
    pub fn add_clients(self: &Rc<Self>, clients: Vec<Client>, meter: &Meter) {
        for mut client in clients {
            self.add_member(client.sender());
            let (pairs, meter) = (self.clone(), meter.clone());
            meter.clone().run(async move {
                loop {
                    meter.record(signal(pairs.dialect, &mut client).await?);
                    if let Some(left) = pairs.echoes.get().checked_sub(1) {
                        pairs.echoes.set(left);
                        pairs.signal(now()).await?;
                    }
                }
            });
        }
    }

    /// Adds a client as one more member.
    pub fn add_member(&self, sender: Sender) {
        self.senders.borrow_mut().push(sender);
    }

    /// The sender of the n-th member.
    pub fn sender(&self, member: usize) -> Sender {
        self.senders.borrow()[member].clone()
    }

    /// Sends the first `count` signals.
    pub async fn begin(&self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            self.signal(now()).await?;
        }
        Ok(())
    }

    /// The next member signals its other, with this time in the message.
    pub async fn signal(&self, at: u64) -> io::Result<()> {
        let turn = self.turn.get();
        self.turn.set((turn + 1) % self.senders.borrow().len());
        let position = Position::Pair(self.first + turn);
        self.sender(turn).send(&self.dialect.message(position, MESSAGE, at)).await
    }
}
