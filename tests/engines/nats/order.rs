//! Messages that wait for a busy node.

use std::rc::Rc;
use std::thread;

use bytes::Bytes;
use futures_util::future::join_all;
use handclasp::cluster::engine::Engine;

use super::{PATIENT, engine};
use crate::common::nats::NatsServer;
use crate::suite::{Recorder, block_on};

/// What one node sends next.
#[derive(Clone, Copy)]
enum To {
    Inbox,
    Topic(&'static str),
}

/// A node sends while another one does nothing. `messages` are the receivers, and the size of each message. Returns what
/// has arrived at the other node.
async fn arrivals_at_a_busy_node(messages: Vec<(To, usize)>) -> Vec<Bytes> {
    let server = NatsServer::start();
    let (receiver, events) = (engine(&[server.url()], PATIENT), Rc::new(Recorder::default()));
    receiver.link(&"b-1".into(), events.clone()).await.unwrap();
    for topic in ["x", "y"] {
        receiver.subscribe(topic).await.unwrap();
    }
    let (urls, count) = ([server.url()], messages.len());
    let sender = thread::spawn(move || {
        block_on(async move {
            let sender = engine(&urls, PATIENT);
            sender.link(&"a-1".into(), Rc::new(Recorder::default())).await.unwrap();
            let sent = messages.into_iter().enumerate().map(|(n, (to, size))| {
                let message = Bytes::from(format!("{n:0size$}"));
                match to {
                    To::Inbox => {
                        let sent = sender.send("b-1", message);
                        Box::pin(async move { sent.await.map(drop) })
                    }
                    To::Topic(topic) => sender.publish(topic, message),
                }
            });
            let sent = join_all(sent.collect::<Vec<_>>()).await;
            assert!(sent.into_iter().all(|result| result == Ok(())));
        });
    });
    // this thread is the receiver's
    sender.join().unwrap();
    events.expect(count).await
}

fn numbers(messages: &[Bytes]) -> Vec<usize> {
    messages.iter().map(|message| std::str::from_utf8(message).unwrap().parse().unwrap()).collect()
}

/// More of them than the adapter's window for repeated messages has places.
#[test]
fn messages_of_one_node_on_several_subscriptions_arrive_in_the_order_of_sending() {
    const RUN: usize = 3_000;
    block_on(async {
        let runs = [To::Topic("x"), To::Topic("y"), To::Inbox, To::Topic("x"), To::Topic("y")];
        let messages: Vec<_> = runs.into_iter().flat_map(|to| [(to, 8); RUN]).collect();
        let count = messages.len();
        let arrived = numbers(&arrivals_at_a_busy_node(messages).await);
        let (mut highest, mut behind) = (0, 0);
        for number in &arrived {
            behind = behind.max(highest - number.min(&highest));
            highest = highest.max(*number);
        }
        assert!(arrived == (0..count).collect::<Vec<_>>(), "a message is {behind} behind");
    });
}

/// Five seconds of a room with 100 messages of 64 KiB a second.
#[test]
fn a_burst_of_large_messages_costs_no_link() {
    block_on(async {
        let messages = vec![(To::Topic("x"), 65_535); 500];
        assert_eq!(numbers(&arrivals_at_a_busy_node(messages).await), (0..500).collect::<Vec<_>>());
    });
}
