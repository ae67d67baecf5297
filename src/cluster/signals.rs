//! Signals to names that other nodes hold: the route, the order, the verdict.
//!
//! A signal whose name has no known route waits for a lookup, and later signals to the same name wait behind it. The
//! node at the end of the route decides: it has delivered the signal, or its client's queue is full, or the name is not
//! there. In the last case the name is looked up once more: it is absent if the directory has no entry of it, or still the
//! same. While a name is on its way from one node to another, the signal is sent again until it has arrived. If it has
//! not arrived within `cluster.timeout`, it is unreachable.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use crate::broker::adapter::{Epoch, Packet};
use crate::cluster::engine::{Lost, Reach};
use crate::cluster::envelope::Destination;
use crate::cluster::message::{Message, Verdict};
use crate::cluster::outgoing::OutgoingSignal;
use crate::cluster::requests::Response;
use crate::cluster::routes::Route;
use crate::cluster::this_node::ThisNode;
use crate::message::DeliveryStatus;
use crate::metrics::labels::LookupSource;
use crate::topic::Topic;

/// How long to wait before a name that is on its way is looked up again.
const MOVING_PAUSE: Duration = Duration::from_millis(5);

/// What has become of a signal at the end of its route.
enum Outcome {
    Verdict(Verdict),
    /// The node has no inbox any more.
    Nobody,
    /// There was no answer in time, or the link was lost.
    Unknown,
}

impl ThisNode {
    /// Sends a signal to the node that holds its name.
    pub(super) fn deliver(self: &Rc<Self>, mut signal: OutgoingSignal) {
        let mut routes = self.routes.borrow_mut();
        routes.number(&mut signal);
        let route = if routes.is_looked_up(&signal.name) { None } else { routes.get(&signal.name) };
        drop(routes);
        match route {
            Some(route) => {
                self.metrics.cluster.lookups.inc(LookupSource::Cache);
                self.send_signal(route, signal);
            }
            None => self.look_up(signal, Duration::ZERO),
        }
    }

    /// Lets a signal wait for the lookup of its name, which begins after `pause` if it is not under way.
    fn look_up(self: &Rc<Self>, signal: OutgoingSignal, pause: Duration) {
        let Some(name) = self.routes.borrow_mut().wait(signal) else { return };
        let node = self.clone();
        spawn_local(async move {
            if !pause.is_zero() {
                sleep(pause).await;
            }
            node.routes.borrow_mut().set_looked_up(&name);
            let found = node.find_route(&name).await;
            let mut routes = node.routes.borrow_mut();
            let waiting = routes.looked_up(&name);
            if let Ok(Some(route)) = &found {
                routes.put(name, route.clone());
            }
            drop(routes);
            for signal in waiting {
                match &found {
                    Ok(Some(route)) => node.send_signal(route.clone(), signal),
                    // it was sent after the directory was asked: the name may have got an owner in between
                    Ok(None) if !signal.is_looked_up => node.look_up(signal, Duration::ZERO),
                    Ok(None) => node.settle(signal, DeliveryStatus::Absent),
                    Err(Lost) => node.settle(signal, DeliveryStatus::Unreachable),
                }
            }
        });
    }

    /// The live node that holds a name. The entry of a dead node is removed.
    async fn find_route(self: &Rc<Self>, name: &Topic) -> Result<Option<Route>, Lost> {
        self.metrics.cluster.lookups.inc(LookupSource::Directory);
        let Some(holder) = self.entry(name).await? else { return Ok(None) };
        if holder.node != self.options.node && !self.is_live(&holder.node).await? {
            drop(spawn_local(self.engine.remove(name.key(), &holder)));
            return Ok(None);
        }
        Ok(Some(Route { node: holder.node, epoch: holder.epoch }))
    }

    fn send_signal(self: &Rc<Self>, route: Route, signal: OutgoingSignal) {
        if route.node == self.options.node {
            return self.signal_own_node(route, signal);
        }
        let mut waiter = self.requests.open();
        let (name, packet) = (signal.name.clone(), signal.packet.clone());
        let message = Message::Signal { request: waiter.id, name, epoch: route.epoch, packet };
        let sealed = self.seal(Destination::Node(&route.node), &message);
        let sent = self.send_with(&signal.permit, &route.node, sealed);
        let (node, since) = (self.clone(), Instant::now());
        spawn_local(async move {
            let outcome = async {
                match sent.await {
                    Ok(Reach::Accepted) => match waiter.response().await {
                        Some(Response::Verdict(verdict)) => Outcome::Verdict(verdict),
                        _ => Outcome::Unknown,
                    },
                    Ok(Reach::Nobody) => Outcome::Nobody,
                    Err(Lost) => Outcome::Unknown,
                }
            };
            let outcome = timeout(node.options.timeout, outcome).await.unwrap_or(Outcome::Unknown);
            node.metrics.cluster.round_trip.add(since.elapsed());
            match outcome {
                Outcome::Nobody => node.node_is_silent(route, signal).await,
                outcome => node.signal_answered(route, signal, outcome),
            }
        });
    }

    /// Nobody listens to the inbox of the node that holds the name. Its clients are gone once its lease is over.
    async fn node_is_silent(self: &Rc<Self>, route: Route, signal: OutgoingSignal) {
        self.routes.borrow_mut().forget(&signal.name, &route);
        match self.refresh_members().await {
            Ok(()) if !self.members.borrow().is_live(&route.node) => self.look_up(signal, Duration::ZERO),
            _ => self.settle(signal, DeliveryStatus::Unreachable),
        }
    }

    fn signal_answered(self: &Rc<Self>, route: Route, mut signal: OutgoingSignal, outcome: Outcome) {
        match outcome {
            Outcome::Verdict(Verdict::Delivered) => self.settle(signal, DeliveryStatus::Delivered),
            Outcome::Verdict(Verdict::Overloaded) => self.settle(signal, DeliveryStatus::Overloaded),
            Outcome::Verdict(Verdict::Gone) => {
                self.routes.borrow_mut().forget(&signal.name, &route);
                match signal.gone.replace(route.epoch) {
                    Some(before) if before == route.epoch => self.settle(signal, DeliveryStatus::Absent),
                    // the route was older than the directory's entry
                    _ => self.try_again(signal, Duration::ZERO),
                }
            }
            Outcome::Verdict(Verdict::Moving) => {
                self.routes.borrow_mut().forget(&signal.name, &route);
                self.try_again(signal, MOVING_PAUSE);
            }
            Outcome::Nobody | Outcome::Unknown => {
                self.routes.borrow_mut().forget(&signal.name, &route);
                self.settle(signal, DeliveryStatus::Unreachable);
            }
        }
    }

    /// Looks the name of a signal up again, unless the name has been moving from node to node for too long.
    fn try_again(self: &Rc<Self>, mut signal: OutgoingSignal, pause: Duration) {
        let now = Instant::now();
        match *signal.retry_until.get_or_insert(now + self.options.timeout) > now {
            true => self.look_up(signal, pause),
            false => self.settle(signal, DeliveryStatus::Unreachable),
        }
    }

    fn settle(&self, signal: OutgoingSignal, status: DeliveryStatus) {
        self.metrics.cluster.signals.inc(status);
        signal.settle(status);
    }

    /// The directory says that this node holds the name itself.
    fn signal_own_node(self: &Rc<Self>, route: Route, signal: OutgoingSignal) {
        match self.receive_signal(&signal.name, signal.packet.clone()) {
            Some(verdict) => self.signal_answered(route, signal, Outcome::Verdict(verdict)),
            None => {
                let node = self.clone();
                spawn_local(async move {
                    let verdict = node.explain_absence(&signal.name, route.epoch).await;
                    node.signal_answered(route, signal, Outcome::Verdict(verdict));
                });
            }
        }
    }

    /// Answers another node's signal.
    pub(super) fn answer_signal(self: &Rc<Self>, from: &str, request: u64, name: Topic, epoch: Epoch, packet: Packet) {
        if let Some(verdict) = self.receive_signal(&name, packet) {
            return self.send_answer(from, &Message::Verdict { request, verdict });
        }
        let (node, from) = (self.clone(), from.to_owned());
        spawn_local(async move {
            let verdict = node.explain_absence(&name, epoch).await;
            node.send_answer(&from, &Message::Verdict { request, verdict });
        });
    }

    /// Delivers a signal for a name that this node holds according to the directory. `None`: no client of this node owns
    /// the name at present.
    fn receive_signal(&self, name: &Topic, packet: Packet) -> Option<Verdict> {
        match self.inbox.deliver(name, packet) {
            DeliveryStatus::Delivered => Some(Verdict::Delivered),
            DeliveryStatus::Overloaded => Some(Verdict::Overloaded),
            DeliveryStatus::Absent | DeliveryStatus::Unreachable => None,
        }
    }

    /// Why no client of this node owns a name that it holds according to the directory. Either the name is on its way from
    /// one client to another, or its entry was not released. Then the entry is released again.
    async fn explain_absence(self: &Rc<Self>, name: &Topic, epoch: Epoch) -> Verdict {
        if self.routes.borrow().was_given_up(name) {
            return Verdict::Moving;
        }
        match self.release_stale(vec![(name.clone(), epoch)]).await {
            Some(1..) => Verdict::Gone,
            Some(0) | None => Verdict::Moving,
        }
    }
}
