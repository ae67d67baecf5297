//! What a socket's joins hear besides their own topics, and what it has sent to names that nobody holds.

use crate::broker::registry::permits::Permit;
use crate::channels::effect::Effect;
use crate::message::{Broadcast, JoinId, Membership, NameClaim, SubscriptionUpdate};
use crate::sessions::socket::channel_server::ChannelServer;
use crate::sessions::socket::{Dispatch, Socket};
use crate::topic::Topic;

impl Socket {
    /// Has the join of `home` hear `topic` too, unless it is no more; as soon as it is a member itself, if it is
    /// none yet.
    pub(crate) fn listen(&mut self, home: &Topic, topic: Topic, claim: Option<NameClaim>, turn: Permit) {
        let id = JoinId(self.last_join + 1);
        let Some(joined) = self.joins.get_mut(home) else {
            self.client.may_hear += 1;
            return;
        };
        joined.hears.push((id, topic.clone()));
        self.last_join = id.0;
        self.lane_changed = true;
        self.topics.insert(id, home.clone());
        let membership = Membership { claim, ..Membership::default() };
        self.effects.push_back(Effect::Subscribe { join: id, topic, membership, replaces: None, turn });
    }

    pub(crate) fn ignore(&mut self, home: &Topic, topic: &Topic) {
        let Some(joined) = self.joins.get_mut(home) else { return };
        let Some(at) = joined.hears.iter().position(|(_, heard)| heard == topic) else { return };
        let (join, _) = joined.hears.swap_remove(at);
        self.unhear(join);
    }

    /// The registry has let it.
    pub(crate) fn granted(&mut self, join: JoinId) {
        let Some(home) = self.topics.get(&join).cloned() else { return };
        let heard = self.joins.get(&home).and_then(|joined| joined.hears.iter().find(|(id, _)| *id == join));
        if let Some((_, topic)) = heard {
            let topic = topic.clone();
            self.tell_of(&home, SubscriptionUpdate { topic, granted: true });
        }
    }

    /// The registry has not let it, or lets it no longer.
    pub(crate) fn denied(&mut self, join: JoinId) {
        let Some(home) = self.topics.get(&join).cloned() else { return };
        let Some(joined) = self.joins.get_mut(&home) else { return };
        let Some(at) = joined.hears.iter().position(|(id, _)| *id == join) else { return };
        let (join, topic) = joined.hears.swap_remove(at);
        self.unhear(join);
        self.tell_of(&home, SubscriptionUpdate { topic, granted: false });
    }

    fn tell_of(&mut self, home: &Topic, listening: SubscriptionUpdate) {
        self.run(home, &None, |channel, ctx| channel.handle_info(Box::new(listening), ctx));
    }

    /// A join has ended, and hears nothing any more.
    pub(crate) fn unhear_all(&mut self, joined: &mut ChannelServer) {
        joined.hears.drain(..).for_each(|(join, _)| self.unhear(join));
    }

    fn unhear(&mut self, join: JoinId) {
        self.topics.remove(&join);
        self.lane_changed = true;
        self.client.may_hear += 1;
        self.effects.push_back(Effect::Unsubscribe(join));
    }

    /// A broadcast on a topic that a join hears besides its own.
    pub(crate) fn overhear(&mut self, join: JoinId, broadcast: &Broadcast) -> Dispatch {
        let Some(home) = self.topics.get(&join).cloned() else { return Dispatch::Handled };
        let hears = |joined: &ChannelServer| {
            !joined.is_pending() && joined.hears.iter().any(|(id, topic)| *id == join && *topic == broadcast.topic)
        };
        if !self.joins.get(&home).is_some_and(|joined| hears(joined)) {
            return Dispatch::Handled; // it has left meanwhile, or is no member yet
        }
        self.pass(&home, broadcast)
    }

    // ---- held signals

    /// Whether something that was sent to the name waits for it, for all we know: what follows must not overtake.
    pub(crate) fn is_waiting_for(&self, name: &Topic) -> bool {
        self.waiting.contains_key(name)
    }

    /// A signal begins to wait. The first for a name is a miss for as long as it is not delivered: were it one only
    /// when it has waited in vain, a search for ids could be over before its first miss.
    pub(crate) fn waits_for(&mut self, name: &Topic) {
        let waiting = self.waiting.entry(name.clone()).or_default();
        *waiting += 1;
        if *waiting == 1 {
            self.client.miss();
        }
    }

    /// The fate of a signal that waited is known; says whether others wait for the name.
    pub(crate) fn waits_no_more(&mut self, name: &Topic) -> bool {
        let Some(count) = self.waiting.get_mut(name) else { return false };
        *count -= 1;
        let others_wait = *count > 0;
        if !others_wait {
            self.waiting.remove(name);
        }
        others_wait
    }
}
