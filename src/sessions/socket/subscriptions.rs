//! What a socket's joins hear besides their own topics, and what it has sent to names that nobody holds.

use crate::broker::registry::permits::Permit;
use crate::channels::effect::Effect;
use crate::message::{Broadcast, JoinId, Membership, NameClaim, SubscriptionUpdate};
use crate::sessions::socket::channel_server::ChannelServer;
use crate::sessions::socket::{Dispatch, Socket};
use crate::topic::Topic;

impl Socket {
    /// Has the join of `owner` hear `topic` too, unless it is no more; as soon as it is a member itself, if it is
    /// none yet.
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

    /// The registry has let it.
    pub(crate) fn subscription_confirmed(&mut self, join: JoinId) {
        let Some(owner) = self.topics.get(&join).cloned() else { return };
        let other = self.joins.get(&owner).and_then(|server| server.subscriptions.iter().find(|(id, _)| *id == join));
        if let Some((_, topic)) = other {
            let topic = topic.clone();
            self.send_update(&owner, SubscriptionUpdate { topic, subscribed: true });
        }
    }

    /// The registry has not let it, or lets it no longer.
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

    /// A join has ended, and hears nothing any more.
    pub(crate) fn unsubscribe_all(&mut self, server: &mut ChannelServer) {
        server.subscriptions.drain(..).for_each(|(join, _)| self.unsubscribe(join));
    }

    fn unsubscribe(&mut self, join: JoinId) {
        self.topics.remove(&join);
        self.fastlane_changed = true;
        self.client.subscriptions_left += 1;
        self.effects.push_back(Effect::Unsubscribe(join));
    }

    /// A broadcast on a topic that a join hears besides its own.
    pub(crate) fn broadcast_on_subscription(&mut self, join: JoinId, broadcast: &Broadcast) -> Dispatch {
        let Some(owner) = self.topics.get(&join).cloned() else { return Dispatch::Handled };
        let subscriptions = |server: &ChannelServer| {
            !server.is_pending()
                && server.subscriptions.iter().any(|(id, topic)| *id == join && *topic == broadcast.topic)
        };
        if !self.joins.get(&owner).is_some_and(|server| subscriptions(server)) {
            return Dispatch::Handled; // it has left meanwhile, or is no member yet
        }
        self.dispatch(&owner, broadcast)
    }

    // ---- held signals

    /// Whether something that was sent to the name waits for it, for all we know: what follows must not overtake.
    pub(crate) fn is_waiting_for(&self, name: &Topic) -> bool {
        self.waiting.contains_key(name)
    }

    /// A signal begins to wait. The first for a name is a miss for as long as it is not delivered: were it one only
    /// when it has waited in vain, a search for ids could be over before its first miss.
    pub(crate) fn hold_sent_to(&mut self, name: &Topic) {
        let waiting = self.waiting.entry(name.clone()).or_default();
        *waiting += 1;
        if *waiting == 1 {
            self.client.charge_not_found();
        }
    }

    /// The fate of a signal that waited is known; says whether others wait for the name.
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
