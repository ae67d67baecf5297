//! Futures that a channel starts: [`Context::spawn`] and its two ordered forms, [`Context::reply_async`] and
//! [`Context::join_async`].
//!
//! Nothing runs here. A channel hands over a future, the socket keeps a [`Task`] for it, the session polls the
//! [`TaskFuture`] on the connection's thread, and the socket brings the result before the channel.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::rc::Rc;

use futures_util::FutureExt;

use crate::channels::channel::Channel;
use crate::channels::context::{Action, Completion, Context, NewTask, Task};
use crate::channels::reply::{Join, LimitError, Reply};
use crate::channels::task_future::TaskFuture;

/// Work that takes time.
impl Context<'_> {
    /// Runs `future` in the background, and then `callback` with its output. What the client says meanwhile is
    /// handled meanwhile; to keep its order, use [`reply_async`](Self::reply_async).
    ///
    /// The future runs on the connection's thread, beside that of other connections: it may await, but not block,
    /// and need not be `Send`. The callback runs like any other function of the channel. It handles no request; to
    /// answer one, keep its [`request_ref`](Self::request_ref) and call [`reply`](Self::reply).
    ///
    /// The future is dropped when the channel ends, for whatever reason. A panic in it is a panic of the channel.
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
    /// [`LimitError::TooManyTasks`] when the socket runs `limits.tasks_per_socket` tasks already.
    ///
    /// # Panics
    /// The channel crashes when `C` is not its own type. Name it `Self`.
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

    /// Answers the request that is being handled when `future` is ready, with what `callback` returns. Return what
    /// this returns from [`Channel::handle_in`].
    ///
    /// The order of the client's messages is kept: what it says to this topic meanwhile, leaving included, waits
    /// until the callback has run, up to `limits.queue_bytes`; with more it is answered `overloaded`. Its other
    /// topics, what others say to it, and its heartbeats do not wait. Nothing but the client's own timeout and the
    /// end of the channel limits how long `future` takes: give it a timeout where it could wait for ever.
    ///
    /// The future runs as one of [`spawn`](Self::spawn). The callback runs like `handle_in`: it may answer by
    /// [`send_to`](Self::send_to), or await once more.
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
    /// When the socket runs `limits.tasks_per_socket` tasks already, the answer is `error` with the reason `too many
    /// tasks`.
    ///
    /// # Panics
    /// The channel crashes when `C` is not its own type. Name it `Self`.
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

    /// Decides the join when `future` is ready, by what `callback` returns. Return what this returns from
    /// [`Channel::join`]; what the client sends meanwhile waits as for [`Join::Pending`].
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
    /// When the socket runs `limits.tasks_per_socket` tasks already, the join is refused with the reason `too many
    /// tasks`.
    ///
    /// # Panics
    /// The channel crashes when `C` is not its own type. Name it `Self`.
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
        let kept = result.clone();
        let future = async move {
            let done: Completion = match AssertUnwindSafe(future).catch_unwind().await {
                Ok(output) => Box::new(|channel, ctx| callback(downcast(channel), output, ctx)),
                Err(panic) => Box::new(|_, _| resume_unwind(panic)),
            };
            kept.set(Some(done));
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
