//! The subscriptions of a socket's joins to topics other than their own, and the count of its held signals.

use crate::broker::registry::permits::Permit;
use crate::channels::effect::Effect;
use crate::message::{JoinId, Membership, NameClaim, SubscriptionUpdate};
use crate::protocol::Delivery;
use crate::sessions::socket::Socket;
use crate::sessions::socket::channel_server::ChannelServer;
use crate::topic::Topic;

impl Socket {
    /// Subscribes the join of `owner` to another topic, unless the join has ended. If the join is still pending,
    /// broadcasts reach the client only once it is a member.
    pub(crate) fn subscribe(&mut self, owner: &Topic, topic: Topic, claim: Option<NameClaim>, permit: Permit) {
        let id = JoinId(self.last_join + 1);
        let Some(server) = self.joins.get_mut(owner) else {
            self.client.subscriptions_left += 1;
            return;
        };
        server.subscriptions.push((id, topic.clone()));
        self.last_join = id.0;
        self.fastlane_changed = true;
        self.topics.insert(id, owner.clone());
        let membership = Membership { claim, ..Membership::default() };
        self.effects.push_back(Effect::Subscribe { join: id, topic, membership, replaces: None, permit });
    }

    pub(crate) fn unsubscribe_from(&mut self, owner: &Topic, topic: &Topic) {
        let Some(server) = self.joins.get_mut(owner) else { return };
        let Some(at) = server.subscriptions.iter().position(|(_, other)| other == topic) else { return };
        let (join, _) = server.subscriptions.swap_remove(at);
        self.unsubscribe(join);
    }

    /// Handles the registry's confirmation of a subscription.
    pub(crate) fn subscription_confirmed(&mut self, join: JoinId) {
        let Some(owner) = self.topics.get(&join).cloned() else { return };
        let other = self.joins.get(&owner).and_then(|server| server.subscriptions.iter().find(|(id, _)| *id == join));
        if let Some((_, topic)) = other {
            let topic = topic.clone();
            self.send_update(&owner, SubscriptionUpdate { topic, subscribed: true });
        }
    }

    /// Handles the registry's refusal of a subscription, or its end.
    pub(crate) fn subscription_rejected(&mut self, join: JoinId) {
        let Some(owner) = self.topics.get(&join).cloned() else { return };
        let Some(server) = self.joins.get_mut(&owner) else { return };
        let Some(at) = server.subscriptions.iter().position(|(id, _)| *id == join) else { return };
        let (join, topic) = server.subscriptions.swap_remove(at);
        self.unsubscribe(join);
        self.send_update(&owner, SubscriptionUpdate { topic, subscribed: false });
    }

    fn send_update(&mut self, owner: &Topic, update: SubscriptionUpdate) {
        self.run(owner, &None, |channel, ctx| channel.handle_info(Box::new(update), ctx));
    }

    /// Ends all subscriptions of a join that has ended.
    pub(crate) fn unsubscribe_all(&mut self, server: &mut ChannelServer) {
        server.subscriptions.drain(..).for_each(|(join, _)| self.unsubscribe(join));
    }

    fn unsubscribe(&mut self, join: JoinId) {
        self.topics.remove(&join);
        self.fastlane_changed = true;
        self.client.subscriptions_left += 1;
        self.effects.push_back(Effect::Unsubscribe(join));
    }

    /// The topic of the join whose channel receives a broadcast that was delivered for `join`, which is no join of the
    /// broadcast's own topic.
    ///
    /// A broadcast on several topics is delivered for one of the client's memberships. If that one has ended meanwhile,
    /// another one receives the broadcast.
    pub(super) fn subscriber(&self, join: JoinId, delivery: &Delivery) -> Option<Topic> {
        let known = self.topics.get(&join).filter(|owner| {
            self.joins.get(*owner).is_some_and(|server| receives(server, owner, delivery.topics(), |id| id == join))
        });
        let any = || {
            let mut joins = self.joins.iter().filter(|_| delivery.is_once_per_client());
            joins.find(|(owner, server)| receives(server, owner, delivery.topics(), |_| true)).map(|(owner, _)| owner)
        };
        known.or_else(any).cloned()
    }

    // ---- held signals

    /// Whether an earlier signal to the name may still be held. Later signals must not overtake it.
    pub(crate) fn is_waiting_for(&self, name: &Topic) -> bool {
        self.waiting.contains_key(name)
    }

    /// Counts a signal that may be held. The first one to a name is charged as not found immediately, and refunded when
    /// it is delivered. If it were charged only when it expires, a client could search for many ids before its first
    /// charge.
    pub(crate) fn hold_sent_to(&mut self, name: &Topic) {
        let waiting = self.waiting.entry(name.clone()).or_default();
        *waiting += 1;
        if *waiting == 1 {
            self.client.charge_not_found();
        }
    }

    /// Removes a signal whose delivery status is known from the count. Returns whether others to the same name wait.
    pub(crate) fn release_held(&mut self, name: &Topic) -> bool {
        let Some(count) = self.waiting.get_mut(name) else { return false };
        *count -= 1;
        let others_wait = *count > 0;
        if !others_wait {
            self.waiting.remove(name);
        }
        others_wait
    }
}

/// Whether a join of `owner` receives broadcasts on one of `topics`, by one of its memberships that `is_it` accepts. A
/// pending join receives nothing.
fn receives(server: &ChannelServer, owner: &Topic, topics: &[Topic], is_it: impl Fn(JoinId) -> bool) -> bool {
    !server.is_pending() && server.memberships(owner).any(|(id, topic)| is_it(id) && topics.contains(topic))
}
