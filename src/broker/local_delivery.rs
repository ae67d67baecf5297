//! [`LocalDelivery`]: how a message gets to the members of its topics on this node, from the table that the registry
//! publishes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use crate::broker::topic_table::{Members, TopicTable};
use crate::connections::clock::Clock;
use crate::connections::connection::{Connection, ConnectionId, Member, MemberId};
use crate::connections::mailbox::PushError;
use crate::message::DeliveryStatus;
use crate::metrics::families::Metrics;
use crate::protocol::Delivery;
use crate::topic::Topic;

/// The members of a message's topics on this node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reached {
    /// How many there were.
    pub(super) members: usize,
    /// How many clients of them have the message in their queue.
    pub(super) delivered: usize,
}

/// Delivery to the members on this node, which needs neither the registry nor other nodes.
#[derive(Clone)]
pub(super) struct LocalDelivery {
    pub(super) table: Arc<TopicTable>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<Clock>,
}

impl LocalDelivery {
    /// Puts a broadcast into the mailboxes of its topics' members on this node.
    pub(super) fn publish(&self, delivery: &Arc<Delivery>, except: Option<&Arc<Connection>>, now: Instant) -> Reached {
        let mut reached = Reached::default();
        if !delivery.is_once_per_client() {
            self.deliver_counted(&delivery.broadcast.topic, delivery, except, now, &mut reached);
            return reached;
        }
        let lists: Vec<Members> =
            delivery.topics().iter().filter_map(|topic| self.table.members(topic.key())).collect();
        let mut clients: HashSet<ConnectionId> = except.map(|except| except.id).into_iter().collect();
        let members = lists.iter().flat_map(|members| members.iter());
        let members = members.filter(|member| clients.insert(member.connection.id));
        self.deliver_to(members, delivery, now, &mut reached);
        reached
    }

    /// Puts `delivery` into the mailboxes of the topic's members on this node. `None` if no client is among them.
    ///
    /// A name can be taken over between the look-up of its owner and the delivery, and the former owner may be closed by
    /// then. So the new owner gets the message: a name that has an owner throughout is never absent.
    pub(super) fn deliver(
        &self,
        topic: &Topic,
        delivery: &Arc<Delivery>,
        except: Option<&Arc<Connection>>,
        now: Instant,
    ) -> Option<DeliveryStatus> {
        self.deliver_counted(topic, delivery, except, now, &mut Reached::default())
    }

    /// The same, and counts the members.
    fn deliver_counted(
        &self,
        topic: &Topic,
        delivery: &Arc<Delivery>,
        except: Option<&Arc<Connection>>,
        now: Instant,
        reached: &mut Reached,
    ) -> Option<DeliveryStatus> {
        let is_recipient = |member: &Member| except.is_none_or(|except| !Arc::ptr_eq(except, &member.connection));
        let mut members = self.table.members(topic.key())?;
        let mut status = self.deliver_to(members.iter().filter(|member| is_recipient(member)), delivery, now, reached);
        while status == Some(DeliveryStatus::Absent)
            && let Some(former) = only_client(&members)
        {
            members = self.table.members(topic.key())?;
            let is_new = |member: &&Member| is_recipient(member) && member.join.is_client() && member.id() != former;
            let mut newcomers = members.iter().filter(is_new).peekable();
            if newcomers.peek().is_none() {
                break;
            }
            status = self.deliver_to(newcomers, delivery, now, reached);
        }
        status
    }

    fn deliver_to<'a>(
        &self,
        members: impl Iterator<Item = &'a Member>,
        delivery: &Arc<Delivery>,
        now: Instant,
        reached: &mut Reached,
    ) -> Option<DeliveryStatus> {
        let (mut delivered, mut is_full, mut has_client) = (0, false, false);
        for member in members {
            reached.members += 1;
            let result = member.connection.deliver(member.join, delivery, now);
            if !member.join.is_client() {
                continue;
            }
            has_client = true;
            match result {
                Ok(()) => delivered += 1,
                Err(PushError::Full) => is_full = true,
                Err(PushError::Closed) => {}
            }
        }
        if !has_client {
            return None;
        }
        reached.delivered += delivered as usize;
        self.metrics.delivered.add(delivery.broadcast.topic.realm(), (), delivered);
        match (delivered, is_full) {
            (1.., _) => Some(DeliveryStatus::Delivered),
            (0, true) => Some(DeliveryStatus::Overloaded),
            (0, false) => Some(DeliveryStatus::Absent),
        }
    }
}

/// The client among the members, if it is the only one, as the owner of a name is.
fn only_client(members: &Members) -> Option<MemberId> {
    let mut clients = members.iter().filter(|member| member.join.is_client());
    let first = clients.next()?.id();
    clients.next().is_none().then_some(first)
}
