//! Inboxes and topics.

use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::join_all;
use handclasp::cluster::engine::{Lost, Reach};

use super::{AT_ONCE, Member, Site, pair, strange_texts};

fn text(message: &Bytes) -> &str {
    std::str::from_utf8(message).unwrap()
}

/// The numbers behind `prefix`, in the order of arrival.
fn numbers(messages: &[Bytes], prefix: &str) -> Vec<u32> {
    messages.iter().filter_map(|message| text(message).strip_prefix(prefix)?.parse().ok()).collect()
}

fn sorted(mut messages: Vec<Bytes>) -> Vec<Bytes> {
    messages.sort();
    messages
}

/// What has arrived at `b` when a message that `a` sends now has.
async fn settled(a: &Member, b: &Member) -> Vec<Bytes> {
    assert_eq!(a.send(b, b"mark").await, Reach::Accepted);
    let mut messages = b.heard.until("mark").await;
    messages.pop();
    messages
}

pub async fn messages_of_one_node_arrive_in_order(site: Rc<dyn Site>) {
    const COUNT: u32 = 10_000;
    let (a, b) = pair(&*site).await;
    for topic in ["room:x", "room:y"] {
        b.subscribe(topic).await;
        a.reach_on(topic, &b).await;
    }
    let all: Vec<u32> = (0..COUNT).collect();
    for numbers in all.chunks(AT_ONCE) {
        let (mut sent, mut published) = (Vec::new(), Vec::new());
        for n in numbers {
            sent.push(a.engine.send(&b.id, format!("inbox {n}").into()));
            published.push(a.engine.publish("room:x", format!("x {n}").into()));
            published.push(a.engine.publish("room:y", format!("y {n}").into()));
        }
        assert!(join_all(sent).await.into_iter().all(|reach| reach == Ok(Reach::Accepted)));
        assert!(join_all(published).await.into_iter().all(|result| result == Ok(())));
    }
    let messages = b.heard.expect(3 * COUNT as usize).await;
    for prefix in ["inbox ", "x ", "y "] {
        assert!(numbers(&messages, prefix) == all, "{prefix}: not in order");
    }
}

pub async fn nobody_is_at_the_inbox_of_an_unknown_or_closed_node(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    for unknown in ["c-0000", "b", "b-91d", "b-91d0x", "*", ">"] {
        assert_eq!(a.engine.send(unknown, Bytes::from_static(b"x")).await, Ok(Reach::Nobody), "{unknown}");
    }
    assert_eq!(a.send(&b, b"x").await, Reach::Accepted);
    assert_eq!(a.send(&a, b"to oneself").await, Reach::Accepted);
    assert_eq!(text(&a.heard.expect(1).await[0]), "to oneself");
    b.heard.expect(1).await;
    b.engine.close().await;
    crate::common::wait_until("nobody at a closed inbox", || async { a.send(&b, b"x").await == Reach::Nobody }).await;
    let b = Member::link(&*site, &b.id).await;
    a.reach(&b).await;
}

pub async fn a_publication_reaches_all_subscribers_also_the_sender(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    a.publish("room:x", b"to nobody").await;
    for member in [&a, &b] {
        member.subscribe("room:x").await;
    }
    for (one, other) in [(&a, &b), (&b, &a)] {
        one.publish_until_heard("room:x", "probe", other).await;
        one.publish("room:x", format!("last of {}", one.id).as_bytes()).await;
    }
    for member in [&a, &b] {
        member.heard.until_all(&["last of a-4f2c", "last of b-91d0"]).await;
    }
    a.publish("room:x", b"x").await;
    a.publish("room:y", b"y").await;
    a.publish("room:x", b"z").await;
    for member in [&a, &b] {
        assert_eq!(member.heard.expect(2).await, ["x", "z"], "each message once");
    }
}

pub async fn topics_are_any_text_and_do_not_mix(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    let topics = strange_texts();
    let (odd, even): (Vec<_>, Vec<_>) = topics.iter().enumerate().partition(|(n, _)| n % 2 == 1);
    for (_, topic) in &odd {
        b.subscribe(topic).await;
        a.reach_on(topic, &b).await;
    }
    for (_, topic) in even.iter().chain(&odd) {
        a.publish(topic, topic.as_bytes()).await;
    }
    let expected = odd.iter().map(|(_, topic)| Bytes::from((*topic).clone())).collect();
    assert_eq!(sorted(b.heard.expect(odd.len()).await), sorted(expected));
    assert_eq!(settled(&a, &b).await, [""; 0], "nothing of a topic that b is not subscribed to");
    for (_, topic) in odd {
        b.engine.unsubscribe(topic);
    }
}

pub async fn what_is_published_after_a_confirmed_subscription_arrives(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    for n in 0..1_000 {
        let topic = format!("room:{n}");
        b.subscribe(&topic).await;
        a.reach_on(&topic, &b).await;
        b.engine.unsubscribe(&topic);
    }
}

pub async fn order_survives_unsubscribing_and_subscribing_again(site: Rc<dyn Site>) {
    const TURNS: usize = 100;
    let (a, b) = pair(&*site).await;
    let mut next = 0;
    for turn in 1..=TURNS {
        let subscribed = b.engine.subscribe("room:x");
        for _ in 0..5 {
            a.publish("room:x", format!("n {next}").as_bytes()).await;
            next += 1;
        }
        subscribed.await.unwrap();
        if turn < TURNS {
            b.engine.unsubscribe("room:x");
        }
    }
    a.publish_until_heard("room:x", "last", &b).await;
    let messages = b.heard.take();
    let numbers = numbers(&messages, "n ");
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
}

pub async fn nothing_arrives_after_an_unsubscription(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    for topic in ["room:x", "room:y"] {
        b.subscribe(topic).await;
        a.reach_on(topic, &b).await;
    }
    b.engine.unsubscribe("room:x");
    // a subscription takes effect after what was called before it for its topic
    b.subscribe("room:x").await;
    b.engine.unsubscribe("room:x");
    b.engine.subscribe("room:z").await.unwrap();
    a.reach_on("room:z", &b).await;
    a.publish("room:x", b"x").await;
    a.publish("room:y", b"y").await;
    assert_eq!(text(&b.heard.expect(1).await[0]), "y");
    assert_eq!(settled(&a, &b).await, [""; 0]);
    b.engine.unsubscribe("never subscribed");
}

pub async fn nothing_is_called_after_closing(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    b.subscribe("room:x").await;
    a.reach_on("room:x", &b).await;
    let under_way: Vec<_> = (0..100).map(|_| a.engine.publish("room:x", Bytes::from_static(b"x"))).collect();
    b.engine.close().await;
    b.heard.take();
    assert!(join_all(under_way).await.into_iter().all(|result| result == Ok(())));
    a.publish("room:x", b"x").await;
    settled(&a, &a).await;
    assert_eq!((b.heard.take(), b.heard.lost.take()), (vec![], vec![]));
    assert_eq!(b.engine.find("x").await, Err(Lost));
    assert_eq!(b.engine.subscribe("x").await, Err(Lost));
    b.engine.unsubscribe("x");
    b.engine.close().await;
}

pub async fn linking_again_forgets_topics(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    for topic in ["room:x", "room:y"] {
        b.subscribe(topic).await;
        a.reach_on(topic, &b).await;
    }
    b.link_again().await;
    a.reach(&b).await;
    b.subscribe("room:y").await;
    a.reach_on("room:y", &b).await;
    a.publish("room:x", b"x").await;
    a.publish("room:y", b"y").await;
    assert_eq!(text(&b.heard.expect(1).await[0]), "y");
    assert_eq!(settled(&a, &b).await, [""; 0]);
}

pub async fn messages_are_any_bytes_up_to_a_mebibyte(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    b.subscribe("room:x").await;
    a.reach_on("room:x", &b).await;
    for size in [1, 2, 255, 256, 65_535, 65_536, 1 << 20] {
        let message: Bytes = (0..size).map(|n: u32| (n ^ n >> 8) as u8).collect();
        assert_eq!(a.engine.send(&b.id, message.clone()).await, Ok(Reach::Accepted));
        assert!(b.heard.expect(1).await == [message.clone()], "{size} bytes in the inbox");
        a.engine.publish("room:x", message.clone()).await.unwrap();
        assert!(b.heard.expect(1).await == [message], "{size} bytes on a topic");
    }
}
