//! Tests of the flusher: what it writes itself, and what it leaves to the actor and the task.

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
use crate::connections::mailbox::tests::WakeFlag;
use crate::connections::writer::Fastlane;
use crate::message::{Broadcast, JoinId, Payload};
use crate::protocol::Frame;
use crate::protocols::phoenix::V2;
use crate::topic::Topic;

const JOIN: JoinId = JoinId(1);

/// A connection whose actor and task are both asleep, and a flusher that runs when the test polls it.
struct Scene {
    flusher: Flusher,
    connection: Arc<Connection>,
    /// The wake flag of the connection's task.
    task: Arc<WakeFlag>,
    /// The wake flag of the mailbox's reader.
    reader: Arc<WakeFlag>,
    client: TcpStream,
    /// The number of broadcasts so far.
    broadcasts: usize,
}

impl Scene {
    async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_, writer) = listener.accept().await.unwrap().0.into_split();
        let ready_queue = ReadyQueue::new();
        let connection = Arc::new(allowing(usize::MAX));
        connection.set_write_side(Arc::new(WriteSide::new(ready_queue.clone(), MemoryBudget::new(0))));
        connection.enable_fastlane(Fastlane { joins: smallvec![JOIN], frame: Delivery::frame::<V2> });
        let flusher = Flusher::new(ready_queue, Arc::default(), MemoryBudget::new(0));
        let scene = Self { flusher, connection, task: Arc::default(), reader: Arc::default(), client, broadcasts: 0 };
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
        self.broadcasts += 1;
        let payload = Payload::from_json_text(format!("[{},\"{}\"]", self.broadcasts, "x".repeat(bytes)));
        let broadcast = Broadcast { topic: Topic::parse("room:a").unwrap(), event: "e".into(), payload };
        let delivery = Arc::new(Delivery::new(broadcast));
        self.connection.deliver(join, &delivery, Instant::now()).unwrap();
        bytes_of(&delivery)
    }

    /// Polls the flusher until it is not woken any more.
    fn flush(&mut self) {
        let flag = Arc::new(WakeFlag::default());
        let waker = Waker::from(flag.clone());
        loop {
            let _ = Pin::new(&mut self.flusher).poll(&mut Context::from_waker(&waker));
            if !flag.was_woken() {
                return;
            }
        }
    }
}

fn bytes_of(delivery: &Delivery) -> Vec<u8> {
    let mut output = Output::new(MemoryBudget::new(0));
    output.add_frame(&delivery.frame::<V2>().unwrap());
    output.with_slices(|slices| slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>())
}

#[actix_web::test]
async fn broadcasts_are_written_without_waking_actor_or_task() {
    let mut scene = Scene::new().await;
    let sent = [scene.deliver(JOIN, 10), scene.deliver(JOIN, 200), scene.deliver(JOIN, 15_000)].concat();
    scene.flush();
    let mut received = vec![0; sent.len()];
    scene.client.read_exact(&mut received).await.unwrap();
    assert_eq!(received, sent);
    assert!(!scene.reader.was_woken() && !scene.task.was_woken() && scene.drain().is_empty());
}

#[actix_web::test]
async fn the_sessions_output_is_written_before_broadcasts() {
    let mut scene = Scene::new().await;
    let Some(ParkedSocket { writer: socket, .. }) = scene.unpark() else { panic!("it is parked") };
    let broadcast = scene.deliver(JOIN, 10);
    let writer = scene.connection.writer().unwrap();
    writer.send(&Frame::Text("before".into()));
    writer.park(socket);
    scene.flush();
    let before = [&[0x81, 6][..], b"before"].concat();
    let mut all = vec![0; before.len() + broadcast.len()];
    scene.client.read_exact(&mut all).await.unwrap();
    assert_eq!(all, [before, broadcast].concat());
    assert!(!scene.reader.was_woken() && !scene.task.was_woken());
}

#[actix_web::test]
async fn the_actor_is_woken_for_messages_outside_the_fastlane() {
    for (join, bytes) in [(JoinId(2), 10), (JOIN, 2 * LARGE)] {
        let mut scene = Scene::new().await;
        let first = scene.deliver(JOIN, 10);
        let _ = (scene.deliver(join, bytes), scene.deliver(JOIN, 10));
        scene.flush();
        let mut received = vec![0; first.len()];
        scene.client.read_exact(&mut received).await.unwrap();
        assert_eq!(received, first);
        assert!(scene.reader.was_woken());
        assert_eq!(scene.drain().len(), 2, "that message, and the one behind it");
    }
}

/// Bytes that the socket does not accept stay in front of all later output, and the flusher writes nothing more until
/// the task has written them.
#[actix_web::test]
async fn the_task_writes_what_a_full_socket_does_not_accept() {
    let mut scene = Scene::new().await;
    // more than the kernel buffers for one connection
    let sent: Vec<u8> = (0..2_000).flat_map(|_| scene.deliver(JOIN, 10_000)).collect();
    scene.flush();
    assert!(scene.task.was_woken() && scene.reader.was_woken());
    let more = scene.deliver(JOIN, 10);
    scene.flush();
    let Some(ParkedSocket { mut writer, is_full: true }) = scene.unpark() else { panic!("it is full") };
    assert!(scene.connection.mailbox.behind_since().is_some());
    let mut rest = Vec::new();
    {
        let output = &mut scene.connection.writer().unwrap().state().output;
        while !output.is_empty() {
            let slices =
                output.with_slices(|slices| slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>());
            output.advance(slices.len());
            rest.extend(slices);
        }
    }
    assert!(!rest.is_empty());
    let batches = std::iter::repeat_with(|| scene.drain()).take_while(|batch| !batch.is_empty());
    let unread = batches.flatten().flat_map(|envelope| match envelope {
        Envelope::Delivery(_, delivery) => bytes_of(&delivery),
        other => panic!("{other:?}"),
    });
    let unwritten: Vec<u8> = rest.iter().copied().chain(unread).collect();
    let (mut received, sent) = (vec![0; sent.len() + more.len()], [sent, more].concat());
    let (written, read) = tokio::join!(writer.write_all(&unwritten), scene.client.read_exact(&mut received));
    assert!(written.is_ok() && read.is_ok());
    assert!(received == sent, "bytes are missing or out of order");
}

#[actix_web::test]
async fn without_a_flusher_the_actors_are_woken_for_every_message() {
    let mut scene = Scene::new().await;
    scene.deliver(JOIN, 10);
    scene.flusher = Flusher::new(ReadyQueue::new(), Arc::default(), MemoryBudget::new(0));
    assert!(scene.reader.was_woken() && scene.task.was_woken());
    assert_eq!(scene.drain().len(), 1);
    assert!(scene.drain().is_empty());
    scene.deliver(JOIN, 10);
    assert!(scene.reader.was_woken(), "there is no flusher to deliver it");
}

#[actix_web::test]
async fn an_aborted_connection_wakes_its_task() {
    let scene = Scene::new().await;
    scene.connection.abort();
    assert!(scene.task.was_woken());
    let waker = Waker::from(scene.task.clone());
    assert!(scene.connection.writer().unwrap().unpark(&Context::from_waker(&waker)).is_err());
}

/// No frame may follow a close frame (RFC 6455, section 5.5.1).
#[actix_web::test]
async fn no_broadcast_follows_the_close_frame() {
    let mut scene = Scene::new().await;
    scene.deliver(JOIN, 10);
    scene.connection.disable_fastlane();
    scene.flush();
    assert!(scene.reader.was_woken());
    assert_eq!(scene.drain().len(), 1);
}

#[actix_web::test]
async fn one_poll_flushes_a_limited_number_of_connections() {
    let mut scene = Scene::new().await;
    let others = (0..2 * CONNECTIONS_PER_POLL).map(|_| Arc::new(allowing(usize::MAX)));
    others.for_each(|other| assert!(scene.flusher.ready_queue.push(other)));
    let flag = Arc::new(WakeFlag::default());
    let _ = Pin::new(&mut scene.flusher).poll(&mut Context::from_waker(&Waker::from(flag.clone())));
    assert_eq!(scene.flusher.round.len(), CONNECTIONS_PER_POLL);
    assert!(flag.was_woken(), "it wakes itself for the rest");
}
