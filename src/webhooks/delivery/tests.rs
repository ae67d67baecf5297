//! What the thread does with its messages, turn by turn.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;
use crate::topic::Topic;
use crate::webhooks::grace::Gone;
use crate::webhooks::handle::Webhooks;

const SECOND: Duration = Duration::from_secs(1);

/// The thread's state, the handle to it, and the bodies that the receiver has got.
struct World {
    delivery: Delivery,
    webhooks: Webhooks,
    bodies: Arc<std::sync::Mutex<Vec<String>>>,
}

impl World {
    /// The receiver accepts each request, or closes the connection without an answer.
    fn new(answers: bool, config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap()).parse().unwrap();
        let bodies: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
        let received = Arc::clone(&bodies);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut text) = (stream.unwrap(), Vec::new());
                while !text.ends_with(b"]}") {
                    let mut part = [0; 4_096];
                    let read = stream.read(&mut part).unwrap();
                    text.extend_from_slice(&part[..read]);
                }
                let text = String::from_utf8(text).unwrap();
                received.lock().unwrap().push(text.split_once("\r\n\r\n").unwrap().1.to_owned());
                if answers {
                    stream.write_all(b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n").unwrap();
                }
            }
        });
        let config = Config { batch_interval: Duration::ZERO, ..config };
        let shared = Arc::new(Shared::new(&config, Arc::default(), Arc::default()));
        let (sender, inbox) = std::sync::mpsc::channel();
        let client = HttpClient::new(10 * SECOND);
        let names = ("a".into(), "a-1".into());
        let delivery = Delivery::new(inbox, shared.clone(), client.clone(), url, &config, names);
        Self { delivery, webhooks: Webhooks { shared, sender, client }, bodies }
    }

    fn up(&self, name: &str) {
        self.webhooks.changed(Subject::Peer(Topic::parse(name).unwrap()), Change::Up(None));
    }

    fn drain(&self) -> oneshot::Receiver<()> {
        let (done, is_done) = oneshot::channel();
        self.webhooks.sender.send(Message::Drain { deadline: Instant::now() + 60 * SECOND, done }).unwrap();
        is_done
    }

    /// The types of the events that the receiver has got.
    fn types(&self) -> Vec<String> {
        let bodies = self.bodies.lock().unwrap();
        let json = |body: &String| serde_json::from_str::<serde_json::Value>(body).unwrap();
        let types = |json: serde_json::Value| {
            json["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
        };
        bodies.iter().map(json).flat_map(|json| -> Vec<String> { types(json) }).collect()
    }
}

#[test]
fn the_end_of_the_node_is_the_last_event_and_nothing_waits_after_it() {
    let world = World::new(true, Config::default());
    world.webhooks.started(Vec::new());
    world.up("peer:a");
    let _done = world.drain();
    let World { delivery, webhooks, bodies } = world;
    let shared = delivery.shared.clone();
    delivery.run();
    webhooks.update_gauges();
    assert_eq!(shared.metrics.webhooks.queue.get(), 0);
    assert_eq!(*shared.oldest.lock().unwrap(), None);
    let world = World { bodies, ..World::new(true, Config::default()) };
    assert_eq!(world.types(), ["node_up", "peer_up", "node_down"]);
}

#[test]
fn a_node_starts_once() {
    let world = World::new(true, Config::default());
    let _done = world.drain();
    world.webhooks.started(Vec::new());
    let World { delivery, bodies, .. } = world;
    delivery.run();
    assert_eq!(World { bodies, ..World::new(true, Config::default()) }.types(), ["node_up", "node_down"]);
}

#[test]
fn nothing_waits_once_a_request_has_succeeded() {
    let mut world = World::new(true, Config::default());
    world.webhooks.started(Vec::new());
    assert!(world.delivery.turn().is_continue());
    assert_eq!(world.types(), ["node_up"]);
    assert_eq!(*world.delivery.shared.oldest.lock().unwrap(), None);
}

/// The receiver may have read the state although nobody has got its answer.
#[test]
fn a_return_is_told_after_a_loss_whose_answer_is_lost() {
    let mut world = World::new(false, Config::default());
    world.delivery.has_started = true;
    world.delivery.outbox.push_lost(1, SystemTime::now(), Instant::now());
    assert!(world.delivery.turn().is_continue());
    assert_eq!(world.types(), ["lost"]);
    let (peer, mut told) = (Subject::Peer(Topic::parse("peer:a").unwrap()), Vec::new());
    let now = world.delivery.shared.clock.now();
    let down = Change::Down(Gone { reason: "gone", subject: None });
    for change in [down, Change::Up(None)] {
        world.delivery.grace.apply(now, peer.clone(), change, &mut told);
    }
    assert_eq!(told.len(), 2);
}

#[test]
fn a_panic_of_the_client_is_a_failed_request() {
    assert_eq!(guarded(|| panic!("a test")), Err(FetchError::Failed("the client has panicked".into())));
}
