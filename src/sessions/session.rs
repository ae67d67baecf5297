//! [`Session`]: connects a socket to its protocol, its mailbox and the broker. It passes frames and events to the
//! socket, carries out the socket's effects, and sends frames to the client.
//!
//! It is a [`TransportHandler`], and works in the same way over every transport. Decisions are made in the
//! [`socket`](crate::sessions::socket).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use futures_util::Stream;

use crate::broker::pubsub::Pubsub;
use crate::broker::registry::command::{ChangePresence, Subscribe, Watch};
use crate::broker::registry::permits::Permit;
use crate::channels::effect::Effect;
use crate::channels::task_future::TaskFuture;
use crate::close::{self, Reason};
use crate::connections::connection::{Connection, Member, MemberId};
use crate::connections::envelope::{Envelope, SocketEvent};
use crate::connections::hub::ConnectionSlot;
use crate::connections::mailbox_stream::MailboxStream;
use crate::connections::writer::Fastlane;
use crate::message::{DeliveryStatus, JoinId, Membership, Outbound, Reach, Signal, TaskId};
use crate::protocol::{Decoded, Delivery, Frame, Protocol};
use crate::refusal::DropReason;
use crate::sessions::socket::{Dispatch, Socket};
use crate::topic::Topic;
use crate::transports::transport::{FrameSink, TransportHandler};

/// A socket with its protocol, its connection slot and the broker. Dropping it frees the slot. `repr(C)` keeps the
/// fields in this order, as in a [`Socket`].
#[repr(C)]
pub(crate) struct Session<P: Protocol> {
    socket: Socket,
    protocol: P,
    pubsub: Pubsub,
    slot: ConnectionSlot,
    ended: bool,
}

impl<P: Protocol> Session<P> {
    pub(crate) fn new(socket: Socket, protocol: P, pubsub: Pubsub, slot: ConnectionSlot) -> Self {
        Self { socket, protocol, pubsub, slot, ended: false }
    }

    /// Subscribes to the topic of the socket's own id. If the registry's command queue is full, the connection closes,
    /// because it could not be disconnected through its id.
    pub(crate) fn subscribe_to_own_id(&mut self, id: Topic) {
        match self.pubsub.budget().take(id.key().len()) {
            Some(permit) => self.subscribe(JoinId::SOCKET, id, Membership::default(), None, permit),
            None => self.socket.close(&close::OVERLOADED),
        }
    }

    fn run_effects(&mut self, sink: &mut impl FrameSink) {
        loop {
            while let Some(effect) = self.socket.next_effect() {
                if !self.run_effect(effect, sink) {
                    return;
                }
            }
            match self.protocol.next_step() {
                Some(Decoded::Request(inbound)) => self.socket.receive(inbound, Instant::now()),
                Some(Decoded::Respond(frame)) => self.send_frame(frame, sink),
                Some(Decoded::Close(reason)) => return sink.close(reason),
                None => break,
            }
        }
        if let Some((join, topic)) = self.socket.next_presence() {
            self.pubsub.subscribe_presence(self.member(join), topic);
        }
    }

    /// Returns whether the connection stays open.
    fn run_effect(&mut self, effect: Effect, sink: &mut impl FrameSink) -> bool {
        match effect {
            Effect::Send(outbound) => self.send(&outbound, sink),
            Effect::Subscribe { join, topic, mut membership, replaces, permit } => {
                membership.subscribe_presence = membership.subscribe_presence && self.socket.begin_presence(join);
                self.subscribe(join, topic, membership, replaces, permit)
            }
            Effect::Unsubscribe(join) => self.pubsub.unsubscribe(self.id(join)),
            Effect::Broadcast { broadcast, topics, reach } => {
                let delivery = match topics {
                    None => Delivery::new(broadcast),
                    Some(topics) => Delivery::to_any(broadcast, topics),
                };
                self.broadcast(Arc::new(delivery.counted(self.pubsub.memory())), reach, sink);
            }
            Effect::Signal { signal, broadcast } => self.signal(signal, Arc::new(self.pubsub.delivery(broadcast))),
            Effect::Watch { join, topic, on, permit } => {
                self.pubsub.watch(Watch { member: self.member(join), topic, on }, permit)
            }
            Effect::Presence { join, topic, change, permit } => {
                self.pubsub.change_presence(ChangePresence { member: self.member(join), topic, change }, permit)
            }
            Effect::Spawn { id, future } => self.spawn(id, future),
            Effect::Close(reason) => {
                sink.close(reason);
                return false;
            }
        }
        true
    }

    fn subscribe(&self, join: JoinId, topic: Topic, membership: Membership, replaces: Option<JoinId>, permit: Permit) {
        let connection = self.slot.connection.clone();
        self.pubsub.add_member(Subscribe { connection, join, topic, membership, replaces }, permit);
    }

    /// Runs a future on this thread. Dropping its task aborts it. The socket does so at the latest when the connection
    /// closes.
    fn spawn(&self, id: TaskId, future: TaskFuture) {
        let connection = self.slot.connection.clone();
        actix::spawn(async move {
            if future.run().await.is_ok() {
                // if the mailbox is full or closed, the connection is closing and needs no event
                let _ = connection.send_event(SocketEvent::TaskDone(id));
            }
        });
    }

    fn broadcast(&mut self, delivery: Arc<Delivery>, reach: Reach, sink: &mut impl FrameSink) {
        let except = (reach != Reach::Members).then_some(&self.slot.connection);
        let members = self.pubsub.publish(&delivery, except, self.slot.connection.now());
        self.socket.charge_fanout(delivery.size(), members);
        if reach == Reach::Echoed {
            self.forward_broadcast(&delivery, sink);
        }
    }

    fn signal(&mut self, mut signal: Signal, delivery: Arc<Delivery>) {
        let now = self.slot.connection.now();
        if signal.hold.is_none() && self.socket.is_waiting_for(&signal.to) {
            signal.hold = Some(Signal::BEHIND_HELD);
        }
        let status = match signal.hold {
            None => self.pubsub.signal(signal, &delivery, &self.slot.connection, now),
            Some(_) => self.signal_or_hold(signal, delivery, now),
        };
        if let Some((signal, status)) = status {
            self.socket.delivery_known(signal, status);
        }
    }

    /// Sends a signal to the owner of its name on this node, or passes it to the registry, which can hold it. Later
    /// signals to the same name also go to the registry until all earlier ones have a delivery status, so that the
    /// order is kept.
    fn signal_or_hold(
        &mut self,
        signal: Signal,
        delivery: Arc<Delivery>,
        now: Instant,
    ) -> Option<(Signal, DeliveryStatus)> {
        if !self.socket.is_waiting_for(&signal.to) {
            let status = self.pubsub.deliver_local(&signal.to, &delivery, now);
            if let Some(status) = status.filter(|status| *status != DeliveryStatus::Absent) {
                return Some((signal, status));
            }
        }
        self.socket.hold_sent_to(&signal.to);
        let Some(permit) = self.pubsub.budget().take(delivery.size()) else {
            return Some((signal, DeliveryStatus::Overloaded));
        };
        self.pubsub.hold_signal(signal, delivery, self.slot.connection.clone(), permit);
        None
    }

    fn forward_broadcast(&self, delivery: &Delivery, sink: &mut impl FrameSink) {
        match delivery.frame::<P>() {
            Some(frame) => sink.send(frame),
            None => self.count_unencodable(),
        }
    }

    fn send(&mut self, outbound: &Outbound, sink: &mut impl FrameSink) {
        match self.protocol.encode(outbound) {
            Ok(frame) => frame.into_iter().for_each(|frame| self.send_frame(frame, sink)),
            Err(_) => self.count_unencodable(),
        }
    }

    /// Sends a frame that is for this client alone. A broadcast counts its frames itself.
    fn send_frame(&self, frame: Frame, sink: &mut impl FrameSink) {
        sink.send(frame.held_by(self.pubsub.memory()));
    }

    fn count_end(&self, reason: &'static Reason) {
        let (metrics, mailbox, realm) = (self.pubsub.metrics(), &self.slot.connection.mailbox, self.socket.realm());
        // if the mailbox was closed first, the server has closed the connection, and that is the reason to count
        let first = mailbox.closed().filter(|_| *reason == close::GONE).unwrap_or(reason);
        metrics.connections_closed.add(realm, first, 1);
        if *first == close::SLOW {
            metrics.messages_dropped.add(realm, DropReason::SlowConsumer, mailbox.unread() as u64);
        }
    }

    fn count_unencodable(&self) {
        self.pubsub.metrics().messages_dropped.add(self.socket.realm(), DropReason::Unencodable, 1);
    }

    /// Runs the channels' `terminate` callbacks, and delivers their broadcasts and signals. It catches panics, because
    /// it may run while another panic unwinds: a second panic would then abort the process.
    fn run_terminate_callbacks(&mut self) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.socket.disconnect(Instant::now())));
        while let Some(effect) = self.socket.next_effect() {
            let _ = catch_unwind(AssertUnwindSafe(|| self.run_effect(effect, &mut NullSink)));
        }
    }

    fn id(&self, join: JoinId) -> MemberId {
        MemberId { connection: self.slot.connection.id, join }
    }

    fn member(&self, join: JoinId) -> Member {
        Member { join, connection: self.slot.connection.clone() }
    }
}

impl<P: Protocol> TransportHandler for Session<P> {
    type Event = Envelope;

    fn connection(&self) -> &Arc<Connection> {
        &self.slot.connection
    }

    fn events(&self) -> impl Stream<Item = Envelope> + Unpin + 'static {
        let metrics = self.pubsub.shared_metrics();
        MailboxStream::new(self.slot.connection.clone(), metrics, self.socket.realm())
    }

    fn open(&mut self, sink: &mut impl FrameSink) {
        self.run_effects(sink);
    }

    fn transport_opened(&mut self, sink: &mut impl FrameSink) {
        self.protocol.transport_opened();
        self.run_effects(sink);
    }

    fn frame(&mut self, frame: &Frame, sink: &mut impl FrameSink) {
        let now = Instant::now();
        self.pubsub.metrics().messages.add(self.socket.realm(), (), 1);
        self.socket.received(frame.size());
        match self.protocol.decode(frame) {
            Ok(Some(Decoded::Request(inbound))) => self.socket.receive(inbound, now),
            Ok(Some(Decoded::Respond(answer))) => {
                self.socket.take_message_token(now);
                self.send_frame(answer, sink);
            }
            Ok(Some(Decoded::Close(reason))) => return sink.close(reason),
            Ok(None) => drop(self.socket.take_message_token(now)),
            Err(_) => return sink.close(&close::MALFORMED),
        }
        self.run_effects(sink);
    }

    fn control(&mut self, sink: &mut impl FrameSink) {
        self.socket.take_message_token(Instant::now());
        self.run_effects(sink);
    }

    fn handle_event(&mut self, envelope: Envelope, sink: &mut impl FrameSink) {
        match envelope {
            Envelope::Delivery(join, delivery) => {
                let dispatch = self.socket.broadcast(join, &delivery, Instant::now());
                self.run_effects(sink);
                // the broadcast may have confirmed the join, after which a leave in the join's backlog has ended it
                if dispatch == Dispatch::Fastlane && self.socket.is_receiver(join, &delivery) {
                    self.forward_broadcast(&delivery, sink);
                }
            }
            Envelope::SocketEvent(event) => {
                self.socket.handle_event(*event, Instant::now());
                self.run_effects(sink);
            }
            Envelope::Posted(frame, handled) => {
                self.frame(&frame, sink);
                // the request may have been given up
                let _ = handled.send(());
            }
            Envelope::Ping => match self.protocol.ping() {
                Some(frame) => sink.send(frame),
                None if P::PINGED_BY_TRANSPORT => sink.ping(),
                None => {}
            },
            Envelope::Probe => match self.protocol.ping() {
                Some(frame) => sink.send(frame),
                None => sink.ping(),
            },
            Envelope::Close(reason) => sink.close(reason),
        }
    }

    fn take_fastlane_update(&mut self) -> Option<Fastlane> {
        let joins = self.socket.take_fastlane_update()?;
        Some(Fastlane { joins, frame: Delivery::frame::<P> })
    }

    fn is_unsettled(&self) -> bool {
        self.socket.is_joining()
    }

    /// Ends all channels, and removes the connection from the registry.
    fn end(&mut self, reason: &'static Reason) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.slot.connection.close(reason);
        self.count_end(reason);
        self.run_terminate_callbacks();
        self.pubsub.down(&self.slot.connection);
    }
}

impl<P: Protocol> Drop for Session<P> {
    fn drop(&mut self) {
        self.end(if std::thread::panicking() { &close::CRASHED } else { &close::GONE });
    }
}

/// A sink that discards frames, for a session whose client has disconnected.
struct NullSink;

impl FrameSink for NullSink {
    fn send(&mut self, _: Frame) {}
    fn close(&mut self, _: &'static Reason) {}
}

#[cfg(test)]
mod tests;
