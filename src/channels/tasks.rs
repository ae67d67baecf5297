//! Futures that a channel starts: [`Context::spawn`] and its two ordered forms, [`Context::reply_async`] and
//! [`Context::join_async`].
//!
//! This file does not poll futures. It wraps a channel's future and records it in the context. The socket then keeps a
//! [`Task`] for it, the session polls the [`TaskFuture`] on the connection's thread, and the socket passes the result
//! to the channel.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::rc::Rc;

use futures_util::FutureExt;

use crate::channels::channel::Channel;
use crate::channels::context::{Action, Completion, Context, NewTask, Task};
use crate::channels::reply::{Join, LimitError, Reply};
use crate::channels::task_future::TaskFuture;

/// Futures: work that takes time.
impl Context<'_> {
    /// Runs `future` in the background, and then `callback` with its output. The channel handles the client's messages
    /// while the future runs. If they must wait, use [`reply_async`](Self::reply_async).
    ///
    /// The future runs on the connection's thread, which serves other connections too. It may await but must not block,
    /// and does not need to be `Send`. The callback runs like any other callback of the channel, but has no current
    /// request. To answer a request, keep its [`request_ref`](Self::request_ref) and call [`reply`](Self::reply).
    ///
    /// The future is dropped when the channel ends. A panic in the future counts as a panic of the channel.
    ///
    /// ```
    /// # use handclasp::{Channel, Context};
    /// # async fn count_visits() -> u64 { 1 }
    /// struct Visits;
    ///
    /// impl Channel for Visits {
    ///     fn after_join(&mut self, ctx: &mut Context<'_>) {
    ///         let started = ctx.spawn(count_visits(), |_: &mut Self, visits, ctx| {
    ///             ctx.push("visits", serde_json::json!({ "count": visits }));
    ///         });
    ///         if let Err(error) = started {
    ///             log::warn!("{}: {error}", ctx.topic());
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`LimitError::TooManyTasks`] when the socket already runs `limits.tasks_per_socket` tasks.
    ///
    /// # Panics
    /// The channel panics when the callback's type `C` is not its own type. Write `&mut Self`.
    pub fn spawn<C: Channel, F: Future + 'static>(
        &mut self,
        future: F,
        callback: impl FnOnce(&mut C, F::Output, &mut Context<'_>) + 'static,
    ) -> Result<(), LimitError> {
        self.start(future, false, |channel, output, ctx| {
            callback(channel, output, ctx);
            Reply::NoReply
        })
    }

    /// Runs `future`, and then answers the current request with the reply that `callback` returns. Return the value of
    /// this method from [`Channel::handle_in`].
    ///
    /// The order of the client's messages is kept: its later messages to this topic, including a leave, wait until the
    /// callback has run. They wait up to `limits.queue_bytes`, and further ones are answered with `overloaded`. The
    /// client's other topics, broadcasts from other clients, and heartbeats do not wait. The server sets no timeout for
    /// `future`: give it one if it could wait forever.
    ///
    /// The future runs as for [`spawn`](Self::spawn). The callback runs like `handle_in`: it may return the value of
    /// [`send_to`](Self::send_to) or of another `reply_async`.
    ///
    /// ```
    /// # use handclasp::{Channel, Context, Payload, Reply};
    /// # async fn price_of(item: String) -> Option<u32> { (item == "tea").then_some(3) }
    /// struct Shop;
    ///
    /// impl Channel for Shop {
    ///     fn handle_in(&mut self, item: &str, _: &Payload, ctx: &mut Context<'_>) -> Reply {
    ///         ctx.reply_async(price_of(item.to_owned()), |_: &mut Self, price, _| match price {
    ///             Some(price) => Reply::ok_with(&price),
    ///             None => Reply::error("not found"),
    ///         })
    ///     }
    /// }
    /// ```
    ///
    /// When the socket already runs `limits.tasks_per_socket` tasks, the reply is `error` with the reason
    /// `too many tasks`.
    ///
    /// # Panics
    /// The channel panics when the callback's type `C` is not its own type. Write `&mut Self`.
    #[must_use]
    pub fn reply_async<C: Channel, F: Future + 'static>(
        &mut self,
        future: F,
        callback: impl FnOnce(&mut C, F::Output, &mut Context<'_>) -> Reply + 'static,
    ) -> Reply {
        match self.start(future, true, callback) {
            Ok(()) => Reply::NoReply,
            Err(error) => Reply::error(error.reason()),
        }
    }

    /// Runs `future`, and then decides the join by the value that `callback` returns. Return the value of this method
    /// from [`Channel::join`]. The client's messages to this topic wait meanwhile, as for [`Join::Pending`].
    ///
    /// ```
    /// # use handclasp::{Channel, Context, Join, Payload};
    /// # async fn load_user(name: String) -> Option<u64> { (name == "ann").then_some(7) }
    /// struct Inbox { user: Option<u64> }
    ///
    /// impl Channel for Inbox {
    ///     fn join(&mut self, _: &Payload, ctx: &mut Context<'_>) -> Join {
    ///         let name = ctx.topic().subtopic().to_owned();
    ///         ctx.join_async(load_user(name), |channel: &mut Self, user, _| {
    ///             channel.user = user;
    ///             if user.is_some() { Join::ok() } else { Join::error("unknown user") }
    ///         })
    ///     }
    /// }
    /// ```
    ///
    /// When the socket already runs `limits.tasks_per_socket` tasks, the join is refused with the reason
    /// `too many tasks`.
    ///
    /// # Panics
    /// The channel panics when the callback's type `C` is not its own type. Write `&mut Self`.
    #[must_use]
    pub fn join_async<C: Channel, F: Future + 'static>(
        &mut self,
        future: F,
        callback: impl FnOnce(&mut C, F::Output, &mut Context<'_>) -> Join + 'static,
    ) -> Join {
        let decide = |channel: &mut C, output: F::Output, ctx: &mut Context<'_>| {
            let join = callback(channel, output, ctx);
            ctx.complete_join(join);
            Reply::NoReply
        };
        match self.start(future, false, decide) {
            Ok(()) => Join::Pending,
            Err(error) => Join::error(error.reason()),
        }
    }

    fn start<C: Channel, F: Future + 'static>(
        &mut self,
        future: F,
        is_ordered: bool,
        callback: impl FnOnce(&mut C, F::Output, &mut Context<'_>) -> Reply + 'static,
    ) -> Result<(), LimitError> {
        self.client.tasks_left = self.client.tasks_left.checked_sub(1).ok_or(LimitError::TooManyTasks)?;
        let result = Rc::new(Cell::new(None));
        let shared_result = result.clone();
        let future = async move {
            let completion: Completion = match AssertUnwindSafe(future).catch_unwind().await {
                Ok(output) => Box::new(|channel, ctx| callback(downcast(channel), output, ctx)),
                Err(panic) => Box::new(|_, _| resume_unwind(panic)),
            };
            shared_result.set(Some(completion));
        };
        let (future, abort) = TaskFuture::new(future.boxed_local());
        let reference = if is_ordered { self.scope.reference.clone() } else { None };
        let task = Task { is_ordered, reference, result, abort };
        self.outcome.actions.push(Action::Spawn(Box::new(NewTask { task, future })));
        Ok(())
    }
}

fn downcast<C: Channel>(channel: &mut dyn Any) -> &mut C {
    channel.downcast_mut().expect("a task's callback takes the type of the channel that started it")
}
