//! One client's conversation, carried out: frames and mail in, the socket's effects done, frames out.
//!
//! It is a [`TransportHandler`], and the same whatever the bytes travel by.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use futures_util::Stream;

use crate::broker::pubsub::Pubsub;
use crate::broker::registry::command::{Subscribe, UpdatePresence, Watch};
use crate::broker::registry::permits::Permit;
use crate::channels::effect::Effect;
use crate::close::{self, Reason};
use crate::connections::connection::{Connection, MailboxStream};
use crate::connections::connection::{Member, MemberId};
use crate::connections::hub::ConnectionSlot;
use crate::connections::mail::Envelope;
use crate::connections::writer::Fastlane;
use crate::message::{Broadcast, DeliveryStatus, JoinId, Membership, Outbound, Reach, Signal};
use crate::metrics::labels::DropReason;
use crate::protocol::{Decoded, Delivery, Frame, Protocol};
use crate::sessions::socket::{Dispatch, Socket};
use crate::topic::Topic;
use crate::transports::transport::{FrameSink, TransportHandler};

/// A socket with its protocol and its place in the broker. Dropping it gives the place back. In memory as written, as
/// is a [`Socket`].
#[repr(C)]
pub(crate) struct Session<P: Protocol> {
    socket: Socket,
    protocol: P,
    pubsub: Pubsub,
    seat: ConnectionSlot,
    ended: bool,
}

impl<P: Protocol> Session<P> {
    pub(crate) fn new(socket: Socket, protocol: P, pubsub: Pubsub, seat: ConnectionSlot) -> Self {
        Self { socket, protocol, pubsub, seat, ended: false }
    }

    /// Listens on the topic of the socket's own id; one that cannot would not hear that it is to go, and goes.
    pub(crate) fn listen(&mut self, id: Topic) {
        match self.pubsub.turns().take(id.key().len()) {
            Some(turn) => self.subscribe(JoinId::SOCKET, id, Membership::default(), None, turn),
            None => self.socket.effects.push_back(Effect::Close(&close::OVERLOADED)),
        }
    }

    fn carry_out(&mut self, wire: &mut impl FrameSink) {
        loop {
            while let Some(effect) = self.socket.next_effect() {
                if !self.effect(effect, wire) {
                    return;
                }
            }
            match self.protocol.follow() {
                Some(Decoded::Ask(inbound)) => self.socket.receive(inbound, Instant::now()),
                Some(Decoded::Tell(frame)) => wire.send(frame),
                Some(Decoded::Close(reason)) => return wire.close(reason),
                None => return,
            }
        }
    }

    /// Says whether the connection goes on.
    fn effect(&mut self, effect: Effect, wire: &mut impl FrameSink) -> bool {
        match effect {
            Effect::Send(outbound) => self.send(&outbound, wire),
            Effect::Subscribe { join, topic, membership, replaces, turn } => {
                self.subscribe(join, topic, membership, replaces, turn)
            }
            Effect::Unsubscribe(join) => self.pubsub.unsubscribe(self.id(join)),
            Effect::Broadcast { broadcast, reach } => self.broadcast(broadcast, reach, wire),
            Effect::Signal { signal, broadcast } => self.signal(signal, Arc::new(Delivery::new(broadcast))),
            Effect::Watch { join, topic, on, turn } => {
                self.pubsub.watch(Watch { member: self.member(join), topic, on }, turn)
            }
            Effect::Update { join, topic, meta, turn } => {
                self.pubsub.update(UpdatePresence { id: self.id(join), topic, meta }, turn)
            }
            Effect::Close(reason) => {
                wire.close(reason);
                return false;
            }
        }
        true
    }

    fn subscribe(&self, join: JoinId, topic: Topic, membership: Membership, replaces: Option<JoinId>, turn: Permit) {
        let connection = self.seat.connection.clone();
        self.pubsub.subscribe(Subscribe { connection, join, topic, membership, replaces }, turn);
    }

    fn broadcast(&mut self, broadcast: Broadcast, reach: Reach, wire: &mut impl FrameSink) {
        let delivery = Arc::new(Delivery::new(broadcast));
        let except = (reach != Reach::Members).then_some(&self.seat.connection);
        self.pubsub.publish(&delivery, except, self.socket.client.now);
        if reach == Reach::Echoed {
            self.pass_on(&delivery, wire);
        }
    }

    fn signal(&mut self, signal: Signal, delivery: Arc<Delivery>) {
        let now = self.socket.client.now;
        let verdict = match signal.hold {
            None => self.pubsub.signal(signal, &delivery, &self.seat.connection, now),
            Some(_) => self.signal_or_hold(signal, delivery, now),
        };
        if let Some((signal, verdict)) = verdict {
            self.socket.verdict(signal, verdict);
        }
    }

    /// Sends it to one who is here, or has the registry see to it; what follows goes the same way until its
    /// fate is known.
    fn signal_or_hold(
        &mut self,
        signal: Signal,
        delivery: Arc<Delivery>,
        now: Instant,
    ) -> Option<(Signal, DeliveryStatus)> {
        if !self.socket.is_waiting_for(&signal.to) {
            let verdict = self.pubsub.deliver_here(&signal.to, &delivery, now);
            if let Some(verdict) = verdict.filter(|verdict| *verdict != DeliveryStatus::Absent) {
                return Some((signal, verdict));
            }
        }
        self.socket.waits_for(&signal.to);
        let Some(turn) = self.pubsub.turns().take(delivery.size()) else {
            return Some((signal, DeliveryStatus::Overloaded));
        };
        self.pubsub.hold(signal, delivery, self.seat.connection.clone(), turn);
        None
    }

    fn pass_on(&self, delivery: &Delivery, wire: &mut impl FrameSink) {
        match delivery.frame::<P>() {
            Some(frame) => wire.send(frame),
            None => self.count_unencodable(),
        }
    }

    fn send(&mut self, outbound: &Outbound, wire: &mut impl FrameSink) {
        match self.protocol.encode(outbound) {
            Ok(frame) => frame.into_iter().for_each(|frame| wire.send(frame)),
            Err(_) => self.count_unencodable(),
        }
    }

    fn count_end(&self, reason: &'static Reason) {
        let (metrics, mailbox, realm) = (self.pubsub.metrics(), &self.seat.connection.mailbox, self.socket.rules.realm);
        // one that was closed before was closed by us, and that is why it is gone
        let first = mailbox.closed().filter(|_| *reason == close::GONE).unwrap_or(reason);
        metrics.connections_closed.add(realm, first, 1);
        if *first == close::SLOW {
            metrics.messages_lost.add(realm, DropReason::SlowConsumer, mailbox.unread() as u64);
        }
    }

    fn count_unencodable(&self) {
        self.pubsub.metrics().messages_lost.add(self.socket.rules.realm, DropReason::Unencodable, 1);
    }

    /// Brings what the channels have to say at their end to others. A panic ends here: this may run because of
    /// another one, and then the next would be the end of the process.
    fn say_goodbye(&mut self) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.socket.disconnect(Instant::now())));
        while let Some(effect) = self.socket.next_effect() {
            let _ = catch_unwind(AssertUnwindSafe(|| self.effect(effect, &mut NullSink)));
        }
    }

    fn id(&self, join: JoinId) -> MemberId {
        MemberId { connection: self.seat.connection.id, join }
    }

    fn member(&self, join: JoinId) -> Member {
        Member { join, connection: self.seat.connection.clone() }
    }
}

impl<P: Protocol> TransportHandler for Session<P> {
    type News = Envelope;

    fn connection(&self) -> &Arc<Connection> {
        &self.seat.connection
    }

    fn news(&self) -> impl Stream<Item = Envelope> + 'static {
        let metrics = self.pubsub.shared_metrics();
        MailboxStream::new(self.seat.connection.clone(), metrics, self.socket.rules.realm)
    }

    fn open(&mut self, wire: &mut impl FrameSink) {
        self.carry_out(wire);
    }

    fn frame(&mut self, frame: &Frame, wire: &mut impl FrameSink) {
        let now = Instant::now();
        self.pubsub.metrics().messages.add(self.socket.rules.realm, (), 1);
        match self.protocol.decode(frame) {
            Ok(Some(Decoded::Ask(inbound))) => self.socket.receive(inbound, now),
            Ok(Some(Decoded::Tell(answer))) => {
                self.socket.pace(now);
                wire.send(answer);
            }
            Ok(Some(Decoded::Close(reason))) => return wire.close(reason),
            Ok(None) => drop(self.socket.pace(now)),
            Err(_) => return wire.close(&close::MALFORMED),
        }
        self.carry_out(wire);
    }

    fn control(&mut self, wire: &mut impl FrameSink) {
        self.socket.pace(Instant::now());
        self.carry_out(wire);
    }

    fn hear(&mut self, mail: Envelope, wire: &mut impl FrameSink) {
        match mail {
            Envelope::Delivery(join, delivery) => {
                let passage = self.socket.broadcast(join, &delivery.broadcast, Instant::now());
                self.carry_out(wire);
                if passage == Dispatch::Fastlane {
                    self.pass_on(&delivery, wire);
                }
            }
            Envelope::SocketEvent(note) => {
                self.socket.note(*note, Instant::now());
                self.carry_out(wire);
            }
            Envelope::Ping => match self.protocol.ping() {
                Some(frame) => wire.send(frame),
                None if P::PINGED_BY_TRANSPORT => wire.ping(),
                None => {}
            },
            Envelope::Close(reason) => wire.close(reason),
        }
    }

    fn lane(&mut self) -> Option<Fastlane> {
        let joins = self.socket.changed_lane()?;
        Some(Fastlane { joins, frame: Delivery::frame::<P> })
    }

    fn is_unsettled(&self) -> bool {
        self.socket.is_joining()
    }

    /// Every channel hears of it, and every table forgets the connection.
    fn end(&mut self, reason: &'static Reason) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.seat.connection.close(reason);
        self.count_end(reason);
        self.say_goodbye();
        self.pubsub.down(&self.seat.connection);
    }
}

impl<P: Protocol> Drop for Session<P> {
    fn drop(&mut self) {
        self.end(if std::thread::panicking() { &close::CRASHED } else { &close::GONE });
    }
}

/// Where the words of a session go when its client is gone.
struct NullSink;

impl FrameSink for NullSink {
    fn send(&mut self, _: Frame) {}
    fn close(&mut self, _: &'static Reason) {}
}
