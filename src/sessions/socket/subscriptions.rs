//! The subscriptions of a socket's joins to topics other than their own, and the count of its held signals.

use crate::broker::registry::permits::Permit;
use crate::channels::effect::Effect;
use crate::message::{Broadcast, JoinId, Membership, NameClaim, SubscriptionUpdate};
use crate::sessions::socket::channel_server::ChannelServer;
use crate::sessions::socket::{Dispatch, Socket};
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

    /// Handles a broadcast on a topic to which a join has subscribed.
    pub(crate) fn broadcast_on_subscription(&mut self, join: JoinId, broadcast: &Broadcast) -> Dispatch {
        let Some(owner) = self.topics.get(&join).cloned() else { return Dispatch::Handled };
        let is_subscribed = |server: &ChannelServer| {
            !server.is_pending()
                && server.subscriptions.iter().any(|(id, topic)| *id == join && *topic == broadcast.topic)
        };
        if !self.joins.get(&owner).is_some_and(|server| is_subscribed(server)) {
            return Dispatch::Handled; // the join has ended, or is still pending
        }
        self.dispatch(&owner, broadcast)
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
