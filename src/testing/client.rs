//! A client in a test: it sends requests, and asserts which messages it receives.

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::close::{self, Reason};
use crate::message::Payload;
use crate::protocols::phoenix::{JOIN, LEAVE};
use crate::testing::received::{Kind, Received, Shown, frame};
use crate::transports::longpoll::handle::{Fetched, LongPollHandle, Via};

/// How long an assertion waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request that [`TestClient::push`] has sent. The reply is found by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRef(String);

/// One client of a [`TestServer`](crate::testing::TestServer). Dropping it closes its connection soon after.
/// [`disconnect`](Self::disconnect) waits until the connection is closed.
///
/// An assertion removes the first received message that matches, and leaves the others for later assertions. Payloads
/// are compared as JSON values, or as bytes.
pub struct TestClient {
    session: LongPollHandle,
    last_ref: u32,
    /// The `join_ref` of the latest join of each topic.
    join_refs: HashMap<String, String>,
    received: Vec<Received>,
}

impl TestClient {
    pub(super) fn new(session: LongPollHandle) -> Self {
        Self { session, last_ref: 0, join_refs: HashMap::new(), received: Vec::new() }
    }

    // ---- requests

    /// Joins `topic`. Returns the payload of the reply.
    ///
    /// # Panics
    /// When the join is refused. Use [`try_join`](Self::try_join) if that is expected.
    #[track_caller]
    pub fn join(&mut self, topic: &str, params: impl Into<Payload>) -> impl Future<Output = Payload> {
        let (at, params) = (Location::caller(), params.into());
        async move {
            match self.try_join(topic, params).await {
                Ok(payload) => payload,
                Err(payload) => panic!("{at}: the join of {topic:?} was refused: {}", Shown(&payload)),
            }
        }
    }

    /// Joins `topic`. Returns the payload of the reply.
    ///
    /// # Errors
    /// The payload of the reply when the join is refused.
    pub async fn try_join(&mut self, topic: &str, params: impl Into<Payload>) -> Result<Payload, Payload> {
        let join_ref = (self.last_ref + 1).to_string();
        self.join_refs.insert(topic.to_owned(), join_ref);
        let join = self.push(topic, JOIN, params).await;
        let (status, payload) = self.reply(join).await;
        if status == "ok" { Ok(payload) } else { Err(payload) }
    }

    /// Pushes an event. When this returns, the channel has handled the event, or has started the future that it awaits.
    pub async fn push(&mut self, topic: &str, event: &str, payload: impl Into<Payload>) -> PushRef {
        self.last_ref += 1;
        let reference = self.last_ref.to_string();
        let join_ref = self.join_refs.get(topic).map_or("", String::as_str);
        let frame = frame(join_ref, &reference, topic, event, &payload.into());
        // an error means that the connection is closed: the request gets no reply
        let _ = self.session.post(Via::Http, vec![frame]).await;
        PushRef(reference)
    }

    /// Leaves `topic`. When this returns, the channel has ended.
    #[track_caller]
    pub fn leave(&mut self, topic: &str) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            let leave = self.push(topic, LEAVE, Payload::empty()).await;
            self.assert_reply_at(at, leave, "ok", json!({}).into()).await;
            self.next_of(at, topic.to_owned(), Kind::Close).await;
        }
    }

    /// Disconnects the client. When this returns, all its channels have ended.
    pub async fn disconnect(mut self) {
        self.session.end(&close::GONE);
        while self.fetch(PATIENCE).await {}
    }

    // ---- assertions

    /// Waits for the reply to a request. Returns its status and payload.
    #[track_caller]
    pub fn reply(&mut self, push: PushRef) -> impl Future<Output = (String, Payload)> {
        let at = Location::caller();
        async move {
            let is_it = |kind: &Kind| matches!(kind, Kind::Reply(reference, _) if *reference == push.0);
            let received = self.wait(at, format!("reply to request {}", push.0), |it| is_it(&it.kind)).await;
            match received.kind {
                Kind::Reply(_, status) => (status, received.payload),
                _ => unreachable!("only a reply matches"),
            }
        }
    }

    /// Asserts that the reply to a request has this status and payload.
    #[track_caller]
    pub fn assert_reply(
        &mut self,
        push: PushRef,
        status: &str,
        payload: impl Into<Payload>,
    ) -> impl Future<Output = ()> {
        let (at, payload) = (Location::caller(), payload.into());
        async move { self.assert_reply_at(at, push, status, payload).await }
    }

    async fn assert_reply_at(&mut self, at: &Location<'_>, push: PushRef, status: &str, payload: Payload) {
        let want = Kind::Reply(push.0.clone(), status.to_owned());
        let what = format!("reply {status:?} to request {}: {}", push.0, Shown(&payload));
        self.wait(at, what, |it| it.kind == want && it.has(&payload)).await;
    }

    /// Asserts that the topic's channel pushes this event and payload to the client.
    #[track_caller]
    pub fn assert_push(&mut self, topic: &str, event: &str, payload: impl Into<Payload>) -> impl Future<Output = ()> {
        let want = Received { topic: topic.to_owned(), kind: Kind::Push(event.to_owned()), payload: payload.into() };
        self.assert_received(Location::caller(), want)
    }

    /// Asserts that the client receives this broadcast on the topic.
    #[track_caller]
    pub fn assert_broadcast(
        &mut self,
        topic: &str,
        event: &str,
        payload: impl Into<Payload>,
    ) -> impl Future<Output = ()> {
        let kind = Kind::Broadcast(event.to_owned());
        let want = Received { topic: topic.to_owned(), kind, payload: payload.into() };
        self.assert_received(Location::caller(), want)
    }

    /// Waits for the next push of `event` on the topic. Returns its payload.
    #[track_caller]
    pub fn next_push(&mut self, topic: &str, event: &str) -> impl Future<Output = Payload> {
        self.next_of(Location::caller(), topic.to_owned(), Kind::Push(event.to_owned()))
    }

    /// Waits for the next broadcast of `event` on the topic. Returns its payload.
    #[track_caller]
    pub fn next_broadcast(&mut self, topic: &str, event: &str) -> impl Future<Output = Payload> {
        self.next_of(Location::caller(), topic.to_owned(), Kind::Broadcast(event.to_owned()))
    }

    /// Asserts that the topic's channel has not pushed `event` to the client. This covers everything that happened
    /// before the call. It does not wait for tasks and timers.
    #[track_caller]
    pub fn refute_push(&mut self, topic: &str, event: &str) -> impl Future<Output = ()> {
        self.refute(Location::caller(), topic.to_owned(), Kind::Push(event.to_owned()))
    }

    /// Asserts that the client has received no broadcast of `event` on the topic. It waits for the same as
    /// [`refute_push`](Self::refute_push).
    #[track_caller]
    pub fn refute_broadcast(&mut self, topic: &str, event: &str) -> impl Future<Output = ()> {
        self.refute(Location::caller(), topic.to_owned(), Kind::Broadcast(event.to_owned()))
    }

    /// Asserts that the client has received no message other than those that earlier assertions have removed.
    #[track_caller]
    pub fn assert_quiet(&mut self) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            self.settle(at).await;
            assert!(self.received.is_empty(), "{at}: not quiet\n{}", self.listing());
        }
    }

    /// Asserts that the server closes the topic: its channel stops, or another connection replaces the join.
    #[track_caller]
    pub fn assert_close(&mut self, topic: &str) -> impl Future<Output = ()> {
        let ended = self.next_of(Location::caller(), topic.to_owned(), Kind::Close);
        async move { drop(ended.await) }
    }

    /// Asserts that the topic's channel panics.
    #[track_caller]
    pub fn assert_crash(&mut self, topic: &str) -> impl Future<Output = ()> {
        let ended = self.next_of(Location::caller(), topic.to_owned(), Kind::Crash);
        async move { drop(ended.await) }
    }

    /// Asserts that the server closes the connection. Returns the reason.
    #[track_caller]
    pub fn assert_disconnect(&mut self) -> impl Future<Output = &'static Reason> {
        let at = Location::caller();
        async move {
            let deadline = Instant::now() + PATIENCE;
            while self.fetch(deadline.saturating_duration_since(Instant::now())).await {}
            let closed = self.session.connection().mailbox.closed();
            closed.unwrap_or_else(|| panic!("{at}: the connection is not closed\n{}", self.listing()))
        }
    }

    // ---- waiting

    async fn assert_received(&mut self, at: &Location<'_>, want: Received) {
        let is_it = |it: &Received| it.topic == want.topic && it.kind == want.kind && it.has(&want.payload);
        self.wait(at, want.to_string(), is_it).await;
    }

    async fn next_of(&mut self, at: &Location<'_>, topic: String, kind: Kind) -> Payload {
        let what = format!("{kind:?} on {topic:?}");
        self.wait(at, what, |it| it.topic == topic && it.kind == kind).await.payload
    }

    async fn refute(&mut self, at: &Location<'_>, topic: String, kind: Kind) {
        self.settle(at).await;
        if let Some(it) = self.received.iter().find(|it| it.topic == topic && it.kind == kind) {
            panic!("{at}: received {it}");
        }
    }

    /// Receives all messages that the server has queued: they arrive before the replies to two heartbeats. A session
    /// handles one message of its client, then the events in its mailbox, then the client's next message.
    async fn settle(&mut self, at: &Location<'_>) {
        for _ in 0..2 {
            let heartbeat = self.push("phoenix", "heartbeat", Payload::empty()).await;
            self.assert_reply_at(at, heartbeat, "ok", Payload::empty()).await;
        }
    }

    /// Waits for the first message that matches, and removes it.
    async fn wait(&mut self, at: &Location<'_>, what: String, matches: impl Fn(&Received) -> bool) -> Received {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.received.iter().position(&matches) {
                return self.received.remove(at);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.fetch(left).await {
                panic!("{at}: not received: {what}\n{}", self.listing());
            }
        }
    }

    /// Waits for messages. Returns whether the connection may still receive more.
    async fn fetch(&mut self, time: Duration) -> bool {
        match self.session.fetch(time).await {
            Fetched::Frames(frames) => self.received.extend(frames.iter().map(Received::read)),
            Fetched::Nothing => return !time.is_zero(),
            Fetched::Gone => return false,
        }
        true
    }

    fn listing(&self) -> String {
        let mut text = match &*self.received {
            [] => "received nothing else".to_owned(),
            received => {
                let lines: Vec<String> = received.iter().map(|it| format!("\n  {it}")).collect();
                format!("received instead:{}", lines.concat())
            }
        };
        if let Some(reason) = self.session.connection().mailbox.closed() {
            text.push_str(&format!("\nthe connection was closed with code {}: {}", reason.code, reason.text));
        }
        text
    }
}

impl Drop for TestClient {
    fn drop(&mut self) {
        self.session.end(&close::GONE);
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient").field("received", &self.received).finish_non_exhaustive()
    }
}
