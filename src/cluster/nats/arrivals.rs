//! What arrives, in the order in which each node has sent it.
//!
//! The client library reads one connection, but puts the messages of each subscription into a queue of its own, so their
//! order among each other is lost. The adapter needs it: it refuses a message that arrives long after later ones of its
//! node, because that may be a repeated one.
//!
//! A task, the *collector*, restores the order. It takes whatever waits in all queues, and sorts this by the numbers that
//! the senders have given their messages. That is the order of sending because
//!
//! - the server passes on what a node has sent in order, over all subjects, so the client has read a message only after
//!   all earlier ones of its node;
//! - the client and the collector run on the same thread, so the queues do not change while the collector takes from
//!   them. When all are empty, it has all that the client has read: no earlier message is still to come.
//!
//! **Bounds.** The collector is a task of the runtime, as the client is, so it gets its turn after each turn of the client,
//! which reads at most 128 times, mostly 64 KiB each time. What has been collected waits for the adapter, and is bounded
//! in bytes ([`WAITING_BYTES`]).

use std::cmp::Ordering;
use std::future::poll_fn;
use std::task::{Context, Poll};

use async_nats::{Message, Subject};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, unconstrained};

use super::connection::Alarm;
use crate::broker::registry::permits::{CommandBudget, Permit};

/// How many bytes may wait for this node: as many as a NATS server keeps for a client by default. One message more, and
/// the link counts as lost, because messages are. A room with 100 messages of 64 KiB a second needs ten seconds for it.
const WAITING_BYTES: usize = 64 << 20;

/// The memory that a message takes beside its content, in bytes: its place in the queue, and the allocator's own.
const OVERHEAD: usize = 128;

/// A message that waits for the adapter.
pub(super) struct Arrival {
    pub(super) message: Bytes,
    _permit: Permit,
}

/// Starts the collector. It ends with the first of the two channels, or when it is aborted.
pub(super) fn collect<S>(
    subscriptions: mpsc::UnboundedReceiver<S>,
    arrivals: mpsc::UnboundedSender<Arrival>,
    alarm: Alarm,
) -> AbortHandle
where
    S: Stream<Item = Message> + Unpin + Send + 'static,
{
    // a task that is not constrained is not told that the queues are empty because its turn should end
    tokio::spawn(unconstrained(run(Queues { subscriptions, streams: SelectAll::new() }, arrivals, alarm)))
        .abort_handle()
}

async fn run<S>(mut queues: Queues<S>, arrivals: mpsc::UnboundedSender<Arrival>, alarm: Alarm)
where
    S: Stream<Item = Message> + Unpin,
{
    let budget = CommandBudget::with_overhead(WAITING_BYTES, OVERHEAD);
    let mut taken = Vec::new();
    while poll_fn(|context| queues.poll_take(context, &mut taken)).await {
        taken.sort_by(Numbered::order);
        for Numbered { payload, .. } in taken.drain(..) {
            let Some(permit) = budget.take(payload.len()) else {
                return alarm.raise("messages of other nodes are lost: this node is too slow");
            };
            // the payload is a slice of the client's read buffer, and would keep all of that
            let message = Bytes::copy_from_slice(&payload);
            if arrivals.send(Arrival { message, _permit: permit }).is_err() {
                return;
            }
        }
    }
}

/// The queues of all subscriptions, also of those that are added.
struct Queues<S> {
    subscriptions: mpsc::UnboundedReceiver<S>,
    streams: SelectAll<S>,
}

impl<S: Stream<Item = Message> + Unpin> Queues<S> {
    /// Takes all messages that wait, and is ready when there are some. `false` if no subscription is added any more.
    fn poll_take(&mut self, context: &mut Context<'_>, taken: &mut Vec<Numbered>) -> Poll<bool> {
        while let Poll::Ready(added) = self.subscriptions.poll_recv(context) {
            match added {
                Some(stream) => self.streams.push(stream),
                None => return Poll::Ready(false),
            }
        }
        while let Poll::Ready(Some(message)) = self.streams.poll_next_unpin(context) {
            taken.push(message.into());
        }
        if taken.is_empty() { Poll::Pending } else { Poll::Ready(true) }
    }
}

/// A message with the number that its sender has given it: the subject for a reply is `<sender>.<number>`.
struct Numbered {
    reply: Subject,
    sender_length: usize,
    number: u64,
    payload: Bytes,
}

impl From<Message> for Numbered {
    fn from(Message { reply, payload, .. }: Message) -> Self {
        let reply = reply.unwrap_or_else(|| Subject::from_static(""));
        let (sender, number) = reply.rsplit_once('.').unwrap_or_default();
        let (sender_length, number) = (sender.len(), number.parse().unwrap_or(0));
        Self { reply, sender_length, number, payload }
    }
}

impl Numbered {
    fn order(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }

    fn key(&self) -> (&str, u64) {
        (&self.reply[..self.sender_length], self.number)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{self, BoxStream};
    use tokio::task::yield_now;

    use super::*;

    fn message(reply: &str, size: usize) -> Message {
        let subject = Subject::from_static("x");
        let reply = (!reply.is_empty()).then(|| Subject::from(reply));
        let mut payload = reply.as_deref().unwrap_or("none").as_bytes().to_vec();
        payload.resize(payload.len().max(size), b' ');
        let payload = Bytes::from(payload);
        Message { subject, reply, payload, headers: None, status: None, description: None, length: size }
    }

    type Subscriptions = mpsc::UnboundedSender<BoxStream<'static, Message>>;

    fn collector() -> (Subscriptions, mpsc::UnboundedReceiver<Arrival>, super::super::connection::Alarms) {
        let (subscriptions, added) = mpsc::unbounded_channel();
        let (arrivals, arrived) = mpsc::unbounded_channel();
        let (alarm, alarms) = Alarm::new();
        collect(added, arrivals, alarm);
        (subscriptions, arrived, alarms)
    }

    #[tokio::test]
    async fn messages_of_several_subscriptions_are_in_the_order_of_their_senders() {
        const EACH: u64 = 1_000;
        let (subscriptions, mut arrived, _alarms) = collector();
        // the last messages are on the first subscription, and one sender has begun with a higher number
        for part in (0..4).rev() {
            let numbers = part * EACH..(part + 1) * EACH;
            let messages = numbers.flat_map(|n| [format!("a.nobody.{n}"), format!("b.nobody.{}", n + 7)]);
            let messages = messages.map(|reply| message(&reply, 0));
            let stays = stream::iter(messages.collect::<Vec<_>>()).chain(stream::pending());
            subscriptions.send(stays.boxed()).unwrap();
        }
        subscriptions.send(stream::iter([message("", 0)]).chain(stream::pending()).boxed()).unwrap();
        let mut texts = Vec::new();
        while texts.len() < 8 * EACH as usize + 1 {
            texts.push(String::from_utf8(arrived.recv().await.unwrap().message.to_vec()).unwrap());
        }
        assert!(texts.iter().any(|text| text == "none"), "a message of another program");
        for (sender, first) in [("a", 0), ("b", 7)] {
            let numbers = texts.iter().filter_map(|text| text.strip_prefix(sender)?.strip_prefix(".nobody."));
            let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
            assert!(numbers == (first..4 * EACH + first).collect::<Vec<_>>(), "{sender}: {numbers:?}");
        }
    }

    #[tokio::test]
    async fn what_waits_is_bounded() {
        const SIZE: usize = 1 << 20;
        const SENT: usize = 2 * WAITING_BYTES / SIZE;
        let (subscriptions, mut arrived, mut alarms) = collector();
        let messages = stream::iter((0..SENT).map(|n| message(&format!("a.{n}"), SIZE)));
        subscriptions.send(messages.chain(stream::pending()).boxed()).unwrap();
        while !arrived.is_closed() && arrived.len() < SENT {
            yield_now().await;
        }
        assert_eq!(alarms.try_recv().unwrap(), "messages of other nodes are lost: this node is too slow");
        let mut waiting = 0;
        while let Some(arrival) = arrived.recv().await {
            waiting += arrival.message.len();
        }
        assert_eq!(waiting, WAITING_BYTES);
    }

    #[tokio::test]
    async fn what_is_delivered_does_not_count() {
        const SIZE: usize = 1 << 20;
        let (subscriptions, mut arrived, mut alarms) = collector();
        let (messages, queue) = mpsc::unbounded_channel();
        let queue = stream::unfold(queue, |mut queue| async { Some((queue.recv().await?, queue)) });
        subscriptions.send(queue.boxed()).unwrap();
        for n in 0..2 * WAITING_BYTES / SIZE {
            messages.send(message(&format!("a.{n}"), SIZE)).unwrap();
            assert_eq!(arrived.recv().await.unwrap().message.len(), SIZE);
        }
        assert!(alarms.try_recv().is_err());
    }
}
