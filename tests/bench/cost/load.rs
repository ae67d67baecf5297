//! What servers are given to do: signals between pairs, messages to a room, whole handshakes, connections that come
//! and go. Each starts and goes on for as long as the measurement lasts; what it does counts on a [`Meter`].

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;

use futures_util::{StreamExt, TryStreamExt, future, stream};

use crate::client::{Client, Voice};
use crate::dialect::{Dialect, Seat, now, said_at};
use crate::meter::Meter;

/// What is said in a relay and in a room, and what an offer and a candidate hold, in bytes.
const WORDS: usize = 200;
const OFFER: usize = 2_400;
const CANDIDATE: usize = 150;
/// Candidates of each side of a handshake.
const CANDIDATES: usize = 8;
/// How many clients come at a time.
const AT_ONCE: usize = 64;

/// A server, and how its clients speak.
#[derive(Clone, Copy)]
pub struct Target {
    pub server: SocketAddr,
    pub dialect: Dialect,
}

impl Target {
    async fn enter(self, seat: Seat) -> io::Result<Client> {
        self.dialect.enter(self.server, seat).await
    }

    /// Lets clients of these numbers in.
    pub async fn crowd(self, numbers: Range<usize>, seat: impl Fn(usize) -> Seat) -> io::Result<Vec<Client>> {
        stream::iter(numbers.map(|number| self.enter(seat(number)))).buffered(AT_ONCE).try_collect().await
    }

    /// Pairs signal each other, so many signals being on their way at any time.
    pub async fn relay(self, pairs: usize, on_their_way: usize, meter: &Meter) -> io::Result<()> {
        let clients = self.crowd(0..pairs * 2, Seat::Pair).await?;
        let pairs = Pairs::new(self.dialect, 0, u64::MAX);
        pairs.admit(clients, meter);
        pairs.begin(on_their_way).await
    }

    /// One speaks to a room, at most so many messages ahead of the last that all others have heard.
    pub async fn fan_out(self, members: usize, ahead: u64, meter: &Meter) -> io::Result<()> {
        let mut clients = self.crowd(0..members + 1, |_| Seat::Room(0)).await?;
        let speaker = clients.pop().expect("one more than the members");
        let (voice, heard) = (speaker.voice(), meter.clone());
        meter.run(async move {
            let mut said = 0;
            loop {
                while said < heard.all() / members as u64 + ahead {
                    voice.say(&self.dialect.words(Seat::Room(0), WORDS, now())).await?;
                    said += 1;
                }
                heard.change().await;
            }
        });
        // the speaker hears answers, which do not count
        for mut client in clients.into_iter().chain([speaker]) {
            let meter = meter.clone();
            meter.clone().run(async move {
                loop {
                    meter.note(signal(self.dialect, &mut client).await?);
                }
            });
        }
        Ok(())
    }

    /// Pairs, so many at a time, come, exchange offer, answer and candidates, and go.
    pub fn handshakes(self, at_once: usize, meter: &Meter) {
        self.again_and_again(at_once, meter, move |number| self.handshake(number));
    }

    /// Connections, so many at a time, come, join and go.
    pub fn churn(self, at_once: usize, meter: &Meter) {
        self.again_and_again(at_once, meter, move |number| async move {
            self.enter(Seat::Pair(number)).await?.leave().await
        });
    }

    fn again_and_again<F>(self, at_once: usize, meter: &Meter, what: impl Fn(usize) -> F + Clone + 'static)
    where
        F: Future<Output = io::Result<()>> + 'static,
    {
        let next = Rc::new(Cell::new(0));
        for _ in 0..at_once {
            let (meter, next, what) = (meter.clone(), next.clone(), what.clone());
            meter.clone().run(async move {
                loop {
                    let number = next.get();
                    next.set(number + 1);
                    let begun = now();
                    what(number).await?;
                    meter.note(begun);
                }
            });
        }
    }

    async fn handshake(self, number: usize) -> io::Result<()> {
        let (a, b) = (Seat::Pair(number * 2), Seat::Pair(number * 2 + 1));
        let (mut at_a, mut at_b) = future::try_join(self.enter(a), self.enter(b)).await?;
        let dialect = self.dialect;
        at_a.say(&dialect.words(a, OFFER, now())).await?;
        signal(dialect, &mut at_b).await?;
        at_b.say(&dialect.words(b, OFFER, now())).await?;
        for _ in 0..CANDIDATES {
            at_a.say(&dialect.words(a, CANDIDATE, now())).await?;
            at_b.say(&dialect.words(b, CANDIDATE, now())).await?;
        }
        for _ in 0..CANDIDATES {
            signal(dialect, &mut at_a).await?;
            signal(dialect, &mut at_b).await?;
        }
        // the answer
        signal(dialect, &mut at_a).await?;
        future::try_join(at_a.leave(), at_b.leave()).await.map(drop)
    }
}

/// Waits for what somebody has said, past the server's answers and questions; when it was said.
pub async fn signal(dialect: Dialect, client: &mut Client) -> io::Result<u64> {
    loop {
        let heard = client.hear().await?;
        if let Some(at) = said_at(heard) {
            return Ok(at);
        }
        if let Some(life) = dialect.sign_of_life(heard) {
            client.say(life).await?;
        }
    }
}

/// Pairs of members, each of whom signals its other when it is its turn.
pub struct Pairs {
    dialect: Dialect,
    /// The number of the first seat.
    first: usize,
    /// Who speaks for each seat.
    voices: RefCell<Vec<Voice>>,
    turn: Cell<usize>,
    /// How many signals are still sent because another has arrived.
    echoes: Cell<u64>,
}

impl Pairs {
    /// Nobody yet: the seats from that number on are empty. A signal that arrives has the next member speak, up to so
    /// many `echoes`.
    pub fn new(dialect: Dialect, first: usize, echoes: u64) -> Rc<Self> {
        let (voices, turn) = Default::default();
        Rc::new(Self { dialect, first, voices, turn, echoes: Cell::new(echoes) })
    }

    /// Clients take the next seats; what they hear counts.
    pub fn admit(self: &Rc<Self>, clients: Vec<Client>, meter: &Meter) {
        for mut client in clients {
            self.seat(client.voice());
            let (pairs, meter) = (self.clone(), meter.clone());
            meter.clone().run(async move {
                loop {
                    meter.note(signal(pairs.dialect, &mut client).await?);
                    if let Some(left) = pairs.echoes.get().checked_sub(1) {
                        pairs.echoes.set(left);
                        pairs.signal(now()).await?;
                    }
                }
            });
        }
    }

    /// A client that has been admitted has the next seat as well.
    pub fn seat(&self, voice: Voice) {
        self.voices.borrow_mut().push(voice);
    }

    /// Who speaks for the seat that came so many after the first.
    pub fn voice(&self, seat: usize) -> Voice {
        self.voices.borrow()[seat].clone()
    }

    /// Sends so many on their way.
    pub async fn begin(&self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            self.signal(now()).await?;
        }
        Ok(())
    }

    /// The next member signals its other, as it ought to have done at that time.
    pub async fn signal(&self, at: u64) -> io::Result<()> {
        let turn = self.turn.get();
        self.turn.set((turn + 1) % self.voices.borrow().len());
        let seat = Seat::Pair(self.first + turn);
        self.voice(turn).say(&self.dialect.words(seat, WORDS, at)).await
    }
}
