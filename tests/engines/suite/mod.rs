//! The suite, and what its cases share: two nodes of one cluster that record what they are told.

pub mod messages;
pub mod names;
pub mod nodes;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use handclasp::cluster::engine::{ClaimResult, Engine, EngineEvents, Epoch, LocalFuture, NodeId, Reach};
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use crate::common::TIMEOUT;

/// How many requests a case has under way at once: few enough that a slow machine answers them in time.
const AT_ONCE: usize = 200;
/// A pause before something is tried again.
const PAUSE: Duration = Duration::from_millis(2);
/// A probe that both nodes send before a case begins.
const PROBE: &str = "probe";

/// A cluster of its own for a case: all engines made here share a directory.
pub trait Site {
    fn engine(&self) -> Rc<dyn Engine>;
}

/// A case of the suite.
pub type Case = fn(Rc<dyn Site>) -> LocalFuture<()>;

/// Runs a case on a thread of its own kind: engines need a `LocalSet`.
pub fn block_on(future: impl Future<Output = ()> + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(LocalSet::new().run_until(future));
}

/// The tests of one engine. The argument runs a [`Case`] at a new [`Site`].
macro_rules! engine_suite {
    ($run:expr) => {
        engine_suite!(@cases $run,
            names: a_name_is_claimed_held_replaced_released_removed_and_found,
            names: names_are_any_text_and_do_not_mix,
            names: epochs_grow_with_each_grant,
            names: one_of_two_racers_is_granted_a_name,
            names: one_of_two_racers_replaces_an_entry,
            names: a_release_of_an_old_epoch_has_no_effect,
            names: asserted_names_are_entered_unless_an_entry_has_a_higher_epoch,
            names: many_names_are_asserted_at_once,
            names: a_scan_finds_all_names_and_ends,
            names: a_scan_finds_the_names_that_stay_while_others_come_and_go,
            nodes: a_lease_is_new_then_kept_and_runs_out,
            nodes: a_lease_is_kept_when_a_node_links_again,
            nodes: a_lease_that_is_ended_is_over_at_once,
            nodes: a_heartbeat_tells_an_epoch_that_no_earlier_grant_exceeds,
            nodes: the_status_of_a_node_is_its_last,
            messages: messages_of_one_node_arrive_in_order,
            messages: nobody_is_at_the_inbox_of_an_unknown_or_closed_node,
            messages: a_publication_reaches_all_subscribers_also_the_sender,
            messages: topics_are_any_text_and_do_not_mix,
            messages: what_is_published_after_a_confirmed_subscription_arrives,
            messages: order_survives_unsubscribing_and_subscribing_again,
            messages: nothing_arrives_after_an_unsubscription,
            messages: nothing_is_called_after_closing,
            messages: linking_again_forgets_topics,
            messages: messages_are_any_bytes_up_to_a_mebibyte,
        );
    };
    (@cases $run:expr, $($part:ident: $case:ident),* $(,)?) => {
        $(#[test] fn $case() {
            let run: fn($crate::suite::Case) = $run;
            run(|site| Box::pin($crate::suite::$part::$case(site)));
        })*
    };
}

/// Records what an engine tells its node.
#[derive(Default)]
pub struct Recorder {
    messages: RefCell<Vec<Bytes>>,
    lost: RefCell<Vec<String>>,
    changed: Notify,
}

impl EngineEvents for Recorder {
    fn message(&self, message: Bytes) {
        self.messages.borrow_mut().push(message);
        self.changed.notify_waiters();
    }

    fn lost(&self, why: String) {
        self.lost.borrow_mut().push(why);
        self.changed.notify_waiters();
    }
}

impl Recorder {
    /// What has arrived since the last call.
    pub fn take(&self) -> Vec<Bytes> {
        self.messages.take()
    }

    /// Waits for this many messages in all, and takes them. No more may have arrived.
    pub async fn expect(&self, count: usize) -> Vec<Bytes> {
        let arrivals = timeout(TIMEOUT, async {
            while self.messages.borrow().len() < count {
                self.changed.notified().await;
            }
        });
        let is_in_time = arrivals.await.is_ok();
        let messages = self.take();
        assert!(is_in_time && messages.len() == count, "{} of {count} messages: {messages:.200?}", messages.len());
        assert_eq!(self.lost.take(), [""; 0], "the connection holds");
        messages
    }

    /// Waits until this message has arrived, and takes all that have arrived.
    pub async fn until(&self, expected: &str) -> Vec<Bytes> {
        self.until_all(&[expected]).await
    }

    /// Waits until all of these messages have arrived, and takes all that have arrived.
    pub async fn until_all(&self, expected: &[&str]) -> Vec<Bytes> {
        let arrivals = join_all(expected.iter().map(|message| self.arrival(message)));
        let is_in_time = timeout(TIMEOUT, arrivals).await.is_ok();
        let messages = self.take();
        assert!(is_in_time, "not all of {expected:?} in {messages:.200?}");
        messages
    }

    /// Why the connection was lost, each time since the last call.
    pub fn take_lost(&self) -> Vec<String> {
        self.lost.take()
    }

    /// Waits until the connection is lost.
    pub async fn expect_lost(&self) {
        let loss = timeout(TIMEOUT, async {
            while self.lost.take().is_empty() {
                self.changed.notified().await;
            }
        });
        assert!(loss.await.is_ok(), "the connection is not lost");
    }

    async fn arrival(&self, expected: &str) {
        while !self.has(expected.as_bytes()) {
            self.changed.notified().await;
        }
    }

    fn has(&self, expected: &[u8]) -> bool {
        self.messages.borrow().iter().any(|message| message == expected)
    }
}

/// A node: its engine, and what the engine has told it.
pub struct Member {
    pub id: NodeId,
    pub engine: Rc<dyn Engine>,
    pub heard: Rc<Recorder>,
}

impl Member {
    /// A linked node.
    pub async fn link(site: &dyn Site, id: &str) -> Self {
        let member = Self { id: id.into(), engine: site.engine(), heard: Rc::default() };
        member.link_again().await;
        member
    }

    pub async fn link_again(&self) {
        self.engine.link(&self.id, Rc::clone(&self.heard) as Rc<dyn EngineEvents>).await.unwrap();
    }

    /// Claims a name that is free.
    pub async fn granted(&self, name: &str) -> Epoch {
        match self.engine.claim(name).await.unwrap() {
            ClaimResult::Granted(epoch) => epoch,
            ClaimResult::Held(holder) => panic!("{name:?} is held by {holder:?}"),
        }
    }

    /// Claims names that are free.
    pub async fn granted_all(&self, names: &[String]) -> Vec<Epoch> {
        let mut epochs = Vec::new();
        for names in names.chunks(AT_ONCE) {
            epochs.extend(join_all(names.iter().map(|name| self.granted(name))).await);
        }
        epochs
    }

    pub async fn send(&self, to: &Member, message: &[u8]) -> Reach {
        self.engine.send(&to.id, Bytes::copy_from_slice(message)).await.unwrap()
    }

    pub async fn publish(&self, topic: &str, message: &[u8]) {
        self.engine.publish(topic, Bytes::copy_from_slice(message)).await.unwrap();
    }

    pub async fn subscribe(&self, topic: &str) {
        self.engine.subscribe(topic).await.unwrap();
    }

    /// Sends a message until it reaches the inbox of `to`, and waits for its arrival.
    async fn reach(&self, to: &Member) {
        let sending = timeout(TIMEOUT, async {
            while self.send(to, PROBE.as_bytes()).await == Reach::Nobody {
                sleep(PAUSE).await;
            }
        });
        assert!(sending.await.is_ok(), "{} does not reach {}", self.id, to.id);
        to.heard.until(PROBE).await;
    }

    /// Publishes a message until it reaches `to`, which is subscribed. The first one must, except with several servers.
    pub async fn publish_until_heard(&self, topic: &str, message: &str, to: &Member) {
        let publishing = timeout(TIMEOUT, async {
            while !to.heard.has(message.as_bytes()) {
                self.publish(topic, message.as_bytes()).await;
                if !self.engine.has_several_servers() {
                    return to.heard.arrival(message).await;
                }
                sleep(PAUSE).await;
            }
        });
        assert!(publishing.await.is_ok(), "what {} publishes on {topic:?} does not reach {}", self.id, to.id);
    }

    /// Waits until what this node publishes reaches `to`, which is subscribed.
    pub async fn reach_on(&self, topic: &str, to: &Member) {
        self.publish_until_heard(topic, PROBE, to).await;
        // further probes may be under way: they arrive before this one
        self.publish(topic, b"last probe").await;
        to.heard.until("last probe").await;
    }
}

/// Two linked nodes that reach each other.
pub async fn pair(site: &dyn Site) -> (Member, Member) {
    let (a, b) = (Member::link(site, "a-4f2c").await, Member::link(site, "b-91d0").await);
    a.reach(&b).await;
    b.reach(&a).await;
    (a, b)
}

/// Names and topics that an engine could mistake for something else.
pub fn strange_texts() -> Vec<String> {
    let prefixes = ["", "\u{1}", "\u{2}", "\u{3}", "\u{4}", "\u{5}", "\u{6}"];
    let texts = [
        "room:lobby",
        "Room:Lobby",
        "with space",
        "with  spaces ",
        " ",
        ".",
        "a.b",
        "a..b",
        ".a",
        "a.",
        "*",
        "a.*",
        ">",
        "a.>",
        "$SYS.>",
        "$JS.API",
        "_INBOX.x",
        "?",
        "[a-z]",
        "{tag}",
        "a/b",
        "a\\b",
        "a=b",
        "a_b",
        "a-b",
        "\"quoted\"",
        "'; --",
        "%00%0D%0A",
        "ö",
        "o\u{308}",
        "名前",
        "\u{1F91D}\u{200D}",
        "\u{FEFF}x",
        "node",
        "0",
        "-1",
        "nil",
    ];
    let mut all: Vec<String> =
        prefixes.iter().flat_map(|prefix| texts.iter().map(move |text| format!("{prefix}{text}"))).collect();
    all.extend(["x".repeat(255), format!("{}y", "x".repeat(254)), "\u{1}".to_owned() + &".".repeat(254)]);
    all.push("ö".repeat(127));
    all
}
