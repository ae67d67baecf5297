//! The latency of signals while a backend lists all topics of the node again and again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use futures_util::future::join_all;
use serde_json::Value;

use crate::common::longpoll::request;
use crate::common::process::Process;
use crate::common::{Client, UNLIMITED};
use crate::{Pair, print_line};

const TOPICS: usize = 100_000;
const CLIENTS: usize = 20;
const PAIRS: usize = 50;
/// How many joins of one client wait for their replies.
const AHEAD: usize = 100;
const KEY: &str = "key-0123456789abcdef0123456789abcdef";

/// Prints one line.
pub async fn measure() {
    let keys = format!(r#"api.keys=[{{ name = "a", key = "{KEY}", permissions = ["read"] }}]"#);
    let sets = ["api.listen=127.0.0.1:0", "api.requests_per_second=100_000", &*keys];
    let process = Process::start(&UNLIMITED.into_iter().chain(sets).collect::<Vec<_>>());
    let (to, api) = (process.address, process.api.expect("the API listens"));
    let clients = join_all((0..CLIENTS).map(|number| client(to, number))).await;
    let (before, finished) = (process.resident(), Arc::new(AtomicBool::new(false)));
    // a thread of its own, so that the pairs do not wait for the backend
    let pairs = thread::spawn({
        let finished = finished.clone();
        move || {
            actix_web::rt::System::new().block_on(async {
                let mut pairs = join_all((0..PAIRS).map(|number| Pair::new(to, number))).await;
                join_all(pairs.iter_mut().map(|pair| pair.signal(&finished))).await.concat()
            })
        }
    });
    let pages = list(api, &finished).await;
    let mut times = pairs.join().expect("the pairs are served");
    times.sort_unstable();
    print_line(
        &format!("pages of {TOPICS} topics, {PAIRS} pairs"),
        pages,
        &times,
        process.resident().saturating_sub(before),
    );
    drop(clients);
}

/// A client that has joined its part of the topics.
async fn client(to: SocketAddr, number: usize) -> Client {
    let mut client = Client::new(to).await;
    let topics = number * TOPICS / CLIENTS..(number + 1) * TOPICS / CLIENTS;
    for first in topics.step_by(AHEAD) {
        for room in first..first + AHEAD {
            client.send(&format!(r#"["{room}","{room}","room:{room}","phx_join",{{}}]"#)).await;
        }
        for _ in 0..AHEAD {
            assert!(client.receive_until("phx_reply").await.contains(r#""status":"ok""#), "a join was refused");
        }
    }
    client
}

/// Lists all topics, page by page, until `finished`. Returns the number of pages.
async fn list(api: SocketAddr, finished: &AtomicBool) -> usize {
    let (mut pages, mut after) = (0, String::new());
    while !finished.load(Ordering::Relaxed) {
        let path = format!("/v1/topics?prefix=room:&limit=1000&after={after}");
        let response = request(api, "GET", &path, &[&format!("Authorization: Bearer {KEY}")], b"").await;
        let page: Value = serde_json::from_str(&response.body).expect("a page");
        after = page["next"].as_str().unwrap_or_default().to_owned();
        pages += 1;
    }
    pages
}
