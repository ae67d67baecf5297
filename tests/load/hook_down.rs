//! A receiver of webhooks that is down while 50,000 rooms fill, and half of them empty again. The queue stays within its
//! bound, all that did not fit is one event `lost`, and a backend that then reads the server API is right again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;

use crate::common::longpoll::request;
use crate::common::process::Process;
use crate::common::receiver::{Answer, Known, Receiver};
use crate::common::{Client, UNLIMITED, metric, wait_for};

const CLIENTS: usize = 50;
const ROOMS_OF_ONE: usize = 1_000;
const JOINS: usize = CLIENTS * ROOMS_OF_ONE;
/// How many joins of one client wait for their replies.
const AHEAD: usize = 100;
/// The default of `webhooks.queue_size`.
const QUEUE: usize = 10_000;
const LIMIT: Duration = Duration::from_secs(120);
const KEY: &str = "key-0123456789abcdef0123456789abcdef";

/// A client that has joined its rooms.
async fn client(address: SocketAddr, number: usize) -> Client {
    let mut client = Client::new(address).await;
    for first in (0..ROOMS_OF_ONE).step_by(AHEAD) {
        let rooms = (number * ROOMS_OF_ONE + first)..(number * ROOMS_OF_ONE + first + AHEAD);
        for room in rooms.clone() {
            client.send(&format!(r#"["{room}","{room}","room:{room}","phx_join",{{}}]"#)).await;
        }
        for _ in rooms {
            let reply = client.receive_until("phx_reply").await;
            assert!(reply.contains(r#""status":"ok""#), "{reply}");
        }
    }
    client
}

/// The rooms that have members, as the server API tells them.
async fn read_rooms(api: SocketAddr) -> BTreeSet<String> {
    let (mut rooms, mut after) = (BTreeSet::new(), String::new());
    loop {
        let path = format!("/v1/topics?prefix=room:&limit=1000&after={after}");
        let response = request(api, "GET", &path, &[&format!("Authorization: Bearer {KEY}")], b"").await;
        let page: Value = serde_json::from_str(&response.body).unwrap();
        let topics = page["topics"].as_array().unwrap_or_else(|| panic!("{page}"));
        rooms.extend(topics.iter().map(|counted| counted["topic"].as_str().unwrap()["room:".len()..].to_owned()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => return rooms,
        }
    }
}

/// Whether an accepted request contains this text.
fn has_event(receiver: &Receiver, part: &str) -> bool {
    receiver.requests().iter().any(|request| request.body.contains(part))
}

fn names(known: &Known) -> BTreeSet<String> {
    known.rooms.keys().map(|(_, room)| room.clone()).collect()
}

#[actix_web::test]
async fn a_receiver_that_is_down_during_50_000_joins_is_right_again_afterwards() {
    let receiver = Receiver::start();
    receiver.answer(|| Answer::Busy);
    let keys = format!(r#"api.keys=[{{ name = "a", key = "{KEY}", permissions = ["read"] }}]"#);
    let sets = ["webhooks.grace_period=0s", "metrics.listen=127.0.0.1:0", "api.listen=127.0.0.1:0", &keys];
    let of_receiver = receiver.sets();
    let of_receiver = of_receiver.iter().map(String::as_str);
    let process = Process::start(&UNLIMITED.into_iter().chain(sets).chain(of_receiver).collect::<Vec<_>>());
    let (metrics, api) = (process.metrics.unwrap(), process.api.unwrap());

    let started = Instant::now();
    let mut clients = join_all((0..CLIENTS).map(|number| client(process.address, number))).await;
    println!("{JOINS} joins in {:.1?}", started.elapsed());
    let lost = || async { metric(metrics, "handclasp_webhook_lost_total").await.unwrap() };
    assert_eq!(metric(metrics, "handclasp_webhook_queue_events").await, Some(QUEUE as u64));
    assert_eq!(lost().await, (JOINS - QUEUE) as u64);
    clients.truncate(CLIENTS / 2);
    let all_lost = (JOINS - QUEUE + JOINS / 2) as u64;
    wait_for("all losses", LIMIT, || async { lost().await == all_lost }).await;
    assert_eq!(metric(metrics, "handclasp_webhook_queue_events").await, Some(QUEUE as u64));

    receiver.answer(|| Answer::Status(200));
    wait_for("the loss", LIMIT, || async { has_event(&receiver, &format!(r#""lost","count":{all_lost}"#)) }).await;
    let rooms = read_rooms(api).await;
    assert_eq!(rooms.len(), JOINS / 2);
    let mut known = Known::default();
    receiver.requests().iter().for_each(|request| drop(known.accept(request)));
    assert!(known.must_read);
    let instance = receiver.requests()[0].json()["instance"].as_str().unwrap().to_owned();
    let row = |room: String| (("phoenix".to_owned(), room), BTreeSet::from([instance.clone()]));
    known.rooms = rooms.into_iter().map(row).collect::<BTreeMap<_, _>>();
    let handled = receiver.requests().len();

    clients[0].send(r#"["0","a","room:0","phx_leave",{}]"#).await;
    clients[1].join("b", "room:new", "{}").await;
    wait_for("the next events", LIMIT, || async {
        [r#"vacated","protocol":"phoenix","room":"0""#, r#""room":"new""#].iter().all(|part| has_event(&receiver, part))
    })
    .await;
    receiver.requests()[handled..].iter().for_each(|request| drop(known.accept(request)));
    assert!(names(&known) == read_rooms(api).await, "the backend knows what there is");
    assert_eq!(receiver.short().iter().filter(|event| event.starts_with("lost")).count(), 1);
    let waiting = || async { metric(metrics, "handclasp_webhook_queue_events").await };
    wait_for("an empty queue", LIMIT, || async { waiting().await == Some(0) }).await;
}
