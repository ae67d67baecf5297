//! Subscriptions of the server's own code to topics. Those of clients are in `sessions`.

use std::error::Error;
use std::fmt;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};

use crate::broker::pubsub::Pubsub;
use crate::broker::registry::command::Subscribe;
use crate::close;
use crate::connections::connection::Connection;
use crate::connections::envelope::{Envelope, SocketEvent};
use crate::connections::limits::{ConnectionLimits, QueueLimit, Timeouts};
use crate::connections::mailbox_stream::MailboxStream;
use crate::connections::token_bucket::{Rate, SharedTokenBucket};
use crate::message::{Broadcast, JoinId, Membership};
use crate::topic::Topic;

/// The broadcasts of one topic, as a stream for the server's own code.
/// [`Pubsub::subscribe`](crate::Pubsub::subscribe) makes it.
///
/// It may be polled on any thread. Broadcasts wait in a queue of `limits.queue_bytes`. When the queue is full, its
/// broadcasts are dropped and the stream ends, so senders and other members never wait for it. Dropping the
/// subscription unsubscribes.
///
/// It is a member of the topic like any other: it counts in [`Pubsub::count`](crate::Pubsub::count) and against
/// `limits.members_per_topic`, and the topic is online for its watchers. It never owns a name, so it does not change
/// whether a signal to the name is delivered.
///
/// ```no_run
/// # async fn log_all(pubsub: handclasp::Pubsub) -> Result<(), Box<dyn std::error::Error>> {
/// let mut orders = pubsub.subscribe(&handclasp::Topic::parse("shop:orders")?).await?;
/// while let Some(broadcast) = orders.next().await {
///     println!("{}: {:?}", broadcast.event, broadcast.payload);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Subscription {
    connection: Arc<Connection>,
    mailbox: MailboxStream,
    pubsub: Pubsub,
}

impl Pubsub {
    /// Subscribes the server's own code to `topic`: the [`Subscription`] receives every broadcast from the moment that
    /// this returns until it is dropped.
    ///
    /// # Errors
    /// [`SubscribeError`] when the topic is full, or the registry's command queue is.
    pub async fn subscribe(&self, topic: &Topic) -> Result<Subscription, SubscribeError> {
        Subscription::start(self, topic).await
    }
}

impl Subscription {
    pub(crate) async fn start(pubsub: &Pubsub, topic: &Topic) -> Result<Self, SubscribeError> {
        let permit = pubsub.budget().take(topic.key().len()).ok_or(SubscribeError::Overloaded)?;
        let time = Duration::MAX;
        let limits = ConnectionLimits {
            timeouts: Timeouts { idle: time, join: time, ping_interval: None },
            queue: QueueLimit { bytes: pubsub.subscription_bytes(), age: time },
            clock: pubsub.clock().clone(),
            memory: pubsub.memory().clone(),
        };
        let unused = Arc::new(SharedTokenBucket::full(Rate::per_second(1, 1), Instant::now()));
        let connection =
            Arc::new(Connection::new(pubsub.internal_id(), Ipv4Addr::UNSPECIFIED.into(), Arc::new(limits), unused));
        // no socket says whether its reader keeps up, so the limit always counts
        connection.mailbox.set_behind(Some(connection.now()));
        let mailbox = MailboxStream::new(connection.clone(), pubsub.shared_metrics(), topic.realm());
        let mut subscription = Self { connection: connection.clone(), mailbox, pubsub: pubsub.clone() };
        let (join, membership) = (JoinId::SERVER, Membership::default());
        pubsub.add_member(Subscribe { connection, join, topic: topic.clone(), membership, replaces: None }, permit);
        match subscription.mailbox.next().await {
            Some(Envelope::SocketEvent(event)) if matches!(*event, SocketEvent::Refused(..)) => {
                Err(SubscribeError::TopicFull)
            }
            Some(_) => Ok(subscription),
            None => Err(SubscribeError::Overloaded),
        }
    }

    /// The next broadcast. `None` once the queue was full.
    pub async fn next(&mut self) -> Option<Broadcast> {
        StreamExt::next(self).await
    }
}

impl Stream for Subscription {
    type Item = Broadcast;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Broadcast>> {
        loop {
            match self.mailbox.poll_next_unpin(cx) {
                Poll::Ready(Some(Envelope::Delivery(_, delivery))) => {
                    return Poll::Ready(Some(delivery.broadcast.clone()));
                }
                Poll::Ready(Some(Envelope::Close(_)) | None) => return Poll::Ready(None),
                Poll::Ready(Some(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.connection.close(&close::GONE);
        self.pubsub.down(&self.connection);
        self.connection.mailbox.close_and_discard();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("connection", &self.connection).finish_non_exhaustive()
    }
}

/// Why the server's own code cannot subscribe to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The topic has `limits.members_per_topic` members.
    TopicFull,
    /// The registry's command queue is full (`limits.registry_queue_bytes`), or the node has stopped.
    Overloaded,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TopicFull => "the topic is full",
            Self::Overloaded => "the registry is overloaded",
        })
    }
}

impl Error for SubscribeError {}
