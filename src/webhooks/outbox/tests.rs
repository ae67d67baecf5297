//! What the outbox sends, and when.

use std::time::UNIX_EPOCH;

use serde_json::Value;

use super::*;
use crate::topic::Topic;

const SECOND: Duration = Duration::from_secs(1);

fn outbox() -> (Outbox, Instant) {
    let config = Config { batch_interval: SECOND, give_up_after: 100 * SECOND, ..Config::default() };
    (Outbox::new("a".into(), "a-1".into(), &config), Instant::now())
}

fn up(name: &str) -> Event {
    Event::PeerUp { topic: Topic::parse(name).unwrap(), subject: None }
}

fn push(outbox: &mut Outbox, count: usize, now: Instant) {
    (0..count).for_each(|n| outbox.push(up(&format!("peer:{n}")), UNIX_EPOCH, now));
}

/// The id of the request that is due, and the types of its events.
fn next(outbox: &mut Outbox, now: Instant) -> Option<(String, Vec<&'static str>)> {
    let request = outbox.next(now)?;
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let types: Vec<&str> =
        body["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, request.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>());
    Some((request.id.clone(), request.kinds.iter().map(|kind| kind.name()).collect()))
}

fn seqs(request: &Request) -> Vec<u64> {
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!((&body["node"], &body["instance"]), (&"a".into(), &"a-1".into()));
    body["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

#[test]
fn events_are_collected_and_numbered() {
    let (mut outbox, start) = outbox();
    assert!(outbox.next(start).is_none() && outbox.due().is_none());
    push(&mut outbox, 2, start);
    push(&mut outbox, 1, start + SECOND / 2);
    assert!(outbox.next(start + SECOND / 2).is_none());
    assert_eq!(outbox.due(), Some(start + SECOND));
    let request = outbox.next(start + SECOND).unwrap();
    assert_eq!((request.id.as_str(), seqs(request)), ("a-1-1", vec![1, 2, 3]));
    push(&mut outbox, 1, start + SECOND);
    let again = outbox.next(start + SECOND).unwrap();
    assert_eq!((again.id.as_str(), seqs(again)), ("a-1-1", vec![1, 2, 3]), "one request at a time");
    assert_eq!((outbox.counted(), outbox.succeeded(start + SECOND).counted, outbox.counted()), (4, 3, 1));
    let request = outbox.next(start + 2 * SECOND).unwrap();
    assert_eq!((request.id.as_str(), seqs(request)), ("a-1-4", vec![4]));
}

#[test]
fn a_request_is_bounded() {
    let (mut outbox, start) = outbox();
    push(&mut outbox, 250, start);
    let sizes = std::iter::from_fn(|| {
        let size = outbox.next(start).map(|request| request.kinds.len())?;
        outbox.succeeded(start);
        Some(size)
    });
    assert_eq!(sizes.take(2).collect::<Vec<_>>(), [100, 100], "without a pause");
    assert!(outbox.next(start).is_none(), "50 wait for more");
    let name = format!("peer:{}", "\"".repeat(MAX_BYTES / 2));
    (0..3).for_each(|_| outbox.push(up(&name), UNIX_EPOCH, start));
    let sizes = std::iter::from_fn(|| {
        let (events, bytes) = outbox.next(start + SECOND).map(|request| (request.kinds.len(), request.body.len()))?;
        assert!(bytes <= MAX_BYTES || events == 1, "{events} events have {bytes} bytes");
        outbox.succeeded(start);
        Some(events)
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [50, 1, 1, 1]);
}

#[test]
fn pauses_grow_and_are_spread() {
    let (mut outbox, mut now) = outbox();
    push(&mut outbox, 1, now);
    now += SECOND;
    for (n, pause) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
        assert!(outbox.next(now).is_some());
        assert_eq!(outbox.failed(now, None, 1.2), n == 0, "only the first failure is the first");
        let pause = SECOND.mul_f64(f64::from(pause) * 1.2);
        assert!(outbox.next(now + pause - SECOND / 100).is_none(), "{n}");
        now += pause;
    }
    assert_eq!(outbox.succeeded(now).failed_for, Some(now - (now - SECOND.mul_f64(183.0 * 1.2))));
    push(&mut outbox, 1, now);
    now += SECOND;
    assert!(outbox.next(now).is_some() && outbox.failed(now, None, 0.8));
    assert!(outbox.next(now + SECOND).is_some(), "it begins anew");
}

#[test]
fn a_receiver_may_ask_for_a_pause() {
    let (mut outbox, start) = outbox();
    push(&mut outbox, 1, start);
    let mut now = start + SECOND;
    for (asked, pause) in [(7, 7), (0, 1), (1_000_000, 60)] {
        assert!(outbox.next(now).is_some());
        outbox.failed(now, Some(asked * SECOND), 1.0);
        assert!(outbox.next(now + pause * SECOND - SECOND / 100).is_none(), "{asked}");
        now += pause * SECOND;
    }
    assert!(outbox.next(now).is_some());
}

#[test]
fn what_waits_too_long_becomes_one_event() {
    let (mut outbox, start) = outbox();
    push(&mut outbox, 150, start);
    assert!(outbox.next(start).is_some());
    outbox.failed(start, None, 1.0);
    assert_eq!(outbox.give_up(UNIX_EPOCH, start + 99 * SECOND), None);
    let given_up = start + 100 * SECOND;
    assert_eq!(outbox.give_up(UNIX_EPOCH, given_up).unwrap().counted, 150);
    push(&mut outbox, 2, given_up);
    let request = outbox.next(given_up).unwrap();
    assert_eq!((request.id.as_str(), seqs(request), request.lost), ("a-1-101", vec![101, 102, 103], 150));
    outbox.failed(given_up, None, 1.0);
    assert_eq!(outbox.give_up(UNIX_EPOCH, given_up + 99 * SECOND), None, "the time begins anew");
    assert_eq!(outbox.give_up(UNIX_EPOCH, given_up + 100 * SECOND).unwrap().counted, 2);
    let request = outbox.next(given_up + 100 * SECOND).unwrap();
    assert_eq!((seqs(request), request.lost), (vec![104], 152));
    assert_eq!(outbox.give_up(UNIX_EPOCH, given_up + 999 * SECOND), None);
    let request = outbox.next(given_up + 999 * SECOND).unwrap();
    assert_eq!((seqs(request), request.lost, outbox.counted()), (vec![104], 152, 0), "the same request");
}

#[test]
fn losses_without_an_event_between_them_are_one() {
    let (mut outbox, start) = outbox();
    outbox.push_lost(3, UNIX_EPOCH, start);
    outbox.push_lost(4, UNIX_EPOCH, start);
    push(&mut outbox, 1, start);
    outbox.push_lost(5, UNIX_EPOCH, start);
    assert_eq!(next(&mut outbox, start + SECOND).unwrap().1, ["lost", "peer_up", "lost"]);
    assert_eq!(outbox.request.as_ref().unwrap().lost, 12);
}

/// Without it, a receiver would not forget what it knew of the node before.
#[test]
fn a_node_up_is_first_and_alone_and_never_dropped() {
    let (mut outbox, start) = outbox();
    push(&mut outbox, 1, start);
    outbox.push(Event::NodeUp { nodes: Vec::new() }, UNIX_EPOCH, start);
    assert_eq!(outbox.drop_all(UNIX_EPOCH, start).counted, 1);
    let first = ("a-1-1".to_owned(), vec!["node_up"]);
    assert_eq!(next(&mut outbox, start + SECOND).as_ref(), Some(&first));
    outbox.failed(start + SECOND, None, 1.0);
    push(&mut outbox, 1, start);
    assert_eq!(outbox.give_up(UNIX_EPOCH, start + 999 * SECOND).unwrap().counted, 1);
    assert_eq!(next(&mut outbox, start + 999 * SECOND), Some(first));
    outbox.succeeded(start + 999 * SECOND);
    assert_eq!(next(&mut outbox, start + 1_000 * SECOND), Some(("a-1-2".to_owned(), vec!["lost"])));
    assert_eq!(outbox.request.as_ref().unwrap().lost, 2);
}

#[test]
fn a_node_that_exits_waits_for_nothing() {
    let (mut outbox, start) = outbox();
    push(&mut outbox, 1, start);
    outbox.close(start);
    assert!(outbox.next(start).is_some());
    outbox.failed(start, None, 1.0);
    assert!(outbox.next(start).is_none());
    outbox.close(start);
    assert!(outbox.next(start).is_some());
}

/// Its last event stands for all that it has not told.
#[test]
fn a_node_that_exits_gives_nothing_up() {
    let (mut outbox, start) = outbox();
    push(&mut outbox, 1, start);
    assert!(outbox.next(start + SECOND).is_some());
    outbox.failed(start, None, 1.0);
    outbox.push(Event::NodeDown { gone: "a-1".into() }, UNIX_EPOCH, start);
    outbox.close(start);
    outbox.failed(start + 200 * SECOND, None, 1.0);
    assert_eq!(outbox.due(), Some(start + 202 * SECOND));
    assert_eq!(outbox.give_up(UNIX_EPOCH, start + 999 * SECOND), None);
    assert_eq!(outbox.counted(), 2);
}

/// That a node is back after it was told dead is a loss of no event.
#[test]
fn a_loss_of_no_event_is_told_as_well() {
    let (mut outbox, start) = outbox();
    outbox.push_lost(0, UNIX_EPOCH, start);
    outbox.drop_all(UNIX_EPOCH, start);
    assert_eq!(next(&mut outbox, start + SECOND).unwrap().1, ["lost"]);
    outbox.drop_all(UNIX_EPOCH, start);
    assert_eq!(next(&mut outbox, start + SECOND).unwrap().1, ["lost"]);
}
