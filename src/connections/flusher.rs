//! A worker's courier: it writes what its connections' actors have said, and brings what their topics are told from the
//! mailbox straight to the wire while the actors sleep. Phoenix calls the latter the fastlane.
//!
//! To wake an actor means to look at everything that it is made of, and of a room of a thousand members none of that
//! is in the processor's caches. What it would do here is the same for all: the bytes of a broadcast are made once, and
//! its [fastlane](crate::connections::writer::Fastlane) says whether they go to its client as they are. The order stays that of the mailbox,
//! since the courier takes only what stands at its front, and only while the actor has nothing unsaid; for all else,
//! and for a client that does not read as fast, it wakes the actor.
//!
//! It comes once all who have been woken with it have had their turn. So a client is written to once for all that it is
//! to hear, and the clients in one go: one that is written to now and then has to be woken each time, which is dear.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use libc::MSG_NOSIGNAL;
use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;

use crate::connections::connection::{Connection, SAMPLE_EVERY};
use crate::connections::mailbox::Mailbox;
use crate::connections::ready_queue::ReadyQueue;
use crate::connections::writer::{Fastlane, LARGE, ParkedSocket, Writer, WriterState, write_frame};
use crate::metrics::families::Metrics;
use crate::protocol::Delivery;
use crate::refusal::DropReason;

/// How many connections it goes to before others get a turn.
const CONNECTIONS_PER_POLL: usize = 1024;
/// How much of one mailbox it takes at a time, as it counts against the bound there (bytes).
const BYTES_PER_CONNECTION: usize = 64 * 1024;

/// The courier of one worker, as a task of its own.
pub(crate) struct Flusher {
    ready_queue: ReadyQueue<Connection>,
    metrics: Arc<Metrics>,
    round: VecDeque<Arc<Connection>>,
    batch: Vec<Arc<Delivery>>,
    bytes: BytesMut,
    flushes: u32,
}

impl Flusher {
    /// Has one come to those who call at the desk that this gives, on the thread that this is called on.
    pub(crate) fn start(metrics: Arc<Metrics>) -> ReadyQueue<Connection> {
        let ready_queue = ReadyQueue::new();
        actix_web::rt::spawn(Self::new(ready_queue.clone(), metrics));
        ready_queue
    }

    fn new(ready_queue: ReadyQueue<Connection>, metrics: Arc<Metrics>) -> Self {
        Self { ready_queue, metrics, round: VecDeque::new(), batch: Vec::new(), bytes: BytesMut::new(), flushes: 0 }
    }

    /// Goes to one who has called. What it cannot bring, the actor is to fetch.
    fn flush_connection(&mut self, connection: Arc<Connection>) {
        let Some(write_side) = connection.write_side() else { return connection.mailbox.wake_reader() };
        write_side.clear_flush_request();
        match self.try_flush(&connection.mailbox, &write_side.writer) {
            Some(true) if write_side.request_flush_of(&connection) => {}
            Some(false) => {}
            _ => connection.mailbox.wake_reader(),
        }
    }

    /// Writes what the task has left, and what passes; says whether more of that waits, and nothing when the line is
    /// not free.
    fn try_flush(&mut self, mailbox: &Mailbox, writer_half: &Writer) -> Option<bool> {
        let mut state = writer_half.state();
        let WriterState { parked: Some(parked @ ParkedSocket { is_full: false, .. }), fastlane, buffer, .. } =
            &mut *state
        else {
            return None;
        };
        self.bytes.extend_from_slice(&std::mem::take(buffer));
        let has_more = self.take_fastlane(mailbox, fastlane.as_ref());
        let written = write(&parked.writer, &self.bytes);
        if written < self.bytes.len() {
            buffer.extend_from_slice(&self.bytes[written..]);
            parked.is_full = true;
            state.wake();
        }
        self.bytes.clear();
        Some(has_more)
    }

    /// Takes what passes, as the client reads it, and says whether more of it waits.
    fn take_fastlane(&mut self, mailbox: &Mailbox, fastlane: Option<&Fastlane>) -> bool {
        let joins = fastlane.map_or(&[][..], |fastlane| &fastlane.joins);
        let passes = |join, delivery: &Delivery| delivery.size() <= LARGE && joins.contains(&join);
        self.flushes = self.flushes.wrapping_add(1);
        let since = if self.flushes.is_multiple_of(SAMPLE_EVERY) { mailbox.waits_since() } else { None };
        let has_more = mailbox.drain_fastlane(passes, BYTES_PER_CONNECTION, &mut self.batch);
        if let (Some(since), Some(first)) = (since, self.batch.first()) {
            self.metrics.queue_wait.add(first.broadcast.topic.realm(), since.elapsed());
        }
        for delivery in self.batch.drain(..) {
            match fastlane.and_then(|fastlane| (fastlane.frame)(&delivery)) {
                Some(frame) => write_frame(&frame, &mut self.bytes),
                None => self.metrics.messages_dropped.add(delivery.broadcast.topic.realm(), DropReason::Unencodable, 1),
            }
        }
        has_more
    }
}

impl Future for Flusher {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.ready_queue.drain_into(&mut this.round, cx);
        for _ in 0..CONNECTIONS_PER_POLL {
            let Some(connection) = this.round.pop_front() else { return Poll::Pending };
            this.flush_connection(connection);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Those who still wait are woken, to do it themselves, and nobody calls any more.
impl Drop for Flusher {
    fn drop(&mut self) {
        let waiting = self.ready_queue.close();
        for connection in self.round.drain(..).chain(waiting) {
            connection.mailbox.wake_reader();
            if let Some(write_side) = connection.write_side() {
                write_side.clear_flush_request();
                write_side.writer.state().wake();
            }
        }
    }
}

/// Writes as much as the wire takes, and says how much that is. What is wrong with it is told to the task, which
/// writes the rest.
fn write(writer: &OwnedWriteHalf, bytes: &[u8]) -> usize {
    // not by the writer itself, which would look up first whether its runtime takes the wire for full: the line says that
    let wire = SockRef::from(writer.as_ref());
    let mut written = 0;
    while written < bytes.len() {
        match wire.send_with_flags(&bytes[written..], MSG_NOSIGNAL) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::task::Waker;
    use std::time::Instant;

    use smallvec::smallvec;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::connections::connection::WriteSide;
    use crate::connections::connection::tests::allowing;
    use crate::connections::envelope::Envelope;
    use crate::connections::mailbox::Batch;
    use crate::connections::mailbox::tests::Bell;
    use crate::connections::writer::Fastlane;
    use crate::message::{Broadcast, JoinId, Payload};
    use crate::protocol::Frame;
    use crate::protocols::phoenix::V2;
    use crate::topic::Topic;

    const JOIN: JoinId = JoinId(1);

    /// A connection whose actor and task both rest, and a courier that comes when it is polled.
    struct Scene {
        courier: Flusher,
        connection: Arc<Connection>,
        /// The line's task.
        task: Arc<Bell>,
        /// The mailbox's reader.
        reader: Arc<Bell>,
        client: TcpStream,
        buffer: usize,
    }

    impl Scene {
        async fn new() -> Self {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (_, writer) = listener.accept().await.unwrap().0.into_split();
            let ready_queue = ReadyQueue::new();
            let connection = Arc::new(allowing(usize::MAX));
            connection.set_write_side(Arc::new(WriteSide::new(ready_queue.clone())));
            connection.enable_fastlane(Fastlane { joins: smallvec![JOIN], frame: Delivery::frame::<V2> });
            let courier = Flusher::new(ready_queue, Arc::default());
            let scene = Self { courier, connection, task: Arc::default(), reader: Arc::default(), client, buffer: 0 };
            assert!(scene.unpark().is_none());
            scene.connection.writer().unwrap().park(writer);
            assert!(scene.drain().is_empty());
            scene
        }

        fn unpark(&self) -> Option<ParkedSocket> {
            let waker = Waker::from(self.task.clone());
            let Ok(parked) = self.connection.writer().unwrap().unpark(&Context::from_waker(&waker)) else { panic!() };
            parked
        }

        fn drain(&self) -> Batch {
            let mut batch = Batch::new();
            self.connection.mailbox.drain(&mut batch, &Waker::from(self.reader.clone()));
            batch
        }

        fn deliver(&mut self, join: JoinId, bytes: usize) -> Vec<u8> {
            self.buffer += 1;
            let payload = Payload::from_json_text(format!("[{},\"{}\"]", self.buffer, "x".repeat(bytes)));
            let broadcast = Broadcast { topic: Topic::parse("room:a").unwrap(), event: "e".into(), payload };
            let delivery = Arc::new(Delivery::new(broadcast));
            self.connection.deliver(join, &delivery, Instant::now()).unwrap();
            bytes_of(&delivery)
        }

        /// Has the courier come, for as long as it is called.
        fn comes(&mut self) {
            let bell = Arc::new(Bell::default());
            let waker = Waker::from(bell.clone());
            loop {
                let _ = Pin::new(&mut self.courier).poll(&mut Context::from_waker(&waker));
                if !bell.has_rung() {
                    return;
                }
            }
        }
    }

    fn bytes_of(delivery: &Delivery) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        write_frame(&delivery.frame::<V2>().unwrap(), &mut bytes);
        bytes.to_vec()
    }

    #[actix_web::test]
    async fn what_passes_is_brought_and_wakes_nobody() {
        let mut scene = Scene::new().await;
        let buffer = [scene.deliver(JOIN, 10), scene.deliver(JOIN, 200), scene.deliver(JOIN, 15_000)].concat();
        scene.comes();
        let mut heard = vec![0; buffer.len()];
        scene.client.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, buffer);
        assert!(!scene.reader.has_rung() && !scene.task.has_rung() && scene.drain().is_empty());
    }

    #[actix_web::test]
    async fn what_the_session_has_said_comes_first() {
        let mut scene = Scene::new().await;
        let Some(ParkedSocket { writer, .. }) = scene.unpark() else { panic!("it lies with the line") };
        let heard = scene.deliver(JOIN, 10);
        let writer_half = scene.connection.writer().unwrap();
        writer_half.send(&Frame::Text("before".into()));
        writer_half.park(writer);
        scene.comes();
        let before = [&[0x81, 6][..], b"before"].concat();
        let mut all = vec![0; before.len() + heard.len()];
        scene.client.read_exact(&mut all).await.unwrap();
        assert_eq!(all, [before, heard].concat());
        assert!(!scene.reader.has_rung() && !scene.task.has_rung());
    }

    #[actix_web::test]
    async fn what_does_not_pass_is_the_actors_to_fetch() {
        for (join, bytes) in [(JoinId(2), 10), (JOIN, 2 * LARGE)] {
            let mut scene = Scene::new().await;
            let first = scene.deliver(JOIN, 10);
            let _ = (scene.deliver(join, bytes), scene.deliver(JOIN, 10));
            scene.comes();
            let mut heard = vec![0; first.len()];
            scene.client.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, first);
            assert!(scene.reader.has_rung());
            assert_eq!(scene.drain().len(), 2, "it, and what came after it");
        }
    }

    /// What the wire does not take stands before all that follows, and the courier keeps off until the task has seen to
    /// it.
    #[actix_web::test]
    async fn what_the_wire_does_not_take_is_the_tasks_to_write() {
        let mut scene = Scene::new().await;
        // more than the kernel holds for one connection
        let buffer: Vec<u8> = (0..2_000).flat_map(|_| scene.deliver(JOIN, 10_000)).collect();
        scene.comes();
        assert!(scene.task.has_rung() && scene.reader.has_rung());
        let more = scene.deliver(JOIN, 10);
        scene.comes();
        let Some(ParkedSocket { mut writer, is_full: true }) = scene.unpark() else { panic!("it is full") };
        let rest = std::mem::take(&mut scene.connection.writer().unwrap().state().buffer);
        assert!(!rest.is_empty());
        let parked = scene.drain().into_iter().flat_map(|mail| match mail {
            Envelope::Delivery(_, delivery) => bytes_of(&delivery),
            other => panic!("{other:?}"),
        });
        let parked: Vec<u8> = rest.iter().copied().chain(parked).collect();
        let (mut heard, buffer) = (vec![0; buffer.len() + more.len()], [buffer, more].concat());
        let (written, read) = tokio::join!(writer.write_all(&parked), scene.client.read_exact(&mut heard));
        assert!(written.is_ok() && read.is_ok());
        assert!(heard == buffer, "not all of it, or not in order");
    }

    #[actix_web::test]
    async fn when_it_is_gone_the_actors_fetch_everything() {
        let mut scene = Scene::new().await;
        scene.deliver(JOIN, 10);
        scene.courier = Flusher::new(ReadyQueue::new(), Arc::default());
        assert!(scene.reader.has_rung() && scene.task.has_rung());
        assert_eq!(scene.drain().len(), 1);
        assert!(scene.drain().is_empty());
        scene.deliver(JOIN, 10);
        assert!(scene.reader.has_rung(), "nobody else will");
    }

    #[actix_web::test]
    async fn a_line_that_is_cut_has_its_task_see_that() {
        let scene = Scene::new().await;
        scene.connection.abort();
        assert!(scene.task.has_rung());
        let waker = Waker::from(scene.task.clone());
        assert!(scene.connection.writer().unwrap().unpark(&Context::from_waker(&waker)).is_err());
    }

    /// After a close frame no other may follow (RFC 6455, section 5.5.1).
    #[actix_web::test]
    async fn nothing_follows_the_goodbye() {
        let mut scene = Scene::new().await;
        scene.deliver(JOIN, 10);
        scene.connection.disable_fastlane();
        scene.comes();
        assert!(scene.reader.has_rung());
        assert_eq!(scene.drain().len(), 1);
    }

    #[actix_web::test]
    async fn nobody_waits_longer_than_for_so_many_visits() {
        let mut scene = Scene::new().await;
        let others = (0..2 * CONNECTIONS_PER_POLL).map(|_| Arc::new(allowing(usize::MAX)));
        others.for_each(|other| assert!(scene.courier.ready_queue.push(other)));
        let bell = Arc::new(Bell::default());
        let _ = Pin::new(&mut scene.courier).poll(&mut Context::from_waker(&Waker::from(bell.clone())));
        assert_eq!(scene.courier.round.len(), CONNECTIONS_PER_POLL);
        assert!(bell.has_rung(), "it goes on by itself");
    }
}
